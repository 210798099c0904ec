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

Where d is small, each block is kept as its d x d matrix G_i = M^-1/2 X_i^T X_i M^-T/2 instead, in the coordinates where M is
the identity: a gain is log det(S + G_i) - log det S, and hundreds of such determinants go into one call, which beats fewer
evaluations while d is about as large as a block is long.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch

from fishersft.design.factor import BEYOND, Factor, suited_to
from fishersft.design.greedy import SLACK, Pick, Shard, winners
from fishersft.design.information import TIE, add_gram
from fishersft.design.rows import TokenEmbeddings, check_finite, gram_of, log_dets, lower_inverse, padded
from fishersft.errors import DesignError

KEPT_BYTES = 2_000_000_000  # of the W_i; a larger pool goes without them (exact still, and slower) or samples candidates
TOGETHER, MOST_TOGETHER = 12, 96  # gains evaluated together at first, and once very many are
ALIKE = 1.3  # times the shortest: the longest block of one product, since all are padded to it
TIGHTENED, AT_ONCE = 256, 32  # bounds tightened together, and in one product
LARGEST_D, DETERMINANTS = 32, 256  # dimension up to which blocks are kept as matrices; determinants in one call
TRUST = 0.995  # of the float32 products that bounds are lowered by


def second_moment(rows: TokenEmbeddings, ridge: float) -> np.ndarray:
    """M = (1/T) sum of X^T X + ridge tr(M)/d I, (d, d) float64; DesignError if rows are not finite, or all zero."""
    M = torch.zeros(rows.dimension, rows.dimension, dtype=torch.float64, device=rows.device)
    for some in rows.batches():
        X, lengths = rows.stacked(some.tolist(), torch.float64)
        add_gram(M, X)
        if not torch.isfinite(M.diagonal()).all():
            norms = np.add.reduceat((X**2).sum(1).cpu().numpy(), np.cumsum([0, *lengths[:-1]]))
            gains = np.zeros(len(rows))
            gains[some] = norms
            check_finite(gains)
    M /= float(rows.offsets[-1])
    mean = float(M.diagonal().mean())
    if not mean > 0:
        raise DesignError("Every row of the pool is zero, so there is no second moment to match; choose another model.")
    M.diagonal().add_(ridge * mean)
    return M.cpu().numpy()


def matched(
    rows: TokenEmbeddings,
    *,
    prior_tokens: float = 20.0,
    ridge: float = 1e-3,
    candidates: int = 0,
    rng: np.random.Generator | None = None,
) -> Iterator[Pick]:
    """Picks of the greedy rule above, one at a time, until the pool is empty; the gain of a pick is the fall of Stein's loss.

    Args:
        prior_tokens: t0 > 0.
        ridge: added to M, as a share of its mean eigenvalue; > 0.
        candidates: each pick looks at so many random blocks, drawn by `rng`; 0 looks at all, which is exact.

    Raises:
        DesignError: rows that are not finite, all zero, or too uneven for float64.
    """
    with suited_to(rows.dimension):
        M, rng = second_moment(rows, ridge), rng or np.random.default_rng(0)
        if rows.dimension <= LARGEST_D and len(rows) * M.size * 8 <= KEPT_BYTES and rows.device == "cpu":
            small, left = _SmallMatching(rows, M, prior_tokens), np.arange(len(rows))
            while len(left):
                some = rng.choice(left, min(candidates, len(left)), replace=False) if candidates else left
                position, fall = small.best(some)
                small.accept(position)
                left = left[left != position]
                yield Pick(position, fall, small.evaluations)
            return
        pool = Matching(rows, M, prior_tokens)
        for winner in winners(pool, candidates, rng):
            yield Pick(winner.position, winner.score, pool.evaluations)


class Spent(Protocol):
    """A design S of t tokens, prior included, in d dimensions; `trace` is tr(M^-1 S)."""

    t: float
    trace: float
    d: int


def stein_falls(gains: np.ndarray, tokens: np.ndarray, traces: np.ndarray, design: Spent) -> np.ndarray:
    """(k,) fall of the loss when blocks with these gains, tokens and traces are added, negative where it rises."""
    after = (design.trace + traces) / (design.t + tokens)
    out: np.ndarray = gains - design.d * np.log1p(tokens / design.t) - after + design.trace / design.t
    return out


def block_traces(rows: TokenEmbeddings, M: np.ndarray, some: np.ndarray) -> np.ndarray:
    """(k,) tr(M^-1 X^T X) of some blocks, each named once."""
    L = torch.linalg.cholesky(torch.from_numpy(M)).to(rows.device)
    out = np.empty(len(rows))
    for part in rows.batches(some):
        X, lengths = rows.stacked(part.tolist(), torch.float64)
        norms = (torch.linalg.solve_triangular(L, X.T, upper=False) ** 2).sum(0).cpu().numpy()
        out[part] = np.add.reduceat(norms, np.cumsum([0, *lengths[:-1]]))
    return out[some]


class Falls:
    """How far gains have fallen at least since they were evaluated: ||W_i Y||_F^2 over the picks since.

    Args:
        rows: the pool; where its W_i would not fit into KEPT_BYTES none are kept, and nothing is known to have fallen.
    """

    def __init__(self, rows: TokenEmbeddings) -> None:
        self.rows = rows
        self._W: torch.Tensor | None = None
        self._changes: list[torch.Tensor] = []  # Y of the last picks
        self._forgotten = 0  # picks whose Y is gone
        self._seen = np.full(len(rows), -1)  # picks that a bound has taken in; -1 without W_i
        if rows.values.size * 4 <= KEPT_BYTES:
            self._W = torch.empty(rows.values.shape, dtype=torch.float32, device=rows.device)  # filled block by block

    def picked(self, X: torch.Tensor, factor: Factor) -> None:
        """Rows X (m, d) are about to be added to a design."""
        if self._W is None:
            return
        self._changes.append(factor.change(X).float())
        while len(self._changes) > 1 and sum(Y.shape[1] for Y in self._changes) > self.rows.dimension:
            self._changes.pop(0)  # taking in more than d columns costs as much as a fresh evaluation
            self._forgotten += 1

    def evaluated(self, some: np.ndarray, X: torch.Tensor, lengths: list[int], factor: torch.Tensor) -> None:
        """Gains of blocks were evaluated: their rows (sum of m, d), and the Cholesky factors of I + X V^-1 X^T, (k, m, m)."""
        if self._W is None:
            return
        W = lower_inverse(factor) @ padded(X, lengths)
        for k, (i, m) in enumerate(zip(some, lengths, strict=True)):
            start = int(self.rows.offsets[i])
            self._W[start : start + m] = W[k, :m]
        self._seen[some] = self._now

    def lag(self, some: np.ndarray) -> np.ndarray:
        """(k,) bool: which bounds have not taken in every pick, and still can."""
        return (self._seen[some] < self._now) & (self._seen[some] >= self._forgotten)

    def since(self, some: np.ndarray) -> np.ndarray:
        """(k,) how far the gains of blocks that lag have fallen since they were last asked for or evaluated."""
        assert self._W is not None
        out, order = np.empty(len(some)), np.argsort(self._seen[some], kind="stable")
        for start in range(0, len(some), AT_ONCE):
            at = order[start : start + AT_ONCE]
            part = some[at]
            first = int(self._seen[part[0]])
            changes = self._changes[first - self._forgotten :]
            lengths = np.minimum(self.rows.tokens[part], self.rows.dimension)
            ends = np.cumsum(lengths)
            rows = np.arange(ends[-1]) + np.repeat(self.rows.offsets[part] - (ends - lengths), lengths)
            fall = (self._W.index_select(0, torch.from_numpy(rows).to(self._W.device)) @ torch.cat(changes, 1)).square_()
            of_pick = torch.stack([p.sum(1) for p in fall.split([Y.shape[1] for Y in changes], 1)]).cpu().numpy()
            by_block = np.add.reduceat(of_pick.astype(np.float64), ends - lengths, axis=1)  # (picks, k)
            taken = first + np.arange(len(changes))[:, None] >= self._seen[part]
            out[at] = TRUST * (by_block * taken).sum(0)
        self._seen[some] = self._now
        return out

    @property
    def kept(self) -> bool:
        """Whether anything is known of falls."""
        return self._W is not None

    @property
    def _now(self) -> int:
        return self._forgotten + len(self._changes)


class Matching(Shard):
    """A shard whose score is the fall of Stein's loss of S/t against M, and whose bounds fall as S grows.

    Args:
        M: (d, d).
        prior_tokens: of M, from which S starts.
        per_token: the score is the fall divided by the block's tokens.
    """

    follows = False  # it keeps tangents of its own, the W_i, from the first sweep on

    def __init__(
        self, rows: TokenEmbeddings, M: np.ndarray, prior_tokens: float, *, per_token: bool = False, later: bool = False
    ) -> None:
        self.t, self.trace, self.d = prior_tokens, prior_tokens * rows.dimension, rows.dimension
        self.M, self.per_token = M, per_token
        self.falls, self.traces, self._looked = Falls(rows), np.zeros(len(rows)), 0
        super().__init__(rows, prior_tokens * M, score=self._fall, later=later)
        self.batch = self.queue = TOGETHER  # bounds fall while one looks: look at few at once

    def load(self, positions: np.ndarray) -> None:
        self.traces[positions] = block_traces(self.rows, self.M, positions)
        check_finite(self.traces, self.first)
        super().load(positions)

    def _fall(self, gains: np.ndarray, some: np.ndarray) -> np.ndarray:
        falls = stein_falls(gains, self.rows.tokens[some], self.traces[some], self)
        return falls / self.rows.tokens[some] if self.per_token else falls

    @property
    def _most(self) -> int:
        return self.rows.dimension  # W_i needs the Gram matrix of rows

    def accept(self, position: int, block: np.ndarray) -> None:
        self.falls.picked(torch.from_numpy(block).to(self.rows.device), self.factor)
        super().accept(position, block)
        self.t += float(self.rows.tokens[position])
        self.trace += float(self.traces[position])
        self._looked, self.batch, self.queue = 0, TOGETHER, TOGETHER

    def _promising(self, least: float, known: np.ndarray, most: int) -> np.ndarray:
        while True:
            some = super()._promising(least, known, most)
            if not self.falls.lag(some).any():
                return some
            wide = super()._promising(least, known, max(len(some), TIGHTENED))
            wide = wide[self.falls.lag(wide)]
            self.gains[wide] = np.maximum(self.gains[wide] - self.falls.since(wide), 0)

    def _evaluate(self, some: np.ndarray, *, exact: bool = False) -> np.ndarray:
        if not self.falls.kept or exact:
            return super()._evaluate(some, exact=exact)
        gains, lengths = np.empty(len(some)), self.rows.tokens[some]
        order = np.argsort(lengths, kind="stable")
        for part in np.split(order, _alike(lengths[order])):
            gains[part] = self._evaluate_alike(some[part])
        self._looked += len(some)
        self.batch = self.queue = min(max(TOGETHER, self._looked // 8), MOST_TOGETHER)
        return gains

    def _evaluate_alike(self, some: np.ndarray) -> np.ndarray:
        """(k,) gains of blocks of like length."""
        self.evaluations += len(some)
        X, lengths = self.rows.stacked(some.tolist(), torch.float32 if self.error else torch.float64, self._most)
        Z, P = self.factor.screen(X) if self.error else self.factor.whiten(X)
        gains, factor = log_dets(gram_of(Z, P, lengths))
        self.falls.evaluated(some, X, lengths, factor)
        return gains


def _alike(lengths: np.ndarray) -> np.ndarray:
    """Where ascending lengths are cut into parts of which the longest is little longer than the shortest."""
    cuts, first = [], 0
    for k, m in enumerate(lengths):
        if m > ALIKE * lengths[first]:
            cuts.append(k)
            first = k
    return np.array(cuts, dtype=int)


class _SmallMatching:
    """The pool as d x d matrices, the design so far, and bounds on the gains; in the coordinates where M is the identity."""

    def __init__(self, rows: TokenEmbeddings, M: np.ndarray, prior_tokens: float) -> None:
        N, d = len(rows), rows.dimension
        L = torch.linalg.cholesky(torch.from_numpy(M))
        self.lengths, self.evaluations = rows.tokens, 0
        self.grams = torch.empty((N, d, d), dtype=torch.float64)
        for some in rows.batches():
            X, lengths = rows.stacked(some.tolist(), torch.float64)
            Z = torch.linalg.solve_triangular(L, X.T, upper=False).T
            for i, block in zip(some, Z.split(lengths), strict=True):
                self.grams[i] = block.T @ block
        self.traces = self.grams.diagonal(dim1=-2, dim2=-1).sum(-1).numpy()
        self.S = prior_tokens * torch.eye(d, dtype=torch.float64)
        self.t, self.trace, self.d = prior_tokens, prior_tokens * d, d
        self.log_det = d * float(np.log(prior_tokens))
        self.gains = np.full(N, np.inf)

    def best(self, among: np.ndarray) -> tuple[int, float]:
        """The block among these that lowers the loss most, the lowest position among ties, and by how much."""
        bounds = self._falls(self.gains[among] * (1 + SLACK), among)
        order = np.argsort(-bounds, kind="stable")
        queue, bounds, k = among[order], bounds[order], 0
        found, least = np.full(len(queue), -np.inf), -np.inf
        while k < len(queue) and bounds[k] >= least:
            some = queue[k : k + DETERMINANTS][bounds[k : k + DETERMINANTS] >= least]
            self.gains[some] = self._gains(some)
            found[k : k + len(some)] = self._falls(self.gains[some], some)
            best = float(found[: k + len(some)].max())
            least, k = best - TIE * abs(best), k + len(some)
        return int(queue[found >= least].min()), best

    def accept(self, position: int) -> None:
        """A block was picked."""
        self.S += self.grams[position]
        self.log_det = 2 * float(torch.linalg.cholesky(self.S).diagonal().log().sum())
        self.t += float(self.lengths[position])
        self.trace += float(self.traces[position])

    def _gains(self, some: np.ndarray) -> np.ndarray:
        self.evaluations += len(some)
        factors, failed = torch.linalg.cholesky_ex(self.S + self.grams[torch.from_numpy(some)])
        if failed.any():
            raise DesignError(BEYOND)
        out: np.ndarray = (2 * factors.diagonal(dim1=-2, dim2=-1).log().sum(-1) - self.log_det).numpy()
        return out

    def _falls(self, gains: np.ndarray, some: np.ndarray) -> np.ndarray:
        return stein_falls(gains, self.lengths[some], self.traces[some], self)
