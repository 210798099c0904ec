"""The map of sentences on the Explore page, the player on it, and the controls above it: search, filter, colours.

Hovering, zooming, playing, and moving the lit points while the budget's slider is dragged happen in the browser alone (map.html,
.css and .js beside this file); points.js brings the points, which change only with corpus and map.  When the player rests on a
pick, a point is clicked or a lasso is drawn, the server is told.

A pool of more than `MOST_POINTS` records is drawn as its density.  Points are then an even sample, which answers the pointer and
shows a column's colours; the picks and whatever is marked; and the records of a region that is looked at closely, where they
are few enough.  A lasso finds every record inside, drawn or not.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from fishersft.plots import sentence_map
from fishersft.plots.sentence_map import FINE, MOST_POINTS, TEXTS, Region, on_grid
from fishersft.scoring import projection, why
from fishersft.selectors import Pool
from fishersft.text import visible, visible_text
from fishersft.ui import behind, cached, components, maps, query_widgets
from fishersft.ui.address import whole, write_value
from fishersft.ui.cached import KEYS
from fishersft.ui.components import dark, escape_markdown, one_line
from fishersft.ui.explore.view import ExploreView
from fishersft.ui.session import Session

HOVER, PLAYED = 90, 320  # characters of a text that a pointer shows, and of a pick's text that is shown while it plays
DIRECTIONS = 10  # principal directions to choose from
SHOWN = ("map", "player")
COLOURS = ("selection", "pick order", "tokens")  # a column of the corpus is the other choice
MOST_COLUMNS = 3
SAMPLE = 5_000  # points of a density that the pointer finds
MOST_LIT = 5_000  # records of a density that are marked as points; more are marked as a density
KEY, REGION = "map-of-sentences", "map-region"
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


@dataclass(frozen=True)
class Drawn:
    """Positions on the map of the records that are points, in the order in which the browser has them.

    Attributes:
        pool: all records, or of a density its sample.
        more: what must be seen of a density and is not in its sample.
        close: the records of the region that is looked at closely, where they are points.
    """

    pool: np.ndarray
    more: np.ndarray
    close: np.ndarray

    @property
    def all(self) -> np.ndarray:
        return np.concatenate([self.pool, self.more, self.close])


def map_panel(view: ExploreView, session: Session, asked: MapLook) -> None:
    """The map with its player; where that is asked for, with the gains, the curve and the ellipse of the picks beside it."""
    colour, playing, shown = asked.colour, asked.playing, view.everything
    kind, xy = _coordinates(shown, asked.kind)
    dense = len(shown) > MOST_POINTS
    points = _points_of(shown, kind, xy)
    _points(key="points", data=points)
    close = _close(shown, kind, xy) if dense else None
    if close is not None:
        _points(key="close", data=close[0])
    focus = components.position_of(shown, view.record)
    nearest = None
    if focus is not None and session.record is not None:
        nearest = why.nearest_of(shown.embeddings, focus, view.places[view.picks])[0]
    lit = view.lit(session.lasso, asked.matched)
    marked = np.flatnonzero(lit) if lit is not None else np.array([], dtype=int)
    sample = _sample(len(shown))
    more = np.array([], dtype=int)
    if dense:
        single = [p for p in (focus, nearest) if p is not None]
        few = marked if len(marked) <= MOST_LIT else marked[:0]
        must = np.concatenate([view.places[view.order.positions], np.flatnonzero(view.target_texts), single, few]).astype(int)
        more = np.setdiff1d(must, sample)
    drawn = Drawn(sample, more, sample[:0] if close is None else close[1])
    every = drawn.all
    values = None
    if colour == "tokens":
        values = shown.tokens[every]
    elif colour in view.corpus.fields.columns:
        values = view.corpus.fields[colour].to_numpy(dtype=object)[shown.index[every]]
    rank = view.on_map(view.rank)[every]
    dots = sentence_map.Points(xy[every], shown.index[every], rank, np.zeros(len(every), bool), view.target_texts[every])
    look = sentence_map.looks_of(dots, colour_by=colour, values=values, selector=view.selector.name, dark=dark())
    if dense:  # the density has a scale of its own
        look["legend"] = [entry for entry in look["legend"] if entry[0] != "not selected"]
    to_draw = np.full(len(shown), -1)
    to_draw[every[::-1]] = np.arange(len(every))[::-1]  # of a record that is drawn twice, the first
    said = f"{kind} map of {len(shown):,} sentences; the {view.n:,} picks of {view.selector.label} are larger and on top."
    if dense:
        said += " The others are drawn as their density."
    if view.target_texts.any():
        said += f" {int(view.target_texts.sum()):,} target texts are outlined stars."
    data = {
        **look,
        "points": points["key"],
        "more": _sent(shown, drawn.more, _places(shown, kind, xy), texts=True) if dense else None,
        "close": None if close is None else close[0]["key"],
        "key": f"{points['key']} {hash(view.order.positions.tobytes())} {playing}",
        "picks": to_draw[view.places[view.order.positions]].tolist(),
        "gain": [float(f"{g:.5g}") for g in view.gains],
        "texts": _texts(view, PLAYED if playing else HOVER) if playing or (len(shown) > TEXTS and not dense) else [],
        "n": view.n,
        "unit": view.unit,
        "pool": len(view.pool),
        "lit": None if lit is None else np.flatnonzero(lit[every]).tolist(),
        "many": sentence_map.density(_places(shown, kind, xy)[marked]) if dense and len(marked) > MOST_LIT else None,
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
        "on_region_change": partial(_regarded, shown, kind),
    }
    _map(key=KEY, data=data, **told)
    more_said = " The ellipse is what the picks leave unknown (θᵀVθ ≤ 1), in the plane of the two directions." if playing else ""
    if dense:
        more_said += (
            f" Drawn as the density of all records; every pick is a point, and the pointer finds a sample of {SAMPLE:,}. Zoom in "
            f"to see a region anew, each record of it where it has at most {MOST_POINTS:,}; a lasso holds every record inside."
        )
    st.caption(
        f"{kind} of {len(shown):,} sentence means in {shown.embeddings.dimension} dimensions, for viewing only: selectors work "
        f"on token rows.{more_said}{maps.faithful(shown, kind)}"
    )


def _coordinates(shown: Pool, kind: str) -> tuple[str, np.ndarray]:
    """The map that was asked for, or PCA until it is there: its name and (N, 2) coordinates."""
    rows = shown.embeddings
    drawn = behind.ready(f"the {kind} map", ("map", rows.key, kind), partial(projection.map_of, rows, kind.lower()))
    return ("PCA", cached.map_of(rows, "pca").xy) if drawn is None else (kind, drawn.xy)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEYS)
def _places(shown: Pool, kind: str, _xy: np.ndarray) -> np.ndarray:
    """(N, 2) where every record lies on the browser's grid."""
    return on_grid(_xy, equal_axes=kind == "PCA")


def _sample(N: int) -> np.ndarray:
    """Positions of the records that are points whatever is looked at."""
    return np.arange(N) if N <= MOST_POINTS else np.linspace(0, N - 1, SAMPLE).astype(int)


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=KEYS)
def _points_of(shown: Pool, kind: str, _xy: np.ndarray) -> dict[str, Any]:
    """The points of a pool for the browser, with the first category of each and, where they are few, its text; and the density of
    a large one."""
    places, some = _places(shown, kind, _xy), _sample(len(shown))
    more = {} if len(shown) <= MOST_POINTS else {"density": sentence_map.density(places)}
    return _sent(shown, some, places, texts=len(some) <= TEXTS, equal_axes=kind == "PCA", **more)


def _sent(
    shown: Pool, some: np.ndarray, places: np.ndarray, *, texts: bool, equal_axes: bool = False, **more: Any
) -> dict[str, Any]:
    """Some records as points for the browser."""
    corpus, index = shown.corpus, shown.index[some]
    assert corpus is not None
    tags: list[str] = []
    if corpus.categories:
        tags = [visible(one_line(v, 40)) for v in corpus.fields[corpus.categories[0]].iloc[index]]
    said = [visible(one_line(corpus.text(int(r)), HOVER)) for r in index] if texts else []
    return sentence_map.points_of(places[some], index, shown.tokens[some], tags, said, equal_axes=equal_axes, **more)


def _close(shown: Pool, kind: str, xy: np.ndarray) -> tuple[dict[str, Any], np.ndarray] | None:
    """What a visitor looks at closely, drawn anew: for the browser, and the positions that are points; None for the whole."""
    of, region = st.session_state.get(REGION, (None, None))
    return _region(shown, kind, region, xy) if of == (shown.embeddings.key, kind) and region else None


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=KEYS)
def _region(shown: Pool, kind: str, region: Region, _xy: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    places = _places(shown, kind, _xy)
    there = sentence_map.within(places, region)
    points = there if len(there) <= MOST_POINTS else there[:0]
    more: dict[str, Any] = {"window": list(region), "records": len(there)}
    if len(there) > MOST_POINTS:
        more["density"] = sentence_map.density(places[there], region)
    return _sent(shown, points, places, texts=len(points) <= TEXTS, **more), points


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
    at = components.number_sent(st.session_state[KEY]["at"], 1, len(view.order))
    if at is not None:
        session.record = int(view.pool.index[view.order.positions[at - 1]])


def _clicked(session: Session) -> None:
    record = components.number_sent(st.session_state[KEY]["record"])
    if record is not None:
        session.record = record


def _marked(shown: Pool, session: Session, kind: str, xy: np.ndarray) -> None:
    """A lasso was drawn: its set is every record inside, drawn or not."""
    corners = st.session_state[KEY]["lasso"]
    usable = isinstance(corners, list) and 3 <= len(corners) <= 1_000
    if usable and all(isinstance(c, list) and len(c) == len(components.numbers_sent(c, -inf, inf)) == 2 for c in corners):
        bounded = [[float(min(max(v, -FINE), 2 * FINE)) for v in corner] for corner in corners]
        within = sentence_map.inside(_places(shown, kind, xy), bounded)
        session.show_set(shown.index[within].tolist())


def _regarded(shown: Pool, kind: str) -> None:
    """A visitor has zoomed to a region of a density."""
    sides = components.numbers_sent(st.session_state[KEY]["region"], -4 * FINE, 4 * FINE)
    if len(sides) == 4:
        left, bottom, right, top = (int(np.clip(v, 0, FINE)) for v in sides)
        st.session_state[REGION] = (shown.embeddings.key, kind), (left, bottom, max(left, right), max(bottom, top))


def map_controls(view: ExploreView, session: Session) -> MapLook:
    """One row: search, filter, how the map looks, and whether the ellipse stands beside it."""
    row = st.container(horizontal=True, vertical_alignment="bottom", key="map-controls")
    said = "Finds records that contain all the words, in any order and case; they are highlighted on the map."
    found = components.search("Search", "q", said, view.corpus, row)
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
    if found is not None:
        hits = found[view.everything.index]
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
        if whole(asked, 1, most) is None:
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
    columns = {c: view.corpus.column(c) for c in view.corpus.categories[:MOST_COLUMNS]}
    offered = {c: [values[k] for k in np.flatnonzero(np.bincount(codes[pool.index]))] for c, (values, codes) in columns.items()}
    start = _from_address(session, offered, span)
    mask, asked, written = np.ones(len(pool), dtype=bool), [], {"length": ""}
    with st.popover("Filter", icon=":material/filter_alt:", help="Filter by a column's values and by length.", width="content"):
        for column, (values, codes) in columns.items():
            chosen = st.multiselect(
                escape_markdown(one_line(column, 24)),
                offered[column],
                key=f"filter {column}",
                format_func=lambda v: visible_text(one_line(v, 60)),
                placeholder="any",
                help="Only records with one of these values.",
            )
            if chosen:
                mask &= np.isin(codes[pool.index], [values.index(value) for value in chosen])
                asked += [code_of(column, value) for value in chosen]
        if span[0] < span[1]:
            key = f"filter tokens {span[0]} {span[1]} {start}"
            low, high = st.slider("Trained tokens", *span, start, key=key, help="Only records whose length is in this range.")
            mask &= (tokens >= low) & (tokens <= high)
            if (low, high) != span:
                written["length"] = f"{low}-{high}"
    written["filter"] = ",".join(sorted(asked))
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
        low, high = (whole(end, *span) for end in asked["length"].partition("-")[::2])
        fits = low is not None and high is not None and low <= high
        st.session_state["lengths_start"] = (low, high) if fits else span
        if asked["length"] and not fits:
            session.notices.append(f"length {asked['length'][:24]} ({span[0]:,} to {span[1]:,} trained tokens)")
    start: tuple[int, int] = st.session_state.get("lengths_start", span)
    return start if span[0] <= start[0] <= start[1] <= span[1] else span  # another corpus has other lengths
