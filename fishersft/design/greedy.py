"""Exact greedy for log det over blocks of rows, fast: the picks of Algorithm 1 without its work.

What makes it fast (FisherSFT, Algorithm 2; Minoux 1978): gains only shrink as V grows, so an old gain is an upper bound.
Each pick re-evaluates the blocks whose bound is highest and then only those whose bound still reaches the best gain found.
Our part: from d = 129 on, candidates are screened in float32 and those within its error of the best are decided in float64;
the error allowed is a multiple of the largest one seen between the two, and when it grows too large all is float64.
Where blocks are long beside d, the bounds of those that came near to winning follow the design by tangents (`tangents.py`).
Ties (relative 1e-9) go to the lowest index.

A `Shard` holds some of the blocks: it *proposes* its best and is told what was *accepted*.  One shard is the whole pool on
one machine; many shards are many machines (`distributed/greedy.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from fishersft.design.factor import BEYOND, SMALL, Factor, suited_to
from fishersft.design.information import TIE, optimum_bound
from fishersft.design.rows import TokenEmbeddings, check_finite, factored
from fishersft.design.tangents import Tangents, are_worth_it
from fishersft.errors import DesignError

SLACK = 2 * TIE  # float64 bounds carry rounding: whoever comes this close is evaluated
MEASURABLE = 1e-12  # nats; below, a gain is rounding
SCREEN_ERROR = 2e-5  # of 1 + gain: the least error that float32 is trusted with
CAUTION = 16  # times the largest error seen
TOO_COARSE = 1e-2  # beyond, float32 screens nothing
NEAR = 0.95  # of the largest gain seen since the last pick: whose tangents are kept
FEW, TIGHTENED = 8, 256  # blocks evaluated together, and looked at, where bounds follow the design

NOTHING: tuple[int, Any] = (-1, None)


class Pick(NamedTuple):
    """One step of an order: which record of the pool comes next, and what its choice is known to bring.

    Attributes:
        gain: what it adds to the selector's criterion at that moment, nats; NaN without a criterion.
        evaluations: gains computed so far, the first sweep included.
        optimum_bound: no selection of as many records gains more, nats (`information.optimum_bound`); NaN if nothing is proven.
    """

    position: int
    gain: float = np.nan
    evaluations: int = 0
    optimum_bound: float = np.nan


@dataclass(frozen=True, slots=True)
class Contender:
    """A block that no other of its shard beats by more than a tie: its position in the pool, its score, its gain in nats."""

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
        rows: of these blocks, with weights and device.
        prior: sigma2, or the (d, d) matrix that V starts from.
        costs: (N,) > 0; the score of a block is then its gain divided by its cost.
        first: the position in the pool of this shard's first block.
        score: the score of gains (k,) of blocks (k,), in place of the gain itself; must rise with the gain.
        later: no block can be picked before it is loaded; otherwise all are.

    Raises:
        DesignError: rows that are not finite (which block), or a prior that is not positive.
    """

    follows = True  # whether bounds may follow the design by tangents

    def __init__(
        self,
        rows: TokenEmbeddings,
        prior: float | np.ndarray = 1.0,
        *,
        costs: np.ndarray | None = None,
        first: int = 0,
        score: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
        later: bool = False,
    ) -> None:
        self.rows = rows
        self.factor = Factor(rows.dimension, prior, rows.device)
        self.first = first
        self.score = score or (lambda gains, some: gains if costs is None else gains / costs[some])
        self.error = SCREEN_ERROR if self.rows.dimension > SMALL else 0.0
        self.batch = min(48, max(16, 12_288 // self.rows.dimension))  # evaluated together once a best gain is known
        self.queue = 2_048  # candidates put in order at once
        self.evaluations = 0
        self._last, self._largest = NOTHING, 0.0
        self.tangents: Tangents | None = None  # not in the first sweep, whose gains say little of later ones
        self.gains = np.zeros(len(self.rows))
        self.outside = np.zeros(len(self.rows), dtype=bool)  # who can be picked
        self.fresh = np.zeros(len(self.rows), dtype=bool)  # evaluated since the last pick
        self.sure = np.zeros(len(self.rows), dtype=bool)  # ... in float64
        if not later:
            self.load(np.arange(len(self.rows)))
        if self.follows and self.error and are_worth_it(rows):
            self.tangents = Tangents(rows)
            self.batch, self.queue = FEW, TIGHTENED  # bounds fall while one looks: look at few at once

    def load(self, positions: np.ndarray) -> None:
        """Evaluate some blocks for the first time; from now on they can be picked."""
        for some in self.rows.batches(positions):
            self.gains[some] = self._evaluate(some)
        check_finite(self.gains, self.first)
        self.outside[positions] = self.fresh[positions] = True
        self.sure[positions] = not self.error

    @property
    def bounds(self) -> np.ndarray:
        """(N,) upper bounds on the current gains."""
        return self.gains + self._slack(self.gains, self.sure)

    def propose(self) -> list[Contender]:
        """The best block outside the selection, and those that tie with it; empty where none is left."""
        if not self.outside.any():
            return []
        least = -np.inf  # no block with a score below can win
        while len(queue := self._promising(least, self.fresh, self.queue)):
            while len(queue):
                some, queue = np.split(queue, [self.batch // 2 if least == -np.inf else self.batch])
                self.gains[some] = self._evaluate(some)
                self.fresh[some] = True
                self.sure[some] = not self.error
                least = max(least, self._proven(some))
                queue = queue[self._best(queue) >= least]
        if self.error:
            least = max(least, self._proven(np.flatnonzero(self.fresh & self.outside)))
            doubtful = self._promising(least, self.sure, len(self.rows))
            if not self._confirm(doubtful):
                return self.propose()
        now = np.flatnonzero(self.sure & self.fresh & self.outside)
        scores = self.score(self.gains[now], now)
        best = scores.max()
        ties = scores >= best - TIE * abs(best)
        return [
            Contender(self.first + int(i), float(s), float(self.gains[i])) for i, s in zip(now[ties], scores[ties], strict=True)
        ]

    def block(self, position: int) -> np.ndarray:
        """(m, d) float64 weighted rows of a block of this shard, for `accept`."""
        return self.rows.stacked([position - self.first], torch.float64, self._most)[0].cpu().numpy()

    def accept(self, position: int, rows: np.ndarray) -> None:
        """A block was picked, of this shard or of another."""
        if 0 <= position - self.first < len(self.rows):
            self.outside[position - self.first] = False
        block, whitened = self._last  # a winner without rivals was just whitened
        same = block == position - self.first
        self.factor.add(torch.from_numpy(rows).to(self.rows.device), whitened if same else None)
        self._last = NOTHING
        self.fresh[:] = False
        self._largest = 0.0
        if self.tangents is not None:
            self.tangents.moved(position - self.first if 0 <= position - self.first < len(self.rows) else -1)

    def contender(self, position: int) -> Contender:
        """A block of this shard, with its gain now in float64, that is taken whatever that is."""
        here = position - self.first
        self.gains[here] = self._evaluate(np.array([here]), exact=True)[0]
        gain = float(self.gains[here])
        return Contender(position, float(self.score(self.gains[[here]], np.array([here]))[0]), gain)

    def largest(self, n: int) -> np.ndarray:
        """(up to n,) upper bounds on the current gains outside the selection, the n largest."""
        rest = self.bounds[self.outside]
        return rest if len(rest) <= n else np.partition(rest, len(rest) - n)[len(rest) - n :]

    @property
    def _most(self) -> int | None:
        """Rows beyond which a block is made smaller first; small designs take the smaller Gram matrix instead."""
        return self.rows.dimension if self.rows.dimension > SMALL else None

    def _follow(self, some: np.ndarray) -> None:
        """Lower the bounds of some blocks that lag behind the design."""
        assert self.tangents is not None
        lower = self.tangents.bounds(some, self.factor) + self.error * (self.tangents.gain[some] - self.gains[some]).clip(min=0)
        self.sure[some] &= lower >= self.gains[some]
        self.gains[some] = np.minimum(lower, self.gains[some])

    def _slack(self, gains: np.ndarray, sure: np.ndarray) -> np.ndarray:
        return np.where(sure, SLACK * gains, self.error * (1 + gains))

    def _promising(self, least: float, known: np.ndarray, most: int) -> np.ndarray:
        """At most so many blocks not `known` whose score may reach `least`, by bounds as they are now, best first."""
        while self.tangents is not None:
            some = self._ranked(least, known, most)
            if not (lagging := some[self.tangents.lag(some)]).size:
                return some
            self._follow(lagging)
        return self._ranked(least, known, most)

    def _ranked(self, least: float, known: np.ndarray, most: int) -> np.ndarray:
        some = np.flatnonzero(self.outside & ~known)
        scores = self._best(some)
        if most < len(some):
            top = np.argpartition(-scores, most)[:most]
            some, scores = some[top], scores[top]
        order = np.argsort(-scores, kind="stable")
        return some[order[scores[order] >= least]]

    def _best(self, some: np.ndarray) -> np.ndarray:
        """(k,) the scores that some blocks have at most."""
        return self.score(self.gains[some] + self._slack(self.gains[some], self.sure[some]), some)

    def _proven(self, some: np.ndarray) -> float:
        """The best score that one of some freshly evaluated blocks has at least."""
        if not len(some):
            return -np.inf
        gains = self.gains[some]
        return float(self.score(gains - self._slack(gains, self.sure[some]), some).max())

    def _confirm(self, some: np.ndarray) -> bool:
        """Evaluate in float64; False where float32 was further off than it was trusted with, and the pick must begin again."""
        some = some[self.fresh[some]]
        worst = 0.0
        for part in self.rows.batches(some):
            exact = self._evaluate(part, exact=True)
            worst = max(worst, float((np.abs(exact - self.gains[part]) / (1 + exact)).max(initial=0.0)))
            self.gains[part] = exact
            self.sure[part] = True
        trusted, self.error = self.error, max(self.error, CAUTION * worst)
        if self.error > TOO_COARSE:
            self.error, self.tangents = 0.0, None
            self.fresh[:] = False
            self.gains = self.gains + TOO_COARSE * (1 + self.gains)  # bounds from float32 stay bounds
            return False
        return worst <= trusted

    def _evaluate(self, some: np.ndarray, *, exact: bool = False) -> np.ndarray:
        """(k,) gains log det(I + X_i V^-1 X_i^T) of some blocks."""
        self.evaluations += len(some)
        single = self.error and not exact
        X, lengths = self.rows.stacked(some.tolist(), torch.float32 if single else torch.float64, self._most)
        Z, P = self.factor.screen(X) if single else self.factor.whiten(X)
        self._last = (int(some[0]), (Z, P)) if len(some) == 1 and not single else NOTHING
        out, roots = factored(Z, P, lengths)
        if single and len(bad := np.flatnonzero(np.isnan(out))):  # too uneven for float32
            out[bad] = self._evaluate(some[bad], exact=True)
        if self.tangents is not None and single:
            self._largest = max(self._largest, float(np.nanmax(out, initial=0.0)))
            for i, x, root, gain in zip(some, X.split(lengths), roots, out, strict=True):
                if gain >= NEAR * self._largest and len(root) == len(x):
                    self.tangents.take(i, x, root, gain, self.factor, self._best)
        if np.isnan(out).any() and self.factor.scale is None:
            raise DesignError(BEYOND)
        return out


def winners(shard: Shard, candidates: int = 0, rng: np.random.Generator | None = None) -> Iterator[Contender]:
    """The picks of a shard that is the whole pool; with `candidates`, each is the best of so many random blocks."""
    left = np.ones(len(shard.rows), dtype=bool)
    while left.any():
        if candidates and rng is not None:
            shard.outside[:] = False
            shard.outside[rng.choice(np.flatnonzero(left), min(candidates, int(left.sum())), replace=False)] = True
        winner = winner_of(shard.propose())
        left[winner.position] = False
        shard.accept(winner.position, shard.block(winner.position))
        yield winner


def greedy(
    rows: TokenEmbeddings,
    sigma2: float = 1.0,
    *,
    costs: np.ndarray | None = None,
    pinned: Sequence[int] = (),
    excluded: Sequence[int] = (),
) -> Iterator[Pick]:
    """Picks of Algorithm 1, one at a time, until the pool is empty.

    Args:
        rows: the pool; its weights multiply the rows, and the algebra happens on its device.
        sigma2: weight of the identity in V, > 0.
        costs: (N,) > 0; the largest gain divided by cost is taken, and nothing is proven of the optimum.
        pinned: blocks taken first, in this order, whatever they gain.
        excluded: blocks never taken; bounds hold for selections without them.

    Raises:
        DesignError: rows that are not finite (which block), none that gains anything, or sigma2 not positive.
    """
    with suited_to(rows.dimension):
        shard = Shard(rows, sigma2, costs=costs)
        check_measurable(float(shard.gains.max()), sigma2)
        shard.outside[np.asarray(excluded, dtype=np.int64)] = False
        f, picked, forced = 0.0, 0, iter(pinned)
        while (there := next(forced, None)) is not None or (contenders := shard.propose()):
            winner = shard.contender(int(there)) if there is not None else winner_of(contenders)
            f, picked = f + winner.gain, picked + 1
            shard.accept(winner.position, shard.block(winner.position))
            bound = optimum_bound(f, shard.largest(picked), picked) if costs is None else np.nan
            yield Pick(winner.position, winner.gain, shard.evaluations, bound)


def check_measurable(largest: float, sigma2: float) -> None:
    """DesignError where even the first gain is rounding."""
    if largest < MEASURABLE:
        raise DesignError(f"No sentence gains anything measurable: rows of zeros, or sigma2 = {sigma2:g} is too large.")
