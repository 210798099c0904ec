"""Weighted sampling without replacement, as one order whose every prefix is a sample.

Source: Efraimidis & Spirakis 2006: item i gets the key E_i / w_i with E_i a standard exponential; sorted by key, the next
item is always i with probability w_i over the weights not yet drawn.  Knows no pool and no selector.
"""

from __future__ import annotations

import numpy as np


def weighted_order(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N,) positions in the order drawn; items of weight zero come last, in random order.

    Args:
        weights: (N,) finite, >= 0; only their ratios matter.
    """
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("weights must be finite numbers of at least 0")
    exponential = rng.exponential(size=len(weights))
    scaled = weights / max(float(weights.max(initial=0.0)), np.finfo(float).tiny)  # so that no key overflows
    with np.errstate(divide="ignore", over="ignore"):
        return np.lexsort((exponential, exponential / scaled))
