"""Files are written whole or not at all, and read only where they are files; deleting follows no link."""

import os

import pytest

from fishersft.errors import StoreError
from fishersft.paths import read_whole, remove, replacing, write_whole


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
