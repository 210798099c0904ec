"""`Pool`: what a selector sees.

Rows always; texts, the model and what it says of each token where a selector asks for them.  How the greedy algorithm is run
(here, on a GPU, on many machines) and where answers of a language model are kept belong to the pool too, so that no
selector needs to know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fishersft.design.greedy import Step, greedy
from fishersft.errors import ParameterError
from fishersft.lm.embed import TokenEmbeddings

if TYPE_CHECKING:
    from fishersft.corpus.records import Corpus
    from fishersft.lm.model import CausalLM
    from fishersft.lm.statistics import Readings, TokenStatistics


@dataclass(frozen=True)
class Pool:
    """N records with their rows.

    A *position* counts within the pool (0 to N - 1); an *index* is the record's number in the corpus.

    Attributes:
        embeddings: the rows.
        corpus: the texts, for selectors that read them.
        model: the model that made the rows; with the corpus it gives the losses, where `readings` are not given.
        readings: losses and confidences of the pool's tokens, from a store or made by hand.
        answers: what language models answered, by the digest of the question; kept between runs where it is a kept mapping.
        greedy: how greedy is run; `fishersft.design.greedy.greedy` or one that takes the same arguments.
        device: where dense algebra happens.
    """

    embeddings: TokenEmbeddings
    corpus: Corpus | None = None
    model: CausalLM | None = None
    readings: Readings | None = None
    answers: MutableMapping[str, Any] = field(default_factory=dict, repr=False)
    greedy: Callable[..., Iterator[Step]] = greedy
    device: str = "cpu"

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def index(self) -> np.ndarray:
        return self.embeddings.index

    @property
    def tokens(self) -> np.ndarray:
        return self.embeddings.tokens

    def statistics(self) -> TokenStatistics:
        """Loss and confidence of every trained token under the model.

        Raises:
            ParameterError: neither readings nor corpus and model are at hand.
        """
        return self._reader().statistics()

    def losses(self, positions: np.ndarray) -> np.ndarray:
        """(k,) mean loss a trained token of some records, nats; only these are asked for."""
        return self._reader().losses(positions)

    def texts(self) -> list[str]:
        """(N,) what a person reads of each record.

        Raises:
            ParameterError: the pool was made without its corpus.
        """
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
        from fishersft.lm.statistics import ModelReadings

        return ModelReadings(self.embeddings, self.corpus, self.model)
