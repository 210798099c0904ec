"""Exact greedy for log det over blocks of rows, fast: the picks of Algorithm 1 without its work.

What makes it fast (FisherSFT, Algorithm 2; Minoux 1978): gains only shrink as V grows, so an old gain is an upper bound.
A heap holds the bounds; each pick re-evaluates the top few as one batch and then only those whose bound still reaches the
best gain found.  Our part: a batch is one triangular solve Z = L^-1 X^T and the Cholesky factors of small Gram matrices
(M x M, or d x d where a sentence has more rows than dimensions); V is accumulated in float64 and factored afresh a pick,
so nothing drifts.  Ties (relative 1e-9) go to the lowest index.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fishersft.design.certificate import optimum_bound
from fishersft.design.information import as_rows, check_sigma2, whiten
from fishersft.design.reference import TIE
from fishersft.design.threads import suited_to
from fishersft.errors import DesignError

if TYPE_CHECKING:
    import torch

SLACK = 2 * TIE  # bounds carry rounding: whoever comes this close is evaluated
MEASURABLE = 1e-12  # nats; below, a gain is rounding
SWEEP_ROWS = 8_192  # rows of one batch where every sentence is evaluated


@dataclass(frozen=True, slots=True)
class Step:
    """One greedy pick.

    Attributes:
        position: the block picked.
        gain: its gain at that moment, nats.
        evaluations: gains computed so far, the first sweep included.
        optimum_bound: no selection of as many sentences can gain more than this, nats (`certificate.py`).
    """

    position: int
    gain: float
    evaluations: int
    optimum_bound: float


def greedy(
    values: np.ndarray, offsets: np.ndarray, sigma2: float = 1.0, *, device: str = "cpu", batch: int | None = None
) -> Iterator[Step]:
    """Picks of Algorithm 1, one at a time, until the pool is empty.

    Args:
        values: (T, d) rows of all blocks, float16 to float64; may be memory-mapped.
        offsets: (N + 1,) where each block begins and ends.
        sigma2: weight of the identity in V, > 0.
        device: where the algebra happens.
        batch: candidates evaluated together; chosen from d where not given.

    Raises:
        DesignError: rows that are not finite (which block), or sigma2 not positive.
    """
    check_sigma2(sigma2)
    with suited_to(values.shape[1]):
        yield from _greedy(values, offsets, sigma2, device, batch)


def _greedy(values: np.ndarray, offsets: np.ndarray, sigma2: float, device: str, batch: int | None) -> Iterator[Step]:
    import torch

    pool = _Blocks(values, offsets, device)
    N, d = len(offsets) - 1, values.shape[1]
    batch = batch or max(8, min(32, 6_144 // d))
    V = torch.eye(d, dtype=torch.float64, device=device) * sigma2
    bounds = pool.sweep(torch.linalg.cholesky(V))
    if bounds.max() < MEASURABLE:
        raise DesignError(f"No sentence gains anything measurable: rows of zeros, or sigma2 = {sigma2:g} is too large.")
    heap = [(-g, i) for i, g in enumerate(bounds)]
    heapq.heapify(heap)
    evaluations, f = N, 0.0
    outside = np.ones(N, dtype=bool)
    fresh_from_sweep = True

    while heap:
        if fresh_from_sweep:  # V has not changed since the sweep: every bound is a gain
            best = -heap[0][0]
            fresh = _pop_while(heap, best * (1 - TIE), None)
            fresh_from_sweep = False
        else:
            L = torch.linalg.cholesky(V)
            best, fresh = -np.inf, []
            while heap and -heap[0][0] >= best * (1 - SLACK):
                taken = _pop_while(heap, best * (1 - SLACK), batch)
                gains = pool.gains([i for i, _ in taken], L)
                evaluations += len(taken)
                fresh += [(i, float(g)) for (i, _), g in zip(taken, gains, strict=True)]
                best = max(best, float(gains.max()))
        winner = min(i for i, g in fresh if g >= best * (1 - TIE))
        for i, g in fresh:
            bounds[i] = g
            if i != winner:
                heapq.heappush(heap, (-g, i))
        outside[winner] = False
        f += bounds[winner]
        X = pool.rows(winner)
        V.addmm_(X.T, X)
        picked = N - int(outside.sum())
        yield Step(winner, float(bounds[winner]), evaluations, optimum_bound(f, bounds[outside], picked))


def _pop_while(heap: list[tuple[float, int]], least: float, most: int | None) -> list[tuple[int, float]]:
    """Take from the heap, in order, while the bound is at least `least`, at most `most` of them."""
    taken: list[tuple[int, float]] = []
    while heap and -heap[0][0] >= least and (most is None or len(taken) < most):
        bound, i = heapq.heappop(heap)
        taken.append((i, -bound))
    return taken


class _Blocks:
    """The pool's rows, and the gains of some of its blocks as one batch of algebra."""

    def __init__(self, values: np.ndarray, offsets: np.ndarray, device: str) -> None:
        self.values, self.offsets, self.device = values, offsets, device
        self.d = values.shape[1]

    def rows(self, i: int) -> torch.Tensor:
        return as_rows(self.values[self.offsets[i] : self.offsets[i + 1]], self.device)

    def sweep(self, L: torch.Tensor) -> np.ndarray:
        """(N,) gains of every block, in batches of like length."""
        lengths = np.diff(self.offsets)
        order = np.argsort(lengths, kind="stable")
        out = np.empty(len(order))
        start = 0
        while start < len(order):
            size = max(1, SWEEP_ROWS // int(lengths[order[min(start + SWEEP_ROWS, len(order) - 1)]]))
            some = order[start : start + size]
            out[some] = self.gains(some.tolist(), L)
            start += size
        if not np.isfinite(out).all():
            raise DesignError(
                f"The rows of record {int(np.flatnonzero(~np.isfinite(out))[0]):,} of the pool are not finite numbers "
                "(or too large to square); remove it or choose another model."
            )
        return out

    def gains(self, some: list[int], L: torch.Tensor) -> np.ndarray:
        """(len(some),) gains log det(I + X_i V^-1 X_i^T), V = L L^T."""
        import torch

        spans = [self.values[self.offsets[i] : self.offsets[i + 1]] for i in some]
        lengths = [len(s) for s in spans]
        Z = whiten(L, as_rows(np.concatenate(spans), self.device)).T  # (sum M, d)
        side = max(lengths)
        padded = Z.new_zeros(len(some) * side, self.d)
        starts = np.cumsum([0, *lengths[:-1]])
        place = np.arange(len(Z)) + np.repeat(np.arange(len(some)) * side - starts, lengths)
        padded[torch.from_numpy(place).to(Z.device)] = Z
        padded = padded.view(len(some), side, self.d)
        # det(I + Z Z^T) = det(I + Z^T Z): take the smaller of the two; padding rows are zero and add nothing
        small = padded @ padded.mT if side <= self.d else padded.mT @ padded
        small.diagonal(dim1=-2, dim2=-1).add_(1.0)
        factor, failed = torch.linalg.cholesky_ex(small)
        out = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        out[failed > 0] = float("nan")
        return out.cpu().numpy()
