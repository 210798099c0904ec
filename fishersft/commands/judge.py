"""`fishersft judge` says whose texts are better, with intervals."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import fishersft
from fishersft import fields
from fishersft.commands import shared
from fishersft.errors import JudgeError
from fishersft.judge.form import JudgeForm


@click.command()
@click.argument("run")
@fields.options(JudgeForm)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation before using a paid server.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write every judgment and vote as JSON lines.")
@shared.json_option
def judge(run: str, yes: bool, out: Path | None, as_json: bool, **given: Any) -> None:
    """Compare the texts of a fine-tuning RUN (its id or folder), pair by pair and prompt by prompt.

    Names are hidden, each pair is read in both orders, and a verdict that changes with the order is a tie. A judge is first
    shown pairs whose answer is known; one that fails them has no ranking. The default judge needs no key: it compares the
    untuned model with one tuned on the whole pool. 'llm' asks a server with the key in OPENAI_API_KEY. Every judgment is stored,
    and the same command resumes where it stopped.
    """
    form = JudgeForm(**given)
    with shared.progress("judging", "verdicts") as on_progress:
        report = fishersft.judge_texts(
            run, form, out=out, confirm=lambda cost: _confirm(cost, yes), on_progress=on_progress, on_wait=_say
        )
    if as_json:
        told = {name: value for name, value in report.judge.items() if name not in ("identity", "spent")}
        spent = {"spent": asdict(report.judge["spent"])} if "spent" in report.judge else {}
        return click.echo(json.dumps({"run": report.run, "judge": told, **report.as_dict(), "paper": report.paper, **spent}))
    click.echo(f"Run {report.run}, judge: {report.label}, {report.protocol}.\n\n{report.markdown()}")


def _confirm(cost: str, yes: bool) -> None:
    _say(cost)
    if yes:
        return
    if not sys.stdin.isatty():
        raise JudgeError("Asking a server may cost money: pass --yes to continue, and --max-cost to cap it.")
    click.confirm("Continue?", abort=True, err=True)


def _say(sentence: str) -> None:
    click.echo(f"fishersft: {sentence}", err=True)
