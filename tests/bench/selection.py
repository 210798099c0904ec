"""`python -m tests.bench selection`: the same picks by every way, on one generated pool, on this machine, in one run.

Ours makes all n picks.  The slow ways make as many as fit a time box, their picks are compared with ours as far as they
got, and their time for n picks is extrapolated and said to be.  Ways that look at every sentence at every pick cost the same
each evaluation, so the sum of evaluations is known; the index scan does not, so a straight line through its picks is taken.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fishersft.design.factor import suited_to
from fishersft.design.greedy import Pick, greedy
from fishersft.design.information import check_sigma2, design_matrix, log_det
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import BudgetError, UserError
from fishersft.experiments.timing import Progressed, agreeing, boxed, by_determinant
from fishersft.selectors import Budget, Pool, Selector, make_selector
from fishersft.selectors.selection import check_seed
from tests.bench import machine, operations, peers, pools, rivals
from tests.bench.report import MEASURED, Report, Row

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Rival:
    """A slow way: its label and events; where it looks at every sentence, its evaluations for n picks of N and the
    operations of one sweep over sentences of these lengths."""

    label: str
    events: Callable[[TokenEmbeddings, float], Iterator[Progressed]]
    evaluations: Callable[[int, int], int] | None = None
    sweep: Callable[[np.ndarray, int], float] | None = None


RIVALS = {
    "index_scan": Rival("index scan (Algorithm 2 as we read it), float64", rivals.index_scan),
    "naive": Rival("naive M x M form in batches, float64", rivals.naive, lambda N, n: n * N, operations.of_naive_sweep),
    "algorithm_1": Rival(
        "Algorithm 1, slogdet of d x d, float64",
        by_determinant,
        lambda N, n: n * N - n * (n - 1) // 2,
        operations.of_determinant_sweep,
    ),
}
WAYS = ("ours", *RIVALS, *(p.name for p in peers.PEERS))
ALSO: tuple[str, ...] = ()  # approximate modes measured unless others are named, a line each: "token_od:NAME=VALUE"
RANDOM_DRAWS = 5


def run(
    sentences: int = 5_000,
    dimension: int = 768,
    picks: int = 1_000,
    box_seconds: float = 20.0,
    seed: int = 0,
    *,
    only: Sequence[str] = (),
    also: Sequence[str] = ALSO,
    near_equal: bool = False,
    memory_mapped: bool = False,
    threads: int | None = None,
    device: str = "cpu",
    sigma2: float = 1.0,
    on_progress: Progress | None = None,
) -> Report:
    """Measure.

    Args:
        sentences, dimension, picks: N, d and n.
        box_seconds: for each slow way.
        only: names out of WAYS; all of them when empty.  Ours is always run: everything is compared with it.
        also: selectors that make other picks, "name" or "name:parameter=value,..."; told with their regret.
        near_equal: sentences of nearly one length.
        memory_mapped: rows as float16 in a file in a temporary folder; the other ways are left out.
        on_progress: told (way, picks made, n).

    Raises:
        UserError: an argument that makes no sense, or BudgetError where there are fewer sentences than picks.
    """
    for name, value in (("sentences", sentences), ("dimension", dimension), ("picks", picks), ("box", box_seconds)):
        if not value > 0:
            raise UserError(f"--{name} must be above 0 and was {value}.")
    if picks > sentences:
        raise BudgetError(f"--picks {picks:,} is above the {sentences:,} sentences of the pool; lower it or raise --sentences.")
    if unknown := [name for name in only if name not in WAYS]:
        raise UserError(f"There is no way '{unknown[0]}' to measure; there are: {', '.join(WAYS)}.")
    others = [(spec, _selector(spec)) for spec in also]
    told: Progress = on_progress or (lambda what, done, total: None)
    sigma2, seed, device = check_sigma2(sigma2), check_seed(seed), machine.check_device(device)
    load_before = machine.load()
    with contextlib.ExitStack() as stack:
        used = stack.enter_context(machine.threads(threads))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fishersft-bench-")) if memory_mapped else None
        generated = pools.generate(
            sentences,
            dimension,
            seed,
            near_equal=near_equal,
            file=Path(folder) / "values.bin" if folder else None,
            on_progress=partial(told, "generating"),
        )
        pool = Pool(generated.embeddings.on(device))
        # ours first: what was the most memory by then is its own, not that of the others
        steps, marks = _ours(pool, picks, sigma2, partial(told, "ours"))
        memory = machine.peak_memory()
        exact = [s.position for s in steps]
        facts = _facts(pool.embeddings, steps, marks[-1], device) | {
            "threads": used,
            "peak_memory_bytes": memory,
            "random_draws": RANDOM_DRAWS,
            "box_seconds": box_seconds,
            "load_before": load_before,
            "ours_marks": {str(k): round(marks[k - 1], 4) for k in sorted({1, picks // 10 or 1, picks // 2 or 1, picks})},
        }
        a_pick = steps[-1].evaluations / picks
        rows = [Row("ours", "**ours**", "blocks", picks, marks[-1], marks[-1], MEASURED, a_pick, facts["ours_flops"], 1.0)]
        not_run: dict[str, str] = {}
        wanted = [name for name in WAYS if not only or name in only]
        if memory_mapped and (left := [name for name in wanted if name in RIVALS]):
            wanted = [name for name in wanted if name not in RIVALS and (only or name == "ours")]
            not_run[", ".join(left)] = "they hold every row in float64 or read every row at every pick; the rows are in a file"
        for name in wanted:
            if name in RIVALS:
                rows.append(_rival(name, pool, exact, marks, box_seconds, sigma2, told))
        rows += _others(others, pool, exact, seed, sigma2, marks[-1], not_run, told)
        rows += peers.measure(
            [p for p in peers.PEERS if p.name in wanted], pool, generated.original, picks, sigma2, not_run, told
        )
        problem = {
            "sentences": sentences,
            "tokens": int(pool.tokens.sum()),
            "dimension": dimension,
            "picks": picks,
            "sigma2": sigma2,
            "seed": seed,
            "near_equal": near_equal,
            "memory_mapped": memory_mapped,
            "bytes": int(pool.embeddings.values.nbytes),
            "longest": int(pool.tokens.max()),
            "duplicates": int((generated.original != np.arange(sentences)).sum()),
        }
        return Report(problem, tuple(rows), facts, machine.describe(device), not_run)


def _selector(spec: str) -> Selector:
    name, _, rest = spec.partition(":")
    settings = [s.partition("=") for s in rest.split(",") if s]
    if any(not equals for _, equals, _ in settings):
        raise UserError(f"--also takes NAME or NAME:PARAMETER=VALUE,..., not '{spec}'.")
    return make_selector(name, {key: value for key, _, value in settings})


def _ours(pool: Pool, n: int, sigma2: float, told: Callable[[int, int], None]) -> tuple[list[Pick], list[float]]:
    """All picks, and the seconds at each."""
    import torch

    torch.linalg.cholesky(torch.eye(64, dtype=torch.float64, device=pool.device))  # libraries load at their first call
    steps: list[Pick] = []
    marks: list[float] = []
    started = time.perf_counter()
    for step in greedy(pool.embeddings, sigma2):
        steps.append(step)
        marks.append(time.perf_counter() - started)
        told(len(steps), n)
        if len(steps) == n:
            break
    return steps, marks


def _rival(name: str, pool: Pool, exact: list[int], marks: list[float], box: float, sigma2: float, told: Progress) -> Row:
    rival, n = RIVALS[name], len(exact)
    told(name, 0, n)
    rows = pool.embeddings
    with suited_to(rows.dimension):  # as ours is run
        done = boxed(rival.events(rows, sigma2), n, box, lambda k, _: told(name, k, n))
    total = rival.evaluations(len(rows), n) if rival.evaluations else None
    seconds, basis = rivals.extrapolated(done, n, total)
    k = len(done.picks)
    return Row(
        way=name,
        label=rival.label,
        group="blocks",
        picks=k,
        seconds=done.seconds,
        seconds_for_n=seconds,
        basis=basis,
        evaluations_a_pick=done.marks[-1][1] / k if k else total / n if total else None,
        flops_for_n=total / len(rows) * rival.sweep(rows.tokens, rows.dimension) if total and rival.sweep else None,
        ratio=seconds / marks[-1] if seconds is not None else None,
        ratio_at_its_picks=done.marks[-1][0] / marks[k - 1] if k else None,
        same=agreeing(done.picks, exact) if k else None,
    )


def regret(f: float, exact: float, random: float) -> float:
    """What part of the way from random to exact is missed: 0 as good as exact, 1 as bad as random."""
    return (exact - f) / (exact - random)


def _others(
    others: list[tuple[str, Selector]],
    pool: Pool,
    exact: list[int],
    seed: int,
    sigma2: float,
    ours: float,
    not_run: dict[str, str],
    told: Progress,
) -> list[Row]:
    """Selectors that make other picks: approximate modes, controls."""
    if not others:
        return []

    def f(positions: Iterable[int]) -> float:
        e = pool.embeddings
        return log_det(design_matrix((e.block(int(i)) for i in positions), e.dimension, sigma2))

    n, rng = len(exact), np.random.default_rng(seed)
    best, random = f(exact), float(np.mean([f(rng.choice(len(pool), n, replace=False)) for _ in range(RANDOM_DRAWS)]))
    rows = []
    for spec, selector in others:
        told(spec, 0, n)
        try:
            order = selector.take(pool, Budget(sentences=n), seed, partial(told, spec))
        except UserError as error:
            not_run[spec] = str(error).rstrip(".")
            continue
        picks, seconds = order.positions.tolist(), float(order.seconds[-1])
        rows.append(
            Row(
                way=spec,
                label=spec,
                group="blocks",
                picks=n,
                seconds=seconds,
                seconds_for_n=seconds,
                ratio=seconds / ours,
                same=agreeing(picks, exact),
                regret=regret(f(picks), best, random),
            )
        )
    return rows


def _facts(embeddings: TokenEmbeddings, steps: list[Pick], seconds: float, device: str) -> dict[str, Any]:
    import torch

    d, n, lengths = embeddings.dimension, len(steps), embeddings.tokens
    peak32, peak64 = machine.gemm_peak(torch.float32, device), machine.gemm_peak(torch.float64, device)
    passing = machine.gemm_pass(embeddings.values, device)
    of_picks = lengths[[s.position for s in steps]]
    screen, update = operations.of_ours(lengths, of_picks, steps[-1].evaluations, d)
    at_peak = screen / peak32 + update / peak64
    return {
        "gemm_pass_seconds": passing,
        "ours_over_gemm_pass": seconds / passing,
        "peak_float32": peak32,
        "peak_float64": peak64,
        "ours_evaluations": steps[-1].evaluations,
        "ours_flops": screen + update,
        "ours_seconds_at_peak": at_peak,
        "ours_over_its_flops": seconds / at_peak,
        "ours_log_det": float(sum(s.gain for s in steps)),
        "ours_proven_bound": float(steps[-1].optimum_bound),
        "picks_mean_length": float(of_picks.mean()),
    } | {"picks": n}
