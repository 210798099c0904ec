"""The loss of each trained token, and the model's confidence there, which does not depend on the token.

    loss        -log p(y | x), nats
    confidence  ||p||^2 = sum over y of p(y | x)^2, so that 1 - ||p||^2 = trace(diag(p) - p p^T) is the model's uncertainty

The stored rows are the head's inputs, so only the head is computed: one product of (T, d) with (d, L).
For texts without stored rows, `nats_of` sums the losses of each.  Knows no run and no selector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from fishersft.corpus.encode import MAX_TOKENS, Encoded, encode
from fishersft.corpus.records import Corpus
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import ModelError
from fishersft.lm.embed import batches_of
from fishersft.lm.model import CausalLM, Progress

BATCH_LOGITS = 16_000_000  # logits per batch: 64 MB
BATCH_TOKENS = 4_096  # padded tokens per batch of texts


@dataclass(frozen=True)
class TokenStatistics:
    """(T,) float32 loss in nats and confidence from 1/L to 1 of the tokens of N records; `offsets` as in `TokenEmbeddings`."""

    loss: np.ndarray
    confidence: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        T = int(self.offsets[-1])
        if self.loss.shape != (T,) or self.confidence.shape != (T,):
            raise ValueError("loss and confidence must have one entry per token")

    @cached_property
    def mean_losses(self) -> np.ndarray:
        """(N,) mean loss per trained token, nats."""
        return np.add.reduceat(self.loss.astype(np.float64), self.offsets[:-1]) / np.diff(self.offsets)

    def statistics(self) -> TokenStatistics:
        return self

    def losses(self, positions: np.ndarray) -> np.ndarray:
        return self.mean_losses[positions]


class Readings(Protocol):
    """A source of a pool's token statistics; `TokenStatistics` itself is one."""

    def statistics(self) -> TokenStatistics:
        """The statistics of every token of the pool."""

    def losses(self, positions: np.ndarray) -> np.ndarray:
        """(k,) mean loss per trained token of these records, nats."""


@dataclass(frozen=True)
class ModelReadings:
    """Statistics computed on demand from the stored rows, the texts' next tokens and the model's head."""

    embeddings: TokenEmbeddings
    corpus: Corpus
    model: CausalLM
    on_progress: Progress | None = None

    def statistics(self) -> TokenStatistics:
        loss, confidence = self._read(np.arange(len(self.embeddings)))
        return TokenStatistics(loss, confidence, self.embeddings.offsets)

    def losses(self, positions: np.ndarray) -> np.ndarray:
        loss, _ = self._read(np.asarray(positions))
        tokens = self.embeddings.tokens[positions]
        return np.add.reduceat(loss.astype(np.float64), np.cumsum(tokens) - tokens) / tokens

    def _read(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The loss and confidence of these records' tokens, record after record; (sum of M,) float32 each."""
        parameters = self.embeddings.facts.get("parameters", {})
        examples = [self.corpus.examples[int(i)] for i in self.embeddings.index[positions]]
        encoded = encode(examples, self.model.tokenizer, int(parameters.get("max_tokens", MAX_TOKENS)))
        if [len(e.rows) for e in encoded] != self.embeddings.tokens[positions].tolist():
            raise ModelError(
                f"{self.model.name} did not compute the rows from these texts: the token counts differ; embed the corpus again."
            )
        targets = np.concatenate([e.targets for e in encoded])
        batch = chunk_of(self.model)
        ends = np.cumsum(self.embeddings.tokens[positions])
        loss, confidence = np.empty(len(targets), np.float32), np.empty(len(targets), np.float32)
        first = start = 0
        while first < len(positions):
            last = max(first + 1, int(np.searchsorted(ends, start + batch, side="right")))
            rows = np.concatenate([self.embeddings.block(int(p)) for p in positions[first:last]])
            end = start + len(rows)
            with torch.inference_mode():
                x = torch.from_numpy(np.array(rows, dtype=np.float32)).to(self.model.device)
                log_p = torch.log_softmax(self.model.logits(x), dim=-1)
                y = torch.from_numpy(targets[start:end]).to(log_p.device)
                loss[start:end] = -log_p.gather(1, y[:, None])[:, 0].cpu().numpy()
                confidence[start:end] = (2 * log_p).exp_().sum(-1).cpu().numpy()
            first, start = last, end
            if self.on_progress:
                self.on_progress(end, len(targets))
        return loss, confidence


def chunk_of(model: CausalLM) -> int:
    """How many tokens' logits are computed at once."""
    return max(1, BATCH_LOGITS // len(model.network.get_output_embeddings().weight))


def nats_of(model: CausalLM, examples: Sequence[Encoded]) -> np.ndarray:
    """(H,) float64: the sum of -log p over each example's trained tokens, 0 without any; not finite if the outputs are not."""
    out = np.zeros(len(examples))
    trained = np.array([i for i, e in enumerate(examples) if len(e.rows)], dtype=np.int64)
    most = chunk_of(model)
    for batch in batches_of(np.array([len(examples[i].ids) for i in trained], dtype=np.int64), BATCH_TOKENS):
        texts = [examples[i] for i in trained[batch]]
        rows = model.rows_of(texts)
        targets = np.concatenate([e.targets for e in texts])
        losses = np.empty(len(targets))
        for start in range(0, len(targets), most):
            part = slice(start, start + most)
            x, y = (torch.from_numpy(a[part]).to(model.device) for a in (rows, targets))
            losses[part] = torch.nn.functional.cross_entropy(model.logits(x), y, reduction="none").cpu().numpy()
        counts = np.array([len(e.rows) for e in texts])
        out[trained[batch]] = np.add.reduceat(losses, np.cumsum(counts) - counts)
    return out
