"""The learning rate of a run, found where it is not given: on a uniform draw of the pool, measured on other records of it.

Neither a selector under test nor the held-out texts have a say in it, and everyone gets the same one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fishersft.errors import ParameterError, TrainingError
from fishersft.finetuning.context import RunContext, Say
from fishersft.finetuning.run import RATE, WORK, write_text
from fishersft.lm.finetune import finetune
from fishersft.lm.score import nats_of
from fishersft.lm.training import RATES, Training
from fishersft.pipeline.embed_and_select import Stage

SWEEP_EXAMPLES, SWEEP_SEED = 200, 97


def training_of(context: RunContext, tell: Stage, say: Say) -> Training:
    """The hyperparameters of every cell, the learning rate found first where it is to be."""
    plan = context.plan
    if not plan.sweep:
        return plan.training
    path = context.run.folder / RATE
    if path.exists():
        return replace(plan.training, learning_rate=float(json.loads(path.read_text(encoding="utf-8"))["chosen"]))
    pool_index = context.pool.index
    order = np.random.default_rng(SWEEP_SEED).permutation(len(pool_index))
    n = min(int(np.median(plan.budgets)), SWEEP_EXAMPLES, len(order) // 2)
    if n < 1:
        raise ParameterError("The pool is too small to find a learning rate on; give --learning-rate.")
    train = [context.encoded[i] for i in pool_index[order[:n]]]
    test = [context.encoded[i] for i in pool_index[order[n : n + SWEEP_EXAMPLES]]]
    tokens = sum(len(e.rows) for e in test)
    found: dict[str, float | None] = {}
    for k, rate in enumerate(RATES):

        def steps(done: int, of: int, k: int = k) -> None:
            tell("finding the learning rate", k * of + done, len(RATES) * of)

        model = context.model()
        workspace = context.run.folder / WORK / "rate"
        shutil.rmtree(workspace, ignore_errors=True)
        try:
            tuned = finetune(model, train, replace(plan.training, learning_rate=rate), workspace=workspace, on_progress=steps)
            nats = float(nats_of(tuned.model, test).sum() / tokens)
            found[f"{rate:g}"] = nats if np.isfinite(nats) else None
        except TrainingError:
            found[f"{rate:g}"] = None
    sound = {rate: nats for rate, nats in found.items() if nats is not None}
    if not sound:
        raise TrainingError("Fine-tuning diverged at every learning rate tried; give a smaller one with --learning-rate.")
    chosen = min(sound, key=lambda r: sound[r])
    untuned = float(nats_of(context.model(), test).sum() / tokens)
    content = {"chosen": float(chosen), "nats": found, "base": untuned, "trained_on": n, "measured_on": len(test)}
    write_text(path, json.dumps(content))
    say(
        f"learning rate {chosen}: {sound[chosen]:.3f} nats a token on {len(test)} pool records after {n} others "
        f"(untuned {untuned:.3f}).{edge_warning(float(chosen), found)}"
    )
    return replace(plan.training, learning_rate=float(chosen))


def edge_warning(chosen: float, tried: Mapping[str, float | None]) -> str:
    """A sentence where the best rate is the smallest or the largest that was tried: the best of all may lie beyond."""
    rates = [float(rate) for rate in tried]
    if chosen not in (min(rates), max(rates)):
        return ""
    end, beyond = ("largest", "higher") if chosen == max(rates) else ("smallest", "lower")
    return f" It is the {end} that was tried; a {beyond} one may be better, and --learning-rate takes it."
