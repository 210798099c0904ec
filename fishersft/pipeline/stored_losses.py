"""Token statistics that last: computed once for embeddings and a model, then read from the store.

The model's weights are loaded only where something has to be computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fishersft.corpus.records import Corpus
from fishersft.design.rows import TokenEmbeddings
from fishersft.lm.folder import ModelFolder
from fishersft.lm.losses import ModelReadings, TokenStatistics
from fishersft.lm.model import CausalLM, load_model
from fishersft.store.artifacts import ArtifactKey, Store, cached_arrays, read_arrays

STATISTICS = "statistics"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class StoredLosses:
    """A pool's losses and confidences, behind a store."""

    embeddings: TokenEmbeddings
    corpus: Corpus
    model: ModelFolder | CausalLM
    store: Store
    device: str = "auto"
    on_progress: Progress | None = None

    def statistics(self) -> TokenStatistics:
        if not self.embeddings.key:
            return self._now().statistics()

        def compute() -> dict[str, np.ndarray]:
            read = self._now().statistics()
            return {"loss": read.loss, "confidence": read.confidence}

        return TokenStatistics(**cached_arrays(self.store, self._key, compute), offsets=self.embeddings.offsets)

    def losses(self, positions: np.ndarray) -> np.ndarray:
        if self.embeddings.key and (known := self.store.read(self._key, read_arrays)):
            return TokenStatistics(**known, offsets=self.embeddings.offsets).losses(positions)
        return self._now().losses(positions)

    @property
    def stored(self) -> bool:
        """Whether they can be read without asking the model."""
        return bool(self.embeddings.key) and self.store.find(self._key) is not None

    @property
    def _key(self) -> ArtifactKey:
        return ArtifactKey(STATISTICS, 1, {}, {"embeddings": self.embeddings.key})

    def _now(self) -> ModelReadings:
        lm = self.model if isinstance(self.model, CausalLM) else load_model(self.model, device=self.device)
        return ModelReadings(self.embeddings, self.corpus, lm, self.on_progress)
