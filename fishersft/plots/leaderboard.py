"""The leaderboard of an arena as plotly figures: every selector's difference to a random draw, over all contests and in each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from fishersft.finetuning.intervals import Interval
from fishersft.finetuning.leaderboard import REFERENCES, Contest, Entry, Placing
from fishersft.plots.base import BETTER, axis_style, faint, figure, ink, label, style
from fishersft.text import shortened

ROW, TALLEST = 27, 520  # pixels of a selector, and of all of them
Cell = tuple[float, str, bool]  # below 0 is better; its words; whether its interval leaves out a random draw
NOTHING: Cell = (float("nan"), "", False)
WORSE = ("#B3470F", "#FF9D5C")  # on light and on dark


def placings_figure(placings: Sequence[Placing], *, dark: bool = False) -> go.Figure:
    """A row a selector, the best on top: its difference to Uniform with the 95% interval; what lies left of 0 is better."""
    text, _, quiet = ink(dark)
    rows = [s for s in placings if s.rank is not None] + [s for s in placings if s.rank is None]
    fig = figure(
        dark,
        height=96 + min(ROW * max(1, len(rows)), TALLEST),
        xaxis=axis_style(dark, "nats a token, minus a random draw's", side="bottom"),
        yaxis=axis_style(dark, autorange="reversed", type="category", showgrid=False, ticks=""),
        hovermode="closest",
        showlegend=False,
    )
    for one in rows:
        grey = one.selector in REFERENCES
        colour, marker = (quiet, "line-ns-open") if grey else style(one.selector, dark)
        d = one.minus_uniform
        bars = {"type": "data", "symmetric": False, "array": [d.high - d.value], "arrayminus": [d.value - d.low]}
        fig.add_scatter(
            x=[d.value],
            y=[label(f"{one.rank}. {one.label}" if one.rank else one.label)],
            mode="markers",
            marker={"symbol": marker, "size": 10, "color": colour},
            error_x=None if np.isnan(d.low) else {**bars, "color": colour, "thickness": 1.6, "width": 3},
            customdata=[[d.low, d.high]],
            hovertemplate="%{x:+.3f} (%{customdata[0]:+.3f} to %{customdata[1]:+.3f})<extra>%{y}</extra>",
        )
    ends = [end for one in rows for end in (one.minus_uniform.value, one.minus_uniform.low, one.minus_uniform.high)]
    reach = [0.0, *(end for end in ends if np.isfinite(end))]
    room = 0.08 * (max(reach) - min(reach) or 1.0)
    low, high = min(reach) - room, max(reach) + room
    fig.update_xaxes(range=[low, high])
    tint = {"type": "rect", "yref": "y domain", "y0": 0, "y1": 1, "line_width": 0, "layer": "below"}
    fig.add_shape(**tint, x0=low, x1=0, fillcolor=faint(BETTER[dark], 0.09 if dark else 0.06))
    fig.add_vline(x=0, line={"color": style("uniform", dark)[0], "width": 2})
    for words, x, anchor, colour in (("← better", 0.0, "left", BETTER[dark]), ("worse →", 1.0, "right", quiet)):
        place = {"xref": "x domain", "x": x, "xanchor": anchor, "yref": "y domain", "y": 1, "yanchor": "bottom"}
        fig.add_annotation(text=words, font={"size": 13, "color": colour}, showarrow=False, **place)
    return fig.update_layout(margin={"t": 30, "l": 8, "r": 8, "b": 8}, font={"color": text})


def contests_figure(contests: Sequence[Contest], placings: Sequence[Placing], *, dark: bool = False) -> go.Figure:
    """Selectors by contests: the difference to Uniform in each cell, in nats a token; bold where its interval leaves out 0."""
    cells = [[_difference(c.differences.get(s.selector)) for c in contests] for s in placings]
    return _matrix(contests, placings, cells, dark)


def worth_figure(contests: Sequence[Contest], placings: Sequence[Placing], *, dark: bool = False) -> go.Figure:
    """Likewise: tokens of a random draw that a token of the selection is worth; bold where the interval leaves out 1."""
    rows = [s for s in placings if s.saved]
    return _matrix(contests, rows, [[_worth(c.entries.get(s.selector)) for c in contests] for s in rows], dark)


def _difference(d: Interval | None) -> Cell:
    return (d.value, f"{d.value:+.3f}", d.high < 0 or d.low > 0) if d else NOTHING


def _worth(entry: Entry | None) -> Cell:
    if entry is None or (saved := entry.saved) is None:
        return NOTHING
    times = min(saved.equal.value, saved.reach) / saved.spent
    sure = saved.equal.low > saved.spent or saved.equal.high < saved.spent
    return -float(np.log(max(times, 1e-3))), saved.times_alone.replace("more than ", "> "), sure


def _matrix(contests: Sequence[Contest], placings: Sequence[Placing], cells: list[list[Cell]], dark: bool) -> go.Figure:
    labels = [label(s.label) for s in placings]
    values = np.array([[value for value, *_ in row] for row in cells])
    ranked = [i for i, s in enumerate(placings) if s.rank is not None]
    most = float(np.nanmax(np.abs(values[ranked]))) if ranked and np.isfinite(values[ranked]).any() else 1.0
    middle = "#1B1F24" if dark else "#FFFFFF"
    fig = figure(
        dark,
        height=150 + ROW * len(labels),
        xaxis=axis_style(dark, side="top", type="category", showgrid=False, ticks=""),
        yaxis=axis_style(dark, autorange="reversed", type="category", showgrid=False, ticks=""),
    )
    heads = [
        f"{label(shortened(c.target or c.corpus, 24))}<br>{label(shortened(c.model, 18))}, n = {c.budget:,}" for c in contests
    ]
    heads = [f"{head}{'&#8203;' * k}" for k, head in enumerate(heads)]  # equal heads are columns of their own
    bold = [[f"<b>{text}</b>" if sure else text for _, text, sure in row] for row in cells]
    fig.add_heatmap(
        z=np.clip(values, -most, most),
        x=heads,
        y=labels,
        text=bold,
        texttemplate="%{text}",
        zmin=-most,
        zmax=most,
        colorscale=[[0, faint_on(BETTER[dark], middle, 0.55)], [0.5, middle], [1, faint_on(WORSE[dark], middle, 0.55)]],
        showscale=False,
        xgap=3,
        ygap=3,
        hoverongaps=False,
        hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
    )
    return fig


def faint_on(colour: str, ground: str, share: float) -> str:
    """A colour laid over a ground, so that text on it keeps its contrast."""
    mixed = [round(share * int(colour[k : k + 2], 16) + (1 - share) * int(ground[k : k + 2], 16)) for k in (1, 3, 5)]
    return "#" + "".join(f"{value:02X}" for value in mixed)
