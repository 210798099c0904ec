"""A sweep: the same experiment at one budget while d or L moves.

Source: FisherSFT's rebuttal: d in {5, 10, 20, 30, 40} and L in {20, 30, 40, 50} at n = 1,000.  Knows no file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

from fishersft.errors import BudgetError, ParameterError
from fishersft.experiments.experiment import About, Experiment

VALUES = {"dimension": (5, 10, 20, 30, 40), "classes": (20, 30, 40, 50)}
BUDGET = 1_000
WORDS = {"dimension": "dimension d", "classes": "classes L"}


@dataclass(frozen=True)
class Sweep:
    """An experiment for every value of d at the experiment's own L, and for every value of L at its own d.

    Attributes:
        experiment: with one budget; its world has fields `dimension` and `classes`.
        dimensions, classes: the values; either may be empty, not both.
    """

    experiment: Experiment
    dimensions: tuple[int, ...] = VALUES["dimension"]
    classes: tuple[int, ...] = VALUES["classes"]

    def __post_init__(self) -> None:
        if len(self.experiment.budgets) != 1:
            raise BudgetError("A sweep is made at one budget; give --budgets a single number.")
        if not (self.dimensions or self.classes):
            raise ParameterError("A sweep needs values of the dimension or of the classes.")
        _ = self.experiments  # each must make sense

    @cached_property
    def experiments(self) -> list[Experiment]:
        """One a point (d, L), each once."""
        world: Any = self.experiment.world
        points = dict.fromkeys([*((d, world.classes) for d in self.dimensions), *((world.dimension, L) for L in self.classes)])
        return [replace(self.experiment, world=replace(cast(Any, world), dimension=d, classes=L)) for d, L in points]

    @property
    def about(self) -> About:
        plain = self.experiment.about
        moved = {"dimension": list(self.dimensions), "classes": list(self.classes)}
        moved = {name: values for name, values in moved.items() if values}
        arguments = list(plain.arguments)
        if arguments[-2:] and "--budgets" in arguments and self.experiment.budgets == (BUDGET,):
            at = arguments.index("--budgets")
            del arguments[at : at + 2]
        arguments += ["--sweep", "both" if len(moved) == 2 else next(iter(moved))]
        for name, values in moved.items():
            if tuple(values) != VALUES[name]:
                arguments += [f"--sweep-{'dimensions' if name == 'dimension' else name}", ",".join(map(str, values))]
        title = f"{plain.title}, {' and '.join(WORDS[name] for name in moved)} moved at n = {self.experiment.budgets[0]:,}"
        return About({**plain.settings, "sweep": moved}, title, arguments)
