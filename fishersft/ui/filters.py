"""Which map, coloured by what, and which records light up: search and filters of the Explore page."""

from __future__ import annotations

import numpy as np
import streamlit as st

from fishersft.ui import components
from fishersft.ui.session import Session, check_address
from fishersft.ui.view import View

SHOWN = ("map", "player")


def choose_view(session: Session) -> str:
    """The map, or the player, where a phone begins."""
    check_address(session, "view", lambda v: v in SHOWN, "map or player")
    shown = st.segmented_control(
        "Show",
        SHOWN,
        default="player" if components.touch() else "map",  # plotly's points take no taps
        required=True,
        key="view",
        bind="query-params",
        help="The map is for looking around; the player lights up the picks one by one, with their gains and the ellipse.",
    )
    return str(shown)


def map_controls(view: View, session: Session, playing: bool = False) -> tuple[str, str, np.ndarray | None]:
    """Which map, coloured by what (the player has colours of its own), and which records search and filters leave.

    These are (N,) bool; None where nothing is searched or filtered.
    """
    columns = [c for c in view.corpus.colourable if c not in ("selection", "pick order", "tokens")]
    options = ["selection", "pick order", "tokens", *columns]
    check_address(session, "colour", lambda v: v in options, "selection, pick order, tokens or a column")
    check_address(session, "map", lambda v: v in ("UMAP", "PCA"), "UMAP or PCA")
    left, form, middle, right = st.columns([3, 2, 3, 2], vertical_alignment="bottom")
    words = (
        left.text_input(
            "Search",
            key="q",
            bind="query-params",
            type="search",
            placeholder="words in the text",
            help="Records that hold all the words, in any order and case; they light up on the map.",
            max_chars=200,
        )
        .lower()
        .split()
    )
    with form:
        kept = _filters(view)
    colour = "selection"
    if not playing:
        colour = middle.selectbox(
            "Colour by",
            options,
            key="colour",
            bind="query-params",
            help="Picks stay larger and on top whatever the colour shows.",
        )
    kind = (middle if playing else right).segmented_control(
        "Map",
        ["UMAP", "PCA"],
        default="UMAP",
        required=True,
        key="map",
        bind="query-params",
        help="UMAP keeps neighbours together; PCA is the flat shadow along the two widest directions.",
    )
    matched = kept
    if words:
        texts = [view.corpus.texts[i].lower() for i in view.pool.index]
        found = np.array([all(w in t for w in words) for t in texts])
        matched = found if kept is None else found & kept
    if matched is not None:
        picked = int((matched & (view.rank > 0)).sum())
        left.caption(f"{int(matched.sum()):,} of {len(view.pool):,} sentences, {picked:,} of them selected")
    return str(kind), str(colour), matched


def _filters(view: View) -> np.ndarray | None:
    """(N,) bool: the records of some values of a column and of some lengths; None where nothing is filtered."""
    tokens = view.pool.tokens
    least, most = int(tokens.min()), int(tokens.max())
    mask = np.ones(len(view.pool), dtype=bool)
    with st.popover("Filter", icon=":material/filter_alt:", help="By a column's values and by length.", width="stretch"):
        for column in view.corpus.categories[:3]:
            values = view.fields[column].map(str).to_numpy()[view.pool.index]
            chosen = st.multiselect(
                components.escape_markdown(components.one_line(column, 24)),
                sorted(set(values)),
                key=f"filter {column}",
                format_func=lambda v: components.visible_text(components.one_line(v, 60)),
                placeholder="any",
            )
            if chosen:
                mask &= np.isin(values, chosen)
        if least < most:
            low, high = st.slider("Trained tokens", least, most, (least, most), key=f"filter tokens {least} {most}")
            mask &= (tokens >= low) & (tokens <= high)
    return None if mask.all() else mask
