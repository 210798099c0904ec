"""`fishersft finetune`: a model a selection, measured on held-out texts, all with the same hyperparameters."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fishersft.commands.options import (
    CORPUS_HELP,
    by_selector,
    corpus_options,
    json_option,
    load,
    model_options,
    stages,
    whole_numbers,
)
from fishersft.lm.finetune import CHECKPOINT_SECONDS
from fishersft.lm.generate import Sampling
from fishersft.lm.training import Training
from fishersft.paths import write_whole

if TYPE_CHECKING:
    from fishersft.finetuning.plan import Plan

DEFAULT = "token_od,uniform,longest"
TRAINING = ("learning_rate", "epochs", "batch", "warmup", "weight_decay", "lora", "rank", "precision")
LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "MASTER_ADDR", "MASTER_PORT")
WHERE = ("out", "as_json", "threads", "device", "checkpoint_seconds")
SAMPLING = ("prompts", "prompt_tokens", "new_tokens", "temperature", "top_p", "sampling_seed")


def finetune_options(command: Any) -> Any:
    """What says how models are tuned and what they write; the same for every selection."""
    t, s = Training(), Sampling()
    for option in reversed(
        [
            click.option("--learning-rate", type=float, help="The highest.  [default: found on a uniform draw]"),
            click.option("--epochs", type=int, default=t.epochs, show_default=True, help="Passes over a selection."),
            click.option(
                "--batch",
                type=int,
                default=t.batch,
                show_default=True,
                help="Sentences a step; at equal tokens the reference's: all take as many steps.",
            ),
            click.option("--warmup", type=float, default=t.warmup, show_default=True, help="Share of steps that warm up."),
            click.option("--weight-decay", type=float, default=t.weight_decay, show_default=True),
            click.option("--lora", is_flag=True, help="Tune low-rank adapters instead of all weights."),
            click.option("--rank", type=int, default=t.rank, show_default=True, help="Of the adapters."),
            click.option(
                "--precision",
                type=click.Choice(["auto", "float32", "bfloat16"]),
                default=t.precision,
                show_default=True,
                help="auto: bfloat16 where the processor multiplies it faster.",
            ),
            click.option("--prompts", type=int, default=s.prompts, show_default=True, help="Held-out records; 0: no texts."),
            click.option("--prompt-tokens", type=int, default=s.prompt_tokens, show_default=True, help="Given of a plain text."),
            click.option("--new-tokens", type=int, default=s.new_tokens, show_default=True, help="Written at most."),
            click.option("--temperature", type=float, default=s.temperature, show_default=True),
            click.option("--top-p", type=float, default=s.top_p, show_default=True),
            click.option(
                "--checkpoint-every",
                "checkpoint_seconds",
                type=click.FloatRange(0),
                default=CHECKPOINT_SECONDS,
                show_default=True,
                help="Seconds of work that a kill may cost.",
            ),
            click.option("--sampling-seed", type=int, default=s.seed, show_default=True, help="Of prompts and sampling."),
        ]
    ):
        command = option(command)
    return command


@click.command(epilog=CORPUS_HELP)
@corpus_options
@model_options
@click.option("--selectors", default=DEFAULT, show_default=True, help="Names with commas between.")
@click.option("--set", "settings", multiple=True, metavar="SELECTOR.NAME=VALUE", help="A parameter of one selector.")
@click.option("--budgets", default="100,200,500", show_default=True, help="Sentences of the reference, with commas between.")
@click.option(
    "--equal",
    type=click.Choice(["sentences", "tokens"]),
    default="sentences",
    show_default=True,
    help="What every selector gets as much of; tokens are those of the reference's first n sentences.",
)
@click.option("--reference", default="", help="The selector whose tokens count; the first by default.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Draws and trainings of each selector.")
@click.option("--no-all", is_flag=True, help="Do without the model tuned on the whole pool, which the reference judge needs.")
@click.option("--keep-models", is_flag=True, help="Keep the weights of every cell, not only of the whole pool's.")
@finetune_options
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run; in the store by default.")
@json_option
def finetune(out: Path | None, as_json: bool, threads: int | None, **options: Any) -> None:
    """Fine-tune the model on each selection of CORPUS and measure it on the held-out texts.

    Hyperparameters are equal for all; the learning rate is found on a uniform draw unless it is given. Nats a held-out token on
    the mean and in the tail, with 95% intervals over texts and seeds, beside the untuned model and one tuned on the whole pool.
    The same command goes on where it was stopped; several processes or machines may run it on one --out and share the work.
    """
    from fishersft.finetuning.results import FineTuneResult
    from fishersft.finetuning.stages import finetune_run

    plan = plan_of(options)
    work_alone(options)
    corpus, folder = load(options, threads)
    with stages() as on_stage:
        run = finetune_run(
            corpus,
            folder,
            plan,
            out,
            max_tokens=options["max_tokens"],
            device=options["device"],
            command=_command(),
            checkpoint_seconds=options["checkpoint_seconds"],
            on_stage=on_stage,
            say=lambda sentence: click.echo(f"fishersft: {sentence}", err=True),
        )
    result = FineTuneResult(run)
    write_result(result)
    for line in result.unsound:
        where = line.label if line.budget is None else f"{line.label} at {line.budget:,}"
        click.secho(
            f"fishersft: {where}: the tuned model is no better than the untuned one on held-out texts. Comparisons at such a "
            "learning rate mislead; lower --learning-rate or leave it out.",
            err=True,
            fg="red",
        )
    if as_json:
        return click.echo(json.dumps({**result.as_dict(), "out": str(run.folder)}))
    click.echo(result.markdown())
    click.echo(f"\nNats a held-out token. Run {run.id} in {run.folder}; fishersft judge {out or run.id} compares its texts.")


def work_alone(options: dict[str, Any]) -> None:
    """Under `torchrun` or `accelerate launch`, be one of several workers that share the cells, each on its own GPU.

    A cell is one process' work: their wish to train one model together is taken out of the environment.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return
    import torch

    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if options["device"] == "auto" and torch.cuda.device_count() > rank:
        options["device"] = f"cuda:{rank}"
    for name in [n for n in os.environ if n in LAUNCHER or n.startswith(("ACCELERATE_", "TORCHELASTIC_"))]:
        del os.environ[name]


def plan_of(options: dict[str, Any]) -> Plan:
    """The plan that a command's options ask for; takes them out of `options`."""
    from fishersft.finetuning.plan import Plan
    from fishersft.finetuning.run import ALL, BASE
    from fishersft.selectors import make_selector

    names = [n.strip() for n in options.pop("selectors").split(",") if n.strip()]
    given = by_selector(options.pop("settings"), names)
    training = {name: options.pop(name) for name in TRAINING}
    sampling = {name: options.pop(name) for name in SAMPLING}
    sampling["seed"] = sampling.pop("sampling_seed")
    sweep = training["learning_rate"] is None
    if sweep:
        del training["learning_rate"]
    return Plan(
        selectors=tuple(make_selector(name, given.get(name)) for name in names),
        budgets=whole_numbers("budgets", options.pop("budgets")),
        equal=options.pop("equal"),
        reference=options.pop("reference"),
        seeds=tuple(range(options.pop("seeds"))),
        reference_rows=(BASE,) if options.pop("no_all") else (BASE, ALL),
        training=Training(**training),
        sweep=sweep,
        sampling=Sampling(**sampling),
        keep_models=options.pop("keep_models"),
    )


def write_result(result: Any) -> None:
    """held_out.csv and result.json into the run's folder."""
    import pandas as pd

    folder = result.run.folder
    write_whole(folder / "result.csv", pd.DataFrame(result.table()).to_csv(index=False))
    write_whole(folder / "result.json", json.dumps(result.as_dict(), indent=1))


def _command() -> list[str]:
    """The command line that asked for it, without what only says where and how."""
    from fishersft.commands.options import given_options

    return ["fishersft", "finetune", *given_options(without=WHERE)]
