"""Longest: the control that asks whether a design does more than prefer length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool


@dataclass(frozen=True)
class Longest(Selector):
    """The sentences with the most trained tokens, longest first; the lower index first where two are equal."""

    name: ClassVar[str] = "longest"
    label: ClassVar[str] = "Longest"
    summary: ClassVar[str] = "Takes the longest sentences: the control for a design's preference for length."
    purpose: ClassVar[str] = "A control: what length alone gives. A design should beat it before it gets credit."
    colour: ClassVar[str] = "#D55E00"
    marker: ClassVar[str] = "triangle-up"
    criterion: ClassVar[str] = "tokens"
    reference: ClassVar[str] = "ours, a control"
    place: ClassVar[int] = 30

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        for position in np.argsort(-pool.tokens, kind="stable"):
            yield Pick(int(position))
