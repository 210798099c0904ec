"""What the screen draws from embeddings and orders, computed once and kept: bands of random draws and gain curves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator

from fishersft.design.rows import TokenEmbeddings
from fishersft.design.trajectory import designs_at, draw_orders, grid, log_det_at, within_tokens
from fishersft.pipeline.embed_and_select import order_key
from fishersft.selectors import DEFAULT_SELECTOR, Order, Selector
from fishersft.store.artifacts import ArtifactKey, Store, cached_arrays

Progress = Callable[[int, int], None]
BAND, GAIN, VARIANCE = "band", "gain", "target-variance"
POINTS, BAND_POINTS = 30, 16  # budgets at which the variance on a target is computed, along an order and along random draws
FINE = 300  # points of a single curve; a band of draws has fewer
DRAWN = 120  # points of a band as it is drawn
FIRST = 128  # sentences of a random draw after each of which its gain is known: there one more counts for much


@dataclass(frozen=True)
class Band:
    """Random draws on two grids of budgets, in nats above the empty selection.

    Attributes:
        sentences, tokens: (k,), (l,) the grids.
        uniform_by_sentences, uniform_by_tokens: (draws, k), (draws, l).
        first, first_tokens: (draws, m) of each draw's first 1, 2, ... sentences: nats, and trained tokens.
    """

    sentences: np.ndarray
    tokens: np.ndarray
    uniform_by_sentences: np.ndarray
    uniform_by_tokens: np.ndarray
    first: np.ndarray
    first_tokens: np.ndarray

    def at(self, amounts: int | np.ndarray, *, tokens: bool = False) -> np.ndarray:
        """(draws, k) nats at budgets in sentences, or in tokens.

        Exact within each draw's first sentences; beyond, read off a monotone curve through the grid, over log budget.
        """
        x, y = (self.tokens, self.uniform_by_tokens) if tokens else (self.sentences, self.uniform_by_sentences)
        wanted = np.clip(np.atleast_1d(amounts), x[0], x[-1])
        read = PchipInterpolator(np.log(x), y, axis=1)(np.log(wanted)) if len(x) > 1 else np.repeat(y, len(wanted), axis=1)
        for row, f, spent in zip(read, self.first, self.first_tokens, strict=True):
            fits = np.searchsorted(spent, wanted, side="right") if tokens else wanted
            known = fits < len(f) if tokens else fits <= len(f)
            row[known] = np.concatenate([[0.0], f])[fits[known]]
        return np.asarray(read)

    def up_to(self, reach: int, *, tokens: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """What is drawn up to a budget: (k,) budgets and (draws, k) nats."""
        x = self.tokens if tokens else self.sentences
        fine = np.unique(np.concatenate([x[x <= reach], grid(min(reach, int(x[-1])), DRAWN)]))
        return fine, self.at(fine, tokens=tokens)


def band(
    embeddings: TokenEmbeddings,
    top: int,
    token_top: int,
    *,
    sigma2: float = 1.0,
    draws: int = 20,
    store: Store | None = None,
    on_progress: Progress | None = None,
) -> Band:
    """What random draws gain up to `top` sentences and `token_top` tokens."""

    def compute() -> dict[str, np.ndarray]:
        sentences, tokens = grid(top), grid(token_top)
        by_sentences, by_tokens = np.empty((draws, len(sentences))), np.empty((draws, len(tokens)))
        orders = draw_orders(len(embeddings), draws)
        for k, order in enumerate(orders):
            fits = within_tokens(embeddings.tokens[order], tokens)
            at = np.unique(np.concatenate([sentences, fits]))
            f = log_det_at(embeddings, order, at, sigma2, single=True)
            by_sentences[k], by_tokens[k] = f[np.searchsorted(at, sentences)], f[np.searchsorted(at, fits)]
            if on_progress:
                on_progress(k + 1, draws)
        first = orders[:, : min(FIRST, top)]
        return {
            "first": np.stack([log_det_at(embeddings, order, range(1, len(order) + 1), sigma2) for order in first]),
            "first_tokens": np.cumsum(embeddings.tokens[first], axis=1),
            "sentences": sentences,
            "tokens": tokens,
            "uniform_by_sentences": by_sentences,
            "uniform_by_tokens": by_tokens,
        }

    parameters = {"top": top, "token_top": token_top, "sigma2": sigma2, "draws": draws, "seed": 0, "first": FIRST}
    key = ArtifactKey(BAND, 3, parameters, {"embeddings": embeddings.key})
    return Band(**cached_arrays(store or Store.default(), key, compute))


def gain_of(
    embeddings: TokenEmbeddings, order: Order, selector: Selector, seed: int, sigma2: float = 1.0, store: Store | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """f, TokenOD's criterion, along a selector's order: (k,) budgets in sentences and (k,) nats.

    TokenOD's own gains are summed; for other selectors the token rows of their picks are added up.
    """
    if selector.name == DEFAULT_SELECTOR and selector.parameters.get("sigma2") == sigma2:
        return np.arange(1, len(order) + 1), np.cumsum(order.gains)
    at = grid(len(order), FINE)
    parameters = {"top": len(order), "sigma2": sigma2, "points": FINE}
    key = ArtifactKey(GAIN, 1, parameters, {"order": order_key(embeddings, selector, seed).digest})

    def compute() -> dict[str, np.ndarray]:
        return {"at": at, "f": log_det_at(embeddings, order.positions, at, sigma2)}

    arrays = cached_arrays(store or Store.default(), key, compute)
    return arrays["at"], arrays["f"]


def variance_along(
    embeddings: TokenEmbeddings, order: np.ndarray, at: np.ndarray, M: np.ndarray, sigma2: float = 1.0, *, single: bool = False
) -> np.ndarray:
    """(k,) tr(M V^-1) after the first at[0], at[1], ... picks of an order (positions); `at` ascending, 0 for no pick.

    `single` as in `designs_at`.
    """
    moment = torch.from_numpy(M)
    designs = designs_at(embeddings, order, at, sigma2, single=single)
    return np.array([float((torch.cholesky_inverse(torch.linalg.cholesky(V)) * moment).sum()) for V in designs])


def target_variance_of(
    embeddings: TokenEmbeddings, order: np.ndarray, M: np.ndarray, store: Store | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """tr(M V^-1) along an order of a pool with a target, M being of its measuring half: (k,) budgets in sentences, from 0."""
    at = np.concatenate([[0], grid(len(order), POINTS)])
    parameters = {"order": hashlib.sha256(order.tobytes()).hexdigest(), "points": POINTS}
    key = ArtifactKey(VARIANCE, 1, parameters, {"embeddings": embeddings.key})

    def compute() -> dict[str, np.ndarray]:
        return {"at": at, "variance": variance_along(embeddings, order, at, M)}

    arrays = cached_arrays(store or Store.default(), key, compute)
    return arrays["at"], arrays["variance"]


def target_variance_band(
    embeddings: TokenEmbeddings, top: int, M: np.ndarray, *, tokens: bool, draws: int = 20, store: Store | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The same of random draws: (k,) budgets from 0 to `top` sentences or `tokens`, and (draws, k) variances."""
    at = np.concatenate([[0], grid(top, BAND_POINTS)])

    def compute() -> dict[str, np.ndarray]:
        found = np.empty((draws, len(at)))
        for k, order in enumerate(draw_orders(len(embeddings), draws)):
            counts = within_tokens(embeddings.tokens[order], at) if tokens else at
            counts, inverse = np.unique(counts, return_inverse=True)
            found[k] = variance_along(embeddings, order, counts, M, single=True)[inverse]
        return {"budgets": at, "variance": found}

    parameters = {"top": top, "tokens": tokens, "draws": draws, "points": BAND_POINTS}
    arrays = cached_arrays(
        store or Store.default(), ArtifactKey(VARIANCE, 1, parameters, {"embeddings": embeddings.key}), compute
    )
    return arrays["budgets"], arrays["variance"]
