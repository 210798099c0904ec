"""Every format and shape, found by itself; and one sentence for everything that is not one."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from fishersft import Chat, PromptCompletion, Text, load_corpus
from fishersft.corpus.examples import instruction_prompt
from fishersft.errors import ColumnError, CorpusError, MissingExtra

TEXTS = ["first line", "second, with a comma", 'third "quoted"']


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("format", ["txt", "csv", "tsv", "jsonl", "json", "parquet"])
def test_every_format_gives_the_same_texts(tmp_path, format):
    table = pd.DataFrame({"text": TEXTS, "topic": ["a", "b", "a"], "year": [1, 2, 3]})
    path = tmp_path / f"corpus.{format}"
    match format:
        case "txt":
            path.write_text("\n".join(TEXTS) + "\n\n")
        case "csv" | "tsv":
            table.to_csv(path, index=False, sep="," if format == "csv" else "\t")
        case "jsonl":
            table.to_json(path, orient="records", lines=True)
        case "json":
            table.to_json(path, orient="records")
        case "parquet":
            table.to_parquet(path)
    corpus = load_corpus(path, holdout=0)
    assert [e.text for e in corpus.examples] == TEXTS
    assert corpus.fingerprint == load_corpus(written(tmp_path, "again.txt", "\n".join(TEXTS)), holdout=0).fingerprint
    if format != "txt":
        assert corpus.fields["topic"].tolist() == ["a", "b", "a"]
        assert corpus.fields["year"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_utf8_and_utf16_by_their_marks(tmp_path, encoding):
    data = "naïve\ncafé\n".encode(encoding)
    data = b"\xfe\xff" + data if encoding == "utf-16-be" else data
    assert [e.text for e in load_corpus(written(tmp_path, "a.txt", data), holdout=0).examples] == ["naïve", "café"]


def test_paragraphs_end_at_blank_lines(tmp_path):
    path = written(tmp_path, "p.txt", "one\r\ntwo  \r\n\r\n \n\nthree\n")
    assert [e.text for e in load_corpus(path, split_on="blank-line", holdout=0).examples] == ["one\ntwo", "three"]


def test_shapes_are_found_by_their_columns(tmp_path):
    def shape(row, **options):
        return load_corpus(written(tmp_path, "s.json", json.dumps([row])), holdout=0, **options).examples[0]

    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    assert shape({"text": "a", "n": 1}) == Text("a")
    assert shape({"prompt": "p", "completion": "c", "text": "t"}) == PromptCompletion("p", "c")
    assert shape({"instruction": "i", "input": "", "output": "o"}) == PromptCompletion(instruction_prompt("i"), "o", "i")
    asked = PromptCompletion(instruction_prompt("i", "x"), "o", "i\n\nx")
    assert shape({"instruction": "i", "input": "x", "output": "o"}) == asked
    assert isinstance(shape({"messages": turns}), Chat)
    assert isinstance(shape({"messages": json.dumps(turns)}), Chat)
    assert isinstance(shape({"prompt": turns[:1], "completion": turns[1:]}), Chat)
    assert shape({"a": "x", "b": "y"}, text_column="b") == Text("y")
    assert shape({"q": "x", "r": "y"}, prompt_column="q", completion_column="r") == PromptCompletion("x", "y")


def test_the_instruction_corpus_at_hand_is_read(shared):
    corpus = load_corpus(shared / "data/instruction/instruction-data.json")
    assert (len(corpus), corpus.shape, int(corpus.held_out.sum())) == (1100, "prompt", 110)


def test_duplicates_are_counted_and_metadata_kept(jsonl):
    corpus = load_corpus(jsonl, holdout=0)
    assert corpus.duplicates == 1
    assert corpus.categories == ["topic"]
    assert corpus.colourable == ["topic"]
    assert corpus.text(7) == "Rain."


@pytest.mark.parametrize(
    ("n", "holdout", "held"), [(1000, 0.1, 100), (200, 0.1, 50), (60, 0.1, 30), (8, 0.1, 4), (1, 0.1, 0), (500, 0, 0)]
)
def test_the_held_out_share(tmp_path, n, holdout, held):
    path = written(tmp_path, "n.txt", "\n".join(f"line {i}" for i in range(n)))
    corpus = load_corpus(path, holdout=holdout)
    assert int(corpus.held_out.sum()) == held
    assert np.array_equal(corpus.held_out, load_corpus(path, holdout=holdout).held_out)


def test_a_split_column_of_the_corpus_wins(tmp_path):
    rows = [{"text": f"t{i}", "split": "validation" if i % 3 == 0 else "train"} for i in range(9)]
    corpus = load_corpus(written(tmp_path, "s.json", json.dumps(rows)))
    assert np.flatnonzero(corpus.held_out).tolist() == [0, 3, 6]
    rows = [{"text": f"t{i}", "split": "infinitive"} for i in range(9)]
    assert int(load_corpus(written(tmp_path, "s.json", json.dumps(rows))).held_out.sum()) == 4


def test_broken_lines_are_named_or_counted(tmp_path):
    path = written(tmp_path, "b.jsonl", '{"text": "a"}\n{"text": \n[1]\n{"text": "b"}\n')
    with pytest.raises(CorpusError, match=r"b\.jsonl, line 2 is broken"):
        load_corpus(path)
    corpus = load_corpus(path, skip_bad=True, holdout=0)
    assert (len(corpus), corpus.bad_lines) == (2, 2)
    ragged = written(tmp_path, "r.csv", "text,n\na,1\nb,2,3\nc,3\n")
    with pytest.raises(CorpusError, match=r"r\.csv, line 3 has 3 fields"):
        load_corpus(ragged)
    assert load_corpus(ragged, skip_bad=True).bad_lines == 1


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("empty.txt", b"", "is empty"),
        ("blank.txt", b"\n  \n\t\n", "only blank lines"),
        ("binary.txt", b"PK\x03\x04\x00\x00", "binary file"),
        ("latin.txt", "good\nna\xefve".encode("latin-1"), r"byte 7 \(0xef\)"),
        ("marked.txt", b"\xef\xbb\xbfgood \xff", r"byte 8 \(0xff\)"),
        ("picture.png", b"x", "files that end in '.png'"),
        ("broken.json", b'[{"text": 1},\n}', "line 2, column 1"),
        ("number.json", b"3", "list of objects"),
        ("none.json", b"[]", "empty list"),
        ("bad.parquet", b"PAR1nope", "not a readable parquet"),
        ("chat.json", b'[{"messages": [{"content": "no role"}]}]', "record 0: messages must be"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path, name, content, sentence):
    with pytest.raises(CorpusError, match=sentence) as error:
        load_corpus(written(tmp_path, name, content))
    assert "\n" not in str(error.value)


def test_missing_files_folders_and_columns(tmp_path):
    with pytest.raises(CorpusError, match="There is no file"):
        load_corpus(tmp_path / "no.txt")
    with pytest.raises(CorpusError, match="is a folder"):
        load_corpus(tmp_path)
    path = written(tmp_path, "c.csv", "title,abstract\nx,y\n")
    with pytest.raises(ColumnError, match="title, abstract") as error:
        load_corpus(path)
    assert error.value.columns == ["title", "abstract"]
    with pytest.raises(ColumnError, match="has no column 'body'"):
        load_corpus(path, text_column="body")


def test_a_hub_data_set_without_a_network_says_so():
    with pytest.raises(CorpusError, match="could not be loaded from the hub"):
        load_corpus("hf:nobody/nothing")
    with pytest.raises(CorpusError, match="not a dataset's id"):
        load_corpus("hf:../etc/passwd")


def test_the_splits_of_a_hub_data_set_become_pool_and_held_out(monkeypatch):
    import datasets

    both = datasets.DatasetDict(
        train=datasets.Dataset.from_dict({"text": ["a", "b", "c"], "year": [1, 2, 3]}),
        test=datasets.Dataset.from_dict({"text": ["d"], "year": [4]}),
    )
    monkeypatch.setattr(datasets, "load_dataset", lambda name: both)
    corpus = load_corpus("hf:owner/name")
    assert [e.text for e in corpus.examples] == ["a", "b", "c", "d"]
    assert corpus.held_out.tolist() == [False, False, False, True]


def test_the_hub_without_its_extra_names_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"pip install 'fishersft\[hub\]'"):
        load_corpus("hf:owner/name")
