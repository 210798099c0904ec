"""Choosing with one model, scoring under another: an order of one pool as positions of the other.

Two models may cut the same texts into different tokens, and a record may have a trained token under one only.  Tokens are
counted by the model that scores, since that is the one to be fine-tuned.  Knows no criterion.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fishersft.errors import ParameterError
from fishersft.pipeline import embed_and_select
from fishersft.selectors import Budget, Order, Pool, Selector
from fishersft.store.artifacts import Store

Report = Callable[[str, int, int], None]


def check_same_corpus(pool: Pool, under: Pool) -> None:
    """ParameterError unless both pools read the same records."""
    if pool.corpus is None or under.corpus is None or pool.corpus.fingerprint != under.corpus.fingerprint:
        raise ParameterError("The model that scores must read the same corpus, with the same split, as the one that chooses.")


def order_under(
    pool: Pool,
    under: Pool,
    selector: Selector,
    budget: Budget,
    seed: int,
    *,
    store: Store | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_stage: Report | None = None,
) -> Order:
    """A selector's order of `pool` as positions of `under`, as far as the budget needs it there."""
    budget.check(under)
    wanted = budget.sentences or int(np.ceil((budget.tokens or 1) / under.tokens.mean()))
    n = min(len(pool), wanted)
    while True:
        order = embed_and_select.order(
            pool, selector, Budget(sentences=n), seed, store=store, on_progress=on_progress, on_stage=on_stage
        )
        moved = moved_to(order, pool.index, under.index)
        if n == len(pool) or budget.cut(under.tokens[moved.positions]) is not None:
            return moved
        n = min(len(pool), 2 * n)


def moved_to(order: Order, index: np.ndarray, other: np.ndarray) -> Order:
    """The same picks as positions in a pool whose records are `other`; those that are not there are left out and noted."""
    records = index[order.positions]
    at = np.minimum(np.searchsorted(other, records), len(other) - 1)
    there = other[at] == records
    notes = dict(order.notes)
    if not there.all():
        notes["left out"] = f"{int((~there).sum()):,} picks without a trained token under the model that scores"
    arrays = {name: values[there] for name, values in order.arrays.items()}
    arrays["optimum_bounds"] = np.full(len(records), np.nan)[there]  # what was proven was proven under the other model
    return Order(**{**arrays, "positions": at[there]}, notes=notes)
