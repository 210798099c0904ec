"""Maps that are zoomed and panned together: a small component without a picture (linked_maps.js beside this file)."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_linked = st.components.v2.component(
    "fishersft_linked_maps",
    html="<span hidden></span>",
    js=(Path(__file__).parent / "linked_maps.js").read_text(encoding="utf-8"),
)


def link(prefix: str) -> None:
    """Let the charts whose keys begin with `prefix` follow each other."""
    _linked(key=f"linked-{prefix}", data={"prefix": prefix}, height=1)
