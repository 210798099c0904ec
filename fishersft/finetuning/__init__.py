"""Fine-tuning on selections; here is what a comparison is asked for beside its selectors and hyperparameters.

Commands make their options from it, so nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from fishersft.errors import ParameterError
from fishersft.fields import check, parameter

AIMED = ("target_matched", "rds_plus", "uniform")  # selectors for a target, compared at equal tokens


@dataclass(frozen=True)
class FineTuneSettings:
    """Budgets, what is equal between selectors, and how often everything is repeated."""

    budgets: tuple[int, ...] = parameter(
        (100, 200, 500), "Sentences of the reference selector, separated by commas.", label="Budgets n", least=1
    )
    equal: str = parameter(
        "sentences",
        "What every selector gets the same amount of. Sentences: each gets n. Tokens: as many as the reference's first n "
        "sentences have, in as many steps, which is the fairer comparison where texts differ in length.",
        label="At equal",
        choices=("sentences", "tokens"),
    )
    reference: str = parameter(
        "", "Selector whose tokens are counted at equal tokens.", metavar="SELECTOR", shown_default="the first one"
    )
    curve: tuple[int, ...] = parameter(
        (),
        "Further budgets, at which only the reference selector is tuned: its curve says how many of its tokens are worth a "
        "selection.",
        label="The reference's curve",
        least=1,
    )
    seeds: int = parameter(
        1, "Draws and trainings per selector; with one seed, intervals are over texts only.", least=1, most=1_000
    )
    all: bool = parameter(
        True,
        "Also tune on the whole pool: the most that the data can give, and the model that the reference judge uses.",
        label="Whole pool too",
    )
    keep_models: bool = parameter(False, "Save the weights of every model, not only the whole pool's.", label="Keep weights")

    def __post_init__(self) -> None:
        check(self)
        if not self.budgets or len(set(self.budgets)) < len(self.budgets):
            raise ParameterError("Budgets are different whole numbers of at least 1, for example 100,200,500.")
