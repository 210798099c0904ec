"""Upper bounds on gains that fall as the design grows, without evaluating a gain again.

With P = V^-1 the gain of a block, log det(I + X P X^T), is concave in P, so it lies below its tangent at any earlier P_s:

    gain(P)  <=  gain(P_s) - <K, P_s - P>,        K = X^T (I + X P_s X^T)^-1 X,  positive semidefinite, and so is P_s - P

An old gain alone is this bound without its second term.  K is kept in float32, d (d + 1)/2 numbers; a bound costs one product
with them, hundreds of times less than a gain where blocks are about as long as d.  Products are made in the axes of the pool's
rows, where P is nearly diagonal and little cancels; what float32 may still lose is added to the bound.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from fishersft.design.factor import Factor
from fishersft.design.rows import TokenEmbeddings

KEPT_BYTES = 1_000_000_000  # of the K; those of the blocks with the lowest bounds go first
SAMPLE = 8_192  # rows whose axes are taken
TRUST = 0.995  # of a fall that float32 computes
LOST = 8 * 2.0**-24  # of a product, as a share of the sum of its terms' sizes
WORTH = 8  # a block as long as d over this is worth a tangent
Best = Callable[[np.ndarray], np.ndarray]


def are_worth_it(rows: TokenEmbeddings) -> bool:
    """Whether the blocks of a pool are long enough, beside their dimension, for tangents to pay."""
    return WORTH * len(rows.values) >= rows.dimension * len(rows)


class Tangents:
    """Tangents of some of the N blocks of a pool."""

    def __init__(self, rows: TokenEmbeddings) -> None:
        N, d = len(rows), rows.dimension
        some = rows.values[np.unique(np.linspace(0, len(rows.values) - 1, SAMPLE).astype(np.int64))]
        X = torch.from_numpy(some.astype(np.float64)).to(rows.device)
        self.axes = torch.linalg.eigh(X.T @ X)[1].T.contiguous()
        row, column = torch.triu_indices(d, d, device=rows.device)
        self.upper, self.twice = row * d + column, 2.0 - (row == column).float()
        self.slopes = torch.empty(min(N, max(64, KEPT_BYTES // (4 * len(row)))), len(row), device=rows.device)
        self.free = list(range(len(self.slopes)))
        self.slot = np.full(N, -1)
        self.seen = np.zeros(N, dtype=np.int64)  # picks that a block's bound takes in
        self.gain, self.product, self.lost = np.zeros((3, N))  # at the tangent's P: the gain, <K, P>, and what float32 may lose
        self.now = 0
        self._inverse: torch.Tensor | None = None

    def moved(self, picked: int) -> None:
        """V has grown by block `picked` (-1 where it is none of these)."""
        self.now += 1
        self._inverse = None
        if picked >= 0:
            self._drop(np.array([picked]))

    def lag(self, some: np.ndarray) -> np.ndarray:
        """(k,) bool: whether a bound would be lower now."""
        out: np.ndarray = (self.slot[some] >= 0) & (self.seen[some] < self.now)
        return out

    def take(self, block: int, X: torch.Tensor, root: torch.Tensor, gain: float, factor: Factor, best: Best) -> None:
        """Keep the tangent of a block from its rows X (m, d), the Cholesky factor of I + X P X^T, and its gain.

        Where there is no room, those go whose score is, by `best`, the lowest.
        """
        if self.slot[block] < 0:
            if not self.free:
                held = np.flatnonzero(self.slot >= 0)
                self._drop(held[np.argsort(best(held))[: len(held) // 4 + 1]])
            self.slot[block] = self.free.pop()
        inverse = self._at(factor)
        W = torch.linalg.solve_triangular(root, X @ self.axes.T.to(X.dtype), upper=False)
        slope = self.slopes[self.slot[block]]
        torch.index_select((W.T @ W).view(-1).float(), 0, self.upper, out=slope)
        terms = slope * inverse
        self.gain[block], self.product[block] = gain, float(torch.dot(slope, inverse))
        self.lost[block] = LOST * float(terms.abs_().sum())
        self.seen[block] = self.now

    def bounds(self, some: np.ndarray, factor: Factor) -> np.ndarray:
        """(k,) upper bounds on the gains of blocks that have a tangent, as far as the gains given with them were exact."""
        inverse = self._at(factor)
        now = np.array([float(torch.dot(self.slopes[k], inverse)) for k in self.slot[some]])
        self.seen[some] = self.now
        falls = TRUST * (self.product[some] - now) - self.lost[some]
        return self.gain[some] - np.maximum(falls, 0.0)

    def _at(self, factor: Factor) -> torch.Tensor:
        """P as the products need it."""
        if self._inverse is None:
            Z, R = factor.whiten(self.axes)
            self._inverse = (Z @ Z.T - R @ R.T).view(-1).index_select(0, self.upper).float() * self.twice
        return self._inverse

    def _drop(self, some: np.ndarray) -> None:
        held = some[self.slot[some] >= 0]
        self.free.extend(self.slot[held].tolist())
        self.slot[held] = -1
