"""SentenceOD: the same design with one vector a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.design.rank_one import rank_one_greedy
from fishersft.selectors import Pick, Pool
from fishersft.selectors.base import DesignSelector


@dataclass(frozen=True)
class SentenceOD(DesignSelector):
    """Greedy log det over sentence means: every sentence counts as one row, so length cannot buy gain.

    Its gains are those of its own design, on means; they are not comparable with TokenOD's.
    """

    name = "sentence_od"
    label = "SentenceOD"
    summary = "TokenOD with one vector per sentence, the mean of its token rows."
    purpose = "Covers rare sentences without a preference for length."
    colour = "#E69F00"
    marker = "diamond"
    criterion = "sentence_log_det"
    reference = "Deb et al. 2025, baseline; the mean as the sentence's vector is our reading"
    place = 10
    gain_of = "log det of the means"

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        return rank_one_greedy(pool.embeddings.means, self.sigma2, device=pool.device)
