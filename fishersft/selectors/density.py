"""DensitySampling: rare regions of the pool as likely as dense ones."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishersft.design.kernel_density import Sketch, exact_densities, median_distance
from fishersft.selectors.base import Selector
from fishersft.selectors.inputs import check_number, check_whole, sentence_means
from fishersft.selectors.pool import Pool
from fishersft.selectors.sampling import weighted_order
from fishersft.selectors.selection import Doing, Note, Pick


@dataclass(frozen=True)
class DensitySampling(Selector):
    """Inverse propensity: without replacement, the next sentence drawn in proportion to 1 / (its kernel density in the pool).

    The kernel is the collision probability of locality-sensitive hashing, so that the sketch estimates what small pools
    compute exactly (`design/kernel_density.py`).

    Our reading: the mean token row as a sentence's vector; the width of a hash as a share of the median distance; four hashes
    to a bucket.

    Attributes:
        bandwidth: the width of a hash over the median distance between sentences of a seeded sample.
        hashes: how many must agree; more of them make the kernel narrower.
        exact_up_to: sentences up to which every distance is computed.
        repetitions, buckets: size of the sketch above that.
    """

    bandwidth: float = 1.0
    hashes: int = 4
    exact_up_to: int = 20_000
    repetitions: int = 512
    buckets: int = 20_000

    name: ClassVar[str] = "density"
    label: ClassVar[str] = "DensitySampling"
    summary: ClassVar[str] = "Draws sentences with odds of one over their kernel density, so that dense regions do not dominate."
    reference: ClassVar[str] = (
        "Sachdeva et al. 2024, How to Train Data-Efficient LLMs, arXiv 2402.09668; vectors and widths are our reading"
    )
    place: ClassVar[int] = 40
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("bandwidth", self.bandwidth, above=0.0)
        check_whole("hashes", self.hashes, 1)
        check_whole("exact_up_to", self.exact_up_to, 0)
        check_whole("repetitions", self.repetitions, 1)
        check_whole("buckets", self.buckets, 2)

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
