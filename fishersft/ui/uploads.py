"""What a visitor gives: how large a file may be, where it is kept, and how it is read, which no other visitor notices."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

import streamlit as st

from fishersft.corpus.files import ENDINGS, ending, not_read
from fishersft.corpus.reader_process import load_apart
from fishersft.corpus.records import Corpus
from fishersft.errors import CorpusError, FisherSFTError
from fishersft.store.artifacts import Store
from fishersft.ui import components
from fishersft.ui.behind import visitor
from fishersft.ui.components import one_line
from fishersft.ui.session import public

MB = 2**20  # as Streamlit counts them
MOST_MB, MOST_PUBLIC_MB, MOST_TARGET_MB = 200, 10, 2
PUBLIC: dict[str, Any] = {"memory": 1_000_000_000, "seconds": 30}  # what reading a file may take on a hosted demo
MOST_FILES, MOST_OWN = 5, 2 * MOST_PUBLIC_MB * MB  # of a visitor of a hosted demo, and their bytes; the oldest go first
MOST_KEPT, OLDEST = 5_000_000_000, 24 * 3600  # bytes of all visitors' files with what is computed from them, and seconds


def most_mb(most: int = MOST_MB) -> int:
    """How large a file may be here."""
    return min(most, MOST_PUBLIC_MB) if public() else most


def upload(label: str, key: str, help: str, most: int = MOST_MB) -> str | None:
    """A box for a file; once it is given one, its name in an address, or a sentence that says why it is not taken.

    The box tells the limit and refuses what is larger before it is sent; the server stops reading there (`server.launch`).
    """
    kinds = [ending.removeprefix(".") for ending in ENDINGS]
    file = st.file_uploader(label, type=kinds, key=key, help=help, max_upload_size=most_mb(most))
    if file is None or st.session_state.get(f"{key}-seen") == file.file_id:
        return None
    st.session_state[f"{key}-seen"] = file.file_id
    try:
        suffix = check_upload(file.name, file.size, most)
        return keep(file.getvalue(), suffix, one_line(file.name, 60))
    except FisherSFTError as error:
        components.problem(str(error))
        return None


def check_upload(name: str, size: int, most: int = MOST_MB) -> str:
    """The file's ending; raises CorpusError for a type that is not read, or too many bytes."""
    suffix = ending(name)
    shown = PurePath(name).name[:80]
    if suffix not in ENDINGS:
        raise not_read(shown, suffix[:12])
    if size > most_mb(most) * MB:
        raise CorpusError(f"{shown} has {size / MB:,.1f} MB; at most {most_mb(most):,} MB are accepted here.")
    return suffix


def keep(data: bytes, suffix: str, title: str) -> str:
    """Keep a file in the store; its name in an address.

    On a hosted demo only who has the address can name it, and old files make room.
    """
    store = Store.default()
    if not public():
        return f"upload:{store.keep_upload(data, suffix, title).name}"
    path = store.keep_upload(data, suffix, title, owner=visitor())
    mine: list[tuple[Path, int]] = [one for one in st.session_state.get("fishersft_uploads", []) if one[0] != path]
    st.session_state["fishersft_uploads"] = mine = [*mine, (path, len(data))]
    while len(mine) > MOST_FILES or sum(size for _, size in mine) > MOST_OWN:
        store.remove_upload(mine.pop(0)[0])
    make_room()
    return f"upload:{path.name}"


def make_room() -> None:
    """On a hosted demo, delete what is old or too much."""
    if public():
        Store.default().trim(MOST_KEPT, OLDEST)


def read(source: str, **options: Any) -> Corpus:
    """`load_corpus`, of a file in a process of its own."""
    return load_apart(source, **(PUBLIC if public() else {}), **options)
