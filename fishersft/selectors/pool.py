"""`Pool`: what a selector sees.

Rows always; texts, the model and its losses if a selector asks for them.  How greedy is run (here, on a GPU, on many machines)
and where a language model's answers are kept belong to the pool too, so that no selector needs to know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from fishersft.corpus.records import Corpus
from fishersft.design.greedy import Pick, greedy
from fishersft.design.rows import TokenEmbeddings, check_finite
from fishersft.errors import ModelError, ParameterError
from fishersft.lm.hyperparameters import Training
from fishersft.lm.losses import ModelReadings, Readings, TokenStatistics
from fishersft.lm.model import CausalLM
from fishersft.selectors.target import Target


class CostlyLosses(Protocol):
    """Losses that take more than a reading of the stored rows; `index` are numbers of records in the corpus."""

    def without_prompts(self, index: np.ndarray) -> np.ndarray:
        """(k,) mean loss a token of each answer without what comes before it, nats."""

    def after_tuning(self, index: np.ndarray, target: Target, training: Training) -> np.ndarray:
        """(k,) mean loss a trained token under the model tuned on the target's choosing half, nats."""


@dataclass(frozen=True)
class Pool:
    """N records with their rows.

    A *position* counts within the pool (0 to N - 1); an *index* is the record's number in the corpus.

    Attributes:
        embeddings: the rows, and the device where dense algebra happens.
        corpus: the texts, for selectors that read them.
        model: the model that made the rows; with the corpus it gives the losses, where `readings` are not given.
        readings: losses and confidences of the pool's tokens, from a store or made by hand.
        costly: losses that take a pass over the texts or a tuning, where a selector asks.
        answers: what language models answered, by the digest of the question; kept between runs where it is a kept mapping.
        greedy: how greedy is run; `fishersft.design.greedy.greedy` or one that takes the same arguments.
        target: texts that the model should get good at, for selectors that choose for one.
        pinned, excluded: positions that are taken first, and that are never taken (`given`).
    """

    embeddings: TokenEmbeddings
    corpus: Corpus | None = None
    model: CausalLM | None = None
    readings: Readings | None = None
    costly: CostlyLosses | None = field(default=None, repr=False)
    answers: MutableMapping[str, Any] = field(default_factory=dict, repr=False)
    greedy: Callable[..., Iterator[Pick]] = greedy
    target: Target | None = None
    pinned: tuple[int, ...] = ()
    excluded: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def index(self) -> np.ndarray:
        return self.embeddings.index

    @property
    def tokens(self) -> np.ndarray:
        return self.embeddings.tokens

    @property
    def device(self) -> str:
        return self.embeddings.device

    @property
    def is_free(self) -> bool:
        """Whether nothing is pinned and nothing excluded."""
        return not self.pinned and not self.excluded

    def given(self, pinned: Sequence[int] = (), excluded: Sequence[int] = ()) -> Pool:
        """This pool with records (by number) that are taken first, in this order, and records that are never taken.

        Selectors that run the pool's greedy heed it; the others refuse.  ParameterError if a record is named twice or not in
        the pool.
        """
        if not pinned and not excluded:
            return self
        named = [*pinned, *excluded]
        if len(set(named)) < len(named):
            twice = next(r for r in named if named.count(r) > 1)
            raise ParameterError(f"Record {twice} is pinned or excluded twice; name each record once.")
        there = {int(record): position for position, record in enumerate(self.index)}
        if missing := [record for record in named if record not in there]:
            raise ParameterError(
                f"Record {missing[0]} cannot be pinned or excluded: it is not in the pool (held-out and blank records are not)."
            )
        first, never = tuple(there[r] for r in pinned), tuple(there[r] for r in excluded)
        return replace(self, pinned=first, excluded=never, greedy=partial(self.greedy, pinned=first, excluded=never))

    def keeping(self, positions: np.ndarray) -> Pool:
        """This pool with some of its records only, ascending."""
        if len(positions) == len(self):
            return self
        rows = self.embeddings.subset(positions)
        readings = None if self.readings is None else SomeReadings(self.readings, self.embeddings, positions)
        return replace(self, embeddings=rows, readings=readings)

    def statistics(self) -> TokenStatistics:
        """Loss and confidence of every trained token under the model; ParameterError without readings, or corpus and model."""
        return self._reader().statistics()

    def losses(self, positions: np.ndarray) -> np.ndarray:
        """(k,) mean loss a trained token of some records, nats; only these are asked for."""
        return self._reader().losses(positions)

    def losses_without_prompts(self) -> np.ndarray:
        """(N,) mean loss a token of each record's answer, read without its prompt, nats."""
        return self._costly().without_prompts(self.index)

    def losses_after_tuning(self, training: Training) -> np.ndarray:
        """(N,) mean loss a trained token under the model tuned on the target's choosing half, nats."""
        assert self.target is not None
        return self._costly().after_tuning(self.index, self.target, training)

    def _costly(self) -> CostlyLosses:
        if self.costly is None:
            raise ParameterError("This selector runs the model on the texts; load the pool with fishersft.load_pool.")
        return self.costly

    def texts(self) -> list[str]:
        """(N,) what a person reads of each record; ParameterError if the pool was made without its corpus."""
        if self.corpus is None:
            raise ParameterError("This selector reads the texts; give the pool its corpus: Pool(embeddings, corpus).")
        return [self.corpus.text(int(i)) for i in self.index]

    def _reader(self) -> Readings:
        if self.readings is not None:
            return self.readings
        if self.corpus is None or self.model is None:
            raise ParameterError(
                "This selector asks the model for its losses; give the pool corpus and model: Pool(embeddings, corpus, model)."
            )
        return ModelReadings(self.embeddings, self.corpus, self.model)


@dataclass(frozen=True)
class SomeReadings:
    """Readings of some records of a larger pool."""

    whole: Readings
    rows: TokenEmbeddings
    positions: np.ndarray

    def statistics(self) -> TokenStatistics:
        every = self.whole.statistics()
        some = np.concatenate([np.arange(*self.rows.offsets[p : p + 2]) for p in self.positions])
        offsets = np.concatenate([[0], np.cumsum(self.rows.tokens[self.positions])])
        return TokenStatistics(every.loss[some], every.confidence[some], offsets)

    def losses(self, positions: np.ndarray) -> np.ndarray:
        return self.whole.losses(self.positions[positions])


def sentence_means(pool: Pool) -> np.ndarray:
    """(N, d) float32: the mean token row of each sentence; DesignError names the first that is not finite."""
    means = pool.embeddings.means
    check_finite(np.einsum("ij,ij->i", means, means, dtype=np.float64))
    return means


def target_similarity(pool: Pool) -> np.ndarray:
    """(N, A) float32 cosine of the position-weighted means of the pool's records and of the target's choosing texts."""
    assert pool.target is not None
    out: np.ndarray = pool.embeddings.position_weighted_means @ pool.target.choosing.position_weighted_means.T
    return out


def finite_losses(losses: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
    """The losses as float64; ModelError names the first sentence whose loss is no number."""
    losses = np.asarray(losses, dtype=np.float64)
    if not np.isfinite(losses).all():
        bad = int(np.flatnonzero(~np.isfinite(losses))[0])
        record = bad if positions is None else int(positions[bad])
        raise ModelError(
            f"The model's loss on record {record:,} of the pool is {losses[bad]}; remove the record or choose another model."
        )
    return losses
