"""Fine-tune on every selection: selections -> tuned models -> held-out nats and texts, a cell each, kept as they come.

A cell is one model.  All cells of a run get the same hyperparameters; at equal tokens that means as many tokens a step, and so
as many steps, as the reference selector takes: others' batches hold more or fewer sentences.  Where no learning rate is given
it is found on a uniform draw, judged on other records of the pool, so neither a selector under test nor the held-out texts have
a say in it.  Any number of processes may work on one folder, on one machine or on many that share it: each takes a cell that
nobody else holds.
The order of the stages is here; the folder is `finetune_run`'s, the training `lm.finetune`'s.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from fishersft.corpus.encode import MAX_TOKENS, Encoded, encode
from fishersft.corpus.load import load_corpus
from fishersft.corpus.records import Corpus
from fishersft.curves.gain import within_tokens
from fishersft.errors import ParameterError, StoreError, TrainingError
from fishersft.lm.embed import effective_max_tokens
from fishersft.lm.finetune import CHECKPOINT_SECONDS, RATES, Training, finetune, save_model
from fishersft.lm.folder import ModelFolder, find_model
from fishersft.lm.generate import Sampling, draw_prompts, text_of, write
from fishersft.lm.model import CausalLM, load_model, load_tokenizer
from fishersft.lm.score import nats_of
from fishersft.runs import pipeline
from fishersft.runs.finetune_run import (
    ALL,
    BASE,
    CELL,
    CELLS,
    HELD_OUT,
    MODEL,
    NATS,
    PROMPTS,
    RUN,
    TEXTS,
    FineTuneRun,
    cell_name,
    new_cell,
    read_run,
    write_lines,
    write_run,
    write_text,
)
from fishersft.runs.store import Store, made
from fishersft.selectors import Budget, Pool, Selector

if TYPE_CHECKING:
    from fishersft.runs.finetune_result import FineTuneResult

RATE, WORK, LOSSES = "rate.json", "work", "losses.jsonl"
GROWS = ("selectors", "budgets", "seeds", "cells", "reference_rows")  # of a run's settings, what may be added to later
SWEEP_EXAMPLES, SWEEP_SEED = 200, 97
Stage = Callable[[str, int, int], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What a run of fine-tuning is to compare.

    Attributes:
        budgets: in sentences of the reference selector.
        equal: "sentences", or "tokens": everyone is cut at the tokens of the reference's first n, and takes as many steps.
        reference: whose tokens count; the first selector where not given.
        seeds: numbers; each is a draw of the random selectors and a training.
        reference_rows: of `base` (untuned) and `all` (the whole pool).
        sweep: find the learning rate first.
        keep_models: keep the weights of every cell, not only of `all`.
    """

    selectors: tuple[Selector, ...]
    budgets: tuple[int, ...]
    equal: str = "sentences"
    reference: str = ""
    seeds: tuple[int, ...] = (0,)
    reference_rows: tuple[str, ...] = (BASE, ALL)
    training: Training = field(default_factory=Training)
    sweep: bool = True
    sampling: Sampling = field(default_factory=Sampling)
    keep_models: bool = False

    def __post_init__(self) -> None:
        names = [s.name for s in self.selectors]
        if not names:
            raise ParameterError("Name at least one selector to fine-tune on; fishersft select --list shows those there are.")
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ParameterError(f"The selector '{twice[0]}' is named twice; each may be compared once.")
        if not self.budgets or min(self.budgets) < 1 or len(set(self.budgets)) < len(self.budgets):
            raise ParameterError("Budgets are different whole numbers of at least 1, for example 100,200,500.")
        if self.equal not in ("sentences", "tokens"):
            raise ParameterError(f"Selectors are compared at equal sentences or equal tokens, not '{self.equal}'.")
        if self.reference and self.reference not in names:
            raise ParameterError(f"The reference '{self.reference}' is not among the selectors: {', '.join(names)}.")
        if not self.seeds or min(self.seeds) < 0:
            raise ParameterError("At least one training seed is needed.")
        if unknown := set(self.reference_rows) - {BASE, ALL}:
            raise ParameterError(f"The reference rows are base and all, not '{sorted(unknown)[0]}'.")

    @property
    def anchor(self) -> Selector:
        return next((s for s in self.selectors if s.name == self.reference), self.selectors[0])

    @cached_property
    def cells(self) -> list[tuple[str, int | None, int | None]]:
        """(selector, budget, seed), the cheap ones first, so that a run is worth reading early."""
        inner = [(s.name, n, seed) for n in sorted(self.budgets) for seed in self.seeds for s in self.selectors]
        first = [(BASE, None, None)] if BASE in self.reference_rows else []
        last = [(ALL, None, self.seeds[0])] if ALL in self.reference_rows else []
        return [*first, *inner, *last]


@dataclass(frozen=True)
class Workbench:
    """What all cells of a run share while they are made."""

    corpus: Corpus
    folder: ModelFolder
    device: str
    pool: Pool
    encoded: list[Encoded]
    plan: Plan
    run: FineTuneRun
    store: Store
    checkpoint_seconds: float

    @cached_property
    def held_out(self) -> list[int]:
        """Record numbers of the held-out texts that train at least one token."""
        return [int(i) for i in np.flatnonzero(self.corpus.held_out) if self.encoded[i].trained.any()]

    def model(self) -> CausalLM:
        return load_model(self.folder, device=self.device)

    @property
    def context(self) -> int:
        return self.folder.context


def finetune_run(
    corpus: Corpus,
    folder: ModelFolder,
    plan: Plan,
    out: Path | None = None,
    *,
    max_tokens: int = MAX_TOKENS,
    device: str = "auto",
    store: Store | None = None,
    command: Sequence[str] = (),
    donors: Sequence[Path] = (),
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    on_stage: Stage | None = None,
    say: Say | None = None,
) -> FineTuneRun:
    """Do a run, or what is left of it.

    Args:
        out: the run's folder; in the store, under an id made of its settings, where not given.
        command: the command line that made it, kept in run.json.
        donors: folders of runs whose cells are taken over where they are the very same model (equal sentences and equal tokens
            share the untuned one, the whole pool's and the reference's).
        checkpoint_seconds: a kill in the middle of a training loses at most as much.
        on_stage: told (what, done, total); fine-tuning in trained tokens.
        say: told a sentence a finished cell.

    Raises:
        UserError: one sentence; finished cells are kept.
    """
    store, tell, say = store or Store.default(), on_stage or (lambda *_: None), say or (lambda _: None)

    def embedding(done: int, total: int) -> None:
        tell("embedding", done, total)

    if not corpus.held_out.any():
        raise ParameterError(f"{corpus.name} holds nothing out, so nothing can be measured; raise --holdout.")
    pool = pipeline.load_pool(corpus, folder, max_tokens=max_tokens, device=device, store=store, on_progress=embedding)
    cut = effective_max_tokens(max_tokens, folder.context)
    for n in plan.budgets:
        Budget(n).check(pool)
    about = _about(corpus, folder, plan, cut, pool, command)
    id = hashlib.sha256(json.dumps({k: v for k, v in about.items() if k != "command"}, sort_keys=True).encode()).hexdigest()[:12]
    target = out or store.path / "runs" / id
    target.mkdir(parents=True, exist_ok=True)
    with FileLock(target / ".begin.lock"):
        run = _begin(target, id, about)
        bench = Workbench(
            corpus,
            folder,
            device,
            pool,
            encode(corpus.examples, load_tokenizer(folder), cut),
            plan,
            run,
            store,
            checkpoint_seconds,
        )
        _write_held_out(bench)
        training = _training(bench, tell, say)
    chosen = _choose(bench, tell)
    total = sum(_cost(bench, name, chosen) for name in about["cells"])
    waiting = [name for name in about["cells"] if name not in run.cells]
    while waiting:
        taken = False
        for name in list(waiting):
            with _claimed(target, name) as mine:
                if mine and name not in run.cells:
                    done = sum(_cost(bench, n, chosen) for n in run.cells)

                    def steps(k: int, of: int, done: int = done, cost: int = _cost(bench, name, chosen)) -> None:
                        tell("fine-tuning", done + cost * k // max(of, 1), total)

                    tuning = _tuning(bench, name, chosen, training)
                    say(_adopt(bench, name, chosen, tuning, donors) or _make(bench, name, chosen, tuning, steps))
                    taken = True
            if name in run.cells:
                waiting.remove(name)
        if waiting and not taken:
            time.sleep(1.0)  # others are at work on the rest
    shutil.rmtree(target / WORK, ignore_errors=True)
    tell("fine-tuning", total, total)
    return run


def finetune_all(
    corpus: str | Path | Corpus,
    model: str | Path | ModelFolder = "mini",
    *,
    selectors: Sequence[str | Selector] = ("token_od", "uniform", "longest"),
    budgets: Sequence[int] = (100, 200, 500),
    equal: str = "sentences",
    seeds: int = 1,
    learning_rate: float | None = None,
    out: str | Path | None = None,
    on_stage: Stage | None = None,
    **training: Any,
) -> FineTuneResult:
    """`fishersft finetune` from Python: tune the model on every selection and measure it on the held-out texts.

    Args:
        learning_rate: found on a uniform draw where not given.
        out: the run's folder; in the store where not given. The same call goes on where it was stopped.
        training: fields of `Training` (epochs, batch, lora, ...).

    Raises:
        UserError: one sentence.
    """
    from fishersft.runs.finetune_result import FineTuneResult

    if learning_rate is not None:
        training["learning_rate"] = learning_rate
    plan = Plan(
        selectors=tuple(pipeline.as_selector(s) for s in selectors),
        budgets=tuple(budgets),
        equal=equal,
        seeds=tuple(range(seeds)),
        training=Training(**training),
        sweep=learning_rate is None,
    )
    text = corpus if isinstance(corpus, Corpus) else load_corpus(corpus)
    folder = model if isinstance(model, ModelFolder) else find_model(model)
    return FineTuneResult(finetune_run(text, folder, plan, Path(out) if out else None, on_stage=on_stage))


def _about(
    corpus: Corpus, folder: ModelFolder, plan: Plan, max_tokens: int, pool: Pool, command: Sequence[str]
) -> dict[str, Any]:
    """What run.json says was asked."""
    return {
        "corpus": {
            "name": corpus.name,
            "source": corpus.source,
            "options": [list(o) for o in corpus.options],
            "fingerprint": corpus.fingerprint,
            "records": len(corpus),
            "held_out": int(corpus.held_out.sum()),
            "pool": len(pool),
        },
        "model": {"name": folder.name, "revision": folder.revision, "fingerprint": folder.fingerprint},
        "selectors": [{"name": s.name, "label": s.label, "parameters": s.parameters} for s in plan.selectors],
        "budgets": list(plan.budgets),
        "equal": plan.equal,
        "reference": plan.anchor.name,
        "seeds": list(plan.seeds),
        "reference_rows": list(plan.reference_rows),
        "max_tokens": max_tokens,
        "training": {**plan.training.parameters, "learning_rate": "auto" if plan.sweep else plan.training.learning_rate},
        "prompts": plan.sampling.parameters,
        "cells": [cell_name(*cell) for cell in plan.cells],
        "command": list(command),
    }


def _begin(folder: Path, id: str, about: dict[str, Any]) -> FineTuneRun:
    """Open the run of a folder for more, or start one.

    Raises:
        StoreError: the folder holds a run of other settings.
    """
    about = json.loads(json.dumps(about))
    if not (folder / RUN).exists():
        if (folder / CELLS).exists():
            raise StoreError(f"{folder} holds cells without a {RUN}; name another folder.")
        return write_run(folder, id, about, _versions())
    there = read_run(folder)
    for name, value in about.items():
        if name not in (*GROWS, "command") and there.about.get(name) != value:
            raise StoreError(
                f"{folder} holds a run with another {name.replace('_', ' ')} ({_short(there.about.get(name))}, not "
                f"{_short(value)}); name another folder."
            )
    if there.about == about:
        return there
    kept = [name for name in there.about["cells"] if name not in about["cells"]]
    names = [s["name"] for s in about["selectors"]]
    merged = {
        **about,
        "cells": [*about["cells"], *kept],
        "selectors": [*about["selectors"], *(s for s in there.about["selectors"] if s["name"] not in names)],
        "budgets": sorted({*about["budgets"], *there.about["budgets"]}),
        "seeds": sorted({*about["seeds"], *there.about["seeds"]}),
    }
    for s in there.about["selectors"]:
        other = next((t for t in about["selectors"] if t["name"] == s["name"]), s)
        if other["parameters"] != s["parameters"]:
            raise StoreError(f"{folder} holds a run with other parameters of {s['label']}; name another folder.")
    return write_run(folder, there.id, merged, _versions())


def _write_held_out(bench: Workbench) -> None:
    """What every model will be measured on, and the prompts."""
    run, corpus = bench.run, bench.corpus
    if (run.folder / HELD_OUT).exists() and (run.folder / PROMPTS).exists():
        return
    column = corpus.categories[0] if corpus.categories else None
    topics = [str(t) for t in corpus.fields[column].map(str).to_numpy()[bench.held_out]] if column else None
    tokens = [len(bench.encoded[i].rows) for i in bench.held_out]
    tokenizer = load_tokenizer(bench.folder)
    lines = [
        {
            "prompt": k,
            "index": bench.held_out[p.position],
            "ids": list(p.ids),
            "text": text_of(tokenizer, p.ids),
            "continuation": text_of(tokenizer, p.continuation),
            "cut": p.cut,
        }
        for k, p in enumerate(_prompts(bench))
    ]
    write_lines(run.folder / PROMPTS, lines)
    content = {"index": bench.held_out, "tokens": tokens, "topic": topics, "column": column}
    write_text(run.folder / HELD_OUT, json.dumps(content))


def _prompts(bench: Workbench) -> list[Any]:
    return draw_prompts([bench.encoded[i] for i in bench.held_out], bench.plan.sampling, bench.context)


def _training(bench: Workbench, tell: Stage, say: Say) -> Training:
    """The hyperparameters of every cell, the learning rate found first where it is to be."""
    plan = bench.plan
    if not plan.sweep:
        return plan.training
    path = bench.run.folder / RATE
    if path.exists():
        return replace(plan.training, learning_rate=float(json.loads(path.read_text(encoding="utf-8"))["chosen"]))
    pool_index = bench.pool.index
    order = np.random.default_rng(SWEEP_SEED).permutation(len(pool_index))
    n = min(int(np.median(plan.budgets)), SWEEP_EXAMPLES, len(order) // 2)
    if n < 1:
        raise ParameterError("The pool is too small to find a learning rate on; give --learning-rate.")
    train = [bench.encoded[i] for i in pool_index[order[:n]]]
    test = [bench.encoded[i] for i in pool_index[order[n : n + SWEEP_EXAMPLES]]]
    tokens = sum(len(e.rows) for e in test)
    found: dict[str, float | None] = {}
    for k, rate in enumerate(RATES):

        def steps(done: int, of: int, k: int = k) -> None:
            tell("finding the learning rate", k * of + done, len(RATES) * of)

        model = bench.model()
        workspace = bench.run.folder / WORK / "rate"
        shutil.rmtree(workspace, ignore_errors=True)
        try:
            tuned = finetune(model, train, replace(plan.training, learning_rate=rate), workspace=workspace, on_progress=steps)
            nats = float(nats_of(tuned.model, test).sum() / tokens)
            found[f"{rate:g}"] = nats if np.isfinite(nats) else None
        except TrainingError:
            found[f"{rate:g}"] = None
    sound = {rate: nats for rate, nats in found.items() if nats is not None}
    if not sound:
        raise TrainingError("Fine-tuning diverged at every learning rate tried; give a smaller one with --learning-rate.")
    chosen = min(sound, key=lambda r: sound[r])
    untuned = float(nats_of(bench.model(), test).sum() / tokens)
    content = {"chosen": float(chosen), "nats": found, "base": untuned, "trained_on": n, "measured_on": len(test)}
    write_text(path, json.dumps(content))
    say(
        f"learning rate {chosen}: {sound[chosen]:.3f} nats a token on {len(test)} pool records after {n} others "
        f"(untuned {untuned:.3f})."
    )
    return replace(plan.training, learning_rate=float(chosen))


def _versions() -> dict[str, str]:
    """What made it, so that a reader of the numbers knows."""
    from importlib.metadata import version

    return {**made(), **{name: version(name) for name in ("torch", "transformers", "accelerate", "numpy")}}


Chosen = dict[str, np.ndarray]


def _choose(bench: Workbench, tell: Stage) -> Chosen:
    """Positions in the pool of every cell that is tuned."""
    plan, pool = bench.plan, bench.pool
    out: Chosen = {}
    if ALL in plan.reference_rows:
        out[cell_name(ALL, None, plan.seeds[0])] = np.arange(len(pool))

    def order(selector: Selector, budget: Budget, seed: int) -> np.ndarray:
        taken = pipeline.order(
            pool,
            selector,
            budget,
            seed if selector.random else 0,
            store=bench.store,
            on_progress=lambda k, of: tell(f"{selector.label}: choosing", k, of),
            on_stage=tell,
        )
        return taken.positions

    for seed in plan.seeds:
        anchor = order(plan.anchor, Budget(max(plan.budgets)), seed)
        limits = {n: int(pool.tokens[anchor[:n]].sum()) for n in plan.budgets}
        for selector in plan.selectors:
            if selector.name == plan.anchor.name:
                for n in plan.budgets:
                    out[cell_name(selector.name, n, seed)] = anchor[:n]
            elif plan.equal == "sentences":
                positions = order(selector, Budget(max(plan.budgets)), seed)
                for n in plan.budgets:
                    out[cell_name(selector.name, n, seed)] = positions[:n]
            else:
                positions = order(selector, Budget(tokens=max(limits.values())), seed)
                ends = within_tokens(pool.tokens[positions], np.array([limits[n] for n in plan.budgets]))
                for n, end in zip(plan.budgets, ends, strict=True):
                    out[cell_name(selector.name, n, seed)] = positions[: max(1, int(end))]
    return out


def _cost(bench: Workbench, name: str, chosen: Chosen) -> int:
    """Trained tokens of a cell, and of its held-out measurement as a rough share; what progress is counted in."""
    trained = int(bench.pool.tokens[chosen[name]].sum()) * bench.plan.training.epochs if name in chosen else 0
    return trained + sum(len(bench.encoded[i].rows) for i in bench.held_out) // 2


def _make(bench: Workbench, name: str, chosen: Chosen, training: Training, steps: Callable[[int, int], None]) -> str:
    """Tune, measure, write, keep; a sentence of what came out."""
    started = time.perf_counter()
    plan = bench.plan
    selector, budget, seed = next(cell for cell in plan.cells if cell_name(*cell) == name)
    model = bench.model()
    facts: dict[str, Any] = {"selector": selector, "budget": budget, "seed": seed, "sentences": 0, "tokens": 0}
    facts["key"] = _key(bench, name, chosen, training)
    workspace = bench.run.folder / WORK / name
    if name in chosen:
        positions = chosen[name]
        examples = [bench.encoded[i] for i in bench.pool.index[positions]]
        losses = workspace / LOSSES
        workspace.mkdir(parents=True, exist_ok=True)
        tuned = finetune(
            model,
            examples,
            training,
            workspace=workspace,
            seed=seed or 0,
            what=name,
            checkpoint_seconds=bench.checkpoint_seconds,
            on_progress=steps,
            on_loss=lambda step, loss: _append(losses, {"step": step, "loss": loss}),
        )
        model = tuned.model
        facts |= {
            "sentences": len(positions),
            "tokens": int(bench.pool.tokens[positions].sum()),
            "indices": [int(i) for i in bench.pool.index[positions]] if selector != ALL else None,
            "steps": tuned.steps,
            "batch": training.batch,
            "learning_rate": training.learning_rate,
            "losses": [list(x) for x in tuned.losses],
            "notes": list(tuned.notes),
            "resumed_at": tuned.resumed_at,
        }
    nats = nats_of(model, [bench.encoded[i] for i in bench.held_out])
    if not np.isfinite(nats).all():
        raise TrainingError(f"{name}: the tuned model's numbers are not finite; lower --learning-rate.")
    written = write(model, _prompts(bench), plan.sampling)
    tokens = sum(len(bench.encoded[i].rows) for i in bench.held_out)
    with new_cell(bench.run, name) as cell:
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


def _tuning(bench: Workbench, name: str, chosen: Chosen, training: Training) -> Training:
    """The hyperparameters of one cell: at equal tokens, the batch that makes the reference's number of steps."""
    selector, budget, seed = next(cell for cell in bench.plan.cells if cell_name(*cell) == name)
    if bench.plan.equal != "tokens" or selector in (BASE, ALL):
        return training
    reference = chosen[cell_name(bench.plan.anchor.name, budget, seed)]
    steps = math.ceil(len(reference) / training.batch)
    return replace(training, batch=math.ceil(len(chosen[name]) / steps))


def _key(bench: Workbench, name: str, chosen: Chosen, training: Training) -> str:
    """What a cell is made from; equal keys are the same model and the same texts."""
    _, _, seed = next(cell for cell in bench.plan.cells if cell_name(*cell) == name)
    about = bench.run.about
    content = {
        "corpus": about["corpus"]["fingerprint"],
        "model": about["model"]["fingerprint"],
        "max_tokens": about["max_tokens"],
        "prompts": about["prompts"],
        "tuned": {
            "records": hashlib.sha256(bench.pool.index[chosen[name]].astype("<i8").tobytes()).hexdigest(),
            "training": training.parameters,
            "seed": seed,
        }
        if name in chosen
        else None,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _adopt(bench: Workbench, name: str, chosen: Chosen, training: Training, donors: Sequence[Path]) -> str:
    """Take a cell over from a run that has it; a sentence, or "" where none has."""
    key = _key(bench, name, chosen, training)
    for donor in donors:
        if not (donor / RUN).exists():
            continue
        for other, cell in read_run(donor).cells.items():
            if cell.facts.get("key") == key:
                with new_cell(bench.run, name) as folder:
                    shutil.copytree(donor / CELLS / other, folder, dirs_exist_ok=True)
                return f"{name}: taken over from {donor.name} ({other})."
    return ""


@contextmanager
def _claimed(folder: Path, name: str) -> Iterator[bool]:
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


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
