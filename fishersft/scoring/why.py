"""Why this sentence, and what if others had been pinned or excluded?

`why` explains one record: what the design gained when it was picked, or would gain from it now.  `rechosen` orders the pool
anew from pinned and excluded records, in memory only: such an order is no prefix of the selector's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fishersft.design.factor import Factor
from fishersft.design.greedy import Shard
from fishersft.design.information import as_rows, design_matrix, gain, token_gains, whiten
from fishersft.design.rows import TokenEmbeddings
from fishersft.design.trajectory import designs_at
from fishersft.selectors import Budget, Order, Pool, Selector
from fishersft.selectors.base import Progress

CHUNK = 16_384  # rows made float32 at once


@dataclass(frozen=True)
class Why:
    """One record under one order and budget.

    Attributes:
        rank: its place in the order, from 1; None beyond the picks that were computed.
        picked: whether the budget reaches it.
        before: how many picks the design held when the gain was taken: rank - 1 for a picked record, else the budget.
        token_gains: (M,) nats, one a trained token; they sum to `gain`.
        nearest, similarity: position of the most similar other picked record (None if there is none), and the cosine of centred
            means.
    """

    position: int
    rank: int | None
    picked: bool
    before: int
    token_gains: np.ndarray
    nearest: int | None
    similarity: float

    @property
    def gain(self) -> float:
        return float(self.token_gains.sum())


@dataclass(frozen=True)
class Direction:
    """The direction of the embedding space in which a record adds most to a design.

    Attributes:
        share: of the record's gain that lies along it, 0 to 1.
        narrowed: the standard error along it after the record, over that before; 0 to 1.
        half: along how many directions half of the gain lies.
        tokens: (M,) share of each of the record's rows in it; they sum to 1.
        along: (N,) mean square of the pool's rows along it, a record; large where a record lies along it too.
    """

    share: float
    narrowed: float
    half: int
    tokens: np.ndarray
    along: np.ndarray


def why(
    embeddings: TokenEmbeddings, order: np.ndarray, n: int, position: int, sigma2: float = 1.0, *, before: int | None = None
) -> Why:
    """Explain the record at `position` when the first `n` of `order` (positions) are selected.

    With `before`, its gain is taken after so many picks instead (the record itself excepted).
    """
    found = np.flatnonzero(order == position)
    rank = int(found[0]) + 1 if len(found) else None
    picked = rank is not None and rank <= n
    if before is None:
        before = rank - 1 if picked and rank is not None else n
    held = order[:before][order[:before] != position]
    V = design_matrix((embeddings.block(p) for p in held), embeddings.dimension, sigma2)
    nearest, similarity = nearest_of(embeddings, position, order[:n])
    return Why(position, rank, picked, before, token_gains(V, embeddings.block(position)), nearest, similarity)


def direction_added(embeddings: TokenEmbeddings, picked: np.ndarray, position: int, sigma2: float = 1.0) -> Direction:
    """Where the record at `position` adds most to the design V of the other `picked` ones.

    It is the largest generalised eigenvector of the record's X^T X over V; its gain is the sum of log(1 + eigenvalue) over all.
    """
    held = picked[picked != position]
    V = torch.from_numpy(design_matrix((embeddings.block(p) for p in held), embeddings.dimension, sigma2))
    L = torch.linalg.cholesky(V)
    X = as_rows(embeddings.block(position))
    _, sizes, directions = torch.linalg.svd(whiten(L, X).T, full_matrices=False)
    parts = torch.log1p(sizes**2)
    v = torch.linalg.solve_triangular(L.T, directions[:1].T, upper=True)[:, 0]
    tokens = (X @ v) ** 2
    direction = v.float().numpy()
    chunks = (embeddings.values[a : a + CHUNK].astype(np.float32) for a in range(0, len(embeddings.values), CHUNK))
    squares = np.concatenate([(rows @ direction) ** 2 for rows in chunks])
    return Direction(
        share=float(parts[0] / parts.sum()),
        narrowed=float(1 / torch.sqrt(1 + sizes[0] ** 2)),
        half=int((parts.cumsum(0) < 0.5 * parts.sum()).sum()) + 1,
        tokens=(tokens / tokens.sum()).numpy(),
        along=np.add.reduceat(squares, embeddings.offsets[:-1]) / embeddings.tokens,
    )


@dataclass(frozen=True)
class TargetHelp:
    """What adding a record to a design does for target texts.

    Attributes:
        before: mean over the A texts of their mean variance, tr(M_A V^-1) with M_A = (1/A) sum of X_a^T X_a / m_a.
        shares: (A,) by how much the record lowers it through each text; they sum to the fall.
    """

    before: float
    shares: np.ndarray

    @property
    def fall(self) -> float:
        return float(self.shares.sum())


def target_help(
    embeddings: TokenEmbeddings, picked: np.ndarray, position: int, texts: TokenEmbeddings, sigma2: float = 1.0
) -> TargetHelp:
    """How adding the record at `position` to the design V of the other `picked` ones lowers the variance on target texts.

    Adding the record turns V^-1 into V^-1 - Y Y^T (`Factor.change`).  The fall of tr(M_A V^-1) is linear in M_A, so text a's
    share is exactly tr(X_a^T X_a Y Y^T) / (m_a A) = ||X_a Y||^2 / (m_a A).  The small ridge that rules add to M_A, so that they
    can invert it, belongs to no text and is left out.
    """
    held = picked[picked != position]
    V = design_matrix((embeddings.block(p) for p in held), embeddings.dimension, sigma2)
    factor = Factor(embeddings.dimension, V)
    Y = factor.change(as_rows(embeddings.block(position)))
    A, before, shares = len(texts), 0.0, np.empty(len(texts))
    for a in range(A):
        X = as_rows(texts.block(a))
        before += float(factor.whiten(X)[0].square().sum()) / (len(X) * A)
        shares[a] = float((X @ Y).square().sum()) / (len(X) * A)
    return TargetHelp(before, shares)


def gain_along(
    embeddings: TokenEmbeddings, order: np.ndarray, at: Sequence[int] | np.ndarray, position: int, sigma2: float = 1.0
) -> np.ndarray:
    """(k,) nats that the record would gain after the first `at[k]` picks of an order, itself excepted; `at` ascending."""
    V = sigma2 * np.eye(embeddings.dimension)
    out, done = np.empty(len(at)), 0
    for k, n in enumerate(at):
        more = [embeddings.block(p) for p in order[done:n] if p != position]
        if more:
            V = V + design_matrix(more, embeddings.dimension) - np.eye(embeddings.dimension)
        out[k], done = gain(V, embeddings.block(position)), int(n)
    return out


def nearest_of(embeddings: TokenEmbeddings, position: int, among: np.ndarray) -> tuple[int | None, float]:
    """The most similar other one of `among` to `position`, and the cosine of their centred means."""
    found, cosines = neighbours_of(embeddings, position, among, 1)
    return (int(found[0]), float(cosines[0])) if len(found) else (None, float("nan"))


def neighbours_of(embeddings: TokenEmbeddings, position: int, among: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The up to k most similar others of `among`, the nearest first, and their cosines to `position`."""
    among = among[among != position]
    means, centre = embeddings.means, embeddings.centre
    x = means[position] - centre
    Y = means[among] - centre
    cosine = Y @ x / np.maximum(np.linalg.norm(Y, axis=1) * np.linalg.norm(x), 1e-12)
    best = np.argsort(-cosine, kind="stable")[:k]
    return among[best], cosine[best]


def gains_now(embeddings: TokenEmbeddings, picked: np.ndarray, sigma2: float = 1.0) -> np.ndarray:
    """(N,) nats that each record would add to the design of `picked` (positions); one sweep over the pool.

    Rows of more than 128 numbers are swept in float32, which is exact to about 1e-5 of a gain.
    """
    (V,) = designs_at(embeddings, picked, [len(picked)], sigma2)
    return _Sweep(embeddings, V.numpy()).gains


class _Sweep(Shard):
    """Every gain once; nothing is picked."""

    follows = False


def rechosen(
    pool: Pool,
    selector: Selector,
    budget: Budget,
    seed: int = 0,
    *,
    plain: Order | None = None,
    on_progress: Progress | None = None,
) -> Order:
    """The selector's order from a pool with pins (`Pool.given`), as far as the budget needs it.

    `plain` is its order with nothing pinned or excluded, if that is at hand: the picks before the first excluded one stand.
    """
    out = () if plain is None else plain.positions
    hit = np.flatnonzero(np.isin(out, pool.excluded))
    stands = 0 if plain is None or pool.pinned else int(hit[0]) if len(hit) else len(plain)
    if plain is None or not stands:
        return selector.take(pool, budget, seed, on_progress)
    free = Pool(pool.embeddings, pool.corpus, pool.model, pool.readings)
    kept = free.given(pool.index[plain.positions[:stands]].tolist(), pool.index[list(pool.excluded)].tolist())
    if budget.sentences is not None:
        budget = Budget(sentences=max(stands, budget.sentences))
    return selector.take(kept, budget, seed, on_progress)
