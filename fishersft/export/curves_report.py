"""The report of error curves or of a timing: what was asked, the figures, the numbers with intervals, and how to do it again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import plotly.graph_objects as go

from fishersft import fields
from fishersft.experiments.fits import Fits, fits_of
from fishersft.experiments.result import MEASURES, Result, label_of
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
from fishersft.experiments.timing import Timing
from fishersft.experiments.worlds import Synthetic
from fishersft.export.html import Code, Figure, Page, Paragraph, Section, Table, table_of
from fishersft.plots import curves as curve_plots


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
        slopes = Table(
            "Slope of log error on log n, with 95% intervals by a bootstrap over runs; theory says -1/2, the paper saw about "
            "-0.3",
            ("selector", *(MEASURES[m] for m in ERRORS)),
            tuple((label_of(name), *(with_interval(fits[m].slopes[name]) for m in ERRORS)) for name in result.selectors),
        )
        numbers = [slopes, *([_rivals(result, fits["maximum"])] if fits["maximum"].ratios else []), _table(result)]
    so_far = f" {result.runs} of {asked} runs are finished." if result.runs < asked else ""
    summary = (
        f"{result.runs} runs, each a fresh pool, head and labels; bands and brackets are 95% intervals of the mean over runs; "
        f"compared at equal {result.equal}.{so_far}"
    )
    return Page(
        result.about.title,
        id,
        summary,
        (
            Section("What was asked", (table_of("Settings", _flat(result.about.settings)),)),
            Section("The curves", (*map(Paragraph, words), *_figures(result, id or "curves"))),
            Section("In numbers", tuple(numbers)),
            Section(
                "How to reproduce it",
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
    figure = _figure(partial(curve_plots.timing_figure, timing), f"{id}-seconds", "Seconds against picks")
    head = ("n", "the fast greedy", "Algorithm 1", "Algorithm 1 was", "times as long")
    return Page(
        "Fast against slow",
        id,
        f"{timing.note}.",
        (
            Section("What was asked", (table_of("The pool", _flat(timing.pool)),)),
            Section("Seconds", (figure, Table("Seconds for n picks", head, rows))),
            Section("How to reproduce it", (Code("Command line", timing.about.command),)),
        ),
    )


def _figures(result: Result, id: str) -> list[Figure]:
    if not result.is_sweep:
        return [_figure(partial(curve_plots.error_figure, result, m), f"{id}-{m}", MEASURES[m]) for m in MEASURES]
    return [
        _figure(
            partial(curve_plots.error_figure, result, m, over=over, log=False),
            f"{id}-{m}-{over}",
            f"{MEASURES[m]} against {over}",
        )
        for over in result.about.settings["sweep"]
        for m in ERRORS
    ]


def _figure(draw: Callable[..., go.Figure], name: str, title: str) -> Figure:
    heading = f"{title[:1].upper()}{title[1:]}"
    alt = f"{heading}: one line with a band per selector; the numbers are in the tables."
    return Figure.of(draw, name, alt, f"{heading}.")


def _rivals(result: Result, fits: Fits) -> Table:
    rows = tuple(
        (label_of(name), f"{n:,}", f"{with_interval(ratio)} times", with_interval(paired.ratio), odds(paired.p))
        for name, ratios in fits.ratios.items()
        for n, ratio, paired in zip(result.budgets, ratios, fits.paired[name], strict=True)
    )
    return Table(
        f"Against Uniform, in the {MEASURES[fits.measure]}: how many times as many {result.equal} Uniform needs for the "
        "same, read off its curve with a bootstrap interval, and the error over Uniform's run by run with "
        "Wilcoxon's signed-rank test (p not corrected)",
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
    return [
        fact
        for name, value in settings.items()
        for fact in (_flat(value, f"{before}{name}: ") if isinstance(value, dict) else [(f"{before}{name}", value)])
    ]


def python_of(result: Result) -> str:
    """The Python that makes a result again where its world is drawn, else what reads its folder."""
    settings, printed = result.about.settings, f'print(result.curve({result.selectors[0]!r}, "maximum").mean)'
    if result.is_sweep or settings["world"]["name"] != Synthetic.name:
        opened = 'result = fishersft.read_curves(Path("curves"))  # the folder that the command wrote'
        return f"from pathlib import Path\n\nimport fishersft\n\n{opened}\n{printed}\n"
    world = Synthetic(**{name: settings["world"][name] for name in fields.declared(Synthetic)})
    read: dict[str, Any] = {name: settings[name] for name in fields.declared(MeasureSettings)}
    read |= {name: tuple(value) for name, value in read.items() if isinstance(value, list)}  # JSON wrote tuples as lists
    asked = MeasureSettings(**read)
    given = [f"world={fields.call(world)}", *(f"{name}={value!r}" for name, value in fields.changed(asked).items())]
    if settings["parameters"]:
        given.append(f"parameters={tuple(settings['parameters'])!r}")
    made = f"experiment = fishersft.Experiment({', '.join(given)})\nresult = fishersft.measure_curves(experiment)"
    return f"import fishersft\n\n{made}\n{printed}\n"
