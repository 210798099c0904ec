"""What the pictures of several lessons share: a plane with equal axes, an ellipse, points, curves, lines and bars.

Colours are those of `plots`; whatever a colour says, shape or size says too.  Knows no lesson and no Streamlit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import plotly.graph_objects as go

from fishersft.plots.base import GREEN, ORANGE, PURPLE, VERMILION, edge, figure, ink, style
from fishersft.selectors import DEFAULT_SELECTOR

TALL = 400  # as high as a plane beside it


def colours(dark: bool) -> dict[str, str]:
    """By what they paint on a plane that the browser draws."""
    text, grid, quiet = ink(dark)
    ours = {"point": style(DEFAULT_SELECTOR, dark)[0], "candidate": ORANGE, "target": VERMILION, "green": GREEN, "purple": PURPLE}
    return {**ours, "uniform": style("uniform", dark)[0], "ink": text, "grid": grid, "quiet": quiet, "edge": edge(dark)}


ROWS = ("first coordinate of a row", "second coordinate")
COEFFICIENTS = ("first coefficient, from its estimate", "second coefficient")


def plane(dark: bool, box: tuple[float, ...], named: tuple[str, str] = ROWS, *, height: int = TALL, **layout: Any) -> go.Figure:
    """An empty plane with equal axes that nobody zooms by accident; `box` is left, right, bottom and top."""
    fig = axes(dark, *named, height=height, **layout)
    common = {"zeroline": True, "zerolinecolor": ink(dark)[1], "constrain": "domain"}
    fig.update_xaxes(range=box[:2], **common)
    fig.update_yaxes(range=box[2:], scaleanchor="x", constraintoward="top", **common)
    return fig


def axes(dark: bool, x: str, y: str, *, height: int = TALL, **layout: Any) -> go.Figure:
    """An empty figure with named axes that nobody zooms by accident."""
    fig = figure(dark, height=height, dragmode=False, **layout)
    fig.update_xaxes(title_text=x, fixedrange=True)
    return fig.update_yaxes(title_text=y, fixedrange=True)


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
    style = {"color": colour, "width": width, "dash": dash}
    return go.Scatter(x=xy[:, 0], y=xy[:, 1], name=name, mode="lines", line=style, hoverinfo="skip", **more)


def points(xy: np.ndarray, name: str, colour: str, symbol: str, size: Any = 9.0, **more: Any) -> go.Scatter:
    options: dict[str, Any] = {"hoverinfo": "skip", "mode": "markers", **more}
    outline, opacity = options.pop("outline", None), options.pop("opacity", 1.0)
    edge = {"width": 1.5, "color": outline} if outline else {"width": 0}
    marker = {"color": colour, "symbol": symbol, "size": size, "line": edge, "opacity": opacity}
    return go.Scatter(x=xy[:, 0], y=xy[:, 1], name=name, marker=marker, **options)


def curve(
    x: Any, y: Any, name: str, colour: str, symbol: str, hover: str, *, size: float = 8, width: float = 2, dash: str = "solid"
) -> go.Scatter:
    """A curve with a marker at each value, which the pointer reads; `hover` is Plotly's template."""
    trace = points(np.stack([x, y], axis=1), name, colour, symbol, size, mode="lines+markers", hoverinfo="all")
    return trace.update(line={"color": colour, "width": width, "dash": dash}, hovertemplate=hover)


def here(fig: go.Figure, x: float, colour: str = VERMILION) -> None:
    """Mark the lesson's own state on the axis of a figure."""
    fig.add_vline(x=x, line={"color": colour, "width": 1.5, "dash": "dot"})


Series = tuple[str, Any, str, str] | tuple[str, Any, str, str, str]  # name, y, colour, symbol and dash of one curve


def curves(
    fig: go.Figure, x: np.ndarray, series: Iterable[Series], hover: str, *, at: float | None = None, size: float = 8
) -> go.Figure:
    """Curves from zero on, with a marker at each value, and the lesson's own state on their axis."""
    for name, y, paint, symbol, *dash in series:
        fig.add_trace(curve(x, y, name, paint, symbol, hover, size=size, dash="".join(dash) or "solid"))
    if at is not None:
        here(fig, at)
    return fig.update_yaxes(rangemode="tozero")
