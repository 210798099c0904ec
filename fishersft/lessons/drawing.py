"""What the pictures of several lessons share: a plane with equal axes, an ellipse, points, a quiet line.

Colours are those of `plots`; what matters is said by shape or size too.  Knows no lesson and no Streamlit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fishersft.plots.base import figure, ink

if TYPE_CHECKING:
    import plotly.graph_objects as go

TALL = 440
LOW = 320


def plane(dark: bool, box: tuple[float, ...], *, height: int = TALL, **layout: Any) -> go.Figure:
    """An empty plane with equal axes that nobody zooms by accident; `box` is left, right, bottom and top."""
    axis = figure(dark, height=height).layout.xaxis.to_plotly_json()
    common = {**axis, "zeroline": True, "zerolinecolor": ink(dark)[1], "fixedrange": True}

    def named(text: str, **more: Any) -> dict[str, Any]:
        return {**common, "title": {**axis["title"], "text": text}, **more}

    across = named("first coordinate of a row", range=box[:2], constrain="domain")
    up = named("second coordinate", scaleanchor="x", range=box[2:], constrain="domain", constraintoward="top")
    return figure(dark, height=height, xaxis=across, yaxis=up, dragmode=False, **layout)


def axes(dark: bool, x: str, y: str, *, height: int = LOW, **layout: Any) -> go.Figure:
    """An empty figure with named axes that nobody zooms by accident."""
    axis = figure(dark, height=height).layout.xaxis.to_plotly_json()

    def named(text: str) -> dict[str, Any]:
        return {**axis, "title": {**axis["title"], "text": text}, "fixedrange": True}

    return figure(dark, height=height, xaxis=named(x), yaxis=named(y), dragmode=False, **layout)


def ellipse_of(A: np.ndarray, level: float = 1.0, steps: int = 181) -> np.ndarray:
    """(steps, 2) points z with z^T A z = level, for A (2, 2) positive definite."""
    angle = np.linspace(0, 2 * np.pi, steps)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    return np.sqrt(level) * np.linalg.solve(np.linalg.cholesky(A).T, circle).T


def semi_axes(A: np.ndarray, level: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Half lengths of that ellipse's axes, the longer first, and their directions as columns."""
    values, vectors = np.linalg.eigh(A)
    return np.sqrt(level / values), vectors


def line(xy: np.ndarray, name: str, colour: str, *, dash: str = "solid", width: float = 2.0, **more: Any) -> go.Scatter:
    """A curve in the plane that does not answer the pointer."""
    import plotly.graph_objects as go

    style = {"color": colour, "width": width, "dash": dash}
    return go.Scatter(x=xy[:, 0], y=xy[:, 1], name=name, mode="lines", line=style, hoverinfo="skip", **more)


def points(xy: np.ndarray, name: str, colour: str, symbol: str, size: Any = 9.0, **more: Any) -> go.Scatter:
    """Points in the plane."""
    import plotly.graph_objects as go

    options: dict[str, Any] = {"hoverinfo": "skip", "mode": "markers", **more}
    outline = options.pop("outline", None)
    marker: dict[str, Any] = {"color": colour, "symbol": symbol, "size": size, "line": {"width": 0}}
    if outline:
        marker["line"] = {"width": 1.5, "color": outline}
    return go.Scatter(x=xy[:, 0], y=xy[:, 1], name=name, marker={**marker, "opacity": options.pop("opacity", 1.0)}, **options)


def faint(colour: str, alpha: float) -> str:
    """A colour that lets through what lies behind it."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{alpha})"
