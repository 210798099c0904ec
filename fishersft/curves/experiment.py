"""An error experiment: many runs of a world, each selector cut at every budget, a head fitted on each cut.

    experiment = Experiment(Synthetic(features="clustered"), runs=3, budgets=(50, 200, 500), equal="tokens")
    for record in run(experiment, on_progress): ...     # one record a (run, selector), as each is finished
    result = Result.of(experiment, records)             # `result.py`: curves, bands, fits, table

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

Knows no file and no screen.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fishersft.curves.errors import design_scores, prediction_errors
from fishersft.curves.gain import within_tokens
from fishersft.curves.logistic import RIDGE, check_ridge, fit
from fishersft.curves.problem import Problem, World
from fishersft.curves.synthetic import Synthetic, check_whole
from fishersft.errors import BudgetError, ParameterError
from fishersft.selectors import Budget, Selector, find_selector, make_selector
from fishersft.selectors.selection import check_seed

if TYPE_CHECKING:
    from fishersft.selectors import Order

SELECTORS = ("token_od", "uniform", "sentence_od", "density", "clustered", "longest", "matched_od")
BUDGETS = (50, 100, 200, 300, 500, 1_000, 1_500, 2_000)
MEASURES = ("maximum", "mean", "worst_leverage", "log_det")
VERSION = 1  # of the numbers; raise it when the same settings no longer give the same ones
Progress = Callable[[str, int, int], None]
Record = dict[str, Any]
Key = tuple[int, str, int, int]


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


def run(
    experiment: Experiment,
    on_progress: Progress | None = None,
    *,
    done: Collection[Key] = (),
) -> Iterator[Record]:
    """The records that are not `done` yet, one as each is finished.

    Args:
        on_progress: told (what, records there are, records in all) before each record and after the last; may raise `Cancelled`.
        done: keys of records that need not be made again.

    Raises:
        UserError: a selector that cannot work on this pool, or too little memory; one sentence.
    """
    keys, there = experiment.keys, set(done)
    tell = on_progress or (lambda *_: None)
    finished = sum(key in there for key in keys)
    for number in range(experiment.runs):
        missing = [key for key in keys if key[0] == number and key not in there]
        if not missing:
            continue
        tell(f"run {number + 1}", finished, len(keys))
        with enough_memory():
            problem = experiment.world.problem(child_seed(experiment.seed, number, 0))
            limits = token_limits(experiment, problem, number) if experiment.equal == "tokens" else None
        for key in missing:
            tell(f"run {number + 1}, {experiment.selector(key[1]).label}", finished, len(keys))
            with enough_memory():
                record = measure(experiment, problem, number, key[1], limits)
            yield record
            finished += 1
    tell("done", finished, len(keys))


def measure(experiment: Experiment, problem: Problem, number: int, name: str, limits: np.ndarray | None) -> Record:
    """One selector on one problem: its order, a fit on each cut (warm from the one before), the errors."""
    started = time.perf_counter()
    order = taken(experiment, problem, number, name, limits)
    chosen = time.perf_counter()
    spent = problem.embeddings.tokens[order.positions]
    cuts = np.asarray(experiment.budgets) if limits is None else np.maximum(1, within_tokens(spent, limits))
    columns: dict[str, list[float]] = {m: [] for m in MEASURES}
    theta, distance = None, 0.0
    for n in cuts:
        fitted = fit(*problem.rows(order.positions[:n]), problem.classes, ridge=experiment.ridge, start=theta)
        theta, distance = fitted.theta, max(distance, fitted.distance)
        errors = prediction_errors(problem, theta)
        leverage, log_det = design_scores(problem, order.positions[:n], experiment.sigma2)
        for measure_, value in zip(MEASURES, (errors.max(), errors.mean(), leverage, log_det), strict=True):
            columns[measure_].append(float(value))
    return {
        "run": number,
        "selector": name,
        "d": problem.dimension,
        "L": problem.classes,
        "n": list(experiment.budgets),
        "sentences": [int(n) for n in cuts],
        "tokens": [int(t) for t in np.cumsum(spent)[cuts - 1]],
        **columns,
        "distance": distance,
        "seconds": {"choosing": round(chosen - started, 3), "fitting": round(time.perf_counter() - chosen, 3)},
        "notes": order.notes,
    }


def taken(experiment: Experiment, problem: Problem, number: int, name: str, limits: np.ndarray | None) -> Order:
    """A selector's order on a problem, as far as the largest budget needs it."""
    budget = Budget(sentences=max(experiment.budgets)) if limits is None else Budget(tokens=int(limits[-1]))
    return experiment.selector(name).take(problem.pool(), budget, child_seed(experiment.seed, number, 1))


def token_limits(experiment: Experiment, problem: Problem, number: int) -> np.ndarray:
    """(k,) tokens of the reference selector's first n sentences, for every budget n."""
    order = taken(experiment, problem, number, experiment.reference, None)
    return np.cumsum(problem.embeddings.tokens[order.positions])[np.asarray(experiment.budgets) - 1]


def child_seed(seed: int, number: int, purpose: int) -> int:
    """A seed of a run's own; another for another purpose."""
    return int(np.random.SeedSequence((seed, number, purpose)).generate_state(1)[0])


@contextmanager
def enough_memory() -> Iterator[None]:
    """Running out of memory becomes one sentence that says what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch says it as a RuntimeError
        if isinstance(error, RuntimeError) and not re.search("memory|can't allocate", str(error)):
            raise
        raise ParameterError(
            "There was not enough memory; lower the sentences of the pool (--sentences), its dimension (--dimension) or the "
            "classes (--classes)."
        ) from error


def sweep(experiment: Experiment, over: str, values: Sequence[int], budget: int = 1_000) -> list[Experiment]:
    """The experiment at one budget, once for every value of a setting of its world (`dimension` or `classes`)."""
    return [replace(experiment, world=replace(cast(Any, experiment.world), **{over: v}), budgets=(budget,)) for v in values]
