"""Files are written whole or not at all."""

import pytest

from fishersft.errors import StoreError
from fishersft.paths import replacing, write_whole


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
