"""What is measured: many runs of a world, each selector cut at every budget, a head fitted on each cut.

A run draws a fresh problem (rows, head, labels) that all selectors of the run share.  Everything follows from the seed, run and
selector alone.  At equal tokens every selector is cut at the tokens of the reference selector's first n sentences.  A record:

    run, selector, d, L     which one; `key_of(record)` is this tuple
    n                       [k] the budgets asked for
    sentences, tokens       [k] what was spent
    maximum, mean           [k] e_i over all N sentences (`problem.py`)
    worst_leverage, log_det [k] of the design
    distance                a proven bound on ||Theta_hat - minimum||_F, the largest over the fits (`logistic.py`)
    seconds                 of choosing and of fitting
    notes                   the selector's notes on its picks

Source of the sweep: FisherSFT's rebuttal, d in {5, 10, 20, 30, 40} and L in {20, 30, 40, 50} at n = 1,000.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

from fishersft import fields
from fishersft.errors import BudgetError, ParameterError
from fishersft.experiments.problem import World
from fishersft.experiments.settings import SWEEP_BUDGET, MeasureSettings, SweepSettings
from fishersft.experiments.worlds import Synthetic
from fishersft.selectors import Budget, Selector, make_selectors
from fishersft.text import all_encodable

VERSION = 1  # of the numbers; raise it when the same settings no longer give the same ones
MOVED = {"dimension": "dimension d", "classes": "classes L"}
Record = dict[str, Any]
Key = tuple[int, str, int, int]


@dataclass(frozen=True)
class About:
    """What a result says about itself: enough to read it where the world itself is not at hand.

    The `settings` of a sweep have also "sweep", the values of each setting that is moved.  `arguments` are the command line that
    makes the result, after `fishersft` and without --out.
    """

    settings: dict[str, Any]
    title: str
    arguments: list[str]

    def __post_init__(self) -> None:
        for name, value in vars(self).items():  # a file's name need not be UTF-8
            object.__setattr__(self, name, all_encodable(value))

    @property
    def command(self) -> str:
        """The command line that makes the result, for a shell; add --out DIR."""
        return shlex.join(["fishersft", *self.arguments])


@dataclass(frozen=True)
class Experiment(MeasureSettings):
    """What is measured, in which world.  All of it decides the numbers; equal experiments give equal records.

    `parameters` are those of selectors, each "selector.name=value".  BudgetError where a budget is below 1 or above the pool,
    ParameterError where anything else makes no sense.
    """

    world: World = field(default_factory=Synthetic, kw_only=True)
    parameters: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.selectors:
            raise ParameterError("Name at least one selector; fishersft select --list shows those there are.")
        if len(set(self.selectors)) < len(self.selectors):
            raise ParameterError("A selector is named twice; each may be measured once.")
        _ = self.chosen  # each must make sense
        if not self.budgets:
            raise BudgetError("Give at least one budget, for example --budgets 50,100,200.")
        for n in self.budgets:
            Budget(sentences=n)
        there = int(self.world.settings["sentences"])
        if max(self.budgets) > there:
            raise BudgetError(
                f"The budget of {max(self.budgets):,} sentences is above the pool of {there:,}; "
                "lower --budgets or raise --sentences."
            )
        object.__setattr__(self, "budgets", tuple(sorted({int(n) for n in self.budgets})))

    @property
    def settings(self) -> dict[str, Any]:
        world = {"name": self.world.name, **self.world.settings}
        return {"version": VERSION, "world": world, "parameters": list(self.parameters), **fields.values(self)}

    @property
    def about(self) -> About:
        return About(self.settings, self.world.title, self.arguments())

    @property
    def experiments(self) -> list[Experiment]:
        """Itself alone; a sweep has several."""
        return [self]

    @property
    def keys(self) -> list[Key]:
        """The keys of all its records, in the order in which they are made."""
        d, L = int(self.world.settings["dimension"]), int(self.world.settings["classes"])
        return [(run, name, d, L) for run in range(self.runs) for name in self.selectors]

    @cached_property
    def chosen(self) -> dict[str, Selector]:
        """Its selectors and the reference by name; ParameterError says what is wrong with their parameters."""
        names = list(dict.fromkeys([*self.selectors, self.reference]))
        return dict(zip(names, make_selectors(names, self.parameters), strict=True))

    def measured(self, *, without: Iterable[str] = ()) -> list[str]:
        """The command-line options that say what is measured in whichever world, without those at their defaults."""
        return [*fields.arguments(self, without=without), *(part for one in self.parameters for part in ("--set", one))]

    def arguments(self, *, without: Iterable[str] = ()) -> list[str]:
        """The command line that runs it, without --out: ["curves", "synthetic", "--runs", "3", ...]."""
        return ["curves", self.world.name, *self.world.arguments(), *self.measured(without=without)]


def key_of(record: Record) -> Key:
    """Which run, selector and point a record belongs to."""
    return int(record["run"]), str(record["selector"]), int(record["d"]), int(record["L"])


@dataclass(frozen=True)
class Sweep:
    """An experiment with one budget for every value of d at its own L and every value of L at its own d; one may be empty."""

    experiment: Experiment
    dimensions: tuple[int, ...] = SweepSettings.sweep_dimensions
    classes: tuple[int, ...] = SweepSettings.sweep_classes

    def __post_init__(self) -> None:
        if len(self.experiment.budgets) != 1:
            raise BudgetError("A sweep is made at one budget; give --budgets a single number.")
        if not (self.dimensions or self.classes):
            raise ParameterError("A sweep needs values of the dimension or of the classes.")
        _ = self.experiments  # each must make sense

    @cached_property
    def experiments(self) -> list[Experiment]:
        """One for each point (d, L); a point that both lines share is there once."""
        world: Any = self.experiment.world
        points = dict.fromkeys([*((d, world.classes) for d in self.dimensions), *((world.dimension, L) for L in self.classes)])
        return [replace(self.experiment, world=replace(cast(Any, world), dimension=d, classes=L)) for d, L in points]

    @property
    def about(self) -> About:
        both = {"dimension": list(self.dimensions), "classes": list(self.classes)}
        moved = {name: values for name, values in both.items() if values}
        usual = ("budgets",) if self.experiment.budgets == (SWEEP_BUDGET,) else ()
        asked = SweepSettings(
            sweep="both" if len(moved) == 2 else next(iter(moved)),
            sweep_dimensions=self.dimensions or SweepSettings.sweep_dimensions,
            sweep_classes=self.classes or SweepSettings.sweep_classes,
        )
        names = " and ".join(MOVED[name] for name in moved)
        title = f"{self.experiment.world.title}, {names} moved at n = {self.experiment.budgets[0]:,}"
        command = [*self.experiment.arguments(without=usual), *fields.arguments(asked)]
        return About({**self.experiment.settings, "sweep": moved}, title, command)
