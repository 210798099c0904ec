"""The map of sentences: as a plotly figure, the pool small and pale, the picks larger and on top; and as numbers for a browser.

Of a pool of more than `MOST_POINTS` records a browser gets a picture of its density, whose size does not grow with the pool, and
those points that must be seen or touched.  Corpus text never enters the figure unescaped, and only a record's number travels with
a point.  Knows no Streamlit and no file.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from fishersft.design.trajectory import Walk, axes
from fishersft.plots.base import CATEGORY_COLOURS, CATEGORY_ON_DARK, CATEGORY_SYMBOLS, edge, figure, ink, label, pale, style

FEW_POINTS = 3_000  # up to here plain SVG is ready sooner than WebGL, which first compiles its shaders
MOST_POINTS = 20_000  # up to here a map has a point for each record
TEXTS = 5_000  # points whose text travels with them
FINE = 65_536  # places of a point across and up, in the map that moves
ACROSS, UP = 320, 200  # cells of a picture of density
SHADES = 64  # of a colour scale
DENSITY = {False: ("#C9CFD6", "#3C4654"), True: ("#333A43", "#C3CBD5")}  # by dark: one record in a cell, and most of them
SYMBOL_NUMBERS = {name: k for k, name in enumerate(("circle", "square", "diamond", "cross", "x", "triangle-up", "triangle-down"))}
SYMBOL_NUMBERS |= {"pentagon": 13, "hexagon": 14, "octagon": 16, "star": 17, "star-triangle-up": 19, "diamond-tall": 23}
SYMBOL_NUMBERS |= {"hourglass": 25, "bowtie": 26, "circle-cross": 27, "circle-x": 28, "square-cross": 29, "square-x": 30}
SYMBOL_NUMBERS |= {"hexagon2": 15, "star-triangle-down": 20, "star-square": 21, "star-diamond": 22, "diamond-wide": 24}
SYMBOL_NUMBERS |= {"diamond-cross": 31, "arrow-up": 45, "arrow-down": 46}


@dataclass(frozen=True)
class Points:
    """What the map draws: N records at `xy` (N, 2), with their numbers (`index`) and their pick numbers from 1, or 0 (`rank`).

    `matched` (N,) bool are those that the search found; all are False where nothing is searched.  `target` (N,) bool are texts
    that the picks are chosen for; None where there is no target.
    """

    xy: np.ndarray
    index: np.ndarray
    rank: np.ndarray
    matched: np.ndarray
    target: np.ndarray | None = None


def shown(points: Points, focus: int | None) -> np.ndarray:
    """Positions to draw, picks last (on top); above `MOST_POINTS` every pick and match and an even sample of the rest."""
    must = (points.rank > 0) | points.matched | (False if points.target is None else points.target)
    if focus is not None:
        must[focus] = True
    rest = _sample(np.flatnonzero(~must), max(0, MOST_POINTS - int(must.sum())))
    top = np.flatnonzero(must)
    return np.concatenate([rest, top[np.argsort(-points.rank[top], kind="stable")]])


def _sample(positions: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the positions, evenly spread."""
    return positions if len(positions) <= most else positions[np.linspace(0, len(positions) - 1, most).astype(int)]


def sentence_map(
    points: Points,
    *,
    colour_by: str,
    values: Sequence[Any] | np.ndarray | None,
    selector: str,
    focus: int | None = None,
    neighbour: int | None = None,
    equal_axes: bool = False,
    dark: bool = False,
    height: int = 620,
) -> go.Figure:
    """The map: pool small and pale, picks larger and on top.

    `colour_by` is `selection`, `pick order`, or the name of the column that `values` (N,) holds.  The positions `focus`, the
    record looked at, and `neighbour`, its nearest pick, are ringed.  `equal_axes` is for maps whose distances mean something
    (PCA): one unit is as long across as up.
    """
    order = shown(points, focus)
    paint = _paint(points, order, colour_by, values, selector, dark)
    return drawn(points, order, paint, focus=focus, neighbour=neighbour, equal_axes=equal_axes, dark=dark, height=height)


def drawn(
    points: Points,
    order: np.ndarray,
    paint: Paint,
    *,
    focus: int | None = None,
    neighbour: int | None = None,
    window: Window | None = None,
    equal_axes: bool = False,
    dark: bool = False,
    height: int = 620,
) -> go.Figure:
    """The figure of painted points, drawn in `order` (from `shown`); maps whose axes span the same `window` can be compared."""
    fig = figure(dark, height=height)
    picked = points.rank[order] > 0
    opacity = np.where(picked, 0.95, 0.7 if dark and paint.entries[3:] else 0.45)  # pale hues drown in the dark
    if points.matched.any():
        opacity = np.where(points.matched[order], 1.0, np.where(picked, 0.35, 0.12))
    size = np.where(picked, 10.0, 5.0) + np.where(points.matched[order], 2.0, 0.0)
    # plain dictionaries: plotly would check traces of its own making twice
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter" if len(order) <= FEW_POINTS else "scattergl",
            "x": points.xy[order, 0].astype(np.float32),
            "y": points.xy[order, 1].astype(np.float32),
            "mode": "markers",
            "customdata": points.index[order].astype(np.int32),
            "marker": {
                "color": np.asarray(paint.codes, dtype=np.float32),
                "colorscale": paint.scale,
                "cmin": -0.5,
                "cmax": len(paint.palette) - 0.5,
                "symbol": paint.symbols if isinstance(paint.symbols, str) else _numbered(paint.symbols),
                "size": size.astype(np.float32),
                "opacity": opacity.astype(np.float32),
                "line": {"width": np.where(picked, 1.0, 0.0).astype(np.float32), "color": edge(dark)},
            },
            "unselected": {"marker": {"opacity": 0.25}},
            "hovertemplate": "record %{customdata}%{text}<extra></extra>",
            "text": np.array([f", pick {r}" if r else "" for r in points.rank[order].tolist()]),
            "showlegend": False,
        }
    ]
    if points.target is not None and points.target.any():
        traces.append(_stars(points.xy[points.target], dark))
    ring = {"size": 20, "color": ink(dark)[0], "line": {"width": 2.5}}
    if neighbour is not None:
        traces.append(_mark({**ring, "symbol": "diamond-open"}, points.xy[neighbour], name="nearest pick", showlegend=True))
    if focus is not None:
        said = f"record {points.index[focus]:,}"
        traces.append(_mark({**ring, "symbol": "circle-open"}, points.xy[focus], name=said, showlegend=True))
    for name, colour, symbol, big in paint.entries:
        traces.append(_mark({"color": colour, "symbol": symbol, "size": 10 if big else 7}, name=name))
    if (bar := paint.bar) is not None:
        scale = {"color": [bar[0]], "cmin": bar[0], "cmax": bar[1], "colorscale": "Cividis", "showscale": True}
        scale["colorbar"] = {"title": {"text": bar[2], "side": "right"}, "thickness": 12, "outlinewidth": 0}
        traces.append(_mark(scale, showlegend=False))
    fig.add_traces(traces)
    bare = {"visible": False, "showgrid": False, "zeroline": False}
    across, up = ({"range": list(side), "autorange": False} if side else {} for side in window or ((), ()))
    fig.update_layout(
        xaxis={**bare, **across},
        yaxis={**bare, **up, **({"scaleanchor": "x"} if equal_axes else {})},
        dragmode="pan",
        clickmode="event+select",
        uirevision=f"map {window}" if window else "map",
        legend={"y": -0.02, "yanchor": "top"},  # above, the toolbar would cover it
    )
    return fig


def _stars(xy: np.ndarray, dark: bool) -> dict[str, Any]:
    """Target texts: star outlines over their points, which stay what one clicks on."""
    marker = {"symbol": "star-open", "size": 12, "color": ink(dark)[0], "line": {"width": 1.5}}
    where = {"x": xy[:, 0].astype(np.float32), "y": xy[:, 1].astype(np.float32)}
    return {"type": "scatter", **where, "mode": "markers", "name": "target text", "hoverinfo": "skip", "marker": marker}


def _mark(marker: dict[str, Any], at: np.ndarray | None = None, **more: Any) -> dict[str, Any]:
    """A trace of one point, or of none, which only the legend shows."""
    x, y = ([None], [None]) if at is None else ([float(at[0])], [float(at[1])])
    return {"type": "scatter", "x": x, "y": y, "mode": "markers", "hoverinfo": "skip", "marker": marker, **more}


def _numbered(symbols: Sequence[str]) -> list[int]:
    """Plotly's numbers of its symbols: it checks each one, and names by patterns (30 ms at 5,000 points)."""
    numbers = {name: SYMBOL_NUMBERS[name.removesuffix("-open")] + 100 * name.endswith("-open") for name in set(symbols)}
    return [numbers[name] for name in symbols]


Window = tuple[tuple[float, float], tuple[float, float]]  # left and right, bottom and top


def window_of(xy: np.ndarray) -> Window:
    """What a map of these (k, 2) points spans, with a little room around."""
    low, high = xy.min(0).astype(float), xy.max(0).astype(float)
    room = 0.05 * np.maximum(high - low, 1e-3 + 0.02 * np.abs(high))
    (left, bottom), (right, top) = (low - room).tolist(), (high + room).tolist()
    return (left, right), (bottom, top)


Entry = tuple[str, str, str, bool]  # name, colour, symbol, large


@dataclass(frozen=True)
class Paint:
    """How the points look.  Codes into a palette, since plotly checks a list of colours one by one (0.2 s at 6,500 points).

    There is one symbol for all points or one for each; `bar` has the low end, the high end and the title of a colour bar.
    """

    codes: np.ndarray
    palette: list[str]
    symbols: str | list[str]
    entries: list[Entry]
    bar: tuple[float, float, str] | None = None

    @property
    def scale(self) -> list[list[float | str]]:
        """The palette as a colour scale of equal steps."""
        k = len(self.palette)
        return [[(i + edge) / k, colour] for i, colour in enumerate(self.palette) for edge in (0, 1)]


def _paint(points: Points, order: np.ndarray, colour_by: str, values: Any, selector: str, dark: bool) -> Paint:
    quiet = pale(dark)
    colour, marker = style(selector, dark)
    rank = points.rank[order]
    shapes = marker if marker == "circle" else [marker if r else "circle" for r in rank]
    cividis = [quiet, *sample_colorscale("Cividis", np.linspace(0, 1, SHADES).tolist())]

    def shades(numbers: np.ndarray, low: float, high: float) -> np.ndarray:
        return 1 + np.round((SHADES - 1) * (numbers - low) / max(high - low, 1e-12))

    if colour_by == "selection" or (values is None and colour_by != "pick order"):
        entries = [("selected", colour, marker, True), ("not selected", quiet, "circle", False)]
        return Paint(rank > 0, [quiet, colour], shapes, entries)
    if colour_by == "pick order":
        last = max(int(rank.max()), 2)
        codes = np.where(rank > 0, shades(rank, 1, last), 0)
        return Paint(codes, cividis, shapes, [("not selected", quiet, "circle", False)], (1, last, "pick"))
    column = [values[p] for p in order]
    numbers = _numbers(column)
    if numbers is not None:
        low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
        codes = np.nan_to_num(shades(numbers, low, high), nan=0)
        return Paint(codes, cividis, "circle", [], (low, high, label(colour_by)))
    names = [str(v) if v is not None and v == v else "" for v in column]
    counts = Counter(str(v) for v in values if v is not None and v == v)
    ranked = sorted(counts, key=lambda n: (-counts[n], n))
    room = len(CATEGORY_COLOURS) * len(CATEGORY_SYMBOLS)
    place = {name: k for k, name in enumerate(ranked[:room])}
    at = [place.get(name, -1) for name in names]
    hues = CATEGORY_ON_DARK if dark else CATEGORY_COLOURS
    colours, kinds = len(hues), CATEGORY_SYMBOLS
    entries = [(label(n), hues[k % colours], kinds[k // colours], True) for n, k in place.items()]
    if len(ranked) > room:
        entries.append((f"{len(ranked) - room} more", quiet, "circle", False))
    codes = np.array([1 + k % colours if k >= 0 else 0 for k in at])
    symbols: str | list[str] = [kinds[k // colours] if k >= 0 else "circle" for k in at]
    return Paint(codes, [quiet, *hues], symbols if len(ranked) > colours else "circle", entries)


def _numbers(column: Sequence[Any]) -> np.ndarray | None:
    """The column as numbers where it holds numbers and more than a dozen different ones."""
    if not all(v is None or (isinstance(v, int | float | np.number) and not isinstance(v, bool)) for v in column):
        return None
    out = np.array([np.nan if v is None else float(v) for v in column])
    return out if len(np.unique(out[np.isfinite(out)])) > 12 else None


def points_of(
    places: np.ndarray,
    index: np.ndarray,
    tokens: np.ndarray,
    tags: Sequence[str],
    texts: Sequence[str],
    *,
    equal_axes: bool,
    **more: Any,
) -> dict[str, Any]:
    """N points of a pool as JSON for the map that moves in the browser, with a `key` that names them.

    Args:
        places: (N, 2) from `on_grid`.
        index, tokens: (N,) numbers of the records, and their trained tokens.
        tags: (N,) a category of each, or empty.
        texts: what a pointer shows of each record, as plain strings that are never read as markup; may be empty.
        equal_axes: one unit across is as long as one up.
        more: what else belongs to them: the `density` of all records, or the `window` whose records they are.
    """
    names = sorted(set(tags))
    place = {name: k for k, name in enumerate(names)}
    content = {
        "fine": FINE,
        "x": places[:, 0].tolist(),
        "y": places[:, 1].tolist(),
        "record": index.tolist(),
        "tokens": tokens.tolist(),
        "tag": [place[tag] for tag in tags] if len(names) else None,
        "tags": names,
        "text": list(texts),
        "equal": equal_axes,
        **more,
    }
    return {"key": hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16], **content}


def on_grid(xy: np.ndarray, *, equal_axes: bool) -> np.ndarray:
    """(N, 2) whole numbers from 0 to `FINE`: where points lie in the map that moves, and what a lasso's corners are given in."""
    low, high = xy.min(0), xy.max(0)
    span = np.maximum(high - low, 1e-9)
    if equal_axes:
        low, span = low - (span.max() - span) / 2, np.full(2, span.max())
    return np.asarray(np.round((xy - low) / span * FINE).astype(np.int32))


Region = tuple[int, int, int, int]  # left, bottom, right, top, on the grid; all four edges belong to it
WHOLE: Region = (0, 0, FINE, FINE)


def within(places: np.ndarray, region: Region) -> np.ndarray:
    """Positions of the (N, 2) places that lie in a region, ascending."""
    (left, bottom, right, top), (x, y) = region, places.T
    return np.flatnonzero((x >= left) & (x <= right) & (y >= bottom) & (y <= top))


def density(places: np.ndarray, region: Region = WHOLE) -> dict[str, Any]:
    """How many of (n, 2) places, all in the region, lie in each of its `ACROSS` x `UP` cells, as JSON of one size.

    `cells` is base64 of a byte a cell, row by row from the bottom: 0 where there is none, 1 for one place, and 255 for `most`,
    the largest count, evenly in the logarithm of the count.
    """
    cells = np.zeros(len(places), dtype=np.int64)
    for side, parts, step in ((0, ACROSS, 1), (1, UP, ACROSS)):
        low, high = region[side], region[side + 2]
        cells += np.minimum((places[:, side] - low) * parts // max(1, high - low), parts - 1) * step
    counts = np.bincount(cells, minlength=ACROSS * UP)
    most = max(int(counts.max()), 1)
    levels = np.where(counts > 0, 1 + np.round(254 * np.log(counts.clip(1)) / np.log(max(most, 2))), 0).astype(np.uint8)
    said = {"records": len(places), "most": most, "across": ACROSS, "up": UP, "window": list(region)}
    return {**said, "cells": base64.b64encode(levels.tobytes()).decode()}


def inside(places: np.ndarray, corners: Sequence[Sequence[float]]) -> np.ndarray:
    """(N,) bool: which of (N, 2) places lie in a polygon, by the even-odd rule; each edge looks at the places at its height."""
    by_height = np.argsort(places[:, 1], kind="stable")
    x, y = places[by_height, 0].astype(float), places[by_height, 1] + 0.5  # between the grid's lines, where no corner lies
    odd = np.zeros(len(places), dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        beside = slice(*np.searchsorted(y, sorted((ay, by))))
        odd[beside] ^= x[beside] < ax + (y[beside] - ay) / ((by - ay) or 1.0) * (bx - ax)
    found = np.empty_like(odd)
    found[by_height] = odd
    return found


def looks_of(points: Points, *, colour_by: str, values: Any, selector: str, dark: bool) -> dict[str, Any]:
    """How the map that moves paints its points: `paint`, `symbol` of picks, `legend` entries, a `scale` of colours, and colours.

    The arguments are those of `sentence_map`.  Picks are painted in the browser, which knows how many there are at any moment.
    """
    paint = _paint(points, np.arange(len(points.xy)), colour_by, values, selector, dark)
    text, grid, quiet = ink(dark)
    colour, marker = style(selector, dark)
    colours = {"pick": colour, "ink": text, "grid": grid, "quiet": quiet, "pale": pale(dark), "edge": edge(dark)}
    colours |= {"sparse": DENSITY[dark][0], "dense": DENSITY[dark][1]}
    by_column = colour_by not in ("selection", "pick order") and values is not None
    symbols = paint.symbols if by_column and not isinstance(paint.symbols, str) else None
    look: dict[str, Any] = {"codes": None, "symbols": symbols, "palette": paint.palette}
    if by_column:
        look["codes"] = np.asarray(paint.codes).astype(int).tolist()
    elif colour_by == "pick order":
        look["shades"] = paint.palette[1:]
    legend = [[html.unescape(name), fill, shape, False] for name, fill, shape, _ in paint.entries]
    if points.target is not None and points.target.any():
        legend.append(["target text", text, "star", True])
    scale = None
    if paint.bar is not None:
        low, high, title = paint.bar
        scale = {"low": f"{low:,.4g}", "high": f"{high:,.4g}", "title": html.unescape(title), "shades": paint.palette[1:]}
    return {"paint": look, "symbol": marker, "legend": legend, "scale": scale, "colours": colours, "dark": dark}


def ellipses(walk: Walk) -> list[list[float]]:
    """Half axes and angle of the design's ellipse after 0, 1, ... picks; empty where the walk has no plane."""
    return [] if walk.shadows is None else [[float(f"{v:.5g}") for v in axes(C)] for C in walk.shadows]
