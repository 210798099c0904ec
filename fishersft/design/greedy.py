"""Exact greedy for log det over blocks of rows, fast: the picks of Algorithm 1 without its work.

What makes it fast (FisherSFT, Algorithm 2; Minoux 1978): gains only shrink as V grows, so an old gain is an upper bound.
Each pick re-evaluates the few blocks whose bound is highest and then only those whose bound still reaches the best gain
found.  Ties (relative 1e-9) go to the lowest index.

A `Shard` holds some of the blocks: it *proposes* its best and is told what was *accepted*.  One shard is the whole pool on
one machine; many shards are many machines (`distributed.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fishersft.design.blocks import Blocks, log_det_1p, padded
from fishersft.design.certificate import optimum_bound
from fishersft.design.information import check_sigma2, whiten
from fishersft.design.reference import TIE
from fishersft.design.threads import suited_to
from fishersft.errors import DesignError

SLACK = 2 * TIE  # bounds carry rounding: whoever comes this close is evaluated
MEASURABLE = 1e-12  # nats; below, a gain is rounding


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


@dataclass(frozen=True, slots=True)
class Contender:
    """A block that no other of its shard beats by more than a tie: its number in the pool, its score and its gain in nats."""

    position: int
    score: float
    gain: float


def winner_of(contenders: Sequence[Contender]) -> Contender:
    """The best; the lowest position among ties."""
    best = max(c.score for c in contenders)
    return min((c for c in contenders if c.score >= best - TIE * abs(best)), key=lambda c: c.position)


class Shard:
    """Some blocks of the pool, bounds on their gains, and the design so far.

    Args:
        values, offsets, weights, device: see `Blocks`.
        sigma2: weight of the identity in V, > 0.
        costs: (N,) > 0; where given, the score of a block is its gain divided by its cost.
        first: the number in the pool of this shard's first block.

    Raises:
        DesignError: rows that are not finite (which block), or sigma2 not positive.
    """

    def __init__(
        self,
        values: np.ndarray,
        offsets: np.ndarray,
        sigma2: float = 1.0,
        *,
        weights: np.ndarray | None = None,
        costs: np.ndarray | None = None,
        first: int = 0,
        device: str = "cpu",
    ) -> None:
        import torch

        self.blocks = Blocks(values, offsets, weights, device)
        self.first, self.costs = first, costs
        d = self.blocks.d
        self.V = torch.eye(d, dtype=torch.float64, device=device) * check_sigma2(sigma2)
        self.L = torch.linalg.cholesky(self.V)
        self.outside = np.ones(len(self.blocks), dtype=bool)
        self.batch = max(8, min(32, 6_144 // d))
        self.evaluations = 0
        self.bounds = np.empty(len(self.blocks))
        for some in self.blocks.sweep():
            self.bounds[some] = self._gains(some.tolist())
        self.blocks.check_finite(self.bounds)
        self.fresh = np.ones(len(self.blocks), dtype=bool)

    def propose(self) -> list[Contender]:
        """The best block outside the selection, and those that tie with it; empty where none is left."""
        scores = self._scores(self.bounds)
        scores[~self.outside] = -np.inf
        order = _by_falling(scores)
        best, at = -np.inf, 0
        fresh: list[int] = []
        while at < len(order) and scores[order[at]] >= best - SLACK * abs(best) and scores[order[at]] > -np.inf:
            some = order[at : at + self.batch]
            some = some[scores[some] >= best - SLACK * abs(best)] if best > -np.inf else some[scores[some] > -np.inf]
            stale = some[~self.fresh[some]]
            if len(stale):
                self.bounds[stale] = self._gains(stale.tolist())
                self.fresh[stale] = True
            fresh += some.tolist()
            best = max(best, float(self._scores(self.bounds)[some].max()))
            at += len(some)
        now = self._scores(self.bounds)
        return [
            Contender(self.first + i, float(now[i]), float(self.bounds[i])) for i in fresh if now[i] >= best - TIE * abs(best)
        ]

    def rows(self, position: int) -> np.ndarray:
        """(M, d) float64 rows of a block of this shard, weighted; what `accept` is given."""
        import torch

        return self.blocks.rows([position - self.first], torch.float64).cpu().numpy()

    def accept(self, position: int, rows: np.ndarray) -> None:
        """A block was picked, of this shard or of another."""
        import torch

        if 0 <= position - self.first < len(self.blocks):
            self.outside[position - self.first] = False
        X = torch.from_numpy(rows).to(self.V.device)
        self.V.addmm_(X.T, X)
        self.L = torch.linalg.cholesky(self.V)
        self.fresh[:] = False

    def largest(self, n: int) -> np.ndarray:
        """(up to n,) upper bounds on the current gains outside the selection, the n largest."""
        rest = self.bounds[self.outside]
        return rest if len(rest) <= n else np.partition(rest, len(rest) - n)[len(rest) - n :]

    def _scores(self, gains: np.ndarray) -> np.ndarray:
        return gains / self.costs if self.costs is not None else gains.copy()

    def _gains(self, some: list[int]) -> np.ndarray:
        """(len(some),) gains log det(I + X_i V^-1 X_i^T), V = L L^T."""
        import torch

        self.evaluations += len(some)
        lengths = [int(self.blocks.lengths[i]) for i in some]
        Z = padded(whiten(self.L, self.blocks.rows(some, torch.float64)).T, lengths)
        # det(I + Z Z^T) = det(I + Z^T Z): take the smaller of the two
        return log_det_1p(Z @ Z.mT if Z.shape[1] <= self.blocks.d else Z.mT @ Z)


def _by_falling(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-scores, kind="stable")


def greedy(
    values: np.ndarray,
    offsets: np.ndarray,
    sigma2: float = 1.0,
    *,
    weights: np.ndarray | None = None,
    costs: np.ndarray | None = None,
    device: str = "cpu",
) -> Iterator[Step]:
    """Picks of Algorithm 1, one at a time, until the pool is empty.

    Args:
        values: (T, d) rows of all blocks, float16 to float64; may be memory-mapped.
        offsets: (N + 1,) where each block begins and ends.
        sigma2: weight of the identity in V, > 0.
        weights: (T,) that rows are multiplied by.
        costs: (N,) > 0; the block with the largest gain divided by its cost is taken, and nothing is proven of the optimum.
        device: where the algebra happens.

    Raises:
        DesignError: rows that are not finite (which block), none that gains anything, or sigma2 not positive.
    """
    with suited_to(values.shape[1]):
        shard = Shard(values, offsets, sigma2, weights=weights, costs=costs, device=device)
        check_measurable(float(shard.bounds.max()), sigma2)
        f, picked = 0.0, 0
        while contenders := shard.propose():
            winner = winner_of(contenders)
            f, picked = f + winner.gain, picked + 1
            shard.accept(winner.position, shard.rows(winner.position))
            bound = optimum_bound(f, shard.largest(picked), picked) if costs is None else np.nan
            yield Step(winner.position, winner.gain, shard.evaluations, bound)


def check_measurable(largest: float, sigma2: float) -> None:
    """DesignError where even the first gain is rounding."""
    if largest < MEASURABLE:
        raise DesignError(f"No sentence gains anything measurable: rows of zeros, or sigma2 = {sigma2:g} is too large.")
