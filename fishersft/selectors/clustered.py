"""ClusteredSampling: sensitivity sampling with the model's loss asked only at cluster centres."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.fields import parameter
from fishersft.selectors import Note, Pick, Pool, Selector
from fishersft.selectors.pool import finite_losses, sentence_means
from fishersft.selectors.sampling import k_means, weighted_order


@dataclass(frozen=True)
class ClusteredSampling(Selector):
    """Without replacement, the next sentence e drawn in proportion to loss(centre(e)) + lam ||e - centre(e)||^2.

    k-means on sentence means; the loss of a cluster is the mean loss a token, in nats, of the sentence nearest to its centre,
    and no other loss is asked for.  The second term bounds what the loss of e can differ by.

    Our reading: the form and the power z = 2; squared distances divided by their mean, so that lam = 1 weighs an average
    distance like one nat; the paper draws with replacement and weights the training loss by 1 / p, here every pick counts once.
    """

    clusters: int = parameter(0, "Number of clusters; 0 means the square root of the number of sentences.", least=0)
    lam: float = parameter(1.0, "Weight of the mean squared distance.", label="lam", unit="nats", least=0)

    name = "clustered"
    label = "ClusteredSampling"
    summary = "Draws sentences from clusters where the model's loss is high or the centre is far."
    purpose = "For when the loss shows what is worth learning but costs too much to compute everywhere."
    colour = "#8C8C2E"
    marker = "x"
    reference = "Axiotis et al. 2024 (ICML), arXiv 2402.17327; form and scale are our reading"
    place = 41
    random = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick | Note]:
        clusters = k_means(sentence_means(pool), self.clusters, rng)
        centres, group = clusters.nearest()
        losses = finite_losses(pool.losses(centres), centres)
        yield Note("clustered", f"loss asked of {len(centres):,} sentences of {len(pool):,}")
        mean = clusters.squared.mean()
        distances = clusters.squared / mean if mean > 0 else clusters.squared
        # a loss is never below 0 but by rounding
        for position in weighted_order(losses.clip(min=0)[group] + self.lam * distances, rng):
            yield Pick(int(position))
