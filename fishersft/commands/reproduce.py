"""`fishersft reproduce`: section 5.3 of the paper as one command, at equal sentences and at equal tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

import fishersft
from fishersft import fields
from fishersft.commands.finetune import tune_and_save, tuning_options
from fishersft.commands.options import CORPUS_HELP, corpus_options, json_option, load, model_options, progress
from fishersft.finetuning.settings import FineTuneSettings
from fishersft.judge.form import JudgeForm
from fishersft.paths import write_whole

SELECTORS = "token_od,uniform,density,longest,matched_od"
EQUAL = ("sentences", "tokens")


@click.command(epilog=CORPUS_HELP)
@corpus_options
@model_options
@click.option("--selectors", default=SELECTORS, show_default=True, help="Names, separated by commas; ask_llm needs a model.")
@click.option("--set", "settings", multiple=True, metavar="SELECTOR.NAME=VALUE", help="A parameter of one selector.")
@fields.options(FineTuneSettings, without=("equal", "all"), budgets=(100, 200, 500, 1000))
@tuning_options
@click.option(
    "--judge",
    "judged",
    type=click.Choice(["reference", "none"]),
    default="reference",
    show_default=True,
    help="Judge that compares the texts; fishersft judge can ask others afterwards.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for equal-sentences and equal-tokens.")
@json_option
def reproduce(out: Path, judged: str, as_json: bool, threads: int | None, **options: Any) -> None:
    """Fine-tune on selections of CORPUS (shakespeare, sherlock), measure and judge, at equal sentences and at equal tokens.

    This does what `fishersft finetune` and `fishersft judge` do, twice; the models that both comparisons share are tuned once.
    The paper used GPT-2 (--model gpt2) and also has budgets of 2000 and 5000. Everything is also written to report.md and
    report.json.
    """
    corpus, folder = load(options, threads)
    sections, summary = [], {}
    for equal in EQUAL:
        donors = [out / f"equal-{other}" for other in EQUAL if other != equal]
        result = tune_and_save(corpus, folder, out / f"equal-{equal}", {**options, "equal": equal}, donors)
        section, verdicts = f"## Equal {equal}\n\n{result.markdown()}\n", None
        if judged == "reference" and result.run.prompts:
            with progress("judging", "verdicts") as on_progress:
                report = fishersft.judge_texts(result.run, JudgeForm(device=options["device"]), on_progress=on_progress)
            section, verdicts = f"{section}\n{report.markdown()}\n", report.as_dict()
        sections.append(section)
        summary[equal] = {**result.as_dict(), "verdicts": verdicts}
    text = "\n".join(sections)
    write_whole(out / "report.md", text)
    write_whole(out / "report.json", json.dumps(summary))
    click.echo(json.dumps(summary) if as_json else text)
