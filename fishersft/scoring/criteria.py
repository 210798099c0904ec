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

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from fishersft.design.factor import Factor
from fishersft.design.greedy import Shard
from fishersft.design.information import design_matrix, log_det, optimum_bound, token_bound
from fishersft.design.matched import second_moment
from fishersft.design.rows import TokenEmbeddings
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
        return second_moment(self.embeddings, RIDGE)

    @cached_property
    def pool_moment(self) -> torch.Tensor:
        """(d, d) mean of x x^T over the pool's rows, float64."""
        return torch.from_numpy(second_moment(self.embeddings, 0.0))

    @cached_property
    def squared_norms(self) -> np.ndarray:
        """(T,) |x|^2 of the pool's rows, float32: sigma2 times their leverage before anything is picked."""
        rows = self.embeddings.values
        parts = (rows[start : start + 8_192].astype(np.float32) for start in range(0, len(rows), 8_192))
        return np.concatenate([np.einsum("td,td->t", part, part) for part in parts])

    def __call__(self, positions: np.ndarray, bound: float = np.nan) -> Scores:
        """The scores of the records at `positions` of the pool; `bound` as `bound_at` gives it."""
        rows, d, statistics, topics = self.embeddings, self.embeddings.dimension, self.statistics, self.topics
        empty = d * float(np.log(self.sigma2))
        X = np.concatenate([rows.block(int(p)) for p in positions])
        V = design_matrix([X], d, self.sigma2)
        f = log_det(V) - empty
        worst, mean = _leverage(rows, V)
        loss = fisher = np.nan
        if statistics is not None:
            tokens = rows.tokens[positions]
            loss = float((statistics.mean_losses[positions] * tokens).sum() / tokens.sum())
            confidence = np.concatenate([statistics.confidence[rows.rows_of(int(p))] for p in positions])
            unsure = np.sqrt(np.clip(1 - confidence.astype(np.float64), 0, 1))
            fisher = log_det(design_matrix([X * unsure[:, None]], d, self.sigma2)) - empty
        return Scores(
            sentences=len(positions),
            tokens=len(X),
            log_det=f,
            share_of_optimum=min(1.0, f / bound) if bound > 0 else np.nan,
            worst_leverage=worst,
            mean_leverage=mean,
            radius=k_center_radius(rows.means, positions),
            perplexity=float(np.exp(loss)),
            topics=np.nan if topics is None else float(len(set(topics[positions].tolist()))),
            sentence_log_det=log_det(design_matrix([rows.means[positions]], d, self.sigma2)) - empty,
            fisher_log_det=fisher,
            stein_loss=stein_loss(V, self.moment, len(X), self.sigma2),
            **self._aimed(V, positions),
        )

    def _aimed(self, V: np.ndarray, positions: np.ndarray) -> dict[str, float]:
        """What is measured on the target, where there is one."""
        if self.aim is None:
            return {}
        return {
            "target_variance": float(np.trace(np.linalg.solve(V, self.aim.moment))),
            "target_stein_loss": stein_loss(V, self.aim.moment, int(self.embeddings.tokens[positions].sum()), self.sigma2),
            **self.aim.shares(positions),
        }


def stein_loss(V: np.ndarray, moment: np.ndarray, tokens: int, sigma2: float = 1.0) -> float:
    """tr(M^-1 S/t) - log det(M^-1 S/t) - d for the picks' rows in V; S and t start from `PRIOR_TOKENS` of the pool's M."""
    d, t = len(V), PRIOR_TOKENS + tokens
    S = (V - sigma2 * np.eye(d) + PRIOR_TOKENS * moment) / t
    return float(np.trace(np.linalg.solve(moment, S))) - log_det(S) + log_det(moment) - d


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


def _leverage(embeddings: TokenEmbeddings, V: np.ndarray) -> tuple[float, float]:
    """Largest and mean x^T V^-1 x over every row of the pool (float32 products)."""
    factor = Factor(embeddings.dimension, V, embeddings.device)
    worst = total = 0.0
    for some in embeddings.batches():
        X, _ = embeddings.stacked(some.tolist(), torch.float32)
        each = factor.screen(X)[0].square_().sum(1)
        worst = max(worst, float(each.max()))
        total += float(each.double().sum())
    return worst, total / float(embeddings.offsets[-1])


def k_center_radius(means: np.ndarray, positions: np.ndarray) -> float:
    """The largest distance of a row of `means`, (N, d), to the nearest of those at `positions`."""
    centred = torch.from_numpy(means - means.mean(0))
    chosen = centred[torch.from_numpy(np.asarray(positions))]
    return float(max(torch.cdist(part, chosen).min(1).values.max() for part in centred.split(4_096)))


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Shared members over all members of two sets of positions, 0 to 1."""
    both = len(np.intersect1d(a, b))
    return both / (len(a) + len(b) - both)
