"""`fishersft embed`: the rows of a corpus, computed and kept."""

from __future__ import annotations

import json
from typing import Any

import click

import fishersft
from fishersft.commands.options import CORPUS_HELP, corpus_options, engine_of, json_option, load, model_options, progress


@click.command(epilog=CORPUS_HELP)
@corpus_options
@model_options
@json_option
def embed(as_json: bool, threads: int | None, **options: Any) -> None:
    """Compute and store the token embeddings of CORPUS.

    An interrupted run resumes where it stopped. `select` does this itself when needed.
    """
    corpus, folder = load(options, threads)
    stored = fishersft.stored_embeddings(corpus, folder, options["max_tokens"]) is not None
    with engine_of(options) as engine, progress("embedding", "tokens") as on_progress:
        embeddings = fishersft.embed(
            corpus,
            folder,
            max_tokens=options["max_tokens"],
            device=options["device"],
            engine=engine,
            on_progress=on_progress,
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
