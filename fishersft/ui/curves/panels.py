"""The panels of the Curves page: a result's controls, its verdict, its picture, what it says, its numbers, and files of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from fishersft import catalogue
from fishersft.catalogue import CurvesRun
from fishersft.corpus.tables import results_csv
from fishersft.errors import StoreError
from fishersft.experiments.fits import BASELINE, Estimate, Fits, along_over_uniform, fits_of
from fishersft.experiments.result import MEASURES, Result, label_of
from fishersft.experiments.summaries import (
    HIGHER,
    IN_SHORT,
    USUAL,
    alike_sentence,
    constant_sentence,
    curves_summary,
    means,
    odds,
    standing_of,
    sweep_sentence,
    three,
    verdict_sentences,
    with_interval,
    worth_sentences,
)
from fishersft.experiments.timing import TIMING_FILE, Timing, read_timing
from fishersft.export.curves_report import curves_page, python_of, timing_page
from fishersft.plots import curves as curve_plots
from fishersft.ui import components, downloads, query_widgets
from fishersft.ui.address import current, whole
from fishersft.ui.components import dark, escape_markdown
from fishersft.ui.curves.form import opened
from fishersft.ui.session import public

SHOWN = {IN_SHORT[measure]: measure for measure in MEASURES}
BEFORE = {"max error": "largest error", "G-criterion": "worst leverage"}  # what earlier links call two of them
DIFFERENCE, ERRORS, WORDS, TABLE, OWN = "Difference", "Errors", "In words", "Table", "Run your own"
EQUAL = ("tokens", "sentences")
SWITCH = ("true", "false")
TAKEN: dict[str, tuple[Callable[[str], bool], str]] = {  # address parameters of controls that are not always drawn
    "equal": (EQUAL.__contains__, query_widgets.listed(EQUAL)),
    "measure": ((*SHOWN, *BEFORE).__contains__, query_widgets.listed(SHOWN)),
    "n": (lambda value: whole(value) is not None, "a whole number"),
    "guides": (lambda value: value.lower() in SWITCH, query_widgets.listed(SWITCH)),
    "picture": (components.PICTURES.__contains__, query_widgets.listed(components.PICTURES)),
}
WORLDS = {  # of the shipped pair: the heading, and why it differs
    "imbalanced": (
        "The imbalanced world: clusters of rows",
        "A few clusters contain most sentences; covering the rare directions lowers the largest error.",
    ),
    "isotropic": ("The homogeneous world: isotropic rows", "All directions are alike, so there is nothing rare to cover."),
}
MEANING = (
    "A pool is drawn whose true head, and so every label's probability, is known. Each selector chooses n sentences, a head is "
    "fitted on their labels, and its error on a sentence is how far its predictions are from the truth, summed over the tokens. "
    "Largest and mean: over all sentences of the pool. Worst leverage (the G-criterion): the largest variance that the "
    "selection leaves at a row of the pool, lower is better. log det: of the selection's design matrix, higher is better. "
    "Uniform is the random draw."
)
LEGEND = 120  # pixels that a phone needs more, where every name has a line of its own
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


def controls(result: Result, row: Any, *, worlds: bool = False) -> CurveOptions:
    """How a result is drawn, or both of the two worlds; what is rarely changed is behind a button."""
    selectors, against_n, equal = result.selectors, not result.is_sweep, "tokens"
    look: dict[str, Any]
    if worlds:
        meaning = "Tokens: every selector gets as many as TokenOD's first n sentences have. Sentences: every selector gets n."
        equal = query_widgets.segmented("At equal", EQUAL, "equal", place=row, help=components.helped(meaning, "equal tokens"))
    if "measure" not in st.session_state and (now := BEFORE.get(st.query_params.get("measure", ""))):
        st.session_state["measure"] = now
    look = {"width": 170, "help": components.helped(MEANING, "worst leverage", "log det")}
    shown = query_widgets.select("Measure", list(SHOWN), "measure", place=row, **look)
    n = USUAL
    if against_n:
        there, asked = result.budgets.tolist(), st.session_state.get("n", USUAL)
        n = asked if isinstance(asked, int) else USUAL  # a link's words for another page
        near = min(there, key=lambda b: abs(math.log(b / n)))  # after a change of result, the nearest one
        if asked not in there and "n" in st.session_state:
            st.session_state["n"] = near
        look = {"index": there.index(near), "width": 110, "help": "Sentences chosen: the words and the upright line are there."}
        n = int(query_widgets.select("At n", there, "n", place=row, **look))
    with _options(row):
        log, guides = _log_switch(), against_n and _guides_switch()
        components.pictures(st)
        look = {"key": f"selectors-{'-'.join(selectors)}", "wrap": True, "format_func": label_of}
        look["help"] = "Which curves are drawn; the sentences and numbers cover all of them."
        names = st.pills("Selectors", selectors, selection_mode="multi", default=selectors, **look)
    return CurveOptions(SHOWN[shown], log, guides, tuple(names or ()), n, equal)


def _options(row: Any) -> Any:
    """Where the controls stand that are rarely changed."""
    return row.popover("Options", icon=":material/tune:", help="Axes, guide lines, which selectors, and how pictures are saved.")


def _log_switch() -> bool:
    return query_widgets.toggle("Log axes", "logarithmic", True, help="Straight lines are power laws there.")


def _guides_switch() -> bool:
    slopes = (
        "Thin lines beside the errors: how TokenOD's error would fall from its first point with the power -1/2 of theory and "
        "with the -0.3 that the paper saw, and the shape of the theorem's bound with a fitted constant."
    )
    return query_widgets.toggle("Guides", "guides", True, help=slopes)


def choose_part(*names: str) -> str:
    """Which part of the page is shown; the first one where another result had a part that this one lacks."""
    if st.session_state.get("part", names[0]) not in names:
        st.session_state["part"] = names[0]
    return components.tabs(names, "part", "Part")


def two_worlds(row: Any) -> None:
    """The shipped pair of worlds: one where coverage pays, one where only length does."""
    how = controls(
        opened(catalogue.find_run("imbalanced-tokens", catalogue.CURVES, shipped_only=public()).opened), row, worlds=True
    )
    found = [catalogue.find_run(f"{world}-{how.equal}", catalogue.CURVES, shipped_only=public()).opened for world in WORLDS]
    results = [opened(one) for one in found]
    places = [heading.partition(":")[0].replace("The", "in the", 1) for heading, _ in WORLDS.values()]
    told = [_verdict(result, how, place)[0] for result, place in zip(results, places, strict=True)]
    components.verdict(escape_markdown(" ".join(told)), help=components.helped(MEANING, "coverage"))
    part = choose_part(DIFFERENCE, ERRORS, WORDS, TABLE)
    drawn = _figures(results, how, part, 420)
    beside = st.columns(2, gap="medium") if part != TABLE else [st.container(), st.container()]  # a table needs the width
    for k, (column, (heading, why)) in enumerate(zip(beside, WORLDS.values(), strict=True)):
        with column:
            st.header(heading, anchor=False, help=components.helped(why, "coverage"))
            _part(part, results[k], how, drawn[k] if drawn else None, found[k].id, told[k])
            _files(results[k], found[k])
    one_axis = how.log_y or part == DIFFERENCE
    st.caption(
        f"{_how_drawn(results[0])} {'Both charts share one y scale. ' if drawn and one_axis else ''}Both pools have 3,000 "
        "sentences with lengths of one distribution, d = 10 and L = 20."
    )
    _guides(results, how, part)


def show(found: CurvesRun, row: Any, own: Callable[[], None]) -> None:
    """A result: what it says, then one part of it; `own` draws the form of an experiment of one's own."""
    if found.kind == catalogue.TIMING:
        _left_out("picture")
        with _options(row):
            log = _log_switch()
            components.pictures(st)
        _timing(read_timing(found.folder), log, found, own)
        return
    try:
        result = opened(found)
    except StoreError as error:
        _left_out()
        st.info(escape_markdown(str(error)), icon=":material/hourglass_empty:")
        own()
        return
    _left_out("measure", "picture", *(() if result.is_sweep else ("n", "guides")))
    how = controls(result, row)
    told = _verdict(result, how)
    components.verdict(escape_markdown(" ".join(told)), help=components.helped(MEANING))
    asked = int(result.about.settings["runs"])
    if result.runs < asked:
        so_far = f"{result.runs} of {asked} runs are finished by every selector so far; these are shown."
        st.info(so_far, icon=":material/pending:")
    compared = [DIFFERENCE] if BASELINE in result.selectors and len(result.selectors) > 1 else []
    part = choose_part(*compared, ERRORS, *([] if result.is_sweep else [WORDS]), TABLE, OWN)
    if part == OWN:
        own()
        return
    if result.is_sweep:
        _sweep(result, how, part, found, told)
    else:
        drawn = _figures([result], how, part, 430)
        _part(part, result, how, drawn[0] if drawn else None, found.id, " ".join(told))
        _guides([result], how, part)
    st.caption(_how_drawn(result))
    _files(result, found)


def _verdict(result: Result, how: CurveOptions, where: str = "") -> list[str]:
    if result.is_sweep:
        return [sweep_sentence(result, over, how.measure) for over in result.about.settings["sweep"]]
    return verdict_sentences(result, fits_at(result, how.measure), how.n, where)


def _part(part: str, result: Result, how: CurveOptions, fig: Any, key: str, told: str) -> None:
    """One part of a result against n: its picture, its sentences or its numbers."""
    if part == WORDS:
        _said(result, how)
    elif part == TABLE:
        _numbers(result, how)
    elif fig is None:
        st.info("Choose a selector under Options to see its curve.", icon=":material/show_chart:")
    else:
        _plot(fig, f"{key}-{how.measure}-{part}", MEASURES[how.measure], how.log, told)
        if part == ERRORS and (hidden := alike_sentence(result, how.measure, how.selectors)):
            st.caption(escape_markdown(hidden))


def _plot(fig: Any, key: str, what: str, log: bool, told: str) -> None:
    alt = f"{told} {what[:1].upper()}{what[1:]}, one line with a band per selector."
    components.chart(fig, f"chart-{key}-{log}", alt, file=f"curves-{key.removesuffix(f'-{ERRORS}')}")


def _figures(results: Sequence[Result], how: CurveOptions, part: str, height: int) -> list[Any]:
    """Charts of one measure against n, one per result, which share the y axis where it is logarithmic; none for other parts, or
    where no selector is chosen."""
    look: dict[str, Any] = {"log": how.log, "dark": dark(), "height": height + LEGEND * components.touch()}
    if part == DIFFERENCE:
        if not set(how.selectors) - {BASELINE}:
            return []
        every = [curve_plots.difference_figure(result, _ratios(result, how), how.measure, n=how.n, **look) for result in results]
        curve_plots.share_ratios(every, dark(), higher=how.measure in HIGHER)
        return every
    if part != ERRORS or not how.selectors:
        return []
    look |= {"guides": how.guides, "selectors": how.selectors}
    every = [curve_plots.error_figure(result, how.measure, **look) for result in results]
    if how.log_y:  # else the higher chart presses the other one flat
        curve_plots.share_y(every)
    return every


def _ratios(result: Result, how: CurveOptions, over: str = "") -> dict[str, list[Estimate]]:
    """Each chosen selector's measure over Uniform's, at every n or along a sweep."""
    paired = fits_at(result, how.measure).paired if not over else {}
    every = along_over_uniform(result, over, how.measure) if over else {s: [p.ratio for p in ps] for s, ps in paired.items()}
    return {name: ratios for name, ratios in every.items() if name in how.selectors}


def _said(result: Result, how: CurveOptions) -> None:
    fits = fits_at(result, how.measure)
    told = [standing_of(result, how.n, how.measure).sentence(), *worth_sentences(result, fits, how.n)]
    st.markdown("\n".join(f"- {escape_markdown(sentence)}" for sentence in told))


def _sweep(result: Result, how: CurveOptions, part: str, found: CurvesRun, told: Sequence[str]) -> None:
    moved = list(result.about.settings["sweep"])
    if part == TABLE:
        points = [(d, L, means(result, how.measure, point=(d, L))) for d, L in result.values]
        rows = [{"d": d, "L": L, **{label_of(s): with_interval(e) for s, e in found.items()}} for d, L, found in points]
        components.table(rows, f"{MEASURES[how.measure]} at every d and L, by selector")
        return
    figures, look = [], dict[str, Any](log=how.log, dark=dark(), height=430 + LEGEND * components.touch())
    for over in moved:
        if part == DIFFERENCE and (ratios := _ratios(result, how, over)):
            figures.append(curve_plots.difference_figure(result, ratios, how.measure, over=over, **look))
        elif part == ERRORS and how.selectors:
            figures.append(curve_plots.error_figure(result, how.measure, over=over, selectors=how.selectors, **look))
    if part == DIFFERENCE and figures:
        curve_plots.share_ratios(figures, dark(), higher=how.measure in HIGHER)
    if not figures:
        st.info("Choose a selector under Options to see its curve.", icon=":material/show_chart:")
        return
    for column, over, fig, said in zip(st.columns(len(moved), gap="medium"), moved, figures, told, strict=True):
        with column:
            _plot(fig, f"{found.id}-{over}-{how.measure}-{part}", f"{MEASURES[how.measure]} against {over}", how.log, said)


def _timing(told: Timing, log: bool, found: CurvesRun, own: Callable[[], None]) -> None:
    n, fast, slow, measured = (each[-1] for each in (told.budgets, told.fast, told.slow, told.measured))
    said = (
        f"{n:,} picks take the fast greedy {three(fast)} s and Algorithm 1 {three(slow)} s"
        f"{'' if measured else ' (extrapolated)'}, {three(slow / fast)} times as long."
    )
    components.verdict(
        said,
        help="Algorithm 1 of the paper computes the gain of every sentence at every pick; the fast greedy computes few of them "
        "and makes the same picks.",
    )
    if choose_part("Seconds", OWN) == OWN:
        own()
        return
    _plot(curve_plots.timing_figure(told, log=log, dark=dark(), height=430), found.id, "Seconds against picks", log, said)
    st.caption(
        f"{told.note}. {told.pool['sentences']:,} sentences, {told.pool['tokens']:,} rows, d = {told.pool['dimension']}. "
        "Times were measured on the machine that ran the command; the camera above the chart saves the picture."
    )
    name = f"timing-{found.id}"
    content = (found.folder / TIMING_FILE).read_bytes()
    downloads.files(
        name,
        name,
        ("csv", "csv", lambda: results_csv(told.table()), "one row per number of picks"),
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
    components.table(lines, f"Numbers at n = {standing.n}")
    power = "n" if result.equal == "sentences" else "the tokens"
    needed = f"Uniform's {result.equal} for the same: how many times as many Uniform needs for this value, read off its curve. "
    st.caption(
        f"At n = {standing.n:,}, with 95% intervals in brackets. Slope: the power of {power} that the value falls or grows "
        f"with, over all n; a curve that starts low may fall more slowly. {'' if measure in HIGHER else needed}Over Uniform's, "
        "run by run: below 1 is lower. p: how often chance alone would show a difference as clear (Wilcoxon's signed-rank test "
        "over runs), not corrected for the number of budgets."
    )


def _guides(results: Sequence[Result], how: CurveOptions, part: str) -> None:
    fits = [fits_at(result, how.measure) for result in results] if how.guides and part == ERRORS else []
    if told := constant_sentence(results[0], *fits) if fits else "":
        st.caption(escape_markdown(told))


def _how_drawn(result: Result) -> str:
    return (
        f"Means of {result.runs} runs, each a fresh pool, head and labels (seed {result.about.settings['seed']}); bands are 95% "
        "intervals over runs, not corrected for comparing several. Hover for numbers; the camera above a chart saves it."
    )


def _files(result: Result, found: CurvesRun) -> None:
    """Files of a result, and the commands that make it."""
    name, rows = f"curves-{found.id}", "one row per selector and budget, with intervals"
    downloads.files(
        name,
        name,
        ("csv", "csv", lambda: results_csv(result.table()), rows),
        ("json", "json", lambda: json.dumps(curves_summary(result), indent=1), "settings, command, table and fits"),
        ("report.html", "report.html", lambda: curves_page(result, found.id).html(), REPORT),
    )
    components.footer(f"{result.about.command} --out curves", python_of(result))
