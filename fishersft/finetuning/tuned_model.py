"""One model of a run: tuned, measured on the held-out texts, sampled from, and kept completely or not at all.

A model is claimed by a lock that ends with its process, so any number of processes may work on one folder.  It has a key of
everything that it is made from, so that a run can take over the very same model from another run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from fishersft.errors import TrainingError
from fishersft.fields import values
from fishersft.finetuning import run as run_files
from fishersft.finetuning.context import RunContext
from fishersft.finetuning.run import ALL, CELL, CELLS, new_model_folder, write_lines, write_text
from fishersft.lm.finetune import finetune, save_model
from fishersft.lm.generate import write
from fishersft.lm.hyperparameters import Training
from fishersft.lm.losses import nats_of


def make_model(context: RunContext, name: str, training: Training, on_progress: Callable[[int, int], None]) -> str:
    """Tune a model, measure it, let it write and keep all of it; returns a sentence about it."""
    started = time.perf_counter()
    plan = context.plan
    selector, budget, seed = plan.models[name]
    model = context.model()
    facts: dict[str, Any] = {"selector": selector, "budget": budget, "seed": seed, "sentences": 0, "tokens": 0}
    facts["key"] = model_key(context, name, training)
    workspace = context.run.folder / run_files.WORK / name
    if name in context.chosen:
        positions = context.chosen[name]
        losses = workspace / run_files.LOSSES
        workspace.mkdir(parents=True, exist_ok=True)

        def keep_loss(step: int, loss: float) -> None:
            with losses.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "loss": loss}) + "\n")

        tuned = finetune(
            model,
            [context.encoded[i] for i in context.pool.index[positions]],
            training,
            workspace=workspace,
            seed=seed or 0,
            what=name,
            checkpoint_seconds=context.checkpoint_seconds,
            on_progress=on_progress,
            on_loss=keep_loss,
        )
        model = tuned.model
        facts |= {
            "sentences": len(positions),
            "tokens": int(context.pool.tokens[positions].sum()),
            "indices": [int(i) for i in context.pool.index[positions]] if selector != ALL else None,
            "steps": tuned.steps,
            "batch": training.batch,
            "learning_rate": training.learning_rate,
            "losses": [list(x) for x in tuned.losses],
            "notes": list(tuned.notes),
            "resumed_at": tuned.resumed_at,
        }
    nats = nats_of(model, [context.encoded[i] for i in context.held_out])
    if not np.isfinite(nats).all():
        raise TrainingError(f"{name}: the tuned model's numbers are not finite; lower --learning-rate.")
    written = write(model, context.prompts, plan.sampling)
    with new_model_folder(context.run, name) as folder:
        np.save(folder / run_files.NATS, nats)
        write_lines(folder / run_files.TEXTS, [{"prompt": k, **asdict(w)} for k, w in enumerate(written)])
        if selector == ALL or (plan.keep_models and name in context.chosen):
            save_model(model, folder / run_files.MODEL)
        mean = float(nats.sum() / sum(context.held_out_tokens))
        facts |= {"seconds": round(time.perf_counter() - started, 2), "mean": mean}
        write_text(folder / CELL, json.dumps(facts))
    shutil.rmtree(workspace, ignore_errors=True)
    return (
        f"{name}: {mean:.3f} nats per held-out token after {facts['sentences']:,} sentences, "
        f"{facts['tokens']:,} tokens ({facts['seconds']:.0f} s)."
    )


def work_of(context: RunContext, name: str) -> int:
    """Trained tokens of a model, and its held-out measurement as a rough share of them; the unit of progress."""
    chosen = context.chosen
    trained = int(context.pool.tokens[chosen[name]].sum()) * context.plan.training.epochs if name in chosen else 0
    return trained + sum(context.held_out_tokens) // 2


def model_key(context: RunContext, name: str, training: Training) -> str:
    """A digest of what a model is made from; equal keys are the same model and the same texts."""
    about, tuned = context.run.about, None
    if name in context.chosen:
        records = context.pool.index[context.chosen[name]].astype("<i8")
        tuned = {
            "records": hashlib.sha256(records.tobytes()).hexdigest(),
            "training": values(training),
            "seed": context.plan.models[name][2],
        }
    content = {
        "corpus": about["corpus"]["fingerprint"],
        "model": about["model"]["fingerprint"],
        "max_tokens": about["max_tokens"],
        "prompts": about["prompts"],
        "tuned": tuned,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def take_over(context: RunContext, name: str, training: Training, donors: Sequence[Path]) -> str:
    """Copy a model from a run that has it; returns a sentence, or "" where no run has it."""
    key = model_key(context, name, training)
    for donor in donors:
        if not (donor / run_files.RUN).exists():
            continue
        for other, model in run_files.read_run(donor).models.items():
            if model.facts.get("key") == key:
                with new_model_folder(context.run, name) as folder:
                    shutil.copytree(donor / CELLS / other, folder, dirs_exist_ok=True)
                return f"{name}: taken over from {donor.name} ({other})."
    return ""


@contextmanager
def claimed(folder: Path, name: str) -> Iterator[bool]:
    """Whether this process holds a model now; the lock ends with the process, however that ends."""
    (folder / CELLS).mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / CELLS / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
