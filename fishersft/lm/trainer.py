"""The Hugging Face Trainer as we use it: settings, batches, adapters, and what watches every step.

One attempt at one training, resumed from its last whole checkpoint.  Knows nothing of what to do when memory runs out
(`finetune`), and no run.

Checkpoints hold the Trainer's own optimizer and random states; only a folder of this very training is ever resumed from.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fishersft.corpus.encode import IGNORED, Encoded
from fishersft.errors import MissingExtra, TrainingError
from fishersft.lm.model import library, quiet
from fishersft.lm.training import Training

if TYPE_CHECKING:
    from fishersft.lm.model import CausalLM

DIVERGED = 2.0  # times the nats of guessing every token of the vocabulary evenly: a loss above is lost
WHOLE = "whole"  # a checkpoint with this file was written to its end
Progress = Callable[[int, int], None]


def train(
    model: CausalLM,
    examples: list[Encoded],
    training: Training,
    parts: int,
    workspace: Path,
    seed: int,
    what: str,
    checkpoint_seconds: float,
    on_progress: Progress | None,
    on_loss: Callable[[int, float], None] | None,
) -> tuple[int, tuple[tuple[int, float], ...], int, Any]:
    """One attempt: (steps, losses, the step it began at, the tuned network)."""
    transformers = _libraries(training)
    import torch

    torch.manual_seed(seed)
    network = _with_adapters(model.network, training) if training.lora else model.network
    checkpoint = _last_whole(workspace)
    total = training.steps(len(examples))
    bfloat16 = training.precision == "bfloat16" or (training.precision == "auto" and _multiplies_bfloat16(model.device))
    settings = transformers.TrainingArguments(
        output_dir=str(workspace),
        num_train_epochs=training.epochs,
        per_device_train_batch_size=math.ceil(training.batch / parts),
        gradient_accumulation_steps=parts,
        learning_rate=training.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(training.warmup * total),
        weight_decay=training.weight_decay,
        train_sampling_strategy="group_by_length",
        bf16=bfloat16,
        use_cpu=model.device.type == "cpu",
        seed=seed,
        data_seed=seed,
        save_strategy="no",  # the watcher below asks for checkpoints as time passes
        logging_steps=max(1, total // 20),
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        dataloader_pin_memory=model.device.type == "cuda",
        disable_tqdm=True,
        report_to="none",
    )
    most = DIVERGED * math.log(cast(Any, network).get_input_embeddings().weight.shape[0])
    watcher = _watcher(transformers, what, most, checkpoint_seconds, on_progress, on_loss)
    with quiet():
        trainer = transformers.Trainer(
            model=network,
            args=settings,
            train_dataset=cast(Any, [item(e) for e in examples]),
            data_collator=Collator(model.tokenizer.pad_token_id or model.tokenizer.eos_token_id or 0),
            callbacks=[watcher],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    history = trainer.state.log_history
    losses = tuple((int(h["step"]), float(h["loss"])) for h in history if "loss" in h)
    tuned = trainer.accelerator.unwrap_model(trainer.model)
    if training.lora:
        tuned = tuned.merge_and_unload()
    return int(trainer.state.global_step), losses, watcher.first, tuned


def _watcher(
    transformers: Any,
    what: str,
    most: float,
    checkpoint_seconds: float,
    on_progress: Progress | None,
    on_loss: Callable[[int, float], None] | None,
) -> Any:
    """What looks at every step: asks for checkpoints, tells progress, stops where the loss is no number or above `most`."""

    class Watcher(transformers.TrainerCallback):
        first = 0
        saved = 0.0

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.first = int(state.global_step)
            self.saved = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            if on_progress:
                on_progress(int(state.global_step), int(state.max_steps))
            due = time.monotonic() - self.saved >= checkpoint_seconds
            if due and state.global_step < state.max_steps:
                control.should_save = True
            return control

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (folder / WHOLE).touch()
            for old in Path(args.output_dir).glob("checkpoint-*"):
                if old != folder:
                    shutil.rmtree(old, ignore_errors=True)
            self.saved = time.monotonic()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            loss = (logs or {}).get("loss")
            if loss is None:
                return
            if not float(loss) <= most:  # so that what is no number stops too
                lost = f"is {float(loss):,.0f} nats a token" if math.isfinite(float(loss)) else "is no longer a number"
                raise TrainingError(
                    f"{what or 'Fine-tuning'} diverged: the loss at step {state.global_step:,} of {state.max_steps:,} {lost}. "
                    f"Lower --learning-rate (it was {args.learning_rate:g})."
                )
            if on_loss:
                on_loss(int(state.global_step), float(loss))

    return Watcher()


def item(example: Encoded) -> dict[str, Any]:
    return {"input_ids": example.ids.astype(np.int64), "labels": example.labels, "length": len(example.ids)}


class Collator:
    """Pads a batch on the right: ids with `pad`, labels with what the loss passes over."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        longest = max(len(item["input_ids"]) for item in items)
        ids = np.full((len(items), longest), self.pad, dtype=np.int64)
        labels = np.full((len(items), longest), IGNORED, dtype=np.int64)
        mask = np.zeros((len(items), longest), dtype=np.int64)
        for row, item in enumerate(items):
            n = len(item["input_ids"])
            ids[row, :n], labels[row, :n], mask[row, :n] = item["input_ids"], item["labels"], 1
        return {
            "input_ids": torch.from_numpy(ids),
            "labels": torch.from_numpy(labels),
            "attention_mask": torch.from_numpy(mask),
        }


def _with_adapters(network: Any, training: Training) -> Any:
    """The network with fresh low-rank adapters on every linear layer but the head."""
    try:
        from peft import LoraConfig, PeftModel, get_peft_model
    except ImportError as error:
        raise MissingExtra("--lora", "tune") from error
    if isinstance(network, PeftModel):  # an attempt that ran out of memory left its adapters
        network = network.unload()
    settings = LoraConfig(r=training.rank, lora_alpha=2 * training.rank, target_modules="all-linear", task_type="CAUSAL_LM")
    with quiet():
        return get_peft_model(network, settings)


def _last_whole(workspace: Path) -> Path | None:
    """The newest checkpoint that was written to its end."""
    found = [p for p in workspace.glob("checkpoint-*") if (p / WHOLE).is_file()]
    return max(found, key=lambda p: int(p.name.rpartition("-")[2])) if found else None


def _multiplies_bfloat16(device: Any) -> bool:
    """Whether the device has hardware for it: recent GPUs, and processors with matrix tiles (AMX)."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def _libraries(training: Training) -> Any:
    """transformers with its Trainer, which needs accelerate."""
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise MissingExtra("Fine-tuning", "tune") from error
    return library()
