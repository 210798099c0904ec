"""SentenceOD: the same design with one vector a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.design.rank_one import rank_one_greedy
from fishersft.selectors.base import DesignSelector
from fishersft.selectors.pool import Pool


@dataclass(frozen=True)
class SentenceOD(DesignSelector):
    """Greedy log det over sentence means: every sentence counts as one row, so length cannot buy gain.

    Its gains are those of its own design, on means; they are not comparable with TokenOD's.
    """

    name: ClassVar[str] = "sentence_od"
    label: ClassVar[str] = "SentenceOD"
    summary: ClassVar[str] = "TokenOD with one vector per sentence, the mean of its token rows."
    purpose: ClassVar[str] = "Covers rare sentences without a preference for length."
    colour: ClassVar[str] = "#E69F00"
    marker: ClassVar[str] = "diamond"
    criterion: ClassVar[str] = "sentence_log_det"
    reference: ClassVar[str] = "Deb et al. 2025, baseline; the mean as the sentence's vector is our reading"
    place: ClassVar[int] = 10
    gain_of: ClassVar[str] = "log det of the means"

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        return rank_one_greedy(pool.embeddings.means, self.sigma2, device=pool.device)
