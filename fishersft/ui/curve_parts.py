"""What a result of error curves is shown with: chart, numbers, files, code; each owns its widget keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from fishersft import curve_plots
from fishersft.curves.code import python_of
from fishersft.curves.fits import Fits, fits_of
from fishersft.curves.result import MEASURES, Result, command_of, label_of, read_result
from fishersft.curves.standing import HIGHER, means, standing_of, sweep_sentence, three, with_interval
from fishersft.curves.timing import TIMING_FILE, Timing
from fishersft.reports.curves import curves_page
from fishersft.runs.curve_results import Found
from fishersft.ui import bound, components
from fishersft.ui.theme import dark

BUTTONS = ("toImage", "zoom2d", "pan2d", "resetScale2d")
ALT = "{}: a line a selector with a band; the numbers are in the table below."


@dataclass(frozen=True)
class How:
    """How results are drawn."""

    measure: str
    log: bool
    guides: bool
    selectors: tuple[str, ...]


def log_switch(row: Any = None) -> bool:
    """Log axes, of every chart of the page."""
    return bound.toggle("Log axes", "logarithmic", True, place=row or st, help="Straight lines are power laws there.")


def chart(result: Result, how: How, key: str, height: int = 460) -> None:
    """One measure against n."""
    shown = [name for name in result.selectors if name in how.selectors]
    if not shown:
        st.info("Choose a selector above to see its curve.", icon=":material/show_chart:")
        return
    fig = curve_plots.error_figure(
        result, how.measure, log=how.log, guides=how.guides, dark=dark(), height=height, selectors=shown
    )
    _plot(fig, how, f"{key}-{how.measure}", MEASURES[how.measure])


def sweep(result: Result, how: How, found: Found) -> None:
    """One measure against d and against L."""
    moved = list(result.about.settings["sweep"])
    for column, over in zip(st.columns(len(moved), gap="medium"), moved, strict=True):
        fig = curve_plots.sweep_figure(result, over, how.measure, log=how.log, dark=dark(), height=460)
        with column:
            st.markdown(components.escape_markdown(sweep_sentence(result, over, how.measure)))
            _plot(fig, how, f"{found.id}-{over}-{how.measure}", f"{MEASURES[how.measure]} against {over}")
    rows = []
    for d, L in result.values:
        told = {label_of(name): with_interval(e) for name, e in means(result, how.measure, point=(d, L)).items()}
        rows.append({"d": d, "L": L, **told})
    st.dataframe(rows, hide_index=True, alt=f"{MEASURES[how.measure]} at every d and L, by selector")


def timing(told: Timing, how: How, found: Found) -> None:
    """Seconds of both ways against the number of picks."""
    _plot(curve_plots.timing_figure(told, log=how.log, dark=dark(), height=460), how, found.id, "Seconds against picks")
    last = len(told.budgets) - 1
    ratio = told.slow[last] / told.fast[last]
    st.markdown(
        f"{told.budgets[last]:,} picks: the fast greedy {three(told.fast[last])} s, Algorithm 1 {three(told.slow[last])} s"
        f"{'' if told.measured[last] else ' (extrapolated)'}, {three(ratio)} times as long."
    )
    st.caption(f"{told.note}. {told.pool['sentences']:,} sentences, {told.pool['tokens']:,} rows, d = {told.pool['dimension']}.")
    row = st.container(horizontal=True, vertical_alignment="center")
    row.markdown("Download:")
    text = (found.folder / TIMING_FILE).read_bytes()
    row.download_button("json", text, f"timing-{found.id}.json", key=f"json-{found.id}", on_click="ignore")
    components.footer(command_of(found.about), "from fishersft.curves.timing import time_greedy\n\nprint(time_greedy().note)")


def _plot(fig: Any, how: How, key: str, what: str) -> None:
    st.plotly_chart(
        fig,
        theme=None,
        key=f"chart-{key}-{how.log}",
        config=components.camera(f"curves-{key}", always=True, buttons=BUTTONS),
        alt=ALT.format(what[:1].upper() + what[1:]),
    )


def numbers(result: Result, measure: str, n: int) -> None:
    """Slopes, what Uniform would need, and the paired test, at one budget."""
    fits = _fits(result, measure)
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
            line["p"] = three(fits.paired[name][k].p)
        lines.append(line)
    st.dataframe(pd.DataFrame(lines).fillna("–"), hide_index=True, alt=f"Numbers at n = {standing.n}")
    st.caption(
        f"At n = {standing.n:,}, with 95 % intervals in brackets. Slope: of the logarithms over all n; theory says -1/2, the "
        f"paper saw about -0.3. Uniform's {result.equal} for the same: how many times more Uniform needs. p: Wilcoxon's "
        "signed-rank test over runs, each for itself; there is one a budget."
    )


def drawn(result: Result) -> str:
    s = result.about.settings
    return (
        f"Means of {result.runs} runs, each a fresh pool, head and labels (seed {s['seed']}); bands are 95 % intervals "
        "of the mean. Hover for n, the error and its interval; the camera above a chart saves the picture."
    )


def downloads(result: Result, found: Found) -> None:
    """The result as files."""
    row = st.container(horizontal=True, vertical_alignment="center")
    row.markdown("Download:")
    files: Sequence[tuple[str, Any, str]] = (
        ("csv", _csv, "one row a selector and budget, with intervals"),
        ("json", _json, "settings, command, table and fits"),
        ("report.html", partial(_report, found.id), "one page with settings, figures and tables that needs no server"),
    )
    for ending, make, what in files:
        name = f"curves-{found.id}.{ending}"
        data = partial(make, result)
        row.download_button(ending, data, name, key=f"{ending}-{found.id}", on_click="ignore", help=what)


def _csv(result: Result) -> str:
    return pd.DataFrame(result.table()).to_csv(index=False)


def _report(id: str, result: Result) -> str:
    return curves_page(result, id).html()


def _json(result: Result) -> str:
    return json.dumps(result.as_dict(), indent=1)


def code(result: Result) -> None:
    components.footer(f"{command_of(result.about)} --out curves", python_of(result))


def opened(found: Found) -> Result:
    """A result's records, read again when they have grown."""
    stamp = (found.folder / "records.jsonl").stat()
    return _opened(str(found.folder), stamp.st_mtime_ns, stamp.st_size)


@st.cache_resource(max_entries=16, show_spinner="Reading the records …")
def _opened(folder: str, changed: int, size: int) -> Result:
    return read_result(Path(folder))


def _fits(result: Result, measure: str) -> Fits:
    return _fits_of(json.dumps(result.about.settings, sort_keys=True), result.runs, measure, result)


@st.cache_resource(max_entries=32, show_spinner="Fitting slopes …")
def _fits_of(settings: str, runs: int, measure: str, _result: Result) -> Fits:
    return fits_of(_result, measure)
