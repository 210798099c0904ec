"""`fishersft select` chooses the sentences to fine-tune on; `fishersft embed` only computes their rows, which `select` needs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

import fishersft
from fishersft.commands import shared
from fishersft.corpus.encode import encoding_sentences
from fishersft.errors import ParameterError, UserError
from fishersft.selectors import DEFAULT_SELECTOR
from fishersft.store import job_runner


def _list(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    for name, kind in fishersft.registry().items():
        parameters = ", ".join(f"{f.name}={f.default}" for f in dataclasses.fields(kind)) or "none"
        click.echo(f"{name:20s} {kind.summary}\n{'':20s} parameters: {parameters}; source: {kind.reference}")
    context.exit(0)


@click.command(epilog=shared.CORPUS_HELP)
@shared.corpus_and_model
@shared.target_options
@click.option("--selector", "selector_name", default=DEFAULT_SELECTOR, show_default=True, help="The selector; see --list.")
@click.option(
    "--list",
    "list_selectors",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list,
    help="List the selectors and their parameters, then exit.",
)
@click.option("--budget", type=int, help="How many sentences to choose.")
@click.option("--token-budget", type=int, help="Most trained tokens to choose, instead of --budget.")
@shared.seed_option("Random seed; the same seed gives the same picks.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the selector, e.g. sigma2=1.0.")
@click.option("--pin", default="", metavar="RECORDS", help="Records to take first, e.g. 12,40; the rest are chosen after them.")
@click.option("--exclude", default="", metavar="RECORDS", help="Records never to take, e.g. 7.")
@shared.out_option("Where to write the picks: .jsonl, .csv or .parquet.")
@shared.json_option
def select(
    selector_name: str,
    budget: int | None,
    token_budget: int | None,
    seed: int,
    target: str | None,
    target_seed: int,
    settings: tuple[str, ...],
    pin: str,
    exclude: str,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Choose the sentences of CORPUS to fine-tune on.

    Writes one row per pick, in order: rank, index (the record's number, from 0), gain (nats), tokens, and the record's own
    fields. Without --out and --json the picks go to standard output as JSON lines.
    """
    from fishersft.corpus.tables import format_of, to_bytes, write_table  # loads pandas

    wanted = fishersft.Budget(budget, token_budget)
    parameters = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if not name or not value:
            raise ParameterError(f"--set takes NAME=VALUE, for example sigma2=1.0, not '{setting}'.")
        parameters[name.strip()] = value.strip()
    selector = fishersft.make_selector(selector_name, parameters)
    pinned, excluded = _records("pin", pin), _records("exclude", exclude)
    format = format_of(out) if out else "jsonl"
    shared.check_out(out, options["corpus"])
    corpus, folder = shared.load(options)
    job_runner.expect({"embedding": (2, 1), "": (2, 2), "selecting": (1, 1)})  # between: what a selector asks a model first
    with shared.engine_of(options) as engine:
        where: dict[str, Any] = {"max_tokens": options["max_tokens"], "device": options["device"], "engine": engine}
        with shared.progress("embedding", "tokens") as on_progress:
            pool = fishersft.load_pool(corpus, folder, target=target, target_seed=target_seed, **where, on_progress=on_progress)
        pool = pool.given(pinned, excluded)
        with shared.stages() as on_stage, shared.progress("selecting", "sentences" if budget else "tokens") as on_progress:
            selection = fishersft.select_from(pool, selector, wanted, seed, on_progress=on_progress, on_stage=on_stage)
    picks = fishersft.selection_table(corpus, selection)
    if out:
        write_table(picks, out, format)
    elif not as_json:
        click.echo(to_bytes(picks, "jsonl").decode(), nl=False)
    run = fishersft.save_selection(corpus, pool.embeddings, selection)
    facts = {"run": run, **fishersft.selection_summary(corpus, pool.embeddings, selection), "out": str(out) if out else None}
    facts |= shared.how_read(corpus, pool.embeddings)
    if pool.target:
        facts["target"] = pool.target.said
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    if pool.target:
        click.echo(pool.target.sentence, err=True)
    for sentence in encoding_sentences(pool.embeddings.facts):
        click.echo(sentence, err=True)
    share = facts["proven_share_of_optimum"]
    proven = f", provably at least {share:.1%} of the optimum" if share else ""
    click.echo(
        f"{selector.label} chose {facts['sentences']:,} of {facts['pool']:,} sentences with {facts['tokens']:,} of "
        f"{facts['pool_tokens']:,} trained tokens; log det of the token rows up by {facts['log_det']:,.1f} nats{proven}. "
        f"{f'Written to {out}. ' if out else ''}Run {run}.",
        err=True,
    )


def _records(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.replace(" ", "").split(",") if part)
    except ValueError as error:
        raise UserError(f"--{option} takes whole numbers separated by commas, for example 12,40, not '{text}'.") from error


@click.command(epilog=shared.CORPUS_HELP)
@shared.corpus_and_model
@shared.json_option
def embed(as_json: bool, **options: Any) -> None:
    """Compute and store the token embeddings of CORPUS.

    An interrupted run resumes where it stopped. `select` does this itself when needed.
    """
    corpus, folder = shared.load(options)
    stored = fishersft.stored_embeddings(corpus, folder, options["max_tokens"]) is not None
    with shared.engine_of(options) as engine, shared.progress("embedding", "tokens") as on_progress:
        where: dict[str, Any] = {"max_tokens": options["max_tokens"], "device": options["device"], "engine": engine}
        embeddings = fishersft.embed(corpus, folder, **where, on_progress=on_progress)
    facts = {**{k: v for k, v in embeddings.facts.items() if k not in ("files", "key")}, "key": embeddings.key, "stored": stored}
    facts |= shared.how_read(corpus, embeddings)
    if as_json:
        return click.echo(json.dumps(facts, ensure_ascii=False))
    click.echo(
        f"{corpus.name}: {facts['records']:,} records, {facts['held_out']:,} held out, {facts['pool']:,} in the pool with "
        f"{facts['tokens']:,} trained tokens; {facts['truncated']:,} truncated, {facts['skipped']:,} without a trained "
        f"token, {facts['duplicates']:,} exact duplicates, {facts['bad_lines']:,} broken lines skipped."
    )
    click.echo(
        f"{facts['tokens']:,} rows of {facts['dimension']} numbers ({facts['dtype']}) under {facts['model']}"
        f"{': they were stored already' if stored else ' in ' + format(facts['seconds'], ',.1f') + ' s'}."
    )
    for sentence in encoding_sentences(facts):
        click.echo(sentence)
