"""One model of a run: tuned, measured on the held-out texts, made to write, kept whole or not at all.

A cell is claimed by a lock that goes with its process, so any number of processes may work on one folder; and it has a key of
all that it is made from, so that a run can take over the very same model from another.
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
from fishersft.finetuning.allocation import Chosen
from fishersft.finetuning.context import RunContext, prompts_of
from fishersft.finetuning.run import (
    ALL,
    CELL,
    CELLS,
    LOSSES,
    MODEL,
    NATS,
    RUN,
    TEXTS,
    WORK,
    model_name,
    new_model_folder,
    read_run,
    write_lines,
    write_text,
)
from fishersft.lm.finetune import finetune, save_model
from fishersft.lm.generate import write
from fishersft.lm.score import nats_of
from fishersft.lm.training import Training


def make_cell(context: RunContext, name: str, chosen: Chosen, training: Training, steps: Callable[[int, int], None]) -> str:
    """Tune, measure, write, keep; a sentence of what came out."""
    started = time.perf_counter()
    plan = context.plan
    selector, budget, seed = next(cell for cell in plan.cells if model_name(*cell) == name)
    model = context.model()
    facts: dict[str, Any] = {"selector": selector, "budget": budget, "seed": seed, "sentences": 0, "tokens": 0}
    facts["key"] = key_of_cell(context, name, chosen, training)
    workspace = context.run.folder / WORK / name
    if name in chosen:
        positions = chosen[name]
        examples = [context.encoded[i] for i in context.pool.index[positions]]
        losses = workspace / LOSSES
        workspace.mkdir(parents=True, exist_ok=True)
        tuned = finetune(
            model,
            examples,
            training,
            workspace=workspace,
            seed=seed or 0,
            what=name,
            checkpoint_seconds=context.checkpoint_seconds,
            on_progress=steps,
            on_loss=lambda step, loss: _append(losses, {"step": step, "loss": loss}),
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
    written = write(model, prompts_of(context), plan.sampling)
    tokens = sum(len(context.encoded[i].rows) for i in context.held_out)
    with new_model_folder(context.run, name) as cell:
        np.save(cell / NATS, nats)
        write_lines(cell / TEXTS, [{"prompt": k, **asdict(w)} for k, w in enumerate(written)])
        if selector == ALL or (plan.keep_models and name in chosen):
            save_model(model, cell / MODEL)
        facts |= {"seconds": round(time.perf_counter() - started, 2), "mean": float(nats.sum() / tokens)}
        write_text(cell / CELL, json.dumps(facts))
    shutil.rmtree(workspace, ignore_errors=True)
    return (
        f"{name}: {facts['mean']:.3f} nats a held-out token after {facts['sentences']:,} sentences, "
        f"{facts['tokens']:,} tokens ({facts['seconds']:.0f} s)."
    )


def cost_of_cell(context: RunContext, name: str, chosen: Chosen) -> int:
    """Trained tokens of a cell, and of its held-out measurement as a rough share; what progress is counted in."""
    trained = int(context.pool.tokens[chosen[name]].sum()) * context.plan.training.epochs if name in chosen else 0
    return trained + sum(len(context.encoded[i].rows) for i in context.held_out) // 2


def key_of_cell(context: RunContext, name: str, chosen: Chosen, training: Training) -> str:
    """What a cell is made from; equal keys are the same model and the same texts."""
    _, _, seed = next(cell for cell in context.plan.cells if model_name(*cell) == name)
    about = context.run.about
    content = {
        "corpus": about["corpus"]["fingerprint"],
        "model": about["model"]["fingerprint"],
        "max_tokens": about["max_tokens"],
        "prompts": about["prompts"],
        "tuned": {
            "records": hashlib.sha256(context.pool.index[chosen[name]].astype("<i8").tobytes()).hexdigest(),
            "training": training.parameters,
            "seed": seed,
        }
        if name in chosen
        else None,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def adopt_cell(context: RunContext, name: str, chosen: Chosen, training: Training, donors: Sequence[Path]) -> str:
    """Take a cell over from a run that has it; a sentence, or "" where none has."""
    key = key_of_cell(context, name, chosen, training)
    for donor in donors:
        if not (donor / RUN).exists():
            continue
        for other, cell in read_run(donor).models.items():
            if cell.facts.get("key") == key:
                with new_model_folder(context.run, name) as folder:
                    shutil.copytree(donor / CELLS / other, folder, dirs_exist_ok=True)
                return f"{name}: taken over from {donor.name} ({other})."
    return ""


@contextmanager
def claimed(folder: Path, name: str) -> Iterator[bool]:
    """Whether this process holds a cell now; the lock goes with the process, however it ends."""
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


def _append(path: Path, line: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
