"""`python -m tests.bench`: what selecting, embedding and the dashboard cost on this machine."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from fishersft.cli import main
from fishersft.commands.shared import CORPUS_HELP, corpus_and_model, json_option, load, progress
from fishersft.lm.model import load_model
from fishersft.plots.sentence_map import Points, sentence_map
from tests.bench import coverage as coverage_bench
from tests.bench import dashboard as dashboard_bench
from tests.bench import distributed as distributed_bench
from tests.bench import embedding as embedding_bench
from tests.bench import large as large_bench
from tests.bench import selection as selection_bench


@click.group()
def bench() -> None:
    """Measure selecting, embedding and the dashboard on this machine.

    Tables are Markdown; progress goes to standard error.
    """


@bench.command(short_help="TokenOD against slower ways to the same picks.")
@click.option("--sentences", type=int, default=5_000, show_default=True, help="N, sentences of the generated pool.")
@click.option("--dimension", type=int, default=768, show_default=True, help="d, numbers a token row.")
@click.option("--picks", type=int, default=1_000, show_default=True, help="n, picks that ours makes.")
@click.option("--box", "box_seconds", type=float, default=20.0, show_default=True, help="Seconds each slow way gets.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the generated pool.")
@click.option("--sigma2", type=float, default=1.0, show_default=True, help="Weight of the identity in the design matrix.")
@click.option("--only", default="", metavar="WAYS", help="Names with commas between; ours is always run.")
@click.option("--also", multiple=True, metavar="NAME[:P=V,...]", help="A selector to add, told with its regret; repeatable.")
@click.option("--near-equal", is_flag=True, help="Sentences of nearly one length, which is harder.")
@click.option("--memory-mapped", is_flag=True, help="Rows as float16 in a file in $TMPDIR; ours alone is run.")
@click.option("--threads", type=click.IntRange(1), help="Number of threads; all cores by default.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@json_option
def selection(only: str, also: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """TokenOD against Algorithm 1, the naive M x M form and the index scan, and peers where they are installed.

    Runs on generated rows.  The slow ways make as many picks as fit --box; what is extrapolated says so.
    """
    names = tuple(name for name in only.replace(" ", "").split(",") if name)
    with _stages("picks") as on_progress:
        report = selection_bench.run(only=names, also=also or selection_bench.ALSO, on_progress=on_progress, **options)
    click.echo(json.dumps(report.as_dict()) if as_json else report.markdown())


@bench.command(epilog=CORPUS_HELP, short_help="Embedding against one text a call.")
@corpus_and_model
@click.option("--texts", type=int, default=400, show_default=True, help="At most so many records, drawn by --seed.")
@click.option("--box", "box_seconds", type=float, default=30.0, show_default=True, help="Seconds each other way gets.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which records are drawn.")
@json_option
def embedding(texts: int, box_seconds: float, seed: int, as_json: bool, threads: int | None, **options: Any) -> None:
    """Embedding CORPUS our way against one text a call, and against the model's own operations at this machine's peak."""
    corpus, folder = load({**options, "threads": threads})
    model = load_model(folder, device=options["device"])
    with _stages("tokens") as on_progress:
        report = embedding_bench.run(
            corpus, model, texts, box_seconds, seed, max_tokens=options["max_tokens"], threads=threads, on_progress=on_progress
        )
    click.echo(json.dumps(report.as_dict()) if as_json else report.markdown())


@bench.command(short_help="What a pick costs over Ray.")
@click.option("--sentences", type=int, default=2_000, show_default=True, help="N, sentences of the generated pool.")
@click.option("--dimension", type=int, default=256, show_default=True, help="d, numbers a token row.")
@click.option("--picks", type=int, default=200, show_default=True, help="n, picks each way makes.")
@click.option("--workers", default="1,2,3", show_default=True, help="Numbers of workers with commas between.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the generated pool.")
@json_option
def distributed(workers: str, as_json: bool, **options: Any) -> None:
    """TokenOD over Ray on this machine beside one process: time and bytes a pick, and whether the picks are the same."""
    numbers = [int(w) if w.strip().isdigit() else 0 for w in workers.split(",")]
    with _stages("picks") as on_progress:
        report = distributed_bench.run(workers=numbers, on_progress=on_progress, **options)
    click.echo(json.dumps(report.as_dict()) if as_json else report.markdown())


@bench.command(short_help="What people wait for on a large pool, beside the targets.")
@click.option("--sentences", type=click.IntRange(8), default=18_000, show_default=True, help="Of the generated pool.")
@click.option("--corpus", default="", metavar="FILE", help="Read this in place of the generated pool.")
@click.option("--only", multiple=True, metavar="PART", help="Lines whose name has this in it; repeatable.")
@click.option("--limit", type=float, default=300.0, show_default=True, help="Seconds a selection gets.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the generated pool.")
def large(only: tuple[str, ...], **options: Any) -> None:
    """What people wait for on a large pool: selecting, scoring, embedding, reading, the map; what misses says so."""
    click.echo(large_bench.run(large_bench.Given(**options), only, lambda name: click.echo(name, err=True), apart=True))


@bench.command(short_help="How long a visitor of the dashboard waits.")
@click.option("--points", type=int, default=5_000, show_default=True, help="Generated texts that the budget is moved on.")
@click.option("--sessions", type=int, default=20, show_default=True, help="Visitors who move their budgets at once.")
@click.option("--figure-points", type=int, default=20_000, show_default=True, help="Points of the map whose size is told.")
@click.option("--density-points", type=int, default=200_000, show_default=True, help="Records of a density; 0 leaves it out.")
@click.option("--moves", type=int, default=10, show_default=True, help="Moves of each budget.")
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="A store to keep for the generated texts.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the generated texts.")
@json_option
def dashboard(as_json: bool, **options: Any) -> None:
    """The first chart, moves of the budget, the player and many visitors at once, in a real browser.

    Needs Chromium (CHROMIUM names one that is not on the path) and the extra `test`.  Reading the generated texts and
    choosing from them takes minutes at first; with --home they are kept.
    """
    with _stages("steps") as on_progress:
        report = dashboard_bench.run(map_json, on_progress=on_progress, **options)
    click.echo(json.dumps(report.as_dict()) if as_json else report.markdown())


@bench.command(short_help="How often intervals of fine-tuning hold the truth.")
@click.option(
    "--of", "table", type=click.Choice(["differences", "tokens"]), default="tokens", show_default=True, help="Which ones."
)
@click.option("--simulations", type=click.IntRange(10), default=1_000, show_default=True, help="Of each setting.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the simulated runs.")
def coverage(table: str, simulations: int, seed: int) -> None:
    """Coverage of 95% intervals in simulated runs whose truth is known.

    They are of differences between selections, or of the tokens of a random draw that are as good as a selection.
    """
    with progress("simulating", "runs") as on_progress:
        click.echo(getattr(coverage_bench, table)(simulations, seed, on_progress))


def map_json(xy: np.ndarray, rank: np.ndarray, column: str, values: np.ndarray | None) -> str:
    """The map of Explore as the browser gets it."""
    points = Points(xy, np.arange(len(xy)), rank, np.zeros(len(xy), bool))
    return str(sentence_map(points, colour_by=column, values=values, selector="token_od").to_json())


@contextlib.contextmanager
def _stages(unit: str) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar a stage, one after another, on standard error."""
    with contextlib.ExitStack() as open_bars:
        current: list[Any] = ["", None]

        def report(what: str, done: int, total: int) -> None:
            if what != current[0]:
                open_bars.close()
                current[:] = what, open_bars.enter_context(progress(what, "sentences" if what == "generating" else unit))
            current[1](done, total)

        yield report


if __name__ == "__main__":
    main(bench, "python -m tests.bench")
