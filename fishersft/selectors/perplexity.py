"""Perplexity: sentences by how well the model predicts them already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.fields import parameter
from fishersft.selectors import Pick, Pool, Selector
from fishersft.selectors.pool import finite_losses


@dataclass(frozen=True)
class Perplexity(Selector):
    """By the mean loss a trained token, the logarithm of the perplexity; the lower index first where two are equal.

    The published form keeps a share of the data; an order with the same prefixes is our reading.  It found "middle" best for
    pre-training.
    """

    keep: str = parameter(
        "hard",
        "Hard takes the highest loss first, easy the lowest, middle the closest to the pool's median.",
        choices=("hard", "easy", "middle"),
    )

    name = "perplexity"
    label = "Perplexity"
    summary = "Takes the sentences that the model predicts worst, best, or closest to the median."
    purpose = "Choice by how well the model already predicts a text."
    colour = "#CC79A7"
    marker = "bowtie"
    criterion = "perplexity"
    reference = "Marion et al. 2023, When Less is More, arXiv 2309.04564"
    place = 51

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        losses = finite_losses(pool.statistics().mean_losses)
        keys = {"hard": -losses, "easy": losses, "middle": np.abs(losses - np.median(losses))}[self.keep]
        for position in np.argsort(keys, kind="stable"):
            yield Pick(int(position))
