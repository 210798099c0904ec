"""What a pick costs over Ray: time and bytes with 1, 2, ... workers on this machine, beside one process.

The pool's rows lie in a float16 file that every worker opens.  All share one machine's processors, so time shows overhead and
not speed-up; bytes and picks are what carry over to a cluster.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from fishersft.design.greedy import Pick, greedy
from fishersft.errors import UserError
from tests.bench import machine, pools

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Line:
    """One way: 0 workers is one process.

    Attributes:
        seconds_a_pick: after the first pick, which starts processes and sweeps the pool.
        sent, received: bytes a pick, all workers together.
        same: whether every pick is that of one process.
    """

    workers: int
    seconds_a_pick: float
    sent: float
    received: float
    evaluations_a_pick: float
    same: bool


@dataclass(frozen=True)
class DistributedReport:
    """One run of `bench distributed`."""

    problem: dict[str, Any]
    lines: tuple[Line, ...]
    machine: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def markdown(self) -> str:
        p = self.problem
        title = f"N = {p['sentences']:,} generated sentences, d = {p['dimension']}, float16 in a file, n = {p['picks']:,}."
        head = "| way | time a pick | sent a pick | received a pick | evaluations a pick | same picks |"
        rows = [
            f"| {_name(x.workers)} | {x.seconds_a_pick * 1e3:,.1f} ms | {x.sent / 1e3:,.1f} kB | {x.received / 1e3:,.1f} kB | "
            f"{x.evaluations_a_pick:,.0f} | {'yes' if x.same else 'NO'} |"
            for x in self.lines
        ]
        return "\n".join([title, "", head, "|---" * 6 + "|", *rows])


def _name(workers: int) -> str:
    return "**one process**" if not workers else f"Ray, {workers} worker{'s' * (workers > 1)}"


def run(
    sentences: int = 2_000,
    dimension: int = 256,
    picks: int = 200,
    workers: Sequence[int] = (1, 2, 3),
    seed: int = 0,
    on_progress: Progress | None = None,
) -> DistributedReport:
    """Select by one process and by Ray with each number of workers.

    Raises:
        UserError: a number that makes no sense.
        MissingExtra: no ray.
    """
    if not 2 <= picks <= sentences:
        raise UserError(f"--picks must be from 2 to --sentences ({sentences:,}) and was {picks:,}.")
    if not workers or min(workers) < 1:
        raise UserError("--workers takes numbers of at least 1 with commas between, for example 1,2,3.")
    told: Progress = on_progress or (lambda what, done, total: None)
    from fishersft.distributed import greedy as distributed

    with tempfile.TemporaryDirectory(prefix="fishersft-bench-") as folder:
        rows = pools.generate(sentences, dimension, seed, file=Path(folder) / "rows.bin").embeddings

        def timed(what: str, steps: Any) -> tuple[list[Pick], float]:
            taken, started = [], 0.0
            for k, step in enumerate(islice(steps, picks)):
                taken.append(step)
                started = started or time.perf_counter()
                told(what, k + 1, picks)
            return taken, (time.perf_counter() - started) / (picks - 1)

        alone, seconds = timed("one process", greedy(rows))
        lines = [Line(0, seconds, 0.0, 0.0, alone[-1].evaluations / picks, True)]
        for k in workers:
            traffic = distributed.Traffic()
            steps = distributed.greedy(rows, workers=k, traffic=traffic)
            taken, seconds = timed(f"Ray, {k} workers", steps)
            steps.close()  # type: ignore[attr-defined]
            same = [s.position for s in taken] == [s.position for s in alone]
            sent, received = traffic.sent / traffic.rounds, traffic.received / traffic.rounds
            lines.append(Line(k, seconds, sent, received, taken[-1].evaluations / picks, same))
    problem = {"sentences": sentences, "dimension": dimension, "picks": picks, "seed": seed, "tokens": int(rows.offsets[-1])}
    return DistributedReport(problem, tuple(lines), machine.describe("cpu"))
