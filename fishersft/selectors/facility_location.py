"""FacilityLocation: every sentence of the pool close to a pick."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.design.greedy import SLACK, Pick
from fishersft.design.information import TIE
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool, sentence_means

TOGETHER = 256  # candidates evaluated in one product


@dataclass(frozen=True)
class FacilityLocation(Selector):
    """Greedy for the sum over the pool of the similarity to the nearest pick: (1 + cosine) / 2 of sentence means.

    Exact: the gain of a sentence only shrinks, so an old one is a bound (Minoux 1978).  The first pick looks at all pairs.
    """

    name = "facility_location"
    label = "FacilityLocation"
    summary = "Takes the sentence that brings the pool closest to its nearest picks, on average."
    purpose = "Typical sentences of every region: covers the middle of the pool where KCenter covers its edge."
    colour = "#E69F00"
    marker = "circle-cross"
    reference = "facility location (Cornuejols et al. 1977); Wei et al. 2015 (ICML) for subsets of data"
    place = 53
    gain_of = "similarity of the pool to its nearest picks"

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        means = sentence_means(pool).astype(np.float64)
        means = means / np.where((norms := np.linalg.norm(means, axis=1)) > 0, norms, 1)[:, None]
        served, bounds = np.zeros(len(means)), np.full(len(means), np.inf)
        evaluations = 0
        while True:
            best = -np.inf
            order = np.argsort(-bounds, kind="stable")
            now: dict[int, float] = {}
            for start in range(0, len(order), TOGETHER):
                some = order[start : start + TOGETHER]
                some = some[(bounds[some] * (1 + SLACK) >= best - TIE * abs(best)) & ~np.isneginf(bounds[some])]
                if not len(some):
                    break
                gains = np.clip((1 + means[some] @ means.T) / 2 - served, 0, None).sum(1)
                bounds[some], evaluations = gains, evaluations + len(some)
                now.update(zip(some.tolist(), gains.tolist(), strict=True))
                best = max(best, float(gains.max()))
            if not now:
                return
            position = min(p for p, gain in now.items() if gain >= best - TIE * abs(best))
            served = np.maximum(served, (1 + means[position] @ means.T) / 2)
            bounds[position] = -np.inf
            yield Pick(position, now[position], evaluations)
