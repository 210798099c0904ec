"""TokenOD: the paper's selector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.selectors.base import DesignSelector
from fishersft.selectors.pool import Pool


@dataclass(frozen=True)
class TokenOD(DesignSelector):
    """Greedy log det over all token rows of a sentence at once; exactly the picks of Algorithm 1, computed lazily."""

    name: ClassVar[str] = "token_od"
    label: ClassVar[str] = "TokenOD"
    summary: ClassVar[str] = "Takes the sentence whose token rows add most to the log det of the design matrix."
    purpose: ClassVar[str] = (
        "The paper's rule: the largest log det, with a proof, when the budget counts sentences; covers rare directions."
    )
    colour: ClassVar[str] = "#0072B2"
    marker: ClassVar[str] = "circle"
    criterion: ClassVar[str] = "log_det"
    reference: ClassVar[str] = "Deb et al. 2025, FisherSFT (ICML), arXiv 2505.14826, Algorithms 1 and 2"
    place: ClassVar[int] = 0
    heeds_pins: ClassVar[bool] = True
    gain_of: ClassVar[str] = "log det"

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        return pool.greedy(pool.embeddings, self.sigma2)
