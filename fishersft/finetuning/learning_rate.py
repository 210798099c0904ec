"""The learning rate of a run, found where it is not given: on a uniform draw of the pool, measured on other records of it.

Neither a selector under test nor the held-out texts influence it, and every model gets the same one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fishersft.errors import ParameterError, TrainingError
from fishersft.finetuning.context import RunContext
from fishersft.finetuning.plan import SEARCH_EXAMPLES
from fishersft.finetuning.run import RATE, WORK, write_text
from fishersft.lm.finetune import finetune
from fishersft.lm.hyperparameters import RATES, Training
from fishersft.lm.losses import nats_of

SEED = 97


def training_of(context: RunContext) -> Training:
    """The hyperparameters of every model; their learning rate is found first where it is not given."""
    plan = context.plan
    if plan.training.learning_rate is not None:
        return plan.training
    path = context.run.folder / RATE
    if path.exists():
        return replace(plan.training, learning_rate=float(json.loads(path.read_text(encoding="utf-8"))["chosen"]))
    pool_index = context.pool.index
    order = np.random.default_rng(SEED).permutation(len(pool_index))
    n = plan.search_size(len(order))
    if n < 1:
        raise ParameterError("The pool is too small to find a learning rate on; give --learning-rate.")
    train = [context.encoded[i] for i in pool_index[order[:n]]]
    test = [context.encoded[i] for i in pool_index[order[n : n + SEARCH_EXAMPLES]]]
    tokens = sum(len(e.rows) for e in test)
    found: dict[str, float | None] = {}
    for k, rate in enumerate(RATES):

        def steps(done: int, of: int, k: int = k) -> None:
            context.on_stage("finding the learning rate", k * of + done, len(RATES) * of)

        model = context.model()
        workspace = context.run.folder / WORK / "rate"
        shutil.rmtree(workspace, ignore_errors=True)
        try:
            tuned = finetune(model, train, replace(plan.training, learning_rate=rate), workspace=workspace, on_progress=steps)
            nats = float(nats_of(tuned.model, test).sum() / tokens)
            found[f"{rate:g}"] = nats if np.isfinite(nats) else None
        except TrainingError:
            found[f"{rate:g}"] = None
    finite = {rate: nats for rate, nats in found.items() if nats is not None}
    if not finite:
        raise TrainingError("Fine-tuning diverged at every learning rate tried; give a smaller one with --learning-rate.")
    chosen = min(finite, key=lambda r: finite[r])
    untuned = float(nats_of(context.model(), test).sum() / tokens)
    content = {"chosen": float(chosen), "nats": found, "base": untuned, "trained_on": n, "measured_on": len(test)}
    write_text(path, json.dumps(content))
    context.say(
        f"learning rate {chosen}: {finite[chosen]:.3f} nats per token on {len(test)} pool records after training on {n} others "
        f"(untuned {untuned:.3f}).{edge_warning(float(chosen), found)}"
    )
    return replace(plan.training, learning_rate=float(chosen))


def edge_warning(chosen: float, tried: Mapping[str, float | None]) -> str:
    """A sentence where the best rate is the smallest or the largest that was tried, since the best of all may lie beyond."""
    rates = [float(rate) for rate in tried]
    if chosen not in (min(rates), max(rates)):
        return ""
    end, beyond = ("largest", "higher") if chosen == max(rates) else ("smallest", "lower")
    return f" It is the {end} that was tried; a {beyond} one may be better, and --learning-rate takes it."
