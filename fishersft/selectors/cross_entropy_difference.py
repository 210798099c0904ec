"""CrossEntropyDifference: what a little tuning on the target makes easier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.fields import parameter
from fishersft.lm.hyperparameters import USUAL_RATE, Training
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool, finite_losses
from fishersft.selectors.selection import Doing


@dataclass(frozen=True)
class CrossEntropyDifference(Selector):
    """By the loss a token under the model tuned on the target's choosing half minus that under the untuned one, lowest first.

    The paper compares two models trained from nothing, one on each text collection; a tuned and an untuned copy of the pool's
    model is our reading.
    """

    epochs: int = parameter(3, "Passes over the choosing half.", least=1, most=1_000)
    learning_rate: float = parameter(USUAL_RATE, "Peak learning rate of the tuning on the choosing half.", above=0, most=1)

    name = "cross_entropy_difference"
    label = "CrossEntropyDifference"
    summary = "Takes the sentences whose loss falls most when the model is tuned on the target's texts."
    purpose = "For a target: asks the model itself what is like it; costs a small tuning and a pass over the pool."
    colour = "#8C8C2E"
    marker = "diamond-wide"
    reference = "Moore and Lewis 2010 (ACL), Intelligent Selection of Language Model Training Data"
    place = 14
    reads_texts = True
    needs_target = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick | Doing]:
        yield Doing("tuning on the target", 0, 1)
        tuned = pool.losses_after_tuning(Training(epochs=self.epochs, learning_rate=self.learning_rate))
        difference = finite_losses(tuned) - finite_losses(pool.statistics().mean_losses)
        for position in np.argsort(difference, kind="stable"):
            yield Pick(int(position))
