"""KCenter: farthest-first on sentence means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.design.k_center import farthest_first
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool


@dataclass(frozen=True)
class KCenter(Selector):
    """First the sentence nearest to the pool's mean, then always the one farthest from those taken.

    The mean of its token rows stands for a sentence: our reading.
    """

    name: ClassVar[str] = "k_center"
    label: ClassVar[str] = "KCenter"
    summary: ClassVar[str] = "Takes the sentence farthest from those already taken, so that no sentence is far from a pick."
    purpose: ClassVar[str] = "Leaves no sentence far from a pick: covers the edge of the pool, outliers included."
    colour: ClassVar[str] = "#E69F00"
    marker: ClassVar[str] = "hourglass"
    criterion: ClassVar[str] = "radius"
    reference: ClassVar[str] = "Gonzalez 1985, farthest-first; Sener & Savarese 2018 (ICLR), arXiv 1708.00489"
    place: ClassVar[int] = 52

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        for position, _ in farthest_first(pool.embeddings.means, device=pool.device):
            yield Pick(position)
