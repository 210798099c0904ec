"""What a run of fine-tuning will take, before it starts: models, tokens, and seconds from this machine's measured speed.

    every model      epochs · tokens of its selection · 3 forward passes (forward, and backward as two)
                     + the held-out texts once + the texts it writes, a step a token and batch
    learning rate    four such trainings on a uniform draw, where it is to be found

Tokens of a selection are not known before it is chosen: they lie between those of a random draw and those of the longest
sentences.  Knows no model: speeds are given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fishersft.finetuning.learning_rate import SWEEP_EXAMPLES
from fishersft.finetuning.plan import Plan
from fishersft.finetuning.run import ALL, BASE
from fishersft.lm.generate import BATCH
from fishersft.lm.training import RATES

PASSES = 3  # a training step in forward passes
STARTING = 1.5  # seconds a model: the weights are read, the trainer is made


@dataclass(frozen=True)
class Speed:
    """Measured on this machine: trained tokens a second of a forward pass, seconds of one step of writing a batch."""

    tokens: float
    step: float


@dataclass(frozen=True)
class TrainingCost:
    """What is to be done.

    Attributes:
        models: to be measured, tuned or not.
        least, most: trained tokens of all epochs, were every selection a random draw, or the longest sentences.
        seconds: the same two for everything.
    """

    models: int
    least: int
    most: int
    seconds: tuple[float, float]


def cost_of(plan: Plan, pool: np.ndarray, held_out: np.ndarray, speed: Speed) -> TrainingCost:
    """The cost of a plan.

    Args:
        pool: (N,) trained tokens of the sentences that can be chosen.
        held_out: (H,) those of the texts that every model is measured on.
    """
    longest = np.cumsum(np.sort(pool)[::-1])
    mean = float(pool.mean()) if len(pool) else 0.0
    low = high = 0.0
    for selector, n, _ in plan.cells:
        if selector == ALL:
            low, high = low + float(pool.sum()), high + float(pool.sum())
        elif selector != BASE and n:
            low, high = low + n * mean, high + float(longest[min(n, len(pool)) - 1])
    epochs = plan.training.epochs
    low, high = low * epochs, high * epochs
    writing = math.ceil(plan.sampling.prompts / BATCH) * plan.sampling.new_tokens * speed.step
    rest = len(plan.cells) * (STARTING + float(held_out.sum()) / speed.tokens + writing)
    if plan.sweep:
        n = min(int(np.median(plan.budgets)), SWEEP_EXAMPLES, len(pool) // 2)
        tried = len(RATES) * mean * (n * epochs * PASSES + SWEEP_EXAMPLES)
        rest += tried / speed.tokens + len(RATES) * STARTING
    return TrainingCost(
        len(plan.cells), round(low), round(high), (rest + PASSES * low / speed.tokens, rest + PASSES * high / speed.tokens)
    )
