"""Maps of selections that share axes: where one is moved the others follow, and a lasso on one lights the same records on all."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from fishersft.plots import compare as compare_plots
from fishersft.plots.sentence_map import Points, window_of
from fishersft.scoring.comparison import Row
from fishersft.ui import cached, components, maps, query_widgets
from fishersft.ui.compare.view import CompareView
from fishersft.ui.components import dark
from fishersft.ui.session import Session

MAPS = ("one each", "first two together")
HEIGHT, ON_PHONE = 400, 320  # pixels of each: all are seen at once
_linked = st.components.v2.component(  # charts whose keys begin with a prefix follow each other
    "fishersft_linked_maps",
    html="<span hidden></span>",
    js=(Path(__file__).parent / "linked_maps.js").read_text(encoding="utf-8"),
)


def panel(view: CompareView, session: Session) -> None:
    """A map for each selection side by side, or one for the first two; the controls are below them."""
    picture = st.container()
    row = st.container(horizontal=True, vertical_alignment="center", key="map-controls")
    said = "One map per selector, side by side, or the first two selectors on one large map."
    quiet = {"label_visibility": "collapsed", "width": "content"}
    together = query_widgets.segmented("Maps", MAPS, "maps", place=row, help=said, **quiet) == MAPS[1]
    kind = maps.kind(view.everything, row, **quiet)
    xy = cached.map_of(view.everything.embeddings, kind.lower()).xy
    lit = np.isin(view.everything.index, session.lasso)
    zoom = False
    if lit.any():
        zoom = row.toggle("Zoom to the lasso", key="zoom", help="All maps show only the neighbourhood of the set.")
        row.button("Clear the lasso", icon=":material/deselect:", on_click=session.clear_set)
    one, two = (s.label for s in view.rows[:2])
    stars = "both share" if together else f"{one} shares; on its own map {two} does"
    what = "Filled stars" if view.target_texts.any() else "Stars"
    row.caption(
        f"{kind} of {len(view.everything):,} sentence means. {what}: picks that {stars}. Click a point, or draw a lasso, to find "
        f"it on every map and in Records.{maps.sampled(view.everything)}{maps.faithful(view.everything, kind)}",
        width="stretch",
    )
    focus, window = components.position_of(view.everything, session.record), window_of(xy[lit] if zoom else xy)
    look: dict[str, Any] = {"focus": focus, "window": window, "equal_axes": kind == "PCA", "dark": dark()}
    look["height"] = ON_PHONE if components.touch() else HEIGHT
    # marked on a selector's map: the first one's picks, on that one's own map the second's
    pairs = [view.rows[:2]] if together else [(row, view.rows[0 if k else 1]) for k, row in enumerate(view.rows)]
    for column, (selector, other) in zip(picture.columns(len(pairs), gap="medium"), pairs, strict=True):
        mine, theirs = view.on_maps[selector.name], view.on_maps[other.name]
        shared = int(((mine > 0) & (theirs > 0)).sum())
        points = Points(xy, view.everything.index, np.maximum(mine, theirs) if together else mine, lit, view.target_texts)
        if together:
            fig = compare_plots.pair_map(points, compare_plots.classes(mine > 0, theirs > 0), (selector, other), **look)
            said = f"The picks of {selector.label} and {other.label} on one {kind} map: {shared:,} are in both."
        else:
            fig = compare_plots.selection_map(points, theirs > 0, selector, other, **look)
            column.markdown(f"**{selector.label}**: {len(selector.positions):,} sentences, {view.spent(selector):,} tokens")
            said = f"{kind} map: of {len(selector.positions):,} picks of {selector.label}, {other.label} shares {shared:,}."
        said += f" {int(lit.sum()):,} records of the lasso are highlighted." if lit.any() else ""
        key = _key(session, selector, "pair" if together else selector.name)
        with column:
            maps.chart(fig, key, said, "compare-map", partial(_brushed, session, key, selector, view.rows))
    if not together:
        _linked(key="linked-compare-map-", data={"prefix": "compare-map-"}, height=1)


def _key(session: Session, selector: Row, name: str) -> str:
    """The key of a selector's map; another turn of it clears what was drawn there."""
    return f"compare-map-{name}-{session.generation}-{st.session_state.get(f'turn-{selector.name}', 0)}"


def _brushed(session: Session, key: str, source: Row, others: tuple[Row, ...]) -> None:
    """A gesture on one map: the set is shown on all, and what was drawn on the other maps is cleared."""
    maps.point_or_lasso(session, key)
    for other in others:
        old = st.session_state.get(_key(session, other, other.name)) or {}
        if other.name != source.name and old.get("selection", {}).get("points"):
            turn = f"turn-{other.name}"
            st.session_state[turn] = st.session_state.get(turn, 0) + 1
