"""Hostile corpora and files of word vectors."""

from __future__ import annotations

import gzip
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.damage import WRONG, changed

COLUMNS = (
    *("text", "prompt", "completion", "messages", "conversations", "instruction", "input", "output", "question", "answer"),
    *("chosen", "rejected", "system", "tools", "split", "label", "id", "parent_id", "message_id", "role", "instances", "history"),
    *("__index_level_0__", "topic", "", " ", "a.b", "\u202etxet", "TEXT", "text ", "0"),
)
WORDS = [
    "a",
    "storm",
    "is",
    "coming",
    "from",
    "the",
    "west",
    "and",
    "the",
    "farmers",
    "bring",
    "in",
    "the",
    "hay",
    "before",
    "the",
    "rain",
    "begins",
]
ODD = [
    "",
    " ",
    "\x00",
    "\ufeff",
    "\u202e",
    "<script>alert(1)</script>",
    "$x$",
    "=1+1",
    "NaN",
    "null",
    "\ud800",
    "[" * 200,
    "é" * 50,
]
ODD += ['[{"role": "user"}]', "[{'role': 'user', 'content': 'x'}]", "{" * 90 + "}" * 90, "Human: a\n\nAssistant: b", "(" * 3_000]
ENDINGS = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".jsonl.gz", ".csv.gz", ".txt.zst", ".json.zst")


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randrange(1, 12)))


def value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.random()
    if kind < 0.5:
        return sentence(rng)
    if kind < 0.65:
        return rng.choice(ODD)
    if kind < 0.75:
        return rng.choice(WRONG)
    if kind < 0.85 and depth < 4:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind < 0.93 and depth < 4:
        keys = rng.sample(["role", "content", "from", "value", "text", "type", "parts", "weight", "a"], rng.randrange(4))
        return {key: value(rng, depth + 1) for key in keys}
    return rng.choice([0, -1, 10**18, 2**70, 1e308, True, False])


def turns(rng: random.Random) -> Any:
    names = rng.choice([("role", "content"), ("from", "value")])
    roles = ["user", "assistant", "system", "human", "gpt", "tool", "bing", None, 3]
    out: list[Any] = [{names[0]: rng.choice(roles), names[1]: value(rng, 3)} for _ in range(rng.randrange(5))]
    if out and rng.random() < 0.3:
        out[rng.randrange(len(out))] = value(rng)
    return out


def rows(rng: random.Random) -> list[dict[str, Any]]:
    columns = rng.sample(COLUMNS, rng.randrange(1, 6))
    if rng.random() < 0.8:
        columns[0] = rng.choice(["text", "messages", "conversations"])
    chats = {"messages", "conversations", "history", "chosen", "instances"}
    odd = rng.random() < 0.5

    def cell(column: str) -> Any:
        if column in chats and rng.random() < 0.8:
            return turns(rng)
        return value(rng) if odd else sentence(rng)

    return [{c: cell(c) for c in columns if rng.random() < 0.95} for _ in range(rng.randrange(1, 40))]


def _json(rng: random.Random, found: list[dict[str, Any]]) -> bytes:
    shapes: list[Callable[[], Any]] = [
        lambda: found,
        lambda: {"data": found},
        lambda: {"train": found, "test": found[:2]},
        lambda: {"columns": list(found[0]), "data": [list(row.values()) for row in found]},
        lambda: {column: [row.get(column) for row in found] for column in found[0]},
        lambda: {str(k): row for k, row in enumerate(found)},
        lambda: {column: {str(k): row.get(column) for k, row in enumerate(found)} for column in found[0]},
        lambda: [value(rng) for _ in range(5)],
        lambda: found[0] if found else {},
        lambda: value(rng),
    ]
    return json.dumps(rng.choice(shapes)()).encode()


def _table(rng: random.Random, found: list[dict[str, Any]], between: str) -> bytes:
    columns = list(found[0]) if found and found[0] else ["text"]
    quoted = [columns, *([row.get(c, "") for c in columns] for row in found)]
    cells = [between.join('"' + str(cell).replace('"', '""') + '"' for cell in row) for row in quoted]
    return rng.choice(["\n", "\r\n", "\n\n"]).join(cells).encode("utf-8", "replace")


def _parquet(rng: random.Random, found: list[dict[str, Any]]) -> bytes:
    n = rng.randrange(0, 30)
    arrays: list[Callable[[], Any]] = [
        lambda: pa.array([sentence(rng) for _ in range(n)]),
        lambda: pa.array([sentence(rng) for _ in range(n)], pa.large_string()),
        lambda: pa.array([sentence(rng) for _ in range(n)]).dictionary_encode(),
        lambda: pa.array([sentence(rng).encode() for _ in range(n)]),
        lambda: pa.array([rng.randbytes(5) for _ in range(n)]),
        lambda: pa.array([rng.choice([None, 2**53 + 1, -1]) for _ in range(n)], pa.int64()),
        lambda: pa.array([rng.choice([None, float("nan"), 1e308]) for _ in range(n)], pa.float64()),
        lambda: pa.array([None] * n, pa.null()),
        lambda: pa.array([rng.randrange(2**40) for _ in range(n)], pa.timestamp("ns")),
        lambda: pa.array([rng.randrange(2**43) for _ in range(n)], pa.timestamp("ms")),
        lambda: pa.array([rng.randrange(2**31) for _ in range(n)], pa.date32()),
        lambda: pa.array([rng.randrange(86_399) for _ in range(n)], pa.time64("ns")),
        lambda: pa.array([rng.randrange(-(2**40), 2**40) for _ in range(n)], pa.duration("s")),
        lambda: pa.array([None] * n, pa.decimal128(38, 10)),
        lambda: pa.array([[sentence(rng)] * rng.randrange(3) for _ in range(n)], pa.list_(pa.string())),
        lambda: pa.array([[("a", sentence(rng))] for _ in range(n)], pa.map_(pa.string(), pa.string())),
        lambda: pa.array([[{"role": "user", "content": sentence(rng)}] for _ in range(n)]),
        lambda: pa.array([{"role": "user", "x": {"y": [1]}} for _ in range(n)]),
    ]
    names = rng.sample(COLUMNS, rng.randrange(1, 5))
    if rng.random() < 0.7:
        names[0] = "text"
    table = pa.table([rng.choice(arrays)() for _ in names], names=names)
    if rng.random() < 0.4:  # pandas' own notes, true or not: the text as the index, a range that lies, no JSON
        index = rng.choice(
            [names[:1], ["gone"], [{"kind": "range", "name": "k", "start": 0, "stop": n, "step": 1}], [{"kind": "range"}]]
        )
        index = rng.choice([index, [{"kind": "range", "name": "k", "start": "x", "stop": 10**18, "step": 0}], None, 3])
        notes: Any = {"index_columns": index, "columns": value(rng), "column_indexes": []}
        table = table.replace_schema_metadata({"pandas": rng.choice([json.dumps(notes), "{", "[]", "3"])})
    out = pa.BufferOutputStream()
    pq.write_table(table, out, compression=rng.choice(["snappy", "zstd", "none"]), row_group_size=rng.choice([1, 1_000]))
    return bytes(out.getvalue().to_pybytes())


BOMBS: list[tuple[str, Callable[[], bytes]]] = [
    (".csv", lambda: ("k," * 3_999 + "k\n" + "a," * 3_999 + "a\n").encode()),
    (".csv", lambda: ",".join(f"c{k}" for k in range(60_000)).encode() + b"\n"),
    (".jsonl", lambda: b"".join(b'{"text": "a", "k%d": 1}\n' % k for k in range(30_000))),
    (".jsonl", lambda: b"".join(b'{"text": "a", "k%d": 1}\n' % (k % 1_999) for k in range(30_000))),
    (".json", lambda: json.dumps([{f"k{k}": 1} for k in range(30_000)]).encode()),
    (".json", lambda: json.dumps({f"k{k}": ["a"] for k in range(60_000)}).encode()),
    (".json", lambda: b"[" * 100_000 + b"]" * 100_000),
    (".jsonl", lambda: b'{"text": ' + b'{"a": ' * 50_000 + b"1" + b"}" * 50_000 + b"}\n"),
    (".jsonl", lambda: b'{"text": "a", "n": ' + b"9" * 100_000 + b"}\n"),
    (".txt", lambda: b"a" * 20_000_000),
    (".txt.gz", lambda: gzip.compress(b"a\n" * 100_000_000, 1)),
    (".jsonl.zst", lambda: bytes(pa.compress(b"\n" * 300_000_000, "zstd", asbytes=True))),
    (
        ".parquet",
        lambda: _written(pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * 20_000), pa.array(["x" * 100_000]))})),
    ),
    (".parquet", lambda: _written(pa.table({"n": pa.array([None] * 30_000_000, pa.int64())}))),
    (".parquet", lambda: _written(pa.table({"s": pa.array([{f"k{k}": 1 for k in range(5_000)}])}))),
    (".csv", lambda: b'text\n"' + b'""' * 2_000_000),
    (".tsv", lambda: b"\t" * 1_000_000),
    (".csv", lambda: b"text\n" + b"\n".join(b"9" * 4_000 for _ in range(500))),
]


def _written(table: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    pq.write_table(table, out)
    return bytes(out.getvalue().to_pybytes())


def deep_parquet(depth: int) -> bytes:
    array = pa.array([1])
    for _ in range(depth):
        array = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), array)
    return _written(pa.table({"text": array}))


def spoiled(data: bytes, rng: random.Random) -> bytes:
    """The bytes with a few of them cut, changed, doubled or added."""
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0:
            data = data[:at]
        elif kind == 1:
            data = data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at + 1 :]
        elif kind == 2:
            data = data[:at] + data[at // 2 :]
        elif kind == 3:
            data = rng.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\n\n", b"PAR1", b"\x1f\x8b"]) + data
        elif kind == 4:
            data = data + rng.choice([b"\x00", b"}", b'"', b"\n", b"PAR1", b"\xff"])
        else:
            data = data[:at] + bytes([data[at - 1] ^ (1 << rng.randrange(8))] if data else b"") + data[at + 1 :]
    return data


def corpus_file(rng: random.Random) -> tuple[str, bytes]:
    """An ending and what the file holds."""
    if rng.random() < 0.08:
        suffix, make = rng.choice([*BOMBS, (".parquet", lambda: deep_parquet(rng.choice([5, 90, 150])))])
        return suffix, make()
    suffix, found = rng.choice(ENDINGS), rows(rng)
    if rng.random() < 0.1:
        found = [row for row in (changed(row, rng) for row in found) if isinstance(row, dict)] or [{}]
    match suffix.split(".")[1]:
        case "txt":
            data = "\n".join(str(value(rng)) for _ in range(20)).encode("utf-8", "replace")
        case "csv" | "tsv":
            data = _table(rng, found, rng.choice([",", "\t", ";", "|"]))
        case "json":
            data = _json(rng, found)
        case "parquet":
            data = _parquet(rng, found)
        case _:
            data = "\n".join(json.dumps(row) for row in found).encode()
    if suffix.endswith(".gz"):
        data = gzip.compress(data)
    elif suffix.endswith(".zst"):
        data = bytes(pa.compress(data, "zstd", asbytes=True))
    return suffix, spoiled(data, rng) if rng.random() < 0.35 else data


def corpus(rng: random.Random, folder: Path) -> None:
    """Load a hostile file, and do with it what every page and command does first."""
    from fishersft import load_corpus
    from fishersft.corpus.tables import plain
    from fishersft.lm.embed import plan
    from fishersft.lm.folder import find_model
    from fishersft.lm.model import load_tokenizer

    suffix, data = corpus_file(rng)
    path = folder / f"c{suffix}"
    path.write_bytes(data)
    options: dict[str, Any] = {}
    if rng.random() < 0.3:
        options["skip_bad"] = True
    if rng.random() < 0.2:
        options["holdout"] = rng.choice([0, 0.5, 0.99])
    if rng.random() < 0.15:
        options[rng.choice(["text_column", "messages_column"])] = rng.choice(COLUMNS)
    if rng.random() < 0.2:
        options |= {"header": "none", "split_on": "blank-line", "drop_near_duplicates": True}
    found = load_corpus(path, **options)
    _ = found.fingerprint, found.duplicates, found.categories, found.colourable, found.texts, found.repeats
    json.dumps(found.understood.as_json())
    json.dumps([plain(v) for row in found.fields.to_dict("records") for v in row.values()], default=str)
    plan(found, load_tokenizer(find_model("mini")), 256)


def vectors_file(rng: random.Random) -> bytes:
    """Word vectors, text or binary, whose header tells the truth or does not."""
    count, d = rng.randrange(0, 30), rng.randrange(0, 12)
    header = (count, d)
    if rng.random() < 0.5:
        header = (rng.choice([count, 0, 10**9, 10**20, 2**63]), rng.choice([d, 0, 10**9, d + 1, 2**31]))
    names = [rng.choice(["word", "", "a b", "1", "é", "x" * 11_000, "\t"]).encode() for _ in range(count)]
    first = b"%d %d\n" % header if rng.random() < 0.7 else b""
    bad = rng.random() < 0.3
    number = lambda: rng.choice([1.0, -0.5, float("nan"), float("inf"), 1e39]) if bad else rng.uniform(-1, 1)  # noqa: E731
    if rng.random() < 0.5:
        lines = [name + b" " + b" ".join(b"%g" % number() for _ in range(d)) for name in names]
        if lines and rng.random() < 0.3:
            lines[rng.randrange(len(lines))] += rng.choice([b" 1", b" x", b"  ", b"\r", b" 0x10", b" 1_0"])
        data = first + b"\n".join(lines)
    else:
        with np.errstate(over="ignore"):
            body = [name + b" " + np.array([number() for _ in range(d)], "<f4").tobytes() for name in names]
        data = first + rng.choice([b"", b"\n"]).join(body)
    if rng.random() < 0.05:
        data = struct.pack("<q", 2**40) + data
    if rng.random() < 0.04:
        data = rng.choice(
            [b"1" * 30_000_000, b"word " + b"1 " * 2_000_000, b"9" * 5_000 + b" 3\n" + data, b"3 2\n" + b"a" * 20_000_000]
        )
    return spoiled(data, rng) if rng.random() < 0.3 else data


def vectors(rng: random.Random, folder: Path) -> None:
    from fishersft.experiments.word_vectors import fingerprint, read_vectors

    path = folder / rng.choice(["v.txt", "v.bin", "v.vec"])
    path.write_bytes(vectors_file(rng))
    rows = read_vectors(path)
    assert rows.ndim == 2
    assert np.isfinite(rows).all()
    fingerprint(rows)
