"""What every model of a run is trained on, and in how many steps: equal sentences, or equal tokens and equal steps.

At equal tokens every selector is cut at the tokens of the reference's first n sentences and takes as many steps as the
reference: its batches hold more or fewer sentences.  A batch is a whole number of sentences, so it may take a few steps fewer:
at eight sentences per step, at most a ninth of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fishersft.design.trajectory import within_tokens
from fishersft.finetuning.plan import FineTunePlan
from fishersft.finetuning.run import ALL, model_name
from fishersft.lm.hyperparameters import Training
from fishersft.selectors import Budget, Selector

Order = Callable[[Selector, Budget, int], np.ndarray]  # (selector, budget, seed) -> positions in pick order


def allocate(plan: FineTunePlan, tokens: np.ndarray, order: Order) -> dict[str, np.ndarray]:
    """Positions in the pool that each model is tuned on, by the model's name.

    Args:
        tokens: (N,) trained tokens of the pool's sentences.
    """
    out = {name: np.arange(len(tokens)) for name, (selector, _, _) in plan.models.items() if selector == ALL}
    for seed in range(plan.seeds):
        anchor = order(plan.anchor, Budget(max(plan.budgets)), seed)
        limits = np.array([int(tokens[anchor[:n]].sum()) for n in plan.budgets])
        for selector in plan.selectors:
            ends = np.array(plan.budgets)
            if selector.name == plan.anchor.name:
                positions = anchor
            elif plan.equal == "sentences":
                positions = order(selector, Budget(max(plan.budgets)), seed)
            else:
                positions = order(selector, Budget(tokens=int(limits.max())), seed)
                ends = np.maximum(1, within_tokens(tokens[positions], limits))
            out |= {model_name(selector.name, n, seed): positions[:end] for n, end in zip(plan.budgets, ends, strict=True)}
    return out


def training_for(name: str, plan: FineTunePlan, chosen: dict[str, np.ndarray], training: Training) -> Training:
    """The hyperparameters of one model: at equal tokens, with the batch that makes the reference's number of steps."""
    _, budget, seed = plan.models[name]
    if plan.equal != "tokens" or budget is None:
        return training
    reference = chosen[model_name(plan.anchor.name, budget, seed)]
    steps = math.ceil(len(reference) / training.batch)
    return replace(training, batch=math.ceil(len(chosen[name]) / steps))
