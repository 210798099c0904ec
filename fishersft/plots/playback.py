"""An order as something to play: numbers for the player on the Explore page, which draws them in the browser.

Everything that the picture needs goes over once, so that a step asks the server nothing.  Texts travel as plain strings, which
the player shows as text and never as markup.  Knows no Streamlit and no file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fishersft.design.trajectory import Walk, axes
from fishersft.plots.base import edge, ink, pale, style

FINE = 10_000  # places of a point across and up
MOST_POINTS = 20_000  # of the pool that are drawn; picks always are


@dataclass(frozen=True)
class Played:
    """What is played: n picks of a pool of N.

    Attributes:
        xy: (N, 2) the map.
        order: (n,) positions in pick order.
        index, tokens: (N,) record numbers and trained tokens.
        walk: gains and shadows along the order.
        chance: (n,) the mean of random draws of as many sentences, nats; None where it is not at hand.
        texts: (n,) what a reader sees of each pick.
        directions: which two principal directions the plane has, from 1.
        lit: (N,) bool, what stands out; None where nothing does.
    """

    xy: np.ndarray
    order: np.ndarray
    index: np.ndarray
    tokens: np.ndarray
    walk: Walk
    chance: np.ndarray | None
    texts: Sequence[str]
    directions: tuple[int, int]
    lit: np.ndarray | None = None


def packed(played: Played, *, selector: str, label: str, kind: str, equal: bool, dark: bool) -> dict[str, Any]:
    """JSON for the player; `key` names what is played, so that a search or a filter does not begin it anew.

    Args:
        kind: what the map is, in words.
        equal: whether one unit across is as long as one up.
    """
    low, high = played.xy.min(0), played.xy.max(0)
    span = np.maximum(high - low, 1e-9)
    if equal:
        low, span = low - (span.max() - span) / 2, np.full(2, span.max())
    places = np.round((played.xy - low) / span * FINE).astype(int)
    rest = np.setdiff1d(np.arange(len(places)), played.order)
    if len(rest) > MOST_POINTS:
        rest = rest[np.linspace(0, len(rest) - 1, MOST_POINTS).astype(int)]
    shadows = [] if played.walk.shadows is None else [[float(f"{v:.5g}") for v in axes(C)] for C in played.walk.shadows]
    text, grid, quiet = ink(dark)
    content = {
        "fine": FINE,
        "rest": {"x": places[rest, 0].tolist(), "y": places[rest, 1].tolist(), "record": played.index[rest].tolist()},
        "picks": {
            "x": places[played.order, 0].tolist(),
            "y": places[played.order, 1].tolist(),
            "record": played.index[played.order].tolist(),
            "tokens": played.tokens[played.order].tolist(),
            "gain": [float(f"{g:.5g}") for g in played.walk.gains],
            "text": list(played.texts),
        },
        "chance": [] if played.chance is None else [float(f"{v:.6g}") for v in played.chance],
        "axes": shadows,
        "directions": list(played.directions),
        "label": label,
        "kind": kind,
    }
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    colours = {
        "pick": style(selector, dark)[0],
        "ink": text,
        "grid": grid,
        "quiet": quiet,
        "pale": pale(dark),
        "edge": edge(dark),
    }
    return {"key": key, "colours": colours, "lit": _lit(played, places), **content}


def _lit(played: Played, places: np.ndarray) -> dict[str, Any] | None:
    """The points that stand out, and which picks are among them."""
    if played.lit is None:
        return None
    at = np.flatnonzero(played.lit)[:MOST_POINTS]
    return {
        "x": places[at, 0].tolist(),
        "y": places[at, 1].tolist(),
        "record": played.index[at].tolist(),
        "picks": played.lit[played.order].tolist(),
    }
