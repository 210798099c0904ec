"""FisherOD: the design weighted by what the model does not know yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.selectors.base import DesignSelector
from fishersft.selectors.pool import Pool


@dataclass(frozen=True)
class FisherOD(DesignSelector):
    """TokenOD on rows times the square root of 1 - ||p||^2, where p is the model's prediction at that token.

    The Fisher information of the output head is the sum of (diag(p) - p p^T) (x) x x^T.  Lemma 3.1 drops the first factor; this
    keeps its trace, 1 - ||p||^2, which is 0 where the model is sure.  Gains are those of the weighted rows.
    """

    name: ClassVar[str] = "fisher_od"
    label: ClassVar[str] = "FisherOD"
    summary: ClassVar[str] = "TokenOD with every token weighted by how unsure the model is of it."
    purpose: ClassVar[str] = "Like TokenOD, for a corpus that the model already knows in large part."
    colour: ClassVar[str] = "#CC79A7"
    marker: ClassVar[str] = "star"
    criterion: ClassVar[str] = "fisher_log_det"
    reference: ClassVar[str] = "ours; answers a reviewer of Deb et al. 2025: what the model knows never enters TokenOD"
    place: ClassVar[int] = 2
    heeds_pins: ClassVar[bool] = True
    gain_of: ClassVar[str] = "log det of the weighted rows"

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        unsure = np.sqrt(np.clip(1 - pool.statistics().confidence, 0, 1))
        return pool.greedy(pool.embeddings.weighted(unsure), self.sigma2)
