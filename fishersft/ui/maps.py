"""Which map the sentences lie on: UMAP where it is drawn or soon will be; where that takes longer, PCA until it is asked for."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import streamlit as st

from fishersft.scoring.precomputed import map_key, map_of
from fishersft.selectors import Pool
from fishersft.store.artifacts import Store
from fishersft.text import duration
from fishersft.ui import components, query_widgets
from fishersft.ui.session import Session

COMPILING, EACH = 8.0, 0.005  # seconds: UMAP's first map in a process, and a sentence; measured on 500 and 5,000
AT_ONCE = 15.0  # seconds that nobody needs to be asked for


def kind(pool: Pool, place: Any) -> str:
    """The control for it in `place`, and which map can be drawn now."""
    asked = query_widgets.map_kind(place)
    if asked == "PCA" or _is_drawn(pool):
        return asked
    about = EACH * len(pool) + COMPILING * ("umap" not in sys.modules)
    if about <= AT_ONCE:
        return asked
    row = st.container(horizontal=True, vertical_alignment="center", key="umap-waits")
    row.caption("PCA until UMAP is drawn, once for a corpus and a model.")
    if not row.button(f"Draw UMAP, about {duration(about)}", icon=":material/scatter_plot:", key="draw-umap"):
        return "PCA"
    with st.spinner("Drawing the map …"):
        map_of(pool.embeddings)
    st.rerun()


def _is_drawn(pool: Pool) -> bool:
    return not pool.embeddings.key or Store.default().find(map_key(pool.embeddings)) is not None


def camera(name: str) -> dict[str, Any]:
    """The configuration of a map: all of plotly's buttons for moving and choosing, and the camera."""
    return {"scrollZoom": True, "modeBarButtonsToRemove": ["autoScale2d"], **components.saved_as(name)}


def point_or_lasso(session: Session, key: str) -> None:
    """What a gesture on the map with this key means: one point is the record looked at, several are the lasso's set."""
    session.show_set()
    found = [int(np.ravel(p["customdata"])[0]) for p in st.session_state[key]["selection"]["points"] if "customdata" in p]
    if len(found) == 1:
        session.record = found[0]
    elif found:
        session.show_set(found)
