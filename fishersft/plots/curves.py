"""Error curves as plotly figures: lines with bands, guides, sweeps, times.  Hover shows n, the error and its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from fishersft.design.trajectory import Curve
from fishersft.experiments.fits import BASELINE, GUIDES, Estimate, bound_shape, guide
from fishersft.experiments.result import Result, label_of
from fishersft.experiments.summaries import ERRORS, IN_SHORT, against, percent
from fishersft.experiments.timing import Timing
from fishersft.plots.base import axis_style, band, chart, ink, mark_sides, style
from fishersft.selectors import DEFAULT_SELECTOR

RATIOS = (1, 0.5, 2, 0.8, 1.25, 0.9, 1.1, 0.7, 1.5, 0.2, 5, 0.1, 10, 0.05, 0.02, 0.3, 3, 0.6, 0.95, 1.05, 0.98, 1.02, 1.2)
NARROWEST = {True: 1.03, False: 1.15}  # by "more is better": an axis of ratios reaches this factor to both sides of 1 at least
CROWDED = 0.1  # of a log axis: two marks that are nearer have no room for both labels on a phone
MARGIN = 0.05  # of the height of what is drawn: room above it, and on a log axis below it
WIDEST = 4.0  # a band is shown up to this factor from the lines


def error_figure(
    result: Result,
    measure: str = "maximum",
    *,
    over: str = "",
    log: bool = True,
    guides: bool = True,
    dark: bool = False,
    height: int = 420,
    selectors: Sequence[str] | None = None,
) -> go.Figure:
    """One measure against n, with one line per selector (all by default) and its 95% band over runs.

    `over` is for a sweep: `dimension` or `classes` instead of n.  With `log` both axes are logarithmic, and straight lines are
    power laws.  `guides` have slope -1/2 and -0.3 through the reference's first point, or the fitted shape of the bound.
    """
    shown = [s for s in result.selectors if selectors is None or s in selectors]
    curves = [(name, result.along(over, name, measure) if over else result.curve(name, measure)) for name in shown]
    fig = _lines(curves, log=log, dark=dark, height=height, y_log=log and measure != "log_det")
    if guides and not over and measure in ERRORS and len(result.budgets) > 1 and shown:
        anchor = result.reference if result.reference in shown else shown[0]
        lines = [guide(result, anchor, slope, measure) for slope in GUIDES]
        lines += [bound_shape(result)] if measure == "maximum" else []
        for curve, dash in zip(lines, ("dash", "dot", "dashdot"), strict=False):
            line = {"color": ink(dark)[2], "width": 1, "dash": dash}
            fig.add_scatter(x=curve.x, y=curve.mean, name=curve.label, mode="lines", line=line, hoverinfo="skip")
    share_y([fig])
    return fig


def difference_figure(
    result: Result,
    over_uniform: Mapping[str, Sequence[Estimate]],
    measure: str = "maximum",
    *,
    over: str = "",
    n: int | None = None,
    log: bool = True,
    dark: bool = False,
    height: int = 420,
) -> go.Figure:
    """One measure of each selector over Uniform's, run by run, against n, with 95% intervals: 1 is a random draw.

    `over_uniform` holds a selector's ratio at each budget, or of a sweep at each value of `over`; `n` gets an upright line.
    The y axis is set by `share_ratios`.
    """
    along = result.along(over, result.selectors[0]) if over else result.curve(result.selectors[0])
    curves = []
    for name in reversed(list(over_uniform)):
        value, low, high = np.array([[e.value, e.low, e.high] for e in over_uniform[name]]).T
        ends = {"low": None, "high": None} if np.isnan(low).all() else {"low": low, "high": high}
        curves.append(
            (name, replace(along, label=label_of(name), y_unit=f"{IN_SHORT[measure]} against Uniform's", mean=value, **ends))
        )
    fig = _lines(curves, log=log, dark=dark, height=height, y_log=True)
    for trace in fig.data:
        if not trace.fill:
            told = [against(e) if e.low == e.low else percent(e.value) for e in over_uniform[trace.legendgroup]]
            width = 3 if trace.legendgroup == result.reference else 1.5
            trace.update(line_width=width, customdata=told, hovertemplate="%{customdata}")
    fig.update_layout(legend_traceorder="reversed")
    level = {"x": along.x, "y": np.ones(len(along.x)), "mode": "lines", "line": {"color": style(BASELINE, dark)[0], "width": 2}}
    fig.add_scatter(**level, name="Uniform, a random draw", hoverinfo="skip")
    if n is not None:
        fig.add_vline(x=n, line={"color": ink(dark)[2], "width": 1, "dash": "dot"})
    return fig


def share_ratios(figures: Sequence[go.Figure], dark: bool, *, higher: bool = False) -> None:
    """Give charts of ratios that stand side by side one y axis around 1, whose better side is named; `higher`: above 1 is
    better."""
    lines = np.log(np.concatenate([np.asarray(t.y, float) for fig in figures for t in fig.data if not t.fill]))
    every = np.log(np.concatenate([np.asarray(t.y, float) for fig in figures for t in fig.data]))
    edge, reach = np.log(NARROWEST[higher]), np.log(WIDEST) / 2
    low = min(-edge, max(np.nanmin(every), np.nanmin(lines) - reach))
    high = max(edge, min(np.nanmax(every), np.nanmax(lines) + reach))
    room = 0.1 * (high - low)
    marks: list[float] = []
    for mark in RATIOS:  # the rounder ones first
        if low <= np.log(mark) <= high and all(abs(np.log(mark / other)) > 0.09 * (high - low) for other in marks):
            marks.append(mark)
    better, worse = (f"{side} than a random draw" for side in ("better", "worse"))
    below, above = (worse, better) if higher else (better, worse)
    for fig in figures:
        fig.update_yaxes(range=[(low - room) / np.log(10), (high + room) / np.log(10)])
        fig.update_yaxes(tickvals=marks, ticktext=["0%" if v == 1 else f"{100 * (v - 1):+.0f}%".replace("-", "−") for v in marks])
        mark_sides(fig, dark, below, above, level=1.0)


def share_y(figures: Sequence[go.Figure]) -> None:
    """Give charts that stand side by side one y axis, as high as what they draw, so that heights can be compared.  Bands over
    very few runs may be wider than everything else; they are cut off."""
    traces = [trace for fig in figures for trace in fig.data]
    every = np.concatenate([np.asarray(trace.y, dtype=float) for trace in traces])
    lines = np.concatenate([np.asarray(trace.y, dtype=float) for trace in traces if not trace.fill])
    low = float(max(every.min(), lines.min() / WIDEST))
    high = float(min(every.max(), lines.max() * WIDEST))
    for fig in figures:
        if fig.layout.yaxis.type == "log":
            room = MARGIN * max(np.log10(high / low), 0.2)
            ends = [np.log10(low) - room, np.log10(high) + room]
            _mark_y(fig, *(10**end for end in ends))
            fig.update_yaxes(range=ends)
        else:
            fig.update_yaxes(range=[min(0.0, low), (1 + MARGIN) * high])


def timing_figure(timing: Timing, *, log: bool = True, dark: bool = False, height: int = 380) -> go.Figure:
    """Seconds of Algorithm 1 and of the fast greedy against n; extrapolated ones are dashed and hollow."""
    fig = _axes(dark, height, "sentences picked", "seconds", log, log)
    fig.update_xaxes(tickvals=timing.budgets, ticktext=[f"{n:,}" for n in timing.budgets])
    colour, marker = style(DEFAULT_SELECTOR, dark)
    fig.add_trace(_line(timing.budgets, timing.fast, "the fast greedy, measured", colour, marker))
    quiet = ink(dark)[2]
    known = [k for k, m in enumerate(timing.measured) if m]
    beyond = [k for k, m in enumerate(timing.measured) if not m]
    for places, what, symbol, dash in (
        (known, "measured", "square", "solid"),
        (known[-1:] + beyond if beyond else [], "extrapolated", "square-open", "dash"),
    ):
        if places:
            n, seconds = ([column[k] for k in places] for column in (timing.budgets, timing.slow))
            fig.add_trace(_line(n, seconds, f"Algorithm 1, {what}", quiet, symbol).update(line_dash=dash))
    share_y([fig])
    return fig


def _lines(curves: Sequence[tuple[str, Curve]], *, log: bool, dark: bool, height: int, y_log: bool) -> go.Figure:
    first = curves[0][1]
    fig = _axes(dark, height, first.x_unit, first.y_unit, log, y_log)
    if log or len(first.x) < 6:
        wide = np.log(first.x[-1] / first.x[0]) if log else np.inf
        crowded = np.append(np.diff(np.log(first.x)) < CROWDED * wide, False) & log
        texts = ["" if c else f"{x:,}" for x, c in zip(first.x, crowded, strict=True)]
        fig.update_xaxes(tickvals=first.x.tolist(), ticktext=texts, tickangle=0)
    for name, curve in curves:
        colour, marker = style(name, dark)
        if curve.low is not None and curve.high is not None:
            # a log axis cannot show a band that reaches zero
            low = np.maximum(curve.low, curve.mean * 1e-2) if y_log else curve.low
            fig.add_trace(band(curve.x, low, curve.high, colour, 0.16, legendgroup=name))
        trace = _line(curve.x, curve.mean, curve.label, colour, marker)
        if curve.low is not None and curve.high is not None:
            trace.customdata = np.stack([curve.low, curve.high], axis=1)
            trace.hovertemplate = "%{y:,.4~r} (%{customdata[0]:,.4~r} to %{customdata[1]:,.4~r})"
        # on every page the control is dashed, so that a line under it is seen
        fig.add_trace(trace.update(legendgroup=name, line={"dash": "dash" if name == "longest" else "solid"}))
    return fig


def _mark_y(fig: go.Figure, low: float, high: float) -> None:
    """Label a log axis with round numbers, as few as there can be; more where the values are close together."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for digits in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        marks = [round(v * 10.0**k, 10 - k) for k in powers for v in digits if low <= v * 10.0**k <= high]
        if len(marks) >= 4:
            break
    fig.update_yaxes(tickvals=marks, ticktext=[f"{v:,.10g}" for v in marks])


def _axes(dark: bool, height: int, x: str, y: str, x_log: bool, y_log: bool) -> go.Figure:
    log, linear = {"type": "log", "dtick": "D2"}, {"rangemode": "tozero", "tickformat": ",.4~r"}
    return chart(dark, height, *(axis_style(dark, t, **(log if is_log else linear)) for t, is_log in ((x, x_log), (y, y_log))))


def _line(x: Any, y: Any, name: str, colour: str, marker: str) -> go.Scatter:
    return go.Scatter(
        x=np.asarray(x),
        y=np.asarray(y),
        name=name,
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"symbol": marker, "size": 7, "color": colour},
        hovertemplate="%{y:,.4~r}",
    )
