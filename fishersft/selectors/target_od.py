"""TargetOD: the paper's criterion, aimed: what the picks tell about the target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.design.targeted import InformationRule, aimed
from fishersft.selectors.base import TargetDesignSelector
from fishersft.selectors.pool import Pool


@dataclass(frozen=True)
class TargetOD(TargetDesignSelector):
    """Greedy for the information about noisy observations at the target's rows A.

    The gain is log det(I + X V^-1 X^T) - log det(I + X (V + A^T A)^-1 X^T) in nats: TokenOD's gain, less what it would be if
    the target were known.  A stacks the rows of the choosing texts; dividing by the pick's tokens is our reading.
    """

    name = "target_od"
    label = "TargetOD"
    summary = "Takes the sentence that tells most about the target, in nats per token."
    purpose = "TokenOD aimed at a target: information about it rather than about everything."
    colour = "#0072B2"
    marker = "star-triangle-down"
    criterion = "target_variance"
    reference = "Huebotter et al. 2024, ITL, arXiv 2402.15898; on last-layer token rows: our reading"
    place = 11
    gain_of = "information about the target (nats)"

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        assert pool.target is not None
        rule = InformationRule(pool.embeddings, pool.target.choosing.values, self.sigma2, per_token=self.per_token)
        yield from aimed(rule, self.nearest(pool), self.reach)
