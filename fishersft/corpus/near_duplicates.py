"""Near-duplicates: texts that share most of their words in the same order, whatever their case, spacing or punctuation.

Two texts are near-duplicates where the Jaccard index of their sets of words and of pairs of neighbouring words is at least
0.7: one changed word in 25 leaves about 0.8.  Exact, by a sparse product; a character stands for a word in scripts that are
written without spaces.  Knows no corpus and no model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer

from fishersft.text import encodable

NEAR = 0.7
WORD = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]+"
AT_ONCE = 4_096  # texts compared in one product


def near_duplicates_of(known: Sequence[str], texts: Sequence[str], least: float = NEAR) -> np.ndarray:
    """(N,) bool: whether each text is a near-duplicate of one of the known ones; one without a word never is."""
    found = np.zeros(len(texts), dtype=bool)
    if not len(known):
        return found
    theirs = _shingles(known)
    for start in range(0, len(texts), AT_ONCE):
        found[start : start + AT_ONCE] = _near(_shingles(texts[start : start + AT_ONCE]), theirs, least).any(1)
    return found


def without_repeats(texts: Sequence[str], least: float = NEAR) -> np.ndarray:
    """Positions of the texts that are no near-duplicate of an earlier one that stays, ascending."""
    shingles = _shingles(texts)
    near = _near(shingles, shingles, least)
    kept: list[int] = []
    for i in range(len(texts)):
        if not near[i, kept].any():
            kept.append(i)
    return np.array(kept, dtype=np.int64)


def _near(ours: csr_matrix, theirs: csr_matrix, least: float) -> np.ndarray:
    """(n, k) bool: whether two sets of shingles have a Jaccard index of at least so much, and something in common."""
    shared = np.asarray((ours @ theirs.T).todense())
    either = np.asarray(ours.sum(1)).reshape(-1, 1) + np.asarray(theirs.sum(1)).reshape(1, -1) - shared
    out: np.ndarray = shared >= np.maximum(least * either, 1)
    return out


def _shingles(texts: Sequence[str]) -> csr_matrix:
    """(N, buckets) 1 where a text has a word or a pair of neighbouring words."""
    words = HashingVectorizer(
        binary=True, norm=None, alternate_sign=False, ngram_range=(1, 2), token_pattern=WORD, n_features=2**24, dtype=np.float32
    )
    return words.transform([encodable(text) for text in texts])
