"""The pick player: step, play and drag through the picks, in the browser alone.

One small component (player.html, .css, .js beside this file).  It receives every number at once and asks the server for
nothing while it plays; when it rests on a record, "Why this sentence?" explains that one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from fishersft.plots.playback import Played, packed
from fishersft.text import visible_text
from fishersft.ui import cached, components, query_widgets
from fishersft.ui.components import dark
from fishersft.ui.explore.view import ExploreView
from fishersft.ui.session import Session

DIRECTIONS = 10  # principal directions to choose from
TEXT = 320  # characters of a pick's text that are shown while it plays
KEY = "player"


def _part(kind: str) -> str:
    return (Path(__file__).parent / f"player.{kind}").read_text(encoding="utf-8")


_player = st.components.v2.component("fishersft_pick_player", html=_part("html"), css=_part("css"), js=_part("js"))


def player_panel(view: ExploreView, session: Session, kind: str, matched: np.ndarray | None) -> None:
    """The player, and which directions its ellipse is seen in; what is searched, filtered or lassoed lights up as on the map."""
    first, second = _directions(view)
    positions = view.picks
    walk = cached.walk(view.pool.embeddings, positions, (first - 1, second - 1))
    chance = view.band.at(np.arange(1, view.n + 1)).mean(0)
    texts = [visible_text(view.corpus.texts[r], TEXT) for r in view.pool.index[positions]]
    xy = cached.map_of(view.pool.embeddings, kind.lower())
    played = Played(
        xy, positions, view.pool.index, view.pool.tokens, walk, chance, texts, (first, second), view.lit(session.lasso, matched)
    )
    data = packed(played, selector=view.selector.name, label=view.selector.label, kind=kind, equal=kind == "PCA", dark=dark())
    at = components.position_of(view.pool, session.record)
    rank = int(view.rank[at]) if at is not None else 0
    result: Any = _player(
        key=KEY,
        data={**data, "at": rank, "turn": session.turns, "equal": kind == "PCA"},
        on_at_change=lambda: _rested(view, session),
        on_record_change=lambda: _clicked(session),
    )
    del result  # its state comes through the callbacks
    st.caption(
        f"{kind} of {len(view.pool):,} sentence means, the {view.n:,} picks of {view.selector.label} in order; gains by "
        "TokenOD's criterion with sigma2 = 1. The ellipse is what the picks leave unknown (θᵀVθ ≤ 1), projected onto "
        "the plane of the two directions; its scale adapts."
    )


def check_directions(view: ExploreView, session: Session) -> None:
    """While the player is not shown, name the directions that a link asks for in vain, and drop them."""
    most = min(DIRECTIONS, view.pool.embeddings.dimension)
    for key in ("across", "up"):
        asked = st.query_params.get(key, "1")
        if not (asked.isdigit() and 1 <= int(asked) <= most):
            session.notices.append(f"{key} {asked[:24]} (1 to {most})")
            del st.query_params[key]


def _directions(view: ExploreView) -> tuple[int, int]:
    most = min(DIRECTIONS, view.pool.embeddings.dimension)
    numbers = list(range(1, most + 1))
    if most == 1:
        return 1, 1
    row = st.container(horizontal=True, vertical_alignment="bottom")
    first = query_widgets.select(
        "Ellipse: across",
        numbers,
        "across",
        place=row,
        says=f"1 to {most}",
        width=140,
        help="Principal directions of the pool's token rows, shown across; 1 is the direction of largest second moment.",
    )
    second = query_widgets.select(
        "up",
        numbers,
        "up",
        place=row,
        says=f"1 to {most}",
        index=1,
        width=140,
        help="The principal direction shown upwards.",
    )
    if first == second:
        second = next(k for k in numbers if k != first)
        row.caption(f"A plane needs two different directions, so up is {second}.")
    return int(first), int(second)


def _rested(view: ExploreView, session: Session) -> None:
    at = st.session_state[KEY]["at"]
    if isinstance(at, int | float) and 1 <= at <= view.n:
        session.record = int(view.pool.index[view.order.positions[int(at) - 1]])


def _clicked(session: Session) -> None:
    record = st.session_state[KEY]["record"]
    if isinstance(record, int | float):
        session.record = int(record)
