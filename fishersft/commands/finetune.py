"""`fishersft finetune` tunes the model on each selection and measures it on held-out texts; `fishersft reproduce` does that as in
section 5.3 of the paper, at equal sentences and at equal tokens, and judges the texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import fishersft
from fishersft import fields
from fishersft.commands import shared
from fishersft.finetuning import AIMED, FineTuneSettings
from fishersft.judge.form import JudgeForm
from fishersft.lm.hyperparameters import CHECKPOINT_SECONDS, Sampling, Training
from fishersft.paths import write_whole
from fishersft.selectors import make_selectors
from fishersft.store import job_runner

EQUAL = ("sentences", "tokens")
PARAMETERS = [name for kind in (FineTuneSettings, Training, Sampling) for name in fields.declared(kind)]
WHERE = ("out", "as_json", "threads", "device", "checkpoint_seconds")  # where and how, which does not change the numbers


def tuning_options(command: Any) -> Any:
    """How models are tuned and what they write."""
    every = click.option(
        "--checkpoint-every",
        "checkpoint_seconds",
        type=click.FloatRange(0),
        default=CHECKPOINT_SECONDS,
        show_default=True,
        help="Most seconds of training that are lost if the process is killed.",
    )
    return fields.options(Training)(fields.options(Sampling)(every(command)))


@click.command(epilog=shared.CORPUS_HELP)
@shared.corpus_and_model
@shared.target_options
@shared.selectors_option(
    "token_od,uniform,longest", "Names, separated by commas; with a target by default " + ",".join(AIMED) + "."
)
@shared.settings_option
@fields.options(FineTuneSettings)
@tuning_options
@shared.out_option("Folder of the run; by default in the store.")
@shared.json_option
def finetune(out: Path | None, as_json: bool, **options: Any) -> None:
    """Fine-tune the model on each selection of CORPUS and measure it on the held-out texts.

    All selections get the same hyperparameters; the learning rate is found on a uniform draw unless it is given. The results
    are nats per held-out token, on the mean and in the tail, scores of answers where the records have any, and how many tokens
    of a random draw are as good, with 95% intervals over texts and seeds, beside the untuned model and one tuned on the whole
    pool. The same command resumes where it was stopped; several processes or machines may run it
    with the same --out and share the work.
    """
    source = click.get_current_context().get_parameter_source
    if options["target"] is not None:
        usual = {"selectors": ",".join(AIMED), "equal": "tokens"}
        options |= {name: value for name, value in usual.items() if source(name) == click.core.ParameterSource.DEFAULT}
    corpus, folder = shared.load(options)
    result = _tune_and_save(corpus, folder, out, options)
    for line in result.unsound:
        click.secho(
            f"fishersft: {line.title}: the tuned model is no better than the untuned one on held-out texts. Comparisons at such "
            "a learning rate mislead; lower --learning-rate or leave it out.",
            err=True,
            fg="red",
        )
    run = result.run
    if as_json:
        return click.echo(json.dumps({**result.as_dict(), "understood": corpus.understood.as_json(), "out": str(run.folder)}))
    click.echo(result.markdown())
    told = [*(result.verdict if result.on_target else []), result.worth, *result.disagreements]
    for sentence in filter(None, told):
        click.echo(f"\n{sentence}")
    click.echo(f"\n{shared.near_duplicates_of(corpus)}")
    texts = "token of the target's measuring texts" if result.on_target else "held-out token"
    click.echo(f"\nNats per {texts}. Run {run.id} in {run.folder}; fishersft judge {out or run.id} compares its texts.")


def _tune_and_save(
    corpus: Any, folder: Any, out: Path | None, options: dict[str, Any], donors: Sequence[Path] = ()
) -> fishersft.FineTuneResult:
    """The run that the options of the current command ask for, its results saved in its folder."""
    from fishersft.finetuning.plan import make_plan, parts_of  # loads torch

    names = shared.names_of(options["selectors"])
    selectors = make_selectors(names, options["settings"])
    parameters = {name: options[name] for name in PARAMETERS if name in options}
    job_runner.expect(parts_of(make_plan(selectors, **parameters), len(corpus.pool_index), int(corpus.held_out.sum())))
    with shared.stages() as on_stage:
        result = fishersft.finetune(
            corpus,
            folder,
            selectors=selectors,
            out=out,
            target=options.get("target"),
            target_seed=options.get("target_seed", 0),
            max_tokens=options["max_tokens"],
            device=options["device"],
            command=["fishersft", str(click.get_current_context().info_name), *shared.given_options(without=WHERE)],
            donors=donors,
            checkpoint_seconds=options["checkpoint_seconds"],
            on_stage=on_stage,
            say=lambda sentence: click.echo(f"fishersft: {sentence}", err=True),
            **parameters,
        )
    result.save()
    return result


@click.command(epilog=shared.CORPUS_HELP)
@shared.corpus_and_model
@shared.selectors_option("token_od,uniform,density,longest,matched_od", "Names, separated by commas; ask_llm needs a model.")
@shared.settings_option
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
@shared.out_option("Folder for equal-sentences and equal-tokens.", required=True)
@shared.json_option
def reproduce(out: Path, judged: str, as_json: bool, **options: Any) -> None:
    """Fine-tune on selections of CORPUS (shakespeare, sherlock), measure and judge, at equal sentences and at equal tokens.

    This does what `fishersft finetune` and `fishersft judge` do, twice; the models that both comparisons share are tuned once.
    The paper used GPT-2 (--model gpt2) and also has budgets of 2000 and 5000. Everything is also written to report.md and
    report.json.
    """
    corpus, folder = shared.load(options)
    sections, summary = [], {}
    for equal in EQUAL:
        donors = [out / f"equal-{other}" for other in EQUAL if other != equal]
        result = _tune_and_save(corpus, folder, out / f"equal-{equal}", {**options, "equal": equal}, donors)
        section, verdicts = f"## Equal {equal}\n\n{result.markdown()}\n", None
        if judged == "reference" and result.run.prompts:
            with shared.progress("judging", "verdicts") as on_progress:
                report = fishersft.judge_texts(result.run, JudgeForm(device=options["device"]), on_progress=on_progress)
            section, verdicts = f"{section}\n{report.markdown()}\n", report.as_dict()
        sections.append(section)
        summary[equal] = {**result.as_dict(), "verdicts": verdicts}
    text = "\n".join(sections)
    write_whole(out / "report.md", text)
    write_whole(out / "report.json", json.dumps(summary))
    click.echo(json.dumps(summary) if as_json else text)
