"""DSIR: importance resampling by hashed words and pairs of words; needs no model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer

from fishersft.design.greedy import Pick
from fishersft.fields import parameter
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool
from fishersft.text import encodable

WORD = r"\w+|[^\w\s]+"  # a word, or a run of punctuation


@dataclass(frozen=True)
class DSIR(Selector):
    """Gumbel top-k on the log importance weight: how much likelier a text is as a bag of the target's words than of the pool's.

    Words and pairs of neighbouring words are hashed into buckets; both bags are smoothed by one count a bucket, which matters
    for a target of few texts and is our reading.
    """

    buckets: int = parameter(10_000, "Number of hash buckets for words and pairs of words.", least=2, most=2**24)

    name = "dsir"
    label = "DSIR"
    summary = "Draws sentences whose words are likelier in the target than in the pool."
    purpose = "A target without a model: word statistics only, at almost no cost."
    colour = "#8C8C2E"
    marker = "arrow-down"
    reference = "Xie et al. 2023 (NeurIPS), arXiv 2302.03169; smoothing: our reading"
    place = 15
    reads_texts = True
    random = True
    needs_target = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        assert pool.target is not None
        words = HashingVectorizer(
            norm=None, alternate_sign=False, ngram_range=(1, 2), token_pattern=WORD, n_features=self.buckets
        )
        ours, theirs = (words.transform([encodable(t) for t in texts]) for texts in (pool.texts(), pool.target.texts))
        weights = ours @ (_log_shares(theirs) - _log_shares(ours))
        for position in np.argsort(-(weights + rng.gumbel(size=len(pool))), kind="stable"):
            yield Pick(int(position))


def _log_shares(counts: object) -> np.ndarray:
    """(buckets,) log of each bucket's share, smoothed by one count."""
    total = np.asarray(counts.sum(0)).ravel() + 1.0  # type: ignore[attr-defined]
    out: np.ndarray = np.log(total / total.sum())
    return out
