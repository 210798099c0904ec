"""What the screen draws from embeddings and orders, computed once and kept: maps, bands of random draws, gain curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fishersft.curves.gain import grid, log_det_at, uniform_band
from fishersft.lm.embed import TokenEmbeddings
from fishersft.projection import project
from fishersft.runs.pipeline import order_recipe
from fishersft.runs.store import Recipe, Store, cached_arrays
from fishersft.selectors import Order, Selector

Progress = Callable[[int, int], None]
MAP, BAND, GAIN = "map", "band", "gain"
FINE = 300  # points of a single curve; a band of draws has fewer


def map_of(embeddings: TokenEmbeddings, method: str = "umap", seed: int = 0, store: Store | None = None) -> np.ndarray:
    """(N, 2) coordinates of the sentence means, for the eye."""
    store = store or Store.default()
    recipe = map_recipe(embeddings, method, seed)
    arrays = cached_arrays(store, recipe, lambda: {"xy": project(embeddings.means, method, seed)})
    return arrays["xy"]


def map_recipe(embeddings: TokenEmbeddings, method: str = "umap", seed: int = 0) -> Recipe:
    return Recipe(MAP, 1, {"method": method, "seed": seed}, {"embeddings": embeddings.key})


@dataclass(frozen=True)
class Band:
    """Random draws on two grids of budgets, in nats above the empty selection.

    Attributes:
        sentences, tokens: (k,), (l,) the grids.
        uniform_by_sentences, uniform_by_tokens: (draws, k), (draws, l).
    """

    sentences: np.ndarray
    tokens: np.ndarray
    uniform_by_sentences: np.ndarray
    uniform_by_tokens: np.ndarray


def band_recipe(embeddings: TokenEmbeddings, top: int, token_top: int, sigma2: float = 1.0, draws: int = 20) -> Recipe:
    parameters = {"top": top, "token_top": token_top, "sigma2": sigma2, "draws": draws, "seed": 0}
    return Recipe(BAND, 2, parameters, {"embeddings": embeddings.key})


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
    """What chance gains up to `top` sentences and `token_top` tokens."""

    def compute() -> dict[str, np.ndarray]:
        sentences, tokens = grid(top), grid(token_top)
        drawn = uniform_band(embeddings, sentences, tokens, sigma2=sigma2, draws=draws, on_progress=on_progress)
        return {
            "sentences": sentences,
            "tokens": tokens,
            "uniform_by_sentences": drawn[0],
            "uniform_by_tokens": drawn[1],
        }

    recipe = band_recipe(embeddings, top, token_top, sigma2, draws)
    return Band(**cached_arrays(store or Store.default(), recipe, compute))


def gain_of(
    embeddings: TokenEmbeddings, order: Order, selector: Selector, seed: int, sigma2: float = 1.0, store: Store | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """f of a selector's order on a grid of sentences: (k,) budgets and (k,) nats, under TokenOD's criterion.

    TokenOD's own gains are summed; for every other selector the token rows of its picks are.
    """
    if selector.name == "token_od" and selector.parameters.get("sigma2") == sigma2:
        return np.arange(1, len(order) + 1), np.cumsum(order.gains)
    at = grid(len(order), FINE)
    recipe = Recipe(
        GAIN, 1, {"top": len(order), "sigma2": sigma2, "points": FINE}, {"order": order_recipe(embeddings, selector, seed).key}
    )

    def compute() -> dict[str, np.ndarray]:
        return {"at": at, "f": log_det_at(embeddings, order.positions, at, sigma2)}

    arrays = cached_arrays(store or Store.default(), recipe, compute)
    return arrays["at"], arrays["f"]
