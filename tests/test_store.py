"""The store: whole artifacts or none, and an unreadable one is a miss."""

import json
import logging

import pytest

from fishersft import Store
from fishersft.store.artifacts import ArtifactKey

KEY = ArtifactKey("thing", 1, {"a": 1, "b": [1.5, "x"]}, {"from": "abc"})


@pytest.fixture
def store(home):
    return Store(home)


def make(store, content="hello", key=KEY):
    folder = store.workspace(key)
    (folder / "data.txt").write_text(content)
    return store.commit(key, folder, {"note": "ü"})


def test_the_key_depends_on_content_and_not_on_order():
    assert KEY.digest == ArtifactKey("thing", 1, {"b": [1.5, "x"], "a": 1}, {"from": "abc"}).digest
    others = [
        ArtifactKey("other", 1, KEY.parameters, KEY.inputs),
        ArtifactKey("thing", 2, KEY.parameters, KEY.inputs),
        ArtifactKey("thing", 1, {"a": 2}, KEY.inputs),
        ArtifactKey("thing", 1, KEY.parameters, {"from": "abd"}),
    ]
    assert len({KEY.digest, *(r.digest for r in others)}) == 5


def test_what_is_committed_is_found_and_the_workspace_is_gone(store):
    made = make(store)
    found = store.find(KEY)
    assert found == made
    assert (found.path / "data.txt").read_text() == "hello"
    assert found.manifest["note"] == "ü"
    assert not (store.path / "partial" / KEY.digest).exists()


def test_nothing_is_found_before_the_commit(store):
    (store.workspace(KEY) / "data.txt").write_text("half")
    assert store.find(KEY) is None


@pytest.mark.parametrize("damage", ["truncate", "garbage", "no manifest", "wrong key", "empty object"])
def test_a_damaged_artifact_is_a_miss_logged_and_can_be_made_again(store, damage, caplog):
    path = make(store).path
    manifest = path / "manifest.json"
    match damage:
        case "truncate":
            (path / "data.txt").write_text("hel")
        case "garbage":
            manifest.write_bytes(b"\xff\x00")
        case "no manifest":
            manifest.unlink()
        case "wrong key":
            manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "key": "0"}))
        case "empty object":
            manifest.write_text("[]")
    with caplog.at_level(logging.WARNING):
        assert store.find(KEY) is None
    assert "will be computed again" in caplog.text
    make(store)
    assert store.find(KEY) is not None


def test_a_read_only_store_stands_behind(tmp_path, home):
    make(Store(tmp_path / "shipped"), "shipped")
    store = Store(home, (tmp_path / "shipped",))
    assert (store.find(KEY).path / "data.txt").read_text() == "shipped"
    make(store, "own")
    assert (store.find(KEY).path / "data.txt").read_text() == "own"


def test_an_unfinished_workspace_can_be_taken_up_again(store):
    (store.workspace(KEY) / "data.txt").write_text("half")
    assert (store.workspace(KEY, fresh=False) / "data.txt").read_text() == "half"
    assert not list(store.workspace(KEY).iterdir())


def test_uploads_are_kept_by_their_content(store):
    a, b = store.keep_upload(b"same", ".txt"), store.keep_upload(b"same", ".txt")
    assert a == b
    assert a.read_bytes() == b"same"
    assert a.parent == store.path / "uploads"
