"""Prototypes: sentences by their distance to the centre of their cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.fields import parameter
from fishersft.selectors import Pick, Pool, Selector
from fishersft.selectors.pool import sentence_means
from fishersft.selectors.sampling import k_means


@dataclass(frozen=True)
class Prototypes(Selector):
    """k-means, then by the distance to the own centre: the nearest are prototypes; the lower index first where two are equal.

    The paper clusters images by a self-supervised model; the mean token row as a sentence's vector is our reading.
    """

    keep: str = parameter(
        "hard", "Hard takes the sentence farthest from its centre first, easy the nearest.", choices=("hard", "easy")
    )
    clusters: int = parameter(0, "Number of clusters; 0 means the square root of the number of sentences.", least=0)

    name = "prototypes"
    label = "Prototypes"
    summary = "Takes the sentences farthest from the centre of their k-means cluster, or the nearest."
    purpose = "The unusual (or the typical) sentences of each cluster."
    colour = "#CC79A7"
    marker = "diamond-tall"
    reference = "Sorscher et al. 2022, Beyond neural scaling laws (NeurIPS), arXiv 2206.14486, section 5"
    place = 50
    random = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        squared = k_means(sentence_means(pool), self.clusters, rng).squared
        for position in np.argsort(-squared if self.keep == "hard" else squared, kind="stable"):
            yield Pick(int(position))
