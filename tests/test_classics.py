"""The built-in downloads, against a real server on 127.0.0.1."""

from urllib.parse import urlsplit

import pytest

from fishersft import load_corpus
from fishersft.corpus.load import CLASSICS
from fishersft.errors import CorpusError

FILES = {"shakespeare": "data/shakespeare/input.txt", "sherlock": "data/sherlock/advs.txt"}


def path_of(name):
    return urlsplit(CLASSICS[name].url).path


@pytest.mark.parametrize(
    ("name", "records", "column", "first"),
    [("shakespeare", 7222, "speaker", "First Citizen"), ("sherlock", 2489, "story", "A Scandal in Bohemia")],
)
def test_a_classic_is_downloaded_checked_and_kept(shared, serve, monkeypatch, home, name, records, column, first):
    monkeypatch.setenv("FISHERSFT_MIRROR", serve({path_of(name): (shared / FILES[name]).read_bytes()}))
    corpus = load_corpus(name)
    assert len(corpus) == records
    assert corpus.fields[column][0] == first
    monkeypatch.setenv("FISHERSFT_MIRROR", "http://127.0.0.1:9")  # nobody there: the second time needs no network
    assert load_corpus(name).fingerprint == corpus.fingerprint


def test_all_twelve_stories_of_sherlock_are_found(shared, serve, monkeypatch):
    monkeypatch.setenv("FISHERSFT_MIRROR", serve({path_of("sherlock"): (shared / FILES["sherlock"]).read_bytes()}))
    corpus = load_corpus("sherlock")
    assert corpus.fields["story"].nunique() == 12
    assert not any("Table of contents" in t or "as-is" in t for t in corpus.texts)


def test_another_file_is_refused_and_not_kept(serve, monkeypatch, home):
    monkeypatch.setenv("FISHERSFT_MIRROR", serve({path_of("sherlock"): b"something else"}))
    with pytest.raises(CorpusError, match="did not send the expected sherlock text"):
        load_corpus("sherlock")
    assert not list((home / "downloads").glob("*"))


def test_without_a_network_the_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setenv("FISHERSFT_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(CorpusError, match=r"could not be downloaded.*use the corpus 'demo', which needs no network"):
        load_corpus("shakespeare")
