"""TokenOD: the paper's selector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishersft.design.information import check_sigma2
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool
from fishersft.selectors.selection import Pick


@dataclass(frozen=True)
class TokenOD(Selector):
    """Greedy log det over all token rows of a sentence at once; exactly the picks of Algorithm 1, computed lazily.

    Attributes:
        sigma2: weight of the identity in the design matrix; 1 is our reading of the paper's default.
    """

    sigma2: float = 1.0

    name: ClassVar[str] = "token_od"
    label: ClassVar[str] = "TokenOD"
    summary: ClassVar[str] = "Takes the sentence whose token rows add most to the log det of the design matrix."
    reference: ClassVar[str] = "Deb et al. 2025, FisherSFT (ICML), arXiv 2505.14826, Algorithms 1 and 2"
    place: ClassVar[int] = 0
    heeds_pins: ClassVar[bool] = True
    gain_of: ClassVar[str] = "log det"

    def __post_init__(self) -> None:
        check_sigma2(self.sigma2)

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        rows = pool.embeddings
        for step in pool.greedy(rows.values, rows.offsets, self.sigma2, device=pool.device):
            yield Pick(step.position, step.gain, step.evaluations, step.optimum_bound)
