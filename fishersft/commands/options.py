"""What commands share: options, and the steps from them to a corpus, a model, parameters and a progress bar."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click
from tqdm import tqdm

from fishersft import fields
from fishersft.corpus.records import ReadOptions
from fishersft.errors import ParameterError, UserError
from fishersft.lm.folder import ModelOptions, find_model
from fishersft.store import job_process

if TYPE_CHECKING:
    from fishersft.distributed.engine import Engine

F = TypeVar("F", bound=Callable[..., Any])

CORPUS_HELP = """CORPUS is a file (.txt one example a line, .csv, .tsv, .jsonl, .json, .parquet), 'demo', 'shakespeare',
'sherlock', or 'hf:owner/name'."""


def corpus_options(command: F) -> F:
    """The corpus, and the options of how it is read."""
    return click.argument("corpus")(fields.options(ReadOptions)(command))


model_options = fields.options(ModelOptions)


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON summary on standard output.")(command)


def load(options: dict[str, Any], threads: int | None) -> tuple[Any, Any]:
    from fishersft.corpus.load import load_corpus
    from fishersft.lm.embed import effective_max_tokens

    effective_max_tokens(options["max_tokens"], 0)
    ModelOptions(threads=threads)
    corpus = load_corpus(options["corpus"], **{name: options[name] for name in fields.declared(ReadOptions)})
    if corpus.bad_lines:
        click.echo(f"fishersft: skipped {corpus.bad_lines:,} broken lines of {corpus.name}.", err=True)
    folder = find_model(options["model"], options["revision"])
    if threads:
        import torch

        torch.set_num_threads(min(threads, os.cpu_count() or 1))
    return corpus, folder


def settings_of(settings: tuple[str, ...]) -> dict[str, str]:
    out = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name or not value:
            raise ParameterError(f"--set takes NAME=VALUE, for example sigma2=1.0, not '{setting}'.")
        out[name.strip()] = value.strip()
    return out


def whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """Numbers separated by commas, of option `--name`."""
    try:
        return tuple(int(part) for part in text.replace(" ", "").split(",") if part)
    except ValueError as error:
        raise UserError(f"--{name} takes whole numbers separated by commas, for example 50,100,200, not '{text}'.") from error


def given_options(*, only: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The arguments of this command that are not at their defaults, in a form that can be typed again."""
    context = click.get_current_context()
    out: list[str] = []
    for parameter in context.command.params:
        name, value = str(parameter.name), context.params.get(str(parameter.name))
        if (only and name not in only) or name in without or value is None or value == parameter.get_default(context):
            continue
        if isinstance(parameter, click.Argument):
            out.insert(0, str(value))
            continue
        option = max((parameter.secondary_opts if value is False else parameter.opts), key=len)
        for one in value if parameter.multiple else (value,):
            text = ",".join(map(str, one)) if isinstance(one, tuple) else str(one)
            out += [option] if isinstance(one, bool) else [option, text]
    return tuple(out)


@contextlib.contextmanager
def engine_of(options: dict[str, Any]) -> Iterator[Engine]:
    """The engine that does the work.  What Ray prints meanwhile is kept off standard output, which is for the answer."""
    from fishersft.distributed.engine import Engine

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
    bar: Any = None

    def report(what: str, done: int, total: int) -> None:
        nonlocal bar
        if bar is None or bar.desc != what:
            if bar is not None:
                bar.close()
            bar = tqdm(total=total, initial=done, desc=what, file=sys.stderr, mininterval=_redrawn(), **look)
        bar.update(done - bar.n)
        job_process.report(what, done, total)

    try:
        yield report
    finally:
        if bar is not None:
            bar.close()


def _redrawn() -> float:
    """Seconds between two drawings of a bar; a job's log keeps every one of them."""
    return 30.0 if job_process.in_job() else 0.5
