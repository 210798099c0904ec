"""LengthWeighted: the control between Uniform and Longest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool
from fishersft.selectors.sampling import weighted_order


@dataclass(frozen=True)
class LengthWeighted(Selector):
    """Without replacement, the next sentence drawn with probability proportional to its trained tokens."""

    name: ClassVar[str] = "length_weighted"
    label: ClassVar[str] = "LengthWeighted"
    summary: ClassVar[str] = "Draws sentences at random, in proportion to their trained tokens: a control for length."
    purpose: ClassVar[str] = "A control at equal tokens: random draws that prefer length."
    colour: ClassVar[str] = "#D55E00"
    marker: ClassVar[str] = "triangle-down"
    reference: ClassVar[str] = "ours, a control; drawn as in Efraimidis & Spirakis 2006"
    place: ClassVar[int] = 31
    random: ClassVar[bool] = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        for position in weighted_order(pool.tokens, rng):
            yield Pick(int(position))
