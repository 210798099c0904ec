"""Synthetic pools: rows, lengths and a head drawn from stated distributions.

    isotropic        x ~ N(0, I)
    power_law        x ~ N(0, diag(j^-power)), scaled so that E||x||^2 = d
    clustered        sentence i belongs to cluster k with odds k^-power; x = its centre + noise, centres on the sphere of
                     radius sqrt(d); a few clusters hold most sentences, so some directions are rare
    near_duplicates  isotropic, but a share of the sentences are copies of a few others with a little noise

E||x||^2 is about d in each and Theta* ~ N(0, scale^2 / d), so a logit has standard deviation `scale`, and no pool is harder
merely because its rows are longer.

Source: FisherSFT, section 5.1.  d = 10, L = 20 and 20 runs are the paper's; N, lengths, features and the head are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fishersft import fields
from fishersft.design.rows import TokenEmbeddings
from fishersft.experiments.problem import Problem, check_drawn, draw_labels, lengths
from fishersft.experiments.settings import FEATURES, SyntheticSettings


@dataclass(frozen=True)
class Synthetic(SyntheticSettings):
    """A world of drawn rows."""

    name: ClassVar[str] = "synthetic"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_drawn(self)

    @property
    def settings(self) -> dict[str, Any]:
        return fields.values(self)

    @property
    def title(self) -> str:
        return f"Synthetic pool, {FEATURES[self.features]}"

    def arguments(self) -> list[str]:
        # features come first, because stored results are found by a hash of their command
        first = [] if self.features == SyntheticSettings.features else ["--features", self.features]
        return [*first, *fields.arguments(self, without=("features",))]

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
    """Copies are made of a twentieth of the originals, so that most of them are redundant; a copy is as long as its original."""
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
