"""A slow way in a time box: let it work as long as it may, and say what all of its work would have taken.

Knows no algebra: a way is a generator that tells of its work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MEASURED = "measured"


class Seen(NamedTuple):
    """Work done so far; `position` where it ended in a pick.  The first of a way, with 0 evaluations, ends its preparation."""

    position: int | None
    evaluations: int


@dataclass(frozen=True)
class Boxed:
    """What a way did within its time box.

    Attributes:
        picks: in order.
        prepared: seconds before its first evaluation.
        seconds, evaluations: all in all.
        marks: (seconds, evaluations) at each pick.
    """

    picks: list[int]
    prepared: float
    seconds: float
    evaluations: int
    marks: list[tuple[float, int]]


def boxed(events: Iterator[Seen], n: int, box: float, told: Callable[[int], None]) -> Boxed:
    """Let a way work until it has n picks or `box` seconds have passed; `told` hears of its picks."""
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
            told(len(picks))
        if len(picks) == n or (now > box and evaluations):
            break
    return Boxed(picks, prepared, time.perf_counter() - started, evaluations, marks)


def extrapolated(done: Boxed, n: int, evaluations: int | None) -> tuple[float | None, str]:
    """Seconds for n picks, and what that is based on.

    Args:
        evaluations: how many n picks take, where that is fixed.
    """
    k = len(done.picks)
    if k >= n:
        return done.marks[n - 1][0], MEASURED
    if evaluations is not None:
        seconds, work = done.marks[-1] if k else (done.seconds, done.evaluations)
        basis = f"extrapolated from {k:,} pick{'s' * (k > 1)}" if k else f"extrapolated from {work:,} evaluations"
        return done.prepared + (seconds - done.prepared) * evaluations / work, basis
    if k < 2:
        return None, f"{k} picks in the time box, too few to extrapolate"
    # the second half of its picks: the first sweep and the first rounds, where bounds are far off, are behind it
    (half, _), (last, _) = done.marks[(k - 1) // 2], done.marks[-1]
    return last + (last - half) / (k - 1 - (k - 1) // 2) * (n - k), f"extrapolated linearly from {k:,} picks"


def agreeing(picks: Sequence[int], exact: Sequence[int]) -> int:
    """How many first picks are the same."""
    return next((k for k, (a, b) in enumerate(zip(picks, exact, strict=False)) if a != b), min(len(picks), len(exact)))
