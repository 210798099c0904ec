"""`fishersft curves` measures prediction error against the budget on pools whose truth is known."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

import fishersft
from fishersft import fields
from fishersft.commands import shared
from fishersft.errors import MissingExtra
from fishersft.experiments.settings import (
    SWEEP_BUDGET,
    MeasureSettings,
    SweepSettings,
    SyntheticSettings,
    TeacherSettings,
    TimingSettings,
    WordSettings,
    WordSource,
    default_budgets,
)
from fishersft.paths import write_whole
from fishersft.store import job_runner

F = TypeVar("F", bound=Callable[..., Any])
TIMED = ("features", "dimension", "sentences", "budgets", "box", "seed")


def measure_options(command: F) -> F:
    """What is measured in any world, and where the results go."""
    workers = click.option(
        "--workers", type=click.IntRange(1), help="Processes, by default one per core; the results do not depend on it."
    )
    out = shared.out_option("Folder for the results; the same command continues there.")
    return fields.options(MeasureSettings, budgets=())(shared.settings_option(workers(out(shared.json_option(command)))))


@click.group()
def curves() -> None:
    """Measure how maximum and mean prediction error fall with the budget, selector by selector.

    The truth is known: labels are drawn from a head Theta*, a head is fitted on each selection, and the two are compared on every
    sentence of the pool. --out DIR receives curves.csv, curves.json, curves.html, and records.jsonl, from which the same command
    continues where it was stopped. A Markdown table goes to standard output, progress to standard error.
    """


@curves.command()
@fields.options(SyntheticSettings)
@fields.options(SweepSettings)
@measure_options
def synthetic(**given: Any) -> None:
    """Rows drawn from a distribution: isotropic, a power law, imbalanced clusters, near-duplicates."""
    moved = SweepSettings(**_taken(given, SweepSettings))
    world = fishersft.Synthetic(**_taken(given, SyntheticSettings))
    if not moved.sweep:
        return _run(world, given)
    given["budgets"] = given["budgets"] or (SWEEP_BUDGET,)
    _run(world, given, moved)


@curves.command()
@fields.options(WordSource)
@fields.options(WordSettings)
@measure_options
def words(**given: Any) -> None:
    """Pre-trained word vectors: a sentence is a draw of words, a row is the word's vector."""
    source = WordSource(**_taken(given, WordSource))
    _run(fishersft.word_world(source, **_taken(given, WordSettings)), given)


@curves.command(epilog=shared.CORPUS_HELP)
@shared.corpus_and_model
@fields.options(TeacherSettings)
@measure_options
def teacher(**given: Any) -> None:
    """Token rows of CORPUS under a model, with labels drawn from the model's own head."""
    settings = TeacherSettings(**_taken(given, TeacherSettings))
    measured = {name: given.pop(name) for name in (*fields.declared(MeasureSettings), "settings", "workers", "out", "as_json")}
    corpus, folder = shared.load(given)
    model = fishersft.load_model(folder, device=given["device"])
    job_runner.expect({"embedding": (1, 1), "measuring": (4, 1)})
    with shared.progress("embedding", "tokens") as on_progress:
        embeddings = fishersft.embed(
            corpus, model, max_tokens=given["max_tokens"], device=given["device"], on_progress=on_progress
        )
    named = shared.given_options(only=tuple(name for name in given if name not in ("corpus", "threads", "engine", "ray_address")))
    _run(fishersft.teacher_world(embeddings, corpus, model, settings, options=(given["corpus"], *named)), measured)


@curves.command()
@fields.options(TimingSettings, only=TIMED)
@shared.out_option("Folder for timing.json and timing.html.")
@shared.json_option
def timing(out: Path | None, as_json: bool, **given: Any) -> None:
    """Fast against slow: how long Algorithm 1 and the fast greedy take, by number of picks."""
    asked = TimingSettings(**given)
    world = fishersft.Synthetic(features=asked.features, dimension=asked.dimension, sentences=asked.sentences)
    job_runner.expect({"the fast greedy": (2, 1), "Algorithm 1": (max(asked.box, 1.0), 1)})
    with shared.stages() as on_progress:
        found = fishersft.time_greedy(world, asked.budgets, box=asked.box, seed=asked.seed, out=out, on_progress=on_progress)
    if out:
        _write_report(out, "timing.html")
    click.echo(json.dumps(asdict(found)) if as_json else found.markdown())


def _taken(given: dict[str, Any], kind: type) -> dict[str, Any]:
    """The parameters that a class declares, removed from the given options."""
    return {name: given.pop(name) for name in fields.declared(kind)}


def _run(world: Any, given: dict[str, Any], moved: SweepSettings | None = None) -> None:
    out, workers = given["out"], given["workers"] or os.cpu_count() or 1
    measured = _taken(given, MeasureSettings)
    measured["budgets"] = measured["budgets"] or default_budgets(int(world.settings["sentences"]))
    asked: Any = fishersft.Experiment(world=world, parameters=given["settings"], **measured)
    if moved:
        asked = fishersft.Sweep(asked, moved.moved.get("dimension", ()), moved.moved.get("classes", ()))
    with shared.progress("measuring", "records") as told:
        result = fishersft.measure_curves(asked, out=out, workers=workers, on_progress=lambda what, k, of: told(k, of))
    if out:
        _write_report(out, "curves.html")
    summary = {**fishersft.curves_summary(result), "out": str(out) if out else None}
    click.echo(json.dumps(summary) if given["as_json"] else fishersft.curves_markdown(result))


def _write_report(out: Path, name: str) -> None:
    """Write the report of a folder if the libraries that draw it are installed."""
    try:
        from fishersft.export.report import report  # draws with an optional library
    except (ModuleNotFoundError, MissingExtra):
        return click.echo(f"fishersft: {MissingExtra(name, 'app')}", err=True)
    write_whole(out / name, report(str(out)).html())
