"""Which parameters each page reads from its address, so that what none of them reads is named and not passed over.

A control that is drawn is known by its check (`session.check_address`); `PAGES` holds those that a page does not always draw.
"""

from __future__ import annotations

from dataclasses import fields

import streamlit as st

from fishersft.fields import declared
from fishersft.lessons.catalogue import LESSONS
from fishersft.selectors import registry
from fishersft.ui.session import OURS, read_here

PAGES: dict[str, frozenset[str]] = {
    "explore": frozenset(
        # what is selected, then how it is looked at
        [
            "selector",
            "seed",
            "unit",
            "sentences",
            "percent",
            "tokens",
            "view",
            "map",
            "colour",
            "filter",
            "length",
            "log",
            "picture",
        ]
    )
    | {"across", "up", "picture"},
    "corpus": frozenset(),
    "compare": frozenset(("selectors", "seed", "equal", "budget", "maps", "map", "rows", "log", "score", "picture")),
    "curves": frozenset(("experiment", "result", "equal", "measure", "n", "logarithmic", "guides", "picture")),
    "generations": frozenset(
        ("section", "run", "held_out", "minus", "against", "picture", "left", "right", "at", "draw", "prompt", "judge")
    ),
    "learn": frozenset(("lesson", "points", *(name for kind in LESSONS.values() for name in declared(kind)))),
    "runs": frozenset(("show", "job", "run", "result", "finetuned")),
}
SEARCH = "q"  # what a visitor searches for may be confidential, so no link carries it


def stray(page: str) -> dict[str, str]:
    """Parameters of the address that this page does not read: why, by name."""
    known = PAGES[page] | set(OURS) | read_here()
    if page in ("explore", "compare"):
        known |= _parameters()
    return {key: _why(key) for key in st.query_params if key not in known}


def _why(key: str) -> str:
    if key == SEARCH:
        return "links carry no search words"
    pages = [name.capitalize() for name, keys in PAGES.items() if key in keys]
    if key in _parameters():
        pages = ["Explore", "Compare"]
    return f"read by {' and '.join(pages)}, not here" if pages else "no such parameter"


def _parameters() -> set[str]:
    """Those of selectors, which Explore and Compare read."""
    return {f"{name}.{field.name}" for name, kind in registry().items() for field in fields(kind)}
