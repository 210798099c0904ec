"""Fine-tune a causal language model on some encoded examples, with the Hugging Face Trainer.

What is a row of the design matrix is a trained token here: both read `corpus.encode.Encoded`.  Batches are of examples of like
length; checkpoints are written as time passes, so a killed training goes on from the last whole one and ends with the weights
that an undisturbed one has.  When memory runs out the batch is halved and its parts accumulated: the steps stay the same.
Knows no selector, no corpus file and no run.

Checkpoints hold the Trainer's own optimizer and random states; only a folder of this very training is ever resumed from.
"""

from __future__ import annotations

import gc
import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fishersft.corpus.encode import IGNORED, Encoded
from fishersft.errors import MissingExtra, ModelError, ParameterError, TrainingError
from fishersft.lm.model import library, quiet

if TYPE_CHECKING:
    from fishersft.lm.model import CausalLM

log = logging.getLogger(__name__)
CHECKPOINT_SECONDS = 60.0  # between two checkpoints
WHOLE = "whole"  # a checkpoint with this file was written to its end
RATES = (3e-5, 1e-4, 3e-4, 1e-3)  # what a sweep tries
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Training:
    """How a model is tuned: the same for every selection.

    Attributes:
        learning_rate: the highest; it rises over `warmup` of the steps and falls linearly to 0.
        epochs: passes over the examples.
        batch: examples a step.
        warmup: share of the steps.
        lora: tune low-rank adapters of `rank` on every linear layer instead of all weights (they are merged at the end).
        precision: float32, or bfloat16 (autocast; weights stay float32); auto is bfloat16 where there is hardware for it.
    """

    learning_rate: float = 1e-4
    epochs: int = 3
    batch: int = 8
    warmup: float = 0.1
    weight_decay: float = 0.0
    lora: bool = False
    rank: int = 8
    precision: str = "auto"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.learning_rate) and 0 < self.learning_rate <= 1):
            raise ParameterError(f"A learning rate lies above 0 and up to 1, for example 1e-4, and was {self.learning_rate:g}.")
        for name, least in (("epochs", 1), ("batch", 1), ("rank", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ParameterError(f"{name} is a whole number of at least {least} and was {value!r}.")
        if not 0 <= self.warmup < 1 or not math.isfinite(self.weight_decay) or self.weight_decay < 0:
            raise ParameterError("warmup is a share from 0 to below 1, and weight decay at least 0.")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ParameterError(f"precision is auto, float32 or bfloat16, not '{self.precision}'.")

    def steps(self, examples: int) -> int:
        return self.epochs * math.ceil(examples / self.batch)

    @property
    def parameters(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Tuned:
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
) -> Tuned:
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
            steps, losses, resumed_at, network = _train(
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
    return Tuned(tuned, steps, losses, time.perf_counter() - started, resumed_at, tuple(notes))


def _train(
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
    watcher = _watcher(transformers, what, checkpoint_seconds, on_progress, on_loss)
    with quiet():
        trainer = transformers.Trainer(
            model=network,
            args=settings,
            train_dataset=cast(Any, [_item(e) for e in examples]),
            data_collator=_Collator(model.tokenizer.pad_token_id or model.tokenizer.eos_token_id or 0),
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
    checkpoint_seconds: float,
    on_progress: Progress | None,
    on_loss: Callable[[int, float], None] | None,
) -> Any:
    """What looks at every step: asks for checkpoints, tells progress, stops a training whose loss is lost."""

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
            if not math.isfinite(float(loss)):
                raise TrainingError(
                    f"{what or 'Fine-tuning'} diverged: the loss at step {state.global_step:,} of {state.max_steps:,} is no "
                    f"longer a number. Lower --learning-rate (it was {args.learning_rate:g})."
                )
            if on_loss:
                on_loss(int(state.global_step), float(loss))

    return Watcher()


def _item(example: Encoded) -> dict[str, Any]:
    return {"input_ids": example.ids.astype(np.int64), "labels": example.labels, "length": len(example.ids)}


class _Collator:
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


def _libraries(training: Training) -> Any:
    """transformers with its Trainer, which needs accelerate."""
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise MissingExtra("Fine-tuning", "tune") from error
    return library()


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
