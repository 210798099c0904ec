"""Log-det curves: what a selection has gained after so many sentences or tokens, beside random draws.

Knows no selector: it takes orders (positions in pick order) and rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fishersft.design.information import as_rows, check_sigma2
from fishersft.lm.embed import TokenEmbeddings


@dataclass(frozen=True)
class Curve:
    """A line with an optional band.

    Attributes:
        x: (k,) budgets, in `x_unit`.
        mean: (k,) in `y_unit`.
        low, high: (k,) the band, or None.
        draws: how many random draws the mean and the band are over; 1 for a single selection.
    """

    label: str
    x: np.ndarray
    mean: np.ndarray
    x_unit: str
    y_unit: str = "nats"
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    draws: int = 1

    def __post_init__(self) -> None:
        for name in ("mean", "low", "high"):
            values = getattr(self, name)
            if values is not None and values.shape != self.x.shape:
                raise ValueError(f"{name} has shape {values.shape}, x has {self.x.shape}")


def grid(top: int, points: int = 40) -> np.ndarray:
    """Budgets from 1 to `top`: every one while they are few, then evenly spread with more of them at the start."""
    if top <= points:
        return np.arange(1, top + 1)
    return np.unique(np.round(1 + (top - 1) * np.linspace(0, 1, points) ** 1.5).astype(int))


def log_det_at(embeddings: TokenEmbeddings, order: np.ndarray, at: Sequence[int] | np.ndarray, sigma2: float = 1.0) -> np.ndarray:
    """f after the first `at[k]` picks of an order, nats above the empty selection; `at` ascending, (k,) float64."""
    import torch

    d = embeddings.dimension
    V = torch.eye(d, dtype=torch.float64) * check_sigma2(sigma2)
    out, done = np.empty(len(at)), 0
    for k, n in enumerate(at):
        if n > done:
            rows = as_rows(np.concatenate([embeddings.block(p) for p in order[done:n]]))
            V.addmm_(rows.T, rows)
            done = int(n)
        out[k] = float(2 * torch.linalg.cholesky(V).diagonal().log().sum()) - d * np.log(sigma2)
    return out


def within_tokens(tokens: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """For each limit, how many picks fit: the longest prefix of at most that many tokens."""
    return np.searchsorted(np.cumsum(tokens), limits, side="right")


def draw_orders(n: int, draws: int = 20, seed: int = 0) -> np.ndarray:
    """(draws, n): the random orders that every band is made of."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(n) for _ in range(draws)])


def uniform_band(
    embeddings: TokenEmbeddings,
    sentences: np.ndarray,
    tokens: np.ndarray,
    *,
    sigma2: float = 1.0,
    draws: int = 20,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """f of `draws` random orders at budgets in sentences and at budgets in tokens.

    Returns:
        two arrays, (draws, len(sentences)) and (draws, len(tokens)), nats.
    """
    by_sentences = np.empty((draws, len(sentences)))
    by_tokens = np.empty((draws, len(tokens)))
    for k, order in enumerate(draw_orders(len(embeddings), draws, seed)):
        fits = within_tokens(embeddings.tokens[order], tokens)
        at = np.unique(np.concatenate([sentences, fits]))
        f = log_det_at(embeddings, order, at, sigma2)
        by_sentences[k] = f[np.searchsorted(at, sentences)]
        by_tokens[k] = f[np.searchsorted(at, fits)]
        if on_progress:
            on_progress(k + 1, draws)
    return by_sentences, by_tokens


def band_curve(label: str, x: np.ndarray, draws: np.ndarray, x_unit: str) -> Curve:
    """Mean and full range over draws, (draws, k)."""
    return Curve(label, x, draws.mean(0), x_unit, low=draws.min(0), high=draws.max(0), draws=len(draws))
