"""What a run of fine-tuning will take, estimated before it starts: models, tokens, and seconds at this machine's measured speed.

    every model      epochs · tokens of its selection · 3 forward passes (one forward, and the backward counted as two)
                     + the held-out texts once + the texts it writes, a step per token and batch
    learning rate    four such trainings on a uniform draw, where it is to be found

The tokens of a selection are not known before it is chosen: they lie between those of a random draw and those of the longest
sentences.  Knows no model: speeds are given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fishersft.finetuning.plan import SEARCH_EXAMPLES, FineTunePlan
from fishersft.finetuning.run import ALL, BASE
from fishersft.lm.generate import BATCH
from fishersft.lm.hyperparameters import RATES

PASSES = 3  # forward passes that a training step takes as long as
STARTING = 1.5  # seconds per model, to read the weights and make the trainer


@dataclass(frozen=True)
class Speed:
    """Measured on this machine: trained tokens per second of a forward pass, and seconds to write one token of a batch."""

    tokens: float
    step: float


@dataclass(frozen=True)
class TrainingCost:
    """What a plan takes.

    Attributes:
        models: how many are measured, tuned or not.
        least, most: trained tokens over all epochs if every selection were a random draw, or the longest sentences.
        seconds: of everything, in the same two cases.
    """

    models: int
    least: int
    most: int
    seconds: tuple[float, float]


def cost_of(plan: FineTunePlan, pool: np.ndarray, held_out: np.ndarray, speed: Speed) -> TrainingCost:
    """The cost of a plan.

    Args:
        pool: (N,) trained tokens of the sentences that can be chosen.
        held_out: (H,) trained tokens of the texts that every model is measured on.
    """
    longest = np.cumsum(np.sort(pool)[::-1])
    mean = float(pool.mean()) if len(pool) else 0.0
    low = high = 0.0
    for selector, n, _ in plan.models.values():
        if selector == ALL:
            low, high = low + float(pool.sum()), high + float(pool.sum())
        elif selector != BASE and n:
            low, high = low + n * mean, high + float(longest[min(n, len(pool)) - 1])
    epochs = plan.training.epochs
    low, high = low * epochs, high * epochs
    writing = math.ceil(plan.sampling.prompts / BATCH) * plan.sampling.new_tokens * speed.step
    rest = len(plan.models) * (STARTING + float(held_out.sum()) / speed.tokens + writing)
    if plan.training.learning_rate is None:
        tried = len(RATES) * mean * (plan.search_size(len(pool)) * epochs * PASSES + SEARCH_EXAMPLES)
        rest += tried / speed.tokens + len(RATES) * STARTING
    seconds = (rest + PASSES * low / speed.tokens, rest + PASSES * high / speed.tokens)
    return TrainingCost(len(plan.models), round(low), round(high), seconds)
