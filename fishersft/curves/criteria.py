"""One selection under every criterion, so that a rule is not judged by its own alone.

    log det          f(S), nats gained over the empty selection: TokenOD's criterion (D-optimality)
    leverage         x^T V(S)^-1 x over every token row of the pool, largest (G-optimality) and mean (V-optimality)
    k-center radius  the largest distance of a sentence mean of the pool to the nearest selected one
    perplexity       exp of the mean loss of the selected tokens under the model, before any tuning
    topics           how many values of a column the picks cover

Knows no selector: it takes positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fishersft.design.blocks import Blocks
from fishersft.design.certificate import optimum_bound, token_bound
from fishersft.design.factor import Factor
from fishersft.design.greedy import Shard
from fishersft.design.information import design_matrix, log_det
from fishersft.lm.embed import TokenEmbeddings
from fishersft.lm.statistics import TokenStatistics

CRITERIA = {
    "sentences": "sentences",
    "tokens": "trained tokens",
    "log_det": "log det gained (nats)",
    "share_of_optimum": "at least so much of the optimum",
    "worst_leverage": "worst leverage",
    "mean_leverage": "mean leverage",
    "radius": "k-center radius",
    "perplexity": "perplexity of the picks",
    "topics": "topics covered",
}


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


def scores(
    embeddings: TokenEmbeddings,
    positions: np.ndarray,
    *,
    sigma2: float = 1.0,
    bound: float = np.nan,
    statistics: TokenStatistics | None = None,
    topics: np.ndarray | None = None,
    device: str = "cpu",
) -> Scores:
    """Every criterion of the records at `positions` of the pool.

    Args:
        bound: upper bound on f at this budget (`bound_at`).
        topics: (N,) the pool's values of a column.
    """
    d = embeddings.dimension
    V = design_matrix([np.concatenate([embeddings.block(int(p)) for p in positions])], d, sigma2)
    f = log_det(V) - d * float(np.log(sigma2))
    worst, mean = _leverage(embeddings, V, device)
    loss = np.nan
    if statistics is not None:
        tokens = embeddings.tokens[positions]
        loss = float((statistics.mean_losses[positions] * tokens).sum() / tokens.sum())
    return Scores(
        sentences=len(positions),
        tokens=int(embeddings.tokens[positions].sum()),
        log_det=f,
        share_of_optimum=min(1.0, f / bound) if bound > 0 else np.nan,
        worst_leverage=worst,
        mean_leverage=mean,
        radius=k_center_radius(embeddings.means, positions),
        perplexity=float(np.exp(loss)),
        topics=np.nan if topics is None else float(len(set(topics[positions].tolist()))),
    )


def bound_at(
    embeddings: TokenEmbeddings, positions: np.ndarray, *, sigma2: float = 1.0, tokens: int | None = None, device: str = "cpu"
) -> float:
    """No selection of as many sentences (or of at most `tokens` tokens) gains more than this, nats; sharp where S is good."""
    d = embeddings.dimension
    V = design_matrix([np.concatenate([embeddings.block(int(p)) for p in positions])], d, sigma2)
    f = log_det(V) - d * float(np.log(sigma2))
    outside = np.ones(len(embeddings), dtype=bool)
    outside[positions] = False
    gains = Shard(embeddings.values, embeddings.offsets, V, device=device).bounds[outside]
    if tokens is None:
        return optimum_bound(f, gains, len(positions))
    return token_bound(f, gains, embeddings.tokens[outside], tokens)


def _leverage(embeddings: TokenEmbeddings, V: np.ndarray, device: str) -> tuple[float, float]:
    """Largest and mean x^T V^-1 x over every row of the pool (float32 products)."""
    import torch

    blocks = Blocks(embeddings.values, embeddings.offsets, None, device)
    factor = Factor(blocks.d, V, device)
    worst = total = 0.0
    for some in blocks.batches():
        X, _ = blocks.rows(some.tolist(), torch.float32)
        each = factor.screen(X)[0].square_().sum(1)
        worst = max(worst, float(each.max()))
        total += float(each.double().sum())
    return worst, total / float(embeddings.offsets[-1])


def k_center_radius(means: np.ndarray, positions: np.ndarray) -> float:
    """The largest distance of a row of `means` (N, d) to the nearest of those at `positions`."""
    import torch

    centred = torch.from_numpy(means - means.mean(0))
    chosen = centred[torch.from_numpy(np.asarray(positions))]
    return float(max(torch.cdist(part, chosen).min(1).values.max() for part in centred.split(4_096)))


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Shared members over all members of two sets of positions, 0 to 1."""
    both = len(np.intersect1d(a, b))
    return both / (len(a) + len(b) - both)
