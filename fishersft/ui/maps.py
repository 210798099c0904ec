"""Maps of sentences on the screen: which one can be drawn now, and what a gesture on it means.

UMAP where it is drawn or soon will be; where that takes longer, PCA until it is asked for and drawn, behind the page.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from fishersft.plots.sentence_map import MOST_POINTS
from fishersft.scoring import projection
from fishersft.selectors import Pool
from fishersft.store.artifacts import Store
from fishersft.text import duration
from fishersft.ui import behind, cached, components, query_widgets
from fishersft.ui.session import Session

COMPILING, EACH = 8.0, 0.005  # seconds: UMAP's first map in a process, and a sentence; measured on 500 and 5,000
PLACING = 0.0003  # seconds a sentence beyond the landmarks
AT_ONCE = 15.0  # seconds that nobody needs to be asked for
ASKED = "umap-asked"


def kind(pool: Pool, place: Any, **look: Any) -> str:
    """The control for it in `place`, and which map can be drawn now; `look` as for `query_widgets.segmented`."""
    said = "UMAP keeps neighbours together; PCA is the flat shadow along the two widest directions."
    asked = query_widgets.segmented("Map", ("UMAP", "PCA"), "map", place=place, help=said, **look)
    rows = pool.embeddings
    is_drawn = not rows.key or Store.default().find(projection.map_key(rows)) is not None
    laid = min(len(pool), projection.LANDMARKS)
    about = EACH * laid + PLACING * (len(pool) - laid) + COMPILING * ("umap" not in sys.modules)
    if asked == "PCA" or is_drawn or about <= AT_ONCE:
        behind.let_go()
        return asked
    row = st.container(horizontal=True, vertical_alignment="center", key="umap-waits")
    row.caption("PCA until UMAP is drawn, once for a corpus and a model.")
    if st.session_state.get(ASKED) != rows.key:
        ask = partial(st.session_state.__setitem__, ASKED, rows.key)
        row.button(f"Draw UMAP, about {duration(about)}", icon=":material/scatter_plot:", key="draw-umap", on_click=ask)
        return "PCA"
    row.button("Stop", icon=":material/stop:", key="stop-umap", on_click=_stop)

    def draw(report: Callable[[str], None]) -> projection.Map:
        return projection.map_of(rows, on_stage=lambda what, done, total: report(f"{what}, {done / total:.0%}"))

    return "UMAP" if behind.follow("the UMAP map", ("umap", rows.key), draw) is not None else "PCA"


def _stop() -> None:
    """Draw no UMAP after all."""
    st.session_state.pop(ASKED, None)
    behind.let_go()


def target_texts(everything: Pool, aimed: Pool) -> np.ndarray:
    """(N,) which records on the map are texts of the target, of the choosing or of the measuring half."""
    target, corpus = aimed.target, everything.corpus
    if target is None or corpus is None or target.corpus.fingerprint != corpus.fingerprint:
        return np.zeros(len(everything), dtype=bool)
    halves = [half.index for half in (target.choosing, target.measuring) if half is not None]
    return np.isin(everything.index, np.concatenate(halves))


def chart(fig: go.Figure, key: str, alt: str, name: str, on_select: Callable[[], None]) -> None:
    """A map with all of plotly's buttons for moving and choosing, and a camera that saves it under a name."""
    config = {"scrollZoom": True, "modeBarButtonsToRemove": ["autoScale2d"], **components.saved_as(name)}
    modes: Any = ("points", "lasso", "box")
    st.plotly_chart(fig, theme=None, key=key, on_select=on_select, selection_mode=modes, config=config, alt=alt)


def sampled(pool: Pool) -> str:
    """What a caption says of a map that does not draw every point."""
    if len(pool) <= MOST_POINTS:
        return ""
    return f" {MOST_POINTS:,} points are drawn: every pick and an even sample of the rest."


def faithful(pool: Pool, kind: str) -> str:
    """What a caption says of how true a map is that was laid out by landmarks."""
    kept = cached.map_of(pool.embeddings, kind.lower()).kept
    if kept is None:
        return ""
    near = projection.NEIGHBOURS
    return (
        f" UMAP of {projection.LANDMARKS:,} of them, the others among those nearest to them: of a sentence's {near} nearest, "
        f"{kept:.0%} are among its {near} nearest here."
    )


def point_or_lasso(session: Session, key: str) -> None:
    """What a gesture on the map with this key means: one point is the record looked at, several are the lasso's set."""
    session.show_set()
    sent = st.session_state[key]["selection"].get("points")
    points = [point for point in sent if isinstance(point, dict)] if isinstance(sent, list) else []
    found = [n for point in points if (n := components.number_sent(point.get("customdata"))) is not None]
    if len(found) == 1:
        session.record = found[0]
    elif found:
        session.show_set(found)
