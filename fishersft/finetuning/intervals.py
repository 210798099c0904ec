"""Held-out measures and their intervals, over texts and over seeds.

    mean       all nats over all trained tokens
    p95, max   over texts, of each text's own nats per token
    worst      the largest mean of a topic, where there are topics

The largest is of these very texts: none that is drawn from them is harder, so its interval is over seeds only.  Any other 95%
interval has two parts, whose half-widths are added by their squares on each side (Zou and Donner 2008, Stat. Med. 27:1693):

    texts   percentiles of a bootstrap over texts, the same draws for all models, so that what all find hard cancels in a
            difference; wider for few texts (Hesterberg 2015, arXiv 1411.5279, expanded percentiles)
    seeds   t times the standard error of the mean over seeds, as far as that is not the texts' own noise, with Satterthwaite's
            degrees of freedom; a bootstrap that draws 2 to 5 seeds misses the truth too often (`python -m tests.bench coverage`)

Two selectors' seeds are independent of each other; one selector's at several budgets or in several contests are not, since the
same seed may draw the same texts (`together`).  With one seed the interval is over texts only.  Knows no run.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf

import numpy as np
from scipy.special import ndtr, stdtrit

DRAWS = 2_000
KEPT = 2_000  # the draws of more texts would fill the memory
TAIL = 0.025


@dataclass(frozen=True)
class Interval:
    """A value and its 95% interval; the bounds are NaN where there is too little to draw from."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Sampled:
    """A number of S models that differ in their seed only: (S,) of all H texts, and (B, S) under each draw of them."""

    seeds: np.ndarray
    draws: np.ndarray
    texts: int

    def times(self, weight: float) -> Sampled:
        return Sampled(weight * self.seeds, weight * self.draws, self.texts)

    @property
    def seed_variance(self) -> float:
        """Of the mean over seeds, without the part that is the texts' own noise; 0 of a single seed."""
        S = len(self.seeds)
        if S < 2:
            return 0.0
        apart = self.draws - self.draws.mean(axis=1, keepdims=True)
        noise = np.var(apart, axis=0).sum() / (S * (S - 1))
        return max(0.0, float(np.var(self.seeds, ddof=1) / S - noise))

    @property
    def with_luck(self) -> np.ndarray:
        """(B,) the mean over seeds under each draw of texts, and under Student's t of what other seeds would have been."""
        means = self.draws.mean(axis=1)
        if not (variance := self.seed_variance):
            return means
        own = np.round(self.seeds - self.seeds.mean(), 6) + 0.0  # the same models have the same luck wherever they are compared
        rng = np.random.default_rng(zlib.crc32(own.tobytes()))
        return means + np.sqrt(variance) * rng.standard_t(len(self.seeds) - 1, len(means))


def together(terms: Iterable[Sampled]) -> list[Sampled]:
    """The same sum in fewer terms: those of as many seeds are added seed by seed, so that what they share of a seed's luck counts
    as often as it is there."""
    found: dict[int, Sampled] = {}
    for one in terms:
        S = len(one.seeds)
        if before := found.get(S):
            one = Sampled(before.seeds + one.seeds, before.draws + one.draws, min(before.texts, one.texts))
        found[S] = one
    return list(found.values())


def interval(*terms: Sampled) -> Interval:
    """The sum of terms that were measured under the same draws of texts, each the mean over its own seeds."""
    value = float(sum(np.mean(term.seeds) for term in terms))
    draws = sum(term.draws.mean(axis=1) for term in terms)
    draws = np.asarray(draws)[np.isfinite(draws)]
    seeds = np.array([term.seed_variance for term in terms])
    if len(draws) < 2 or (np.ptp(draws) == 0 and not seeds.any()):
        return Interval(value, float("nan"), float("nan"))
    half = 0.0
    if seeds.any():
        freedom = seeds.sum() ** 2 / sum(v**2 / (len(term.seeds) - 1) for v, term in zip(seeds, terms, strict=True) if v)
        half = float(stdtrit(freedom, 1 - TAIL) * np.sqrt(seeds.sum()))
    H = min(term.texts for term in terms)
    tail = float(ndtr(np.sqrt(H / (H - 1)) * stdtrit(H - 1, TAIL))) if H > 1 else TAIL
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(
        value, value - float(np.hypot(max(value - low, 0), half)), value + float(np.hypot(max(high - value, 0), half))
    )


@dataclass(frozen=True)
class HeldOut:
    """Nats of H texts under S models that differ in their seed only: (S, H), summed over each text's trained tokens.

    `tokens` are (H,) trained tokens, at least 1, and `topics` (H,) strings or None.
    """

    nats: np.ndarray
    tokens: np.ndarray
    topics: np.ndarray | None = None
    _kept: dict[tuple[str, int], Sampled] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.nats.ndim != 2 or self.tokens.shape != (self.nats.shape[1],) or (self.tokens < 1).any():
            raise ValueError("nats must be (S, H) and tokens (H,), each at least 1")
        if self.topics is not None and self.topics.shape != self.tokens.shape:
            raise ValueError("topics must have one entry a text")

    def measure(self, name: str) -> float:
        """One of `MEASURES`, the mean over seeds; `worst` is NaN without topics."""
        return float(np.mean(self._at(name, np.ones((1, len(self.tokens)))), axis=-1)[0])

    def sampled(self, name: str, seed: int = 0) -> Sampled:
        """A measure of each seed, and under drawn texts."""
        H = len(self.tokens)
        if (name, seed) not in self._kept:
            measured = self._at(name, np.ones((1, H)))
            draws = np.repeat(measured, DRAWS, axis=0) if name == "max" else self._at(name, _drawn(H, seed))
            self._kept[name, seed] = Sampled(measured[0], draws, H)
        return self._kept[name, seed]

    def _at(self, name: str, texts: np.ndarray) -> np.ndarray:
        """(B, S) values of a measure, each seed by itself, texts counted as often as drawn."""
        if name == "mean":
            return (texts @ self.nats.T) / (texts @ self.tokens)[:, None]
        if name != "worst":
            return np.stack([_quantile(row, texts, 0.95 if name == "p95" else 1.0) for row in self.nats / self.tokens], axis=1)
        if self.topics is None:
            return np.full((len(texts), len(self.nats)), np.nan)
        member = (np.unique(self.topics)[:, None] == self.topics).astype(float)  # (topics, H)
        tokens = texts @ (member * self.tokens).T  # (B, topics)
        nats = np.einsum("bh,kh,sh->bsk", texts, member, self.nats, optimize=True)
        with np.errstate(invalid="ignore", divide="ignore"):  # a topic that was not drawn
            return np.nanmax(nats / tokens[:, None, :], axis=2)


def _drawn(H: int, seed: int) -> np.ndarray:
    """(B, H) how often each text is drawn."""
    return (_kept_counts if H <= KEPT else _counts)(H, seed)


def _counts(H: int, seed: int) -> np.ndarray:
    texts = np.random.default_rng(seed).multinomial(H, np.full(H, 1 / H), DRAWS).astype(float)
    texts.flags.writeable = False
    return texts


_kept_counts = lru_cache(maxsize=4)(_counts)  # all measures of all models of a run use the same draws


def estimate(of: HeldOut, name: str, seed: int = 0, *, most: float = inf) -> Interval:
    """A measure and its interval, between 0 and the `most` that it can be."""
    found = interval(of.sampled(name, seed))
    return Interval(found.value, max(found.low, 0.0), min(found.high, most)) if np.isfinite(found.low) else found


def difference(a: HeldOut, b: HeldOut, name: str, seed: int = 0) -> Interval:
    """Measure of `a` minus that of `b`, paired by text; below 0, `a` predicts better."""
    if not np.array_equal(a.tokens, b.tokens):
        raise ValueError("paired texts must be the same texts")
    return interval(a.sampled(name, seed), b.sampled(name, seed).times(-1))


def _quantile(values: np.ndarray, counts: np.ndarray, q: float) -> np.ndarray:
    """(B,) the smallest value that at least a share q of the drawn texts do not exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(counts[:, order], axis=1)
    at = (reached >= q * reached[:, -1:] - 1e-9).argmax(axis=1)
    return values[order][at]
