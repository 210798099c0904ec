"""`fishersft reproduce`: section 5.3 of the paper as one command, at equal sentences and at equal tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

import fishersft
from fishersft.commands.finetune import WHERE, finetune_options, plan_of, work_alone, write_result
from fishersft.commands.options import (
    CORPUS_HELP,
    corpus_options,
    given_options,
    json_option,
    load,
    model_options,
    progress,
    stages,
)
from fishersft.judge.form import JudgeForm

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
    "--judge",
    "judged",
    type=click.Choice(["reference", "none"]),
    default="reference",
    show_default=True,
    help="Who compares the texts; fishersft judge asks others afterwards.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for equal-sentences and equal-tokens.")
@json_option
def reproduce(out: Path, judged: str, as_json: bool, threads: int | None, **options: Any) -> None:
    """Fine-tune on selections of CORPUS (shakespeare, sherlock), measure and judge, at equal sentences and at equal tokens.

    What `fishersft finetune` and `fishersft judge` do, twice, with the models that both have in common tuned once. The paper
    used GPT-2: --model gpt2. All of it is written to report.md and report.json too.
    """
    from fishersft.finetuning.results import FineTuneResult
    from fishersft.finetuning.run import write_text
    from fishersft.finetuning.stages import finetune_run

    command = ["fishersft", "reproduce", *given_options(without=WHERE)]
    plans = {equal: plan_of({**options, "equal": equal, "no_all": False}) for equal in EQUAL}
    work_alone(options)
    corpus, folder = load(options, threads)
    found, verdicts = {}, {}
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
                checkpoint_seconds=options["checkpoint_seconds"],
                donors=[out / f"equal-{other}" for other in EQUAL if other != equal],
                on_stage=on_stage,
                say=lambda sentence: click.echo(f"fishersft: {sentence}", err=True),
            )
        found[equal] = FineTuneResult(run)
        write_result(found[equal])
        if judged == "reference" and run.prompts:
            with progress("judging", "verdicts") as on_progress:
                verdicts[equal] = fishersft.judge_texts(run, JudgeForm(device=options["device"]), on_progress=on_progress)
    text = "\n".join(
        f"## Equal {equal}\n\n{result.markdown()}\n" + (f"\n{verdicts[equal].markdown()}\n" if equal in verdicts else "")
        for equal, result in found.items()
    )
    summary = {
        equal: {**result.as_dict(), "verdicts": verdicts[equal].as_dict() if equal in verdicts else None}
        for equal, result in found.items()
    }
    write_text(out / "report.md", text)
    write_text(out / "report.json", json.dumps(summary))
    if as_json:
        return click.echo(json.dumps(summary))
    click.echo(text)
