"""Floating-point operations of each way, by formula: what does not change when the machine is busy.

A multiplication and an addition are two.  M are lengths of sentences, d the dimension.
"""

from __future__ import annotations

import numpy as np


def of_ours(lengths: np.ndarray, of_picks: np.ndarray, evaluations: int, d: int) -> tuple[float, float]:
    """(of the evaluations, of the updates of V and its factor) that our way needs.

    The first sweep needs Gram matrices only.  Of later evaluations only the number is known; each is counted as long as the
    mean pick, because who comes near to being picked is about as long.
    """
    M = np.array([of_picks.mean()])
    later = float((M * float(d) ** 2 + _gram(M, d))[0])
    evaluating = float(_gram(lengths, d).sum()) + max(0, evaluations - len(lengths)) * later
    return evaluating, float((2.0 * of_picks * d**2).sum() + len(of_picks) * d**3 / 3)


def of_naive_sweep(lengths: np.ndarray, d: int) -> float:
    """X V^-1, its product with X^T and a Cholesky of it, for every sentence."""
    M = lengths.astype(float)
    return float((2 * M * d**2 + 2 * M**2 * d + M**3 / 3).sum())


def of_determinant_sweep(lengths: np.ndarray, d: int) -> float:
    """X^T X and one determinant of d x d, for every sentence."""
    return float((2.0 * lengths * d**2 + 2 * d**3 / 3).sum())


def _gram(M: np.ndarray, d: int) -> np.ndarray:
    """X X^T or X^T X, whichever is smaller, and its Cholesky."""
    side = np.minimum(M, d).astype(float)
    return 2 * side * np.maximum(M, d) * side + side**3 / 3
