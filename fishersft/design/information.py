"""The design matrix and what is read off it: log det, gains, their split over tokens, leverage; and a proof of optimality.

Source: FisherSFT (arXiv 2505.14826), Lemma 3.1 and Algorithm 1.  Everything is float64.  Dense algebra is torch's throughout
the package, so that one pool of threads does it.

How far from the best possible selection can a selection S be?  By Minoux 1978, for monotone submodular f and any n,

    max over |S'| = n of f(S')  <=  f(S) + sum of the n largest current gains outside S,

and gains from an earlier, smaller S may stand in for current ones, because gains only shrink.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from fishersft.errors import DesignError

TIE = 1e-9  # gains this close, relatively, are equal; the lowest index wins
LEAST, MOST = 1e-12, 1e12  # of sigma2: beyond, rounding decides
PANEL = 128  # columns of a symmetric or triangular matrix that are multiplied at once; the other half is not computed


def check_sigma2(sigma2: float) -> float:
    """sigma2 as a float; DesignError unless it is a number that float64 can work with."""
    if isinstance(sigma2, bool) or not isinstance(sigma2, int | float | np.number) or not LEAST <= sigma2 <= MOST:
        raise DesignError(f"sigma2 must be a positive number, {LEAST:g} to {MOST:g}, and was {sigma2}; 1 is usual.")
    return float(sigma2)


def design_matrix(blocks: Iterable[np.ndarray], d: int, sigma2: float = 1.0) -> np.ndarray:
    """V = sigma2 I + sum of X^T X over blocks (M, d); (d, d) float64."""
    V = torch.eye(d, dtype=torch.float64) * check_sigma2(sigma2)
    for X in blocks:
        add_gram(V, as_rows(X))
    return V.numpy()


def add_gram(V: torch.Tensor, X: torch.Tensor) -> None:
    """V <- V + X^T X for float64 V (d, d) and rows X (m, d), whose products are made in their own precision."""
    for a in range(0, len(V), PANEL):
        b = a + PANEL
        V[a:, a:b] += X[:, a:].T @ X[:, a:b]
        V[a:b, b:] = V[b:, a:b].T


def log_det(V: np.ndarray) -> float:
    """log det of a positive definite matrix, in nats."""
    return float(2 * torch.linalg.cholesky(torch.from_numpy(V)).diagonal().log().sum())


def token_gains(V: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Split the gain of a block over its rows: (M,) nats, all >= 0, that sum to the gain exactly.

    Row j gets log(1 + x_j^T V_{<j}^-1 x_j), where V_{<j} is V with the block's earlier rows added (chain rule).
    """
    Z = whiten(torch.linalg.cholesky(torch.from_numpy(V)), as_rows(X))
    gram = Z.T @ Z
    gram.diagonal().add_(1.0)
    return (2 * torch.linalg.cholesky(gram).diagonal().log()).numpy()


def gain(V: np.ndarray, X: np.ndarray) -> float:
    """log det(I + X V^-1 X^T), the increase of log det V when the block X is added; in nats."""
    return float(token_gains(V, X).sum())


def leverage(V: np.ndarray, X: np.ndarray) -> np.ndarray:
    """(M,) prediction variance x^T V^-1 x of each row; its largest value over a pool is the G-criterion."""
    return (whiten(torch.linalg.cholesky(torch.from_numpy(V)), as_rows(X)) ** 2).sum(0).numpy()


def as_rows(X: np.ndarray) -> torch.Tensor:
    """A block as a float64 tensor."""
    return torch.from_numpy(np.array(X, dtype=np.float64, order="C"))


def whiten(L: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
    """Z = L^-1 X^T, (d, M), for V = L L^T: then Z^T Z = X V^-1 X^T."""
    return torch.linalg.solve_triangular(L, X.T, upper=False)


def optimum_bound(f: float, gains: np.ndarray, n: int) -> float:
    """An upper bound, nats, on f of the best n sentences, from f(S) of any S and (k,) upper bounds on the gains outside it."""
    if n < len(gains):
        gains = np.partition(gains, len(gains) - n)[len(gains) - n :]
    return float(f + gains.clip(min=0).sum())


def token_bound(f: float, gains: np.ndarray, tokens: np.ndarray, limit: int) -> float:
    """The same for the best sentences with at most `limit` tokens in all; `tokens` (k,) is what each costs.

    f(S') <= f(S) + the gains that fit, the last one in part: the linear relaxation of a knapsack.
    """
    gains = gains.clip(min=0)
    order = np.argsort(-gains / tokens, kind="stable")
    before = np.concatenate([[0], np.cumsum(tokens[order])[:-1]])
    part = ((limit - before) / tokens[order]).clip(0, 1)
    return float(f + (gains[order] * part).sum())


def share_of_optimum(f: float, bound: float) -> float:
    """The proven share of the optimum, from 0 to 1: f over the bound (both count from the empty selection)."""
    return min(1.0, f / bound) if bound > 0 else 1.0
