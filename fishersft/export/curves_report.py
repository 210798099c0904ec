"""The report of error curves, or of a timing: what was asked, the figures, the numbers with intervals."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fishersft.experiments.code import python_of
from fishersft.experiments.fits import Fits, fits_of
from fishersft.experiments.result import MEASURES, Result, command_of, label_of, read_result
from fishersft.experiments.stored import TIMING, Found
from fishersft.experiments.summaries import (
    alike_sentence,
    constant_sentence,
    odds,
    standing_of,
    sweep_sentence,
    three,
    with_interval,
    worth_sentences,
)
from fishersft.experiments.timing import Timing, read_timing
from fishersft.export.html import Code, Figure, Page, Part, Table, Text, table_of
from fishersft.plots import curves as curve_plots

if TYPE_CHECKING:
    import plotly.graph_objects as go

ERRORS = ("maximum", "mean")


def found_page(found: Found) -> Page:
    """The report of a result's folder."""
    if found.kind == TIMING:
        timing = read_timing(found.folder)
        return timing_page(timing, found.id, timing_command(timing))
    return curves_page(read_result(found.folder), found.id)


def curves_page(result: Result, id: str = "") -> Page:
    """The report of an experiment or a sweep, as far as it has got."""
    asked = int(result.about.settings["runs"])
    if result.is_sweep:
        words = [sweep_sentence(result, over, m) for over in result.about.settings["sweep"] for m in ERRORS]
        numbers = [_table(result)]
    else:
        fits = {m: fits_of(result, m) for m in ERRORS}
        words = [" ".join([standing_of(result, measure=m).sentence(), *worth_sentences(result, fits[m])]) for m in ERRORS]
        words += [sentence for sentence in (constant_sentence(result, fits["maximum"]), alike_sentence(result)) if sentence]
        numbers = [_slopes(result, fits), *([_rivals(result, fits["maximum"])] if fits["maximum"].ratios else []), _table(result)]
    so_far = f" {result.runs} of {asked} runs are finished." if result.runs < asked else ""
    summary = (
        f"{result.runs} runs, each a fresh pool, head and labels; bands and brackets are 95% intervals of the mean over runs; "
        f"compared at equal {result.equal}.{so_far}"
    )
    figures = [_figure(draw, id or "curves", name, title) for name, title, draw in _figures(result)]
    python = python_of(result)
    return Page(
        result.about.title,
        id,
        summary,
        (
            Part("What was asked", (table_of("Settings", _flat(result.about.settings)),)),
            Part("The curves", (*map(Text, words), *figures)),
            Part("In numbers", tuple(numbers)),
            Part(
                "The same again",
                (Code("Command line", f"{command_of(result.about)} --out curves"), Code("Python", python)),
            ),
        ),
    )


def timing_page(timing: Timing, id: str, command: str) -> Page:
    """The report of Algorithm 1 against the fast greedy."""
    rows = tuple(
        (f"{n:,}", three(fast), three(slow), "measured" if measured else "extrapolated", three(slow / fast))
        for n, fast, slow, measured in zip(timing.budgets, timing.fast, timing.slow, timing.measured, strict=True)
    )
    figure = _figure(lambda dark: curve_plots.timing_figure(timing, dark=dark), id, "seconds", "Seconds against picks")
    table = Table(
        "Seconds for n picks", ("n", "the fast greedy", "Algorithm 1", "which is", "times as long"), rows
    )  # fmt: skip
    return Page(
        "Fast against slow",
        id,
        f"{timing.note}.",
        (
            Part("What was asked", (table_of("The pool", _flat(timing.pool)),)),
            Part("Seconds", (figure, table)),
            Part("The same again", (Code("Command line", command),)),
        ),
    )


def timing_command(timing: Timing) -> str:
    return shlex.join(["fishersft", "curves", TIMING, *timing.arguments()])


def _figures(result: Result) -> list[tuple[str, str, Callable[[bool], go.Figure]]]:
    def error(measure: str, dark: bool) -> go.Figure:
        return curve_plots.error_figure(result, measure, dark=dark)

    def sweep(over: str, measure: str, dark: bool) -> go.Figure:
        return curve_plots.sweep_figure(result, over, measure, dark=dark)

    if result.is_sweep:
        moved = result.about.settings["sweep"]
        return [(f"{m}-{o}", f"{MEASURES[m]} against {o}", partial(sweep, o, m)) for o in moved for m in ERRORS]
    return [(m, MEASURES[m], partial(error, m)) for m in MEASURES]


def _figure(draw: Callable[[bool], go.Figure], id: str, name: str, title: str) -> Figure:
    heading = f"{title[:1].upper()}{title[1:]}"
    return Figure.of(
        draw, f"{id}-{name}", f"{heading}: a line a selector with a band; the numbers are in the tables.", f"{heading}."
    )


def _slopes(result: Result, fits: dict[str, Fits]) -> Table:
    rows = tuple((label_of(name), *(with_interval(fits[m].slopes[name]) for m in ERRORS)) for name in result.selectors)
    return Table(
        "Slope of log error on log n, with 95% intervals by a bootstrap over runs; theory says -1/2, the paper saw about -0.3",
        ("selector", *(MEASURES[m] for m in ERRORS)),
        rows,
    )


def _rivals(result: Result, fits: Fits) -> Table:
    rows = tuple(
        (
            label_of(name),
            f"{n:,}",
            f"{with_interval(ratios[k])} times",
            with_interval(fits.paired[name][k].ratio),
            odds(fits.paired[name][k].p),
        )
        for name, ratios in fits.ratios.items()
        for k, n in enumerate(result.budgets)
    )
    what = MEASURES[fits.measure]
    return Table(
        f"Against Uniform, of the {what}: how many times as many {result.equal} Uniform needs for the same, read off its curve "
        "with a bootstrap interval, and the error over Uniform's run by run with Wilcoxon's signed-rank test (each p for itself)",
        ("selector", "n", f"Uniform's {result.equal} for the same", "error over Uniform's", "p"),
        rows,
    )


def _table(result: Result) -> Table:
    rows = tuple(
        (
            label_of(row["selector"]),
            *([f"{row['d']}", f"{row['L']}"] if result.is_sweep else []),
            f"{row['n']:,}",
            f"{row['sentences']:,.0f}",
            f"{row['tokens']:,.0f}",
            *(_with(row, m) for m in MEASURES),
        )
        for row in result.table()
    )
    head = ("selector", *(("d", "L") if result.is_sweep else ()), "n", "sentences", "tokens", *MEASURES.values())
    return Table("Means over runs with 95% intervals (Student's t)", head, rows)


def _with(row: dict[str, Any], measure: str) -> str:
    value, low, high = (row[f"{measure}{end}"] for end in ("", "_low", "_high"))
    return three(value) if low is None else f"{three(value)} ({three(low)} to {three(high)})"


def _flat(settings: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Settings inside settings, as one list."""
    out: list[tuple[str, Any]] = []
    for name, value in settings.items():
        if isinstance(value, dict):
            out += _flat(value, f"{before}{name}: ")
        else:
            out.append((f"{before}{name}", value))
    return out
