"""The panels of the Curves page: a result's controls, its chart, what it says, its numbers, and files of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from fishersft import catalogue
from fishersft.catalogue import CurvesRun
from fishersft.errors import StoreError
from fishersft.experiments.fits import Fits, fits_of
from fishersft.experiments.result import MEASURES, Result, label_of
from fishersft.experiments.summaries import (
    HIGHER,
    USUAL,
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
from fishersft.experiments.timing import TIMING_FILE, Timing, read_timing
from fishersft.export.curves_report import curves_page, python_of, timing_page
from fishersft.plots import curves as curve_plots
from fishersft.ui import components, downloads, query_widgets
from fishersft.ui.address import current
from fishersft.ui.components import dark, escape_markdown
from fishersft.ui.curves.form import opened

SHOWN = {"max error": "maximum", "mean error": "mean", "G-criterion": "worst_leverage", "log det": "log_det"}
EQUAL = ("tokens", "sentences")
SWITCH = ("true", "false")
TAKEN: dict[str, tuple[Callable[[str], bool], str]] = {  # address parameters of controls that are not always drawn
    "equal": (EQUAL.__contains__, query_widgets.listed(EQUAL)),
    "measure": (SHOWN.__contains__, query_widgets.listed(SHOWN)),
    "n": (str.isdigit, "a whole number"),
    "guides": (lambda value: value.lower() in SWITCH, query_widgets.listed(SWITCH)),
    "picture": (components.PICTURES.__contains__, query_widgets.listed(components.PICTURES)),
}
WORLDS = {  # of the shipped pair: the heading, and why it differs
    "imbalanced": (
        "An imbalanced world: clusters of rows",
        "A few clusters contain most sentences; covering the rare directions lowers the largest error.",
    ),
    "isotropic": ("A homogeneous world: isotropic rows", "All directions are alike, so there is nothing rare to cover."),
}
REPORT = "one page with settings, figures and tables that needs no server"


@dataclass(frozen=True)
class CurveOptions:
    measure: str
    log: bool
    guides: bool
    selectors: tuple[str, ...]
    n: int = USUAL  # the budget that the sentences are about, where n moves
    equal: str = "tokens"  # what selectors get as much of, in the two worlds

    @property
    def log_y(self) -> bool:
        return self.log and self.measure != "log_det"


def _left_out(*drawn: str) -> None:
    """Report once what the address asks of controls that this view does not draw, and remove it."""
    for key, (fits, what) in TAKEN.items():
        value = st.query_params.get(key)
        if value is not None and key not in drawn and key not in st.session_state and not fits(value):
            current().notices.append(f"{key} {value[:24]} ({what})")
            del st.query_params[key]


def _known(result: Result) -> tuple[str, int]:
    return json.dumps(result.about.settings, sort_keys=True), result.runs


@st.cache_resource(max_entries=32, show_spinner="Fitting slopes …", hash_funcs={Result: _known})
def fits_at(result: Result, measure: str) -> Fits:
    """What is read off the curves of one measure, kept between reruns."""
    return fits_of(result, measure)


def log_switch(row: Any) -> bool:
    """The switch for log axes, which every chart of the page has."""
    return query_widgets.toggle("Log axes", "logarithmic", True, place=row, help="Straight lines are power laws there.")


def controls(result: Result, *, worlds: bool = False) -> CurveOptions:
    """How a result is drawn, or both of the two worlds."""
    row = st.container(horizontal=True, vertical_alignment="bottom", key="curve-controls")
    selectors, against_n, equal = result.selectors, not result.is_sweep, "tokens"
    look: dict[str, Any]
    if worlds:
        meaning = "Tokens: every selector gets as many as TokenOD's first n sentences have. Sentences: every selector gets n."
        equal = query_widgets.segmented("At equal", EQUAL, "equal", place=row, help=components.helped(meaning, "equal tokens"))
    meaning = (
        "Error of a sentence: how far the fitted head's predictions are from the truth, summed over its tokens; the largest "
        "or the mean over all sentences. G-criterion: the worst leverage, lower is better. log det: of the design matrix."
    )
    explained = components.helped(meaning, "worst leverage", "log det")
    shown = query_widgets.segmented("Shown", list(SHOWN), "measure", place=row, help=explained)
    n = USUAL
    if against_n:
        there, asked = result.budgets.tolist(), st.session_state.get("n", USUAL)
        near = min(there, key=lambda b: abs(math.log(b / asked)))  # after a change of result, the nearest one
        if asked not in there and "n" in st.session_state:
            st.session_state["n"] = near
        look = {"index": there.index(near), "width": 150, "help": "The sentences and the upright line are at this budget."}
        n = int(query_widgets.select("Put into words at n", there, "n", place=row, **look))
    log = log_switch(row)
    slopes = (
        "Thin lines beside errors: how TokenOD's error would fall from its first point with the power -1/2 of theory and with "
        "the -0.3 that the paper saw, and the shape of the theorem's bound with a fitted constant."
    )
    guides = against_n and query_widgets.toggle("Guides", "guides", True, place=row, help=slopes)
    components.pictures(row)
    look = {"key": f"selectors-{'-'.join(selectors)}", "wrap": True, "format_func": label_of}
    look["help"] = "Which curves are drawn; the sentences and numbers cover all of them."
    names = st.pills("Selectors", selectors, selection_mode="multi", default=selectors, **look)
    if not names:
        st.info("Choose a selector above to see its curve.", icon=":material/show_chart:")
    return CurveOptions(SHOWN[shown], log, guides, tuple(names or ()), n, equal)


def two_worlds() -> None:
    """The shipped pair of worlds: one where coverage pays, one where only length does."""
    how = controls(opened(catalogue.find_run("imbalanced-tokens", catalogue.CURVES).opened), worlds=True)
    found = [catalogue.find_run(f"{world}-{how.equal}", catalogue.CURVES).opened for world in WORLDS]
    results = [opened(one) for one in found]
    drawn = _figures(results, how, 460)
    for k, (column, (heading, why)) in enumerate(zip(st.columns(2, gap="medium"), WORLDS.values(), strict=True)):
        with column:
            st.subheader(heading, anchor=False, help=components.helped(why, "coverage"))
            _said(results[k], how)
            if drawn:
                _chart(drawn[k], results[k], how, found[k].id)
            _downloads(results[k], found[k])
    st.caption(
        f"{_how_drawn(results[0])} {'Both charts have one y axis. ' if how.log_y else ''}Both pools have 3,000 sentences with "
        "lengths of one distribution, d = 10 and L = 20. In the imbalanced world a few clusters contain most sentences, so some "
        "directions are rare; in the homogeneous one all directions are alike."
    )
    _guides(results, how)
    for result, (heading, _) in zip(results, WORLDS.values(), strict=True):
        with st.expander(f"Numbers and command: {heading}"):
            _numbers(result, how)
            components.footer(f"{result.about.command} --out curves", python_of(result))


def show(found: CurvesRun) -> None:
    if found.kind == catalogue.TIMING:
        _left_out("picture")
        row = st.container(horizontal=True, vertical_alignment="bottom", key="curve-controls")
        log = log_switch(row)
        components.pictures(row)
        _timing(read_timing(found.folder), log, found)
        return
    try:
        result = opened(found)
    except StoreError as error:
        _left_out()
        st.info(escape_markdown(str(error)), icon=":material/hourglass_empty:")
        return
    _left_out("measure", "picture", *(() if result.is_sweep else ("n", "guides")))
    how = controls(result)
    asked = int(result.about.settings["runs"])
    if result.runs < asked:
        so_far = f"{result.runs} of {asked} runs are finished by every selector so far; these are shown."
        st.info(so_far, icon=":material/pending:")
    if result.is_sweep:
        _sweep(result, how, found)
    else:
        _said(result, how)
        for fig in _figures([result], how, 520):
            _chart(fig, result, how, found.id)
        _guides([result], how)
        _numbers(result, how)
    st.caption(_how_drawn(result))
    _downloads(result, found)
    components.footer(f"{result.about.command} --out curves", python_of(result))


def _plot(fig: Any, key: str, what: str, log: bool) -> None:
    alt = f"{what[:1].upper()}{what[1:]}: one line with a band per selector; the numbers are in the table below."
    components.chart(fig, f"chart-{key}-{log}", alt, file=f"curves-{key}")


def _figures(results: Sequence[Result], how: CurveOptions, height: int) -> list[Any]:
    """Charts of one measure against n, one per result; on log axes they share the y axis. None where no selector is chosen."""
    look: dict[str, Any] = {"log": how.log, "guides": how.guides, "dark": dark(), "height": height, "selectors": how.selectors}
    every = [curve_plots.error_figure(result, how.measure, **look) for result in results if how.selectors]
    if every and how.log_y:  # else the higher chart presses the other one flat
        curve_plots.share_y(every)
    return every


def _said(result: Result, how: CurveOptions) -> None:
    fits = fits_at(result, how.measure)
    told = [standing_of(result, how.n, how.measure).sentence(), *worth_sentences(result, fits, how.n)]
    before = "- " if len(told) > 1 else ""
    st.markdown("\n".join(before + escape_markdown(sentence) for sentence in told))


def _chart(fig: Any, result: Result, how: CurveOptions, key: str) -> None:
    _plot(fig, f"{key}-{how.measure}", MEASURES[how.measure], how.log)
    if hidden := alike_sentence(result, how.measure, how.selectors):
        st.caption(escape_markdown(hidden))


def _sweep(result: Result, how: CurveOptions, found: CurvesRun) -> None:
    moved = list(result.about.settings["sweep"])
    for column, over in zip(st.columns(len(moved), gap="medium"), moved, strict=True):
        with column:
            st.markdown(escape_markdown(sweep_sentence(result, over, how.measure)))
            if how.selectors:
                look: dict[str, Any] = {"log": how.log, "dark": dark(), "height": 460, "selectors": how.selectors}
                fig = curve_plots.error_figure(result, how.measure, over=over, **look)
                _plot(fig, f"{found.id}-{over}-{how.measure}", f"{MEASURES[how.measure]} against {over}", how.log)
    rows = [
        {"d": d, "L": L, **{label_of(s): with_interval(e) for s, e in means(result, how.measure, point=(d, L)).items()}}
        for d, L in result.values
    ]
    st.dataframe(rows, hide_index=True, alt=f"{MEASURES[how.measure]} at every d and L, by selector")


def _timing(told: Timing, log: bool, found: CurvesRun) -> None:
    n, fast, slow, measured = (each[-1] for each in (told.budgets, told.fast, told.slow, told.measured))
    st.markdown(
        "Algorithm 1 of the paper computes the gain of every sentence at every pick; the fast greedy computes few of them and "
        f"makes the same picks. {n:,} picks take the fast greedy {three(fast)} s and Algorithm 1 {three(slow)} s"
        f"{'' if measured else ' (extrapolated)'}, {three(slow / fast)} times as long."
    )
    _plot(curve_plots.timing_figure(told, log=log, dark=dark(), height=460), found.id, "Seconds against picks", log)
    st.caption(
        f"{told.note}. {told.pool['sentences']:,} sentences, {told.pool['tokens']:,} rows, d = {told.pool['dimension']}. "
        "Times were measured on the machine that ran the command; the camera above the chart saves the picture."
    )
    name = f"timing-{found.id}"
    content = (found.folder / TIMING_FILE).read_bytes()
    downloads.files(
        name,
        name,
        ("csv", "csv", lambda: pd.DataFrame(told.table()).to_csv(index=False), "one row per number of picks"),
        ("json", "json", content, "the pool, the seconds, and which were measured"),
        ("report.html", "report.html", lambda: timing_page(told, found.id).html(), REPORT),
    )
    components.footer(found.about.command, "import fishersft\n\nprint(fishersft.time_greedy().note)")


def _numbers(result: Result, how: CurveOptions) -> None:
    """Slopes, what Uniform would need, and the paired test, at one budget."""
    measure, fits = how.measure, fits_at(result, how.measure)
    standing = standing_of(result, how.n, measure)
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
    needed = f"Uniform's {result.equal} for the same: how many times as many Uniform needs for this value, read off its curve. "
    st.caption(
        f"At n = {standing.n:,}, with 95% intervals in brackets. Slope: the power of {power} that the value falls or grows "
        f"with, over all n; a curve that starts low may fall more slowly. {'' if measure in HIGHER else needed}Over Uniform's, "
        "run by run: below 1 is lower. p: how often chance alone would show a difference as clear (Wilcoxon's signed-rank test "
        "over runs), not corrected for the number of budgets."
    )


def _guides(results: Sequence[Result], how: CurveOptions) -> None:
    fits = [fits_at(result, how.measure) for result in results] if how.guides else []
    if told := constant_sentence(results[0], *fits) if fits else "":
        st.caption(escape_markdown(told))


def _how_drawn(result: Result) -> str:
    return (
        f"Means of {result.runs} runs, each a fresh pool, head and labels (seed {result.about.settings['seed']}); bands are 95% "
        "intervals of the mean. Hover for n, the error and its interval; the camera above a chart saves the picture."
    )


def _downloads(result: Result, found: CurvesRun) -> None:
    name, rows = f"curves-{found.id}", "one row per selector and budget, with intervals"
    downloads.files(
        name,
        name,
        ("csv", "csv", lambda: pd.DataFrame(result.table()).to_csv(index=False), rows),
        ("json", "json", lambda: json.dumps(curves_summary(result), indent=1), "settings, command, table and fits"),
        ("report.html", "report.html", lambda: curves_page(result, found.id).html(), REPORT),
    )
