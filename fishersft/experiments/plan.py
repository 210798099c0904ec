"""From what a form holds to a command, and how long that will take.

    plan = plan_of(Experiment(...), workers=2)              # or a Sweep
    plan.arguments                                          # ["curves", "synthetic", ...]
    plan.seconds                                            # a rough estimate: one fit is timed on this machine

Words and teacher need vectors or a corpus that are not at hand in a form: `like(...)` checks what is common to all worlds, and
`renamed(...)` makes the command of the world that is meant.  Knows no file and no screen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fishersft.errors import UserError
from fishersft.experiments.experiment import Experiment
from fishersft.experiments.sweep import Sweep

SAMPLE = 2_000  # tokens of the fit that is timed
CHOOSING = 0.7  # seconds a record spends choosing 2,000 of 3,000 sentences with d = 10, as the shipped records say
FITS = 0.5  # of the time of a fresh fit of as many tokens: each fit starts from the one before


@dataclass(frozen=True)
class Plan:
    """What will be run.

    Attributes:
        arguments: of the command line, without `fishersft` and without --out.
        title: one line for people.
        records: how many will be made.
        seconds: about how long that takes.
    """

    arguments: tuple[str, ...]
    title: str
    records: int
    seconds: float


def whole_numbers(text: str, what: str) -> tuple[int, ...]:
    """Numbers with commas between; UserError where there is something else."""
    try:
        found = tuple(int(part) for part in text.replace(" ", "").split(",") if part)
    except ValueError as error:
        raise UserError(f"{what} takes whole numbers with commas between, for example 50,100,200, not '{text[:40]}'.") from error
    return found


def plan_of(asked: Experiment | Sweep, *, workers: int = 1) -> Plan:
    """The command of an experiment or sweep, and about how long it takes on so many processes."""
    several = [asked] if isinstance(asked, Experiment) else asked.experiments
    about = asked.about
    seconds = sum(len(one.keys) * _record_seconds(one) for one in several)
    busy = min(workers, several[0].runs * len(several))
    return Plan(tuple(about.arguments), about.title, sum(len(one.keys) for one in several), seconds / max(1, busy))


def renamed(plan: Plan, world: str, title: str, options: Sequence[str], without: Sequence[str] = ()) -> Plan:
    """The plan for another world with the same measuring: its own options first, those of `without` left out."""
    kept, skip = [], False
    for part in plan.arguments[2:]:
        skip = part in without or (skip and not part.startswith("--"))
        if not skip:
            kept.append(part)
    return Plan(("curves", world, *options, *kept), title, plan.records, plan.seconds)


def _record_seconds(one: Experiment) -> float:
    settings = one.world.settings
    d, L, N = (int(settings[name]) for name in ("dimension", "classes", "sentences"))
    length = float(settings.get("median_length", 8.0)) * float(np.exp(float(settings.get("length_spread", 0.6)) ** 2 / 2))
    tokens = length * sum(one.budgets)
    choosing = CHOOSING * (N / 3_000) * (max(one.budgets) / 2_000) * (d / 10)
    return choosing + FITS * tokens / SAMPLE * _fit_seconds(d, L)


@lru_cache(maxsize=64)
def _fit_seconds(d: int, L: int) -> float:
    """Of one fit to SAMPLE tokens on this machine."""
    from fishersft.design.threads import suited_to
    from fishersft.experiments.logistic import fit
    from fishersft.experiments.problem import draw_labels

    rng = np.random.default_rng(0)
    X, theta = rng.normal(size=(SAMPLE, d)), rng.normal(size=(d, L)) / np.sqrt(d)
    with suited_to(1):
        fit(X[:200], draw_labels(X[:200], theta, rng), L)
        started = time.perf_counter()
        fit(X, draw_labels(X, theta, rng), L)
        return time.perf_counter() - started
