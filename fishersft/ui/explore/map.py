"""The map of sentences on the Explore page, the player on it, and the controls above it: search, filter, colours.

Hovering, zooming, playing, and moving the lit points while the budget's slider is dragged happen in the browser alone (map.html,
.css and .js beside this file); points.js brings the points, which change only with corpus and map.  When the player rests on a
pick, a point is clicked or a lasso is drawn, the server is told.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from fishersft.plots import sentence_map
from fishersft.plots.sentence_map import FINE, MOST_POINTS, TEXTS, on_grid
from fishersft.scoring import precomputed, why
from fishersft.selectors import Pool
from fishersft.text import visible, visible_text
from fishersft.ui import behind, cached, components, maps, query_widgets
from fishersft.ui.address import write_value
from fishersft.ui.cached import KEYS
from fishersft.ui.components import dark, escape_markdown, one_line
from fishersft.ui.explore.view import ExploreView
from fishersft.ui.session import Session

HOVER, PLAYED = 90, 320  # characters of a text that a pointer shows, and of a pick's text that is shown while it plays
DIRECTIONS = 10  # principal directions to choose from
SHOWN = ("map", "player")
COLOURS = ("selection", "pick order", "tokens")  # a column of the corpus is the other choice
MOST_COLUMNS = 3
KEY = "map-of-sentences"
_HERE = Path(__file__).parent
_FILES: dict[str, Any] = {kind: (_HERE / f"map.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")}
_map = st.components.v2.component("fishersft_map", **_FILES)
_points = st.components.v2.component("fishersft_points", js=(_HERE / "points.js").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class MapLook:
    """How the map is drawn.

    Attributes:
        kind: UMAP or PCA.
        colour: what the colours show.
        matched: (N,) which records on the map search and filters leave; None where nothing is searched or filtered.
        playing: the ellipse of the design stands beside it, in the plane of two principal `directions`, counted from 1.
    """

    kind: str
    colour: str
    matched: np.ndarray | None
    playing: bool
    directions: tuple[int, int]


def map_panel(view: ExploreView, session: Session, asked: MapLook) -> None:
    """The map with its player; where that is asked for, with the gains, the curve and the ellipse of the picks beside it."""
    colour, playing, shown = asked.colour, asked.playing, view.everything
    kind, xy = _coordinates(shown, asked.kind)
    drawn = _drawn(view)
    points = _points_of(shown, kind, drawn, xy)
    _points(key="points", data=points)
    values = None
    if colour == "tokens":
        values = shown.tokens[drawn]
    elif colour in view.corpus.fields.columns:
        values = view.corpus.fields[colour].to_numpy(dtype=object)[shown.index[drawn]]
    rank = view.on_map(view.rank)[drawn]
    dots = sentence_map.Points(xy[drawn], shown.index[drawn], rank, np.zeros(len(drawn), bool), view.target_texts[drawn])
    look = sentence_map.looks_of(dots, colour_by=colour, values=values, selector=view.selector.name, dark=dark())
    to_draw = np.full(len(shown), -1)
    to_draw[drawn] = np.arange(len(drawn))
    lit = view.lit(session.lasso, asked.matched)
    focus = components.position_of(shown, view.record)
    nearest = None
    if focus is not None and session.record is not None:
        nearest = why.nearest_of(shown.embeddings.means, focus, view.places[view.picks])[0]
    said = f"{kind} map of {len(shown):,} sentences; the {view.n:,} picks of {view.selector.label} are larger and on top."
    if view.target_texts.any():
        said += f" {int(view.target_texts.sum()):,} target texts are outlined stars."
    data = {
        **look,
        "points": points["key"],
        "key": f"{points['key']} {hash(view.order.positions.tobytes())} {playing}",
        "picks": to_draw[view.places[view.order.positions]].tolist(),
        "gain": [float(f"{g:.5g}") for g in view.gains],
        "texts": _texts(view, PLAYED if playing else HOVER) if playing or len(shown) > TEXTS else [],
        "n": view.n,
        "unit": view.unit,
        "pool": len(view.pool),
        "lit": None if lit is None else [k for k in to_draw[np.flatnonzero(lit)].tolist() if k >= 0],
        "stars": to_draw[np.flatnonzero(view.target_texts)].tolist(),
        "focus": None if focus is None else int(to_draw[focus]),
        "neighbour": None if nearest is None else int(to_draw[nearest]),
        "at": _rests_on(view, session) if playing else 0,
        "turn": session.turns,
        "picture": components.picture_format(),
        "alt": said,
        "side": playing,
        "chance": [],
        "axes": [],
        "directions": [1, 2],
    }
    if playing:
        data |= _played(view, *asked.directions)
    told: dict[str, Any] = {
        "on_at_change": partial(_rested, view, session),
        "on_record_change": partial(_clicked, session),
        "on_lasso_change": partial(_marked, shown, session, kind, xy),
    }
    _map(key=KEY, data=data, **told)
    more = " The ellipse is what the picks leave unknown (θᵀVθ ≤ 1), in the plane of the two directions." if playing else ""
    st.caption(
        f"{kind} of {len(shown):,} sentence means in {shown.embeddings.dimension} dimensions, for viewing only: selectors work "
        f"on token rows.{more}{maps.sampled(shown)}"
    )


def _coordinates(shown: Pool, kind: str) -> tuple[str, np.ndarray]:
    """The map that was asked for, or PCA until it is there: its name and (N, 2) coordinates."""
    rows = shown.embeddings
    xy = behind.ready(f"the {kind} map", ("map", rows.key, kind), partial(precomputed.map_of, rows, kind.lower()))
    return ("PCA", cached.map_of(rows, "pca")) if xy is None else (kind, xy)


def _drawn(view: ExploreView) -> np.ndarray:
    """Positions on the map that are drawn: all, or of very many the picks, the target's texts and an even sample of the rest."""
    N = len(view.everything)
    if N <= MOST_POINTS:
        return np.arange(N)
    must = np.concatenate([view.places[view.order.positions], np.flatnonzero(view.target_texts)])
    return np.union1d(must, np.linspace(0, N - 1, MOST_POINTS).astype(int))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=KEYS)
def _points_of(shown: Pool, kind: str, drawn: np.ndarray, _xy: np.ndarray) -> dict[str, Any]:
    """The points at the positions `drawn` for the browser, with the first category of each and, where they are few, its text."""
    corpus, index = shown.corpus, shown.index[drawn]
    assert corpus is not None
    tags: list[str] = []
    if corpus.categories:
        tags = [visible(one_line(v, 40)) for v in corpus.fields[corpus.categories[0]].iloc[index]]
    texts = [visible(one_line(corpus.texts[r], HOVER)) for r in index] if len(index) <= TEXTS else []
    places = on_grid(_xy, equal_axes=kind == "PCA")[drawn]
    return sentence_map.points_of(places, index, shown.tokens[drawn], tags, texts, equal_axes=kind == "PCA")


def _texts(view: ExploreView, longest: int) -> list[str]:
    """What is read of each pick."""
    return [visible_text(view.corpus.texts[r], longest) for r in view.pool.index[view.picks]]


def _rests_on(view: ExploreView, session: Session) -> int:
    """The pick that is looked at, from 1, or 0."""
    at = components.position_of(view.pool, session.record)
    return int(view.rank[at]) if at is not None else 0


def _played(view: ExploreView, first: int, second: int) -> dict[str, Any]:
    """What stands beside the map while it plays: the mean of random draws, and the ellipse after each pick."""
    walked = cached.walk(view.pool.embeddings, view.picks, (first - 1, second - 1))
    chance = view.band.at(np.arange(1, view.n + 1)).mean(0) if view.band is not None else []
    return {
        "chance": [float(f"{v:.6g}") for v in chance],
        "axes": sentence_map.ellipses(walked),
        "directions": [first, second],
    }


def _rested(view: ExploreView, session: Session) -> None:
    at = st.session_state[KEY]["at"]
    if isinstance(at, int | float) and 1 <= at <= len(view.order):
        session.record = int(view.pool.index[view.order.positions[int(at) - 1]])


def _clicked(session: Session) -> None:
    record = st.session_state[KEY]["record"]
    if isinstance(record, int | float):
        session.record = int(record)


def _marked(shown: Pool, session: Session, kind: str, xy: np.ndarray) -> None:
    """A lasso was drawn: its set is every record inside, drawn or not."""
    corners = st.session_state[KEY]["lasso"]
    usable = isinstance(corners, list) and 3 <= len(corners) <= 1_000
    if usable and all(isinstance(c, list) and len(c) == 2 and all(isinstance(v, int | float) for v in c) for c in corners):
        bounded = [[float(np.clip(v, -FINE, 2 * FINE)) for v in corner] for corner in corners]
        within = sentence_map.inside(on_grid(xy, equal_axes=kind == "PCA"), bounded)
        session.show_set(shown.index[within].tolist())


def map_controls(view: ExploreView, session: Session) -> MapLook:
    """One row: search, filter, how the map looks, and whether the ellipse stands beside it."""
    row = st.container(horizontal=True, vertical_alignment="bottom", key="map-controls")
    said = "Finds records that contain all the words, in any order and case; they are highlighted on the map."
    found = components.search("Search", "q", said, row)
    with row:
        matched = _filters(view, session)
    popover = row.popover(
        "Map", icon=":material/palette:", help="What the colours show, and which map is drawn.", width="content"
    )
    said = "The map for exploring, or beside it how each pick shrinks the ellipse of what is still unknown."
    playing = query_widgets.segmented("Show", SHOWN, "view", place=row, help=said) == "player"
    with popover:
        colour = query_widgets.select(
            "Colour by",
            [*COLOURS, *(c for c in view.corpus.colourable if c not in COLOURS)],
            "colour",
            says="selection, pick order, tokens or a column",
            help="Picks stay larger and on top, whatever the colours show.",
        )
        kind = maps.kind(view.everything, st)
        directions = _directions(view) if playing else _check_directions(view, session)
    if found:
        hits = np.array([found(view.corpus.texts[i]) for i in view.everything.index])
        matched = hits if matched is None else hits & matched
    if matched is not None:
        picked = int((matched & (view.on_map(view.rank) > 0)).sum())
        st.caption(f"{int(matched.sum()):,} of {len(view.everything):,} sentences, {picked:,} of them selected")
    return MapLook(kind, str(colour), matched, playing, directions)


def _check_directions(view: ExploreView, session: Session) -> tuple[int, int]:
    """While the ellipse is not shown, name the directions that a link asks for in vain, and drop them."""
    most = min(DIRECTIONS, view.pool.embeddings.dimension)
    for key in ("across", "up"):
        asked = st.query_params.get(key, "1")
        if not (asked.isdigit() and 1 <= int(asked) <= most):
            session.notices.append(f"{key} {asked[:24]} (1 to {most})")
            del st.query_params[key]
    return 1, 2


def _directions(view: ExploreView) -> tuple[int, int]:
    most = min(DIRECTIONS, view.pool.embeddings.dimension)
    numbers = list(range(1, most + 1))
    if most == 1:
        return 1, 1
    said = "Principal directions of the pool's token rows, shown across; 1 is the direction of largest second moment."
    first = query_widgets.select("Ellipse: across", numbers, "across", help=said, says=f"1 to {most}")
    said = "The principal direction shown upwards."
    second = query_widgets.select("Ellipse: up", numbers, "up", index=1, help=said, says=f"1 to {most}")
    if first == second:
        second = next(k for k in numbers if k != first)
        st.caption(f"A plane needs two different directions, so up is {second}.")
    return int(first), int(second)


def _filters(view: ExploreView, session: Session) -> np.ndarray | None:
    """Which records on the map have some values of a column and some lengths; None where nothing is filtered."""
    pool = view.everything
    tokens = pool.tokens
    span = (int(tokens.min()), int(tokens.max()))
    columns = {c: view.corpus.fields[c].map(str).to_numpy()[pool.index] for c in view.corpus.categories[:MOST_COLUMNS]}
    offered = {column: sorted(set(values)) for column, values in columns.items()}
    start = _from_address(session, offered, span)
    mask, codes, written = np.ones(len(pool), dtype=bool), [], {"length": ""}
    with st.popover("Filter", icon=":material/filter_alt:", help="Filter by a column's values and by length.", width="content"):
        for column, values in columns.items():
            chosen = st.multiselect(
                escape_markdown(one_line(column, 24)),
                offered[column],
                key=f"filter {column}",
                format_func=lambda v: visible_text(one_line(v, 60)),
                placeholder="any",
                help="Only records with one of these values.",
            )
            if chosen:
                mask &= np.isin(values, chosen)
                codes += [code_of(column, value) for value in chosen]
        if span[0] < span[1]:
            key = f"filter tokens {span[0]} {span[1]} {start}"
            low, high = st.slider("Trained tokens", *span, start, key=key, help="Only records whose length is in this range.")
            mask &= (tokens >= low) & (tokens <= high)
            if (low, high) != span:
                written["length"] = f"{low}-{high}"
    written["filter"] = ",".join(sorted(codes))
    for name, value in written.items():
        write_value(name, value)
    st.session_state["filters_written"] = written
    return None if mask.all() else mask


def code_of(column: str, value: str) -> str:
    """What stands for a column's value in an address, where no text of a corpus may be."""
    return hashlib.sha256(f"{column}\0{value}".encode("utf-8", "replace")).hexdigest()[:8]


def _from_address(session: Session, offered: dict[str, list[str]], span: tuple[int, int]) -> tuple[int, int]:
    """Apply the filters of a link, name those that cannot be met, and return where the slider of lengths begins."""
    asked = {key: st.query_params.get(key, "") for key in ("filter", "length")}
    if asked != st.session_state.get("filters_written", {"filter": "", "length": ""}):
        unknown = dict.fromkeys(code for code in asked["filter"].split(",") if code)
        codes = set(unknown)
        for column, values in offered.items():
            found = {value: code for value in values if (code := code_of(column, value)) in codes}
            st.session_state[f"filter {column}"] = list(found)
            unknown = {code: None for code in unknown if code not in found.values()}
        session.notices += [f"filter {code[:24]} (matches no value of this corpus)" for code in unknown]
        low, _, high = asked["length"].partition("-")
        fits = low.isdigit() and high.isdigit() and span[0] <= int(low) <= int(high) <= span[1]
        st.session_state["lengths_start"] = (int(low), int(high)) if fits else span
        if asked["length"] and not fits:
            session.notices.append(f"length {asked['length'][:24]} ({span[0]:,} to {span[1]:,} trained tokens)")
    start: tuple[int, int] = st.session_state.get("lengths_start", span)
    return start if span[0] <= start[0] <= start[1] <= span[1] else span  # another corpus has other lengths
