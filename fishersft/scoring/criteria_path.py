"""Every criterion along one order, after so many of its first picks: what `criteria.scores` gives at each of them, sooner.

Sums go on from one budget to the next.  Leverage only falls as rows are added, so a row's older leverage bounds its new one:
the largest is looked for among the rows whose bound still reaches it, as lazy greedy does.  Knows no selector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from fishersft.design.information import as_rows, check_sigma2
from fishersft.scoring.criteria import PRIOR_TOKENS, Scorer, Scores

FIRST_ROWS = 1_024  # looked at first, where the worst leverage is likely; then twice as many, and so on
CHUNK = 2_048  # rows a product, so that it stays in the processor's cache
ROUNDING = 1e-5  # relative, of the float32 products


def scores_along(scorer: Scorer, order: np.ndarray, at: Sequence[int] | np.ndarray) -> Iterator[Scores]:
    """The scores of the first at[0], at[1], ... of the positions in `order`; `at` ascending, from 1."""
    rows, d, statistics = scorer.embeddings, scorer.embeddings.dimension, scorer.statistics
    V, means, unsure = (torch.eye(d, dtype=torch.float64) * check_sigma2(scorer.sigma2) for _ in range(3))
    empty = d * float(np.log(scorer.sigma2))
    moment, ridged = scorer.pool_moment, torch.from_numpy(scorer.moment)
    root = torch.linalg.cholesky(ridged)
    ridged_inverse, ridged_log_det = torch.cholesky_inverse(root), _log_det(root)
    centred = torch.from_numpy(rows.means - rows.means.mean(0))
    nearest = torch.full((len(rows),), float("inf"))
    bounds = scorer.squared_norms * np.float32((1 + ROUNDING) / scorer.sigma2)
    tokens = np.cumsum(rows.tokens[order])
    losses = None if statistics is None else np.cumsum(statistics.mean_losses[order].astype(np.float64) * rows.tokens[order])
    done = 0

    def stein_loss(n: int) -> float:  # as `criteria.stein_loss`, with M's part done once
        S = V + PRIOR_TOKENS * ridged
        S.diagonal().sub_(scorer.sigma2)
        S /= PRIOR_TOKENS + int(tokens[n - 1])
        return float((ridged_inverse * S).sum()) - _log_det(torch.linalg.cholesky(S)) + ridged_log_det - d

    for n in map(int, at):
        new = order[done:n]
        X = as_rows(np.concatenate([rows.block(int(p)) for p in new]))
        V.addmm_(X.T, X)
        if statistics is not None:
            sure = np.concatenate([statistics.confidence[rows.rows_of(int(p))] for p in new]).astype(np.float64)
            X *= torch.from_numpy(np.sqrt(np.clip(1 - sure, 0, 1)))[:, None]
            unsure.addmm_(X.T, X)
        m = as_rows(rows.means[new])
        means.addmm_(m.T, m)
        nearest = torch.minimum(nearest, torch.cdist(centred, centred[torch.from_numpy(new)]).min(1).values)
        L = torch.linalg.cholesky(V)
        done = n
        yield Scores(
            sentences=n,
            tokens=int(tokens[n - 1]),
            log_det=_log_det(L) - empty,
            share_of_optimum=np.nan,
            worst_leverage=_worst(rows.values, bounds, L),
            mean_leverage=float((torch.cholesky_inverse(L) * moment).sum()),
            radius=float(nearest.max()),
            perplexity=np.nan if losses is None else float(np.exp(losses[n - 1] / tokens[n - 1])),
            topics=np.nan if scorer.topics is None else float(len(set(scorer.topics[order[:n]].tolist()))),
            sentence_log_det=_log_det(torch.linalg.cholesky(means)) - empty,
            fisher_log_det=np.nan if statistics is None else _log_det(torch.linalg.cholesky(unsure)) - empty,
            stein_loss=stein_loss(n),
        )


def _log_det(L: torch.Tensor) -> float:
    return float(2 * L.diagonal().log().sum())


def _worst(values: np.ndarray, bounds: np.ndarray, L: torch.Tensor) -> float:
    """The largest x^T V^-1 x over rows of the pool, V = L L^T; `bounds` are valid before and sharper after."""
    inverse = torch.linalg.solve_triangular(L.float(), torch.eye(len(L)), upper=False).T.contiguous()

    def look(some: np.ndarray) -> float:
        for start in range(0, len(some), CHUNK):
            chunk = some[start : start + CHUNK]
            rows = torch.from_numpy(values[chunk].astype(np.float32))
            bounds[chunk] = torch.linalg.vector_norm(rows @ inverse, dim=1).square().numpy()
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
