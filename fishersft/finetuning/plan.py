"""What a run of fine-tuning compares (selectors, budgets, seeds, hyperparameters), checked first, and what it will take.

The tokens of a selection are not known before it is chosen: they lie between those of a random draw and those of the longest
sentences.  A model takes as long as three forward passes over its selection in every epoch, one pass over the held-out texts,
and the texts that it writes; finding a learning rate takes four such trainings on a uniform draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np

from fishersft.corpus.records import Corpus
from fishersft.errors import ParameterError
from fishersft.fields import declared, make, values
from fishersft.finetuning import FineTuneSettings
from fishersft.finetuning.run import ALL, BASE, model_name
from fishersft.lm.folder import ModelFolder
from fishersft.lm.generate import BATCH
from fishersft.lm.hyperparameters import RATES, Sampling, Training
from fishersft.selectors import Pool, Selector

SEARCH_EXAMPLES = 200  # most sentences that a learning rate is tried on, and measured on
PASSES = 3  # forward passes that a training step takes as long as: one forward, and the backward counted as two
STARTING = 1.5  # seconds per model, to read the weights and make the trainer
ModelKey = tuple[str, int | None, int | None]  # selector, budget, seed


@dataclass(frozen=True, kw_only=True)
class FineTunePlan(FineTuneSettings):
    """Everything that decides which models a run tunes and how.  Without a learning rate in `training`, it is found first."""

    selectors: tuple[Selector, ...]
    training: Training = field(default_factory=Training)
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        names = [s.name for s in self.selectors]
        if not names:
            raise ParameterError("Name at least one selector to fine-tune on; fishersft select --list shows those there are.")
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ParameterError(f"The selector '{twice[0]}' is named twice; each may be compared once.")
        super().__post_init__()
        if self.reference and self.reference not in names:
            raise ParameterError(f"The reference '{self.reference}' is not among the selectors: {', '.join(names)}.")

    @property
    def anchor(self) -> Selector:
        """The reference selector."""
        return next((s for s in self.selectors if s.name == self.reference), self.selectors[0])

    @cached_property
    def models(self) -> dict[str, ModelKey]:
        """The models to make, by name; the cheap ones first, so that a run is worth reading early."""
        keys: list[ModelKey] = [(BASE, None, None)]
        keys += [(s.name, n, seed) for n in sorted(self.budgets) for seed in range(self.seeds) for s in self.selectors]
        keys += [(self.anchor.name, n, seed) for n in sorted({*self.curve} - {*self.budgets}) for seed in range(self.seeds)]
        keys += [(ALL, None, 0)] if self.all else []
        return {model_name(*key): key for key in keys}

    def search_size(self, pool: int) -> int:
        """Sentences that each learning rate is tried on, in a pool of so many."""
        return min(int(median(self.budgets)), SEARCH_EXAMPLES, pool // 2)


def make_plan(selectors: Sequence[Selector], **parameters: Any) -> FineTunePlan:
    """A plan from values or texts of the parameters of `FineTuneSettings`, `Training` and `Sampling`; ParameterError if one
    is unknown or does not fit."""
    kinds = (FineTuneSettings, Training, Sampling)
    known = [name for kind in kinds for name in declared(kind)]
    if unknown := [name for name in parameters if name not in known]:
        raise ParameterError(f"Fine-tuning has no parameter '{unknown[0]}'; it has {', '.join(known)}.")
    settings, training, sampling = (make(kind, {n: parameters[n] for n in declared(kind) if n in parameters}) for kind in kinds)
    own = {name: getattr(settings, name) for name in declared(FineTuneSettings)}
    return FineTunePlan(selectors=tuple(selectors), training=training, sampling=sampling, **own)


def manifest_of(
    corpus: Corpus, folder: ModelFolder, plan: FineTunePlan, max_tokens: int, pool: Pool, command: Sequence[str]
) -> dict[str, Any]:
    """What run.json says was asked."""
    sampling = values(plan.sampling)
    target = {"target": {**pool.target.said, "key": pool.target.key}} if pool.target else {}
    scored = sampling.pop("score_prompts")
    measured = pool.target.corpus if pool.target else corpus
    sampling["seed"] = sampling.pop("sampling_seed")  # its name in run.json since the first version
    steps = {"steps": "equal parts"} if plan.equal == "tokens" and not target else {}  # before, batches of whole sentences
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
        **target,
        "selectors": [{"name": s.name, "label": s.label, "parameters": s.parameters} for s in plan.selectors],
        "budgets": list(plan.budgets),
        "equal": plan.equal,
        **steps,
        "reference": plan.anchor.name,
        "seeds": list(range(plan.seeds)),
        "reference_rows": [BASE, ALL] if plan.all else [BASE],
        **folder.encoding_of(corpus, max_tokens),
        "training": {**values(plan.training), "learning_rate": plan.training.learning_rate or "auto"},
        "prompts": sampling,
        **({"score_prompts": scored} if scored and measured.shape != "text" else {}),
        "cells": list(plan.models),
        "command": list(command),
    }


def parts_of(plan: FineTunePlan, pool: int, held_out: int) -> dict[str, tuple[float, int]]:
    """The stages of a run in their order, for `job_runner.expect`: how large each is, in sentences that are read once, and how
    many stages share that; of a pool and held-out texts of so many sentences."""
    step = PASSES * plan.training.epochs
    trained = sum(n or (pool if selector == ALL else 0) for selector, n, _ in plan.models.values())
    tried = plan.search_size(pool)
    search = len(RATES) * (step * tried + min(SEARCH_EXAMPLES, pool - tried)) if plan.training.learning_rate is None else 0
    return {
        "embedding": (pool, 1),
        "finding the learning rate": (search, 1),
        "choosing": (pool / 5, len(plan.selectors) * plan.seeds),
        "fine-tuning": (step * trained + len(plan.models) * held_out, 1),
    }


@dataclass(frozen=True)
class Speed:
    """Measured on this machine: trained tokens per second of a forward pass, and seconds to write one token of a batch."""

    tokens: float
    step: float


@dataclass(frozen=True)
class TrainingCost:
    """What a plan takes: models that are measured, trained tokens over all epochs, and seconds of everything.

    The two values are for selections that are all random draws, or all the longest sentences.
    """

    models: int
    least: int
    most: int
    seconds: tuple[float, float]


def cost_of(plan: FineTunePlan, pool: np.ndarray, held_out: np.ndarray, speed: Speed, *, answers: bool = False) -> TrainingCost:
    """The cost of a plan, from the trained tokens of the sentences that can be chosen (N,) and of the held-out texts (H,), and
    whether these have answers, which are then scored."""
    longest = np.cumsum(np.sort(pool)[::-1])
    mean = float(pool.mean()) if len(pool) else 0.0
    low = high = 0.0
    for selector, n, _ in plan.models.values():
        if selector == ALL:
            low, high = low + float(pool.sum()), high + float(pool.sum())
        elif selector != BASE and n:
            low, high = low + n * mean, high + float(longest[min(n, len(pool)) - 1])
    epochs = plan.training.epochs
    low, high = low * epochs, high * epochs
    writing = math.ceil(plan.sampling.prompts / BATCH) * plan.sampling.new_tokens * speed.step
    if answers and len(held_out):
        scored = min(plan.sampling.score_prompts, len(held_out))
        writing += math.ceil(scored / BATCH) * int(held_out.max()) * speed.step
    rest = len(plan.models) * (STARTING + float(held_out.sum()) / speed.tokens + writing)
    if plan.training.learning_rate is None:
        tried = len(RATES) * mean * (plan.search_size(len(pool)) * epochs * PASSES + SEARCH_EXAMPLES)
        rest += tried / speed.tokens + len(RATES) * STARTING
    seconds = (rest + PASSES * low / speed.tokens, rest + PASSES * high / speed.tokens)
    return TrainingCost(len(plan.models), round(low), round(high), seconds)
