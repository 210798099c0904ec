"""Selectors that start from k-means clusters of the sentence means: ClusteredSampling, Prototypes and Stratified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.fields import parameter
from fishersft.selectors import Note, Pick, Pool, Selector
from fishersft.selectors.pool import finite_losses, sentence_means
from fishersft.selectors.sampling import k_means, weighted_order


@dataclass(frozen=True)
class ClusteredSampling(Selector):
    """Without replacement, the next sentence e drawn in proportion to loss(centre(e)) + lam ||e - centre(e)||^2.

    k-means on sentence means; the loss of a cluster is the mean loss a token, in nats, of the sentence nearest to its centre,
    and no other loss is asked for.  The second term bounds what the loss of e can differ by.

    Our reading: the form and the power z = 2; squared distances divided by their mean, so that lam = 1 weighs an average
    distance like one nat; the paper draws with replacement and weights the training loss by 1 / p, here every pick counts once.
    """

    clusters: int = parameter(0, "Number of clusters; 0 means the square root of the number of sentences.", least=0)
    lam: float = parameter(1.0, "Weight of the mean squared distance.", label="lam", unit="nats", least=0)

    name = "clustered"
    label = "ClusteredSampling"
    summary = "Draws sentences from clusters where the model's loss is high or the centre is far."
    purpose = "For when the loss shows what is worth learning but costs too much to compute everywhere."
    colour = "#8C8C2E"
    marker = "x"
    reference = "Axiotis et al. 2024 (ICML), arXiv 2402.17327; form and scale are our reading"
    place = 41
    random = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick | Note]:
        clusters = k_means(sentence_means(pool), self.clusters, rng)
        centres, group = clusters.nearest()
        losses = finite_losses(pool.losses(centres), centres)
        yield Note("clustered", f"loss asked of {len(centres):,} sentences of {len(pool):,}")
        mean = clusters.squared.mean()
        distances = clusters.squared / mean if mean > 0 else clusters.squared
        # a loss is never below 0 but by rounding
        for position in weighted_order(losses.clip(min=0)[group] + self.lam * distances, rng):
            yield Pick(int(position))


@dataclass(frozen=True)
class Prototypes(Selector):
    """k-means, then by the distance to the own centre: the nearest are prototypes; the lower index first where two are equal.

    The paper clusters images by a self-supervised model; the mean token row as a sentence's vector is our reading.
    """

    keep: str = parameter(
        "hard", "Hard takes the sentence farthest from its centre first, easy the nearest.", choices=("hard", "easy")
    )
    clusters: int = parameter(0, "Number of clusters; 0 means the square root of the number of sentences.", least=0)

    name = "prototypes"
    label = "Prototypes"
    summary = "Takes the sentences farthest from the centre of their k-means cluster, or the nearest."
    purpose = "The unusual (or the typical) sentences of each cluster."
    colour = "#CC79A7"
    marker = "diamond-tall"
    reference = "Sorscher et al. 2022, Beyond neural scaling laws (NeurIPS), arXiv 2206.14486, section 5"
    place = 50
    random = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        squared = k_means(sentence_means(pool), self.clusters, rng).squared
        for position in np.argsort(-squared if self.keep == "hard" else squared, kind="stable"):
            yield Pick(int(position))


@dataclass(frozen=True)
class Stratified(Selector):
    """k-means strata on standardised sentence means; a share of each, systematically over its sentences sorted by tokens.

    One order whose every prefix is such a sample:

    - *Within a stratum* of N_s sentences, sorted by tokens and laid around a circle, an arc each: the points of the van der
      Corput sequence 0, 1/2, 1/4, 3/4, ... all turned by one random angle hit one sentence after another.  A prefix is spread
      over short and long ones, and by symmetry every sentence is as likely to be in it.
    - *Between strata*, the p-th sentence of stratum s (p from 0) has the key (p + U_s) / N_s, U_s uniform on [0, 1), and keys
      are sorted.  At a threshold t a stratum has given t N_s to within 1, so a prefix of n takes its share n N_s / N from
      each, to within about 1 (sometimes 2 from a stratum that is half of the pool: it pays for the rounding of all others).
    """

    strata: int = parameter(0, "Number of strata; 0 means the square root of the number of sentences.", least=0)

    name = "stratified"
    label = "Stratified"
    summary = "Draws a proportional share of every cluster, spread evenly over short and long sentences."
    purpose = "A fair share of every cluster and length: a cheap rival of MatchedOD at equal tokens."
    colour = "#009E73"
    marker = "square-cross"
    reference = "ours; systematic sampling within k-means strata"
    place = 60
    random = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        labels = k_means(standardised(sentence_means(pool)), self.strata, rng).labels
        for position in stratified_order(labels, pool.tokens, rng):
            yield Pick(int(position))


def standardised(X: np.ndarray) -> np.ndarray:
    """(N, d) float32 with mean 0 and variance 1 in every column; columns that are constant but for rounding become 0."""
    mean, spread = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
    varies = spread > 1e-6 * np.abs(mean)
    return ((X - mean) * varies / np.where(varies, spread, 1.0)).astype(np.float32)


def stratified_order(labels: np.ndarray, tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N,) positions, merged from the systematic orders of all strata."""
    keys = np.empty(len(labels))
    for stratum in np.unique(labels):
        members = np.flatnonzero(labels == stratum)
        by_tokens = members[np.argsort(tokens[members], kind="stable")]
        ranks = systematic_order(len(members), rng.random())
        keys[by_tokens[ranks]] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(keys, kind="stable")


def systematic_order(N: int, turn: float) -> np.ndarray:
    """(N,) ranks 0 to N - 1 in the order in which the van der Corput points, turned by `turn` in [0, 1), first hit them."""
    bits = (N - 1).bit_length()
    j = np.arange(2**bits)
    points = np.zeros_like(j)  # of the sequence, times 2^bits: the bits of j in reverse
    for bit in range(bits):
        points += (j >> bit & 1) << (bits - 1 - bit)
    # in whole numbers, so that none of the N arcs is missed: the points are at most an arc apart
    hit = (points * N + int(turn * N * 2**bits) >> bits) % N
    ranks, first = np.unique(hit, return_index=True)
    return ranks[np.argsort(first)]
