"""Fast against slow: seconds of Algorithm 1 and of the fast greedy against n, on one pool, with the same picks.

Algorithm 1 gets a time box.  It evaluates every sentence outside at every pick, so its work for n picks is known,
n N - n (n - 1) / 2 evaluations; what it did not get to is extrapolated from the evaluations it made, and each number says
which it is.  The fast one makes all its picks.

Source: FisherSFT (arXiv 2505.14826), Algorithms 1 and 2, 5,000 sentences; the ways are those of `tests/bench`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fishersft.design.greedy import greedy
from fishersft.design.rows import Blocks
from fishersft.design.threads import suited_to
from fishersft.errors import BudgetError, StoreError, os_reason
from fishersft.experiments.problem import World
from fishersft.experiments.rivals import by_determinant
from fishersft.experiments.synthetic import Synthetic, check_between
from fishersft.experiments.timebox import agreeing, boxed
from fishersft.selectors import Budget

BUDGETS = (10, 50, 100, 200, 500, 1_000, 2_000)
BOX = 30.0
TIMING_FILE = "timing.json"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Timing:
    """Seconds against n.

    Attributes:
        pool: the world's settings, the seed and the pool's tokens.
        budgets: n, ascending.
        fast: seconds of the fast greedy, measured.
        slow: seconds of Algorithm 1.
        measured: for each n, whether Algorithm 1's seconds were measured; otherwise they are extrapolated.
        picks: that Algorithm 1 made within its box.
        same: of those, how many first ones are the fast one's.
        box: seconds that Algorithm 1 was given.
    """

    pool: dict[str, Any]
    budgets: list[int]
    fast: list[float]
    slow: list[float]
    measured: list[bool]
    picks: int
    same: int
    box: float

    def arguments(self) -> list[str]:
        """The command line's options that make it, those at their defaults left out."""
        plain = {"features": "isotropic", "dimension": 10, "sentences": 5_000, "seed": 0}
        changed = {name: self.pool.get(name, value) for name, value in plain.items() if self.pool.get(name, value) != value}
        out = [part for name, value in changed.items() for part in (f"--{name}", f"{value}")]
        if self.budgets != [n for n in BUDGETS if n <= self.pool["sentences"]]:
            out += ["--budgets", ",".join(map(str, self.budgets))]
        return [*out, "--box", f"{self.box:g}"] if self.box != BOX else out

    def table(self) -> list[dict[str, Any]]:
        """One row a number of picks: the csv."""
        columns = {"n": self.budgets, "fast_seconds": self.fast, "slow_seconds": self.slow, "slow_measured": self.measured}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def note(self) -> str:
        """What a reader must know of Algorithm 1's line."""
        if all(self.measured):
            return f"Algorithm 1 measured up to n = {self.budgets[-1]:,}; the same {self.same:,} picks"
        return (
            f"Algorithm 1 measured for {self.picks:,} picks in {self.box:g} s (the first {self.same:,} the same), "
            "then extrapolated from its evaluations"
        )


def time_greedy(
    world: World | None = None,
    budgets: Sequence[int] = BUDGETS,
    *,
    box: float = BOX,
    seed: int = 0,
    sigma2: float = 1.0,
    on_progress: Progress | None = None,
) -> Timing:
    """Measure both on one problem of a world; by default 5,000 isotropic sentences with d = 10.

    Raises:
        BudgetError: a budget below 1 or above the pool.
    """
    world = world or Synthetic(sentences=5_000)
    check_between("box", box, 0.01, 86_400.0)
    for n in budgets:
        Budget(sentences=n)
    ascending = sorted({int(n) for n in budgets})
    there = int(world.settings["sentences"])
    if not ascending or ascending[-1] > there:
        raise BudgetError(f"Give budgets of 1 to {there:,} sentences, the size of the pool; see --budgets and --sentences.")
    tell = on_progress or (lambda *_: None)
    rows = world.problem(seed).embeddings
    n, N = ascending[-1], len(rows)
    with suited_to(rows.dimension):
        picks, marks = [], []
        started = time.perf_counter()
        for step in greedy(rows.values, rows.offsets, sigma2):
            picks.append(step.position)
            marks.append(time.perf_counter() - started)
            tell("the fast greedy", len(picks), n)
            if len(picks) == n:
                break
        blocks = Blocks(rows.values, rows.offsets)
        done = boxed(by_determinant(blocks, sigma2), n, box, lambda k: tell("Algorithm 1", k, n))
    made = len(done.picks)
    each = (done.seconds - done.prepared) / done.evaluations
    slow = [done.marks[k - 1][0] if k <= made else done.prepared + each * evaluations(k, N) for k in ascending]
    return Timing(
        pool={"world": world.name, **world.settings, "seed": seed, "tokens": int(rows.offsets[-1])},
        budgets=ascending,
        fast=[round(marks[k - 1], 6) for k in ascending],
        slow=[round(float(s), 6) for s in slow],
        measured=[bool(np.less_equal(k, made)) for k in ascending],
        picks=made,
        same=agreeing(done.picks, picks),
        box=box,
    )


def read_timing(folder: Path) -> Timing:
    """The timing of a folder that `fishersft curves timing --out` wrote; StoreError where it holds none."""
    path = folder / TIMING_FILE
    try:
        found = Timing(**json.loads(path.read_text(encoding="utf-8")))
        columns = (found.fast, found.slow, found.measured)
        if not found.budgets or any(len(column) != len(found.budgets) for column in columns):
            raise ValueError("its columns differ in length")
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({os_reason(error)}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} was not written by fishersft curves timing; delete it or name another folder.") from error
    return found


def evaluations(n: int, N: int) -> int:
    """How many gains Algorithm 1 computes for n picks of N: N, then one fewer at each pick."""
    return n * N - n * (n - 1) // 2
