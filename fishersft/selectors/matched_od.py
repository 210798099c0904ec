"""MatchedOD: a design that looks like the pool, token for token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.design.matched import matched
from fishersft.fields import parameter
from fishersft.selectors import Note, Pick, Pool, Selector


@dataclass(frozen=True)
class MatchedOD(Selector):
    """Greedy for Stein's loss between the second moment of the picks' token rows and that of the pool; see `design/matched.py`.

    TokenOD's log det grows without limit along rare directions, so at equal tokens it buys outliers and length.  Here coverage
    still pays, an outlier has a price, and so has a token.  Exact for its rule unless `candidates` is set.
    """

    prior_tokens: float = parameter(
        20.0, "Weight, in tokens, of the pool's own second moment, from which the design starts.", above=0, most=1e9
    )
    ridge: float = parameter(1e-3, "Added to the pool's second moment, as a share of its mean eigenvalue.", above=0, most=1)
    candidates: int = parameter(0, "Random sentences considered for each pick; 0 considers all.", least=0)

    name = "matched_od"
    label = "MatchedOD"
    summary = "Takes the sentence that keeps the picks' second moment closest to the pool's, token for token."
    purpose = "Picks whose tokens look like the whole pool's, at equal tokens. Promising, not yet proven."
    colour = "#009E73"
    marker = "hexagon"
    criterion = "stein_loss"
    reference = "ours; Stein's loss (James and Stein 1961)"
    place = 3
    gain_of = "minus Stein's loss"

    @property
    def random(self) -> bool:  # type: ignore[override]
        return self.candidates > 0

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick | Note]:
        if self.candidates:
            yield Note("candidates", f"each pick is the best of {min(self.candidates, len(pool)):,} random sentences")
        yield from matched(pool.embeddings, prior_tokens=self.prior_tokens, ridge=self.ridge, candidates=self.candidates, rng=rng)
