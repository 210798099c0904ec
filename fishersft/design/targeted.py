"""Designs for a target: greedy rules that ask what the picks say about given rows A, not about the pool.

    matched to the target   largest fall of Stein's loss of S/t against the target's second moment M_A (ours; see `matched.py`)
    V-optimal               largest fall of tr(M_A V^-1), the mean prediction variance on the target; VTL in SIFT (Huebotter
                            et al. 2025, arXiv 2410.08020), I- or V-optimality in the literature on designs
    information about it    largest log det(I + X V^-1 X^T) - log det(I + X (V + A^T A)^-1 X^T), nats: what the pick tells
                            about noisy observations at A; ITL (Huebotter et al. 2024, arXiv 2402.15898)

M_A is the mean over target texts of X^T X / m, so that each text weighs the same, long or short, as in a mean over texts of
nats a token.  Each rule may be taken a token, as the selectors do unless told otherwise: whole records favour the longest.

The last two are not submodular, so an old score bounds nothing: each pick evaluates every candidate.  Hence
the *reach*: a rule may look only at the records nearest to the target, as far as `reach` times the tokens spent so far (and
HEAD_START more).  It depends on no budget, so budgets stay prefixes of one order.

Nearness is that of RDS+ (Ivison et al. 2025, arXiv 2503.01807): the cosine of position-weighted means of rows, each target
text in turn taking its nearest free record.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from fishersft.design.factor import BEYOND, Factor, suited_to
from fishersft.design.greedy import SLACK, Pick
from fishersft.design.information import TIE
from fishersft.design.matched import TIGHTENED, Falls, block_traces, stein_falls
from fishersft.design.rows import TokenEmbeddings, check_finite, gram_of, log_dets, padded
from fishersft.errors import DesignError

HEAD_START = 2_000  # tokens that count as spent before the first pick, so that it has something to choose from
AHEAD = 2_048  # tokens of records that are loaded before they are candidates, so that groups are not tiny
TOGETHER = 16  # gains evaluated together
RANKED = 1_024  # nearest records put in order at first
RIDGE = 1e-3


def target_moment(rows: TokenEmbeddings, ridge: float = RIDGE) -> np.ndarray:
    """M_A (d, d) float64: the mean over texts of X^T X / m, plus ridge tr(M_A)/d I.

    Raises:
        DesignError: rows that are not finite, or all zero.
    """
    M = np.zeros((rows.dimension, rows.dimension))
    for i in range(len(rows)):
        X = rows.block(i).astype(np.float64)
        check_finite(np.array([np.vdot(X, X)]), i)
        M += X.T @ X / len(X)
    M /= len(rows)
    mean = float(np.trace(M)) / rows.dimension
    if not mean > 0:
        raise DesignError("Every row of the target is zero, so there is nothing to aim at; choose another model.")
    return M + ridge * mean * np.eye(rows.dimension)


def nearest_in_turn(similarity: np.ndarray) -> Iterator[int]:
    """Positions of N records, all of them: each of A target texts in turn takes its most similar free one.

    The turns follow a drawn order, always the same: texts of one kind often stand together in a file, and a budget of fewer
    picks than texts would never come to the last ones.

    Args:
        similarity: (N, A); ties go to the lower position.
    """
    turns = np.random.default_rng(0).permutation(similarity.shape[1])
    queues = [_ranked(column) for column in similarity.T[turns]]
    taken = np.zeros(len(similarity), dtype=bool)
    for turn in range(len(similarity)):
        position = next(p for p in queues[turn % len(queues)] if not taken[p])
        taken[position] = True
        yield position


def _ranked(column: np.ndarray) -> Iterator[int]:
    """Positions from the largest value to the smallest, put in order only as far as they are asked for."""
    done, size = 0, RANKED
    while done < len(column):
        if size < len(column):
            least = np.partition(column, len(column) - size)[len(column) - size]
            some = np.flatnonzero(column >= least)
        else:
            some = np.arange(len(column))
        order = some[np.argsort(-column[some], kind="stable")]
        yield from map(int, order[done:])
        done, size = len(order), size * 4


class Candidates:
    """Blocks of the pool under a design V: the Gram matrix X V^-1 X^T of each, kept as V grows.

    A pick X_p turns V^-1 into V^-1 - Y Y^T, hence X V^-1 X^T loses (X Y)(X Y)^T: a few columns instead of d.

    Args:
        prior: sigma2, or the (d, d) matrix that V starts from.
        root: (d, d) R with M_A = R R^T; then X V^-1 R is kept too.
    """

    def __init__(self, rows: TokenEmbeddings, prior: float | np.ndarray, root: torch.Tensor | None = None) -> None:
        self.rows, self.root, self.groups = rows, root, list[Group]()
        self.factor = Factor(rows.dimension, prior, rows.device)

    def load(self, positions: np.ndarray) -> None:
        """Take some records among the candidates."""
        aim = None if self.root is None else self.factor.whiten(self.root.T)
        for some in self.rows.batches(positions):
            X, lengths = self.block(some)
            Z, P = (padded(part, lengths) for part in self.factor.whiten(X))
            seen = None if aim is None else Z @ aim[0].T - P @ aim[1].T
            self.groups.append(Group(some, padded(X, lengths), Z @ Z.mT - P @ P.mT, seen))

    def accept(self, position: int) -> None:
        """A record was picked."""
        X, _ = self.block(np.array([position]))
        Y = self.factor.change(X)
        for group in self.groups:
            change = group.X @ Y
            group.gram.baddbmm_(change, change.mT, alpha=-1)
            if group.seen is not None and self.root is not None:
                group.seen -= change @ (Y.T @ self.root)
        self.factor.add(X)

    def block(self, some: np.ndarray) -> tuple[torch.Tensor, list[int]]:
        """Rows of some records, at most d of each: no rule here depends on more than X^T X."""
        return self.rows.stacked(some.tolist(), torch.float64, self.rows.dimension)


@dataclass
class Group:
    """k candidates of like length m.

    Attributes:
        positions: (k,) in the pool.
        X: (k, m, d) their rows.
        gram: (k, m, m) X V^-1 X^T.
        seen: (k, m, d) X V^-1 R, where it is kept.
    """

    positions: np.ndarray
    X: torch.Tensor
    gram: torch.Tensor
    seen: torch.Tensor | None

    def log_dets(self) -> tuple[np.ndarray, torch.Tensor]:
        """(k,) log det(I + X V^-1 X^T), and the Cholesky factors."""
        whole = self.gram.clone()
        whole.diagonal(dim1=-2, dim2=-1).add_(1.0)
        return log_dets(whole)


class Rule(ABC):
    """What a pick is worth, given the picks before it: what it adds to a criterion, a token or as a whole record."""

    def __init__(self, rows: TokenEmbeddings, *, per_token: bool) -> None:
        self.rows, self.per_token, self.evaluations = rows, per_token, 0

    @abstractmethod
    def load(self, positions: np.ndarray) -> None:
        """Take some records among the candidates."""

    @abstractmethod
    def scores(self, some: np.ndarray) -> np.ndarray:
        """(k,) what each of these candidates is worth now; -inf of one that is proven not to be the best of them."""

    @abstractmethod
    def accept(self, position: int) -> None:
        """A record was picked."""


class SteinRule(Rule):
    """The fall of Stein's loss of S/t against M, (d, d), a token or a record, with S from `prior_tokens` of M.

    A gain only shrinks as S grows, so that an old one is an upper bound, lowered by how far it is known to have fallen; what
    else the fall of the loss is made of costs nothing (see `matched.py`).
    """

    def __init__(self, rows: TokenEmbeddings, M: np.ndarray, prior_tokens: float = 20.0, *, per_token: bool = True) -> None:
        super().__init__(rows, per_token=per_token)
        self.t, self.trace, self.d = prior_tokens, prior_tokens * rows.dimension, rows.dimension
        self.factor = Factor(rows.dimension, prior_tokens * M, rows.device)
        self.known = Falls(rows)
        self._moment, self._traces, self._gains = M, np.zeros(len(rows)), np.full(len(rows), np.inf)

    def load(self, positions: np.ndarray) -> None:
        self._traces[positions] = block_traces(self.rows, self._moment, positions)
        check_finite(self._traces)

    def scores(self, some: np.ndarray) -> np.ndarray:
        out, least, bounds = np.full(len(some), -np.inf), -np.inf, self._bounds(some)
        while len(queue := np.flatnonzero((bounds >= least) & np.isneginf(out))):
            queue = queue[np.argsort(-bounds[queue], kind="stable")[:TIGHTENED]]
            first = queue[:TOGETHER]
            if self.known.lag(some[first]).any():
                lagging = queue[self.known.lag(some[queue])]
                self._gains[some[lagging]] -= self.known.since(some[lagging])
                bounds[lagging] = self._bounds(some[lagging])
                continue
            self._gains[some[first]] = self._gains_of(some[first])
            out[first] = self._falls(self._gains[some[first]], some[first])
            best = float(out.max())
            least = best - TIE * abs(best)
        return out

    def accept(self, position: int) -> None:
        X, _ = self.rows.stacked([position], torch.float64, self.d)
        self.known.picked(X, self.factor)
        self.factor.add(X)
        self.t += float(self.rows.tokens[position])
        self.trace += float(self._traces[position])

    def _gains_of(self, some: np.ndarray) -> np.ndarray:
        self.evaluations += len(some)
        X, lengths = self.rows.stacked(some.tolist(), torch.float64, self.d)
        gains, factor = log_dets(gram_of(*self.factor.whiten(X), lengths))
        if np.isnan(gains).any():
            raise DesignError(BEYOND)
        self.known.evaluated(some, X, lengths, factor)
        return gains

    def _bounds(self, some: np.ndarray) -> np.ndarray:
        """(k,) upper bounds on the scores."""
        return self._falls(self._gains[some].clip(min=0) * (1 + SLACK), some)

    def _falls(self, gains: np.ndarray, some: np.ndarray) -> np.ndarray:
        falls = stein_falls(gains, self.rows.tokens[some], self._traces[some], self)
        return falls / self.rows.tokens[some] if self.per_token else falls


class SweepingRule(Rule):
    """A rule for which an old score bounds nothing, so that each pick evaluates all candidates, under one design or more."""

    def __init__(self, rows: TokenEmbeddings, *designs: Candidates, per_token: bool) -> None:
        super().__init__(rows, per_token=per_token)
        self.designs = designs

    @abstractmethod
    def gains(self, *groups: Group) -> np.ndarray:
        """(k,) what each of a group of candidates, which is given under each design, adds to the criterion."""

    def load(self, positions: np.ndarray) -> None:
        for design in self.designs:
            design.load(positions)

    def scores(self, some: np.ndarray) -> np.ndarray:
        out = np.full(len(self.rows), -np.inf)
        for groups in zip(*(design.groups for design in self.designs), strict=True):
            out[groups[0].positions] = self.gains(*groups)
            self.evaluations += len(groups[0].positions)
        check_finite(np.where(np.isneginf(out), 0.0, out))
        return out[some] / self.rows.tokens[some] if self.per_token else out[some]

    def accept(self, position: int) -> None:
        for design in self.designs:
            design.accept(position)


class VarianceRule(SweepingRule):
    """The fall of tr(M_A V^-1), a token or a record, with V from sigma2 I."""

    def __init__(self, rows: TokenEmbeddings, M: np.ndarray, sigma2: float = 1.0, *, per_token: bool = True) -> None:
        super().__init__(rows, Candidates(rows, sigma2, Factor(rows.dimension, M, rows.device).L), per_token=per_token)

    def gains(self, *groups: Group) -> np.ndarray:
        group = groups[0]
        assert group.seen is not None
        return torch.linalg.solve_triangular(group.log_dets()[1], group.seen, upper=False).square_().sum((1, 2)).cpu().numpy()


class InformationRule(SweepingRule):
    """Nats of information about noisy observations at the target's rows A, a token or a record, with V from sigma2 I."""

    def __init__(self, rows: TokenEmbeddings, A: np.ndarray, sigma2: float = 1.0, *, per_token: bool = True) -> None:
        A = A.astype(np.float64)
        known = Candidates(rows, sigma2 * np.eye(rows.dimension) + A.T @ A)
        super().__init__(rows, Candidates(rows, sigma2), known, per_token=per_token)

    def gains(self, *groups: Group) -> np.ndarray:
        unknown, known = groups
        return unknown.log_dets()[0] - known.log_dets()[0]


def aimed(rule: Rule, nearest: np.ndarray | None = None, reach: float = 0.0) -> Iterator[Pick]:
    """Picks of a rule, one at a time, until the pool is empty; the lowest position among ties (relative 1e-9).

    The gain of a pick is what it adds to the rule's criterion, also where picks are compared a token.

    Args:
        nearest: (N,) positions, the nearest to the target first; only with `reach`.
        reach: candidates hold at most so many times the tokens spent so far (and HEAD_START); 0 looks at all.

    Raises:
        DesignError: rows that are not finite, or too uneven for float64.
    """
    rows = rule.rows
    order = np.arange(len(rows)) if nearest is None or not reach else nearest
    ends = np.cumsum(rows.tokens[order])
    free, reached, loaded, spent = np.ones(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool), 0, 0
    with suited_to(rows.dimension):
        for _ in range(len(rows)):
            within = int(np.searchsorted(ends, reach * (HEAD_START + spent), side="right")) if reach else len(rows)
            within = max(within, int(np.flatnonzero(free[order])[0]) + 1)  # never nothing to choose from
            reached[order[:within]] = True
            if within > loaded:
                ahead = int(np.searchsorted(ends, ends[within - 1] + AHEAD, side="right"))
                rule.load(order[loaded:ahead])
                loaded = ahead
            some = np.flatnonzero(reached & free)
            scores = rule.scores(some)
            best = float(scores.max())
            k = int(np.flatnonzero(scores >= best - TIE * abs(best))[0])
            position = int(some[k])
            free[position] = False
            spent += int(rows.tokens[position])
            rule.accept(position)
            yield Pick(position, float(scores[k]) * (int(rows.tokens[position]) if rule.per_token else 1), rule.evaluations)
