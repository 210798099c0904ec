"""Algorithm 1 of the paper as it is written: every sentence, every pick, one determinant each, O(n N d^3).

The fast form in `fishersft/design/greedy.py` must return exactly these picks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from fishersft.design.information import TIE


def algorithm_1(blocks: Sequence[np.ndarray], n: int, sigma2: float = 1.0) -> tuple[list[int], list[float]]:
    """The n picks in order, and their gains in nats, from blocks (M_i, d)."""
    blocks = [np.asarray(X, dtype=np.float64) for X in blocks]
    V = sigma2 * np.eye(blocks[0].shape[1])
    picks: list[int] = []
    gains: list[float] = []
    for _ in range(n):
        base = np.linalg.slogdet(V)[1]
        rest = [i for i in range(len(blocks)) if i not in picks]
        gain = [np.linalg.slogdet(V + blocks[i].T @ blocks[i])[1] - base for i in rest]
        best = next(k for k, g in enumerate(gain) if g >= max(gain) * (1 - TIE))
        picks.append(rest[best])
        gains.append(float(gain[best]))
        V = V + blocks[rest[best]].T @ blocks[rest[best]]
    return picks, gains


def stein_greedy(blocks: Sequence[np.ndarray], n: int, t0: float, ridge: float) -> tuple[list[int], list[float]]:
    """The n picks of MatchedOD as its definition says, and Stein's loss after each (`matched.py`)."""
    blocks = [np.asarray(X, dtype=np.float64) for X in blocks]
    rows = np.concatenate(blocks)
    d = rows.shape[1]
    M = rows.T @ rows / len(rows)
    M += ridge * np.trace(M) / d * np.eye(d)

    def loss(S: np.ndarray, t: float) -> float:
        A = np.linalg.solve(M, S / t)
        return float(np.trace(A) - np.linalg.slogdet(A)[1] - d)

    S, t = t0 * M, t0
    picks: list[int] = []
    losses: list[float] = []
    for _ in range(n):
        rest = [i for i in range(len(blocks)) if i not in picks]
        after = [loss(S + blocks[i].T @ blocks[i], t + len(blocks[i])) for i in rest]
        best = next(k for k, value in enumerate(after) if value <= min(after) + TIE * abs(min(after)))
        picks.append(rest[best])
        losses.append(after[best])
        S, t = S + blocks[picks[-1]].T @ blocks[picks[-1]], t + len(blocks[picks[-1]])
    return picks, losses


def best_subset(blocks: Sequence[np.ndarray], n: int, sigma2: float = 1.0) -> tuple[tuple[int, ...], float]:
    """The best n sentences by trying every subset, and their f in nats; for tiny pools."""
    blocks = [np.asarray(X, dtype=np.float64) for X in blocks]
    d = blocks[0].shape[1]

    def f(subset: tuple[int, ...]) -> float:
        V = sigma2 * np.eye(d) + sum(blocks[i].T @ blocks[i] for i in subset)
        return float(np.linalg.slogdet(V)[1] - d * np.log(sigma2))

    best = max(combinations(range(len(blocks)), n), key=f)
    return best, f(best)
