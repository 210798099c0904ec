"""How well a model predicts some texts: nats of each, summed over its trained tokens.

Batches are of texts of like length; logits are computed for trained positions only.  Knows no run and no selection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fishersft.corpus.encode import Encoded
from fishersft.lm.embed import batches_of
from fishersft.lm.losses import BATCH_LOGITS
from fishersft.lm.reader import rows_of

if TYPE_CHECKING:
    from fishersft.lm.model import CausalLM

BATCH_TOKENS = 4_096
Progress = Callable[[int, int], None]


def nats_of(model: CausalLM, examples: Sequence[Encoded], on_progress: Progress | None = None) -> np.ndarray:
    """(H,) float64: -log p of each example's trained tokens, summed; 0 where none is trained.

    Not finite where the model's numbers are not.
    """
    import torch

    out = np.zeros(len(examples))
    trained = np.array([i for i, e in enumerate(examples) if len(e.rows)], dtype=np.int64)
    most = max(1, BATCH_LOGITS // len(cast(Any, model.network.get_output_embeddings()).weight))
    done, total = 0, sum(len(examples[i].ids) for i in trained)
    for batch in batches_of(np.array([len(examples[i].ids) for i in trained], dtype=np.int64), BATCH_TOKENS):
        texts = [examples[i] for i in trained[batch]]
        rows = rows_of(texts, model)
        targets = np.concatenate([e.ids[e.rows + 1] for e in texts]).astype(np.int64)
        losses = np.empty(len(targets))
        for start in range(0, len(targets), most):
            part = slice(start, start + most)
            x, y = (torch.from_numpy(a[part]).to(model.device) for a in (rows, targets))
            losses[part] = torch.nn.functional.cross_entropy(model.logits(x), y, reduction="none").cpu().numpy()
        counts = np.array([len(e.rows) for e in texts])
        out[trained[batch]] = np.add.reduceat(losses, np.cumsum(counts) - counts)
        done += sum(len(e.ids) for e in texts)
        if on_progress:
            on_progress(done, total)
    return out
