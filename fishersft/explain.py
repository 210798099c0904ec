"""Why this sentence?  What a design saw in one record at the moment it was picked, or sees in it now.  Arrays only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fishersft.design.information import design_matrix, token_gains
from fishersft.lm.embed import TokenEmbeddings


@dataclass(frozen=True)
class Why:
    """One record under one order and budget.

    Attributes:
        position: in the pool.
        rank: its place in the order, from 1; None beyond the picks that were computed.
        picked: whether the budget reaches it.
        before: how many picks the design held when the gain was taken: rank - 1 for a picked record, else the budget.
        token_gains: (M,) nats, one a trained token; they sum to `gain`.
        nearest: position of the most similar picked record (cosine of centred means), itself excepted; None if none.
        similarity: that cosine, -1 to 1.
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


def why(embeddings: TokenEmbeddings, order: np.ndarray, n: int, position: int, sigma2: float = 1.0) -> Why:
    """Explain the record at `position` when the first `n` of `order` (positions) are selected."""
    found = np.flatnonzero(order == position)
    rank = int(found[0]) + 1 if len(found) else None
    picked = rank is not None and rank <= n
    before = rank - 1 if picked and rank is not None else n
    V = design_matrix((embeddings.block(p) for p in order[:before]), embeddings.dimension, sigma2)
    nearest, similarity = nearest_of(embeddings.means, position, order[:n])
    return Why(position, rank, picked, before, token_gains(V, embeddings.block(position)), nearest, similarity)


def nearest_of(means: np.ndarray, position: int, among: np.ndarray) -> tuple[int | None, float]:
    """The most similar of `among` to `position` by the cosine of centred means, `position` itself excepted."""
    among = among[among != position]
    if not len(among):
        return None, float("nan")
    centre = means.mean(0)
    x = means[position] - centre
    Y = means[among] - centre
    cosine = Y @ x / np.maximum(np.linalg.norm(Y, axis=1) * np.linalg.norm(x), 1e-12)
    best = int(cosine.argmax())
    return int(among[best]), float(cosine[best])
