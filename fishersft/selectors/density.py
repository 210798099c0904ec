"""DensitySampling: rare regions of the pool as likely as dense ones.

The kernel density of every sentence is computed exactly, or in a large pool by a hashed sketch of the same quantity:

    density_i = 1/N sum over j of k(|x_i - x_j|), x_i itself included;  k(c) = p(c)^hashes

p(c) is the probability that one hash h(x) = floor((a . x + b) / width), a Gaussian and b uniform on [0, width), is the same
for two points c apart (p-stable LSH, Datar et al. 2004, section 3.2), in closed form with s = width / (sqrt(2) c):

    p(c) = erf(s) - (1 - exp(-s^2)) / (s sqrt(pi))

The *sketch* is RACE (Coleman & Shrivastava 2020): R times, `hashes` such hashes are drawn and their values hashed on to one
of B buckets; a first pass counts the points in each bucket, a second averages over R the count of each point's bucket.
Points whose values differ share a bucket with probability 1 / B, which is taken off, so the sketch estimates density_i.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from fishersft.fields import parameter
from fishersft.selectors import Doing, Note, Pick, Pool, Selector
from fishersft.selectors.pool import sentence_means
from fishersft.selectors.sampling import weighted_order

PAIRS = 4_000_000  # distances, or hashes, computed at once: 32 MB


@dataclass(frozen=True)
class DensitySampling(Selector):
    """Inverse propensity: without replacement, the next sentence drawn in proportion to 1 / (its kernel density in the pool).

    Our reading: the mean token row as a sentence's vector; the width of a hash as a share of the median distance; four hashes
    to a bucket.
    """

    bandwidth: float = parameter(1.0, "Width of a hash, relative to the median distance between sentences.", above=0)
    hashes: int = parameter(4, "How many hashes must agree; more of them make the kernel narrower.", least=1, most=64)
    exact_up_to: int = parameter(20_000, "Largest pool in which every distance is computed.", unit="sentences", least=0)
    repetitions: int = parameter(512, "Rows of the sketch of a larger pool.", least=1, most=4_096)
    buckets: int = parameter(20_000, "Buckets in each row of the sketch.", least=2, most=65_536)

    name = "density"
    label = "DensitySampling"
    summary = "Draws sentences with odds inverse to their kernel density, so that dense regions do not dominate."
    purpose = "A cheap remedy for a pool in which some kinds of text crowd out others."
    colour = "#CC79A7"
    marker = "cross"
    reference = "Sachdeva et al. 2024, How to Train Data-Efficient LLMs, arXiv 2402.09668; vectors and widths are our reading"
    place = 40
    random = True

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


def collision(c: torch.Tensor, width: float, hashes: int) -> torch.Tensor:
    """k(c) of distances c >= 0; 1 at 0 and falling."""
    s = width / (2**0.5 * c)  # infinite at 0, where erf is 1 and the rest 0
    return (torch.erf(s) + torch.expm1(-(s * s)) / (s * torch.pi**0.5)).clamp_(min=0.0).pow_(hashes)


def median_distance(X: np.ndarray, rng: np.random.Generator, sample: int = 1_000) -> float:
    """The median distance between points of a random sample; the mean one where that is 0; 0 where all are one point."""
    some = X if len(X) <= sample else X[rng.choice(len(X), sample, replace=False)]
    far = torch.pdist(torch.from_numpy(some.astype(np.float64)))
    if not len(far):
        return 0.0
    return float(far.median()) or float(far.mean())


def exact_densities(X: np.ndarray, width: float, hashes: int) -> Iterator[np.ndarray]:
    """The (N,) float64 densities of (N, d) centred points, a batch at a time; O(N^2 d) in all."""
    rows = torch.from_numpy(X.astype(np.float64))
    squares = rows.square().sum(1)
    size = max(1, PAIRS // len(X))
    for start in range(0, len(X), size):
        some = rows[start : start + size]
        # float64 up to the distance, where large numbers cancel; float32 is enough for the kernel
        c = torch.addmm(squares, some, rows.T, alpha=-2).add_(squares[start : start + size, None])
        c = c.clamp_(min=0.0).sqrt_().float()
        c[torch.arange(len(some)), torch.arange(start, start + len(some))] = 0.0
        yield collision(c, width, hashes).mean(1, dtype=torch.float64).numpy()


class Sketch:
    """R = `repetitions` rows of B = `buckets` counts, at least 2; the error falls with the square root of R."""

    def __init__(self, d: int, width: float, hashes: int, repetitions: int, buckets: int, rng: np.random.Generator) -> None:
        self.hashes, self.buckets = hashes, buckets
        # the offset b and the division by the width are folded into one affine map
        self.directions = torch.from_numpy(rng.standard_normal((d, repetitions * hashes), dtype=np.float32) / np.float32(width))
        self.offsets = torch.from_numpy(rng.random(repetitions * hashes, dtype=np.float32))
        # a multilinear hash of the values to 31 bits (Dietzfelbinger 1996), then the remainder
        self.odd = rng.integers(2**64, size=(repetitions, hashes), dtype=np.uint64)
        self.shift = rng.integers(2**64, size=repetitions, dtype=np.uint64)
        self.counts = np.zeros((repetitions, buckets), dtype=np.int64)
        self.points = 0

    @property
    def batch(self) -> int:
        """Points to give at once."""
        return max(1, PAIRS // self.directions.shape[1])

    def add(self, X: np.ndarray) -> None:
        """First pass: count some points, (n, d)."""
        for counts, buckets in zip(self.counts, self._buckets(X), strict=True):
            counts += np.bincount(buckets, minlength=self.buckets)
        self.points += len(X)

    def densities(self, X: np.ndarray) -> np.ndarray:
        """Second pass: (n,) estimates for points that were counted; at least 1 / N, a point's own share."""
        share = np.take_along_axis(self.counts, self._buckets(X), axis=1).mean(0) / self.points
        chance = 1 / self.buckets
        return ((share - chance) / (1 - chance)).clip(min=1 / self.points)

    def _buckets(self, X: np.ndarray) -> np.ndarray:
        """(R, n) the bucket of each point in each repetition."""
        values = torch.addmm(self.offsets, torch.from_numpy(X.astype(np.float32)), self.directions).floor_()
        codes = values.to(torch.int64).numpy().view(np.uint64).reshape(len(X), len(self.counts), self.hashes)
        mixed = (codes * self.odd).sum(-1, dtype=np.uint64) + self.shift
        return ((mixed >> np.uint64(33)) % np.uint64(self.buckets)).astype(np.int64).T
