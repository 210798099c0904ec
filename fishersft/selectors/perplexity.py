"""Perplexity: sentences by how well the model predicts them already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.fields import parameter
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool, finite_losses


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

    name: ClassVar[str] = "perplexity"
    label: ClassVar[str] = "Perplexity"
    summary: ClassVar[str] = "Takes the sentences that the model predicts worst, best, or closest to the median."
    purpose: ClassVar[str] = "Choice by how well the model already predicts a text."
    colour: ClassVar[str] = "#CC79A7"
    marker: ClassVar[str] = "bowtie"
    criterion: ClassVar[str] = "perplexity"
    reference: ClassVar[str] = "Marion et al. 2023, When Less is More, arXiv 2309.04564"
    place: ClassVar[int] = 51

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        losses = finite_losses(pool.statistics().mean_losses)
        keys = {"hard": -losses, "easy": losses, "middle": np.abs(losses - np.median(losses))}[self.keep]
        for position in np.argsort(keys, kind="stable"):
            yield Pick(int(position))
