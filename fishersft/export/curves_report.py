"""The report of error curves or of a timing: what was asked, the figures, the numbers with intervals, the same in Python."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import plotly.graph_objects as go

from fishersft import fields
from fishersft.catalogue import TIMING, CurvesRun
from fishersft.experiments.fits import Fits, fits_of
from fishersft.experiments.result import MEASURES, Result, label_of, read_curves
from fishersft.experiments.settings import MeasureSettings
from fishersft.experiments.summaries import (
    ERRORS,
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
from fishersft.experiments.worlds import Synthetic
from fishersft.export.html import Code, Figure, Page, Paragraph, Section, Table, table_of
from fishersft.plots import curves as curve_plots


def found_page(found: CurvesRun) -> Page:
    """The report of a result's folder."""
    if found.kind == TIMING:
        timing = read_timing(found.folder)
        return timing_page(timing, found.id)
    return curves_page(read_curves(found.folder), found.id)


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
    return Page(
        result.about.title,
        id,
        summary,
        (
            Section("What was asked", (table_of("Settings", _flat(result.about.settings)),)),
            Section("The curves", (*map(Paragraph, words), *figures)),
            Section("In numbers", tuple(numbers)),
            Section(
                "The same again",
                (Code("Command line", f"{result.about.command} --out curves"), Code("Python", python_of(result))),
            ),
        ),
    )


def timing_page(timing: Timing, id: str) -> Page:
    """The report of Algorithm 1 against the fast greedy."""
    rows = tuple(
        (f"{n:,}", three(fast), three(slow), "measured" if measured else "extrapolated", three(slow / fast))
        for n, fast, slow, measured in zip(timing.budgets, timing.fast, timing.slow, timing.measured, strict=True)
    )
    figure = _figure(lambda dark: curve_plots.timing_figure(timing, dark=dark), id, "seconds", "Seconds against picks")
    head = ("n", "the fast greedy", "Algorithm 1", "which is", "times as long")
    return Page(
        "Fast against slow",
        id,
        f"{timing.note}.",
        (
            Section("What was asked", (table_of("The pool", _flat(timing.pool)),)),
            Section("Seconds", (figure, Table("Seconds for n picks", head, rows))),
            Section("The same again", (Code("Command line", timing.about.command),)),
        ),
    )


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
        draw, f"{id}-{name}", f"{heading}: one line with a band per selector; the numbers are in the tables.", f"{heading}."
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
        f"Against Uniform, in the {what}: how many times as many {result.equal} Uniform needs for the same, read off its curve "
        "with a bootstrap interval, and the error over Uniform's run by run with Wilcoxon's signed-rank test (p not corrected)",
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


def python_of(result: Result) -> str:
    """The Python that makes a result again where its world is drawn, else what reads its folder."""
    settings, printed = result.about.settings, f'print(result.curve({result.selectors[0]!r}, "maximum").mean)'
    if result.is_sweep or settings["world"]["name"] != Synthetic.name:
        read = 'result = fishersft.read_curves(Path("curves"))  # the folder that the command wrote'
        return f"from pathlib import Path\n\nimport fishersft\n\n{read}\n{printed}\n"
    world = Synthetic(**{name: settings["world"][name] for name in fields.declared(Synthetic)})
    asked = fields.make(MeasureSettings, {name: _as_given(settings[name]) for name in fields.declared(MeasureSettings)})
    given = [f"world={fields.call(world)}", *(f"{name}={value!r}" for name, value in fields.changed(asked).items())]
    if settings["parameters"]:
        given.append(f"parameters={tuple(settings['parameters'])!r}")
    made = f"experiment = fishersft.Experiment({', '.join(given)})\nresult = fishersft.measure_curves(experiment)"
    return f"import fishersft\n\n{made}\n{printed}\n"


def _as_given(value: Any) -> Any:
    """A setting before it was written as JSON."""
    return tuple(value) if isinstance(value, list) else value
