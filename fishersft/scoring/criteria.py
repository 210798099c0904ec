"""One selection under every criterion, so that a rule is not judged by its own alone.

    log det          f(S), nats gained over the empty selection: TokenOD's criterion (D-optimality)
                     of the sentence means, SentenceOD's; of rows weighted by the model's uncertainty, FisherOD's
    Stein's loss     how far the picks' second moment is from the pool's: MatchedOD's, with its default prior and ridge
    leverage         x^T V(S)^-1 x over every token row of the pool, largest (G-optimality) and mean (V-optimality)
    k-center radius  the largest distance of a sentence mean of the pool to the nearest selected one
    perplexity       exp of the mean loss of the selected tokens under the model, before any tuning
    topics           how many values of a column the picks cover
    with a target    tr(M_A V^-1), the mean prediction variance on it, and Stein's loss to it, M_A being the second moment of
                     its measuring half; the share of picks near it, and of picks on it where a column says so

Knows no selector: it takes positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat

import numpy as np
import torch

from fishersft.design.factor import Factor
from fishersft.design.greedy import Shard
from fishersft.design.information import design_matrix, log_det, optimum_bound, token_bound
from fishersft.design.matched import second_moment
from fishersft.design.rows import TokenEmbeddings
from fishersft.design.trajectory import designs_at
from fishersft.lm.losses import TokenStatistics

CRITERIA = {
    "sentences": "sentences",
    "tokens": "trained tokens",
    "log_det": "log det gained (nats)",
    "share_of_optimum": "guaranteed share of the optimum",
    "worst_leverage": "worst leverage",
    "mean_leverage": "mean leverage",
    "radius": "k-center radius",
    "perplexity": "perplexity of the picks",
    "topics": "topics covered",
    "sentence_log_det": "log det of the means (nats)",
    "fisher_log_det": "log det of the weighted rows (nats)",
    "stein_loss": "Stein's loss",
    "target_variance": "mean variance on the target",
    "target_stein_loss": "Stein's loss to the target",
    "near_target": "share of picks near the target",
    "on_target": "share of picks on target",
}
TARGET_CRITERIA = ("target_variance", "target_stein_loss", "near_target", "on_target")
HIGHER, LOWER = 1, -1  # which way is better; the others are facts, not goals
BETTER = {
    **dict.fromkeys(
        ("log_det", "share_of_optimum", "topics", "sentence_log_det", "fisher_log_det", "near_target", "on_target"), HIGHER
    ),
    **dict.fromkeys(("worst_leverage", "mean_leverage", "radius", "stein_loss", "target_variance", "target_stein_loss"), LOWER),
}
PRIOR_TOKENS, RIDGE = 20.0, 1e-3  # of Stein's loss
FIRST_ROWS = 1_024  # looked at first, where the worst leverage is likely; then twice as many, and so on
FEW = 16  # times d rows: a pool of so many is looked through, which takes less than bounds would
CHUNK = 2_048  # rows a product, so that it stays in the processor's cache
DISTANCES = 16_000_000  # computed at once
ROUNDING = 1e-5  # relative, of the float32 products


@dataclass(frozen=True)
class Scores:
    """A selection's values; NaN where a criterion cannot be had (no bound, no model, no topic column)."""

    sentences: int
    tokens: int
    log_det: float
    share_of_optimum: float
    worst_leverage: float
    mean_leverage: float
    radius: float
    perplexity: float
    topics: float
    sentence_log_det: float = np.nan
    fisher_log_det: float = np.nan
    stein_loss: float = np.nan
    target_variance: float = np.nan
    target_stein_loss: float = np.nan
    near_target: float = np.nan
    on_target: float = np.nan


@dataclass(frozen=True)
class Aim:
    """What a selection is measured against where the pool has a target.

    Attributes:
        moment: (d, d) M_A, the second moment of the target's measuring half, with its ridge.
        near: (N,) bool, whether a record of the pool is near the target.
        on: (N,) bool, whether it has the target's value in its column; None where no column says so.
    """

    moment: np.ndarray
    near: np.ndarray
    on: np.ndarray | None = None

    def shares(self, positions: np.ndarray) -> dict[str, float]:
        """The shares of some picks that are near the target and on it."""
        on = np.nan if self.on is None else float(self.on[positions].mean())
        return {"near_target": float(self.near[positions].mean()), "on_target": on}


@dataclass(frozen=True)
class Scorer:
    """Every criterion of any selection from one pool.

    `statistics` of the pool's tokens give perplexity and the weighted rows; `topics` are the pool's (N,) values of a column.
    """

    embeddings: TokenEmbeddings
    sigma2: float = 1.0
    statistics: TokenStatistics | None = None
    topics: np.ndarray | None = None
    aim: Aim | None = None

    @cached_property
    def moment(self) -> np.ndarray:
        """(d, d) the pool's second moment, with MatchedOD's ridge."""
        M = self.pool_moment.numpy()
        return M + RIDGE * np.trace(M) / len(M) * np.eye(len(M))

    @cached_property
    def pool_moment(self) -> torch.Tensor:
        """(d, d) mean of x x^T over the pool's rows, float64."""
        return torch.from_numpy(second_moment(self.embeddings, 0.0))

    @cached_property
    def squared_norms(self) -> np.ndarray:
        """(T,) |x|^2 of the pool's rows, float32: sigma2 times their leverage before anything is picked."""
        return np.concatenate([x.square_().sum(1).numpy() for x in self._chunks()])

    @cached_property
    def _references(self) -> dict[int, tuple[torch.Tensor, np.ndarray]]:
        return {}

    def __call__(self, positions: np.ndarray, bound: float = np.nan) -> Scores:
        """The scores of the records at `positions` of the pool; `bound` as `bound_at` gives it."""
        found = next(self.along(positions, [len(positions)]))
        return replace(found, share_of_optimum=min(1.0, found.log_det / bound) if bound > 0 else np.nan)

    def along(self, order: np.ndarray, at: Sequence[int] | np.ndarray) -> Iterator[Scores]:
        """The scores of the first at[0], at[1], ... positions in `order`, `at` ascending; sums go on from one to the next."""
        rows, d, statistics = self.embeddings, self.embeddings.dimension, self.statistics
        empty = d * float(np.log(self.sigma2))
        sentences = TokenEmbeddings(rows.means, np.arange(len(rows) + 1))
        designs = designs_at(rows, order, at, self.sigma2)
        of_means = designs_at(sentences, order, at, self.sigma2)
        of_unsure = repeat(None) if statistics is None else designs_at(self._unsure, order, at, self.sigma2)
        tokens = np.cumsum(rows.tokens[order])
        losses = None if statistics is None else np.cumsum(statistics.mean_losses[order].astype(np.float64) * rows.tokens[order])
        centred = torch.from_numpy(rows.means - rows.means.mean(0))
        nearest = torch.full((len(rows),), float("inf"))
        bounds, done, last = self.squared_norms * np.float32((1 + ROUNDING) / self.sigma2), 0, None
        for n, V, mean_design, unsure_design in zip(map(int, at), designs, of_means, of_unsure, strict=False):
            chosen = centred[torch.from_numpy(order[done:n])]
            size = max(1, DISTANCES // max(1, len(chosen)))
            for part, least in zip(centred.split(size), nearest.split(size), strict=True):
                torch.minimum(least, torch.cdist(part, chosen).min(1).values, out=least)
            done = n
            factor, count = Factor(d, V.numpy()), int(tokens[n - 1])
            if len(rows.values) > FEW * d:
                if last is not None:
                    bounds /= np.float32(max(1.0, _share(last, V)))
                reference, under = self._reference(count)
                np.minimum(bounds, under / np.float32(_share(reference, V)), out=bounds)
                last = factor.L
            inverse = torch.cholesky_inverse(factor.L)
            yield Scores(
                sentences=n,
                tokens=count,
                log_det=_log_det(factor.L) - empty,
                share_of_optimum=np.nan,
                worst_leverage=_worst(rows.values, bounds, factor),
                mean_leverage=float((inverse * self.pool_moment).sum()),
                radius=float(nearest.max()),
                perplexity=np.nan if losses is None else float(np.exp(losses[n - 1] / tokens[n - 1])),
                topics=np.nan if self.topics is None else float(len(set(self.topics[order[:n]].tolist()))),
                sentence_log_det=log_det(mean_design.numpy()) - empty,
                fisher_log_det=np.nan if unsure_design is None else log_det(unsure_design.numpy()) - empty,
                stein_loss=self._stein_loss(V, count),
                **self._aimed(V, inverse, count, order[:n]),
            )

    def _aimed(self, V: torch.Tensor, inverse: torch.Tensor, tokens: int, positions: np.ndarray) -> dict[str, float]:
        """What is measured on the target, where there is one."""
        if self.aim is None:
            return {}
        return {
            "target_variance": float((inverse.numpy() * self.aim.moment).sum()),
            "target_stein_loss": self._target_stein_loss(V, tokens),
            **self.aim.shares(positions),
        }

    @cached_property
    def _stein_loss(self) -> Callable[[torch.Tensor, int], float]:
        return _stein_to(torch.from_numpy(self.moment), self.sigma2)

    @cached_property
    def _target_stein_loss(self) -> Callable[[torch.Tensor, int], float]:
        assert self.aim is not None
        return _stein_to(torch.from_numpy(self.aim.moment), self.sigma2)

    @cached_property
    def _unsure(self) -> TokenEmbeddings:
        """The pool's rows, weighted by what the model does not know."""
        assert self.statistics is not None
        return self.embeddings.weighted(np.sqrt(np.clip(1 - self.statistics.confidence.astype(np.float64), 0, 1)))

    def _chunks(self) -> Iterator[torch.Tensor]:
        """The pool's rows in float32, a few at a time."""
        values = self.embeddings.values
        for start in range(0, len(values), CHUNK):
            yield torch.from_numpy(np.array(values[start : start + CHUNK])).float()

    def _reference(self, tokens: int) -> tuple[torch.Tensor, np.ndarray]:
        """A design as large as one of `tokens` rows drawn at random has about: its Cholesky factor, and (T,) upper bounds on
        the leverages under it.  Kept for a few sizes, and shared by all selections."""
        size = 4 ** int(np.log(max(1, tokens)) / np.log(4))
        if size not in self._references:
            V = self.sigma2 * torch.eye(self.embeddings.dimension, dtype=torch.float64) + size * self.pool_moment
            factor = Factor(len(V), V.numpy())
            each = [factor.screen(x)[0].square_().sum(1).numpy() for x in self._chunks()]
            self._references[size] = factor.L, np.concatenate(each) * np.float32(1 + ROUNDING)
        return self._references[size]


def stein_loss(V: np.ndarray, moment: np.ndarray, tokens: int, sigma2: float = 1.0) -> float:
    """tr(M^-1 S/t) - log det(M^-1 S/t) - d for the picks' rows in V; S and t start from `PRIOR_TOKENS` of the pool's M."""
    return _stein_to(torch.from_numpy(moment), sigma2)(torch.from_numpy(V), tokens)


def _stein_to(M: torch.Tensor, sigma2: float) -> Callable[[torch.Tensor, int], float]:
    """`stein_loss` of V and its tokens, with the part of M done once."""
    root = torch.linalg.cholesky(M)
    inverse, size = torch.cholesky_inverse(root), _log_det(root)

    def loss(V: torch.Tensor, tokens: int) -> float:
        S = V + PRIOR_TOKENS * M
        S.diagonal().sub_(sigma2)
        S /= PRIOR_TOKENS + tokens
        return float((inverse * S).sum()) - _log_det(torch.linalg.cholesky(S)) + size - len(M)

    return loss


def _log_det(L: torch.Tensor) -> float:
    return float(2 * L.diagonal().log().sum())


def _share(L: torch.Tensor, V: torch.Tensor) -> float:
    """The largest a with V >= a L L^T: then no row's leverage under V is above 1/a times that under L L^T."""
    half = torch.linalg.solve_triangular(L, V, upper=False)
    return float(torch.linalg.eigvalsh(torch.linalg.solve_triangular(L, half.T, upper=False))[0]) * (1 - ROUNDING)


def _worst(values: np.ndarray, bounds: np.ndarray, factor: Factor) -> float:
    """The largest x^T V^-1 x over rows of the pool; `bounds` on each are valid before and sharper after.

    Looked for among the rows whose bound is highest, and then only among those whose bound still reaches the largest found.
    """

    def look(some: np.ndarray) -> float:
        for start in range(0, len(some), CHUNK):
            chunk = some[start : start + CHUNK]
            bounds[chunk] = factor.screen(torch.from_numpy(values[chunk]).float())[0].square_().sum(1).numpy()
        return float(bounds[some].max())

    first = min(FIRST_ROWS, len(bounds))
    best = look(np.sort(np.argpartition(-bounds, first - 1)[:first]))
    rest = np.flatnonzero(bounds > best * (1 + ROUNDING))
    rest = rest[np.argsort(-bounds[rest])]
    start, size = 0, 2 * FIRST_ROWS
    while start < len(rest) and bounds[rest[start]] > best:
        best = max(best, look(np.sort(rest[start : start + size])))
        start, size = start + size, 2 * size
    return best


def bound_at(embeddings: TokenEmbeddings, positions: np.ndarray, *, sigma2: float = 1.0, tokens: int | None = None) -> float:
    """No selection of as many sentences (or of at most `tokens` tokens) gains more nats; the better S, the sharper the bound."""
    d = embeddings.dimension
    V = design_matrix([np.concatenate([embeddings.block(int(p)) for p in positions])], d, sigma2)
    f = log_det(V) - d * float(np.log(sigma2))
    outside = np.ones(len(embeddings), dtype=bool)
    outside[positions] = False
    gains = Shard(embeddings, V).bounds[outside]
    if tokens is None:
        return optimum_bound(f, gains, len(positions))
    return token_bound(f, gains, embeddings.tokens[outside], tokens)


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Shared members over all members of two sets of positions, 0 to 1."""
    both = len(np.intersect1d(a, b))
    return both / (len(a) + len(b) - both)
