"""Perplexity: sentences by how well the model predicts them already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fishersft.selectors.base import Selector
from fishersft.selectors.inputs import check_choice, finite_losses
from fishersft.selectors.pool import Pool
from fishersft.selectors.selection import Pick


@dataclass(frozen=True)
class Perplexity(Selector):
    """By the mean loss a trained token, the logarithm of the perplexity; the lower index first where two are equal.

    The published form keeps a share of the data; an order with the same prefixes is our reading.  It found "middle" best for
    pre-training.

    Attributes:
        keep: "hard" takes the highest loss first, "easy" the lowest, "middle" the nearest to the pool's median.
    """

    keep: str = field(default="hard", metadata={"choices": ("hard", "easy", "middle")})

    name: ClassVar[str] = "perplexity"
    label: ClassVar[str] = "Perplexity"
    summary: ClassVar[str] = "Takes the sentences that the model predicts worst, best or most nearly as the middle one."
    reference: ClassVar[str] = "Marion et al. 2023, When Less is More, arXiv 2309.04564"
    place: ClassVar[int] = 51

    def __post_init__(self) -> None:
        check_choice("keep", self.keep, ("hard", "easy", "middle"))

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        losses = finite_losses(pool.statistics().mean_losses)
        keys = {"hard": -losses, "easy": losses, "middle": np.abs(losses - np.median(losses))}[self.keep]
        for position in np.argsort(keys, kind="stable"):
            yield Pick(int(position))
