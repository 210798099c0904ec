"""A pool whose truth is known: rows, the head that made the labels, and the labels.

    N sentences, sentence i with M_i tokens; T tokens in all
    x_ij in R^d   a token row
    Theta* (d, L) the true head; y_ij is drawn from softmax(Theta*^T x_ij)

A `World` makes one such problem a seed: `synthetic.py`, `words.py` and `teacher.py` are worlds.  What a world may be asked
is the protocol below; an experiment (`experiment.py`) knows no more of it.  Knows no selector and no file.

Source: FisherSFT (arXiv 2505.14826), sections 3 and 5.1; pools, lengths and the scale of Theta* are not public: ours.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fishersft.errors import ParameterError
from fishersft.lm.embed import TokenEmbeddings
from fishersft.lm.losses import TokenStatistics

if TYPE_CHECKING:
    from fishersft.corpus.records import Corpus
    from fishersft.selectors import Pool

REFERENCE_SHARE = 0.02  # of the sentences, drawn uniformly, that the reference head is fitted on
REFERENCE_LEAST = 20  # sentences, at least


@dataclass(frozen=True)
class Problem:
    """One pool with its truth.

    Attributes:
        embeddings: the rows, T in all.
        theta: (d, L) Theta*.
        labels: (T,) int64, 0 to L - 1.
        seed: of the uniform draw behind `reference`.
        corpus: the texts behind the rows, where there are any.
        facts: what is worth knowing of how it was made; numbers and short texts.
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
        which = self.token_index(positions)
        return values[which].astype(np.float64), self.labels[which]

    def token_index(self, positions: np.ndarray) -> np.ndarray:
        """(t,) which tokens those of some sentences are, one sentence after another."""
        starts, lengths = self.embeddings.offsets[positions], self.embeddings.tokens[positions]
        ends = np.cumsum(lengths)
        return np.arange(int(ends[-1])) + np.repeat(starts - (ends - lengths), lengths)

    @cached_property
    def reference(self) -> TokenStatistics:
        """Losses and confidences of every token under a head fitted on a small uniform draw.

        Our reading of what a selector that asks "the model" is to be told here, where there is no language model: a head that
        has seen 2% of the sentences (at least 20).  What it has seen is not counted in anyone's budget, and nobody's
        Theta_hat starts from it.
        """
        from fishersft.experiments.logistic import fit, log_probabilities

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
        """What selectors see: rows, lengths, and the reference head's losses when they ask."""
        from fishersft.selectors import Pool

        return Pool(self.embeddings, corpus=self.corpus, readings=self)

    def rotated(self, Q: np.ndarray) -> Problem:
        """The same problem in other coordinates: rows X Q and head Q^T Theta* for an orthogonal Q, the same labels."""
        e = self.embeddings
        turned = TokenEmbeddings(np.asarray(e.values, dtype=np.float64) @ Q, e.offsets, e.index, e.facts)
        return replace(self, embeddings=turned, theta=Q.T @ self.theta)


class World(Protocol):
    """Makes problems.  A frozen dataclass; equal settings and seeds make equal problems."""

    @property
    def name(self) -> str:
        """Of the subcommand: `synthetic`, `words`, `teacher`."""

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the problems but the seed, for JSON; with `dimension`, `classes` and `sentences`."""

    @property
    def title(self) -> str:
        """One line for people: what pool this is."""

    def arguments(self) -> list[str]:
        """The command line's options that make this world, those at their defaults left out."""

    def problem(self, seed: int) -> Problem:
        """A problem of this world."""


def draw_labels(X: np.ndarray, theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(t,) int64 labels from softmax(theta^T x), a row each: the largest of logit + Gumbel noise."""
    return np.argmax(X @ theta + rng.gumbel(size=(len(X), theta.shape[1])), axis=1).astype(np.int64)


def lengths(count: int, median: float, spread: float, rng: np.random.Generator, most: int = 256) -> np.ndarray:
    """(count,) tokens a sentence: log-normal with this median, rounded, 1 to `most`.

    Args:
        spread: standard deviation of the logarithm; 0 makes all lengths equal.
    """
    return np.clip(np.rint(median * np.exp(spread * rng.normal(size=count))), 1, most).astype(np.int64)


def check_memory(tokens: float, dimension: int, classes: int, settings: str) -> None:
    """ParameterError that names the settings to lower where a problem of so many tokens cannot fit into this machine."""
    needed = 8.0 * tokens * (3 * dimension + 5 * classes)
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return
    if needed > there:
        raise ParameterError(
            f"About {needed / 1e9:,.0f} GB would be needed and this machine has {there / 1e9:,.0f} GB; lower {settings}."
        )
