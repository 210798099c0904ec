"""The models of a run: what they share while they are made, and how each is tuned, measured, sampled from and kept.

At equal tokens every selector is cut at the tokens of the reference's first n sentences and takes as many steps: each pass over
a selection, the reference's too, is cut into the same number of parts of about equal tokens.

A model is kept completely or not at all.  It is claimed by a lock that ends with its process, so any number of processes may work
on one folder, and has a key of everything that it is made from, so that a run can take over the very same model from another.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from fishersft.corpus.encode import Encoded, encode
from fishersft.corpus.records import Corpus
from fishersft.design.trajectory import within_tokens
from fishersft.errors import TrainingError
from fishersft.fields import values
from fishersft.finetuning import run as run_files
from fishersft.finetuning.plan import FineTunePlan
from fishersft.finetuning.run import ALL, CELL, CELLS, KEPT, FineTuneRun, model_name, new_model_folder, write_lines, write_text
from fishersft.finetuning.scores import ScoredRecord, draw_scored, scores_of
from fishersft.lm.finetune import finetune, save_model
from fishersft.lm.folder import ModelFolder
from fishersft.lm.generate import PromptIds, draw_prompts, text_of, write
from fishersft.lm.hyperparameters import Training
from fishersft.lm.losses import nats_of
from fishersft.lm.model import CausalLM, load_model, load_tokenizer
from fishersft.paths import writing
from fishersft.pipeline import embed_and_select
from fishersft.selectors import Budget, Order, Pool, Selector
from fishersft.selectors.base import Stage
from fishersft.store.artifacts import Store, checksum


@dataclass(frozen=True)
class RunContext:
    """What the models of a run share; `encoded` are all records of the corpus, `on_stage` and `say` as in `stages.finetune`."""

    corpus: Corpus
    folder: ModelFolder
    device: str
    pool: Pool
    encoded: list[Encoded]
    plan: FineTunePlan
    run: FineTuneRun
    store: Store
    checkpoint_seconds: float
    on_stage: Stage
    say: Callable[[str], None]

    @cached_property
    def held_out(self) -> list[int]:
        """Record numbers of the held-out texts that have at least one trained token."""
        return [int(i) for i in np.flatnonzero(self.corpus.held_out) if self.encoded[i].trained.any()]

    @cached_property
    def held_out_tokens(self) -> list[int]:
        """Trained tokens of each held-out text."""
        return [len(self.encoded[i].rows) for i in self.held_out]

    @cached_property
    def measuring(self) -> list[Encoded]:
        """The texts of the target's measuring half; none without a target."""
        if not (target := self.pool.target) or target.measuring is None:
            return []
        examples = [target.corpus.examples[int(i)] for i in target.measuring.index]
        return encode(examples, load_tokenizer(self.folder), self.run.about["max_tokens"])

    @cached_property
    def scored(self) -> list[ScoredRecord]:
        """The records whose answers are scored: of the target's measuring half where there is a target, else held-out ones."""
        if not (count := self.run.about.get("score_prompts")):
            return []
        target, index = self.pool.target, self.scored_index
        examples = (target.corpus if target else self.corpus).examples
        encoded = self.measuring if target else [self.encoded[i] for i in index]
        tokenizer, cut = load_tokenizer(self.folder), self.run.about["max_tokens"]
        return draw_scored([examples[i] for i in index], encoded, tokenizer, cut, count, self.plan.sampling.sampling_seed)

    @cached_property
    def scored_index(self) -> list[int]:
        """Record numbers of the texts that `scored` draws from."""
        measuring = self.pool.target.measuring if self.pool.target else None
        return self.held_out if measuring is None else [int(i) for i in measuring.index]

    @cached_property
    def prompts(self) -> list[PromptIds]:
        return draw_prompts([self.encoded[i] for i in self.held_out], self.plan.sampling, self.folder.context)

    @cached_property
    def chosen(self) -> dict[str, np.ndarray]:
        """Positions in the pool that each model is tuned on, by the model's name."""
        whole = np.arange(len(self.pool))
        out = {name: whole for name, (selector, _, _) in self.plan.models.items() if selector == ALL}
        return out | {name: order.positions for name, order in self.orders.items()}

    @cached_property
    def orders(self) -> dict[str, Order]:
        """What a selector chose for each model, by the model's name, as far as its budget goes."""
        plan, tokens, out = self.plan, self.pool.tokens, dict[str, Order]()
        largest, along = Budget(max(plan.budgets)), sorted({*plan.budgets, *plan.curve})
        for seed in range(plan.seeds):
            anchor = self._order(plan.anchor, Budget(along[-1]), seed)
            out |= {model_name(plan.anchor.name, n, seed): anchor.prefix(n) for n in along}
            limits = np.array([int(tokens[anchor.positions[:n]].sum()) for n in plan.budgets])
            for selector in plan.selectors:
                ends = np.array(plan.budgets)
                if selector.name == plan.anchor.name:
                    continue
                if plan.equal == "sentences":
                    order = self._order(selector, largest, seed)
                else:
                    order = self._order(selector, Budget(tokens=int(limits.max())), seed)
                    ends = np.maximum(1, within_tokens(tokens[order.positions], limits))
                for n, end in zip(plan.budgets, ends, strict=True):
                    out[model_name(selector.name, n, seed)] = order.prefix(int(end))
        return out

    def _order(self, selector: Selector, budget: Budget, seed: int) -> Order:
        return embed_and_select.order(
            self.pool,
            selector,
            budget,
            seed if selector.random else 0,
            store=self.store,
            on_progress=lambda k, of: self.on_stage(f"{selector.label}: choosing", k, of),
            on_stage=self.on_stage,
        )

    def training_for(self, name: str, training: Training) -> Training:
        """The hyperparameters of one model: at equal tokens, with the parts that a pass over the selection is cut into."""
        budget = self.plan.models[name][1]
        if self.plan.equal != "tokens" or budget is None:
            return training
        return replace(training, parts=math.ceil(budget / training.batch))

    def model(self) -> CausalLM:
        """The untuned model, freshly loaded."""
        return load_model(self.folder, device=self.device)

    def write_held_out(self) -> None:
        """Write what every model will be measured on, and the prompts, unless they are there."""
        corpus, folder, target = self.corpus, self.run.folder, self.pool.target
        if target and target.measuring is not None and not (folder / run_files.TARGET).exists():
            tokens, index = [len(e.rows) for e in self.measuring], [int(i) for i in target.measuring.index]
            write_text(folder / run_files.TARGET, json.dumps({"name": target.name, "index": index, "tokens": tokens}))
        if self.run.about.get("score_prompts") and not (folder / run_files.SCORED).exists():
            scored = [{"index": self.scored_index[one.position], **one.line} for one in self.scored]
            write_lines(folder / run_files.SCORED, scored)
        if (folder / run_files.HELD_OUT).exists() and (folder / run_files.PROMPTS).exists():
            return
        column = corpus.categories[0] if corpus.categories else None
        topics = [str(t) for t in corpus.fields[column].map(str).to_numpy()[self.held_out]] if column else None
        tokenizer = load_tokenizer(self.folder)
        lines = [
            {
                "prompt": k,
                "index": self.held_out[p.position],
                "ids": list(p.ids),
                "text": text_of(tokenizer, p.ids),
                "continuation": text_of(tokenizer, p.continuation),
                "cut": p.cut,
            }
            for k, p in enumerate(self.prompts)
        ]
        write_lines(folder / run_files.PROMPTS, lines)
        content = {
            "index": self.held_out,
            "tokens": self.held_out_tokens,
            "topic": topics,
            "column": column,
            "near_duplicates": corpus.repeats.as_json(),
        }
        write_text(folder / run_files.HELD_OUT, json.dumps(content))


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

        def keep_loss(step: int, loss: float) -> None:
            with writing(losses, KEPT), losses.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "loss": loss}) + "\n")

        pace = _Pace(int(context.pool.tokens[positions].sum()) * training.epochs, on_progress)
        tuned = finetune(
            model,
            [context.encoded[i] for i in context.pool.index[positions]],
            training,
            workspace=workspace,
            seed=seed or 0,
            what=name,
            checkpoint_seconds=context.checkpoint_seconds,
            on_progress=pace,
            on_loss=keep_loss,
        )
        model, target = tuned.model, context.pool.target
        on = target.is_on(context.corpus, context.pool.index[positions]) if target else None
        facts |= {
            "sentences": len(positions),
            "tokens": int(context.pool.tokens[positions].sum()),
            "on_target": None if on is None else float(on.mean()),
            "choosing_seconds": float(context.orders[name].seconds[-1]) if name in context.orders else None,
            "tokens_per_second": pace.tokens_per_second,
            "indices": [int(i) for i in context.pool.index[positions]] if selector != ALL else None,
            "steps": tuned.steps,
            "batch": training.batch,
            "parts": training.parts or None,
            "learning_rate": training.learning_rate,
            "losses": [list(x) for x in tuned.losses],
            "notes": list(tuned.notes),
            "resumed_at": tuned.resumed_at,
        }
    nats, aimed = nats_of(model, [context.encoded[i] for i in context.held_out]), nats_of(model, context.measuring)
    if not np.isfinite(nats).all() or not np.isfinite(aimed).all():
        raise TrainingError(f"{name}: the tuned model's numbers are not finite; lower --learning-rate.")
    written = write(model, context.prompts, plan.sampling)
    scores = scores_of(model, context.scored, context.folder.context)
    with new_model_folder(context.run, name) as folder:
        np.save(folder / run_files.NATS, nats)
        if context.measuring:
            np.save(folder / run_files.TARGET_NATS, aimed)
        write_lines(folder / run_files.TEXTS, [{"prompt": k, **asdict(w)} for k, w in enumerate(written)])
        if scores:
            write_lines(folder / run_files.SCORES, scores)
        if selector == ALL or (plan.keep_models and name in context.chosen):
            save_model(model, folder / run_files.MODEL)
        mean = float(nats.sum() / sum(context.held_out_tokens))
        if context.measuring:
            facts["target_mean"] = float(aimed.sum() / sum(len(e.rows) for e in context.measuring))
        checksums = {file.name: checksum(file) for file in sorted(folder.iterdir()) if file.is_file()}
        facts |= {"seconds": round(time.perf_counter() - started, 2), "mean": mean, "checksums": checksums}
        write_text(folder / CELL, json.dumps(facts))
    shutil.rmtree(workspace, ignore_errors=True)
    return (
        f"{name}: {mean:.3f} nats per held-out token after {facts['sentences']:,} sentences, "
        f"{facts['tokens']:,} tokens ({facts['seconds']:.0f} s)."
    )


class _Pace:
    """Watches a training's steps, passes them on, and knows the trained tokens a second between its first and its last."""

    def __init__(self, tokens: int, on_progress: Callable[[int, int], None]) -> None:
        self.tokens, self.on_progress = tokens, on_progress
        self.seen: list[tuple[int, int, float]] = []  # steps done, steps in all, and when: the first and the last

    def __call__(self, done: int, steps: int) -> None:
        self.seen = [*self.seen[:1], (done, steps, time.perf_counter())]
        self.on_progress(done, steps)

    @property
    def tokens_per_second(self) -> float | None:
        """None where it took too few steps to tell."""
        if len(self.seen) < 2:
            return None
        (first, _, began), (last, steps, ended) = self.seen
        return self.tokens * (last - first) / max(steps, 1) / max(ended - began, 1e-9) or None


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
            "training": {**values(training), **({"parts": training.parts} if training.parts else {})},
            "seed": context.plan.models[name][2],
        }
    content = {
        "corpus": about["corpus"]["fingerprint"],
        "model": about["model"]["fingerprint"],
        "max_tokens": about["max_tokens"],
        "prompts": about["prompts"],
        "tuned": tuned,
        **({"target": about["target"]["key"]} if "target" in about else {}),
        **({"score_prompts": about["score_prompts"]} if "score_prompts" in about else {}),
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
    with writing(folder, KEPT):
        (folder / CELLS).mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / CELLS / f".{name}.lock")
        with suppress(Timeout):
            lock.acquire(timeout=0)
    try:
        yield lock.is_locked
    finally:
        lock.release()
