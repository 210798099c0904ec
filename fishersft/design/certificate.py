"""How far from the best possible selection can this one be?  A proof, not an estimate.

Source: Minoux 1978, for monotone submodular f.  For any S and any n,

    max over |S'| = n of f(S')  <=  f(S) + sum of the n largest current gains outside S,

and gains from an earlier, smaller S may stand in for current ones, because gains only shrink.
"""

from __future__ import annotations

import numpy as np


def optimum_bound(f: float, gains: np.ndarray, n: int) -> float:
    """An upper bound, in nats, on f of the best n sentences.

    Args:
        f: f(S) of any selection S.
        gains: upper bounds on the current gains of the sentences outside S; shape (N - |S|,).
    """
    if n < len(gains):
        gains = np.partition(gains, len(gains) - n)[len(gains) - n :]
    return float(f + gains.clip(min=0).sum())


def share_of_optimum(f: float, bound: float) -> float:
    """The proven share of the optimum, from 0 to 1: f over the bound (both count from the empty selection)."""
    return min(1.0, f / bound) if bound > 0 else 1.0
