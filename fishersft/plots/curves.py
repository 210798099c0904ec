"""Error curves as plotly figures: lines with bands, guides, sweeps, times.  No Streamlit, no files, no computing of results.

A selector keeps its colour and marker (`plots.style`); hover shows n, the error and its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from fishersft.design.trajectory import Curve
from fishersft.experiments.fits import GUIDES, bound_shape, guide
from fishersft.experiments.result import Result
from fishersft.experiments.summaries import ERRORS
from fishersft.experiments.timing import Timing
from fishersft.plots.base import band, figure, ink, style
from fishersft.selectors import DEFAULT_SELECTOR

CROWDED = 0.1  # of a log axis: two marks that are nearer have no room for both labels on a phone
MARGIN = 0.05  # of the height of what is drawn: room above it, and on a log axis below it
WIDEST = 4.0  # a band is shown up to this factor from the lines


def error_figure(
    result: Result,
    measure: str = "maximum",
    *,
    log: bool = True,
    guides: bool = True,
    dark: bool = False,
    height: int = 420,
    selectors: Sequence[str] | None = None,
) -> go.Figure:
    """One measure against n, with one line per selector and its 95% band over runs.

    Args:
        log: both axes logarithmic; straight lines are power laws there.
        guides: lines of slope -1/2 and -0.3 through the reference's first point, and the fitted shape of the bound.
        selectors: which; all of them by default.
    """
    shown = [s for s in result.selectors if selectors is None or s in selectors]
    curves = [(name, result.curve(name, measure)) for name in shown]
    fig = _lines(curves, log=log, dark=dark, height=height, y_log=log and measure != "log_det")
    if guides and measure in ERRORS and len(result.budgets) > 1 and shown:
        reference = str(result.about.settings["reference"])
        anchor = reference if reference in shown else shown[0]
        for slope, dash in zip(GUIDES, ("dash", "dot"), strict=True):
            _guide(fig, guide(result, anchor, slope, measure), dash, dark)
        if measure == "maximum":
            _guide(fig, bound_shape(result), "dashdot", dark)
    share_y([fig])
    return fig


def share_y(figures: Sequence[go.Figure]) -> None:
    """Give charts that stand side by side one y axis, as high as what they draw, so that heights can be compared.

    Bands over very few runs may be wider than everything else; they are cut off.
    """
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


def sweep_figure(
    result: Result,
    over: str,
    measure: str = "maximum",
    *,
    log: bool = False,
    dark: bool = False,
    height: int = 420,
    selectors: Sequence[str] | None = None,
) -> go.Figure:
    """A sweep: one measure against `dimension` or `classes`, with one line per selector (`selectors` as in `error_figure`)."""
    shown = [s for s in result.selectors if selectors is None or s in selectors]
    curves = [(name, result.along(over, name, measure)) for name in shown]
    fig = _lines(curves, log=log, dark=dark, height=height, y_log=log and measure != "log_det")
    share_y([fig])
    return fig


def timing_figure(timing: Timing, *, log: bool = True, dark: bool = False, height: int = 380) -> go.Figure:
    """Seconds of Algorithm 1 and of the fast greedy against n; what is extrapolated is dashed and hollow."""
    fig = _axes(dark, height, "sentences picked", "seconds", log, log)
    fig.update_xaxes(tickvals=timing.budgets, ticktext=[f"{n:,}" for n in timing.budgets])
    colour, marker = style(DEFAULT_SELECTOR, dark)
    fig.add_trace(_line(timing.budgets, timing.fast, "the fast greedy, measured", colour, marker))
    quiet = ink(dark)[2]
    known = [k for k, m in enumerate(timing.measured) if m]
    beyond = [k for k, m in enumerate(timing.measured) if not m]
    if known:
        part = ([timing.budgets[k] for k in known], [timing.slow[k] for k in known])
        fig.add_trace(_line(*part, "Algorithm 1, measured", quiet, "square"))
    if beyond:
        joined = known[-1:] + beyond
        part = ([timing.budgets[k] for k in joined], [timing.slow[k] for k in joined])
        trace: go.Scatter = _line(*part, "Algorithm 1, extrapolated", quiet, "square-open")
        fig.add_trace(trace.update(line={"dash": "dash"}))
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
        # as on every page: the control is dashed, so that a line under it is seen
        fig.add_trace(trace.update(legendgroup=name, line={"dash": "dash" if name == "longest" else "solid"}))
    return fig


def _mark_y(fig: go.Figure, low: float, high: float) -> None:
    """Round numbers on a log axis, written out: few of them, but more where the values are close together."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for digits in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        marks = [round(v * 10.0**k, 10 - k) for k in powers for v in digits if low <= v * 10.0**k <= high]
        if len(marks) >= 4:
            break
    fig.update_yaxes(tickvals=marks, ticktext=[f"{v:,.10g}" for v in marks])


def _axes(dark: bool, height: int, x: str, y: str, x_log: bool, y_log: bool) -> go.Figure:
    axis = figure(dark, height=height).layout.xaxis.to_plotly_json()

    def one(title: str, log: bool) -> dict[str, Any]:
        kind = {"type": "log", "dtick": "D2"} if log else {"rangemode": "tozero", "tickformat": ",.4~r"}
        return {**axis, **kind, "title": {**axis["title"], "text": title}}

    plain = figure(dark, height=height, xaxis=one(x, x_log), yaxis=one(y, y_log), hovermode="x unified")
    # below the axis: above it is where the camera is
    plain.update_layout(legend={"yref": "container", "y": 0, "yanchor": "bottom"}, margin={"t": 34})
    return plain


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


def _guide(fig: go.Figure, curve: Curve, dash: str, dark: bool) -> None:
    line = {"color": ink(dark)[2], "width": 1, "dash": dash}
    fig.add_trace(go.Scatter(x=curve.x, y=curve.mean, name=curve.label, mode="lines", line=line, hoverinfo="skip"))
