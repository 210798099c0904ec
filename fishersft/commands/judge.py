"""`fishersft judge`: whose texts are better, with intervals."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fishersft.commands.options import json_option, progress
from fishersft.errors import JudgeError

if TYPE_CHECKING:
    from fishersft.finetuning.run import FineTuneRun
    from fishersft.judge.base import Judge
    from fishersft.judge.judging import Comparison
    from fishersft.judge.llm import LLMJudge


@click.command()
@click.argument("run")
@click.option("--judge", "spec", default="reference", show_default=True, help="'reference', 'llm', 'hf:ID', or a model folder.")
@click.option("--base-url", help="Of an OpenAI-compatible server (llm).  [default: OPENAI_BASE_URL, or openai.com]")
@click.option("--model", help="The server's name for its model (llm).")
@click.option("--domain", help="What the judge is a judge of, such as Shakespeare.  [default: the run's]")
@click.option("--against", metavar="SELECTOR", help="Compare every selector with this one only; base and all count too.")
@click.option("--pairs", metavar="A:B,...", help="Compare these selectors only.")
@click.option("--budget", "budgets", help="Sentences, with commas between.  [default: all of the run's]")
@click.option("--prompts", type=click.IntRange(1), help="Take only the first so many prompts.")
@click.option("--price-in", type=click.FloatRange(0), help="Dollars a million tokens that the server reads.")
@click.option("--price-out", type=click.FloatRange(0), help="Dollars a million tokens that it writes.")
@click.option("--max-cost", type=click.FloatRange(0), help="Stop before more dollars than this are spent.")
@click.option("--yes", is_flag=True, help="Do not ask before a paid server is asked.")
@click.option("--wait", type=click.FloatRange(0), default=600.0, show_default=True, help="Seconds to wait for a server.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps (reference, hf, folder).")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write every reading and vote as JSON lines.")
@json_option
def judge(run: str, spec: str, out: Path | None, as_json: bool, **options: Any) -> None:
    """Compare the texts of a fine-tuning RUN (its id or folder), pair by pair and prompt by prompt.

    Names are hidden, each pair is read in both orders, and a verdict that changes with the order is a tie. The default judge
    needs no key: a model tuned on the whole pool, ours. 'llm' asks a server with the key in OPENAI_API_KEY. What was read is
    kept, and the same command goes on from there.
    """
    from fishersft.finetuning.run import read_run
    from fishersft.judge import judging
    from fishersft.judge.report import Report
    from fishersft.judge.tables import markdown

    opened = read_run(run)
    matches = judging.matches_of(
        opened, against=options["against"], pairs=_pairs(options["pairs"]), budgets=_budgets(options["budgets"])
    )
    comparisons = judging.comparisons_of(opened, matches, options["prompts"])
    asked = _judge(opened, spec, options)
    _confirm(asked, opened, comparisons, options)
    with progress("judging", "verdicts") as on_progress:
        report = Report(tuple(judging.judge_run(opened, asked, comparisons, on_progress=on_progress)))
    if out:
        judging.export(opened, out)
    about = {"run": opened.id, "judge": {k: v for k, v in asked.about().items() if k != "identity"}}
    if as_json:
        click.echo(json.dumps({**about, **report.as_dict(), "paper": _paper(opened), **_spent(asked)}))
        return
    click.echo(f"Run {opened.id}, judge: {asked.label}.\n")
    labels = {str(s.get("name")): str(s.get("label")) for s in opened.about.get("selectors", []) if isinstance(s, dict)}
    click.echo(markdown(report, _corpus(opened), labels, symmetric=asked.symmetric))


def _judge(run: FineTuneRun, spec: str, options: dict[str, Any]) -> Judge:
    from fishersft.judge import judging

    if spec != "llm" and (options["base_url"] or options["model"]):
        raise JudgeError("--base-url and --model belong to --judge llm; a local model is --judge hf:ID or its folder.")
    if spec == "reference":
        return judging.reference_judge(run, options["device"])
    if spec == "llm":
        return _llm(run, options)
    return judging.local_judge(run, spec, options["domain"], options["device"])


def _llm(run: FineTuneRun, options: dict[str, Any]) -> LLMJudge:
    import os

    from fishersft.judge.judging import domain_of_run
    from fishersft.judge.llm import LLMJudge, Prices
    from fishersft.lm.chat import OPENAI, needs_key

    base_url = options["base_url"] or os.environ.get("OPENAI_BASE_URL") or OPENAI
    if needs_key(base_url):
        raise JudgeError(f"The server at {base_url[:100]} wants a key: put it into the environment variable OPENAI_API_KEY.")
    prices = Prices(options["price_in"], options["price_out"], options["max_cost"])
    told = {"prices": prices, "patience": options["wait"], "on_wait": lambda said: click.echo(f"fishersft: {said}", err=True)}
    return LLMJudge.at(base_url, options["model"] or "", options["domain"] or domain_of_run(run), **told)


def _confirm(judge: Judge, run: FineTuneRun, comparisons: list[Comparison], options: dict[str, Any]) -> None:
    """Before a server elsewhere is asked: what it will take, the cap, and a yes."""
    from fishersft.judge.judging import missing
    from fishersft.judge.llm import LLMJudge, is_here

    if not isinstance(judge, LLMJudge) or (is_here(judge.server.base_url) and not judge.prices.known):
        return
    cost = judge.estimate(missing(run, judge, comparisons))
    if not cost.readings:
        return
    price = f"about {cost.dollars:.2f} dollars" if cost.dollars is not None else "at prices that were not stated"
    told = f"{cost.readings:,} questions to {judge.label}, about {cost.tokens_in:,} tokens in, {cost.tokens_out:,} out, {price}"
    if cost.dollars is not None and judge.prices.most is not None and cost.dollars > judge.prices.most:
        raise JudgeError(
            f"{told[:1].upper()}{told[1:]}, is above --max-cost {judge.prices.most:g}; raise it, or lower --prompts or --budget."
        )
    click.echo(f"fishersft: {told}.", err=True)
    if options["yes"]:
        return
    if not sys.stdin.isatty():
        raise JudgeError("Asking a server may cost money: say --yes to go on, and --max-cost to cap it.")
    click.confirm("Go on?", abort=True, err=True)


def _spent(judge: Judge) -> dict[str, Any]:
    from fishersft.judge.llm import LLMJudge

    return {"spent": asdict(judge.cost)} if isinstance(judge, LLMJudge) else {}


def _paper(run: FineTuneRun) -> dict[str, dict[int, float]]:
    from fishersft.judge.paper import paper_rates

    return paper_rates(_corpus(run))


def _corpus(run: FineTuneRun) -> str:
    """The name that the paper's table goes by, where the run's corpus is one of its two."""
    source = run.about.get("corpus", {})
    return str(source.get("source") or source.get("name") or "").lower() if isinstance(source, dict) else ""


def _pairs(text: str | None) -> list[tuple[str, str]] | None:
    if not text:
        return None
    out = []
    for part in text.split(","):
        a, colon, b = (x.strip() for x in part.partition(":"))
        if not colon or not a or not b or a == b:
            raise JudgeError(f"--pairs takes two selectors with a colon between, such as token_od:uniform, not '{part[:80]}'.")
        out.append((a, b))
    return out


def _budgets(text: str | None) -> list[int] | None:
    if not text:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise JudgeError(f"--budget takes whole numbers with commas between, such as 50,100, not '{text[:80]}'.") from error
