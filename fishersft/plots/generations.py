"""Fine-tuned models as plotly figures: held-out nats, losses, win rates, ranking.

A selector has its colour and marker here too (`plots.base.style`).  Labels come from a run's folder and are escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from fishersft.finetuning.results import SCORES, SelectionResult
from fishersft.finetuning.run import ALL, BASE
from fishersft.judge.report import MatchResult
from fishersft.judge.statistics import Rate, Strength
from fishersft.plots.base import BLUE, ORANGE, axis_style, band, chart, figure, ink, label, mark_sides, style

MEASURES = {"mean": "mean", "p95": "95th percentile of texts", "max": "largest of texts", "worst": "worst topic"}
MINUS = {"nats": "values", "minus Uniform": "minus_uniform", "minus untuned": "minus_base"}
RIVALS = {"minus Uniform": "a random draw", "minus untuned": "the untuned model"}
DASHES = {BASE: "dash", ALL: "dot"}
MOST_LOSSES = 12  # models in one picture
LOSING, EVEN, WINNING = ORANGE, ("#FFFFFF", "#2A2F36"), BLUE


def held_out_figure(
    lines: Sequence[SelectionResult],
    measure: str = "mean",
    shown: str = "nats",
    *,
    against: str = "sentences",
    of: str = "held-out",
    dark: bool = False,
    height: int = 420,
) -> go.Figure:
    """A measure against the budget: one line with a 95% band per selector, and a level line for each model without a budget.

    `shown` is `nats`, or a paired difference, `minus Uniform` or `minus untuned`; the budget that it is drawn `against` are the
    `sentences` of the reference, or the `tokens` that each selection has; the tokens measured are `of` `held-out` or `target`
    texts.
    """
    group = MINUS[shown]
    known = [one for one in lines if measure in getattr(one, group)]
    tuned = [one for one in known if one.budget is not None]
    cut = against == "sentences" and any(round(one.sentences) != one.budget for one in tuned)  # at equal tokens
    along = "n, sentences of the reference selector" if cut else f"{against} of a selection"
    if measure in SCORES:
        what = f"{SCORES[measure]}{f', {shown}' * (shown != 'nats')}; higher is better"
    else:
        unit = f"nats per {of} token" if shown == "nats" else f"nats per {'target ' * (of == 'target')}token {shown}"
        what = f"{MEASURES[measure]}, {unit}; lower is better"
    fig = _axes(dark, height, along, what)
    ticks = sorted({one.budget for one in tuned if one.budget}) if against == "sentences" else []
    fig.update_xaxes(type="log", **({"tickvals": ticks, "ticktext": [f"{n:,}" for n in ticks]} if ticks else {}))
    places: list[float] = []
    for selector in dict.fromkeys(one.selector for one in tuned):
        mine = [one for one in tuned if one.selector == selector]
        colour, marker = style(selector, dark)
        x = np.array([float(one.budget or 0) if against == "sentences" else one.tokens for one in mine])
        value, low, high = _estimates([getattr(one, group)[measure] for one in mine])
        places += list(x)
        if len(x) > 1:
            fig.add_trace(band(x, low, high, colour, 0.14))
        fig.add_scatter(
            x=x,
            y=value,
            name=label(mine[0].label),
            mode="lines+markers",
            line={"color": colour, "width": 2, "dash": "dash" if selector == "longest" else "solid"},
            marker={"symbol": marker, "size": 8, "color": colour},
            error_y=_bars(value, low, high, colour) if len(x) == 1 else None,
            customdata=np.stack([low, high], axis=1),
            hovertemplate="%{y:.3f} (%{customdata[0]:.3f} to %{customdata[1]:.3f})",
        )
    span = (min(places) / 1.15, max(places) * 1.15) if places else (1.0, 10.0)
    fig.update_xaxes(range=[float(np.log10(v)) for v in span])
    for one in known:
        if one.budget is None:
            fig.add_scatter(
                x=list(span),
                y=[getattr(one, group)[measure].value] * 2,
                name=label(one.label),
                mode="lines",
                line={"color": ink(dark)[2], "width": 1.5, "dash": DASHES.get(one.selector, "dot")},
                hovertemplate="%{y:.3f}",
            )
    if shown != "nats":
        _mark_level(fig, RIVALS[shown], span, dark, higher=measure in SCORES)
    return fig


def _mark_level(fig: go.Figure, rival: str, span: tuple[float, float], dark: bool, *, higher: bool) -> None:
    """The line of the model that is subtracted, and in words on which side of it a model is better; both sides are in view."""
    ends = [trace.y for trace in fig.data] + [
        trace.customdata.T for trace in fig.data if trace.mode == "lines+markers" and trace.customdata is not None
    ]
    every = np.concatenate([[0.0], *(np.ravel(np.asarray(end, float)) for end in ends)])
    low, high = float(np.nanmin(every)), float(np.nanmax(every))
    edge = max(0.25 * (high - low), 1e-3)
    low, high = min(low, -edge), max(high, edge)
    room = 0.12 * (high - low)
    fig.update_yaxes(range=[low - room, high + room])
    colour = style("uniform", dark)[0] if rival == "a random draw" else ink(dark)[2]
    name = "Uniform, a random draw" if rival == "a random draw" else "untuned"
    level = {"x": list(span), "y": [0.0, 0.0], "mode": "lines", "line": {"color": colour, "width": 2}}
    fig.add_scatter(**level, name=name, hoverinfo="skip")
    better, worse = f"better than {rival}", f"worse than {rival}"
    mark_sides(fig, dark, worse if higher else better, better if higher else worse, level=0.0)


def losses_figure(losses: Mapping[str, Sequence[tuple[int, float]]], *, dark: bool = False) -> go.Figure:
    """Training loss per step, one line per model ({name: [(step, loss)]}), at most `MOST_LOSSES` of them."""
    fig = _axes(dark, 260, "step", "loss of the batch, nats per token")
    fig.update_yaxes(rangemode="normal")
    for number, (name, points) in enumerate(list(losses.items())[-MOST_LOSSES:]):
        colour, marker = style(name.split("-")[0], dark)
        fig.add_scatter(
            x=[step for step, _ in points],
            y=[loss for _, loss in points],
            name=label(name),
            mode="lines+markers" if len(points) < 40 else "lines",
            line={"color": colour, "width": 1.5, "dash": ("solid", "dot", "dash", "dashdot")[number // 3 % 4]},
            marker={"symbol": marker, "size": 4, "color": colour},
            hovertemplate="%{y:.3f}",
        )
    return fig


def matrix_figure(matrix: Mapping[str, Mapping[str, Rate]], labels: Mapping[str, str], *, dark: bool = False) -> go.Figure:
    """How often the row wins against the column: colour, number and 95% interval."""
    names = list(dict.fromkeys([*matrix, *(b for row in matrix.values() for b in row)]))
    shown = [_unique(labels.get(name, name), name, labels) for name in names]
    z, text = (np.full((len(names), len(names)), empty, dtype=object) for empty in (None, ""))
    for i, j in np.ndindex(z.shape):
        if rate := matrix.get(names[i], {}).get(names[j]):
            value, low, high = (100 * v for v in (rate.value, rate.low, rate.high))
            z[i, j], text[i, j] = value, f"<b>{value:.0f}%</b><br>{low:.0f} to {high:.0f}"
    fig = figure(dark, height=120 + 62 * len(names))
    fig.add_heatmap(
        z=z,
        x=shown,
        y=shown,
        text=text,
        texttemplate="%{text}",
        textfont={"size": 12},
        zmin=0,
        zmax=100,
        zmid=50,
        colorscale=[[0, LOSING], [0.5, EVEN[dark]], [1, WINNING]],
        xgap=2,
        ygap=2,
        showscale=False,
        hovertemplate="%{y} wins against %{x}: %{z:.1f}%<extra></extra>",
        hoverongaps=False,
    )
    fig.update_yaxes(autorange="reversed", showgrid=False, title={"text": "this wins …"})
    fig.update_layout(margin={"t": 40})
    fig.update_xaxes(side="top", showgrid=False, title={"text": "… against this"}, tickangle=-30)
    return fig


def ranking_figure(strengths: Sequence[Strength], labels: Mapping[str, str], *, dark: bool = False) -> go.Figure:
    """Bradley-Terry strengths with 95% intervals, the strongest on top."""
    fig = _axes(dark, 120 + 62 * len(strengths), "strength, log odds about the mean of all (95%)", "")
    for one in strengths:
        colour, marker = style(one.name, dark)
        value, low, high = _estimates([one])
        fig.add_scatter(
            x=value,
            y=[_unique(labels.get(one.name, one.name), one.name, labels)],
            mode="markers",
            marker={"symbol": marker, "size": 11, "color": colour},
            error_x=_bars(value, low, high, colour),
            customdata=[[one.low, one.high]],
            hovertemplate="%{x:+.2f} (%{customdata[0]:+.2f} to %{customdata[1]:+.2f})<extra>%{y}</extra>",
            showlegend=False,
        )
    fig.update_layout(hovermode="closest")
    fig.update_xaxes(rangemode="normal")
    fig.update_yaxes(autorange="reversed", rangemode="normal", type="category")
    fig.add_vline(x=0, line={"color": ink(dark)[2], "width": 1, "dash": "dot"})
    return fig


def win_figure(
    lines: Sequence[MatchResult],
    selector: str,
    labels: Mapping[str, str],
    paper: Mapping[str, Mapping[int, float]] | None = None,
    *,
    dark: bool = False,
) -> go.Figure:
    """How often a selector wins against each other one, by budget, with 95% intervals; the paper's numbers hollow."""
    fig = _axes(dark, 340, "sentences of a selection", f"{label(labels.get(selector, selector))} wins, %")
    rows: dict[str, list[tuple[int, float, float, float]]] = {}
    for one in lines:
        if one.budget is not None and selector in (one.a, one.b):
            value, low, high = (100 * v for v in (one.rate.value, one.rate.low, one.rate.high))
            if one.a == selector:
                rows.setdefault(one.b, []).append((one.budget, value, low, high))
            else:
                rows.setdefault(one.a, []).append((one.budget, 100 - value, 100 - high, 100 - low))
    paper = paper or {}
    others = list(dict.fromkeys([*rows, *paper]))
    for place, other in enumerate(others):
        colour, marker = style(other, dark)
        apart = 1 + 0.03 * (place - (len(others) - 1) / 2)  # intervals at one budget stand beside each other
        look: dict[str, Any] = {"mode": "lines+markers", "marker_size": 8, "marker_color": colour}
        name = f"against {label(labels.get(other, other))}"
        if mine := sorted(rows.get(other, [])):
            n, value, low, high = np.array(mine, float).T
            fig.add_scatter(
                x=n * apart,
                y=value,
                name=name,
                line={"color": colour, "width": 2},
                error_y=_bars(value, low, high, colour),
                customdata=np.stack([low, high], axis=1),
                hovertemplate="%{y:.0f}% (%{customdata[0]:.0f} to %{customdata[1]:.0f})",
                marker_symbol=marker,
                **look,
            )
        if theirs := paper.get(other):
            fig.add_scatter(
                x=list(theirs),
                y=[100 * v for v in theirs.values()],
                name=f"the paper's, {name}",
                line={"color": colour, "width": 1, "dash": "dot"},
                hovertemplate="%{y:.0f}% (the paper's)",
                marker_symbol=f"{marker}-open",
                **look,
            )
    ticks = sorted({n for some in rows.values() for n, *_ in some} | {n for some in paper.values() for n in some})
    fig.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{n:,}" for n in ticks], rangemode="normal")
    if ticks:
        fig.update_xaxes(range=[float(np.log10(ticks[0] / 1.2)), float(np.log10(ticks[-1] * 1.2))])
    fig.update_yaxes(range=[0, 100])
    fig.add_hline(y=50, line={"color": ink(dark)[2], "width": 1, "dash": "dot"})
    return fig


def _axes(dark: bool, height: int, x: str, y: str) -> go.Figure:
    return chart(dark, height, axis_style(dark, x), axis_style(dark, y))


def _estimates(found: Sequence[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values and bounds; where there is no interval, the value itself."""
    value, low, high = (np.array([getattr(e, name) for e in found], float) for name in ("value", "low", "high"))
    return value, np.where(np.isnan(low), value, low), np.where(np.isnan(high), value, high)


def _bars(value: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> dict[str, Any]:
    return {"type": "data", "array": high - value, "arrayminus": value - low, "color": colour, "thickness": 1.2, "width": 4}


def _unique(text: str, name: str, labels: Mapping[str, str]) -> str:
    """A label for an axis of names, on which equal labels would coincide."""
    twice = sum(other == text for other in labels.values()) > 1
    return label(f"{text} ({name})" if twice else text)
