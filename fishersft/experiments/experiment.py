"""An error experiment: many runs of a world, each selector cut at every budget, a head fitted on each cut.

    experiment = Experiment(Synthetic(features="clustered"), runs=3, budgets=(50, 200, 500), equal="tokens")
    for record in run(experiment, on_progress): ...         # `running.py`: one record a (run, selector), as each is finished
    result = Result.of(experiment.about, records)           # `result.py`: curves and bands; `fits.py`: slopes, ratios, tests
    with Records(folder, experiment.about) as kept: ...     # `records.py`: the same on disk, to go on from

A run draws a fresh problem (rows, head, labels); all selectors of a run see the same one.  Everything follows from the seed,
run and selector alone, so an interrupted experiment goes on with the records that are missing and ends with the same numbers.
At equal tokens every selector is cut at the tokens that the reference selector's first n sentences have.

A record is a plain dict for JSON:

    run, selector, d, L     which; `key_of(record)` is this tuple, and what `done` is made of
    n                       [k] the budgets asked for
    sentences, tokens       [k] what was spent
    maximum, mean           [k] e_i over all N sentences (`errors.py`)
    worst_leverage, log_det [k] of the design
    distance                a proven bound on ||Theta_hat - minimum||_F, the largest of the fits (`logistic.py`)
    seconds                 of choosing and of fitting
    notes                   what the selector said of its picks

Says what is measured and measures nothing.  Knows no file and no screen.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from fishersft.errors import BudgetError, ParameterError
from fishersft.experiments.logistic import RIDGE, check_ridge
from fishersft.experiments.problem import World
from fishersft.experiments.synthetic import Synthetic, check_whole
from fishersft.selectors import Budget, Selector, find_selector, make_selector
from fishersft.selectors.selection import check_seed

SELECTORS = ("token_od", "uniform", "sentence_od", "density", "clustered", "longest", "matched_od")
BUDGETS = (50, 100, 200, 300, 500, 1_000, 1_500, 2_000)
VERSION = 1  # of the numbers; raise it when the same settings no longer give the same ones
Record = dict[str, Any]
Key = tuple[int, str, int, int]


@dataclass(frozen=True)
class About:
    """What a result says of itself; enough to read it, where the world itself is not at hand.

    Attributes:
        settings: of the experiment; for a sweep also "sweep", the values of each setting that is moved.
        title: one line for people.
        arguments: the command line that makes it, after `fishersft` and without --out.
    """

    settings: dict[str, Any]
    title: str
    arguments: list[str]


@dataclass(frozen=True)
class Experiment:
    """What is measured.  All of it decides the numbers; equal experiments give equal records.

    Attributes:
        world: makes the problems.
        selectors: names; any registered one.
        parameters: of selectors, each "selector.name=value".
        budgets: n, sentences; at equal tokens those of the reference.  Sorted, each once.
        runs: how many problems.
        seed: of everything.
        equal: "sentences" or "tokens".
        reference: whose tokens count at equal tokens.
        ridge: of the fit (`logistic.py`).
        sigma2: of the design that leverage and log det are told of; selectors have their own.

    Raises:
        BudgetError: a budget below 1 or above the pool.
        ParameterError: anything else that makes no sense; one sentence.
    """

    world: World = field(default_factory=Synthetic)
    selectors: tuple[str, ...] = SELECTORS
    parameters: tuple[str, ...] = ()
    budgets: tuple[int, ...] = BUDGETS
    runs: int = 20
    seed: int = 0
    equal: str = "sentences"
    reference: str = "token_od"
    ridge: float = RIDGE
    sigma2: float = 1.0

    def __post_init__(self) -> None:
        from fishersft.design.information import check_sigma2

        if not self.selectors:
            raise ParameterError("Name at least one selector; fishersft select --list shows those there are.")
        if len(set(self.selectors)) < len(self.selectors):
            raise ParameterError("A selector is named twice; each may be measured once.")
        for name in (*self.selectors, self.reference):
            self.selector(name)
        chosen = {p.partition(".")[0] for p in self.parameters}
        if strange := chosen - {*self.selectors, self.reference}:
            raise ParameterError(f"--set speaks of '{min(strange)}', which is not among the selectors measured.")
        if self.equal not in ("sentences", "tokens"):
            raise ParameterError(f"Selectors are measured at equal sentences or equal tokens, not '{self.equal}'.")
        check_whole("runs", self.runs, 1)
        check_seed(self.seed)
        check_ridge(self.ridge)
        check_sigma2(self.sigma2)
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
        """Everything, for JSON."""
        return {
            "version": VERSION,
            "world": {"name": self.world.name, **self.world.settings},
            "selectors": list(self.selectors),
            "parameters": list(self.parameters),
            "budgets": list(self.budgets),
            "runs": self.runs,
            "seed": self.seed,
            "equal": self.equal,
            "reference": self.reference,
            "ridge": self.ridge,
            "sigma2": self.sigma2,
        }

    @property
    def about(self) -> About:
        """What a record file and a result say of themselves."""
        return About(self.settings, self.world.title, self.arguments())

    @property
    def key(self) -> str:
        """Names the experiment; for caches and folders."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()

    @property
    def keys(self) -> list[Key]:
        """Of all its records, in the order they are made."""
        d, L = int(self.world.settings["dimension"]), int(self.world.settings["classes"])
        return [(run, name, d, L) for run in range(self.runs) for name in self.selectors]

    def selector(self, name: str) -> Selector:
        """A selector with the parameters given for it; ParameterError says what is wrong with them."""
        find_selector(name)
        values = {}
        for part in self.parameters:
            left, equals, value = part.partition("=")
            whose, dot, parameter = left.strip().partition(".")
            if not (equals and dot and parameter and value):
                raise ParameterError(f"--set takes SELECTOR.NAME=VALUE, for example token_od.sigma2=1.0, not '{part}'.")
            if whose == name:
                values[parameter] = value
        return make_selector(name, values)

    def arguments(self) -> list[str]:
        """The command line that runs it, without --out: ["curves", "synthetic", "--runs", "3", ...]; defaults left out."""
        out = ["curves", self.world.name, *self.world.arguments()]
        plain = Experiment.__dataclass_fields__
        for name, joined in (("selectors", ","), ("budgets", ",")):
            if getattr(self, name) != plain[name].default:
                out += [f"--{name}", joined.join(map(str, getattr(self, name)))]
        for name in ("runs", "seed", "equal", "reference", "ridge", "sigma2"):
            if getattr(self, name) != plain[name].default:
                out += [f"--{name}", str(getattr(self, name))]
        for part in self.parameters:
            out += ["--set", part]
        return out


def key_of(record: Record) -> Key:
    """What a record is of."""
    return int(record["run"]), str(record["selector"]), int(record["d"]), int(record["L"])


def default_budgets(sentences: int) -> tuple[int, ...]:
    """The usual budgets as far as a pool of so many sentences has them."""
    return tuple(n for n in BUDGETS if n <= sentences) or (sentences,)
