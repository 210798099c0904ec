"""Fast against slow: seconds of Algorithm 1 and of the fast greedy against n, on one pool, with the same picks.

A slow method is a generator that reports its work as it goes (`Progressed`), so that a time box can stop it anywhere, also within
a pick.  Algorithm 1 needs n N - n (n - 1) / 2 evaluations for n picks; what it did not reach is extrapolated from the evaluations
it made, and each number says which it is.  The fast greedy makes all its picks.

Source: FisherSFT (arXiv 2505.14826), Algorithms 1 and 2, 5,000 sentences; `tests/bench` times more methods in the same way.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch

from fishersft import fields
from fishersft.design.factor import suited_to
from fishersft.design.greedy import greedy
from fishersft.design.information import TIE
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import BudgetError, StoreError
from fishersft.experiments.experiment import About
from fishersft.experiments.problem import World
from fishersft.experiments.result import make_folder
from fishersft.experiments.settings import PICKS, TimingSettings
from fishersft.experiments.worlds import Synthetic
from fishersft.paths import write_whole
from fishersft.selectors import Budget
from fishersft.store.checked import Count, Counts, Positive, read_json
from fishersft.text import markdown_table

TIMING_FILE = "timing.json"
Progress = Callable[[str, int, int], None]


class TimedPool(TypedDict):
    world: str
    sentences: Count


class TimingFile(TypedDict):
    pool: TimedPool
    budgets: Counts
    fast: list[Positive]
    slow: list[Positive]
    measured: list[bool]
    picks: Count
    same: Count
    box: Positive


@dataclass(frozen=True)
class Timing:
    """Seconds of the fast greedy and of Algorithm 1 (`slow`) for each n of `budgets`, which ascend.

    Seconds of Algorithm 1 that were not `measured` are extrapolated.  It made `picks` within its box of seconds; the first
    `same` of them are the fast one's.  `pool` has the world's settings, the seed and the pool's tokens.
    """

    pool: dict[str, Any]
    budgets: list[int]
    fast: list[float]
    slow: list[float]
    measured: list[bool]
    picks: int
    same: int
    box: float

    @property
    def about(self) -> About:
        """What it says about itself, as a result of error curves does."""
        pool = {name: self.pool[name] for name in ("features", "dimension", "sentences", "seed") if name in self.pool}
        budgets = () if tuple(self.budgets) == default_picks(self.pool["sentences"]) else tuple(self.budgets)
        asked = TimingSettings(**pool, budgets=budgets, box=self.box)
        return About(self.pool, "Fast against slow", ["curves", "timing", *fields.arguments(asked)])

    def table(self) -> list[dict[str, Any]]:
        """One row per number of picks: the csv."""
        names = ("n", "fast_seconds", "slow_seconds", "slow_measured")
        every = zip(self.budgets, self.fast, self.slow, self.measured, strict=True)
        return [dict(zip(names, row, strict=True)) for row in every]

    def markdown(self) -> str:
        """A table of seconds and their ratio, and the note."""
        rows = [
            [f"{n:,}", f"{fast:.3g}", f"{slow:,.3g}{'' if measured else ' (extrapolated)'}", f"{slow / fast:,.0f}"]
            for n, fast, slow, measured in zip(self.budgets, self.fast, self.slow, self.measured, strict=True)
        ]
        return f"{markdown_table(['n', 'fast greedy, s', 'Algorithm 1, s', 'ratio'], rows, '---:')}\n\n{self.note}."

    @property
    def note(self) -> str:
        """How Algorithm 1's seconds were obtained."""
        if all(self.measured):
            return f"Algorithm 1 was measured up to n = {self.budgets[-1]:,}; it made the same {self.same:,} picks"
        return (
            f"Algorithm 1 was measured for {self.picks:,} picks in {self.box:g} s (the first {self.same:,} are the same) and "
            "extrapolated from its evaluations beyond"
        )


def default_picks(sentences: int) -> tuple[int, ...]:
    """The usual numbers of picks that a pool of so many sentences can meet."""
    return tuple(n for n in PICKS if n <= sentences)


def time_greedy(
    world: World | None = None,
    budgets: Sequence[int] = (),
    *,
    box: float = TimingSettings.box,
    seed: int = 0,
    out: Path | None = None,
    on_progress: Progress | None = None,
) -> Timing:
    """Measure both on one problem of a world; by default 5,000 isotropic sentences with d = 10, and 10 to 2,000 picks.

    Algorithm 1 may work for `box` seconds; `out` is a folder for timing.json.  BudgetError where a budget is below 1 or above the
    pool, StoreError where the folder cannot be written.
    """
    world = world or Synthetic(sentences=TimingSettings.sentences)
    there = int(world.settings["sentences"])
    budgets = budgets or default_picks(there)
    for n in budgets:
        Budget(sentences=n)
    ascending = sorted({int(n) for n in budgets})
    if not ascending or ascending[-1] > there:
        raise BudgetError(f"Picks must be from 1 to {there:,}, the sentences in the pool; see --budgets and --sentences.")
    if out:
        make_folder(out)
    tell = on_progress or (lambda *_: None)
    rows = world.problem(seed).embeddings
    n, N = ascending[-1], len(rows)
    with suited_to(rows.dimension):
        steps = (Progressed(step.position, k) for k, step in enumerate(greedy(rows), 1))
        fast = boxed(steps, n, math.inf, lambda k, _: tell("the fast greedy", k, n))
        done = boxed(
            by_determinant(rows),
            n,
            box,
            lambda k, spent: tell("Algorithm 1, seconds", int(min(box, max(spent, box * k / n))), int(box)),
        )
    made = len(done.picks)
    each = (done.seconds - done.prepared) / done.evaluations
    slow = [done.marks[k - 1][0] if k <= made else done.prepared + each * evaluations(k, N) for k in ascending]
    timing = Timing(
        pool={"world": world.name, **world.settings, "seed": seed, "tokens": int(rows.offsets[-1])},
        budgets=ascending,
        fast=[round(fast.marks[k - 1][0], 6) for k in ascending],
        slow=[round(float(s), 6) for s in slow],
        measured=[k <= made for k in ascending],
        picks=made,
        same=agreeing(done.picks, fast.picks),
        box=box,
    )
    if out:
        write_whole(out / TIMING_FILE, json.dumps(asdict(timing), indent=1))
    return timing


def read_timing(folder: Path) -> Timing:
    """The timing of a folder that `fishersft curves timing --out` wrote; StoreError where it holds none."""
    path, advice = folder / TIMING_FILE, "delete it or name another folder"
    kept = read_json(path, TimingFile, advice)
    if kept is None:
        raise StoreError(f"{folder} has no {TIMING_FILE}; name the folder of a timing.")
    found = Timing(**{name: kept[name] for name in Timing.__annotations__})
    if any(len(column) != len(found.budgets) for column in (found.fast, found.slow, found.measured)):
        raise StoreError(f"{path} is damaged: its columns differ in length; {advice}.")
    return found


def evaluations(n: int, N: int) -> int:
    """How many gains Algorithm 1 computes for n picks of N: N, then one fewer at each pick."""
    return n * N - n * (n - 1) // 2


class Progressed(NamedTuple):
    """Work done so far; `position` where it ended in a pick.  The first one, with 0 evaluations, ends the preparation."""

    position: int | None
    evaluations: int


@dataclass(frozen=True)
class Boxed:
    """What a method did within its time box: seconds before its first evaluation and in all, and `marks` at each pick."""

    picks: list[int]
    prepared: float
    seconds: float
    evaluations: int
    marks: list[tuple[float, int]]  # (seconds, evaluations)


def boxed(events: Iterator[Progressed], n: int, box: float, told: Callable[[int, float], None]) -> Boxed:
    """Let a method work until it has n picks or `box` seconds have passed; `told` is called with the picks and the seconds."""
    picks: list[int] = []
    marks: list[tuple[float, int]] = []
    prepared, evaluations = 0.0, 0
    started = time.perf_counter()
    for seen in events:
        now, evaluations = time.perf_counter() - started, seen.evaluations
        if evaluations == 0:
            prepared = now
        if seen.position is not None:
            picks.append(seen.position)
            marks.append((now, evaluations))
            told(len(picks), now)
        if len(picks) == n or (now > box and evaluations):
            break
    return Boxed(picks, prepared, time.perf_counter() - started, evaluations, marks)


def agreeing(picks: Sequence[int], exact: Sequence[int]) -> int:
    """How many picks at the beginning are the same."""
    return next((k for k, (a, b) in enumerate(zip(picks, exact, strict=False)) if a != b), min(len(picks), len(exact)))


def by_determinant(rows: TokenEmbeddings, sigma2: float = 1.0) -> Iterator[Progressed]:
    """Algorithm 1 as written: log det(V + X_i^T X_i) of every sentence outside the selection, at every pick; O(N d^3) each.
    Decides in float64 and breaks ties as `design/greedy.py` does."""
    V = torch.eye(rows.dimension, dtype=torch.float64, device=rows.device) * sigma2
    outside = np.ones(len(rows), dtype=bool)
    evaluations = 0
    yield Progressed(None, 0)
    while outside.any():
        base = torch.linalg.slogdet(V)[1]
        gains = np.full(len(rows), -np.inf)
        for i in np.flatnonzero(outside):
            X, _ = rows.stacked([int(i)], torch.float64)
            gains[i] = float(torch.linalg.slogdet(torch.addmm(V, X.T, X))[1] - base)
            evaluations += 1
            yield Progressed(None, evaluations)
        best = first_best(gains)
        outside[best] = False
        X, _ = rows.stacked([best], torch.float64)
        V.addmm_(X.T, X)
        yield Progressed(best, evaluations)


def first_best(gains: np.ndarray) -> int:
    """The lowest index among those within a tie of the largest."""
    best = gains.max()
    return int(np.flatnonzero(gains >= best - TIE * abs(best))[0])
