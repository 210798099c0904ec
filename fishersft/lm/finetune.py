"""Fine-tune a causal language model on some encoded examples, with the Hugging Face Trainer.

What is a row of the design matrix is a trained token here: both read `corpus.encode.Encoded`.  Batches are of examples of like
length; checkpoints are written as time passes, so a killed training goes on from the last whole one and ends with the weights
that an undisturbed one has.  When memory runs out the batch is halved and its parts accumulated: the steps stay the same.
Knows no selector, no corpus file and no run; one attempt is `trainer`'s.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fishersft.corpus.encode import Encoded
from fishersft.errors import ModelError, TrainingError
from fishersft.lm.model import quiet
from fishersft.lm.trainer import Progress, train
from fishersft.lm.training import Training

if TYPE_CHECKING:
    from fishersft.lm.model import CausalLM

log = logging.getLogger(__name__)
CHECKPOINT_SECONDS = 60.0  # between two checkpoints


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to.

    Attributes:
        model: with the new weights, adapters merged, ready to read and write.
        losses: (step, mean nats a trained token of the steps since the last entry).
        seconds: of this process; `resumed_at` is the step it went on from.
        notes: what a reader should know (the batch was halved).
    """

    model: CausalLM
    steps: int
    losses: tuple[tuple[int, float], ...]
    seconds: float
    resumed_at: int
    notes: tuple[str, ...]


def finetune(
    model: CausalLM,
    examples: Sequence[Encoded],
    training: Training,
    *,
    workspace: Path,
    seed: int = 0,
    what: str = "",
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    on_progress: Progress | None = None,
    on_loss: Callable[[int, float], None] | None = None,
) -> TrainingResult:
    """Tune a model in place.

    Args:
        model: freshly loaded; its weights are changed.
        examples: each with at least one trained token.
        workspace: of this training alone; a checkpoint found there is resumed from. The caller deletes it.
        seed: of the order of examples, of dropout and of the adapters' first values.
        what: names the training in errors.
        on_progress: told (steps done, steps in all); may raise, which leaves the last checkpoint.
        on_loss: told (step, mean loss since the last) a few times a training.

    Raises:
        TrainingError: nothing to train on, the loss is no longer a number, or not even one example fits the memory.
    """
    usable = [e for e in examples if e.trained.any()]
    if not usable:
        raise TrainingError(f"{what or 'The selection'} holds no trained token, so there is nothing to fine-tune on.")
    import torch

    parts, notes = 1, []
    started = time.perf_counter()
    before = None if training.lora else {k: v.detach().clone() for k, v in model.network.state_dict().items()}
    while True:
        try:
            steps, losses, resumed_at, network = train(
                model, usable, training, parts, workspace, seed, what, checkpoint_seconds, on_progress, on_loss
            )
            break
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if parts >= training.batch:
                raise TrainingError(
                    f"{what or 'Fine-tuning'}: out of memory on {model.device} even with one example at a time; "
                    "lower --max-tokens, use --lora, or take a smaller model."
                ) from error
        parts = min(parts * 2, training.batch)
        _free(model, before)
        notes = [f"Memory ran out; each step of {training.batch} examples was computed in {parts} parts."]
        log.warning(notes[0])
    network.eval()
    tuned = replace(model, network=network)
    return TrainingResult(tuned, steps, losses, time.perf_counter() - started, resumed_at, tuple(notes))


def _out_of_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "out of memory" in str(error).lower()


def _free(model: CausalLM, before: dict[str, Any] | None) -> None:
    """Put the first weights back and let go of what the failed attempt held."""
    import torch

    if before is not None:
        model.network.load_state_dict(before)
    model.network.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def save_model(model: CausalLM, folder: Path) -> None:
    """Weights (safetensors, float32) and tokenizer, as `load_model` reads them.

    Raises:
        ModelError: they cannot be written.
    """
    try:
        with quiet():
            model.network.save_pretrained(folder)
            model.tokenizer.save_pretrained(folder)
    except OSError as error:
        raise ModelError(f"The tuned model cannot be written to {folder}: {error.strerror or error}.") from error
