"""`fishersft select`: the sentences to fine-tune on."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import click

import fishersft
from fishersft.commands.options import (
    CORPUS_HELP,
    corpus_options,
    engine_of,
    json_option,
    load,
    model_options,
    progress,
    settings_of,
    stages,
    whole_numbers,
)
from fishersft.corpus.tables import format_of, to_bytes, write_table
from fishersft.errors import UserError
from fishersft.selectors import DEFAULT_SELECTOR


def _list(context: click.Context, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    for name, kind in fishersft.registry().items():
        parameters = ", ".join(f"{f.name}={f.default}" for f in dataclasses.fields(kind)) or "none"
        click.echo(f"{name:20s} {kind.summary}\n{'':20s} parameters: {parameters}; source: {kind.reference}")
    context.exit(0)


@click.command(epilog=CORPUS_HELP)
@corpus_options
@model_options
@click.option("--selector", "selector_name", default=DEFAULT_SELECTOR, show_default=True, help="The selector; see --list.")
@click.option(
    "--list",
    "list_selectors",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda c, p, v: _list(c, v),
    help="List the selectors and their parameters, then exit.",
)
@click.option("--budget", type=int, help="How many sentences to choose.")
@click.option("--token-budget", type=int, help="Most trained tokens to choose, instead of --budget.")
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed; the same seed gives the same picks.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the selector, e.g. sigma2=1.0.")
@click.option("--pin", default="", metavar="RECORDS", help="Records to take first, e.g. 12,40; the rest are chosen after them.")
@click.option("--exclude", default="", metavar="RECORDS", help="Records never to take, e.g. 7.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the picks: .jsonl, .csv or .parquet.")
@json_option
def select(
    selector_name: str,
    budget: int | None,
    token_budget: int | None,
    seed: int,
    settings: tuple[str, ...],
    pin: str,
    exclude: str,
    out: Path | None,
    as_json: bool,
    threads: int | None,
    **options: Any,
) -> None:
    """Choose the sentences of CORPUS to fine-tune on.

    Writes one row per pick, in order: rank, index (the record's number, from 0), gain (nats), tokens, and the record's own
    fields. Without --out and --json the picks go to standard output as JSON lines.
    """
    wanted = fishersft.Budget(budget, token_budget)
    selector = fishersft.make_selector(selector_name, settings_of(settings))
    pinned, excluded = whole_numbers("pin", pin), whole_numbers("exclude", exclude)
    format = format_of(out) if out else "jsonl"
    if out and not out.absolute().parent.is_dir():
        raise UserError(f"There is no folder {out.absolute().parent} to write {out.name} into.")
    if out and os.path.exists(out) and os.path.exists(options["corpus"]) and out.samefile(options["corpus"]):
        raise UserError(f"--out would overwrite the corpus {out} itself; name another file.")
    corpus, folder = load(options, threads)
    with engine_of(options) as engine:
        where: dict[str, Any] = {"device": options["device"], "engine": engine}
        with progress("embedding", "tokens") as on_progress:
            pool = fishersft.load_pool(corpus, folder, max_tokens=options["max_tokens"], **where, on_progress=on_progress)
        pool = pool.given(pinned, excluded)
        with stages() as on_stage, progress("selecting", "sentences" if budget else "tokens") as on_progress:
            selection = fishersft.select_from(pool, selector, wanted, seed, on_progress=on_progress, on_stage=on_stage)
    picks = fishersft.selection_table(corpus, selection)
    if out:
        write_table(picks, out, format)
    elif not as_json:
        click.echo(to_bytes(picks, "jsonl").decode(), nl=False)
    run = fishersft.save_selection(corpus, pool.embeddings, selection)
    facts = {"run": run, **fishersft.selection_summary(corpus, pool.embeddings, selection), "out": str(out) if out else None}
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
