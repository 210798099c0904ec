"""Results into plotly figures.  No Streamlit, no files, no computing; one template, light and dark.

A selector has one colour and one marker everywhere (Okabe and Ito's palette, safe for colour-blind eyes).  Corpus text never
enters a figure unescaped, and only a record's number travels with a point.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fishersft.curves.gain import Curve

if TYPE_CHECKING:
    import plotly.graph_objects as go

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#8A8F98",
)
CATEGORY_COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, "#B8860B", "#5A5F66")
CATEGORY_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross")
STYLES = {
    "token_od": (BLUE, "circle"),
    "sentence_od": (ORANGE, "diamond"),
    "uniform": (GREY, "square"),
    "longest": (VERMILION, "triangle-up"),
}
SPARE = ((GREEN, "cross"), (PURPLE, "x"), (SKY, "star"), ("#B8860B", "hexagon"))
FEW_POINTS = 3_000  # up to here plain SVG is ready sooner than WebGL, which first compiles its shaders
MOST_POINTS = 50_000  # beyond this, hovering freezes in a browser
FONT = "Source Sans, Source Sans Pro, system-ui, sans-serif"


def style(selector: str, dark: bool = False) -> tuple[str, str]:
    """(colour, marker) of a selector; strangers get theirs by name."""
    colour, marker = STYLES.get(selector) or SPARE[sum(selector.encode()) % len(SPARE)]
    return (SKY if dark and colour == BLUE else colour), marker


def label(text: Any, longest: int = 32) -> str:
    """Text from a corpus, safe as a plotly label: no markup, no TeX, no control characters, not too long."""
    clean = "".join(c if c.isprintable() else " " for c in str(text)).strip()
    clean = clean if len(clean) <= longest else clean[: longest - 1] + "…"
    return html.escape(clean, quote=False).replace("$", "&#36;") or "(blank)"


def ink(dark: bool) -> tuple[str, str, str]:
    """Text, grid and quiet colours."""
    return ("#E8EAED", "#3A3F47", "#A6ACB5") if dark else ("#22262B", "#E4E7EB", "#666D76")


def figure(dark: bool, *, height: int, **layout: Any) -> go.Figure:
    """An empty figure in the house style."""
    import plotly.graph_objects as go

    text, lines, quiet = ink(dark)
    axis = {
        "gridcolor": lines,
        "zeroline": False,
        "linecolor": lines,
        "ticks": "outside",
        "tickcolor": lines,
        "title": {"standoff": 8, "font": {"size": 13}},
        "automargin": True,
    }
    base: dict[str, Any] = {
        "template": None,
        "font": {"family": FONT, "size": 13, "color": text},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "height": height,
        "xaxis": axis,
        "yaxis": axis,
        "hoverlabel": {"bgcolor": "#22262B" if dark else "#FFFFFF", "font": {"color": text, "family": FONT}},
        "legend": {
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "xanchor": "left",
            "itemclick": False,
            "itemdoubleclick": False,
            "font": {"size": 12},
        },
        "separators": ".,",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": quiet, "activecolor": text},
    }
    return go.Figure(layout={**base, **layout})


@dataclass(frozen=True)
class Points:
    """What the map draws: N records.

    Attributes:
        xy: (N, 2).
        index: (N,) record numbers, the only thing that travels with a point.
        rank: (N,) pick number from 1, or 0 where not picked.
        matched: (N,) bool, found by the search; all False where nothing is searched.
    """

    xy: np.ndarray
    index: np.ndarray
    rank: np.ndarray
    matched: np.ndarray


def shown(points: Points, focus: int | None) -> np.ndarray:
    """Positions to draw, picks last (on top); above `MOST_POINTS` every pick and match and an even sample of the rest."""
    must = (points.rank > 0) | points.matched
    if focus is not None:
        must[focus] = True
    rest = np.flatnonzero(~must)
    room = max(0, MOST_POINTS - int(must.sum()))
    if len(rest) > room:
        rest = rest[np.linspace(0, len(rest) - 1, room).astype(int)] if room else rest[:0]
    top = np.flatnonzero(must)
    return np.concatenate([rest, top[np.argsort(-points.rank[top], kind="stable")]])


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

    Args:
        colour_by: `selection`, `pick order`, or the name of the column that `values` (N,) holds.
        focus, neighbour: positions to ring: the record looked at, and its nearest pick.
        equal_axes: one unit is as long across as up, for maps whose distances mean something (PCA).
    """
    import plotly.graph_objects as go

    fig = figure(dark, height=height)
    order = shown(points, focus)
    picked = points.rank[order] > 0
    colours, symbols, entries, bar = _paint(points, order, colour_by, values, selector, dark)
    searched = bool(points.matched.any())
    opacity = np.where(picked, 0.95, 0.45)
    if searched:
        opacity = np.where(points.matched[order], 1.0, np.where(picked, 0.35, 0.12))
    size = np.where(picked, 10.0, 5.0) + np.where(points.matched[order], 2.0, 0.0)
    edge = "#14171A" if dark else "#FFFFFF"
    trace = go.Scatter if len(order) <= FEW_POINTS else go.Scattergl
    fig.add_trace(
        trace(
            x=points.xy[order, 0].astype(np.float32),
            y=points.xy[order, 1].astype(np.float32),
            mode="markers",
            customdata=points.index[order].astype(np.int32),
            marker={
                "color": colours,
                "symbol": symbols,
                "size": size.astype(np.float32),
                "opacity": opacity.astype(np.float32),
                "line": {"width": np.where(picked, 1.0, 0.0).astype(np.float32), "color": edge},
            },
            unselected={"marker": {"opacity": 0.25}},
            hovertemplate="record %{customdata}%{text}<extra></extra>",
            text=[f", pick {r}" if r else "" for r in points.rank[order].tolist()],
            showlegend=False,
        )
    )
    for position, dash in ((neighbour, True), (focus, False)):
        if position is not None:
            fig.add_trace(
                go.Scatter(
                    x=[float(points.xy[position, 0])],
                    y=[float(points.xy[position, 1])],
                    mode="markers",
                    hoverinfo="skip",
                    showlegend=True,
                    name="nearest pick" if dash else f"record {points.index[position]:,}",
                    marker={
                        "symbol": "circle-open" if not dash else "diamond-open",
                        "size": 20,
                        "color": ink(dark)[0],
                        "line": {"width": 2.5},
                    },
                )
            )
    for name, colour, symbol, big in entries:
        fig.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                mode="markers",
                name=name,
                hoverinfo="skip",
                marker={"color": colour, "symbol": symbol, "size": 10 if big else 7},
            )
        )
    if bar is not None:
        fig.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                mode="markers",
                showlegend=False,
                hoverinfo="skip",
                marker={
                    "color": [bar[0]],
                    "cmin": bar[0],
                    "cmax": bar[1],
                    "colorscale": "Cividis",
                    "showscale": True,
                    "colorbar": {"title": {"text": bar[2], "side": "right"}, "thickness": 12, "outlinewidth": 0},
                },
            )
        )
    bare = {"visible": False, "showgrid": False, "zeroline": False}
    fig.update_layout(
        xaxis=bare,
        yaxis={**bare, **({"scaleanchor": "x"} if equal_axes else {})},
        dragmode="pan",
        clickmode="event+select",
        uirevision="map",
    )
    return fig


Entry = tuple[str, str, str, bool]


def _paint(
    points: Points, order: np.ndarray, colour_by: str, values: Any, selector: str, dark: bool
) -> tuple[list[str], Any, list[Entry], tuple[float, float, str] | None]:
    """Colours and symbols a point, legend entries, and a colour bar (low, high, title) or None."""
    from plotly.colors import sample_colorscale

    pale = "#7C838C" if dark else "#9AA1AA"
    colour, marker = style(selector, dark)
    rank = points.rank[order]
    if colour_by == "selection" or (values is None and colour_by != "pick order"):
        entries = [("selected", colour, marker, True), ("not selected", pale, "circle", False)]
        return [colour if r else pale for r in rank], [marker if r else "circle" for r in rank], entries, None
    if colour_by == "pick order":
        last = max(int(rank.max()), 2)
        scale = sample_colorscale("Cividis", ((np.maximum(rank, 1) - 1) / (last - 1)).tolist())
        entries = [("not selected", pale, "circle", False)]
        colours = [s if r else pale for s, r in zip(scale, rank, strict=True)]
        return colours, [marker if r else "circle" for r in rank], entries, (1, last, "pick")
    column = [values[p] for p in order]
    numbers = _numbers(column)
    if numbers is not None:
        low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
        scaled = np.nan_to_num((numbers - low) / max(high - low, 1e-12))
        colours = [
            s if np.isfinite(v) else pale for s, v in zip(sample_colorscale("Cividis", scaled.tolist()), numbers, strict=True)
        ]
        return colours, "circle", [], (low, high, label(colour_by))
    names = [str(v) if v is not None and v == v else "" for v in column]
    counts = Counter(names)
    ranked = sorted({str(v) for v in values if v is not None and v == v}, key=lambda n: (-counts[n], n))
    room = len(CATEGORY_COLOURS) * len(CATEGORY_SYMBOLS)
    look = {
        name: (CATEGORY_COLOURS[k % len(CATEGORY_COLOURS)], CATEGORY_SYMBOLS[k // len(CATEGORY_COLOURS)])
        for k, name in enumerate(ranked[:room])
    }
    entries = [(label(name), *look[name], True) for name in ranked[:room]]
    if len(ranked) > room:
        entries.append((f"{len(ranked) - room} more", pale, "circle", False))
    return [look.get(n, (pale, ""))[0] for n in names], [look.get(n, ("", "circle"))[1] for n in names], entries, None


def _numbers(column: Sequence[Any]) -> np.ndarray | None:
    """The column as numbers where it holds numbers and more than a dozen different ones."""
    if not all(v is None or (isinstance(v, int | float | np.number) and not isinstance(v, bool)) for v in column):
        return None
    out = np.array([np.nan if v is None else float(v) for v in column])
    return out if len(np.unique(out[np.isfinite(out)])) > 12 else None


def gain_curves(
    curves: Sequence[tuple[str, Curve]],
    *,
    budget: float,
    log: bool = False,
    dark: bool = False,
    height: int = 280,
) -> go.Figure:
    """Log det against the budget: lines (selector's name, curve), bands behind them, and the current budget's mark."""
    import plotly.graph_objects as go

    unit = curves[0][1].x_unit
    axis = figure(dark, height=height).layout.xaxis.to_plotly_json()
    kind = {"type": "log"} if log else {"rangemode": "tozero"}
    fig = figure(
        dark,
        height=height,
        xaxis={**axis, **kind, "title": {**axis["title"], "text": f"{unit} selected"}},
        yaxis={**axis, **kind, "title": {**axis["title"], "text": "log det gained (nats)"}},
        hovermode="x unified",
    )
    for name, curve in curves:
        colour, _ = style(name, dark)
        if curve.low is not None and curve.high is not None:
            fig.add_trace(
                go.Scatter(
                    x=np.concatenate([curve.x, curve.x[::-1]]),
                    y=np.concatenate([curve.high, curve.low[::-1]]),
                    fill="toself",
                    fillcolor=_faint(colour, 0.28),
                    line={"width": 0},
                    hoverinfo="skip",
                    showlegend=False,
                )
            )
        detail = f"{curve.label}, {curve.draws} draws" if curve.draws > 1 else curve.label
        fig.add_trace(
            go.Scatter(
                x=curve.x,
                y=curve.mean,
                mode="lines",
                name=detail,
                line={
                    "color": colour,
                    "width": 2.5 if curve.draws == 1 and name != "longest" else 1.5,
                    "dash": {"uniform": "solid", "longest": "dash"}.get(name, "solid"),
                },
                hovertemplate="%{y:,.4~r}",
            )
        )
    fig.add_vline(x=budget, line={"color": ink(dark)[2], "width": 1.5, "dash": "dot"})
    return fig


def length_histogram(lengths: np.ndarray, cut: int, *, dark: bool = False, height: int = 260) -> go.Figure:
    """How long the records are, in trained tokens; the cut marked where it is reached."""
    import plotly.graph_objects as go

    axis = figure(dark, height=height).layout.xaxis.to_plotly_json()
    fig = figure(
        dark,
        height=height,
        xaxis={**axis, "title": {**axis["title"], "text": "trained tokens in a record"}},
        yaxis={**axis, "title": {**axis["title"], "text": "records"}},
        bargap=0.03,
    )
    width = max(1, int(np.ceil((int(lengths.max()) + 1) / 40)))
    counts = np.bincount(lengths // width)
    starts = np.arange(len(counts)) * width
    spans = [f"{s} to {s + width - 1}" if width > 1 else f"{s}" for s in starts]
    fig.add_trace(
        go.Bar(
            x=starts + (width - 1) / 2,
            y=counts,
            width=width * 0.94,
            marker={"color": style("token_od", dark)[0]},
            customdata=spans,
            hovertemplate="%{customdata} tokens: %{y:,} records<extra></extra>",
            showlegend=False,
        )
    )
    if lengths.max() >= cut - 2:
        fig.add_vline(
            x=cut,
            line={"color": VERMILION, "width": 1.5, "dash": "dot"},
            annotation={"text": f"cut at {cut}", "font": {"color": VERMILION}},
        )
    return fig


def _faint(colour: str, alpha: float) -> str:
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{alpha})"
