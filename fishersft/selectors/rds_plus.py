"""RDS+: each target text in turn takes its nearest record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.design.targeted import nearest_in_turn
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool, target_similarity


@dataclass(frozen=True)
class RDSPlus(Selector):
    """Cosine of position-weighted means of last-layer rows, in turn over the target's texts.

    The paper takes the mean over all tokens of a text; here over its trained tokens, whose rows are stored: our reading.
    """

    name = "rds_plus"
    label = "RDS+"
    summary = "Lets each target text in turn take the sentence nearest to it."
    purpose = "The baseline to beat for a target: nearest neighbours, quick and strong."
    colour = "#E69F00"
    marker = "hexagon2"
    reference = "Ivison et al. 2025, arXiv 2503.01807; over trained tokens: our reading"
    place = 13
    needs_target = True
    version = 2

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        for position in nearest_in_turn(target_similarity(pool)):
            yield Pick(position)
