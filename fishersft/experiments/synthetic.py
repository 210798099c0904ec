"""Synthetic pools: rows, lengths and a head drawn from stated distributions.

    isotropic        x ~ N(0, I)
    power_law        x ~ N(0, diag(j^-power)), scaled so that E||x||^2 = d
    clustered        sentence i belongs to cluster k with odds k^-power; x = its centre + noise, centres on the sphere of
                     radius sqrt(d); a few clusters hold most sentences, so some directions are rare
    near_duplicates  isotropic, but a share of the sentences are copies of a few others with a little noise

E||x||^2 is about d in each, Theta* ~ N(0, scale^2 / d), so a logit has standard deviation `scale` and no pool is harder
only because its rows are longer.

Source: FisherSFT, section 5.1.  d = 10, L = 20 and 20 runs are the paper's; N, lengths, features and the head are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np

from fishersft.errors import ParameterError
from fishersft.experiments.problem import Problem, check_memory, draw_labels, lengths
from fishersft.lm.embed import TokenEmbeddings

FEATURES = {
    "isotropic": "isotropic rows",
    "power_law": "a power-law spectrum",
    "clustered": "imbalanced clusters",
    "near_duplicates": "near-duplicates",
}


@dataclass(frozen=True)
class Synthetic:
    """A world of drawn rows.

    Attributes:
        features: one of FEATURES.
        dimension, classes, sentences: d, L and N.
        median_length, length_spread: of the tokens a sentence, log-normal; the spread is that of the logarithm.
        scale: standard deviation of a true logit.
        clusters: how many (clustered).
        power: of the clusters' weights k^-power (clustered), or of the spectrum j^-power (power_law).
        noise: standard deviation of a row about its centre (clustered) or its original (near_duplicates).
        duplicates: the share of sentences that are copies (near_duplicates).
    """

    features: str = "isotropic"
    dimension: int = 10
    classes: int = 20
    sentences: int = 3_000
    median_length: float = 8.0
    length_spread: float = 0.6
    scale: float = 1.0
    clusters: int = 20
    power: float = 2.0
    noise: float = 0.1
    duplicates: float = 0.5

    name: ClassVar[str] = "synthetic"

    def __post_init__(self) -> None:
        if self.features not in FEATURES:
            raise ParameterError(f"There are no features '{self.features}'; there are: {', '.join(FEATURES)}.")
        for name, least in (("dimension", 1), ("classes", 2), ("sentences", 1), ("clusters", 1)):
            check_whole(name, getattr(self, name), least)
        for name, low, most in (
            ("median_length", 1.0, 256.0),
            ("length_spread", 0.0, 3.0),
            ("scale", 0.0, 1e3),
            ("power", 0.0, 10.0),
            ("noise", 0.0, 1e3),
            ("duplicates", 0.0, 0.99),
        ):
            check_between(name, getattr(self, name), low, most)
        tokens = self.sentences * self.median_length * np.exp(self.length_spread**2 / 2)
        check_memory(tokens, self.dimension, self.classes, "--sentences, --dimension or --classes")

    @property
    def settings(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def title(self) -> str:
        return f"Synthetic pool, {FEATURES[self.features]}"

    def arguments(self) -> list[str]:
        return [
            part
            for f in fields(self)
            if getattr(self, f.name) != f.default
            for part in (f"--{f.name.replace('_', '-')}", f"{getattr(self, f.name)}")
        ]

    def problem(self, seed: int) -> Problem:
        rng = np.random.default_rng(seed)
        N, d = self.sentences, self.dimension
        M = lengths(N, self.median_length, self.length_spread, rng)
        offsets = np.concatenate([[0], np.cumsum(M)]).astype(np.int64)
        X, offsets = MAKERS[self.features](self, offsets, rng)
        theta = rng.normal(size=(d, self.classes)) * (self.scale / np.sqrt(d))
        embeddings = TokenEmbeddings(X, offsets, np.arange(N), {})
        return Problem(embeddings, theta, draw_labels(X, theta, rng), seed)


def isotropic(world: Synthetic, offsets: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(int(offsets[-1]), world.dimension)), offsets


def power_law(world: Synthetic, offsets: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    variances = np.arange(1, world.dimension + 1) ** -world.power
    variances *= world.dimension / variances.sum()
    return rng.normal(size=(int(offsets[-1]), world.dimension)) * np.sqrt(variances), offsets


def clustered(world: Synthetic, offsets: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    odds = np.arange(1, world.clusters + 1) ** -world.power
    centres = rng.normal(size=(world.clusters, world.dimension))
    centres *= np.sqrt(world.dimension) / np.linalg.norm(centres, axis=1, keepdims=True)
    cluster = rng.choice(world.clusters, size=len(offsets) - 1, p=odds / odds.sum())
    rows = centres[np.repeat(cluster, np.diff(offsets))]
    return rows + world.noise * rng.normal(size=rows.shape), offsets


def near_duplicates(world: Synthetic, offsets: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Copies come from a twentieth of the originals, so that most of them say the same again; they are as long as these."""
    N = len(offsets) - 1
    X, _ = isotropic(world, offsets, rng)
    source = np.arange(N)
    copies = rng.random(N) < world.duplicates
    originals = np.flatnonzero(~copies)
    if not len(originals):
        return X, offsets
    few = rng.choice(originals, size=max(1, len(originals) // 20), replace=False)
    source[copies] = rng.choice(few, size=int(copies.sum()))
    M = np.diff(offsets)[source]
    ends = np.cumsum(M)
    taken = np.arange(int(ends[-1])) + np.repeat(offsets[source] - (ends - M), M)
    rows = X[taken]
    copied = np.repeat(copies, M)
    rows[copied] += world.noise * rng.normal(size=(int(copied.sum()), world.dimension))
    return rows, np.concatenate([[0], ends]).astype(np.int64)


Maker = Callable[[Synthetic, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]
MAKERS: dict[str, Maker] = {
    "isotropic": isotropic,
    "power_law": power_law,
    "clustered": clustered,
    "near_duplicates": near_duplicates,
}


def check_whole(name: str, value: Any, least: int) -> None:
    """ParameterError unless the value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ParameterError(f"--{name.replace('_', '-')} must be a whole number of at least {least} and was {value!r}.")


def check_between(name: str, value: Any, least: float, most: float) -> None:
    """ParameterError unless the value is a number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not least <= value <= most:
        raise ParameterError(f"--{name.replace('_', '-')} must be a number from {least:g} to {most:g} and was {value!r}.")
