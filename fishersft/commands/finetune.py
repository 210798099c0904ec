"""`fishersft finetune`: tune the model on each selection with the same hyperparameters and measure it on held-out texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import fishersft
from fishersft import fields
from fishersft.commands.options import (
    CORPUS_HELP,
    corpus_options,
    given_options,
    json_option,
    load,
    model_options,
    stages,
)
from fishersft.finetuning.settings import FineTuneSettings
from fishersft.lm.hyperparameters import CHECKPOINT_SECONDS, Sampling, Training
from fishersft.selectors import make_selectors

DEFAULT = "token_od,uniform,longest"
PARAMETERS = [name for kind in (FineTuneSettings, Training, Sampling) for name in fields.declared(kind)]
WHERE = ("out", "as_json", "threads", "device", "checkpoint_seconds")  # where and how, which does not change the numbers


def tuning_options(command: Any) -> Any:
    """How models are tuned and what they write, which `fishersft reproduce` shares."""
    every = click.option(
        "--checkpoint-every",
        "checkpoint_seconds",
        type=click.FloatRange(0),
        default=CHECKPOINT_SECONDS,
        show_default=True,
        help="Most seconds of training that are lost if the process is killed.",
    )
    return fields.options(Training)(fields.options(Sampling)(every(command)))


@click.command(epilog=CORPUS_HELP)
@corpus_options
@model_options
@click.option("--selectors", default=DEFAULT, show_default=True, help="Names, separated by commas.")
@click.option("--set", "settings", multiple=True, metavar="SELECTOR.NAME=VALUE", help="A parameter of one selector.")
@fields.options(FineTuneSettings)
@tuning_options
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run; by default in the store.")
@json_option
def finetune(out: Path | None, as_json: bool, threads: int | None, **options: Any) -> None:
    """Fine-tune the model on each selection of CORPUS and measure it on the held-out texts.

    All selections get the same hyperparameters; the learning rate is found on a uniform draw unless it is given. The results
    are nats per held-out token, on the mean and in the tail, with 95% intervals over texts and seeds, beside the untuned model
    and one tuned on the whole pool. The same command resumes where it was stopped; several processes or machines may run it
    with the same --out and share the work.
    """
    corpus, folder = load(options, threads)
    result = tune_and_save(corpus, folder, out, options)
    for line in result.unsound:
        click.secho(
            f"fishersft: {line.title}: the tuned model is no better than the untuned one on held-out texts. Comparisons at such "
            "a learning rate mislead; lower --learning-rate or leave it out.",
            err=True,
            fg="red",
        )
    run = result.run
    if as_json:
        return click.echo(json.dumps({**result.as_dict(), "out": str(run.folder)}))
    click.echo(result.markdown())
    click.echo(f"\nNats per held-out token. Run {run.id} in {run.folder}; fishersft judge {out or run.id} compares its texts.")


def tune_and_save(
    corpus: Any, folder: Any, out: Path | None, options: dict[str, Any], donors: Sequence[Path] = ()
) -> fishersft.FineTuneResult:
    """The run that the options of the current command ask for, its results saved in its folder."""
    names = [n.strip() for n in options["selectors"].split(",") if n.strip()]
    with stages() as on_stage:
        result = fishersft.finetune(
            corpus,
            folder,
            selectors=make_selectors(names, options["settings"]),
            out=out,
            max_tokens=options["max_tokens"],
            device=options["device"],
            command=["fishersft", str(click.get_current_context().info_name), *given_options(without=WHERE)],
            donors=donors,
            checkpoint_seconds=options["checkpoint_seconds"],
            on_stage=on_stage,
            say=lambda sentence: click.echo(f"fishersft: {sentence}", err=True),
            **{name: options[name] for name in PARAMETERS if name in options},
        )
    result.save()
    return result
