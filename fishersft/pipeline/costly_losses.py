"""Losses that take more than the stored rows: answers without their prompts, and texts after a tuning on a target.

Computed when a selector asks, then read from the store.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fishersft.corpus.encode import Encoded, encode
from fishersft.corpus.records import Chat, Corpus, Example, PromptCompletion, Text
from fishersft.errors import ParameterError
from fishersft.fields import values
from fishersft.lm.finetune import finetune
from fishersft.lm.folder import ModelFolder
from fishersft.lm.hyperparameters import Training
from fishersft.lm.losses import nats_of
from fishersft.lm.model import CausalLM, load_model
from fishersft.selectors.target import Target
from fishersft.store.artifacts import ArtifactKey, Store, cached_arrays

LOSSES = "losses"


@dataclass(frozen=True)
class StoredCostlyLosses:
    """Such losses of a corpus under a model, behind a store."""

    corpus: Corpus
    folder: ModelFolder
    max_tokens: int
    store: Store
    device: str = "auto"

    def without_prompts(self, index: np.ndarray) -> np.ndarray:
        """Raises ParameterError where the corpus has no prompts."""
        answers: list[Example] = [_answer(self.corpus.examples[int(i)], self.corpus.name) for i in index]
        return self._kept({"of": "answers"}, index, lambda: self._losses(self._loaded(), answers))

    def after_tuning(self, index: np.ndarray, target: Target, training: Training) -> np.ndarray:
        def compute() -> np.ndarray:
            model = self._loaded()
            texts = self._encoded(model, [target.corpus.examples[int(i)] for i in target.choosing.index])
            with tempfile.TemporaryDirectory() as workspace:
                tuned = finetune(model, texts, training, workspace=Path(workspace), what="The tuning on the target").model
            return self._losses(tuned, [self.corpus.examples[int(i)] for i in index])

        return self._kept({"of": "tuned", "target": target.key, **values(training)}, index, compute)

    def _kept(self, parameters: dict[str, object], index: np.ndarray, compute: Callable[[], np.ndarray]) -> np.ndarray:
        records = hashlib.sha256(np.ascontiguousarray(index, dtype=np.int64).tobytes()).hexdigest()
        inputs = {"corpus": self.corpus.fingerprint, "model": self.folder.fingerprint, "records": records}
        key = ArtifactKey(LOSSES, 1, {**parameters, **self.folder.encoding_of(self.corpus, self.max_tokens)}, inputs)
        return cached_arrays(self.store, key, lambda: {"losses": compute()})["losses"]

    def _loaded(self) -> CausalLM:
        return load_model(self.folder, device=self.device)

    def _encoded(self, model: CausalLM, examples: list[Example]) -> list[Encoded]:
        return encode(examples, model.tokenizer, self.max_tokens)

    def _losses(self, model: CausalLM, examples: list[Example]) -> np.ndarray:
        encoded = self._encoded(model, examples)
        return nats_of(model, encoded) / np.array([max(1, len(e.rows)) for e in encoded])


def _answer(example: Example, corpus: str) -> Text:
    match example:
        case PromptCompletion(_, completion):
            return Text(completion)
        case Chat(messages):
            return Text("\n".join(m.content for m in messages if m.role == "assistant"))
        case _:
            raise ParameterError(
                f"IFD compares an answer's loss with and without its prompt, and {corpus} has no prompts; choose another."
            )
