"""What if some records were pinned and others excluded: the order from there, in memory only.

Such an order is no prefix of the selector's own, so it never enters the store.  What the plain order already proves is not
computed again: where nothing is pinned, its picks stand up to the first excluded one.
"""

from __future__ import annotations

import numpy as np

from fishersft.selectors import Budget, Order, Pool, Selector
from fishersft.selectors.base import Progress


def rechosen(
    pool: Pool,
    selector: Selector,
    budget: Budget,
    seed: int = 0,
    *,
    plain: Order | None = None,
    on_progress: Progress | None = None,
) -> Order:
    """The selector's order from a pool with pins (`Pool.given`), as far as the budget needs it.

    Args:
        plain: the selector's order with nothing pinned or excluded, where it is at hand.
    """
    stands = _standing(pool, plain)
    if plain is None or not stands:
        return selector.take(pool, budget, seed, on_progress)
    free = Pool(pool.embeddings, pool.corpus, pool.model, pool.readings, device=pool.device)
    kept = free.given(pool.index[plain.positions[:stands]].tolist(), pool.index[list(pool.excluded)].tolist())
    if budget.sentences is not None:
        budget = Budget(sentences=max(stands, budget.sentences))
    return selector.take(kept, budget, seed, on_progress)


def _standing(pool: Pool, plain: Order | None) -> int:
    """How many of the plain order's first picks stand."""
    if plain is None or pool.pinned:
        return 0
    hit = np.flatnonzero(np.isin(plain.positions, pool.excluded))
    return int(hit[0]) if len(hit) else len(plain)
