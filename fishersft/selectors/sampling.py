"""What selectors that draw have in common: weighted sampling without replacement, and k-means clusters to draw from.

Weighted sampling is one order whose every prefix is a sample.  Source: Efraimidis & Spirakis 2006: item i gets the key
E_i / w_i with E_i a standard exponential; sorted by key, the next item is always i with probability w_i over the weights not
yet drawn.

k-means is scikit-learn's on one thread: a second pool of threads beside torch's made it several times slower, and several
threads add their sums in any order, so that the same seed would not give the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from fishersft.errors import ParameterError

LARGE = 20_000  # rows above which k-means works on batches
ROUNDING = 1e-12  # squared distances below this share of the largest squared row are rounding: zero


def weighted_order(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N,) positions in the order drawn with (N,) weights >= 0; those of weight zero come last, in random order."""
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("weights must be finite numbers of at least 0")
    exponential = rng.exponential(size=len(weights))
    scaled = weights / max(float(weights.max(initial=0.0)), np.finfo(float).tiny)  # so that no key overflows
    with np.errstate(divide="ignore", over="ignore"):
        return np.lexsort((exponential, exponential / scaled))


@dataclass(frozen=True)
class Clusters:
    """N rows in k clusters: the (N,) label of each, 0 to k - 1, and its (N,) squared distance to the cluster's centre."""

    labels: np.ndarray
    squared: np.ndarray

    def nearest(self) -> tuple[np.ndarray, np.ndarray]:
        """(k,) the row nearest to each centre, the lower of two, and (N,) which of these each row belongs to."""
        order = np.lexsort((self.squared, self.labels))  # stable: the lower index first
        _, first, member = np.unique(self.labels[order], return_index=True, return_inverse=True)
        group = np.empty(len(order), dtype=np.int64)
        group[order] = member
        return order[first], group


def k_means(rows: np.ndarray, k: int, rng: np.random.Generator) -> Clusters:
    """Lloyd's algorithm on (N, d) finite rows from one k-means++ start; on batches above 20,000 rows.

    k = 0 means round(sqrt(N)); there are never more clusters than distinct rows.  ParameterError if k is above N.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans  # takes a second to load, which few selectors need

    N = len(rows)
    if k > N:
        raise ParameterError(f"{k:,} clusters were asked for and the pool has {N:,} sentences; ask for at most {N:,}.")
    X = np.ascontiguousarray(rows - rows.mean(axis=0, dtype=np.float64), dtype=np.float32)
    k = min(k or max(1, round(N**0.5)), len({hash(x.tobytes()) for x in X}))
    state = int(rng.integers(2**31))
    with threadpool_limits(limits=1):
        if N > LARGE:
            fitted = MiniBatchKMeans(k, n_init=1, random_state=state, batch_size=4_096).fit(X)
        else:
            fitted = KMeans(k, n_init=1, random_state=state).fit(X)
    squared = np.empty(N)
    largest = 0.0
    for start in range(0, N, 8_192):
        part = X[start : start + 8_192].astype(np.float64)
        away = part - fitted.cluster_centers_[fitted.labels_[start : start + 8_192]]
        squared[start : start + 8_192] = np.einsum("ij,ij->i", away, away)
        largest = max(largest, float(np.einsum("ij,ij->i", part, part).max()))
    squared[squared < ROUNDING * largest] = 0.0
    return Clusters(fitted.labels_.astype(np.int64), squared)
