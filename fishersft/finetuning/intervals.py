"""What held-out texts say of tuned models: nats a token, on the mean and in the tail, with intervals.

    mean       all nats over all trained tokens
    p95, max   over texts, of each text's own nats a token
    worst      the largest mean of a topic, where there are topics

Intervals are of a bootstrap that draws texts, and training seeds where there are several, with replacement (percentiles,
95%); differences are taken within the same draw, text by text and seed by seed, so what all models find hard cancels.
Knows no model and no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

DRAWS = 2_000
LEVEL = 0.95
KEPT = 2_000  # texts; the draws of more would fill the memory
MEASURES = ("mean", "p95", "max", "worst")


@dataclass(frozen=True)
class Interval:
    """A number with its interval; NaN bounds where there is too little to draw from."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class HeldOut:
    """Nats of H texts under S models that differ in their seed only.

    Attributes:
        nats: (S, H), summed over each text's trained tokens.
        tokens: (H,) trained tokens, at least 1.
        topics: (H,) strings, or None.
    """

    nats: np.ndarray
    tokens: np.ndarray
    topics: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.nats.ndim != 2 or self.tokens.shape != (self.nats.shape[1],) or (self.tokens < 1).any():
            raise ValueError("nats must be (S, H) and tokens (H,), each at least 1")
        if self.topics is not None and self.topics.shape != self.tokens.shape:
            raise ValueError("topics must have one entry a text")

    def measure(self, name: str) -> float:
        """One of `MEASURES`, the mean over seeds; `worst` is NaN without topics."""
        return float(np.mean(self._at(name, np.ones((1, len(self.tokens)))), axis=-1)[0])

    def draws(self, name: str, weights: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """(B,) values of a measure under drawn texts (B, H) and drawn seeds (B, S), both counts."""
        texts, seeds = weights
        return np.einsum("bs,bs->b", self._at(name, texts), seeds) / seeds.sum(axis=1)

    def _at(self, name: str, texts: np.ndarray) -> np.ndarray:
        """(B, S) values of a measure, each seed by itself, texts counted as often as drawn."""
        if name == "mean":
            return (texts @ self.nats.T) / (texts @ self.tokens)[:, None]
        if name == "worst":
            return self._worst(texts)
        return np.stack([_quantile(row, texts, 0.95 if name == "p95" else 1.0) for row in self.nats / self.tokens], axis=1)

    def _worst(self, texts: np.ndarray) -> np.ndarray:
        if self.topics is None:
            return np.full((len(texts), len(self.nats)), np.nan)
        member = self._members
        tokens = texts @ (member * self.tokens).T  # (B, topics)
        nats = np.einsum("bh,kh,sh->bsk", texts, member, self.nats, optimize=True)
        with np.errstate(invalid="ignore", divide="ignore"):  # a topic that was not drawn
            return np.nanmax(nats / tokens[:, None, :], axis=2)

    @cached_property
    def _members(self) -> np.ndarray:
        """(topics, H) 0 or 1."""
        topics = np.asarray(self.topics)
        return (np.unique(topics)[:, None] == topics).astype(float)


def _drawn(of: HeldOut, seed: int, draws: int = DRAWS) -> tuple[np.ndarray, np.ndarray]:
    """How often each text (B, H) and each seed (B, S) is drawn; one seed is always the one there is."""
    S, H = of.nats.shape
    drawn = _kept_counts if H <= KEPT else _counts
    return drawn(S, H, seed, draws)


def _counts(S: int, H: int, seed: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    texts = rng.multinomial(H, np.full(H, 1 / H), draws).astype(float)
    seeds = rng.multinomial(S, np.full(S, 1 / S), draws).astype(float)
    texts.flags.writeable = seeds.flags.writeable = False
    return texts, seeds


_kept_counts = lru_cache(maxsize=4)(_counts)  # every measure of every model of a run asks for the same ones


def estimate(of: HeldOut, name: str, seed: int = 0) -> Interval:
    """A measure and its interval."""
    return _interval(of.measure(name), of.draws(name, _drawn(of, seed)))


def difference(a: HeldOut, b: HeldOut, name: str, seed: int = 0) -> Interval:
    """Measure of `a` minus that of `b`, paired by text and by seed; below 0, `a` predicts better.

    Where they have different seeds, seeds are drawn apart and texts together.
    """
    if not np.array_equal(a.tokens, b.tokens):
        raise ValueError("paired texts must be the same texts")
    texts, seeds = _drawn(a, seed)
    other = seeds if len(a.nats) == len(b.nats) else _drawn(b, seed + 1)[1]
    return _interval(a.measure(name) - b.measure(name), a.draws(name, (texts, seeds)) - b.draws(name, (texts, other)))


def _quantile(values: np.ndarray, counts: np.ndarray, q: float) -> np.ndarray:
    """(B,) the smallest value that at least a share q of the drawn texts do not exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(counts[:, order], axis=1)
    at = (reached >= q * reached[:, -1:] - 1e-9).argmax(axis=1)
    return values[order][at]


def _interval(value: float, draws: np.ndarray) -> Interval:
    draws = draws[np.isfinite(draws)]
    if len(draws) < 2 or np.ptp(draws) == 0:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
