"""TokenOD per token: the design that pays for its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.selectors.base import DesignSelector
from fishersft.selectors.pool import Pool


@dataclass(frozen=True)
class TokenODPerToken(DesignSelector):
    """Greedy by gain divided by trained tokens, exact for this rule: the cost-benefit form of greedy for a budget in tokens.

    Short sentences with one rare token come first.  Alone it carries no guarantee; the better of it and TokenOD cut at the
    same tokens does (Leskovec et al. 2007).
    """

    name: ClassVar[str] = "token_od_per_token"
    label: ClassVar[str] = "TokenOD per token"
    summary: ClassVar[str] = "Takes the sentence with the largest gain in log det per token."
    purpose: ClassVar[str] = "TokenOD for a budget that counts tokens: it does not favour long sentences."
    colour: ClassVar[str] = "#0072B2"
    marker: ClassVar[str] = "octagon"
    criterion: ClassVar[str] = "log_det"
    reference: ClassVar[str] = "ours, after Leskovec et al. 2007 (CELF), cost-benefit greedy"
    place: ClassVar[int] = 1
    heeds_pins: ClassVar[bool] = True
    gain_of: ClassVar[str] = "log det"

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        return pool.greedy(pool.embeddings, self.sigma2, costs=pool.tokens.astype(np.float64))
