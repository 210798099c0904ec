"""Other ways to the picks of Algorithm 1, each as quick as its idea allows; what ours is measured against.

Each is a generator that reports its work as it goes, so that a time box can stop it anywhere (`experiments/timing.py`, which has
Algorithm 1 itself).  All decide in float64 and break ties as `design/greedy.py` does, so their picks must be ours.

Sources: FisherSFT (arXiv 2505.14826), Algorithms 1 and 2; Chen, Zhang and Zhou 2018 (NeurIPS), Algorithm 1; Hemmi, Oki,
Sakaue, Fujii and Iwata 2022 (arXiv 2206.05947), LazyFastGreedy.
Our reading of Algorithm 2, whose listing was not at hand: mini-batches in index order, a batch recomputed only where its
largest cached gain beats the best found this round.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
import torch

from fishersft.design.information import TIE
from fishersft.design.rows import TokenEmbeddings, log_dets, padded
from fishersft.experiments.timing import Boxed, Progressed, first_best

MEASURED = "measured"
SCAN_BATCH = 8  # sentences of a mini-batch of the index scan: its quickest of 8, 16, 32 and 64 where we tried
SLACK = 2 * TIE  # cached gains carry rounding: whoever comes this close is recomputed


def naive(rows: TokenEmbeddings, sigma2: float = 1.0) -> Iterator[Progressed]:
    """log det(I + X_i V^-1 X_i^T) of every sentence, every pick: large products for X V^-1, then small Choleskys in batches.

    All rows are held in float64 and padded to batches of like length once, so a pick costs little but its algebra.
    """
    batches = [(some, padded(*rows.stacked(some.tolist(), torch.float64))) for some in rows.batches()]
    V = torch.eye(rows.dimension, dtype=torch.float64, device=rows.device) * sigma2
    outside = np.ones(len(rows), dtype=bool)
    evaluations = 0
    yield Progressed(None, 0)
    while outside.any():
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(V))
        gains = np.empty(len(rows))
        for some, X in batches:
            gains[some] = log_det_1p((X.view(-1, rows.dimension) @ inverse).view_as(X) @ X.mT)
            evaluations += len(some)
            yield Progressed(None, evaluations)
        gains[~outside] = -np.inf
        best = first_best(gains)
        outside[best] = False
        X, _ = rows.stacked([best], torch.float64)
        V.addmm_(X.T, X)
        yield Progressed(best, evaluations)


def index_scan(rows: TokenEmbeddings, sigma2: float = 1.0, batch: int = SCAN_BATCH) -> Iterator[Progressed]:
    """Algorithm 2 as we read it: cached gains, mini-batches in index order, a batch passed over where its cache cannot win."""
    V = torch.eye(rows.dimension, dtype=torch.float64, device=rows.device) * sigma2
    outside = np.ones(len(rows), dtype=bool)
    cached = np.full(len(rows), np.inf)
    evaluations = 0
    yield Progressed(None, 0)
    while outside.any():
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(V))
        fresh = np.full(len(rows), -np.inf)
        best = -np.inf
        for start in range(0, len(rows), batch):
            some = start + np.flatnonzero(outside[start : start + batch])
            if not len(some) or (best > -np.inf and cached[some].max() < best - SLACK * abs(best)):
                continue
            X, lengths = rows.stacked(some.tolist(), torch.float64)
            cached[some] = fresh[some] = log_det_1p(padded(X @ inverse, lengths) @ padded(X, lengths).mT)
            best = max(best, float(fresh[some].max()))
            evaluations += len(some)
            yield Progressed(None, evaluations)
        pick = first_best(fresh)
        outside[pick] = False
        X, _ = rows.stacked([pick], torch.float64)
        V.addmm_(X.T, X)
        yield Progressed(pick, evaluations)


def fast_map(rows: torch.Tensor, n: int, sigma2: float = 1.0) -> Iterator[Progressed]:
    """Fast greedy MAP of a determinantal point process with kernel X X^T + sigma2 I; one row an item, O(N (d + n)) a pick.

    log det(sigma2 I + X_S X_S^T) and log det(sigma2 I + X_S^T X_S) differ by a constant, so the picks are SentenceOD's.
    The columns of the kernel are made as they are needed; the kernel is never held.
    """
    X = rows.double()
    variance = (X * X).sum(1) + sigma2
    factor = X.new_empty(n, len(X))
    outside = np.ones(len(X), dtype=bool)
    yield Progressed(None, 0)
    for k in range(n):
        now = variance.cpu().numpy().copy()
        now[~outside] = -np.inf
        best = first_best(now)
        outside[best] = False
        column = X @ X[best] - factor[:k, best] @ factor[:k]
        factor[k] = column / variance[best].sqrt()
        variance -= factor[k] ** 2
        yield Progressed(best, (k + 1) * len(X))


def lazy_fast_map(rows: torch.Tensor, n: int, sigma2: float = 1.0) -> Iterator[Progressed]:
    """The same picks, lazily: an item's row of the factor is brought up to date only when its old variance is the largest.

    The rows that are missing are one triangular system a time, where the paper writes them one by one: our reading.
    """
    X = rows.double()
    variance = (X * X).sum(1) + sigma2
    factor, done, picked = X.new_zeros(len(X), n), np.zeros(len(X), dtype=np.int64), list[int]()
    queue = [(-v, i) for i, v in enumerate(variance.tolist())]
    heapq.heapify(queue)
    evaluations = len(X)
    yield Progressed(None, evaluations)
    for k in range(n):
        fresh: list[tuple[float, int]] = []
        best = 0.0
        while queue and -queue[0][0] >= best - TIE * best:
            value, i = heapq.heappop(queue)
            if (u := int(done[i])) < k:
                late = picked[u:k]
                b = X[late] @ X[i] - factor[late, :u] @ factor[i, :u]
                row = torch.linalg.solve_triangular(factor[late, u:k], b[:, None], upper=False)[:, 0]
                factor[i, u:k], done[i] = row, k
                value += float(row @ row)
                evaluations += 1
                if queue and value > queue[0][0]:
                    heapq.heappush(queue, (value, i))
                    continue
            best = max(best, -value)
            fresh.append((value, i))
        pick = min(i for value, i in fresh if -value >= best - TIE * best)
        for entry in fresh:
            if entry[1] != pick:
                heapq.heappush(queue, entry)
            else:
                factor[pick, k] = (-entry[0]) ** 0.5
        picked.append(pick)
        yield Progressed(pick, evaluations)


def log_det_1p(gram: torch.Tensor) -> np.ndarray:
    """(k,) log det(I + G) of (k, m, m) matrices; overwrites them."""
    gram.diagonal(dim1=-2, dim2=-1).add_(1.0)
    return log_dets(gram)[0]


def extrapolated(done: Boxed, n: int, evaluations: int | None) -> tuple[float | None, str]:
    """Seconds for n picks, and what that is based on.

    Args:
        evaluations: how many n picks take, where that is fixed.
    """
    k = len(done.picks)
    if k >= n:
        return done.marks[n - 1][0], MEASURED
    if evaluations is not None:
        seconds, work = done.marks[-1] if k else (done.seconds, done.evaluations)
        basis = f"extrapolated from {k:,} pick{'s' * (k > 1)}" if k else f"extrapolated from {work:,} evaluations"
        return done.prepared + (seconds - done.prepared) * evaluations / work, basis
    if k < 2:
        return None, f"{k} picks in the time box, too few to extrapolate"
    # the second half of its picks: the first sweep and the first rounds, where bounds are far off, are behind it
    (half, _), (last, _) = done.marks[(k - 1) // 2], done.marks[-1]
    return last + (last - half) / (k - 1 - (k - 1) // 2) * (n - k), f"extrapolated linearly from {k:,} picks"
