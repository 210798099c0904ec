"""Measures an experiment or a sweep: in this process or in several, on disk or in memory; and estimates how long it takes.

Algebra is done on one thread, so that the same seed gives the same numbers whoever computes them.  Workers are processes,
because the work is many small steps of Python between small products.
"""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fishersft.corpus.tables import results_csv
from fishersft.design.factor import suited_to
from fishersft.design.trajectory import within_tokens
from fishersft.errors import FisherSFTError, ParameterError, UserError
from fishersft.experiments.experiment import Experiment, Key, Record, Sweep
from fishersft.experiments.logistic import fit
from fishersft.experiments.problem import Problem, design_scores, draw_labels, prediction_errors
from fishersft.experiments.result import MEASURES, Records, Result
from fishersft.experiments.summaries import curves_summary
from fishersft.paths import write_whole
from fishersft.selectors import Budget, Order

PROBLEM, PICKS = 0, 1  # what a run's seeds are for
SAMPLE = 2_000  # tokens of the fit that is timed for an estimate
CHOOSING = 0.7  # seconds to choose 2,000 of 3,000 sentences with d = 10, on average over the shipped records
FITS = 0.5  # of the time of a fresh fit of as many tokens: each fit starts from the one before
Progress = Callable[[str, int, int], None]


def measure_curves(
    asked: Experiment | Sweep, *, out: Path | None = None, workers: int = 1, on_progress: Progress | None = None
) -> Result:
    """Measure everything that was asked; errors and the other arguments are those of `run`.

    In the folder `out` records are kept as they are finished, and not made again; curves.csv and curves.json are written at the
    end.  StoreError where it cannot be written, or holds another experiment.
    """
    with Records(out, asked.about) if out else nullcontext() as kept:
        records = list(kept.all) if kept else []
        for record in run(asked, on_progress, done=kept.done if kept else (), workers=workers):
            records.append(record)
            if kept:
                kept.append(record)
    result = Result.of(asked.about, records)
    if out:
        write_whole(out / "curves.csv", results_csv(result.table()))
        write_whole(out / "curves.json", json.dumps(curves_summary(result), indent=1))
    return result


def run(
    asked: Experiment | Sweep, on_progress: Progress | None = None, *, done: Collection[Key] = (), workers: int = 1
) -> Iterator[Record]:
    """The records that are not `done` yet, each as soon as it is finished.

    `on_progress` is called with (what, records finished, records in all) before the first and after each, and may raise
    `Cancelled`.  With one worker, the work is done in this process; more change the order of the records but no number.
    UserError where a selector cannot work on this pool or memory is too small, FisherSFTError where a worker process died.
    """
    there, tasks, total = set(done), [], 0
    for experiment in asked.experiments:
        total += len(experiment.keys)
        for number, keys in groupby(experiment.keys, key=itemgetter(0)):
            if missing := tuple(key[1] for key in keys if key not in there):
                tasks.append(Task(experiment, number, missing))
    finished = total - sum(len(task.selectors) for task in tasks)
    tell = on_progress or (lambda *_: None)
    tell("measuring", finished, total)
    many = min(workers, len(tasks))
    for record in in_processes(tasks, many) if many > 1 else (r for task in tasks for r in records_of(task)):
        finished += 1
        yield record
        tell("measuring", finished, total)


@dataclass(frozen=True)
class Task:
    """Some selectors of one run."""

    experiment: Experiment
    number: int
    selectors: tuple[str, ...]


def records_of(task: Task) -> Iterator[Record]:
    """One record per selector, as each is finished."""
    experiment = task.experiment
    try:
        with suited_to(1):
            problem = experiment.world.problem(child_seed(experiment.seed, task.number, PROBLEM))
            limits = None
            if experiment.equal == "tokens":
                order = taken(task, problem, experiment.reference, None)
                limits = np.cumsum(problem.embeddings.tokens[order.positions])[np.asarray(experiment.budgets) - 1]
            for name in task.selectors:
                yield measure(task, problem, name, limits)
    except (MemoryError, RuntimeError) as error:  # torch raises a RuntimeError
        if isinstance(error, RuntimeError) and not re.search("out of memory|not enough memory|can't allocate", str(error)):
            raise
        raise ParameterError(
            "There was not enough memory for the experiment; lower --sentences, --dimension, --classes or --workers."
        ) from error


def measure(task: Task, problem: Problem, name: str, limits: np.ndarray | None) -> Record:
    """One selector on one problem, cut at (k,) `limits` in tokens or else at the budgets; each fit starts from the one before."""
    experiment = task.experiment
    started = time.perf_counter()
    order = taken(task, problem, name, limits)
    chosen = time.perf_counter()
    spent = problem.embeddings.tokens[order.positions]
    # a first pick longer than the smallest limit is kept: a head cannot be fitted on nothing
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
    return task.experiment.chosen[name].take(problem.pool(), budget, child_seed(task.experiment.seed, task.number, PICKS))


def child_seed(seed: int, number: int, purpose: int) -> int:
    """A seed that only this run uses for this purpose."""
    return int(np.random.SeedSequence((seed, number, purpose)).generate_state(1)[0])


def in_processes(tasks: Sequence[Task], workers: int) -> Iterator[Record]:
    """The records of all tasks: a worker takes one, sends its records and asks for the next.  Closing the iterator ends all."""
    context = get_context("spawn")  # a fork of a process with torch's threads may hang
    left = iter(tasks)
    crew = []
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            crew.append((process, ours))
            ours.send(next(left, None))
        open_ends = [ours for _, ours in crew]
        while open_ends:
            ready: Any = wait(open_ends)
            for end in ready:
                try:
                    said, value = end.recv()
                except (EOFError, OSError) as error:
                    raise FisherSFTError(
                        "A worker process died before its work was done, perhaps because memory ran out; finished records are "
                        "kept. Lower --workers or --sentences and run the same command again."
                    ) from error
                if said == "record":
                    yield value
                elif said == "next":
                    task = next(left, None)
                    end.send(task)
                    if task is None:
                        open_ends.remove(end)
                else:
                    raise UserError(value)
    finally:
        for process, ours in crew:
            ours.close()
            process.terminate()
            process.join()


def _work(end: Connection) -> None:
    """A worker: it reads tasks and sends records until it reads None or its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    torch.set_num_threads(1)
    try:
        while (task := end.recv()) is not None:
            for record in records_of(task):
                end.send(("record", record))
            end.send(("next", None))
    except (EOFError, BrokenPipeError, ConnectionError):
        return
    except UserError as error:
        end.send(("error", str(error)))


def expected_seconds(asked: Experiment | Sweep, workers: int = 1) -> float:
    """A rough estimate of how long all the records take on so many processes; one fit is timed on this machine."""
    several = asked.experiments
    seconds = 0.0
    for one in several:
        settings = one.world.settings
        d, L, N = (int(settings[name]) for name in ("dimension", "classes", "sentences"))
        length = float(settings.get("median_length", 8.0)) * float(np.exp(float(settings.get("length_spread", 0.6)) ** 2 / 2))
        choosing = CHOOSING * (N / 3_000) * (max(one.budgets) / 2_000) * (d / 10)
        seconds += len(one.keys) * (choosing + FITS * length * sum(one.budgets) / SAMPLE * _fit_seconds(d, L))
    return seconds / max(1, min(workers, several[0].runs * len(several)))


@lru_cache(maxsize=64)
def _fit_seconds(d: int, L: int) -> float:
    """How long one fit to SAMPLE tokens takes on this machine."""
    rng = np.random.default_rng(0)
    X, theta = rng.normal(size=(SAMPLE, d)), rng.normal(size=(d, L)) / np.sqrt(d)
    with suited_to(1):
        fit(X[:200], draw_labels(X[:200], theta, rng), L)
        started = time.perf_counter()
        fit(X, draw_labels(X, theta, rng), L)
        return time.perf_counter() - started
