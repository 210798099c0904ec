"""DensitySampling: rare regions of the pool as likely as dense ones."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.design.kernel_density import Sketch, exact_densities, median_distance
from fishersft.fields import parameter
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool, sentence_means
from fishersft.selectors.sampling import weighted_order
from fishersft.selectors.selection import Doing, Note


@dataclass(frozen=True)
class DensitySampling(Selector):
    """Inverse propensity: without replacement, the next sentence drawn in proportion to 1 / (its kernel density in the pool).

    The kernel is the collision probability of locality-sensitive hashing, so that the sketch estimates what small pools
    compute exactly (`design/kernel_density.py`).

    Our reading: the mean token row as a sentence's vector; the width of a hash as a share of the median distance; four hashes
    to a bucket.
    """

    bandwidth: float = parameter(1.0, "Width of a hash, relative to the median distance between sentences.", above=0)
    hashes: int = parameter(4, "How many hashes must agree; more of them make the kernel narrower.", least=1)
    exact_up_to: int = parameter(20_000, "Largest pool in which every distance is computed.", unit="sentences", least=0)
    repetitions: int = parameter(512, "Rows of the sketch of a larger pool.", least=1)
    buckets: int = parameter(20_000, "Buckets in each row of the sketch.", least=2)

    name: ClassVar[str] = "density"
    label: ClassVar[str] = "DensitySampling"
    summary: ClassVar[str] = "Draws sentences with odds inverse to their kernel density, so that dense regions do not dominate."
    purpose: ClassVar[str] = "A cheap remedy for a pool in which some kinds of text crowd out others."
    colour: ClassVar[str] = "#CC79A7"
    marker: ClassVar[str] = "cross"
    reference: ClassVar[str] = (
        "Sachdeva et al. 2024, How to Train Data-Efficient LLMs, arXiv 2402.09668; vectors and widths are our reading"
    )
    place: ClassVar[int] = 40
    random: ClassVar[bool] = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick | Note | Doing]:
        densities = yield from self.densities(sentence_means(pool), rng)
        for position in weighted_order(1 / densities, rng):
            yield Pick(int(position))

    def densities(self, means: np.ndarray, rng: np.random.Generator) -> Generator[Note | Doing, None, np.ndarray]:
        """(N,) the densities, after progress and a note of how they were made."""
        X = (means - means.mean(axis=0, dtype=np.float64)).astype(np.float32)
        N = len(X)
        width = self.bandwidth * (median_distance(X, rng) or 1.0)  # any width does where all sentences are one point
        found: list[np.ndarray] = []
        if self.exact_up_to >= N:
            yield Note("density", "exact")
            for some in exact_densities(X, width, self.hashes):
                found.append(some)
                yield Doing("Densities", sum(map(len, found)), N)
            return np.concatenate(found)
        yield Note("density", f"sketch of {self.repetitions:,} x {self.buckets:,}")
        sketch = Sketch(X.shape[1], width, self.hashes, self.repetitions, self.buckets, rng)
        for start in range(0, N, sketch.batch):
            sketch.add(X[start : start + sketch.batch])
            yield Doing("Densities", min(start + sketch.batch, N), 2 * N)
        for start in range(0, N, sketch.batch):
            found.append(sketch.densities(X[start : start + sketch.batch]))
            yield Doing("Densities", N + min(start + sketch.batch, N), 2 * N)
        return np.concatenate(found)
