"""OnTarget: a random draw among the records that a column says are on target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.errors import ParameterError
from fishersft.selectors import Note, Pick, Pool, Selector


@dataclass(frozen=True)
class OnTarget(Selector):
    """What a selector could do if it were told which records are on target; the others follow in random order."""

    name = "on_target"
    label = "OnTarget"
    summary = "Draws among the sentences that have the target's value in its column; needs such a column."
    purpose = "The oracle of a target: chance with the right labels, which a selector does not see."
    colour = "#6E747D"
    marker = "circle-x"
    reference = "random draw from the target's own domain, a standard control"
    place = 17
    reads_texts = True
    random = True
    needs_target = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick | Note]:
        assert pool.target is not None
        on = None if pool.corpus is None else pool.target.is_on(pool.corpus, pool.index)
        if on is None or not on.any():
            raise ParameterError(
                "OnTarget draws among the records on target, and no column of the pool says which these are (or none of them is "
                "left in the pool); leave it out."
            )
        yield Note("on_target", f"{int(on.sum()):,} of {len(pool):,} sentences are on target")
        shuffled = rng.permutation(len(pool))
        for position in shuffled[np.argsort(~on[shuffled], kind="stable")]:
            yield Pick(int(position))
