"""How well a model predicts some texts: nats of each, summed over its trained tokens.

Batches are of texts of like length; logits are computed for trained positions only.  Knows no run and no selection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fishersft.corpus.encode import Encoded

if TYPE_CHECKING:
    from fishersft.lm.model import CausalLM

BATCH_TOKENS = 4_096
BATCH_LOGITS = 16_000_000  # 64 MB
Progress = Callable[[int, int], None]


def nats_of(model: CausalLM, examples: Sequence[Encoded], on_progress: Progress | None = None) -> np.ndarray:
    """(H,) float64: -log p of each example's trained tokens, summed; 0 where none is trained.

    Not finite where the model's numbers are not.
    """
    import torch

    out = np.zeros(len(examples))
    network = cast(Any, model.network)
    done, total = 0, sum(len(e.ids) for e in examples)
    vocabulary = len(network.get_output_embeddings().weight)
    for batch in batches_of(examples, BATCH_TOKENS):
        ids = torch.zeros((len(batch), max(len(examples[i].ids) for i in batch)), dtype=torch.long)
        for row, i in enumerate(batch):
            ids[row, : len(examples[i].ids)] = torch.from_numpy(examples[i].ids.astype(np.int64))
        rows = model.rows(ids)
        where = [(row, examples[i].rows, examples[i].ids[examples[i].rows + 1]) for row, i in enumerate(batch)]
        at_row = np.concatenate([np.full(len(r), row) for row, r, _ in where])
        at_position = np.concatenate([r for _, r, _ in where])
        targets = np.concatenate([y for *_, y in where]).astype(np.int64)
        losses = np.empty(len(targets))
        most = max(1, BATCH_LOGITS // vocabulary)
        with torch.inference_mode():
            for start in range(0, len(targets), most):
                part = slice(start, start + most)
                x = rows[torch.from_numpy(at_row[part]), torch.from_numpy(at_position[part])]
                y = torch.from_numpy(targets[part]).to(x.device)
                losses[part] = torch.nn.functional.cross_entropy(model.logits(x), y, reduction="none").cpu().numpy()
        np.add.at(out, np.asarray(batch)[at_row], losses)
        done += sum(len(examples[i].ids) for i in batch)
        if on_progress:
            on_progress(done, total)
    return out


def batches_of(examples: Sequence[Encoded], most: int) -> list[list[int]]:
    """Positions in batches of at most `most` padded tokens, longest first, so that too little memory shows at once."""
    order = sorted(range(len(examples)), key=lambda i: -len(examples[i].ids))
    batches: list[list[int]] = []
    for i in order:
        width = len(examples[batches[-1][0]].ids) if batches else 0
        if batches and (len(batches[-1]) + 1) * width <= most:
            batches[-1].append(i)
        elif len(examples[i].ids):
            batches.append([i])
    return batches
