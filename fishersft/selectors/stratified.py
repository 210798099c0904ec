"""Stratified: every region of the pool, and every length in it, in its share; a cheap rival of MatchedOD."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.fields import parameter
from fishersft.selectors import Pick, Pool, Selector
from fishersft.selectors.pool import sentence_means
from fishersft.selectors.sampling import k_means


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
