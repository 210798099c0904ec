"""VOptimal: the smallest mean prediction variance on the target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.design.targeted import VarianceRule, aimed
from fishersft.selectors.base import TargetDesignSelector
from fishersft.selectors.pool import Pool


@dataclass(frozen=True)
class VOptimal(TargetDesignSelector):
    """Greedy for tr(M_A V^-1), the variance of predictions averaged over the target's texts; see `design/targeted.py`."""

    name = "v_optimal"
    label = "VOptimal"
    summary = "Takes the sentence that lowers the mean prediction variance on the target most, a token."
    purpose = "For a target, the textbook's answer: predictions about it vary least after the picks."
    colour = "#CC79A7"
    marker = "star-square"
    criterion = "target_variance"
    reference = "Huebotter et al. 2025, VTL in SIFT, arXiv 2410.08020; V-optimality; on token rows: our reading"
    place = 12
    gain_of = "fall of the mean variance on the target"

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        assert pool.target is not None
        rule = VarianceRule(pool.embeddings, pool.target.moment, self.sigma2, per_token=self.per_token)
        yield from aimed(rule, self.nearest(pool), self.reach)
