"""Kept answers: a mapping that outlives processes, and files that are no databases."""

import copy
import logging
import multiprocessing
import os
import sqlite3
import threading

import pytest

from fishersft import TokenEmbeddings, load_corpus
from fishersft.errors import StoreError
from fishersft.lm.folder import find_model
from fishersft.pipeline import embed_and_select
from fishersft.pipeline.stored_answers import KeptAnswers


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "answers.sqlite"


def test_it_is_a_mapping_that_another_reader_sees(path):
    kept = KeptAnswers(path)
    kept["a"] = {"yes": 0.1 + 0.2, "words": ["ÿ", None, True]}
    kept["b"] = 2
    kept["b"] = 3
    other = KeptAnswers(path)
    assert dict(other) == {"a": {"yes": 0.1 + 0.2, "words": ["ÿ", None, True]}, "b": 3}
    assert len(other) == 2 and "a" in other and "c" not in other and other.get("c", 5) == 5
    del other["a"]
    assert list(kept) == ["b"]
    for missing in ("a", "never"):
        with pytest.raises(KeyError):
            kept[missing]
        with pytest.raises(KeyError):
            del kept[missing]


def test_nothing_is_created_before_something_is_written(path):
    kept = KeptAnswers(path)
    assert len(kept) == 0 and "a" not in kept and list(kept) == [] and kept.get("a") is None
    with pytest.raises(KeyError):
        del kept["a"]
    assert not path.parent.exists()
    kept["a"] = 1
    assert path.exists()


def test_what_json_cannot_hold_is_refused_and_nothing_is_kept(path):
    kept = KeptAnswers(path)
    for value in (float("nan"), object()):
        with pytest.raises((ValueError, TypeError)):
            kept["a"] = value
    assert "a" not in kept


def write_many(path, name, n):
    kept = KeptAnswers(path)
    for k in range(n):
        kept[f"{name}{k}"] = k
    os._exit(0)  # as if killed: no clean-up


def test_two_processes_write_at_once_and_a_killed_one_loses_nothing(path):
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write_many, args=(path, name, 150)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert dict(KeptAnswers(path)) == {f"{name}{k}": k for name in "ab" for k in range(150)}


def test_threads_share_one(path):
    kept = KeptAnswers(path)
    threads = [threading.Thread(target=lambda t=t: [kept.update({f"{t}.{k}": k}) for k in range(40)]) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 160 and kept["3.39"] == 39


@pytest.mark.parametrize("damage", ["not a database", "truncated", "a page within", "another table"])
def test_a_file_that_is_no_database_is_set_aside_and_logged(path, caplog, damage):
    kept = KeptAnswers(path)
    for k in range(500):
        kept[f"{k:05d}" * 20] = "x" * 200
    if damage == "not a database":
        path.write_bytes(b"to be or not to be " * 400)
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "a page within":  # opening does not notice
        data = bytearray(path.read_bytes())
        data[2 * 4096 :] = b"\xa7" * (len(data) - 2 * 4096)
        path.write_bytes(data)
    else:
        path.unlink()
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE answers (name TEXT)")
        db.close()
    spoilt = path.stat().st_size
    with caplog.at_level(logging.WARNING):
        again = KeptAnswers(path)
        assert list(again) == []
        again["new"] = 1
    assert again["new"] == 1 and len(KeptAnswers(path)) == 1
    assert [f.stat().st_size for f in path.parent.glob("answers.sqlite.damaged-1")] == [spoilt]
    assert "set aside as answers.sqlite.damaged-1" in caplog.text


def test_pages_damaged_while_it_is_open_do_not_stop_a_writer(path):
    kept, other = KeptAnswers(path), KeptAnswers(path)
    kept["a"] = 1
    other["b"] = 2
    path.write_bytes(b"\0" * 8192)
    kept["c"] = 3
    other["d"] = 4  # sees the sound file in place of the damaged one, and keeps it
    assert dict(kept) == dict(other) == {"c": 3, "d": 4}
    assert len(list(path.parent.glob("*.damaged-1"))) == 1 and not list(path.parent.glob("*.damaged-2"))


def test_one_spoilt_value_is_missing_and_the_rest_stays(path):
    kept = KeptAnswers(path)
    kept["a"] = kept["b"] = 1
    db = sqlite3.connect(path)
    db.execute("UPDATE answers SET value = '{half' WHERE key = 'a'")
    db.commit()
    db.close()
    assert "a" not in kept and kept["b"] == 1
    kept["a"] = 2
    assert kept["a"] == 2


def test_a_file_removed_under_it_is_made_again(path):
    kept = KeptAnswers(path)
    kept["a"] = 1
    for file in path.parent.iterdir():
        file.unlink()
    assert "a" not in kept
    kept["b"] = 2
    assert dict(KeptAnswers(path)) == {"b": 2}


def test_a_place_that_cannot_be_written_gets_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.sqlite").mkdir()
    for place in (tmp_path / "file" / "answers.sqlite", tmp_path / "folder.sqlite"):
        kept = KeptAnswers(place)
        assert "a" not in kept
        with pytest.raises(StoreError, match="FISHERSFT_HOME"):
            kept["a"] = 1


def test_a_copy_opens_the_file_itself(path):
    kept = KeptAnswers(path)
    kept["a"] = 1
    same = copy.deepcopy(kept)
    assert same["a"] == 1
    same["b"] = 2
    assert kept["b"] == 2


def test_the_pipelines_pool_keeps_answers_in_the_store(jsonl, home):
    corpus = load_corpus(jsonl, holdout=0)
    rows = TokenEmbeddings.of([[[1.0]]] * len(corpus))
    pool = embed_and_select.pool_of(rows, corpus, find_model("mini"))
    assert not (home / "answers.sqlite").exists()
    pool.answers["question"] = "yes"
    assert KeptAnswers(home / "answers.sqlite")["question"] == "yes"
