"""`fishersft arena` ranks selectors by what they are worth after fine-tuning, over corpora, targets and models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

import fishersft
from fishersft import fields
from fishersft.commands import shared
from fishersft.commands.finetune import PARAMETERS, WHERE, tuning_options
from fishersft.corpus.records import ReadOptions
from fishersft.finetuning import FineTuneSettings
from fishersft.lm.folder import ModelOptions
from fishersft.selectors import make_selectors

FIXED = ("equal", "reference")  # the same in every arena


@click.command(epilog=shared.CORPUS_HELP)
@click.argument("places", metavar="[CORPUS[@TARGET]]...", nargs=-1)
@click.option("--models", default="mini", show_default=True, help="Models, separated by commas: as --model of other commands.")
@shared.selectors_option("all", "Names, separated by commas; 'all' is every selector that needs no server.")
@shared.settings_option
@fields.options(FineTuneSettings, without=FIXED, budgets=(60,), curve=(15, 30, 120, 240), seeds=3)
@tuning_options
@fields.options(ReadOptions)
@fields.options(ModelOptions, only=("max_tokens", "device", "threads"))
@shared.out_option("Folder of the arena; by default in the store. Selectors may be added to it later.")
@shared.json_option
def arena(
    places: tuple[str, ...], models: str, selectors: str, out: Path | None, as_json: bool, threads: int | None, **options: Any
) -> None:
    """Fine-tune on the picks of many selectors, in every setting and under every model, and rank them.

    A setting is a corpus, or a corpus and what to choose for: demo@topic=law, pool.jsonl@wanted.jsonl; by default the demo, and
    the demo for a topic. In each, every selector gets as many tokens as a random draw of n sentences and as many steps, and is
    measured on texts that no selector saw. The leaderboards show each selector's difference to Uniform with its interval, over
    the settings with a target and over those without, beside the untuned model and the whole pool. What other arenas in the
    store, or those that ship, measured in the very same setting is ranked beside it. The same command goes on where it stopped;
    several processes or machines may run it with the same --out.
    """
    from fishersft import catalogue
    from fishersft.finetuning import contests  # loads torch

    shared.use_threads(ModelOptions(threads=threads).threads)
    names = contests.every_selector() if selectors == "all" else shared.names_of(selectors)
    chosen = make_selectors(names, options.pop("settings"))
    read = fields.changed(ReadOptions(**{name: options[name] for name in fields.declared(ReadOptions)}))
    with shared.stages() as on_stage:
        found = fishersft.arena(
            places or contests.USUAL,
            shared.names_of(models),
            selectors=chosen,
            out=out,
            read=read,
            command=["fishersft", "arena", *shared.given_options(without=WHERE)],
            on_stage=on_stage,
            say=lambda sentence: click.echo(f"fishersft: {sentence}", err=True),
            max_tokens=options["max_tokens"],
            device=options["device"],
            checkpoint_seconds=options["checkpoint_seconds"],
            **{name: options[name] for name in PARAMETERS if name in options},
        )
    found = found.with_contests_of(catalogue.contents(catalogue.ARENA))
    click.echo(
        json.dumps(found.as_dict(), ensure_ascii=False) if as_json else f"{found.markdown()}\nArena {found.id} in {found.folder}."
    )
