"""What commands share: options, and the steps from them to a corpus, a model, parameters and a progress bar."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fishersft.corpus.encode import MAX_TOKENS
from fishersft.errors import ParameterError, UserError
from fishersft.store import job_process

if TYPE_CHECKING:
    from fishersft.distributed.engine import Engine

F = TypeVar("F", bound=Callable[..., Any])

CORPUS_HELP = """CORPUS is a file (.txt one example a line, .csv, .tsv, .jsonl, .json, .parquet), 'demo', 'shakespeare',
'sherlock', or 'hf:owner/name'."""


def corpus_options(command: F) -> F:
    """What says how a corpus is read."""
    for option in reversed(
        [
            click.argument("corpus"),
            click.option("--text-column", metavar="NAME", help="Column that holds the text."),
            click.option("--prompt-column", metavar="NAME", help="Column of prompts; goes with --completion-column."),
            click.option("--completion-column", metavar="NAME", help="Column of completions, the part that is trained."),
            click.option("--messages-column", metavar="NAME", help="Column of chats; assistant turns are trained."),
            click.option(
                "--split-on",
                type=click.Choice(["line", "blank-line"]),
                default="line",
                show_default=True,
                help="What ends an example in a .txt file.",
            ),
            click.option(
                "--holdout",
                type=float,
                default=0.1,
                show_default=True,
                help="Share of records no selector sees: at least 50 where there are that many, at most half; 0 for none.",
            ),
            click.option("--skip-bad", is_flag=True, help="Count broken lines and go on."),
        ]
    ):
        command = option(command)
    return command


def model_options(command: F) -> F:
    """What says which model reads the corpus."""
    for option in reversed(
        [
            click.option("--model", default="mini", show_default=True, help="'mini', a model folder, or a hub id such as gpt2."),
            click.option("--revision", metavar="REV", help="Branch, tag or commit of a hub model."),
            click.option(
                "--max-tokens",
                type=int,
                default=MAX_TOKENS,
                show_default=True,
                help="Where a record is cut; never above the model's context.",
            ),
            click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps."),
            click.option("--threads", type=click.IntRange(1), help="Threads to compute with; all cores by default."),
            click.option(
                "--engine",
                type=click.Choice(["here", "ray"]),
                default="here",
                show_default=True,
                help="Where embeddings and TokenOD are computed; the answer is the same.",
            ),
            click.option("--ray-address", metavar="ADDRESS", help="A Ray cluster such as host:6379; else one is started here."),
        ]
    ):
        command = option(command)
    return command


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON summary on standard output.")(command)


def load(options: dict[str, Any], threads: int | None) -> tuple[Any, Any]:
    from fishersft.corpus.load import load_corpus
    from fishersft.lm.embed import effective_max_tokens
    from fishersft.lm.folder import find_model

    effective_max_tokens(options["max_tokens"], 0)
    corpus = load_corpus(
        options["corpus"],
        **{
            k: options[k]
            for k in ("text_column", "prompt_column", "completion_column", "messages_column", "split_on", "holdout", "skip_bad")
        },
    )
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
    """Numbers with commas between, of option `--name`."""
    try:
        return tuple(int(part) for part in text.replace(" ", "").split(",") if part)
    except ValueError as error:
        raise UserError(f"--{name} takes whole numbers with commas between, for example 50,100,200, not '{text}'.") from error


def given_options(*, only: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The arguments that this command was given and that are not at their defaults, as they may be given again."""
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
    """Where the work is done.  What Ray prints meanwhile is kept off standard output, which is for the answer."""
    from fishersft.distributed.engine import Engine

    engine = Engine(options["engine"], options["ray_address"])
    aside = contextlib.redirect_stdout(io.StringIO()) if engine.name == "ray" else contextlib.nullcontext()
    with aside, engine.kept():
        yield engine


@contextlib.contextmanager
def progress(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error that appears with the first report."""
    from tqdm import tqdm

    bar: Any = None

    def report(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(total=total, initial=done, desc=what, unit=f" {unit}", file=sys.stderr, mininterval=_redrawn())
        bar.update(done - bar.n)
        job_process.report(what, done, total)

    try:
        yield report
    finally:
        if bar is not None:
            bar.close()


@contextlib.contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """Progress of several works in turn, a bar each, on standard error."""
    from tqdm import tqdm

    bar: Any = None

    def report(what: str, done: int, total: int) -> None:
        nonlocal bar
        if bar is None or bar.desc != what:
            if bar is not None:
                bar.close()
            bar = tqdm(
                total=total,
                desc=what,
                file=sys.stderr,
                mininterval=_redrawn(),
                bar_format="{desc}: {n_fmt}/{total_fmt} {bar} {remaining}",
            )
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
