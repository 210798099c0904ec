"""TokenOD, the paper's selector, and its variants: per token, on sentence means, weighted by what the model does not know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.design.rank_one import rank_one_greedy
from fishersft.selectors import Pick, Pool
from fishersft.selectors.base import DesignSelector


@dataclass(frozen=True)
class TokenOD(DesignSelector):
    """Greedy log det over all token rows of a sentence at once; exactly the picks of Algorithm 1, computed lazily."""

    name = "token_od"
    label = "TokenOD"
    summary = "Takes the sentence whose token rows add most to the log det of the design matrix."
    purpose = "The paper's rule: the largest log det, with a proof, when the budget counts sentences; covers rare directions."
    colour = "#0072B2"
    marker = "circle"
    criterion = "log_det"
    reference = "Deb et al. 2025, FisherSFT (ICML), arXiv 2505.14826, Algorithms 1 and 2"
    place = 0
    heeds_pins = True
    gain_of = "log det"

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        return pool.greedy(pool.embeddings, self.sigma2)


@dataclass(frozen=True)
class TokenODPerToken(DesignSelector):
    """Greedy by gain divided by trained tokens, exact for this rule: the cost-benefit form of greedy for a budget in tokens.

    Short sentences with one rare token come first.  Alone it carries no guarantee; the better of it and TokenOD cut at the
    same tokens does (Leskovec et al. 2007).
    """

    name = "token_od_per_token"
    label = "TokenOD per token"
    summary = "Takes the sentence with the largest gain in log det per token."
    purpose = "TokenOD for a budget that counts tokens: it does not favour long sentences."
    colour = "#0072B2"
    marker = "octagon"
    criterion = "log_det"
    reference = "ours, after Leskovec et al. 2007 (CELF), cost-benefit greedy"
    place = 1
    heeds_pins = True
    gain_of = "log det"

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        return pool.greedy(pool.embeddings, self.sigma2, costs=pool.tokens.astype(np.float64))


@dataclass(frozen=True)
class SentenceOD(DesignSelector):
    """Greedy log det over sentence means: every sentence counts as one row, so length cannot buy gain.

    Its gains are those of its own design, on means; they are not comparable with TokenOD's.
    """

    name = "sentence_od"
    label = "SentenceOD"
    summary = "TokenOD with one vector per sentence, the mean of its token rows."
    purpose = "Covers rare sentences without a preference for length."
    colour = "#E69F00"
    marker = "diamond"
    criterion = "sentence_log_det"
    reference = "Deb et al. 2025, baseline; the mean as the sentence's vector is our reading"
    place = 10
    gain_of = "log det of the means"

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        return rank_one_greedy(pool.embeddings.means, self.sigma2, device=pool.device)


@dataclass(frozen=True)
class FisherOD(DesignSelector):
    """TokenOD on rows times the square root of 1 - ||p||^2, where p is the model's prediction at that token.

    The Fisher information of the output head is the sum of (diag(p) - p p^T) (x) x x^T.  Lemma 3.1 drops the first factor; this
    keeps its trace, 1 - ||p||^2, which is 0 where the model is sure.  Gains are those of the weighted rows.
    """

    name = "fisher_od"
    label = "FisherOD"
    summary = "TokenOD with every token weighted by how unsure the model is of it."
    purpose = "Like TokenOD, for a corpus that the model already knows in large part."
    colour = "#CC79A7"
    marker = "star"
    criterion = "fisher_log_det"
    reference = "ours; answers a reviewer of Deb et al. 2025: what the model knows never enters TokenOD"
    place = 2
    heeds_pins = True
    gain_of = "log det of the weighted rows"

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        unsure = np.sqrt(np.clip(1 - pool.statistics().confidence, 0, 1))
        return pool.greedy(pool.embeddings.weighted(unsure), self.sigma2)
