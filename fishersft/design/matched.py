"""A design matched to the pool: greedy for Stein's loss between the picks' second moment and the pool's.

With M the pool's second moment (plus a small ridge), t0 pseudo-tokens of prior, S = t0 M + sum of X^T X and t = t0 + tokens,

    loss(S, t) = tr(M^-1 S / t) - log det(M^-1 S / t) - d      (twice the KL divergence of the two centred Gaussians)

Each pick takes the block whose addition leaves the smallest loss.  The log det rewards coverage, as in TokenOD; the trace is
the price of an outlier; the division by t is the price of a token.  Ours (not from the paper).

Exact and lazy.  The loss falls by  gain_i - d log(1 + m_i/t) - (tau + tau_i)/(t + m_i) + tau/t,  with tau = tr(M^-1 S) and
tau_i = tr(M^-1 X_i^T X_i).  The gain log det(I + X_i S^-1 X_i^T) only shrinks as S grows; the rest costs O(1) a block.  An old
gain alone is too loose a bound, since every gain shrinks a little at every pick.  So bounds shrink with V: when S^-1 becomes
S^-1 - Y Y^T, a gain falls by at least ||W_i Y||_F^2, where W_i = chol(I + X_i S^-1 X_i^T)^-1 X_i at the S of any earlier
evaluation (log det(I - A) <= -tr A, and S only grows).  Products with Y are a tenth of the work of an evaluation.

Where d is small, each block is kept as its d x d matrix instead (`matched_small.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.design import matched_small
from fishersft.design.greedy import Shard, winner_of
from fishersft.design.rows import Blocks, gram_of, log_dets, padded
from fishersft.design.threads import suited_to
from fishersft.errors import DesignError

KEPT_BYTES = 2_000_000_000  # of the W_i; a larger pool goes without them (exact still, and slower) or samples candidates
TIGHTENED, TOGETHER = 256, 64  # bounds tightened at once, and in one product
TRUST = 0.995  # of the float32 products that bounds are lowered by


@dataclass(frozen=True, slots=True)
class MatchedStep:
    """One pick.

    Attributes:
        position: the block picked.
        loss: Stein's loss after it.
        evaluations: gains computed so far, the first sweep included.
    """

    position: int
    loss: float
    evaluations: int


def second_moment(blocks: Blocks, ridge: float) -> np.ndarray:
    """M = (1/T) sum of X^T X + ridge tr(M)/d I, (d, d) float64.

    Raises:
        DesignError: rows that are not finite (which record), or all zero.
    """
    import torch

    M = torch.zeros(blocks.d, blocks.d, dtype=torch.float64, device=blocks.device)
    for some in blocks.batches():
        X, lengths = blocks.rows(some.tolist(), torch.float64)
        M.addmm_(X.T, X)
        if not torch.isfinite(M.diagonal()).all():
            norms = np.add.reduceat((X**2).sum(1).cpu().numpy(), np.cumsum([0, *lengths[:-1]]))
            gains = np.zeros(len(blocks))
            gains[some] = norms
            blocks.check_finite(gains)
    M /= float(blocks.offsets[-1])
    mean = float(M.diagonal().mean())
    if not mean > 0:
        raise DesignError("Every row of the pool is zero, so there is no second moment to match; choose another model.")
    M.diagonal().add_(ridge * mean)
    return M.cpu().numpy()


def matched(
    values: np.ndarray,
    offsets: np.ndarray,
    *,
    prior_tokens: float = 20.0,
    ridge: float = 1e-3,
    candidates: int = 0,
    rng: np.random.Generator | None = None,
    device: str = "cpu",
) -> Iterator[MatchedStep]:
    """Picks of the greedy rule above, one at a time, until the pool is empty.

    Args:
        values, offsets: as in `greedy`.
        prior_tokens: t0 > 0.
        ridge: added to M, as a share of its mean eigenvalue; > 0.
        candidates: each pick looks at so many random blocks, drawn by `rng`; 0 looks at all, which is exact.

    Raises:
        DesignError: rows that are not finite, all zero, or too uneven for float64.
    """
    with suited_to(values.shape[1]):
        blocks = Blocks(values, offsets, None, device)
        M, rng = second_moment(blocks, ridge), rng or np.random.default_rng(0)
        if blocks.d <= matched_small.LARGEST_D and len(blocks) * M.size * 8 <= KEPT_BYTES and device == "cpu":
            yield from _small(matched_small.SmallMatching(blocks, M, prior_tokens), candidates, rng)
            return
        pool = _Matching(blocks, M, prior_tokens)
        loss, left = 0.0, np.ones(len(blocks), dtype=bool)
        while left.any():
            if candidates:
                pool.outside[:] = False
                pool.outside[rng.choice(np.flatnonzero(left), min(candidates, int(left.sum())), replace=False)] = True
            winner = winner_of(pool.propose())
            left[winner.position] = False
            loss -= winner.score
            pool.accept(winner.position, pool.rows(winner.position))
            yield MatchedStep(winner.position, loss, pool.evaluations)


def _small(pool: matched_small.SmallMatching, candidates: int, rng: np.random.Generator) -> Iterator[MatchedStep]:
    loss, left = 0.0, np.arange(len(pool.lengths))
    while len(left):
        some = rng.choice(left, min(candidates, len(left)), replace=False) if candidates else left
        position, fall = pool.best(some)
        pool.accept(position)
        left = left[left != position]
        loss -= fall
        yield MatchedStep(position, loss, pool.evaluations)


class _Matching(Shard):
    """A shard whose score is the fall of Stein's loss, and whose bounds fall as S grows."""

    def __init__(self, blocks: Blocks, M: np.ndarray, prior_tokens: float) -> None:
        import torch

        self.t, self.trace = prior_tokens, prior_tokens * blocks.d
        self._W: torch.Tensor | None = None
        self._changes: list[torch.Tensor] = []  # Y of the last picks
        self._forgotten = 0  # picks whose Y is gone
        self._seen = np.zeros(len(blocks), dtype=np.int64)  # picks that a bound has taken in
        L = torch.linalg.cholesky(torch.from_numpy(M)).to(blocks.device)
        self.traces = np.empty(len(blocks))
        for some in blocks.batches():
            X, lengths = blocks.rows(some.tolist(), torch.float64)
            norms = (torch.linalg.solve_triangular(L, X.T, upper=False) ** 2).sum(0).cpu().numpy()
            self.traces[some] = np.add.reduceat(norms, np.cumsum([0, *lengths[:-1]]))
        if blocks.values.shape[0] * blocks.d * 4 <= KEPT_BYTES:
            self._W = torch.zeros(blocks.values.shape, dtype=torch.float32, device=blocks.device)
        super().__init__(blocks.values, blocks.offsets, prior_tokens * M, device=blocks.device, score=self._fall)
        self.queue = self.batch  # bounds fall while one looks: look at few at once

    def _fall(self, gains: np.ndarray, some: np.ndarray) -> np.ndarray:
        """(k,) fall of the loss, negative where it rises."""
        m = self.blocks.lengths[some]
        after = (self.trace + self.traces[some]) / (self.t + m)
        return gains - self.blocks.d * np.log1p(m / self.t) - after + self.trace / self.t

    @property
    def _most(self) -> int:
        return self.blocks.d  # W_i needs the Gram matrix of rows

    def accept(self, position: int, rows: np.ndarray) -> None:
        import torch

        if self._W is not None:
            self._changes.append(self.factor.change(torch.from_numpy(rows).to(self.blocks.device)).float())
            while len(self._changes) > 1 and sum(Y.shape[1] for Y in self._changes) > self.blocks.d:
                self._changes.pop(0)  # taking in more than d columns costs as much as a fresh evaluation
                self._forgotten += 1
        super().accept(position, rows)
        self.t += float(self.blocks.lengths[position])
        self.trace += float(self.traces[position])

    @property
    def _now(self) -> int:
        return self._forgotten + len(self._changes)

    def _promising(self, least: float, known: np.ndarray, most: int) -> np.ndarray:
        while True:
            some = super()._promising(least, known, most)
            if self._W is None or not (self._lags(some)).any():
                return some
            wide = super()._promising(least, known, max(len(some), TIGHTENED))
            self._tighten(wide[self._lags(wide)])

    def _lags(self, some: np.ndarray) -> np.ndarray:
        """Which bounds have not taken in every pick, and still can."""
        return (self._seen[some] < self._now) & (self._seen[some] >= self._forgotten)

    def _tighten(self, some: np.ndarray) -> None:
        """Take the picks since a bound was last tightened into it: ||W_i Y||^2 off the gain."""
        import torch

        assert self._W is not None
        some = some[np.argsort(self._seen[some], kind="stable")]
        for start in range(0, len(some), TOGETHER):
            part = some[start : start + TOGETHER]
            first = int(self._seen[part[0]])
            changes = self._changes[first - self._forgotten :]
            lengths = np.minimum(self.blocks.lengths[part], self.blocks.d)
            ends = np.cumsum(lengths)
            rows = np.arange(ends[-1]) + np.repeat(self.blocks.offsets[part] - (ends - lengths), lengths)
            fall = (self._W.index_select(0, torch.from_numpy(rows).to(self._W.device)) @ torch.cat(changes, 1)).square_()
            of_pick = torch.stack([p.sum(1) for p in fall.split([Y.shape[1] for Y in changes], 1)]).cpu().numpy()
            by_block = np.add.reduceat(of_pick.astype(np.float64), ends - lengths, axis=1)  # (picks, k)
            taken = first + np.arange(len(changes))[:, None] >= self._seen[part]
            self.gains[part] = np.maximum(self.gains[part] - TRUST * (by_block * taken).sum(0), 0)
            self._seen[part] = self._now

    def _evaluate(self, some: np.ndarray, *, exact: bool = False) -> np.ndarray:
        import torch

        if self._W is None or exact:
            return super()._evaluate(some, exact=exact)
        self.evaluations += len(some)
        X, lengths = self.blocks.rows(some.tolist(), torch.float32 if self.error else torch.float64, self._most)
        Z, P = self.factor.screen(X) if self.error else self.factor.whiten(X)
        gains, factor = log_dets(gram_of(Z, P, lengths))
        eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device).expand_as(factor)
        W = torch.linalg.solve_triangular(factor, eye, upper=False) @ padded(X, lengths)  # a product is quicker than d solves
        for k, (i, m) in enumerate(zip(some, lengths, strict=True)):
            start = int(self.blocks.offsets[i])
            self._W[start : start + m] = W[k, :m]
        self._seen[some] = self._now
        return gains
