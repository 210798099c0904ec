"""`fishersft reproduce`: section 5.3 of the paper as one command, at equal sentences and at equal tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from fishersft.commands.finetune import finetune_options, plan_of, write_result
from fishersft.commands.options import CORPUS_HELP, corpus_options, given_options, json_option, load, model_options, stages

SELECTORS = "token_od,uniform,density,longest,matched_od"
EQUAL = ("sentences", "tokens")


@click.command(epilog=CORPUS_HELP)
@corpus_options
@model_options
@click.option("--selectors", default=SELECTORS, show_default=True, help="Names with commas between; ask_llm needs a model.")
@click.option("--set", "settings", multiple=True, metavar="SELECTOR.NAME=VALUE", help="A parameter of one selector.")
@click.option("--budgets", default="100,200,500,1000", show_default=True, help="The paper has 2000 and 5000 too.")
@click.option("--reference", default="", help="The selector whose tokens count; the first by default.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Draws and trainings of each selector.")
@click.option("--keep-models", is_flag=True, help="Keep the weights of every cell, not only of the whole pool's.")
@finetune_options
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder; a run each in equal-sentences, equal-tokens."
)
@json_option
def reproduce(out: Path, as_json: bool, threads: int | None, **options: Any) -> None:
    """Fine-tune on every selection of CORPUS (shakespeare, sherlock) and measure it, at equal sentences and at equal tokens.

    What `fishersft finetune` does, twice, with the models that both have in common tuned once. The paper used GPT-2: --model gpt2.
    """
    from fishersft.runs.finetune_result import FineTuneResult
    from fishersft.runs.finetuning import finetune_run

    command = ["fishersft", "reproduce", *given_options(without=("out", "as_json", "threads", "device"))]
    plans = {equal: plan_of({**options, "equal": equal, "no_all": False}) for equal in EQUAL}
    corpus, folder = load(options, threads)
    found = {}
    for equal, plan in plans.items():
        with stages() as on_stage:
            run = finetune_run(
                corpus,
                folder,
                plan,
                out / f"equal-{equal}",
                max_tokens=options["max_tokens"],
                device=options["device"],
                command=command,
                donors=[out / f"equal-{other}" for other in EQUAL if other != equal],
                on_stage=on_stage,
                say=lambda sentence: click.echo(f"fishersft: {sentence}", err=True),
            )
        found[equal] = FineTuneResult(run)
        write_result(found[equal])
    if as_json:
        return click.echo(json.dumps({equal: result.as_dict() for equal, result in found.items()}))
    for equal, result in found.items():
        click.echo(f"## Equal {equal}\n\n{result.markdown()}\n")
