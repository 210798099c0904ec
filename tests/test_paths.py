"""Files are written whole or not at all, and read only where they are files; deleting follows no link."""

import os

import pytest

from fishersft.errors import FisherSFTError, StoreError
from fishersft.export.report import report
from fishersft.finetuning.arena import read_arena
from fishersft.finetuning.contests import Setting
from fishersft.finetuning.run import read_run
from fishersft.paths import read_whole, remove, replacing, stamp, write_whole


def test_a_block_that_fails_leaves_what_was_there_and_nothing_else(tmp_path):
    def fails(make):
        with replacing(tmp_path / "there") as partial:
            make(partial)
            raise KeyboardInterrupt

    for make in (lambda path: path.write_text("new"), lambda path: path.mkdir()):
        with pytest.raises(KeyboardInterrupt):
            fails(make)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_takes_the_place_of_a_folder(tmp_path):
    for text in ("old", "new"):
        with replacing(tmp_path / "there") as partial:
            partial.mkdir()
            (partial / text).write_text(text)
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_takes_the_place_of_a_link_and_what_the_link_leads_to_stays(tmp_path, there):
    if there:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with replacing(tmp_path / "link") as partial:
        partial.mkdir()
        (partial / "new").write_text("new")
    assert [path.name for path in (tmp_path / "link").iterdir()] == ["new"]
    assert not (tmp_path / "link").is_symlink()
    assert not there or (tmp_path / "elsewhere" / "mine").read_text() == "mine"


def test_a_refused_file_is_one_sentence_with_what_to_do(tmp_path):
    write_whole(tmp_path / "picks", "grüße")
    assert (tmp_path / "picks").read_bytes() == "grüße".encode()
    with pytest.raises(StoreError, match=r"below cannot be written \(not a directory\); name another place with --out\."):
        write_whole(tmp_path / "picks" / "below", b"")


@pytest.mark.timeout(20)
def test_a_pipe_a_device_and_a_sparse_file_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 2**40)
    for name, why in (("pipe", "no regular file"), ("zeros", "no regular file"), ("sparse", "it has 1,099,511,627,776 bytes")):
        with pytest.raises(OSError, match=why):
            read_whole(tmp_path / name)


def test_of_a_link_only_the_link_is_deleted(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    remove(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    remove(tmp_path / "there")
    assert list(tmp_path.iterdir()) == []


NO_FILE = ["a" * 5_000, "/" + "b" * 400, "a\0b", "~nobody/x", ""]  # names that no file has, or can have


@pytest.mark.parametrize("name", NO_FILE, ids=ascii)
def test_a_name_that_no_file_can_have_is_that_of_no_file(name):
    assert stamp(name) is None
    for read in (read_run, read_arena, report):
        with pytest.raises(FisherSFTError):
            read(name)
    assert Setting.read(f"demo@{name or 'x'}") == Setting("demo", name or "x")


def test_a_file_that_changes_has_another_stamp(tmp_path):
    file = tmp_path / "one"
    file.write_text("a")
    before = stamp(file)
    file.write_text("bc")
    assert before != stamp(file)
    assert stamp(file)[1] == 2
    assert stamp(tmp_path) is None
