"""Selections side by side as plotly figures: maps that share axes, overlaps, leads over chance, lengths and topics.

A record belongs to one of four classes: only the first selector's, only the second's, both, neither; each has a colour and a
shape.  Corpus text never enters unescaped, and only a record's number travels with a point.  Knows no Streamlit and no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from fishersft.design.trajectory import Curve
from fishersft.plots.base import axis_style, band, edge, figure, ink, label, pale, style
from fishersft.plots.sentence_map import Entry, Paint, Points, drawn, shown
from fishersft.scoring.comparison import Row

NEITHER, ONLY_FIRST, ONLY_SECOND, BOTH = 0, 1, 2, 3  # a record's class
FAINT = "circle-open"  # what no one picked
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def classes(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N,) the class of each record, from two (N,) bools."""
    return np.where(first, ONLY_FIRST, 0) + np.where(second, ONLY_SECOND, 0)


def pair_map(
    points: Points, kinds: np.ndarray, pair: tuple[Row, Row], *, dark: bool = False, height: int = 560, **look: Any
) -> go.Figure:
    """Two selections on one map: `points` have a `rank` above 0 where either picked, `kinds` are (N,) from `classes`, and `look`
    is `focus`, `window` and `equal_axes` as `sentence_map.drawn` takes them."""
    (one, one_mark), (two, two_mark) = (style(s.name, dark) for s in pair)
    if one == two:  # relatives share a colour: the second is hollow
        two_mark += "-open"
    names = ("neither", f"only {pair[0].label}", f"only {pair[1].label}", "both")
    palette, marks = [pale(dark), one, two, ink(dark)[0]], [FAINT, one_mark, two_mark, "star"]
    return _painted(points, kinds, names, palette, marks, dark=dark, height=height, **look)


def selection_map(
    points: Points, shared: np.ndarray, selector: Row, other: Row, *, dark: bool = False, height: int = 420, **look: Any
) -> go.Figure:
    """One selection on its map: its own picks (`rank` above 0) in its colour and marker, and as dark stars the `shared` (N,)
    ones, which `other` picked too; `look` as in `pair_map`."""
    colour, mark = style(selector.name, dark)
    kinds = np.where(points.rank > 0, np.where(shared, 2, 1), 0)
    names = ("not picked", f"not {other.label}'s", f"{other.label}'s too")
    palette, marks = [pale(dark), colour, ink(dark)[0]], [FAINT, mark, "star"]
    return _painted(points, kinds, names, palette, marks, dark=dark, height=height, **look)


def _painted(
    points: Points,
    kinds: np.ndarray,
    names: Sequence[str],
    palette: list[str],
    marks: list[str],
    *,
    focus: int | None = None,
    **look: Any,
) -> go.Figure:
    """A map whose records have one of a few kinds, each with its name, colour and shape; kind 0 is what nobody picked."""
    order = shown(points, focus)
    counts = np.bincount(kinds, minlength=len(names)).tolist()
    said = [f"{name}: {count:,}" for name, count in zip(names, counts, strict=True)]
    entries: list[Entry] = [(said[k], palette[k], marks[k], k > 0) for k in (*range(1, len(names)), 0)]
    paint = Paint(kinds[order], palette, [marks[k] for k in kinds[order]], entries)
    fig = drawn(points, order, paint, focus=focus, **look)
    # maps side by side are equally large, however many lines their legends take
    legend = {"yref": "container", "y": 0, "yanchor": "bottom"}
    return fig.update_layout(legend=legend, margin={"l": 8, "r": 8, "t": 8, "b": 72})


def overlap_matrix(
    selectors: Sequence[Row], shared: np.ndarray, jaccard: np.ndarray, *, dark: bool = False, height: int = 280
) -> go.Figure:
    """How many picks every two selectors share; (k, k) counts, shaded by the (k, k) Jaccard index."""
    labels = [label(s.label, 20) for s in selectors]
    ends = ("#1F2429", "#56B4E9") if dark else ("#F3F5F8", "#0072B2")
    fig = figure(dark, height=height)
    scale = {"zmin": 0, "zmax": 1, "colorscale": [[0, ends[0]], [1, ends[1]]], "showscale": False}
    fig.add_heatmap(z=jaccard, x=labels, y=labels, xgap=2, ygap=2, hoverinfo="skip", **scale)
    cells = []
    for i, j in np.ndindex(jaccard.shape):
        font = {"color": edge(dark) if jaccard[i, j] > 0.5 else ink(dark)[0], "size": 13}
        text = f"{shared[i, j]:,}<br>{jaccard[i, j]:.2f}"
        cells.append({"x": j, "y": i, "text": text, "showarrow": False, "font": font})
    plain = axis_style(dark, ticks="", showgrid=False, fixedrange=True)
    fig.update_layout(xaxis={**plain, "side": "bottom"}, yaxis={**plain, "autorange": "reversed"}, annotations=cells)
    return fig


def lead_curves(
    curves: Sequence[tuple[str, Curve]], *, budget: float, log: bool = False, dark: bool = False, height: int = 330
) -> go.Figure:
    """How many nats more than the mean random draw: lines (selector's name, curve), the range of the draws as a band, and a mark
    at the budget; from a quarter of it to four times as much, or with `log` from the first pick."""
    unit = curves[0][1].x_unit
    left, right = budget / 4, min(4 * budget, max(float(c.x[-1]) for _, c in curves))
    seen = [(c.x >= left) & (c.x <= right) for _, c in curves]
    ends = [y[s] for s, (_, c) in zip(seen, curves, strict=True) for y in (c.mean, c.low, c.high) if y is not None and s.any()]
    low, high = (min(e.min() for e in ends), max(e.max() for e in ends)) if ends else (-1.0, 1.0)
    room = 0.08 * max(high - low, 1e-6)
    window = {} if log else {"range": [left, right]}
    x = axis_style(dark, f"{unit} selected", **({"type": "log"} if log else window), tickformat=",.4~r")
    y = axis_style(dark, "nats more than the mean draw", **({} if log else {"range": [low - room, high + room]}))
    fig = figure(dark, height=height, xaxis=x, yaxis=y, hovermode="x unified")
    for name, curve in curves:
        colour, _ = style(name, dark)
        if curve.low is not None and curve.high is not None:
            fig.add_trace(band(curve.x, curve.low, curve.high, colour, 0.28))
        said = f"{curve.label}, {curve.draws} draws" if curve.draws > 1 else curve.label
        line = {"color": colour, "width": 2.5 if curve.draws == 1 else 1.5, "dash": "dash" if name == "longest" else "solid"}
        fig.add_scatter(x=curve.x, y=curve.mean, mode="lines", name=label(said), line=line, hovertemplate="%{y:+,.3~r}")
    fig.add_vline(x=budget, line={"color": ink(dark)[2], "width": 1.5, "dash": "dot"})
    return fig


def spreads(
    rows: Sequence[tuple[str, str, np.ndarray]], band: tuple[float, float], unit: str, *, log: bool = False, dark: bool = False
) -> go.Figure:
    """A line for each of `rows`: thin from the 5th to the 95th percentile, thick over the middle half, a mark at the median.

    A row has the selector's name ("" for the pool), its label and its values; `band` is shaded, from the least median of the
    random draws to the greatest.
    """
    fig = figure(dark, height=74 + 34 * len(rows))
    shade = {"type": "rect", "xref": "x", "yref": "y domain", "x0": band[0], "x1": band[1], "y0": 0, "y1": 1}
    shade |= {"fillcolor": style("uniform", dark)[0], "opacity": 0.35, "line": {"width": 0}, "layer": "below"}
    quantiles = [np.quantile(values, QUANTILES).tolist() for _, _, values in rows]
    for (name, text, _), (low, left, middle, right, high) in zip(rows, quantiles, strict=True):
        colour, mark = style(name, dark) if name else (ink(dark)[0], "line-ns-open")
        said = label(text, 24)
        for ends, width, opacity in (((low, high), 1.5, 1), ((left, right), 6, 0.55)):
            line = {"color": colour, "width": width}
            fig.add_scatter(x=ends, y=[said, said], mode="lines", line=line, opacity=opacity, hoverinfo="skip", showlegend=False)
        fig.add_scatter(
            x=[middle],
            y=[said],
            mode="markers",
            marker={"color": colour, "symbol": mark, "size": 11, "line": {"width": 0 if name else 2}},
            customdata=[[low, left, right, high]],
            hovertemplate="median %{x:,.3~r}; half of them %{customdata[1]:,.3~r} to %{customdata[2]:,.3~r}; "
            "90% %{customdata[0]:,.3~r} to %{customdata[3]:,.3~r}<extra></extra>",
            showlegend=False,
        )
    least, most = min(q[0] for q in quantiles), max(q[-1] for q in quantiles)
    kind: dict[str, Any] = {"range": [0, 1.04 * most]}
    if log:
        low, high = 0.9 * least, 1.1 * most
        ticks = [t for e in range(-3, 9) for m in (1, 2, 5) if low <= (t := m * 10.0**e) <= high]
        kind = {"type": "log", "range": np.log10([low, high]).tolist()}
        kind |= {"tickvals": ticks, "ticktext": [f"{t:,.4g}" for t in ticks]}
    fig.update_layout(
        xaxis=axis_style(dark, unit, fixedrange=True, **kind),
        yaxis=axis_style(dark, ticks="", autorange="reversed", showgrid=False, fixedrange=True),
        shapes=[shade],
    )
    return fig


def topic_shares(
    topics: Sequence[str],
    pool: np.ndarray,
    draws: np.ndarray,
    selections: Sequence[tuple[Row, np.ndarray]],
    *,
    dark: bool = False,
) -> go.Figure:
    """What share of the picks each of k topics has: the `pool` (k,) as a tick, random `draws` (draws, k) as a bar, and selectors,
    each with its (k,) shares, as their markers.  Shares are from 0 to 1."""
    said = [label(t, 22) for t in topics]
    fig = figure(dark, height=96 + 22 * len(said))
    low, high = draws.min(0), draws.max(0)
    fig.add_bar(
        y=said,
        x=100 * (high - low),
        base=100 * low,
        orientation="h",
        width=0.6,
        marker={"color": style("uniform", dark)[0], "opacity": 0.4},
        name=f"{len(draws)} random draws",
        hovertemplate="random draws %{base:.1f} to %{x:.1f}%<extra></extra>",
    )
    tick = {"symbol": "line-ns-open", "size": 13, "color": ink(dark)[0], "line": {"width": 2}}
    points = [("the pool", pool, tick, "pool %{x:.1f}%<extra></extra>")]
    for selector, shares in selections:
        colour, mark = style(selector.name, dark)
        marker = {"symbol": mark, "size": 9, "color": colour, "line": {"width": 0.8, "color": edge(dark)}}
        points.append((label(selector.label, 24), shares, marker, "%{x:.1f}%"))
    for name, shares, marker, hover in points:
        fig.add_scatter(x=100 * shares, y=said, mode="markers", name=name, marker=marker, hovertemplate=hover)
    fig.update_layout(
        xaxis=axis_style(dark, "share of the picks (%)", rangemode="tozero", fixedrange=True),
        yaxis=axis_style(dark, ticks="", autorange="reversed", fixedrange=True),
        barmode="overlay",
    )
    return fig
