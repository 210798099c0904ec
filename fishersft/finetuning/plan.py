"""What a run of fine-tuning compares: selectors, budgets, seeds, hyperparameters, and what is equal between the selectors.

Checks what was asked before anything is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Any

from fishersft.corpus.records import Corpus
from fishersft.errors import ParameterError
from fishersft.fields import declared, make, values
from fishersft.finetuning.run import ALL, BASE, model_name
from fishersft.finetuning.settings import FineTuneSettings
from fishersft.lm.folder import ModelFolder
from fishersft.lm.hyperparameters import Sampling, Training
from fishersft.selectors import Pool, Selector

SEARCH_EXAMPLES = 200  # most sentences that a learning rate is tried on, and measured on
ModelKey = tuple[str, int | None, int | None]  # selector, budget, seed


@dataclass(frozen=True, kw_only=True)
class FineTunePlan(FineTuneSettings):
    """Everything that decides which models a run tunes and how; `make_plan` makes one from parameters by name.

    Attributes:
        training: without a learning rate, it is found first.
    """

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
        keys += [(ALL, None, 0)] if self.all else []
        return {model_name(*key): key for key in keys}

    def search_size(self, pool: int) -> int:
        """Sentences that each learning rate is tried on, in a pool of so many."""
        return min(int(median(self.budgets)), SEARCH_EXAMPLES, pool // 2)


def make_plan(selectors: Sequence[Selector], **parameters: Any) -> FineTunePlan:
    """A plan from values or texts of the parameters of `FineTuneSettings`, `Training` and `Sampling`.

    Raises:
        ParameterError: an unknown name, or a value that does not fit.
    """
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
    sampling["seed"] = sampling.pop("sampling_seed")  # its name in run.json since the first version
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
        "seeds": list(range(plan.seeds)),
        "reference_rows": [BASE, ALL] if plan.all else [BASE],
        "max_tokens": max_tokens,
        "training": {**values(plan.training), "learning_rate": plan.training.learning_rate or "auto"},
        "prompts": sampling,
        "cells": list(plan.models),
        "command": list(command),
    }
