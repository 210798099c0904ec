"""Which map, coloured by what, and which records light up: search and filters of the Explore page."""

from __future__ import annotations

import hashlib

import numpy as np
import streamlit as st

from fishersft.text import visible_text
from fishersft.ui import components, maps, query_widgets
from fishersft.ui.address import write_value
from fishersft.ui.explore.view import ExploreView
from fishersft.ui.session import Session

SHOWN = ("map", "player")
MOST_COLUMNS = 3


def choose_view() -> str:
    """The map, or the player, where a phone begins."""
    return query_widgets.segmented(
        "Show",
        SHOWN,
        "view",
        default="player" if components.touch() else "map",  # plotly's points take no taps
        help="The map is for exploring; the player shows the picks one by one, with their gains and the ellipse.",
    )


def map_controls(view: ExploreView, session: Session, playing: bool = False) -> tuple[str, str, np.ndarray | None]:
    """Which map, coloured by what (the player has colours of its own), and which records search and filters leave.

    These are (N,) bool; None where nothing is searched or filtered.
    """
    columns = [c for c in view.corpus.colourable if c not in ("selection", "pick order", "tokens")]
    options = ["selection", "pick order", "tokens", *columns]
    left, form, middle, right = st.columns([3, 2, 3, 2], vertical_alignment="bottom")
    words = (
        left.text_input(
            "Search",
            key="q",
            type="search",
            placeholder="words in the text",
            help="Finds records that contain all the words, in any order and case; they are highlighted on the map.",
            max_chars=200,
        )
        .lower()
        .split()
    )
    with form:
        kept = _filters(view, session)
    colour = "selection"
    if not playing:
        colour = query_widgets.select(
            "Colour by",
            options,
            "colour",
            place=middle,
            says="selection, pick order, tokens or a column",
            help="Picks stay larger and on top, whatever the colours show.",
        )
    kind = maps.kind(view.pool, middle if playing else right)
    matched = kept
    if words:
        texts = [view.corpus.texts[i].lower() for i in view.pool.index]
        found = np.array([all(w in t for w in words) for t in texts])
        matched = found if kept is None else found & kept
    if matched is not None:
        picked = int((matched & (view.rank > 0)).sum())
        st.caption(f"{int(matched.sum()):,} of {len(view.pool):,} sentences, {picked:,} of them selected")
    return kind, str(colour), matched


def _filters(view: ExploreView, session: Session) -> np.ndarray | None:
    """(N,) bool: the records of some values of a column and of some lengths; None where nothing is filtered."""
    tokens = view.pool.tokens
    least, most = int(tokens.min()), int(tokens.max())
    columns = {c: view.corpus.fields[c].map(str).to_numpy()[view.pool.index] for c in view.corpus.categories[:MOST_COLUMNS]}
    offered = {column: sorted(set(values)) for column, values in columns.items()}
    start = _from_address(session, offered, (least, most))
    mask, codes, wanted = np.ones(len(view.pool), dtype=bool), [], (least, most)
    with st.popover("Filter", icon=":material/filter_alt:", help="Filter by a column's values and by length.", width="stretch"):
        for column, values in columns.items():
            chosen = st.multiselect(
                components.escape_markdown(components.one_line(column, 24)),
                offered[column],
                key=f"filter {column}",
                format_func=lambda v: visible_text(components.one_line(v, 60)),
                placeholder="any",
                help="Only records with one of these values.",
            )
            if chosen:
                mask &= np.isin(values, chosen)
                codes += [code_of(column, value) for value in chosen]
        if least < most:
            low, high = st.slider(
                "Trained tokens",
                least,
                most,
                start,
                key=f"filter tokens {least} {most} {start}",
                help="Only records whose length is in this range.",
            )
            wanted = (int(low), int(high))
            mask &= (tokens >= wanted[0]) & (tokens <= wanted[1])
    written = {"filter": ",".join(sorted(codes)), "length": "" if wanted == (least, most) else f"{wanted[0]}-{wanted[1]}"}
    for key, value in written.items():
        write_value(key, value)
    st.session_state["filters_written"] = written
    return None if mask.all() else mask


def code_of(column: str, value: str) -> str:
    """What stands for a column's value in an address, where no text of a corpus may be."""
    return hashlib.sha256(f"{column}\0{value}".encode("utf-8", "replace")).hexdigest()[:8]


def _from_address(session: Session, offered: dict[str, list[str]], span: tuple[int, int]) -> tuple[int, int]:
    """Apply the filters of a link, name those that cannot be met, and return where the slider of lengths begins."""
    asked = {key: st.query_params.get(key, "") for key in ("filter", "length")}
    if asked != st.session_state.get("filters_written", {"filter": "", "length": ""}):
        _choose(session, offered, asked["filter"])
        low, _, high = asked["length"].partition("-")
        fits = low.isdigit() and high.isdigit() and span[0] <= int(low) <= int(high) <= span[1]
        st.session_state["lengths_start"] = (int(low), int(high)) if fits else span
        if asked["length"] and not fits:
            session.notices.append(f"length {asked['length'][:24]} ({span[0]:,} to {span[1]:,} trained tokens)")
    start: tuple[int, int] = st.session_state.get("lengths_start", span)
    return start if span[0] <= start[0] <= start[1] <= span[1] else span  # another corpus has other lengths


def _choose(session: Session, offered: dict[str, list[str]], asked: str) -> None:
    """Mark the values whose codes a link has."""
    codes = dict.fromkeys(code for code in asked.split(",") if code)
    known = set()
    for column, values in offered.items():
        found = {value: code for value in values if (code := code_of(column, value)) in codes}
        st.session_state[f"filter {column}"] = list(found)
        known |= set(found.values())
    for code in codes:
        if code not in known:
            session.notices.append(f"filter {code[:24]} (matches no value of this corpus)")
