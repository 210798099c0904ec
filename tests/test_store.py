"""The store: whole artifacts or none, and an unreadable one is a miss."""

import json
import logging

import pytest

from fishersft import Store
from fishersft.store.artifacts import MANIFEST, SAMPLED_ABOVE, SELECTION, ArtifactKey, StoreCheck

from .conftest import command_line
from .test_pages import open_page

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


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("fresh", [True, False])
def test_work_in_the_place_of_a_link_stays_in_the_store(store, tmp_path, there, fresh):
    outside = tmp_path / "outside"
    if there:
        outside.mkdir()
        (outside / "mine.txt").write_text("mine")
    for part in (f"partial/{KEY.digest}", f"artifacts/{KEY.stage}/{KEY.digest}"):
        (store.path / part).parent.mkdir(parents=True)
        (store.path / part).symlink_to(outside)
    folder = store.workspace(KEY, fresh=fresh)
    (folder / "data.txt").write_text("hello")
    store.commit(KEY, folder, {})
    assert store.find(KEY) is not None
    assert not store.find(KEY).path.is_symlink()
    assert outside.exists() == there
    assert not there or [file.name for file in outside.iterdir()] == ["mine.txt"]


def test_a_link_is_trimmed_and_what_it_leads_to_stays(store, tmp_path):
    made = make(store).path
    made.rename(tmp_path / "moved")
    made.symlink_to(tmp_path / "moved")
    store.trim(0, 0)
    assert not made.is_symlink()
    assert (tmp_path / "moved" / "data.txt").read_text() == "hello"


def test_a_text_that_utf8_cannot_encode_is_written_with_question_marks(store):
    folder = store.workspace(KEY)
    facts = store.commit(KEY, folder, {"corpus": "\udcff\udcfe.jsonl", "note": "ü"}).manifest
    assert (facts["corpus"], facts["note"]) == ("??.jsonl", "ü")
    assert store.find(KEY).manifest == facts


def test_uploads_are_kept_by_their_content(store):
    a, b = store.keep_upload(b"same", ".txt"), store.keep_upload(b"same", ".txt")
    assert a == b
    assert a.read_bytes() == b"same"
    assert a.parent == store.path / "uploads"


def turn_one_bit(path, at=None):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    path.write_bytes(content)


class TestBitRot:
    def test_one_bit_makes_an_artifact_a_miss(self, store):
        turn_one_bit(make(store).path / "data.txt")
        assert store.find(KEY) is None

    def test_a_large_file_is_sampled_when_it_is_opened_and_read_whole_by_a_check(self, store):
        file = make(store, "x" * (SAMPLED_ABOVE + 1_000_000)).path / "data.txt"
        turn_one_bit(file, 100_000)  # between two samples
        assert store.find(KEY) is not None
        assert len(store.check().damaged) == 1
        assert store.find(KEY) is None
        file = make(store, "x" * (SAMPLED_ABOVE + 1_000_000)).path / "data.txt"
        for place in (0, SAMPLED_ABOVE + 999_999):
            turn_one_bit(file, place)
            assert store.find(KEY) is None
            turn_one_bit(file, place)
        assert store.find(KEY) is not None

    def test_a_check_drops_what_was_computed_from_damaged_rows_and_keeps_the_rest(self, store):
        rows, other = (ArtifactKey("embeddings", 1, {"of": k}, {}) for k in "ab")
        order = ArtifactKey("order", 1, {}, {"embeddings": rows.digest})
        on_order = ArtifactKey("band", 1, {}, {"order": order.digest})
        of_a_part = ArtifactKey("order", 1, {}, {"embeddings": "0" * 64})  # of some rows of one of them: no telling of which
        chosen = ArtifactKey(SELECTION, 1, {}, {"embeddings": rows.digest})
        sound = ArtifactKey("order", 1, {}, {"embeddings": other.digest})
        for key in (rows, other, order, on_order, of_a_part, chosen, sound):
            make(store, key=key)
        assert store.check() == StoreCheck(7, 7 * 5, 0, (), 0, ())
        turn_one_bit(store.find(rows).path / "data.txt")
        found = store.check()
        assert (len(found.damaged), found.dropped, found.doubtful) == (1, 3, (chosen.digest,))
        assert [store.find(key) is not None for key in (rows, other, order, on_order, of_a_part, chosen, sound)] == [
            False, True, False, False, False, True, True,
        ]  # fmt: skip

    def test_what_stands_on_shipped_rows_is_not_doubted(self, store, tmp_path):
        shipped = Store(tmp_path / "shipped")
        rows, damaged = (ArtifactKey("embeddings", 1, {"of": k}, {}) for k in "ab")
        chosen = ArtifactKey(SELECTION, 1, {}, {"embeddings": rows.digest})
        make(shipped, key=rows)
        make(store, key=chosen)
        turn_one_bit(make(store, key=damaged).path / "data.txt")
        found = Store(store.path, (shipped.path,)).check()
        assert (len(found.damaged), found.dropped, found.doubtful) == (1, 0, ())

    def test_the_files_of_a_file_manager_are_no_artifacts(self, store):
        (make(store).path.parent / ".DS_Store").write_text("its own")
        assert store.check() == StoreCheck(1, 5, 0, (), 0, ())
        assert ".DS_Store" not in store.folders(KEY.stage)

    @pytest.mark.parametrize("inputs", [None, [], {"embeddings": []}, {"embeddings": {}}, 3])
    def test_a_manifest_that_does_not_name_its_inputs_is_damaged(self, store, inputs):
        manifest = make(store).path / MANIFEST
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "inputs": inputs}))
        turn_one_bit(make(store, key=ArtifactKey("embeddings", 1, {}, {})).path / "data.txt")
        assert len(store.check().damaged) == 2

    def test_what_an_earlier_version_wrote_opens_without_checksums_and_is_counted(self, store):
        manifest = make(store).path / MANIFEST
        content = json.loads(manifest.read_text())
        del content["checksums"]
        manifest.write_text(json.dumps(content))
        assert store.find(KEY) is not None
        assert store.check().without_checksum == 1

    def test_the_command_says_what_it_found_and_ends_with_status_1(self, store):
        make(store)
        assert "1 artifacts read (0.0 MB): all are as they were written" in command_line("runs", "check").stdout
        turn_one_bit(store.find(KEY).path / "data.txt")
        done = command_line("runs", "check")
        assert done.returncode == 1
        assert "data.txt is not what was written" in done.stdout


def test_the_list_of_runs_says_that_a_damaged_database_was_set_aside(home):
    (home).mkdir()
    (home / "jobs.sqlite").write_bytes(b"no database at all, " * 100)
    done = command_line("runs", "list")
    assert "jobs.sqlite was damaged and is set aside as jobs.sqlite.damaged-1" in done.stderr
    assert "is set aside" in " ".join(w.value for w in open_page("runs").warning)
