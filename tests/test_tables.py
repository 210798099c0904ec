"""Subsets out: whole files, faithful values, and no running cells."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from fishersft import load_corpus
from fishersft.corpus.tables import format_of, picks_table, rows, to_bytes, write_table
from fishersft.errors import StoreError, UserError

HOSTILE = ["=1+1", "+cmd", "-2", "@SUM(A1)", "\t=1", " =1", 'say "hi", ok', "plain", "emoji 😀\nnew line"]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "c.jsonl"
    records = [{"text": t, "rank": i, "tags": ["a", {"b": i}], "score": i / 2} for i, t in enumerate(HOSTILE)]
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    corpus = load_corpus(path, holdout=0)
    return picks_table(corpus, [8, 0, 3], np.array([2.0, 1.0, 0.5]), np.array([4, 3, 5]))


def test_our_columns_come_first_and_a_field_of_the_same_name_is_kept(table):
    assert list(table.columns) == ["rank", "index", "gain", "tokens", "text", "record_rank", "tags", "score"]
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["record_rank"].tolist() == [8, 0, 3]


def test_jsonl_keeps_every_value(table):
    back = [json.loads(line) for line in to_bytes(table, "jsonl").decode().splitlines()]
    assert back == rows(table)
    assert back[0]["text"] == HOSTILE[8]
    assert back[1]["tags"] == ["a", {"b": 0}]


def test_csv_cells_cannot_run(tmp_path):
    path = tmp_path / "h.jsonl"
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in HOSTILE))
    corpus = load_corpus(path, holdout=0)
    n = len(corpus)
    data = to_bytes(picks_table(corpus, range(n), None, np.ones(n, int)), "csv")
    cells = pd.read_csv(io.BytesIO(data), keep_default_na=False)["text"].tolist()
    assert [c.startswith("'") for c in cells] == [True] * 6 + [False] * 3
    assert cells[6:] == HOSTILE[6:]


def test_parquet_reads_back_also_with_mixed_columns(table):
    back = pd.read_parquet(io.BytesIO(to_bytes(table, "parquet")))
    assert back["text"].tolist() == table["text"].tolist()
    assert back["index"].tolist() == [8, 0, 3]
    mixed = table.assign(odd=[1, "two", {"three": 3}])
    assert pd.read_parquet(io.BytesIO(to_bytes(mixed, "parquet")))["odd"].tolist() == ["1", "two", '{"three": 3}']


def test_missing_gains_are_null_in_json_and_empty_in_csv(jsonl):
    table = picks_table(load_corpus(jsonl), [0], None, np.array([3]))
    assert json.loads(to_bytes(table, "jsonl"))["gain"] is None
    assert to_bytes(table, "csv").decode().splitlines()[1].startswith("1,0,,3,")


def test_a_place_that_cannot_be_written_gets_a_sentence_and_leaves_nothing(table, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        write_table(table, tmp_path / "folder.csv", "csv")
    assert [p.name for p in tmp_path.glob(".*partial")] == []
    with pytest.raises(UserError, match="jsonl, csv, parquet"):
        format_of(tmp_path / "picks.xlsx")
