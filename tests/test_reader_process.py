"""A file read in a process of its own: the same corpus, the same refusals, and limits that harm nobody else."""

import gzip
import json
import subprocess
import sys
import threading
import time

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fishersft import load_corpus
from fishersft.corpus import reader_process
from fishersft.corpus.reader_process import load_apart, watched
from fishersft.corpus.unpack import LONGEST_LINE
from fishersft.errors import ColumnError, CorpusError

from .conftest import ROOT

CASES = ROOT / "tests" / "data" / "cases"
SHAPES = ROOT / "tests" / "data" / "shapes"


def many(path, records):
    path.write_text("".join(json.dumps({"text": f"the heron {n} stands", "n": n}) + "\n" for n in range(records)))
    return str(path)


@pytest.mark.parametrize(
    "file",
    [
        SHAPES / "sharegpt.json",
        SHAPES / "school_math.jsonl",
        CASES / "chat_tool_calls.jsonl",
        CASES / "ids_int64_with_null.parquet",
        CASES / "semicolon.csv",
    ],
    ids=lambda p: p.name,
)
def test_what_comes_back_is_what_would_be_read_here(file):
    here, there = load_corpus(file, holdout=0.3), load_apart(str(file), holdout=0.3)
    assert there.examples == here.examples
    assert (there.fingerprint, there.categories, there.understood) == (here.fingerprint, here.categories, here.understood)
    assert (there.held_out == here.held_out).all()
    pd.testing.assert_frame_equal(there.fields, here.fields)
    assert there.typed == here.typed


def test_a_corpus_of_several_pieces_is_whole(tmp_path, monkeypatch):
    file = many(tmp_path / "many.jsonl", 2 * reader_process.PIECE + 1)
    here, there = load_corpus(file), load_apart(file)
    assert there.examples == here.examples
    pd.testing.assert_frame_equal(there.fields, here.fields)


def test_refusals_are_those_of_load_corpus_and_name_the_columns():
    with pytest.raises(ColumnError) as refused:
        load_apart(str(CASES / "no_header.csv"), name="mine.csv")
    assert str(refused.value).startswith("mine.csv: the first line")
    assert len(refused.value.columns) == 1
    assert len(load_apart("demo")) == 1389  # no file: read here


def test_one_that_takes_too_long_or_too_much_is_refused_and_the_next_is_read(tmp_path):
    file = many(tmp_path / "many.jsonl", 60_000)
    with pytest.raises(CorpusError, match=r"many.jsonl takes more than 0 s to be read"):
        load_apart(file, seconds=0.3)
    with pytest.raises(CorpusError, match=r"many.jsonl takes more than 0.0 GB of memory"):
        load_apart(file, memory=20_000_000)
    assert len(load_apart(str(CASES / "semicolon.csv"))) == 8


def test_a_process_that_loops_over_its_memory_is_ended():
    """As Python itself does where it may allocate nothing more."""
    loop = [sys.executable, "-c", "held = bytearray(50_000_000)\nwhile True: pass"]
    with subprocess.Popen(loop) as process, watched(process, 40_000_000):
        assert process.wait(timeout=60) < 0  # a signal


def test_others_go_on_while_a_large_file_is_read(tmp_path):
    """Of the work of reading, less than half is done in the process that draws the pages."""
    file = many(tmp_path / "many.jsonl", 40_000)
    load_apart(file)  # the reader has started, and both processes have done once what is done once

    reading = threading.Thread(target=load_apart, args=(file,))
    reading.start()
    waited = time.process_time()
    reading.join()
    here = time.process_time() - waited  # what this process spent, of which the other threads had nothing
    started = time.process_time()
    load_corpus(file)
    assert here < 0.5 * (time.process_time() - started)


BOMBS = {
    "same_header.csv": (lambda: (CASES / "same_header.csv").read_bytes(), "has 4,000 columns"),
    "keys.jsonl": (lambda: b"".join(b'{"text": "a", "k%d": 1}\n' % n for n in range(30_000)), "columns; at most 2,000"),
    "list.json": (lambda: json.dumps([{"text": "a", f"k{n}": 1} for n in range(30_000)]).encode(), "columns; at most 2,000"),
    "sparse.jsonl": (
        lambda: b"".join(b'{"text": "a", "k%d": 1}\n' % (n % 1_900) for n in range(30_000)),
        "hardly any has many of them",
    ),
    "wide.csv": (lambda: ",".join(f"c{n}" for n in range(60_000)).encode() + b"\n", "has 60,000 columns"),
    "dict_bomb.parquet": (lambda: (CASES / "dict_bomb.parquet").read_bytes(), "has 987 bytes but unpacks to more than 64 MB"),
    "inside.parquet": (lambda: parquet({"s": pa.array([{f"k{n}": 1 for n in range(3_000)}])}), "has 3,000 columns"),
    "repeated.parquet": (
        lambda: parquet({"text": pa.DictionaryArray.from_arrays(pa.array([0] * 20_000), pa.array(["x" * 100_000]))}),
        "bytes but unpacks to more than 64 MB",
    ),
    "deep.jsonl": (lambda: b'{"text": "a", "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}\n", "too deeply nested"),
    "deep.json": (lambda: b"[" * 200_000, "too deeply nested"),
    "line.txt": (lambda: b"a" * (LONGEST_LINE + 1), "has a line of more than 10 MB"),
    "zeros.txt.gz": (lambda: gzip.compress(b"a\n" * 100_000_000, 9, mtime=0), "unpacks to more than 64 MB"),
}


def parquet(columns):
    out = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), out)
    return out.getvalue().to_pybytes()


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_a_sentence_before_it_goes_off(name, tmp_path):
    make, said = BOMBS[name]
    (tmp_path / name).write_bytes(make())
    started = time.process_time()
    with pytest.raises(CorpusError, match=said) as refused:
        load_corpus(tmp_path / name)
    assert time.process_time() - started < 2
    assert "\n" not in str(refused.value)
    with pytest.raises(CorpusError, match=said):  # 500 MB are enough to say so
        load_apart(str(tmp_path / name), memory=500_000_000)
