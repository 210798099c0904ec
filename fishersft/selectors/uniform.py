"""Uniform: the draw that every design has to beat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool


@dataclass(frozen=True)
class Uniform(Selector):
    """Every sentence equally likely, without replacement; the seed decides."""

    name: ClassVar[str] = "uniform"
    label: ClassVar[str] = "Uniform"
    summary: ClassVar[str] = "Draws sentences at random, all equally likely, none twice."
    purpose: ClassVar[str] = "The baseline that everything has to beat; unbiased, and free."
    colour: ClassVar[str] = "#6E747D"
    marker: ClassVar[str] = "square"
    reference: ClassVar[str] = "the usual baseline"
    place: ClassVar[int] = 20
    random: ClassVar[bool] = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        for position in rng.permutation(len(pool)):
            yield Pick(int(position))
