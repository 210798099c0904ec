"""`fishersft curves`: prediction error against the budget on pools whose truth is known."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fishersft.commands.options import (
    CORPUS_HELP,
    corpus_options,
    given_options,
    json_option,
    load,
    model_options,
    progress,
    stages,
    whole_numbers,
)
from fishersft.errors import MissingExtra, StoreError, UserError, os_reason
from fishersft.paths import write_whole

if TYPE_CHECKING:
    from fishersft.experiments.experiment import Experiment
    from fishersft.experiments.problem import World
    from fishersft.experiments.sweep import Sweep

F = TypeVar("F", bound=Callable[..., Any])
MEASURED = ("selectors", "settings", "budgets", "runs", "seed", "equal", "reference", "ridge", "sigma2")
FEATURES = ("isotropic", "power_law", "clustered", "near_duplicates")
DEFAULT = "token_od,uniform,sentence_od,density,clustered,longest,matched_od"


def _with(command: F, *options: Callable[[F], F]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def world_options(command: F) -> F:
    """What words and drawn rows have in common."""
    return _with(
        command,
        click.option("--dimension", type=int, default=10, show_default=True, help="d, numbers a token row."),
        click.option("--classes", type=int, default=20, show_default=True, help="L, classes of the true head."),
        click.option("--sentences", type=int, default=3_000, show_default=True, help="N, sentences of the pool."),
        click.option("--median-length", type=float, default=8.0, show_default=True, help="Tokens of the median sentence."),
        click.option(
            "--length-spread", type=float, default=0.6, show_default=True, help="Log-normal lengths' spread; 0 for none."
        ),
        click.option("--scale", type=float, default=1.0, show_default=True, help="Standard deviation of a true logit."),
    )


def measure_options(command: F) -> F:
    """What is measured of any world."""
    return _with(
        command,
        click.option("--selectors", default=DEFAULT, show_default=True, help="Names with commas between."),
        click.option("--set", "settings", multiple=True, metavar="SELECTOR.NAME=VALUE", help="A parameter of one selector."),
        click.option("--budgets", help="Sentences, with commas between.  [default: 50 to 2000, up to the pool]"),
        click.option("--runs", type=int, default=20, show_default=True, help="Problems drawn."),
        click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same numbers."),
        click.option(
            "--equal",
            type=click.Choice(["sentences", "tokens"]),
            default="sentences",
            show_default=True,
            help="What every selector gets as much of; tokens are those of the reference's first n sentences.",
        ),
        click.option("--reference", default="token_od", show_default=True, help="The selector whose tokens count."),
        click.option("--ridge", type=float, default=0.1, show_default=True, help="Of the fitted head, on sums over tokens."),
        click.option("--sigma2", type=float, default=1.0, show_default=True, help="Of the design that leverage is told of."),
        click.option("--workers", type=click.IntRange(1), help="Processes; one a core by default. The numbers are the same."),
        click.option("--out", type=click.Path(path_type=Path), help="Folder for the results; the same command goes on there."),
        json_option,
    )


@click.group()
def curves() -> None:
    """Measure how maximum and mean prediction error fall with the budget, selector by selector.

    The truth is known: labels are drawn from a head Theta*, a head is fitted on each selection, and the two are compared on every
    sentence of the pool. With --out DIR: curves.csv, curves.json, curves.html, and records.jsonl, from which the same command
    goes on where it was stopped. A Markdown table goes to standard output, progress to standard error.
    """


@curves.command()
@click.option("--features", type=click.Choice(FEATURES), default="isotropic", show_default=True, help="How rows are drawn.")
@world_options
@click.option("--clusters", type=int, default=20, show_default=True, help="How many (clustered).")
@click.option("--power", type=float, default=2.0, show_default=True, help="Cluster weights k^-power, or spectrum j^-power.")
@click.option("--noise", type=float, default=0.1, show_default=True, help="Of rows about their centre or original.")
@click.option("--duplicates", type=float, default=0.5, show_default=True, help="Share of copies (near_duplicates).")
@click.option("--sweep", type=click.Choice(["dimension", "classes", "both"]), help="Move d, L or both at one budget, 1000.")
@click.option("--sweep-dimensions", default="5,10,20,30,40", show_default=True, help="Values of d in a sweep.")
@click.option("--sweep-classes", default="20,30,40,50", show_default=True, help="Values of L in a sweep.")
@measure_options
def synthetic(sweep: str | None, sweep_dimensions: str, sweep_classes: str, **options: Any) -> None:
    """Rows drawn from a distribution: isotropic, a power law, imbalanced clusters, near-duplicates."""
    from fishersft.experiments.sweep import BUDGET, Sweep
    from fishersft.experiments.synthetic import Synthetic

    measured, rest = _split(options)
    world = Synthetic(**{f.name: rest.pop(f.name) for f in fields(Synthetic)})
    if not sweep:
        return _run(_experiment(world, measured), **rest)
    measured["budgets"] = measured["budgets"] or str(BUDGET)
    dimensions = whole_numbers("sweep-dimensions", sweep_dimensions) if sweep != "classes" else ()
    classes = whole_numbers("sweep-classes", sweep_classes) if sweep != "dimension" else ()
    if (sweep != "classes" and not dimensions) or (sweep != "dimension" and not classes):
        raise UserError("A sweep needs at least one value; see --sweep-dimensions and --sweep-classes.")
    _run(Sweep(_experiment(world, measured), dimensions, classes), **rest)


@curves.command()
@click.option("--vectors", type=click.Path(path_type=Path), help="GloVe or word2vec file, text or binary; else the model's own.")
@click.option("--words", type=int, default=20_000, show_default=True, help="Vectors that are read, the most frequent.")
@click.option("--zipf", type=float, default=1.0, show_default=True, help="Odds of the word of rank r are r^-zipf.")
@click.option("--model", default="mini", show_default=True, help="Whose input embeddings are taken without --vectors.")
@click.option("--revision", metavar="REV", help="Branch, tag or commit of a hub model.")
@world_options
@measure_options
def words(vectors: Path | None, words: int, model: str, revision: str | None, **options: Any) -> None:
    """Pre-trained word vectors: a sentence is a draw of words, a row is the word's vector."""
    from fishersft.experiments import words as reading
    from fishersft.paths import user_path

    measured, rest = _split(options)
    if vectors:
        rows, source = reading.read_vectors(user_path(vectors), words), vectors.name
    else:
        from fishersft.lm.folder import find_model
        from fishersft.lm.model import load_model

        loaded = load_model(find_model(model, revision), device="cpu")
        rows, source = reading.input_embeddings(loaded, words), loaded.name
    names = [f.name for f in fields(reading.Words) if f.name in rest]
    named = given_options(only=("vectors", "words", "model", "revision"))
    _run(_experiment(reading.Words(rows, source, **{n: rest.pop(n) for n in names}, options=named), measured), **rest)


@curves.command(epilog=CORPUS_HELP)
@corpus_options
@model_options
@click.option("--dimension", type=int, help="d', leading directions of the rows; 0 for all.  [default: 32]")
@click.option("--classes", type=int, default=20, show_default=True, help="L, the corpus' most frequent tokens.")
@click.option("--sentences", type=int, default=0, help="N, a draw of the pool each run.  [default: 3000, up to the pool]")
@click.option("--scale", type=float, default=1.0, show_default=True, help="Multiplies the head; below 1, noisier labels.")
@measure_options
def teacher(threads: int | None, **options: Any) -> None:
    """CORPUS' own token rows under a model, labels drawn from the model's own head."""
    from fishersft.experiments.teacher import DIMENSION, teacher_of
    from fishersft.lm.model import load_model
    from fishersft.pipeline import embed_and_select as pipeline

    measured, rest = _split(options)
    own = {name: rest.pop(name) for name in ("dimension", "classes", "sentences", "scale")}
    out = {name: rest.pop(name) for name in ("workers", "out", "as_json")}
    corpus, folder = load(rest, threads)
    model = load_model(folder, device=rest["device"])
    with progress("embedding", "tokens") as on_progress:
        embeddings = pipeline.embed(corpus, model, max_tokens=rest["max_tokens"], device=rest["device"], on_progress=on_progress)
    if own["dimension"] is None:
        own["dimension"] = min(DIMENSION, embeddings.dimension)
    named = (rest["corpus"], *given_options(only=tuple(n for n in rest if n not in ("corpus", "engine", "ray_address"))))
    _run(_experiment(teacher_of(embeddings, corpus, model, options=named, **own), measured), **out)


@curves.command()
@click.option("--sentences", type=int, default=5_000, show_default=True, help="N, sentences of the pool.")
@click.option("--dimension", type=int, default=10, show_default=True, help="d, numbers a token row.")
@click.option("--features", type=click.Choice(FEATURES), default="isotropic", show_default=True, help="How rows are drawn.")
@click.option("--budgets", help="Picks, with commas between.  [default: 10 to 2000, up to the pool]")
@click.option("--box", type=float, default=30.0, show_default=True, help="Seconds that Algorithm 1 gets.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the pool.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for timing.json and timing.html.")
@json_option
def timing(budgets: str | None, box: float, seed: int, out: Path | None, as_json: bool, **world: Any) -> None:
    """Fast against slow: seconds of Algorithm 1 and of the fast greedy against the number of picks."""
    from fishersft.experiments.synthetic import Synthetic
    from fishersft.experiments.timing import BUDGETS, time_greedy

    with stages() as on_progress:
        at = whole_numbers("budgets", budgets) if budgets else tuple(n for n in BUDGETS if n <= world["sentences"])
        found = time_greedy(Synthetic(**world), at, box=box, seed=seed, on_progress=on_progress)
    if out:
        _folder(out)
        write_whole(out / "timing.json", json.dumps(found.as_dict(), indent=1))
        try:
            from fishersft.plots.curves import timing_figure

            write_whole(out / "timing.html", timing_figure(found).to_html(config={"displaylogo": False}))
        except ImportError:
            click.echo(f"fishersft: {MissingExtra('timing.html', 'app')}", err=True)
    lines = ["| n | fast greedy, s | Algorithm 1, s | ratio |", "|---:|---:|---:|---:|"]
    for n, fast, slow, measured in zip(found.budgets, found.fast, found.slow, found.measured, strict=True):
        lines.append(f"| {n:,} | {fast:.3g} | {slow:,.3g}{'' if measured else ' (extrapolated)'} | {slow / fast:,.0f} |")
    click.echo(json.dumps(found.as_dict()) if as_json else "\n".join([*lines, "", f"{found.note}."]))


def _run(experiment: Experiment | Sweep, *, workers: int | None, out: Path | None, as_json: bool) -> None:
    """Measure what is not there yet, and write what came out."""
    from contextlib import nullcontext

    from fishersft.commands.curve_tables import markdown
    from fishersft.experiments.experiment import Experiment
    from fishersft.experiments.records import Records
    from fishersft.experiments.result import Result
    from fishersft.experiments.running import run

    if out:
        _folder(out)
    with Records(out, experiment.about) if out else nullcontext() as kept, progress("measuring", "records") as told:
        records = list(kept.all) if kept else []
        every = experiment if isinstance(experiment, Experiment) else experiment.experiments
        done = kept.done if kept else set()
        for record in run(every, lambda what, k, of: told(k, of), done=done, workers=workers or os.cpu_count() or 1):
            records.append(record)
            if kept:
                kept.append(record)
    result = Result.of(experiment.about, records)
    summary = result.as_dict()
    if out:
        import pandas as pd

        write_whole(out / "curves.csv", pd.DataFrame(summary["table"]).to_csv(index=False))
        write_whole(out / "curves.json", json.dumps(summary, indent=1))
        try:
            from fishersft.export.curves_report import curves_page

            write_whole(out / "curves.html", curves_page(result, out.name).html())
        except MissingExtra as error:
            click.echo(f"fishersft: {error}", err=True)
    click.echo(json.dumps({**summary, "out": str(out) if out else None}) if as_json else markdown(result))


def _experiment(world: World, measured: dict[str, Any]) -> Experiment:
    from fishersft.experiments.experiment import Experiment, default_budgets

    chosen = measured.pop("budgets")
    budgets = whole_numbers("budgets", chosen) if chosen else default_budgets(int(world.settings["sentences"]))
    names = tuple(n.strip() for n in measured.pop("selectors").split(",") if n.strip())
    return Experiment(world, names, tuple(measured.pop("settings")), budgets, **measured)


def _split(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is measured, and the rest."""
    return {n: options[n] for n in MEASURED}, {n: v for n, v in options.items() if n not in MEASURED}


def _folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"--out must be a folder, and {out} is a file.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{out} cannot be made ({os_reason(error)}); name another folder with --out.") from error
