"""Subsets out: whole files, faithful values, and no running cells."""

import base64
import datetime as dt
import io
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fishersft import Pool, Store, TokenEmbeddings, load_corpus, load_selection, save_selection
from fishersft.corpus.tables import format_of, picks_table, rows, to_bytes, write_table
from fishersft.errors import StoreError, UserError
from fishersft.pipeline.selections import by_hand

HOSTILE = [
    "=1+1",
    "+cmd",
    "-2",
    "@SUM(A1)",
    "\t=1",
    " =1",
    'say "hi", ok',
    "plain",
    "emoji 😀\nnew line",
    "\uff1d1+1",
    "x; =1+1",
    "a\t@b",
    ";-1",
]


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
    assert [c.startswith("'") for c in cells] == [True] * 6 + [False] * 3 + [True] + [False] * 3
    assert cells[6:9] == HOSTILE[6:9]
    assert cells[10:] == ["x; '=1+1", "a\t'@b", ";'-1"]  # where semicolons or tabs separate cells


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


def columns_of_every_type():
    """(name, arrow array of three values, one of them null) for every type that parquet can hold."""
    for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()):
        yield str(kind), pa.array([1, None, 3], kind)
    yield "large integers", pa.array([2**53 + 5, None, -(2**63)], pa.int64())
    yield "largest integers", pa.array([2**64 - 1, None, 0], pa.uint64())
    for kind in (pa.float16(), pa.float32(), pa.float64()):
        yield str(kind), pa.array([np.float16(1.5), None, np.float16("inf")], kind)
    decimals = [Decimal("1.10"), None, Decimal("-3.00")]
    for kind in (pa.decimal32(5, 2), pa.decimal64(15, 2), pa.decimal128(30, 2), pa.decimal256(60, 2)):
        yield str(kind), pa.array(decimals, kind)
    dates = [dt.date(2020, 1, 2), None, dt.date(1, 1, 1)]
    yield from (("date32", pa.array(dates, pa.date32())), ("date64", pa.array(dates, pa.date64())))
    for unit in ("s", "ms", "us", "ns"):
        for kind in (pa.timestamp(unit), pa.timestamp(unit, "Europe/Paris"), pa.duration(unit)):
            yield str(kind), pa.array([1, None, 1_577_836_801], kind)
    yield "far dates", pa.array([253_402_300_799_000_000, None, -62_135_596_800_000_000], pa.timestamp("us"))
    yield from (
        (str(kind), pa.array([1_001, None, 3], kind))
        for kind in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"))
    )
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        yield str(kind), pa.array(["a", None, "é 😀"], kind)
    for kind in (pa.binary(), pa.large_binary(), pa.binary(2), pa.binary_view()):
        yield str(kind), pa.array([b"ab", None, b"\xff\x00"], kind)
    yield "bool", pa.array([True, None, False])
    yield "dictionary", pa.array(["x", None, "y"]).dictionary_encode()
    yield "dictionary of numbers", pa.array([2**53 + 5, None, 7]).dictionary_encode()
    yield "list", pa.array([[2**53 + 5, None], None, []], pa.list_(pa.int64()))
    yield "large list", pa.array([[1, None], None, []], pa.large_list(pa.int32()))
    yield "fixed list", pa.array([[1, 2], None, [3, None]], pa.list_(pa.float32(), 2))
    yield "struct", pa.array([{"a": 2**53 + 5, "b": None}, None, {"a": None, "b": "x"}])
    yield "list of structs", pa.array([[{"a": dt.date(2020, 1, 1), "b": decimals[0]}], None, [{"a": None, "b": None}]])
    yield "map", pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64()))
    yield "null", pa.nulls(3)
    yield "uuid", pa.array([b"0" * 16, None, b"1" * 16], pa.uuid())


@pytest.fixture
def typed(tmp_path):
    path = tmp_path / "typed.parquet"
    pq.write_table(pa.table({"text": ["one", "two", "three"], **dict(columns_of_every_type())}), path)
    return path


def test_every_type_that_parquet_can_hold_leaves_with_its_type_and_its_values(typed):
    picks = picks_table(load_corpus(typed, holdout=0), [2, 0, 1], None, np.ones(3, int))
    back, came = pq.read_table(pa.BufferReader(to_bytes(picks, "parquet"))), pq.read_table(typed)
    for name, _ in columns_of_every_type():
        kind = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}.get(came[name].type, came[name].type)
        assert back[name].type == kind, name
        assert back[name].equals(came[name].cast(kind).take([2, 0, 1])), name


def test_the_same_values_leave_in_json_and_csv(typed):
    picks = picks_table(load_corpus(typed, holdout=0), [2, 0, 1], None, np.ones(3, int))
    first, second, third = (json.loads(line) for line in to_bytes(picks, "jsonl").decode().splitlines())
    assert all(third[name] is None for name, _ in columns_of_every_type())
    assert second["large integers"] == second["struct"]["a"] == second["list"][0] == 9007199254740997
    assert first["largest integers"] == 0 and second["largest integers"] == 18446744073709551615
    assert second["decimal128(30, 2)"] == "1.10" and second["date32"] == "2020-01-02"
    assert second["time64[ns]"] == "00:00:00.000001001" and first["timestamp[s, tz=Europe/Paris]"] == "2020-01-01 01:00:01+01:00"
    assert first["binary"] == base64.b64encode(b"\xff\x00").decode() and second["map"] == [["k", 1]]
    cells = pd.read_csv(io.BytesIO(to_bytes(picks, "csv")), dtype=str)
    assert cells["large integers"].tolist()[:2] == ["-9223372036854775808", "9007199254740997"]
    assert json.loads(cells["struct"][1]) == {"a": 9007199254740997, "b": None}
    assert not cells.map(lambda cell: str(cell).startswith("b'")).any(axis=None)


def test_a_kept_selection_has_the_types_of_its_file(typed, tmp_path):
    store = Store(tmp_path / "store")
    corpus = load_corpus(typed, holdout=0)
    embeddings = TokenEmbeddings(np.eye(3, dtype=np.float32), np.arange(4))
    id = save_selection(corpus, embeddings, by_hand(Pool(embeddings, corpus), np.array([2, 0])), store)
    _, picks = load_selection(id, store)
    back, came = pq.read_table(pa.BufferReader(to_bytes(picks, "parquet"))), pq.read_table(typed)
    for name in ("large integers", "decimal32(5, 2)", "date32", "map", "timestamp[ns, tz=Europe/Paris]", "dictionary"):
        assert back[name].equals(came[name].take(picks["index"].to_numpy())), name


def test_text_stored_as_bytes_leaves_as_text(tmp_path):
    path = tmp_path / "bytes.parquet"
    pq.write_table(pa.table({"text": [b"one", "zw\u00f6lf".encode()], "raw": [b"\xff", b"\x00"]}), path)
    picks = picks_table(load_corpus(path, holdout=0), [1], None, np.ones(1, int))
    assert json.loads(to_bytes(picks, "jsonl"))["text"] == "zw\u00f6lf" and "zw\u00f6lf" in to_bytes(picks, "csv").decode()
    back = pq.read_table(pa.BufferReader(to_bytes(picks, "parquet")))
    assert back["text"].to_pylist() == ["zw\u00f6lf"] and back["raw"].to_pylist() == [b"\x00"]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.fixed_dictionaries({"text": st.text(min_size=1), "a": VALUES, "b": VALUES}), min_size=1, max_size=6), st.data()
)
def test_generated_records_leave_as_they_came(tmp_path, records, data):
    path = tmp_path / "generated.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    corpus = load_corpus(path, holdout=0, text_column="text")
    order = data.draw(st.permutations(range(len(records))))
    picks = picks_table(corpus, order, None, np.ones(len(order), int))
    back = [json.loads(line) for line in to_bytes(picks, "jsonl").decode().split("\n") if line]
    assert [{k: row[k] for k in ("text", "a", "b")} for row in back] == [records[i] for i in order]
    parquet = pq.read_table(pa.BufferReader(to_bytes(picks, "parquet")))
    for name in "ab":
        values = [records[i][name] for i in order]
        if len({type(v) for v in values} - {type(None)}) == 1 and not any(isinstance(v, dict | list) for v in values):
            small = all(not isinstance(v, int) or -(2**63) <= v < 2**63 for v in values)
            assert not small or parquet[name].to_pylist() == values
    assert pd.read_csv(io.BytesIO(to_bytes(picks, "csv")), keep_default_na=False).shape == (len(order), picks.shape[1])


def test_whole_numbers_beside_missing_ones_stay_whole(tmp_path):
    csv, jsonl = tmp_path / "c.csv", tmp_path / "c.jsonl"
    csv.write_text("text,id\none,9007199254740997\ntwo,\n")
    jsonl.write_text('{"text": "one", "id": 9007199254740997}\n{"text": "two"}\n')
    for path in (csv, jsonl):
        picks = picks_table(load_corpus(path, holdout=0), [0, 1], None, np.ones(2, int))
        assert [json.loads(line)["id"] for line in to_bytes(picks, "jsonl").decode().splitlines()] == [9007199254740997, None]
        back = pq.read_table(pa.BufferReader(to_bytes(picks, "parquet")))["id"]
        assert back.type == pa.int64() and back.to_pylist() == [9007199254740997, None]


def test_a_column_of_several_kinds_does_not_change_the_others():
    table = pd.DataFrame(
        {"odd": pd.Series([1, "two"], dtype=object), "when": pd.Series([dt.date(2020, 1, 1), None], dtype=object)}
    )
    back = pq.read_table(pa.BufferReader(to_bytes(table, "parquet")))
    assert back["odd"].to_pylist() == ["1", "two"] and back["when"].type == pa.date32()
