"""A pool whose truth is known, and how far a fitted head is from that truth.

    x_ij in R^d    a token row of sentence i of N; T rows in all
    Theta* (d, L)  the true head; y_ij is drawn from softmax(Theta*^T x_ij)
    V(S)           sigma2 I + the sum of x x^T over the tokens of the sentences S

    e_i            = sum_j || (Theta* - Theta_hat)^T x_ij ||_2       the prediction error of sentence i, in logits
    worst leverage = max over all token rows x of the pool of x^T V(S)^-1 x                         G-optimality
    log det        = log det V(S) - log det V(empty), nats                                          D-optimality

softmax(Theta^T x) does not change when one vector is added to every column of Theta, so labels say nothing about that part, and
the ridge sets it to zero in Theta_hat.  So both heads are pinned before they are compared: their columns are centred over the
classes, which gives the smallest error over all such shifts.  This is our reading; the paper's pinning is not public.

Source: FisherSFT (arXiv 2505.14826), sections 3, 4 and 5.1; the sum over tokens is our reading.  Pools, lengths and the scale
of Theta* are not public: these are ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from fishersft.corpus.records import Corpus
from fishersft.design.information import design_matrix, leverage, log_det
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import ParameterError
from fishersft.experiments.logistic import centred, fit, log_probabilities
from fishersft.lm.losses import TokenStatistics
from fishersft.selectors import Pool

ROWS = 65_536  # of the pool at once
REFERENCE_SHARE = 0.02  # of the sentences, drawn uniformly, that the reference head is fitted on
REFERENCE_LEAST = 20  # sentences, at least


@dataclass(frozen=True)
class Problem:
    """One pool with its truth: `theta` (d, L) is Theta*, `labels` (T,) int64 from 0 to L - 1.

    `seed` is that of the uniform draw behind `reference`, and `corpus` the texts behind the rows where there are any.
    """

    embeddings: TokenEmbeddings
    theta: np.ndarray
    labels: np.ndarray
    seed: int = 0
    corpus: Corpus | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        T, d = self.embeddings.values.shape
        if self.theta.ndim != 2 or self.theta.shape[0] != d or self.theta.shape[1] < 2:
            raise ValueError(f"theta must be ({d}, L) with L at least 2, not {self.theta.shape}")
        if self.labels.shape != (T,) or self.labels.min() < 0 or self.labels.max() >= self.theta.shape[1]:
            raise ValueError("labels must be (T,), each from 0 to L - 1")

    @property
    def dimension(self) -> int:
        return int(self.theta.shape[0])

    @property
    def classes(self) -> int:
        return int(self.theta.shape[1])

    def rows(self, positions: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(t, d) float64 rows and (t,) labels of some sentences, one after another; of all of them by default."""
        values = self.embeddings.values
        if positions is None:
            return np.asarray(values, dtype=np.float64), self.labels
        which = token_index(self.embeddings.offsets, positions)
        return values[which].astype(np.float64), self.labels[which]

    @cached_property
    def reference(self) -> TokenStatistics:
        """Losses and confidences of every token under a head fitted on a small uniform draw: what "the model" answers here, where
        there is no language model.  The draw counts towards nobody's budget, and nobody's Theta_hat starts from that head."""
        N = len(self.embeddings)
        count = min(N, max(REFERENCE_LEAST, round(REFERENCE_SHARE * N)))
        drawn = np.sort(np.random.default_rng(self.seed).permutation(N)[:count])
        theta = fit(*self.rows(drawn), self.classes, ridge=1.0).theta
        X, y = self.rows()
        log_p = log_probabilities(X, theta)
        return TokenStatistics(
            loss=(-log_p[np.arange(len(y)), y]).astype(np.float32),
            confidence=np.exp(2 * log_p).sum(1).astype(np.float32),
            offsets=self.embeddings.offsets,
        )

    # the two calls that make a Problem what `fishersft.lm.losses.Readings` asks for; nothing is fitted before they are made
    def statistics(self) -> TokenStatistics:
        return self.reference

    def losses(self, positions: np.ndarray) -> np.ndarray:
        return self.reference.losses(positions)

    def pool(self) -> Pool:
        """What selectors see: rows, lengths, and the reference head's losses on request."""
        return Pool(self.embeddings, corpus=self.corpus, readings=self)


class World(Protocol):
    """Makes problems.  A frozen dataclass; equal settings and seeds make equal problems.

    `name` is the subcommand (`synthetic`, `words` or `teacher`), `title` tells people what pool this is, and `settings` are
    everything but the seed that decides the problems, for JSON, with `dimension`, `classes` and `sentences` among them.
    """

    @property
    def name(self) -> str: ...
    @property
    def settings(self) -> dict[str, Any]: ...
    @property
    def title(self) -> str: ...
    def arguments(self) -> list[str]:
        """The command-line options that make this world, without those at their defaults."""

    def problem(self, seed: int) -> Problem: ...


def prediction_errors(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """(N,) e_i of every sentence of the pool for a fitted head (d, L)."""
    difference = centred(problem.theta) - centred(theta)
    apart = (rows @ difference for rows in row_batches(problem.embeddings.values))
    norms = np.concatenate([np.sqrt(np.einsum("tl,tl->t", some, some)) for some in apart])
    return np.add.reduceat(norms, problem.embeddings.offsets[:-1])


def design_scores(problem: Problem, positions: np.ndarray, sigma2: float = 1.0) -> tuple[float, float]:
    """Worst leverage over the pool's token rows, and the log det gained in nats, of some sentences."""
    V = design_matrix([problem.rows(positions)[0]], problem.dimension, sigma2)
    worst = max(float(leverage(V, rows).max()) for rows in row_batches(problem.embeddings.values))
    return worst, log_det(V) - problem.dimension * float(np.log(sigma2))


def draw_labels(X: np.ndarray, theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(t,) int64 labels from softmax(theta^T x), a row each: the largest of logit + Gumbel noise."""
    return np.argmax(X @ theta + rng.gumbel(size=(len(X), theta.shape[1])), axis=1).astype(np.int64)


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """(N + 1,) where the tokens of each sentence begin."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def token_index(offsets: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(t,) which rows the tokens of some sentences are, one sentence after another."""
    lengths = np.diff(offsets)[positions]
    ends = np.cumsum(lengths)
    return np.arange(int(ends[-1])) + np.repeat(offsets[positions] - (ends - lengths), lengths)


def row_batches(values: np.ndarray) -> Iterator[np.ndarray]:
    """The rows as float64, some thousands at once, because a large pool is mapped from the disk."""
    for start in range(0, len(values), ROWS):
        yield np.asarray(values[start : start + ROWS], dtype=np.float64)


def check_memory(tokens: float, dimension: int, classes: int) -> None:
    """ParameterError that names what to lower where a problem of so many tokens cannot fit into this machine's memory."""
    needed = 8.0 * tokens * (3 * dimension + 5 * classes)
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return
    if needed > there:
        raise ParameterError(
            f"This needs about {needed / 1e9:,.0f} GB and the machine has {there / 1e9:,.0f} GB; "
            "lower --sentences, --dimension or --classes."
        )
