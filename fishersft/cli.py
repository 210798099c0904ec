"""The command line: the same calls as the Python API, with progress on standard error.

Exit 0; 2 for a user's mistake (one plain sentence), 1 for a failure, 130 when stopped by Ctrl-C.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from fishersft import __version__
from fishersft.corpus.encode import MAX_TOKENS
from fishersft.corpus.export import FORMATS
from fishersft.errors import FisherSFTError, ParameterError, UserError, os_reason

F = TypeVar("F", bound=Callable[..., Any])

CORPUS_HELP = """CORPUS is a file (.txt one example a line, .csv, .tsv, .jsonl, .json, .parquet), 'demo', 'shakespeare',
'sherlock', or 'hf:owner/name'."""


def main() -> None:
    """Run the command line; every refusal is one sentence on standard error."""
    try:
        logging.getLogger("fishersft").addHandler(logging.NullHandler())  # the sentence is for the user, the log is not
        status = commands.main(standalone_mode=False, prog_name="fishersft")
        sys.stdout.flush()
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except click.ClickException as error:
        _refuse(error.format_message(), 2)
    except UserError as error:
        _refuse(str(error), 2)
    except FisherSFTError as error:
        _refuse(str(error), 1)
    except (KeyboardInterrupt, click.Abort):
        _refuse("Stopped. What was finished is kept; the same command goes on from there.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _refuse(f"Standard output cannot be written ({os_reason(error)}).", 1)
    except MemoryError:
        _refuse("Out of memory: lower --max-tokens or take a smaller corpus.", 1)


def _refuse(sentence: str, status: int) -> None:
    click.echo(f"fishersft: {' '.join(sentence.split())}", err=True)
    sys.exit(status)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fishersft", message="%(prog)s %(version)s")
def commands() -> None:
    """See which training examples teach a language model most, before you pay for fine-tuning.

    \b
    Start with the dashboard:   fishersft app
    or with the demo corpus:    fishersft select demo --budget 20

    What is computed is kept in $FISHERSFT_HOME and never computed twice.
    """


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
        ]
    ):
        command = option(command)
    return command


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON summary on standard output.")(command)


@commands.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["-h", "--help"]}
)
@click.argument("streamlit_options", nargs=-1, type=click.UNPROCESSED)
def app(streamlit_options: tuple[str, ...]) -> None:
    """Open the dashboard in the browser.

    Streamlit's own options pass through, for example --server.port 8600; so do STREAMLIT_* variables.
    """
    from fishersft.ui.launch import launch

    launch(streamlit_options)


@commands.command(epilog=CORPUS_HELP)
@corpus_options
@model_options
@json_option
def embed(as_json: bool, threads: int | None, **options: Any) -> None:
    """Compute the token embeddings of CORPUS and keep them.

    A start that was stopped goes on where it was. `select` does this by itself where it is needed.
    """
    corpus, folder = _load(options, threads)
    from fishersft.runs import pipeline

    stored = pipeline.stored_embeddings(corpus, folder, options["max_tokens"]) is not None
    with _progress("embedding", "tokens") as on_progress:
        embeddings = pipeline.embed(
            corpus, folder, max_tokens=options["max_tokens"], device=options["device"], on_progress=on_progress
        )
    facts = {**{k: v for k, v in embeddings.facts.items() if k not in ("files", "key")}, "key": embeddings.key, "stored": stored}
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    click.echo(
        f"{corpus.name}: {facts['records']:,} records, {facts['held_out']:,} held out, {facts['pool']:,} in the pool with "
        f"{facts['tokens']:,} trained tokens; {facts['truncated']:,} truncated, {facts['skipped']:,} without a trained "
        f"token, {facts['duplicates']:,} exact duplicates, {facts['bad_lines']:,} broken lines skipped."
    )
    click.echo(
        f"{facts['tokens']:,} rows of {facts['dimension']} numbers ({facts['dtype']}) under {facts['model']}"
        f"{': they were stored already' if stored else ' in ' + format(facts['seconds'], ',.1f') + ' s'}."
    )


@commands.command(epilog=CORPUS_HELP)
@corpus_options
@model_options
@click.option("--selector", "selector_name", default="token_od", show_default=True, help="Which rule chooses; see --list.")
@click.option(
    "--list",
    "list_selectors",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda c, p, v: _list(c, v),
    help="List the selectors and their parameters, and stop.",
)
@click.option("--budget", type=int, help="How many sentences to choose.")
@click.option("--token-budget", type=int, help="How many trained tokens to choose at most, instead of --budget.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same answer.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the selector, e.g. sigma2=1.0.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the picks: .jsonl, .csv or .parquet.")
@json_option
def select(
    selector_name: str,
    budget: int | None,
    token_budget: int | None,
    seed: int,
    settings: tuple[str, ...],
    out: Path | None,
    as_json: bool,
    threads: int | None,
    **options: Any,
) -> None:
    """Choose the sentences of CORPUS to fine-tune on.

    Writes one row a pick, in order: rank, index (the record's number, from 0), gain (nats), tokens, and the record's own
    fields. Without --out and --json the picks go to standard output as JSON lines.
    """
    from fishersft.corpus import export as table
    from fishersft.runs import pipeline, selections
    from fishersft.selectors import Budget, make_selector

    wanted = Budget(budget, token_budget)
    selector = make_selector(selector_name, _settings(settings))
    format = table.format_of(out) if out else "jsonl"
    if out and not out.absolute().parent.is_dir():
        raise UserError(f"There is no folder {out.absolute().parent} to write {out.name} into.")
    if out and os.path.exists(out) and os.path.exists(options["corpus"]) and out.samefile(options["corpus"]):
        raise UserError(f"--out would overwrite the corpus {out} itself; name another file.")
    corpus, folder = _load(options, threads)
    with _progress("embedding", "tokens") as on_progress:
        embeddings = pipeline.embed(
            corpus, folder, max_tokens=options["max_tokens"], device=options["device"], on_progress=on_progress
        )
    pool = pipeline.pool_of(embeddings, corpus, folder, device=options["device"])
    with _progress("selecting", "sentences" if budget else "tokens") as on_progress:
        order = pipeline.order(pool, selector, wanted, seed, on_progress=on_progress)
    selection = selector.cut(pool, order, wanted, seed)
    picks = selections.selection_table(corpus, selection)
    if out:
        table.write_table(picks, out, format)
    elif not as_json:
        click.echo(table.to_bytes(picks, "jsonl").decode(), nl=False)
    run = selections.save_selection(corpus, embeddings, selection)
    facts = {"run": run, **selections.summary(corpus, embeddings, selection), "out": str(out) if out else None}
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    share = facts["proven_share_of_optimum"]
    proven = f", provably at least {share:.1%} of the optimum" if share else ""
    gained = f"; log det of the token rows up by {facts['log_det']:,.1f} nats{proven}"
    click.echo(
        f"{selector.label} chose {facts['sentences']:,} of {facts['pool']:,} sentences with {facts['tokens']:,} of "
        f"{facts['pool_tokens']:,} trained tokens{gained}. "
        f"{f'Written to {out}. ' if out else ''}Run {run}.",
        err=True,
    )


@commands.command()
@click.argument("run")
@click.option("--format", "format_name", type=click.Choice(list(FORMATS)), help="By default the ending of --out.")
@click.option("--out", type=click.Path(path_type=Path), help="The file to write; standard output without it (not parquet).")
@json_option
def export(run: str, format_name: str | None, out: Path | None, as_json: bool) -> None:
    """Write the picks of a kept selection. RUN is the id that `select` printed."""
    from fishersft.corpus import export as table
    from fishersft.runs import selections

    format = table.format_of(out, format_name) if out else format_name or "jsonl"
    if as_json and not out:
        raise UserError("--json tells what was written to a file; name one with --out.")
    if not out and format == "parquet":
        raise UserError("A parquet file is not for the terminal; name a file with --out.")
    manifest, picks = selections.load_selection(run)
    if not out:
        click.echo(table.to_bytes(picks, format).decode(), nl=False)
        return
    table.write_table(picks, out, format)
    facts = {"run": manifest["key"][:12], "out": str(out), "format": format, "picks": len(picks)}
    click.echo(json.dumps(facts) if as_json else f"Wrote {len(picks):,} picks of run {facts['run']} to {out}.")


def _load(options: dict[str, Any], threads: int | None) -> tuple[Any, Any]:
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


def _settings(settings: tuple[str, ...]) -> dict[str, str]:
    out = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name or not value:
            raise ParameterError(f"--set takes NAME=VALUE, for example sigma2=1.0, not '{setting}'.")
        out[name.strip()] = value.strip()
    return out


def _list(context: click.Context, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from dataclasses import fields

    from fishersft.selectors import registry

    for name, kind in registry().items():
        parameters = ", ".join(f"{f.name}={f.default}" for f in fields(kind)) or "none"
        click.echo(f"{name:20s} {kind.summary}\n{'':20s} parameters: {parameters}; source: {kind.reference}")
    context.exit(0)


@contextlib.contextmanager
def _progress(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error that appears with the first report."""
    from tqdm import tqdm

    bar: Any = None

    def report(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(total=total, initial=done, desc=what, unit=f" {unit}", file=sys.stderr, mininterval=0.5)
        bar.update(done - bar.n)

    try:
        yield report
    finally:
        if bar is not None:
            bar.close()
