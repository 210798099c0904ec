"""MatchedOD's greedy rule where d is small: each block is its d x d matrix X_i^T X_i, computed once.

In the coordinates where the pool's second moment M is the identity, S begins as t0 I and a gain is
log det(S + G_i) - log det S with G_i = M^-1/2 X_i^T X_i M^-T/2; hundreds of such determinants go into one call, which beats
fewer evaluations of the general way (`matched.py`, where the loss is explained) while d is about as large as a block is long.
Exact: a gain only shrinks as S grows, so an old one is a bound, and whoever's bound reaches the best is evaluated.
"""

from __future__ import annotations

import numpy as np

from fishersft.design.factor import BEYOND
from fishersft.design.greedy import SLACK
from fishersft.design.reference import TIE
from fishersft.design.rows import Blocks
from fishersft.errors import DesignError

LARGEST_D = 32  # beyond, the determinants cost more than they save
TOGETHER = 256  # determinants in one call


class SmallMatching:
    """The pool, the design so far, and bounds on the gains.

    Args:
        M: (d, d) the pool's second moment.
        prior_tokens: t0.
    """

    def __init__(self, blocks: Blocks, M: np.ndarray, prior_tokens: float) -> None:
        import torch

        N, d = len(blocks), blocks.d
        L = torch.linalg.cholesky(torch.from_numpy(M))
        self.lengths, self.evaluations = blocks.lengths, 0
        self.grams = torch.empty((N, d, d), dtype=torch.float64)
        for some in blocks.batches():
            X, lengths = blocks.rows(some.tolist(), torch.float64)
            rows = torch.linalg.solve_triangular(L, X.T, upper=False).T
            for i, block in zip(some, rows.split(lengths), strict=True):
                self.grams[i] = block.T @ block
        self.traces = self.grams.diagonal(dim1=-2, dim2=-1).sum(-1).numpy()
        self.S = prior_tokens * torch.eye(d, dtype=torch.float64)
        self.t, self.trace, self.log_det = prior_tokens, prior_tokens * d, d * float(np.log(prior_tokens))
        self.gains = np.full(N, np.inf)

    def best(self, among: np.ndarray) -> tuple[int, float]:
        """The block among these whose pick lowers the loss most, the lowest among ties, and by how much."""
        bounds = self._falls(self.gains[among] * (1 + SLACK), among)
        order = np.argsort(-bounds, kind="stable")
        queue, bounds, k = among[order], bounds[order], 0
        found, least = np.full(len(queue), -np.inf), -np.inf
        while k < len(queue) and bounds[k] >= least:
            some = queue[k : k + TOGETHER][bounds[k : k + TOGETHER] >= least]
            self.gains[some] = self._gains(some)
            found[k : k + len(some)] = self._falls(self.gains[some], some)
            best = float(found[: k + len(some)].max())
            least, k = best - TIE * abs(best), k + len(some)
        return int(queue[found >= least].min()), best

    def accept(self, position: int) -> None:
        """A block was picked."""
        import torch

        self.S += self.grams[position]
        self.log_det = 2 * float(torch.linalg.cholesky(self.S).diagonal().log().sum())
        self.t += float(self.lengths[position])
        self.trace += float(self.traces[position])

    def _gains(self, some: np.ndarray) -> np.ndarray:
        import torch

        self.evaluations += len(some)
        factors, failed = torch.linalg.cholesky_ex(self.S + self.grams[torch.from_numpy(some)])
        if failed.any():
            raise DesignError(BEYOND)
        out: np.ndarray = (2 * factors.diagonal(dim1=-2, dim2=-1).log().sum(-1) - self.log_det).numpy()
        return out

    def _falls(self, gains: np.ndarray, some: np.ndarray) -> np.ndarray:
        """(k,) fall of the loss, negative where it rises."""
        d, m = len(self.S), self.lengths[some]
        after = (self.trace + self.traces[some]) / (self.t + m)
        out: np.ndarray = gains - d * np.log1p(m / self.t) - after + self.trace / self.t
        return out
