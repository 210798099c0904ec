"""Print what the reference judge was found to be able to do, from `evidence/judges.json`; with runs, measure it first.

    python assets/judges_table.py [DEMO_RUN SHERLOCK_RUN SHAKESPEARE_RUN]

The runs are folders of `fishersft finetune`, with the models that were tuned on the whole pool; their commands are kept beside
the numbers.  The rules are compared on all held-out prompts of the demo: its limits come from one half of them, on which the
rule was chosen, and the other half only measures.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import fishersft
from fishersft import paths
from fishersft.corpus.encode import encode
from fishersft.finetuning.run import ALL, BASE, FineTuneRun, Generated, Prompt, TunedModel, read_run
from fishersft.judge import competence, judging
from fishersft.judge.competence import KINDS
from fishersft.judge.form import JudgeForm
from fishersft.judge.reference import SURPRISING, Limits, Measured, ReferenceJudge
from fishersft.lm.generate import draw_prompts, text_of, write
from fishersft.lm.hyperparameters import Sampling

TARGET = Path(__file__).resolve().parent / "evidence" / "judges.json"
HEADS = {"untuned": "own over untuned", "shuffled": "own over shuffled", "other": "own over another prompt's"}
HEADS |= {"repeated": "own over repeated", "tuned": "whole pool over untuned"}
Score = Callable[[Measured], float]


def main() -> None:
    if folders := sys.argv[1:]:
        runs = [read_run(folder) for folder in folders]
        found = {run.source: {"command": run.about["command"], "known": known(run)} for run in runs}
        demo = next(run for run in runs if run.source == "demo")
        TARGET.write_text(json.dumps({"runs": found, "rules": rules_on(demo)}, indent=1) + "\n", encoding="utf-8")
    held = json.loads(paths.asset("evidence", "judges.json").read_text(encoding="utf-8"))
    print("Right verdicts of the reference judge, of the pairs with a known answer (95%):\n")
    rows = [[name, *(_share(found["known"][kind]) for kind in KINDS)] for name, found in held["runs"].items()]
    print(_table(["run", *HEADS.values()], rows))
    print("\nRules on all held-out prompts of the demo: on the half that they were chosen on / on the other half, % right.\n")
    rows = [
        [rule, *(" / ".join(f"{100 * half[kind]:.0f}" for half in halves) for kind in KINDS)]
        for rule, halves in held["rules"].items()
    ]
    print(_table(["the higher one wins", *HEADS.values()], rows))


def known(run: FineTuneRun) -> dict[str, Any]:
    """What `fishersft judge RUN --json` says of the reference judge under `competence`, by kind."""
    judge, kept = judging.judge_of(run, JudgeForm(device="cpu")), dict[str, Any]()
    list(competence.examine(run, judge, kept))
    return competence.examination(run, judge.id, kept, reads_words=False).as_dict()["competence"]["by_kind"]


def rules_on(run: FineTuneRun) -> dict[str, list[dict[str, float]]]:
    """The share of pairs that each rule gets right by kind, on either half of all held-out prompts."""
    judge = judging.judge_of(run, JudgeForm(device="cpu"))
    assert isinstance(judge, ReferenceJudge)
    every = _all_prompts(run, judge)
    competence.MOST_PROMPTS = len(every.prompts)
    pairs = [one for one in competence.known_pairs(every) if one.kind in KINDS]
    measured = {
        key: judge.measured(*key)
        for one in pairs
        for key in ((one.pair.prompt, one.pair.first), (one.pair.prompt, one.pair.second))
    }
    own = [m for p in every.prompts if p.number % 2 == 0 and (m := judge.measured(p.text, p.continuation))]
    out: dict[str, list[dict[str, float]]] = {}
    for rule, score in rules(own).items():
        right = [
            (o.kind, o.prompt % 2, *(score(measured[o.pair.prompt, t]) for t in (o.pair.first, o.pair.second))) for o in pairs
        ]
        out[rule] = [
            {kind: float(np.mean([a > b for k, h, a, b in right if (k, h) == (kind, half)])) for kind in KINDS} for half in (0, 1)
        ]
    return out


def rules(own: Sequence[Measured]) -> dict[str, Score]:
    surprise, limits = np.array([m.surprise for m in own]), Limits.of(own)
    mean, low, high = float(surprise.mean()), *np.quantile(surprise, [1 - SURPRISING, SURPRISING])
    return {
        "- distance to the mean surprise (the earlier rule)": lambda m: -abs(m.surprise - mean),
        "typical": lambda m: m.typical,
        "typical; outside the central 95% of surprise loses": lambda m: m.typical - 1e3 * (not low <= m.surprise <= high),
        "typical; above 97.5% of surprise loses": lambda m: m.typical - 1e3 * (m.surprise > high),
        "typical - excess surprise": lambda m: m.typical - max(0.0, m.surprise - high),
        "typical + fitting - excess": lambda m: m.typical + m.fitting - max(0.0, m.surprise - high),
        "min(typical, q75) + min(fitting, q75) - excess (taken)": limits.score,
    }


def _all_prompts(run: FineTuneRun, judge: ReferenceJudge) -> Any:
    """Like a run, with every held-out prompt that is long enough and what the untuned and the tuned model write after it."""
    corpus, (untuned, tuned) = fishersft.load_corpus(run.source), judge.models
    told = run.about["prompts"]
    sampling = Sampling(10_000, told["prompt_tokens"], told["new_tokens"], told["temperature"], told["top_p"], told["seed"])
    examples = [corpus.examples[int(i)] for i in np.flatnonzero(corpus.held_out)]
    drawn = draw_prompts(encode(examples, untuned.tokenizer, run.about["max_tokens"]), sampling, untuned.context)
    prompts = [
        Prompt(k, p.position, *(text_of(untuned.tokenizer, ids) for ids in (p.ids, p.continuation))) for k, p in enumerate(drawn)
    ]
    written = {name: write(model, drawn, sampling) for name, model in ((BASE, untuned), (ALL, tuned))}
    texts = {name: [Generated(k, w.text, w.tokens, w.ended) for k, w in enumerate(some)] for name, some in written.items()}
    models = {name: TunedModel(name, name, None, None, 0, 0, {}) for name in (BASE, ALL)}
    return SimpleNamespace(prompts=prompts, models=models, texts=texts.__getitem__)


def _share(told: dict[str, Any]) -> str:
    low, high = told["interval"]
    return f"{told['right']} of {told['pairs']}, {100 * told['share']:.0f}% ({100 * low:.0f} to {100 * high:.0f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    main()
