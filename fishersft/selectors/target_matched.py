"""TargetMatchedOD: a design that looks like the target, token for token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.design.targeted import SteinRule, aimed
from fishersft.fields import parameter
from fishersft.selectors.base import TargetSelector
from fishersft.selectors.pool import Pool


@dataclass(frozen=True)
class TargetMatchedOD(TargetSelector):
    """Greedy, per token, for Stein's loss between the second moment of the picks' token rows and that of the target's texts.

    The rule of MatchedOD with the target in the pool's place; see `design/targeted.py`.  MatchedOD weighs whole sentences, and
    among texts that are all like the target the longest then come first: half as many texts for the same tokens, and a worse
    model of books (measured; assets/evidence).
    """

    prior_tokens: float = parameter(
        20.0, "Weight, in tokens, of the target's own second moment, from which the design starts.", above=0, most=1e9
    )

    name = "target_matched"
    label = "TargetMatched"
    summary = "Takes the sentence that brings the picks' second moment closest to the target's, per token."
    purpose = "For a target, at equal tokens: picks whose tokens, taken together, look like the target's."
    colour = "#009E73"
    marker = "star-diamond"
    criterion = "target_stein_loss"
    reference = "ours; Stein's loss (James and Stein 1961) to the target's moment"
    place = 10
    gain_of = "minus Stein's loss to the target"

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        assert pool.target is not None
        rule = SteinRule(pool.embeddings, pool.target.moment, self.prior_tokens, per_token=self.per_token)
        yield from aimed(rule, self.nearest(pool), self.reach)
