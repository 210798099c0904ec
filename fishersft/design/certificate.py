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


def token_bound(f: float, gains: np.ndarray, tokens: np.ndarray, limit: int) -> float:
    """An upper bound, in nats, on f of the best sentences with at most `limit` tokens in all.

    The same argument with a knapsack: f(S') <= f(S) + the gains that fit, the last one in part (the linear relaxation).

    Args:
        f: f(S) of any selection S.
        gains: (k,) upper bounds on the gains at S of the sentences outside it.
        tokens: (k,) what each costs.
    """
    gains = gains.clip(min=0)
    order = np.argsort(-gains / tokens, kind="stable")
    before = np.concatenate([[0], np.cumsum(tokens[order])[:-1]])
    part = ((limit - before) / tokens[order]).clip(0, 1)
    return float(f + (gains[order] * part).sum())


def share_of_optimum(f: float, bound: float) -> float:
    """The proven share of the optimum, from 0 to 1: f over the bound (both count from the empty selection)."""
    return min(1.0, f / bound) if bound > 0 else 1.0
