"""Designs for a target: greedy rules that ask what the picks say about given rows A, not about the pool.

    matched to the target   largest fall of Stein's loss of S/t against the target's second moment M_A (ours; see `matched.py`)
    V-optimal               largest fall of tr(M_A V^-1), the mean prediction variance on the target; VTL in SIFT (Huebotter
                            et al. 2025, arXiv 2410.08020), I- or V-optimality in the literature on designs
    information about it    largest log det(I + X V^-1 X^T) - log det(I + X (V + A^T A)^-1 X^T), nats: what the pick tells
                            about noisy observations at A; ITL (Huebotter et al. 2024, arXiv 2402.15898)

M_A is the mean over target texts of X^T X / m, so that each text weighs the same, long or short, as in a mean over texts of
nats a token.  Each rule may be taken a token, as the selectors do unless told otherwise: whole records favour the longest.

The last two are not submodular, so an old score bounds nothing: each pick screens every candidate, in float32, by matrices
that are kept up to date, and decides in float64 among those that rounding cannot tell apart.  Hence also the *reach*: a rule
may look only at the records nearest to the target, as far as `reach` times the tokens spent so far (and HEAD_START more).  It
depends on no budget, so budgets stay prefixes of one order.

Nearness is that of RDS+ (Ivison et al. 2025, arXiv 2503.01807): the cosine of position-weighted means of rows, each target
text in turn taking its nearest free record.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import torch

from fishersft.design.factor import Factor, suited_to
from fishersft.design.greedy import Pick
from fishersft.design.information import TIE
from fishersft.design.matched import Matching
from fishersft.design.rows import TokenEmbeddings, check_finite, log_dets, padded
from fishersft.errors import DesignError

HEAD_START = 2_000  # tokens that count as spent before the first pick, so that it has something to choose from
AHEAD = 2_048  # tokens of records that are loaded before they are candidates, so that groups are not tiny
RANKED = 1_024  # nearest records put in order at first
LOOKED_AT = 64  # of them looked at together for those that are free
COLUMNS = 48  # of a pick that are taken in together
MARGIN = 16 * 2.0**-24  # of what rounding to float32 may do to a sum
WORN = 1e4  # times what rounding did at first, after which what is kept is made afresh
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
    taken = np.zeros(len(similarity), dtype=bool)
    queues = [_ranked(column, taken) for column in similarity.T[turns]]
    for turn in range(len(similarity)):
        position = next(queues[turn % len(queues)])
        taken[position] = True
        yield position


def _ranked(column: np.ndarray, taken: np.ndarray) -> Iterator[int]:
    """Positions that nobody took, from the largest value to the smallest, put in order only as far as they are asked for."""
    done, size = 0, RANKED
    while done < len(column):
        if size < len(column):
            least = np.partition(column, len(column) - size)[len(column) - size]
            some = np.flatnonzero(column >= least)
        else:
            some = np.arange(len(column))
        order = some[np.argsort(-column[some], kind="stable")]
        for start in range(done, len(order), LOOKED_AT):
            part = order[start : start + LOOKED_AT]
            yield from (p for p in part[~taken[part]].tolist() if not taken[p])
        done, size = len(order), size * 4


class Candidates:
    """Blocks of the pool under a design V: (I + X V^-1 X^T)^-1 of each, kept in float32 as V grows, for screening.

    A pick X_p turns V^-1 into V^-1 - Y Y^T.  With C = X Y, m x m_p, the inverse H becomes H + H C (I - C^T H C)^-1 C^T H
    (Woodbury), and log det(I + X V^-1 X^T) changes by log det(I - C^T H C): products, and factors of small matrices.

    Args:
        prior: sigma2, or the (d, d) matrix that V starts from.
        aim: (d, d) M_A; then X V^-1 M_A V^-1 X^T is kept too.
    """

    def __init__(self, rows: TokenEmbeddings, prior: float | np.ndarray, aim: np.ndarray | None = None) -> None:
        self.rows, self.groups = rows, list[Group]()
        self.factor = Factor(rows.dimension, prior, rows.device)
        self._aim = None if aim is None else torch.from_numpy(aim).to(rows.device)
        self._root = None if aim is None else Factor(rows.dimension, aim, rows.device).L  # M_A = R R^T
        self._seen_root: tuple[torch.Tensor, torch.Tensor] | None = None  # whitened under V as it is

    def load(self, positions: np.ndarray) -> None:
        """Take some records among the candidates."""
        self.groups += [self._group(some) for some in self.rows.batches(positions)]

    def accept(self, position: int) -> None:
        """A record was picked."""
        X, _ = self._block(np.array([position]))
        Y = self.factor.change(X)
        E = None
        if self._aim is not None:  # X V^-1 M_A V^-1 X^T loses C D^T + D C^T, with D = X E
            seen = self._aim @ Y
            E = (self.factor.solve(seen) - Y @ (Y.T @ seen) / 2).float()
        self.factor.add(X)
        self._seen_root = None
        for k, group in enumerate(self.groups):
            group.free &= group.positions != position
            group.change(Y.float(), E)
            if group.worn:
                self.groups[k] = self._group(group.positions, group.free)

    def exact(self, some: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(k,) float64 log det(I + X V^-1 X^T), and the fall of tr(M_A V^-1) that each would bring, where M_A is looked at."""
        log_dets, falls = np.empty(len(self.rows)), np.empty(len(self.rows))
        for part in self.rows.batches(some):
            gram, seen, _ = self._seen(part)
            log_dets[part], factors = _log_dets(gram)
            if seen is not None:
                falls[part] = torch.linalg.solve_triangular(factors, seen, upper=False).square_().sum((1, 2)).cpu().numpy()
        return log_dets[some], None if self._root is None else falls[some]

    def _group(self, some: np.ndarray, free: np.ndarray | None = None) -> Group:
        gram, seen, X = self._seen(some)
        return Group(some, X.float(), gram, None if seen is None else seen @ seen.mT, free)

    def _seen(self, some: np.ndarray) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """I + X V^-1 X^T (k, m, m), X V^-1 R (k, m, d) and X (k, m, d) of records of like length."""
        X, lengths = self._block(some)
        Z, P = (padded(part, lengths) for part in self.factor.whiten(X))
        gram = Z @ Z.mT - P @ P.mT
        gram.diagonal(dim1=-2, dim2=-1).add_(1.0)
        seen = None
        if self._root is not None:
            self._seen_root = self._seen_root or self.factor.whiten(self._root.T)
            seen = Z @ self._seen_root[0].T - P @ self._seen_root[1].T
        return gram, seen, padded(X, lengths)

    def _block(self, some: np.ndarray) -> tuple[torch.Tensor, list[int]]:
        """Rows of some records, at most d of each: no rule here depends on more than X^T X."""
        return self.rows.stacked(some.tolist(), torch.float64, self.rows.dimension)


class Group:
    """k candidates of like length m, from float64 matrices that are kept in float32.

    Attributes:
        positions: (k,) in the pool.
        free: (k,) bool, those that were not picked.
        X: (k, m, d) their rows.
        log_dets: (k,) float64 log det(I + X V^-1 X^T).
        inverse: (k, m, m) of I + X V^-1 X^T.
        aimed: (k, m, m) X V^-1 M_A V^-1 X^T, where it is kept.
    """

    def __init__(
        self, positions: np.ndarray, X: torch.Tensor, gram: torch.Tensor, aimed: torch.Tensor | None, free: np.ndarray | None
    ) -> None:
        self.positions, self.X = positions, X
        self.free = np.ones(len(positions), dtype=bool) if free is None else free
        self.log_dets, inverse, _ = _inverses(gram)
        self.inverse = inverse.float().contiguous()
        self.aimed = None if aimed is None else aimed.float()
        self._growth, self._lost, self._norm = np.ones(len(positions)), self._size, _norms(X)

    def change(self, Y: torch.Tensor, E: torch.Tensor | None) -> None:
        """V^-1 loses Y Y^T; Y and E are (d, m_p), as in `Candidates`."""
        norm = self._norm * float(Y.norm())
        if self.aimed is None or E is None:
            C = self.X @ Y
        else:
            both = self.X @ torch.cat([Y, E], 1)
            C, D = both.split(Y.shape[1], -1)
            self.aimed.baddbmm_(both, torch.cat([D, C], -1).mT, alpha=-1)
            self._lost += norm * _norms(D) + self._norm * float(E.norm()) * _norms(C)
        for some in C.split(COLUMNS, -1):
            B = (some.mT @ self.inverse).mT
            small = torch.baddbmm(torch.eye(some.shape[-1], dtype=B.dtype, device=B.device), some.mT, B, alpha=-1)
            change, middle, least = _inverses(small)
            self.inverse.baddbmm_(B @ middle, B.mT)
            self.log_dets += change
            self._growth = (self._growth + norm * _norms(some)) / least

    @property
    def error(self) -> np.ndarray:
        """(k,) how far `log_dets`, or sums over `inverse` and `aimed`, may be off by rounding."""
        return MARGIN * (self._growth * self._size + self._lost)

    @property
    def worn(self) -> bool:
        """Whether adding and subtracting has cost so many digits that what is kept is better made afresh."""
        return not (self.error <= WORN * 2 * MARGIN * self._size)[self.free].all()

    @property
    def _size(self) -> np.ndarray:
        """(k,) sums of squares that shrink as V grows, where M_A is looked at."""
        if self.aimed is None:
            return np.ones(len(self.positions))
        out: np.ndarray = self.aimed.diagonal(dim1=-2, dim2=-1).sum(-1).double().cpu().numpy()
        return out


def _norms(matrices: torch.Tensor) -> np.ndarray:
    """(k,) Frobenius norms."""
    out: np.ndarray = torch.linalg.matrix_norm(matrices).double().cpu().numpy()
    return out


def _log_dets(matrices: torch.Tensor) -> tuple[np.ndarray, torch.Tensor]:
    """As `log_dets`, with factors of NaN where a matrix is not positive definite."""
    found, factors = log_dets(matrices)
    failed = np.isnan(found)
    if failed.any():
        factors[torch.from_numpy(failed).to(factors.device)] = float("nan")
    return found, factors


def _inverses(matrices: torch.Tensor) -> tuple[np.ndarray, torch.Tensor, np.ndarray]:
    """(k,) log det, (k, m, m) inverse and (k,) smallest pivot of positive definite matrices; NaN where one is not."""
    found, factors = _log_dets(matrices)
    least = factors.diagonal(dim1=-2, dim2=-1).amin(-1).square().double().cpu().numpy()
    return found, torch.cholesky_inverse(factors), least


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
    """The fall of Stein's loss of S/t against M, (d, d), a token or a record, with S from `prior_tokens` of M (`matched.py`)."""

    def __init__(self, rows: TokenEmbeddings, M: np.ndarray, prior_tokens: float = 20.0, *, per_token: bool = True) -> None:
        super().__init__(rows, per_token=per_token)
        self.design = Matching(rows, M, prior_tokens, per_token=per_token, later=True)

    def load(self, positions: np.ndarray) -> None:
        self.design.load(positions)

    def scores(self, some: np.ndarray) -> np.ndarray:
        self.design.outside[:] = False
        self.design.outside[some] = True
        out = np.full(len(self.rows), -np.inf)
        for contender in self.design.propose():
            out[contender.position] = contender.score
        self.evaluations = self.design.evaluations
        return out[some]

    def accept(self, position: int) -> None:
        self.design.accept(position, self.design.block(position))


class SweepingRule(Rule):
    """A rule for which an old score bounds nothing, so that each pick looks at all candidates, under one design or more.

    They are screened in float32; those that rounding may hide the best among are decided in float64.
    """

    def __init__(self, rows: TokenEmbeddings, *designs: Candidates, per_token: bool) -> None:
        super().__init__(rows, per_token=per_token)
        self.designs = designs

    @abstractmethod
    def screened(self, *groups: Group) -> tuple[np.ndarray, np.ndarray]:
        """(k,) what each of a group of candidates, which is given under each design, adds to the criterion, and how far off."""

    @abstractmethod
    def exact(self, some: np.ndarray) -> np.ndarray:
        """(k,) float64 what each of some records adds to the criterion."""

    def load(self, positions: np.ndarray) -> None:
        for design in self.designs:
            design.load(positions)

    def scores(self, some: np.ndarray) -> np.ndarray:
        value, error = np.full(len(self.rows), -np.inf), np.zeros(len(self.rows))
        for groups in zip(*(design.groups for design in self.designs), strict=True):
            at = groups[0].positions
            value[at], error[at] = self.screened(*groups)
            self.evaluations += len(at)
        share = self.rows.tokens[some] if self.per_token else np.ones(len(some))
        value, error = value[some] / share, error[some] / share
        check_finite(value)
        out, least = np.full(len(some), -np.inf), (value - error).max()
        near = np.flatnonzero(value + error >= least)
        out[near] = self.exact(some[near]) / share[near]
        if (np.abs(out[near] - value[near]) > error[near]).any():  # rounding did more than it may: nothing is screened
            out = self.exact(some) / share
        return out

    def accept(self, position: int) -> None:
        for design in self.designs:
            design.accept(position)


class VarianceRule(SweepingRule):
    """The fall of tr(M_A V^-1), a token or a record, with V from sigma2 I."""

    def __init__(self, rows: TokenEmbeddings, M: np.ndarray, sigma2: float = 1.0, *, per_token: bool = True) -> None:
        super().__init__(rows, Candidates(rows, sigma2, M), per_token=per_token)

    def screened(self, *groups: Group) -> tuple[np.ndarray, np.ndarray]:
        group = groups[0]
        assert group.aimed is not None
        return (group.inverse * group.aimed).sum((1, 2)).double().cpu().numpy(), group.error

    def exact(self, some: np.ndarray) -> np.ndarray:
        falls = self.designs[0].exact(some)[1]
        assert falls is not None
        return falls


class InformationRule(SweepingRule):
    """Nats of information about noisy observations at the target's rows A, a token or a record, with V from sigma2 I."""

    def __init__(self, rows: TokenEmbeddings, A: np.ndarray, sigma2: float = 1.0, *, per_token: bool = True) -> None:
        A = A.astype(np.float64)
        known = Candidates(rows, sigma2 * np.eye(rows.dimension) + A.T @ A)
        super().__init__(rows, Candidates(rows, sigma2), known, per_token=per_token)

    def screened(self, *groups: Group) -> tuple[np.ndarray, np.ndarray]:
        unknown, known = groups
        return unknown.log_dets - known.log_dets, unknown.error + known.error

    def exact(self, some: np.ndarray) -> np.ndarray:
        unknown, known = (design.exact(some)[0] for design in self.designs)
        return unknown - known


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
