"""One run of an experiment: each selector's order on the run's problem, a fitted head at every cut, the errors.

Everything follows from the experiment's seed, the run and the selector; algebra is done on one thread, so that the same seed
gives the same numbers whoever computes them.  Knows no file and no other run.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from fishersft.design.gain_curve import within_tokens
from fishersft.design.threads import suited_to
from fishersft.errors import ParameterError
from fishersft.experiments.errors import design_scores, prediction_errors
from fishersft.experiments.experiment import Experiment, Record
from fishersft.experiments.logistic import fit
from fishersft.experiments.problem import Problem
from fishersft.selectors import Budget, Order

MEASURES = ("maximum", "mean", "worst_leverage", "log_det")
PROBLEM, PICKS = 0, 1  # what a run's seeds are for


@dataclass(frozen=True)
class Task:
    """Some selectors of one run."""

    experiment: Experiment
    number: int
    selectors: tuple[str, ...]


def records_of(task: Task) -> Iterator[Record]:
    """One record a selector, as each is finished."""
    with suited_to(1), enough_memory():
        problem = task.experiment.world.problem(child_seed(task.experiment.seed, task.number, PROBLEM))
        limits = token_limits(task, problem) if task.experiment.equal == "tokens" else None
        for name in task.selectors:
            yield measure(task, problem, name, limits)


def measure(task: Task, problem: Problem, name: str, limits: np.ndarray | None) -> Record:
    """One selector on one problem; each fit starts from the one before.

    Args:
        limits: (k,) tokens to cut at; None cuts at the budgets in sentences.
    """
    experiment = task.experiment
    started = time.perf_counter()
    order = taken(task, problem, name, limits)
    chosen = time.perf_counter()
    spent = problem.embeddings.tokens[order.positions]
    # a first pick longer than the smallest limit is taken all the same: there is no fit on nothing
    cuts = np.asarray(experiment.budgets) if limits is None else np.maximum(1, within_tokens(spent, limits))
    columns: dict[str, list[float]] = {m: [] for m in MEASURES}
    theta, distance = None, 0.0
    for n in cuts:
        fitted = fit(*problem.rows(order.positions[:n]), problem.classes, ridge=experiment.ridge, start=theta)
        theta, distance = fitted.theta, max(distance, fitted.distance)
        errors = prediction_errors(problem, theta)
        leverage, log_det = design_scores(problem, order.positions[:n], experiment.sigma2)
        for column, value in zip(MEASURES, (errors.max(), errors.mean(), leverage, log_det), strict=True):
            columns[column].append(float(value))
    return {
        "run": task.number,
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


def taken(task: Task, problem: Problem, name: str, limits: np.ndarray | None) -> Order:
    """A selector's order on a problem, as far as the largest budget needs it."""
    budget = Budget(sentences=max(task.experiment.budgets)) if limits is None else Budget(tokens=int(limits[-1]))
    return task.experiment.selector(name).take(problem.pool(), budget, child_seed(task.experiment.seed, task.number, PICKS))


def token_limits(task: Task, problem: Problem) -> np.ndarray:
    """(k,) tokens of the reference selector's first n sentences, for every budget n."""
    order = taken(task, problem, task.experiment.reference, None)
    return np.cumsum(problem.embeddings.tokens[order.positions])[np.asarray(task.experiment.budgets) - 1]


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
        if isinstance(error, RuntimeError) and not re.search("out of memory|not enough memory|can't allocate", str(error)):
            raise
        raise ParameterError(
            "There was not enough memory for the experiment; lower --sentences, --dimension or --classes, or --workers."
        ) from error
