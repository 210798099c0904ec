"""What commands share: options, and the steps from them to a corpus, a model, parameters and a progress bar."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
from tqdm import tqdm

import fishersft
from fishersft import fields
from fishersft.corpus.records import ReadOptions, TargetOptions
from fishersft.errors import UserError
from fishersft.lm.folder import ModelFolder, ModelOptions, effective_max_tokens, find_model
from fishersft.store import job_runner

HOW_READ = "fishersft.how_read"  # where click's context keeps the sentence until it is said
F = TypeVar("F", bound=Callable[..., Any])

CORPUS_HELP = """CORPUS is a file (.txt one example a line, .csv, .tsv, .jsonl, .json, .parquet, also .gz or .zst), 'demo',
'shakespeare', 'sherlock', or 'hf:owner/name'. Its columns are found by themselves where they are of a known shape."""


def corpus_and_model(command: F) -> F:
    """The corpus and how it is read, and the model that embeds it."""
    return click.argument("corpus")(fields.options(ReadOptions)(fields.options(ModelOptions)(command)))


target_options = fields.options(TargetOptions)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON summary on standard output.")
settings_option = click.option(
    "--set", "settings", multiple=True, metavar="SELECTOR.NAME=VALUE", help="A parameter of one selector."
)


def selectors_option(default: str, help: str = "Names, separated by commas.") -> Callable[[F], F]:
    return click.option("--selectors", default=default, show_default=True, help=help)


def out_option(help: str, **how: Any) -> Callable[[F], F]:
    return click.option("--out", type=click.Path(path_type=Path), help=help, **how)


def seed_option(help: str) -> Callable[[F], F]:
    return click.option("--seed", type=int, default=0, show_default=True, help=help)


def load(options: dict[str, Any]) -> tuple[fishersft.Corpus, ModelFolder]:
    """The corpus and the model's files that a command's options name."""
    effective_max_tokens(options["max_tokens"], 0)
    threads = ModelOptions(threads=options["threads"]).threads  # refused before anything is read
    corpus = fishersft.load_corpus(options["corpus"], **{name: options[name] for name in fields.declared(ReadOptions)})
    if options["corpus"] != "demo":  # every other corpus is a table that somebody else made
        click.get_current_context().meta[HOW_READ] = f"fishersft: {corpus.name}: {corpus.understood.sentence}"
    if corpus.bad_lines:
        click.echo(f"fishersft: skipped {corpus.bad_lines:,} broken lines of {corpus.name}.", err=True)
    folder = find_model(options["model"], options["revision"])
    use_threads(threads)
    return corpus, folder


def use_threads(threads: int | None) -> None:
    """Let torch have so many threads, at most one a core; None for its own choice."""
    if threads:
        import torch  # slow to load, and not needed otherwise

        torch.set_num_threads(min(threads, os.cpu_count() or 1))


def names_of(text: str) -> list[str]:
    """The names in a list that is separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def how_read(corpus: fishersft.Corpus, embeddings: fishersft.TokenEmbeddings) -> dict[str, Any]:
    """How the records were understood, and which have no trained token, for `--json`."""
    return {"understood": corpus.understood.as_json(), "untrained": embeddings.facts.get("untrained", {})}


def near_duplicates_of(corpus: fishersft.Corpus) -> str:
    """Near-duplicates in a sentence, and what to do about those on both sides of the split."""
    hint = " --drop-near-duplicates leaves these out of it." if len(corpus.repeats.leaking) else ""
    return corpus.repeats.sentence + hint


def _say_how_read() -> None:
    """Say once how the corpus was read: when the work begins, since a mistake found until then gets its one sentence alone."""
    context = click.get_current_context(silent=True)
    if context and (sentence := context.meta.pop(HOW_READ, "")):
        click.echo(sentence, err=True)


def check_out(out: Path | None, corpus: str = "") -> None:
    """Refuse a file in a folder that does not exist, or one that would overwrite the corpus."""
    if out and not out.absolute().parent.is_dir():
        raise UserError(f"There is no folder {out.absolute().parent} to write {out.name} into.")
    if out and os.path.exists(out) and os.path.exists(corpus) and out.samefile(corpus):
        raise UserError(f"--out would overwrite the corpus {out} itself; name another file.")


def given_options(*, only: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The arguments of this command that are not at their defaults, in a form that can be typed again."""
    context = click.get_current_context()
    out: list[str] = []
    for parameter in context.command.params:
        name, value = str(parameter.name), context.params.get(str(parameter.name))
        if (only and name not in only) or name in without or value is None or value == parameter.get_default(context):
            continue
        if isinstance(parameter, click.Argument):
            out[:0] = map(str, value if isinstance(value, tuple) else (value,))
            continue
        option = max((parameter.secondary_opts if value is False else parameter.opts), key=len)
        for one in value if parameter.multiple else (value,):
            text = ",".join(map(str, one)) if isinstance(one, tuple) else str(one)
            out += [option] if isinstance(one, bool) else [option, text]
    return tuple(out)


@contextlib.contextmanager
def engine_of(options: dict[str, Any]) -> Iterator[Any]:
    """The engine that does the work.  What Ray prints meanwhile is kept off standard output, which is for the answer."""
    from fishersft.distributed.engine import Engine  # loads torch

    engine = Engine(options["engine"], options["ray_address"])
    aside = contextlib.redirect_stdout(io.StringIO()) if engine.name == "ray" else contextlib.nullcontext()
    with aside, engine.kept():
        yield engine


@contextlib.contextmanager
def progress(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """One progress bar on standard error, which appears with the first report of (done, total)."""
    with stages(unit=f" {unit}") as report:
        yield lambda done, total: report(what, done, total)


@contextlib.contextmanager
def stages(unit: str = "") -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each stage in turn, on standard error; with a unit it also shows the rate."""
    look: dict[str, Any] = {"unit": unit} if unit else {"bar_format": "{desc}: {n_fmt}/{total_fmt} {bar} {remaining}"}
    look["mininterval"] = 30.0 if job_runner.in_job() else 0.5  # a job's log keeps every drawing of the bar
    bar: Any = None

    def report(what: str, done: int, total: int) -> None:
        nonlocal bar
        _say_how_read()
        if bar is None or bar.desc != what:
            if bar is not None:
                bar.close()
            bar = tqdm(total=total, initial=done, desc=what, file=sys.stderr, **look)
        bar.update(done - bar.n)
        job_runner.report(what, done, total)

    try:
        yield report
        _say_how_read()
    finally:
        if bar is not None:
            bar.close()
