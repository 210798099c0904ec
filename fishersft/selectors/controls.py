"""Controls: Uniform, the draw that every design has to beat; Longest and LengthWeighted, what length alone gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.selectors import Pick, Pool, Selector
from fishersft.selectors.sampling import weighted_order


@dataclass(frozen=True)
class Uniform(Selector):
    """Every sentence equally likely, without replacement; the seed decides."""

    name = "uniform"
    label = "Uniform"
    summary = "Draws sentences at random, all equally likely, none twice."
    purpose = "The baseline that everything has to beat; unbiased, and free."
    colour = "#6E747D"
    marker = "square"
    reference = "the usual baseline"
    place = 20
    random = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        for position in rng.permutation(len(pool)):
            yield Pick(int(position))


@dataclass(frozen=True)
class Longest(Selector):
    """The sentences with the most trained tokens, longest first; the lower index first where two are equal."""

    name = "longest"
    label = "Longest"
    summary = "Takes the longest sentences: the control for a design's preference for length."
    purpose = "A control: what length alone gives. A design should beat it before it gets credit."
    colour = "#D55E00"
    marker = "triangle-up"
    criterion = "tokens"
    reference = "ours, a control"
    place = 30

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        for position in np.argsort(-pool.tokens, kind="stable"):
            yield Pick(int(position))


@dataclass(frozen=True)
class LengthWeighted(Selector):
    """Without replacement, the next sentence drawn with probability proportional to its trained tokens."""

    name = "length_weighted"
    label = "LengthWeighted"
    summary = "Draws sentences at random, in proportion to their trained tokens: a control for length."
    purpose = "A control at equal tokens: random draws that prefer length."
    colour = "#D55E00"
    marker = "triangle-down"
    reference = "ours, a control; drawn as in Efraimidis & Spirakis 2006"
    place = 31
    random = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        for position in weighted_order(pool.tokens, rng):
            yield Pick(int(position))
