"""The parts that show a result of error curves: chart, numbers, files, code; each owns its widget keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from fishersft.catalogue import CurvesRun
from fishersft.experiments.fits import Fits, fits_of
from fishersft.experiments.result import MEASURES, Result, label_of, read_curves
from fishersft.experiments.summaries import (
    HIGHER,
    alike_sentence,
    constant_sentence,
    curves_summary,
    means,
    odds,
    standing_of,
    sweep_sentence,
    three,
    with_interval,
    worth_sentences,
)
from fishersft.experiments.timing import TIMING_FILE, Timing
from fishersft.export.curves_report import curves_page, python_of, timing_page
from fishersft.plots import curves as curve_plots
from fishersft.ui import components, query_widgets
from fishersft.ui.components import dark

BUTTONS = ("toImage", "zoom2d", "pan2d", "resetScale2d")
REPORT = "one page with settings, figures and tables that needs no server"
ALT = "{}: one line with a band per selector; the numbers are in the table below."


@dataclass(frozen=True)
class CurveOptions:
    """How results are drawn."""

    measure: str
    log: bool
    guides: bool
    selectors: tuple[str, ...]

    @property
    def log_y(self) -> bool:
        return self.log and self.measure != "log_det"


def log_switch(row: Any = None) -> bool:
    """The switch for log axes, which every chart of the page has."""
    return query_widgets.toggle("Log axes", "logarithmic", True, place=row or st, help="Straight lines are power laws there.")


def figures(results: Sequence[Result], how: CurveOptions, height: int = 460) -> list[Any]:
    """Charts of one measure against n, one per result; on log axes they share the y axis. None where no selector is chosen."""
    if not how.selectors:
        st.info("Choose a selector above to see its curve.", icon=":material/show_chart:")
        return []
    every = [
        curve_plots.error_figure(
            result, how.measure, log=how.log, guides=how.guides, dark=dark(), height=height, selectors=how.selectors
        )
        for result in results
    ]
    if how.log_y:  # else the higher chart presses the other one flat
        curve_plots.share_y(every)
    return every


def said(result: Result, how: CurveOptions, n: int) -> None:
    """Who stands where at n, and what that is worth."""
    told = [standing_of(result, n, how.measure).sentence(), *worth_sentences(result, fits_at(result, how.measure), n)]
    told = [components.escape_markdown(sentence) for sentence in told]
    st.markdown("\n".join(f"- {sentence}" for sentence in told) if len(told) > 1 else told[0])


def chart(fig: Any, result: Result, how: CurveOptions, key: str) -> None:
    """A chart of `figures`, and which of its lines hide one another."""
    _plot(fig, how, f"{key}-{how.measure}", MEASURES[how.measure])
    if hidden := alike_sentence(result, how.measure, how.selectors):
        st.caption(components.escape_markdown(hidden))


def sweep(result: Result, how: CurveOptions, found: CurvesRun) -> None:
    """One measure against d and against L."""
    moved = list(result.about.settings["sweep"])
    for column, over in zip(st.columns(len(moved), gap="medium"), moved, strict=True):
        with column:
            st.markdown(components.escape_markdown(sweep_sentence(result, over, how.measure)))
            if not how.selectors:
                st.info("Choose a selector above to see its curve.", icon=":material/show_chart:")
                continue
            fig = curve_plots.sweep_figure(
                result, over, how.measure, log=how.log, dark=dark(), height=460, selectors=how.selectors
            )
            _plot(fig, how, f"{found.id}-{over}-{how.measure}", f"{MEASURES[how.measure]} against {over}")
    rows = []
    for d, L in result.values:
        told = {label_of(name): with_interval(e) for name, e in means(result, how.measure, point=(d, L)).items()}
        rows.append({"d": d, "L": L, **told})
    st.dataframe(rows, hide_index=True, alt=f"{MEASURES[how.measure]} at every d and L, by selector")


def timing(told: Timing, how: CurveOptions, found: CurvesRun) -> None:
    """Seconds of both ways against the number of picks."""
    last = len(told.budgets) - 1
    ratio = told.slow[last] / told.fast[last]
    st.markdown(
        "Algorithm 1 of the paper computes the gain of every sentence at every pick; the fast greedy computes few of them and "
        f"makes the same picks. {told.budgets[last]:,} picks take the fast greedy {three(told.fast[last])} s and Algorithm 1 "
        f"{three(told.slow[last])} s{'' if told.measured[last] else ' (extrapolated)'}, {three(ratio)} times as long."
    )
    _plot(curve_plots.timing_figure(told, log=how.log, dark=dark(), height=460), how, found.id, "Seconds against picks")
    st.caption(
        f"{told.note}. {told.pool['sentences']:,} sentences, {told.pool['tokens']:,} rows, d = {told.pool['dimension']}. "
        "Times were measured on the machine that ran the command; the camera above the chart saves the picture."
    )
    _files(
        f"timing-{found.id}",
        csv=(lambda: pd.DataFrame(told.table()).to_csv(index=False), "one row per number of picks"),
        json=((found.folder / TIMING_FILE).read_bytes(), "the pool, the seconds, and which were measured"),
        report=(lambda: timing_page(told, found.id).html(), REPORT),
    )
    components.footer(found.about.command, "import fishersft\n\nprint(fishersft.time_greedy().note)")


def _plot(fig: Any, how: CurveOptions, key: str, what: str) -> None:
    st.plotly_chart(
        fig,
        theme=None,
        key=f"chart-{key}-{how.log}",
        config=components.camera(f"curves-{key}", always=True, buttons=BUTTONS),
        alt=ALT.format(what[:1].upper() + what[1:]),
    )


def numbers(result: Result, measure: str, n: int) -> None:
    """Slopes, what Uniform would need, and the paired test, at one budget."""
    fits = fits_at(result, measure)
    standing = standing_of(result, n, measure)
    k = result.budgets.tolist().index(standing.n)
    lines = []
    for name in result.selectors:
        line = {"selector": label_of(name), "slope": with_interval(fits.slopes[name])}
        line[MEASURES[measure]] = with_interval(standing.errors[name])
        if name in fits.ratios and measure not in HIGHER:
            line[f"Uniform's {result.equal} for the same"] = f"{with_interval(fits.ratios[name][k])} times"
        if name in fits.paired:
            line["over Uniform's, run by run"] = with_interval(fits.paired[name][k].ratio)
            line["p"] = odds(fits.paired[name][k].p)
        lines.append(line)
    st.dataframe(pd.DataFrame(lines).fillna("–"), hide_index=True, alt=f"Numbers at n = {standing.n}")
    power = "n" if result.equal == "sentences" else "the tokens"
    needed = (
        f"Uniform's {result.equal} for the same: how many times as many Uniform needs for this value, read off its curve. "
        if measure not in HIGHER
        else ""
    )
    st.caption(
        f"At n = {standing.n:,}, with 95% intervals in brackets. Slope: the power of {power} that the value falls or grows "
        f"with, over all n; a curve that starts low may fall more slowly. {needed}Over Uniform's, run by run: below 1 is lower. "
        "p: how often chance alone would show a difference as clear (Wilcoxon's signed-rank test over runs), not corrected for "
        "the number of budgets."
    )


def guides(results: Sequence[Result], how: CurveOptions) -> None:
    """Explain the guide lines, where there are any."""
    told = constant_sentence(results[0], *(fits_at(result, how.measure) for result in results)) if how.guides else ""
    if told:
        st.caption(components.escape_markdown(told))


def drawn(result: Result) -> str:
    s = result.about.settings
    return (
        f"Means of {result.runs} runs, each a fresh pool, head and labels (seed {s['seed']}); bands are 95% intervals "
        "of the mean. Hover for n, the error and its interval; the camera above a chart saves the picture."
    )


def downloads(result: Result, found: CurvesRun) -> None:
    """Buttons that download the result as files."""
    _files(
        f"curves-{found.id}",
        csv=(lambda: pd.DataFrame(result.table()).to_csv(index=False), "one row per selector and budget, with intervals"),
        json=(lambda: json.dumps(curves_summary(result), indent=1), "settings, command, table and fits"),
        report=(lambda: curves_page(result, found.id).html(), REPORT),
    )


def _files(name: str, **files: tuple[Any, str]) -> None:
    """A button for each file, which is made when it is asked for."""
    row = st.container(horizontal=True, vertical_alignment="center")
    row.markdown("Download:")
    for ending, (data, what) in files.items():
        ending = "report.html" if ending == "report" else ending
        row.download_button(ending, data, f"{name}.{ending}", key=f"{ending}-{name}", on_click="ignore", help=what)


def code(result: Result) -> None:
    components.footer(f"{result.about.command} --out curves", python_of(result))


def opened(found: CurvesRun) -> Result:
    """A result's records, read again when they have grown."""
    stamp = (found.folder / "records.jsonl").stat()
    return _opened(str(found.folder), stamp.st_mtime_ns, stamp.st_size)


@st.cache_resource(max_entries=16, show_spinner="Reading the records …")
def _opened(folder: str, changed: int, size: int) -> Result:
    return read_curves(Path(folder))


def fits_at(result: Result, measure: str) -> Fits:
    """What is read off the curves of one measure, kept between reruns."""
    return _fits_of(json.dumps(result.about.settings, sort_keys=True), result.runs, measure, result)


@st.cache_resource(max_entries=32, show_spinner="Fitting slopes …")
def _fits_of(settings: str, runs: int, measure: str, _result: Result) -> Fits:
    return fits_of(_result, measure)
