"""KNN-KDE: draws near the target, less often where many records say the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.fields import parameter
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool, target_similarity
from fishersft.selectors.sampling import weighted_order


@dataclass(frozen=True)
class KnnKde(Selector):
    """Each target text spreads weight 1 over its nearest records, in inverse proportion to how dense they lie.

    The density of a record is the sum over records within `bandwidth` of 1 - (distance / bandwidth)^2, so that a record with
    k copies has about a k-th of the weight; distances are those of unit position-weighted means.  Drawn without replacement in
    proportion to the weights, then the rest by nearness.  The paper draws with replacement from an optimal transport: our
    reading keeps its two ideas.
    """

    neighbours: int = parameter(100, "Records that each target text spreads its weight over.", least=1)
    bandwidth: float = parameter(0.3, "Distance within which records count as saying the same.", above=0, most=2)

    name = "knn_kde"
    label = "KNN-KDE"
    summary = "Draws sentences near the target's texts, less often where many say the same."
    purpose = "A cheap control for a target that repeated records cannot flood."
    colour = "#E69F00"
    marker = "diamond-cross"
    reference = "Liu et al. 2024, TSDS (NeurIPS), arXiv 2410.11303; without replacement: our reading"
    place = 16
    random = True
    needs_target = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        near = target_similarity(pool)
        k = min(self.neighbours, len(pool))
        nearest = np.argsort(-near, axis=0, kind="stable")[:k]  # (k, A)
        some = np.unique(nearest)
        means = pool.embeddings.position_weighted_means
        squared = np.clip(2 - 2 * means[some] @ means.T, 0, None)
        density = np.clip(1 - squared / self.bandwidth**2, 0, None).sum(1).clip(min=1)
        inverse = np.zeros(len(pool))
        inverse[some] = 1 / density
        weights = np.zeros(len(pool))
        for column in nearest.T:
            weights[column] += inverse[column] / inverse[column].sum()
        drawn = weighted_order(weights[some], rng)
        rest = np.setdiff1d(np.arange(len(pool)), some)
        for position in np.concatenate([some[drawn], rest[np.argsort(-near[rest].max(1), kind="stable")]]):
            yield Pick(int(position))
