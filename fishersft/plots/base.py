"""What all figures share: one template in light and dark, the colours, and the simplest figures.

A selector has the colour and marker of its class everywhere (Okabe and Ito's palette, safe for colour-blind eyes).  Corpus text
never enters a figure unescaped, and only a record's number travels with a point.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from fishersft.design.trajectory import Curve
from fishersft.selectors import DEFAULT_SELECTOR, registry

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#6E747D"
CATEGORY_COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, "#1B1E22", "#5A5F66")
CATEGORY_ON_DARK = ("#4DA3FF", "#F5B83D", "#2FCB9F", "#FF7F45", "#EA9CCB", "#8FD6FF", "#F4F6F8", "#7E858F")  # the same hues
CATEGORY_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross")
WHAT_IF = (GREEN, "hexagram")  # of any selector's picks as chosen from pins
ON_DARK = {BLUE: SKY, GREY: "#B9C0C9"}
SPARE = ((GREEN, "cross"), (PURPLE, "x"), (SKY, "star"), ("#B8860B", "hexagon"))
BETTER = ("#00735A", "#2FCB9F")  # the better side of a picture, in words: on light and on dark
FONT = "Source Sans, Source Sans Pro, system-ui, sans-serif"


def style(selector: str, dark: bool = False) -> tuple[str, str]:
    """(colour, marker) of a selector, or of "what_if"; a selector that declares none gets one by its name."""
    kind = registry().get(selector)
    if selector == "what_if":
        colour, marker = WHAT_IF
    elif kind and kind.colour and kind.marker:
        colour, marker = kind.colour, kind.marker
    else:
        colour, marker = SPARE[sum(selector.encode()) % len(SPARE)]
    return (ON_DARK.get(colour, colour) if dark else colour), marker


def script() -> str:
    """plotly.js, for a page that opens without a server."""
    return str(get_plotlyjs())


def label(text: Any, longest: int = 32) -> str:
    """Text from a corpus, safe as a plotly label: no markup, no TeX, no control characters, not too long."""
    clean = "".join(c if c.isprintable() else " " for c in str(text)).strip()
    clean = clean if len(clean) <= longest else clean[: longest - 1] + "…"
    return html.escape(clean, quote=False).replace("$", "&#36;") or "(blank)"


def ink(dark: bool) -> tuple[str, str, str]:
    """Text, grid and quiet colours."""
    return ("#E8EAED", "#3A3F47", "#A6ACB5") if dark else ("#22262B", "#E4E7EB", "#666D76")


def pale(dark: bool) -> str:
    """The colour of points that nothing picked."""
    return "#7C838C" if dark else "#9AA1AA"


def edge(dark: bool) -> str:
    """The colour of a marker's outline, which is the background's."""
    return "#14171A" if dark else "#FFFFFF"


def figure(dark: bool, *, height: int, **layout: Any) -> go.Figure:
    """An empty figure in the house style."""
    text, _, quiet = ink(dark)
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "font": {"size": 12}}
    base: dict[str, Any] = {
        "template": None,
        "font": {"family": FONT, "size": 13, "color": text},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "height": height,
        "xaxis": axis_style(dark),
        "yaxis": axis_style(dark),
        "hoverlabel": {"bgcolor": "#22262B" if dark else "#FFFFFF", "font": {"color": text, "family": FONT}},
        "legend": {**legend, "itemclick": False, "itemdoubleclick": False},
        "separators": ".,",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": quiet, "activecolor": text},
    }
    return go.Figure(layout={**base, **layout})


def axis_style(dark: bool, title: str = "", **more: Any) -> dict[str, Any]:
    """An axis in the house style, with plotly's own settings added."""
    lines = ink(dark)[1]
    return {
        "gridcolor": lines,
        "zeroline": False,
        "linecolor": lines,
        "ticks": "outside",
        "tickcolor": lines,
        "title": {"standoff": 8, "font": {"size": 13}, **({"text": title} if title else {})},
        "automargin": True,
        **more,
    }


def chart(dark: bool, height: int, x: dict[str, Any], y: dict[str, Any]) -> go.Figure:
    """An empty chart with two axes (`axis_style`), and the legend below them, because plotly's buttons are above."""
    fig = figure(dark, height=height, xaxis=x, yaxis=y, hovermode="x unified")
    return fig.update_layout(legend={"yref": "container", "y": 0, "yanchor": "bottom"}, margin={"t": 34})


def band(x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, alpha: float, **more: Any) -> go.Scatter:
    """The shaded band between two lines over x."""
    return go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        mode="lines",  # of few points plotly would draw each
        fill="toself",
        fillcolor=faint(colour, alpha),
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        **more,
    )


def mark_sides(fig: go.Figure, dark: bool, below: str, above: str, level: float) -> None:
    """Say in words at the two ends of a y axis what lies below and above a level; the better side, whose words begin with
    "better", is tinted.  The axis' range has to be set before, in the units of `update_yaxes`."""
    low, high = fig.layout.yaxis.range
    if fig.layout.yaxis.type == "log":
        low, high = 10.0**low, 10.0**high
    quiet = ink(dark)[2]
    tint = {"type": "rect", "xref": "x domain", "x0": 0, "x1": 1, "line_width": 0, "layer": "below"}
    for words, end, y, anchor, arrow in ((below, low, 0, "bottom", "↓"), (above, high, 1, "top", "↑")):
        better = words.startswith("better")
        if better:
            fig.add_shape(**tint, y0=level, y1=end, fillcolor=faint(GREEN, 0.09 if dark else 0.06))
        place = {"xref": "x domain", "x": 0, "xanchor": "left", "yref": "y domain", "y": y, "yanchor": anchor, "showarrow": False}
        fig.add_annotation(text=f"{arrow} {words}", font={"size": 13, "color": BETTER[dark] if better else quiet}, **place)
    fig.add_hline(y=level, line={"color": quiet, "width": 1.5})


def gain_curves(
    curves: Sequence[tuple[str, Curve]],
    *,
    budget: float,
    log: bool = False,
    marks: Sequence[tuple[str, float, float]] = (),
    dark: bool = False,
    height: int = 280,
) -> go.Figure:
    """Log det against the budget: lines (selector's name, curve) with bands, a mark at the current budget, and `marks`: sets of
    records as points (label, budget, log det)."""
    height += 22 * max(0, len(curves) + len(marks) - 3)  # the legend's further lines
    kind = {"type": "log"} if log else {"rangemode": "tozero", "tickformat": ",.4~r"}
    titles = f"{curves[0][1].x_unit} selected", "log det gained (nats)"
    x_axis, y_axis = (axis_style(dark, title, **kind) for title in titles)
    fig = figure(dark, height=height, xaxis=x_axis, yaxis=y_axis, hovermode="x unified")
    for name, curve in curves:
        colour, _ = style(name, dark)
        if curve.low is not None and curve.high is not None:
            fig.add_trace(band(curve.x, curve.low, curve.high, colour, 0.28))
        fig.add_scatter(
            x=curve.x,
            y=curve.mean,
            mode="lines",
            name=f"{curve.label}, {curve.draws} draws" if curve.draws > 1 else curve.label,
            line_color=colour,
            line_width=2.5 if curve.draws == 1 and name != "longest" else 1.5,
            line_dash={"longest": "dash", "what_if": "dot"}.get(name, "solid"),
            hovertemplate="%{y:,.4~r}",
        )
    for name, x, y in marks:
        marker = {"symbol": "star", "size": 13, "color": ink(dark)[0], "line": {"width": 1}}
        fig.add_scatter(x=[x], y=[y], mode="markers", name=label(name), marker=marker, hovertemplate="%{y:,.4~r}")
    fig.add_vline(x=budget, line={"color": ink(dark)[2], "width": 1.5, "dash": "dot"})
    return fig


def length_histogram(lengths: np.ndarray, cut: int, *, dark: bool = False) -> go.Figure:
    """The lengths of the records in trained tokens, with the cut marked where a record reaches it."""
    axes = {"xaxis": axis_style(dark, "trained tokens in a record"), "yaxis": axis_style(dark, "records")}
    fig = figure(dark, height=260, bargap=0.03, **axes)
    width = max(1, int(np.ceil((int(lengths.max()) + 1) / 40)))
    counts = np.bincount(lengths // width)
    starts = np.arange(len(counts)) * width
    fig.add_bar(
        x=starts + (width - 1) / 2,
        y=counts,
        width=width * 0.94,
        marker={"color": style(DEFAULT_SELECTOR, dark)[0]},
        customdata=[f"{s} to {s + width - 1}" if width > 1 else f"{s}" for s in starts],
        hovertemplate="%{customdata} tokens: %{y:,} records<extra></extra>",
        showlegend=False,
    )
    if lengths.max() >= cut - 2:
        note = {"text": f"cut at {cut}", "font": {"color": VERMILION}}
        fig.add_vline(x=cut, line={"color": VERMILION, "width": 1.5, "dash": "dot"}, annotation=note)
    return fig


def faint(colour: str, alpha: float) -> str:
    """The colour with this opacity."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{alpha})"
