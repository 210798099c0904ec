"""MatchedOD: a design that looks like the pool, token for token."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishersft.design.matched import matched
from fishersft.errors import ParameterError
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool
from fishersft.selectors.selection import Note, Pick


@dataclass(frozen=True)
class MatchedOD(Selector):
    """Greedy for Stein's loss between the second moment of the picks' token rows and that of the pool; see `design/matched.py`.

    TokenOD's log det grows without limit along rare directions, so at equal tokens it buys outliers and length.  Here coverage
    still pays, an outlier has a price, and so has a token.  Exact for its rule unless `candidates` is set.

    Attributes:
        prior_tokens: pseudo-tokens of the pool's own second moment that the design starts from.
        ridge: added to the pool's second moment, as a share of its mean eigenvalue.
        candidates: each pick looks at so many random sentences; 0 looks at all.
    """

    prior_tokens: float = 20.0
    ridge: float = 1e-3
    candidates: int = 0

    name: ClassVar[str] = "matched_od"
    label: ClassVar[str] = "MatchedOD"
    summary: ClassVar[str] = "Takes the sentence that keeps the picks' second moment closest to the pool's, token for token."
    reference: ClassVar[str] = "ours; Stein's loss (James and Stein 1961)"
    place: ClassVar[int] = 3
    gain_of: ClassVar[str] = "minus Stein's loss"

    def __post_init__(self) -> None:
        for name, value, most in (("prior_tokens", self.prior_tokens, 1e9), ("ridge", self.ridge, 1.0)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not 0 < value <= most:
                raise ParameterError(f"The parameter '{name}' of matched_od must be above 0, up to {most:g}, and was {value!r}.")
        if isinstance(self.candidates, bool) or not isinstance(self.candidates, int) or self.candidates < 0:
            raise ParameterError(f"'candidates' of matched_od is a whole number, 0 for all, and was {self.candidates!r}.")

    @property
    def random(self) -> bool:  # type: ignore[override]
        return self.candidates > 0

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick | Note]:
        if self.candidates:
            yield Note("candidates", f"each pick is the best of {min(self.candidates, len(pool)):,} random sentences")
        loss = 0.0
        steps = matched(
            pool.embeddings.values,
            pool.embeddings.offsets,
            prior_tokens=self.prior_tokens,
            ridge=self.ridge,
            candidates=self.candidates,
            rng=rng,
            device=pool.device,
        )
        for step in steps:
            yield Pick(step.position, loss - step.loss, step.evaluations)
            loss = step.loss
