"""Fine-tune a causal language model on encoded examples with the Hugging Face Trainer.

A trained token here is a row of the design matrix there: both read `corpus.encode.Encoded`.  Batches hold examples of similar
length.  A step is computed in pieces of similar lengths, and the logits, of trained tokens alone, in chunks: memory is bounded
whatever a step holds.  When it runs out, the pieces are halved and the steps stay the same.  Checkpoints are written as time
passes, so a killed training resumes from the last complete one and ends with the weights of an undisturbed one.  They hold the
Trainer's own optimizer and random states; only a folder of this very training is ever resumed from.
Knows no selector, no corpus file and no run.
"""

from __future__ import annotations

import gc
import itertools
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fishersft.corpus.encode import Encoded
from fishersft.errors import MissingExtra, TrainingError
from fishersft.lm.embed import batches_of
from fishersft.lm.hyperparameters import CHECKPOINT_SECONDS, Training
from fishersft.lm.losses import chunk_of
from fishersft.lm.model import CausalLM, Progress, library, padded, quiet
from fishersft.paths import writing

log = logging.getLogger(__name__)
PIECE_TOKENS = 1_024  # padded tokens that a step reads at once
DIVERGED = 2.0  # a loss above this many times the nats of guessing the vocabulary evenly is lost
WHOLE = "whole"  # a checkpoint with this file was written to its end
ADVICE = "free some space or name another folder; what was finished is kept"


@dataclass(frozen=True)
class TrainingResult:
    """What a training produced."""

    model: CausalLM  # with the new weights, adapters merged
    steps: int
    losses: tuple[tuple[int, float], ...]  # (step, mean nats per trained token of the steps since the last entry)
    resumed_at: int  # the step that this process resumed from; 0 for a fresh start
    notes: tuple[str, ...] = ()  # what a reader should know, such as that memory ran out


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
    """Tune a freshly loaded model in place.

    Args:
        workspace: for this training alone; a checkpoint found there is resumed from. The caller deletes it.
        seed: of the order of the examples, of dropout and of the adapters' initial values.
        what: names the training in errors.
        on_progress: called with (steps done, all steps); may raise, which leaves the last checkpoint.
        on_loss: called with (step, mean loss since the last call) about twenty times per training.

    Raises:
        TrainingError: there is nothing to train on, the loss diverged, or not even one example fits into memory.
    """
    usable = [e for e in examples if e.trained.any()]
    if not usable:
        raise TrainingError(f"{what or 'The selection'} holds no trained token, so there is nothing to fine-tune on.")
    try:
        import accelerate  # noqa: F401 - the Trainer of transformers needs it
    except ImportError as error:
        raise MissingExtra("Fine-tuning", "tune") from error
    most = DIVERGED * math.log(model.network.get_input_embeddings().weight.shape[0])
    watcher = _watcher(what or "Fine-tuning", most, checkpoint_seconds, on_progress, on_loss)
    longest, most = max(len(e.ids) for e in usable), PIECE_TOKENS
    notes: tuple[str, ...] = ()
    before = None if training.lora else {k: v.detach().clone() for k, v in model.network.state_dict().items()}
    while True:
        try:
            return replace(_attempt(model, usable, training, most, workspace, seed, watcher), notes=notes)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "out of memory" not in str(error).lower():
                raise
            if most <= longest:
                raise TrainingError(
                    f"{what or 'Fine-tuning'}: out of memory on {model.device} even with one example at a time; "
                    "lower --max-tokens, use --lora, or take a smaller model."
                ) from error
        most = max(most // 2, longest)
        if before is not None:
            model.network.load_state_dict(before)
        model.network.zero_grad(set_to_none=True)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        notes = (f"Memory ran out; each step was computed in pieces of at most {most:,} tokens.",)
        log.warning(notes[0])


def save_model(model: CausalLM, folder: Path) -> None:
    """Write weights (safetensors, float32) and tokenizer as `load_model` reads them."""
    with quiet():
        model.network.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)


def _attempt(
    model: CausalLM, examples: list[Encoded], training: Training, most: int, workspace: Path, seed: int, watcher: Any
) -> TrainingResult:
    """One training, resumed from its newest complete checkpoint, that reads at most so many padded tokens at once."""
    if training.learning_rate is None:
        raise ValueError("a training needs a learning rate")
    transformers = library()
    torch.manual_seed(seed)
    network = _with_adapters(model.network, training) if training.lora else model.network
    for folder in workspace.glob("checkpoint-*"):
        if not (folder / WHOLE).is_file():  # cut off, and it takes room
            shutil.rmtree(folder, ignore_errors=True)
    checkpoint = max(workspace.glob("checkpoint-*"), key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)
    total = training.steps(len(examples))
    bfloat16 = training.precision == "bfloat16" or (training.precision == "auto" and _multiplies_bfloat16(model.device))
    settings = transformers.TrainingArguments(
        output_dir=str(workspace),
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.batch,
        learning_rate=training.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(training.warmup * total),
        weight_decay=training.weight_decay,
        train_sampling_strategy="group_by_length",
        bf16=bfloat16,
        use_cpu=model.device.type == "cpu",
        seed=seed,
        data_seed=seed,
        save_strategy="no",  # the watcher asks for checkpoints as time passes
        logging_steps=max(1, total // 20),
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        dataloader_pin_memory=model.device.type == "cuda",
        disable_tqdm=True,
        report_to="none",
    )
    with quiet(), writing(workspace, ADVICE):
        workspace.mkdir(parents=True, exist_ok=True)
        trainer = _trainer(model, training.parts, most)(
            model=network,
            args=settings,
            train_dataset=[{"input_ids": e.ids, "text": e} for e in examples],  # grouped by the length of the ids
            data_collator=lambda items: {"texts": [item["text"] for item in items]},
            callbacks=[watcher],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    history = trainer.state.log_history
    losses = tuple((int(h["step"]), float(h["loss"])) for h in history if "loss" in h)
    tuned = trainer.accelerator.unwrap_model(trainer.model)
    if training.lora:
        tuned = tuned.merge_and_unload()
    tuned.eval()
    return TrainingResult(replace(model, network=tuned), int(trainer.state.global_step), losses, watcher.first)


def _watcher(what: str, most: float, checkpoint_seconds: float, on_progress: Progress | None, on_loss: Any) -> Any:
    """A callback that asks for checkpoints, reports progress, and stops a training whose loss is above `most` or no number."""

    class Watcher(library().TrainerCallback):  # type: ignore[misc]
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
            if not float(loss) <= most:  # written so that NaN stops too
                lost = f"is {float(loss):,.0f} nats per token" if math.isfinite(float(loss)) else "is no longer a number"
                raise TrainingError(
                    f"{what} diverged: the loss at step {state.global_step:,} of {state.max_steps:,} {lost}. "
                    f"Lower --learning-rate (it was {args.learning_rate:g})."
                )
            if on_loss:
                on_loss(int(state.global_step), float(loss))

    return Watcher()


def _trainer(model: CausalLM, parts: int, most: int) -> Any:
    """A Trainer whose steps read at most so many padded tokens at once; with `parts`, a step is a part of about equal tokens."""

    class PieceTrainer(library().Trainer):  # type: ignore[misc]
        def training_step(self, network: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
            network.train()
            texts: list[Encoded] = inputs["texts"]
            trained, nats = sum(len(e.rows) for e in texts), 0.0
            for piece in batches_of(np.array([len(e.ids) for e in texts]), most):
                with self.accelerator.autocast():
                    nats += add_gradients(model, [texts[i] for i in piece], 1 / trained)
            return torch.tensor(nats / trained, device=self.args.device)

        def get_train_dataloader(self) -> Any:
            if not parts:
                return super().get_train_dataloader()
            lengths = np.array([len(item["text"].rows) for item in self.train_dataset])
            sampler = EqualParts(lengths, parts, self.args.data_seed)
            loader = torch.utils.data.DataLoader(self.train_dataset, batch_sampler=sampler, collate_fn=self.data_collator)
            return self.accelerator.prepare(loader)

    return PieceTrainer


def add_gradients(model: CausalLM, texts: list[Encoded], factor: float = 1.0) -> float:
    """Add the gradients of `factor` times the nats of the texts' trained tokens to the weights'; returns these nats.

    The logits of a chunk of tokens are forgotten once their gradients with respect to the rows and the head are known.
    """
    rows = torch.cat([x[torch.from_numpy(e.rows)] for x, e in zip(model.hidden(padded(texts)), texts, strict=True)])
    targets = torch.from_numpy(np.concatenate([e.targets for e in texts])).to(rows.device)
    inputs = rows.detach().requires_grad_()
    nats = 0.0
    for x, y in zip(inputs.split(chunk_of(model)), targets.split(chunk_of(model)), strict=True):
        loss = torch.nn.functional.cross_entropy(model.scores(x), y, reduction="sum")
        (factor * loss).backward()
        nats += float(loss)
    rows.backward(inputs.grad)
    return nats


class EqualParts:
    """Batches for the Trainer: each epoch's examples, in an order drawn by seed and epoch, cut into parts of equal tokens.

    A part ends with the example whose middle token is the last one before the part's share of the tokens; every part has at
    least one example.

    Args:
        tokens: (n,) trained tokens of the examples.
        parts: the number of batches; fewer where there are fewer examples.
    """

    def __init__(self, tokens: np.ndarray, parts: int, seed: int) -> None:
        self.tokens, self.parts, self.seed, self.epoch = tokens, min(parts, len(tokens)), seed, 0
        self.batch_size = math.ceil(len(tokens) / self.parts)  # what the Trainer counts examples by

    def __len__(self) -> int:
        return self.parts

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.tokens))
        ends = np.cumsum(self.tokens[order])
        share = np.searchsorted((ends - self.tokens[order] / 2) * self.parts, ends[-1] * np.arange(1, self.parts))
        cuts = [0]
        for k, cut in enumerate(share, 1):
            cuts.append(min(max(int(cut), cuts[-1] + 1), len(order) - self.parts + k))
        for start, end in itertools.pairwise([*cuts, len(order)]):
            yield order[start:end].tolist()


def _with_adapters(network: Any, training: Training) -> Any:
    """The network with fresh low-rank adapters on every linear layer but the head."""
    try:
        from peft import LoraConfig, PeftModel, get_peft_model
    except ImportError as error:
        raise MissingExtra("--lora", "tune") from error
    if isinstance(network, PeftModel):  # left by an attempt that ran out of memory
        network = network.unload()
    settings = LoraConfig(r=training.rank, lora_alpha=2 * training.rank, target_modules="all-linear", task_type="CAUSAL_LM")
    with quiet():
        return get_peft_model(network, settings)


def _multiplies_bfloat16(device: Any) -> bool:
    """Whether the device has hardware for it: recent GPUs, and processors with matrix tiles (AMX)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
