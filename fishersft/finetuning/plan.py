"""What a run of fine-tuning is to compare: selectors, budgets, seeds, hyperparameters, and what everyone gets as much of.

Checks what was asked before anything is computed.  Knows no corpus and no folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from fishersft.errors import ParameterError
from fishersft.finetuning.run import ALL, BASE
from fishersft.lm.generate import Sampling
from fishersft.lm.training import Training
from fishersft.selectors import Selector


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
