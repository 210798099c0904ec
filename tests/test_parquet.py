"""Parquet files: what they unpack to is counted first, names and types survive."""

import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fishersft import load_corpus
from fishersft.corpus.parquet import check_size, read_parquet, to_frame
from fishersft.errors import CorpusError

from .conftest import ROOT

CASES = ROOT / "tests" / "data" / "cases"


def data_of(table, **options):
    out = pa.BufferOutputStream()
    pq.write_table(table, out, **options)
    return out.getvalue().to_pybytes()


def test_a_small_file_that_stands_for_gigabytes_is_refused_in_a_moment():
    started = time.process_time()
    with pytest.raises(CorpusError, match=r"has 987 bytes but unpacks to more than 64 MB"):
        load_corpus(CASES / "dict_bomb.parquet")
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["x" * 1_000] * 20_000),
        pa.array([["x" * 1_000] * 2] * 10_000),
        pa.array([{"k": "x" * 1_000}] * 20_000),
        pa.array([[{"role": "user", "content": "x" * 1_000}]] * 20_000),
        pa.array([[("a", "x" * 1_000)]] * 20_000, pa.map_(pa.string(), pa.string())),
        pa.array([b"x" * 1_000] * 20_000),
    ],
    ids=["texts", "lists", "objects", "chats", "maps", "bytes"],
)
def test_repeated_values_are_counted_as_often_as_they_stand_there(column):
    data = data_of(pa.table({"a.b": column}))
    assert len(data) < 10_000
    assert check_size(data, "a.parquet", 30_000_000) in (10_000, 20_000)
    with pytest.raises(CorpusError, match="unpacks to more than"):
        check_size(data, "a.parquet", 19_000_000)


def test_numbers_and_nulls_that_take_no_room_in_the_file_count_too():
    data = data_of(pa.table({"n": pa.array([None] * 1_000_000, pa.int64()), "one": pa.array([1] * 1_000_000)}))
    assert len(data) < 20_000
    with pytest.raises(CorpusError, match="unpacks"):
        check_size(data, "a.parquet", 1_000_000)


def test_a_date_that_python_does_not_have_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "far.parquet").write_bytes(data_of(pa.table({"text": ["a"], "when": pa.array([2**30], pa.date32())})))
    with pytest.raises(CorpusError, match=r"far.parquet holds a value that Python cannot \(year .* is out of range\)"):
        load_corpus(tmp_path / "far.parquet")


@pytest.mark.parametrize("nested", [False, True])
def test_a_time_that_no_export_could_write_is_refused_when_it_is_read(tmp_path, nested):
    times = pa.array([2**60, 0], pa.timestamp("us"))
    column = pa.ListArray.from_arrays(pa.array([0, 1, 2]), times) if nested else times
    (tmp_path / "far.parquet").write_bytes(data_of(pa.table({"text": ["a", "b"], "when": column})))
    with pytest.raises(CorpusError, match="far.parquet holds a value that Python cannot"):
        load_corpus(tmp_path / "far.parquet")


@pytest.mark.parametrize("stop", [10**30, 1e400])
def test_a_counting_index_without_end_is_refused_in_a_sentence(tmp_path, stop):
    index = {"kind": "range", "name": "k", "start": 0, "stop": stop, "step": 1}
    notes = json.dumps({"index_columns": [index], "columns": [], "column_indexes": []})
    (tmp_path / "far.parquet").write_bytes(data_of(pa.table({"text": ["a"]}).replace_schema_metadata({"pandas": notes})))
    with pytest.raises(CorpusError, match="far.parquet is not a readable parquet file"):
        load_corpus(tmp_path / "far.parquet")


def test_columns_of_one_name_are_numbered_and_an_odd_index_of_pandas_is_no_hindrance():
    assert list(load_corpus(CASES / "duplicate_column_names.parquet").fields.columns) == ["text", "k", "k_2"]
    corpus = load_corpus(CASES / "pandas_meta.parquet", holdout=0)
    assert (list(corpus.fields.columns), corpus.texts) == (["a", "text"], ["one two", "three four"])


def test_a_named_index_is_a_column_and_a_nameless_one_is_not(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"text": ["a", "b"]})
    frame.set_index(pd.Index([7, 9], name="doc")).to_parquet(tmp_path / "named.parquet")
    frame.set_index(pd.Index([7, 9])).to_parquet(tmp_path / "nameless.parquet")
    assert load_corpus(tmp_path / "named.parquet", holdout=0).fields["doc"].tolist() == [7, 9]
    assert list(load_corpus(tmp_path / "nameless.parquet", holdout=0).fields.columns) == ["text"]


def test_bytes_that_are_text_become_text_and_others_stay_bytes():
    corpus = load_corpus(CASES / "text_as_binary.parquet", holdout=0)
    assert corpus.fields["text"].tolist() == corpus.texts
    assert corpus.texts[0] == "record number 0 of a petit café set about cats"
    table = read_parquet(data_of(pa.table({"picture": [b"\xff\xd8"], "text": pa.array(["a"]).dictionary_encode()})), "a.parquet")
    assert to_frame(table).to_dict("list") == {"picture": [b"\xff\xd8"], "text": ["a"]}


def test_whole_numbers_beside_missing_ones_stay_exact():
    assert load_corpus(CASES / "ids_int64_with_null.parquet", holdout=0).fields["id"].dropna().max() == 9007199254741005


@pytest.mark.parametrize("data", [b"PAR1nope", b"PAR1" + b"\0" * 64 + b"PAR1"])
def test_a_damaged_file_gets_one_sentence(data, tmp_path):
    (tmp_path / "d.parquet").write_bytes(data)
    with pytest.raises(CorpusError, match="is not a readable parquet file"):
        load_corpus(tmp_path / "d.parquet")


def test_too_many_columns_are_refused_by_their_number(tmp_path):
    (tmp_path / "w.parquet").write_bytes(data_of(pa.table({f"c{i}": [1] for i in range(2_001)})))
    with pytest.raises(CorpusError, match="2,001 columns"):
        load_corpus(tmp_path / "w.parquet")
