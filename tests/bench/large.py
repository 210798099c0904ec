"""`python -m tests.bench large`: what people wait for on a large pool, each line beside its target; what misses says so.

A line is a name, a target and a function of the pools; `LINES` is the place to add one.  Pools are generated from a seed, or
the large one is a corpus that is read.  A selection that is not done within the limit says how many picks it made.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from fishersft.corpus.records import Corpus, Text
from fishersft.design.rows import TokenEmbeddings
from fishersft.design.trajectory import draw_orders, grid, log_det_at
from fishersft.errors import UserError
from fishersft.pipeline.embed_and_select import load_pool
from fishersft.scoring.criteria import Scorer
from fishersft.scoring.random_baseline import chance
from fishersft.selectors import Pool, make_selector
from fishersft.selectors.target import Target
from tests.bench import machine, pools, selection
from tests.bench.report import Report, table

DRAWS, PICKS, POINTS = 20, 1_000, 40
MEAN_LENGTH, LENGTH_CAP = 80, 255  # of paragraphs, in tokens
RARE_TOPIC, TARGET_TEXTS = 20, 50
TARGET_TOKENS = 10_000


@dataclass(frozen=True)
class Given:
    """What the lines are measured on; each pool is made when it is first asked for.

    Attributes:
        sentences: of the large pool; the small one has 5,000, or fewer where the large one does.
        corpus: a file to read in place of the generated large pool; "" to generate it.
        limit: seconds a selection gets.
    """

    sentences: int = 18_000
    corpus: str = ""
    limit: float = 300.0
    seed: int = 0

    @cached_property
    def large(self) -> Pool:
        return load_pool(self.corpus) if self.corpus else self._generated(self.sentences, MEAN_LENGTH)

    @cached_property
    def small(self) -> Pool:
        return self._generated(min(5_000, self.sentences), pools.MEAN_LENGTH)

    @cached_property
    def aimed(self) -> Pool:
        """The large pool without some of its records, which are the target: those nearest to one record."""
        rows = self.large.embeddings
        near = np.argsort(-rows.position_weighted_means @ rows.position_weighted_means[RARE_TOPIC % len(rows)])
        some = np.sort(near[: min(2 * TARGET_TEXTS, len(rows) // 4)])
        rest = Pool(rows.subset(np.setdiff1d(np.arange(len(rows)), some)))
        one = pd.DataFrame({"text": ["-"]})  # no selector measured here reads texts
        nothing = Corpus("", "", (Text("-"),), one, np.zeros(1, dtype=bool))
        return Pool(rest.embeddings, target=Target("near one", nothing, rows.subset(some[::2]), rows.subset(some[1::2])))

    @cached_property
    def wide(self) -> Report:
        """TokenOD and the naive form at d = 768."""
        return selection.run(min(5_000, self.sentences), 768, min(PICKS, self.sentences), seed=self.seed, only=("naive",))

    def _generated(self, sentences: int, mean_length: int) -> Pool:
        with tempfile.TemporaryDirectory(prefix="fishersft-bench-") as folder:
            made = pools.generate(
                sentences, 256, self.seed, mean_length=mean_length, length_cap=LENGTH_CAP, file=Path(folder) / "values.bin"
            )
            return Pool(made.embeddings)  # the mapped file lives as long as it is mapped


Found = tuple[float, str]


@dataclass(frozen=True)
class Line:
    """A name, the most (in seconds, or times) that it should take, and what measures it: a number, and a note on it or ""."""

    name: str
    target: float
    measure: Callable[[Given], Found]
    unit: str = "s"
    higher: bool = False

    def row(self, given: Given) -> tuple[str, str, str]:
        value, note = self.measure(given)
        missed = value < self.target if self.higher else value > self.target
        said = f"{'more than ' if note else ''}{value:,.3g} {self.unit}{', ' + note if note else ''}"
        bound = "at least" if self.higher else "at most"
        return self.name, said + (", missed" if missed else ""), f"{bound} {self.target:g} {self.unit}"


def picks(selector: str, n: int, **parameters: object) -> Callable[[Given], Found]:
    """Seconds of a selector's first n picks on the large pool."""
    return lambda given: _timed(given, given.large, selector, n, 0, parameters)


def tokens(selector: str) -> Callable[[Given], Found]:
    """Seconds of a selector's picks up to TARGET_TOKENS on the large pool with a target."""
    return lambda given: _timed(given, given.aimed, selector, len(given.aimed), TARGET_TOKENS, {})


def _timed(given: Given, pool: Pool, selector: str, n: int, budget: int, parameters: dict[str, object]) -> Found:
    n = min(n, len(pool))
    started, made, spent = time.perf_counter(), 0, 0
    for pick in make_selector(selector, parameters).order(pool, np.random.default_rng(0)):
        if not hasattr(pick, "position"):
            continue  # a note
        made, spent = made + 1, spent + int(pool.tokens[pick.position])
        seconds = time.perf_counter() - started
        if made == n or 0 < budget <= spent:
            return seconds, ""
        if seconds > given.limit:
            return seconds, f"{spent:,} of {budget:,} tokens" if budget else f"{made:,} of {n:,} picks"
    return time.perf_counter() - started, ""


def draws_along(pool: Pool) -> Found:
    """Seconds of the log dets of random draws along the budget, up to the tokens of the longest picks."""
    rows, n = pool.embeddings, min(PICKS, len(pool))
    most = np.sort(rows.tokens)[::-1][:n].sum()
    started = time.perf_counter()
    for order in draw_orders(len(rows), DRAWS):
        top = int(np.searchsorted(np.cumsum(rows.tokens[order]), most)) + 1
        log_det_at(rows, order, grid(min(top, len(rows)), 2 * POINTS), single=True)
    return time.perf_counter() - started, ""


def draws_scored(pool: Pool) -> Found:
    """Seconds of the same many draws under every criterion at one budget."""
    started = time.perf_counter()
    unnamed = TokenEmbeddings(pool.embeddings.values, pool.embeddings.offsets)  # so that nothing is read from a store
    chance(Scorer(unnamed), "sentences", min(PICKS, len(pool)), draws=DRAWS, seed=0)
    return time.perf_counter() - started, ""


def _naive(given: Given) -> Found:
    row = given.wide.row("naive")
    return (row.ratio if row and row.ratio else np.nan), ""


LINES = [
    Line("TokenOD, n = 1,000", 60, picks("token_od", 1_000)),
    Line("TokenOD per token, n = 300", 60, picks("token_od_per_token", 300)),
    Line("MatchedOD, n = 300", 60, picks("matched_od", 300)),
    Line("DensitySampling, whole order", 21, picks("density", 10**9)),
    Line("20 random draws along the budget", 6, lambda given: draws_along(given.large)),
    Line("20 random draws under every criterion, one budget", 6, lambda given: draws_scored(given.large)),
    Line("20 random draws along the budget, 5,000 sentences", 1.5, lambda given: draws_along(given.small)),
    Line("TargetMatchedOD, 10,000 tokens", 10, tokens("target_matched")),
    Line("RDS+, 10,000 tokens", 10, tokens("rds_plus")),
    Line("VOptimal, 10,000 tokens", 60, tokens("v_optimal")),
    Line("TargetOD, 10,000 tokens", 60, tokens("target_od")),
    Line(
        "TokenOD, 5,000 x 768, n = 1,000, over its own flops", 1.5, lambda g: (g.wide.facts["ours_over_its_flops"], ""), "times"
    ),
    Line("the naive form over TokenOD, 5,000 x 768, n = 1,000", 100, _naive, "times", higher=True),
]


def run(given: Given, only: Iterable[str] = (), told: Callable[[str], None] = lambda name: None) -> str:
    """The table, as Markdown; `only` are parts of names.  UserError where no line has such a name."""
    wanted = [line for line in LINES if not only or any(part.lower() in line.name.lower() for part in only)]
    if not wanted:
        raise UserError(f"No line is named like that; there are: {'; '.join(line.name for line in LINES)}.")
    rows = []
    for line in wanted:
        told(line.name)
        rows.append(line.row(given))
    m, T = machine.describe(), int(given.large.tokens.sum())
    what = given.corpus or "generated sentences"
    return "\n\n".join(
        [
            f"{len(given.large):,} {what}, {T:,} token rows of {given.large.embeddings.dimension} numbers, seed {given.seed}.",
            table(("what", "measured", "target"), rows),
            f"- {m['cpus']} CPUs ({m['instructions']}), {m['system']}, Python {m['python']}, torch {m['torch']}; load "
            f"{machine.load() or 0:.1f} at the end.",
        ]
    )
