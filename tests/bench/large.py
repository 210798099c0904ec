"""`python -m tests.bench large`: what people wait for on a large pool, each line beside its target; what misses says so.

A line is a name, a target and a function of the pools; `LINES` is the place to add one.  Each is measured in a process of its
own, whose memory is told beside it.  Pools are generated from a seed, or the large one is a corpus that is read.  A selection that
is not done within the limit says how many picks it made.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from fishersft.corpus.load import load_corpus
from fishersft.corpus.near_duplicates import near_duplicate_groups
from fishersft.corpus.records import Corpus, Text
from fishersft.design.rows import TokenEmbeddings
from fishersft.design.trajectory import draw_orders, grid, log_det_at
from fishersft.errors import UserError
from fishersft.lm.folder import find_model
from fishersft.lm.model import load_model
from fishersft.pipeline.embed_and_select import load_pool
from fishersft.scoring import projection
from fishersft.scoring.criteria import Scorer
from fishersft.scoring.random_baseline import chance
from fishersft.selectors import Pool, make_selector
from fishersft.selectors.target import Target
from tests.bench import embedding, machine, pools, selection
from tests.bench.large_pool import clusters, write_texts
from tests.bench.report import Report, table

SENTENCES, DRAWS, PICKS, POINTS = 18_000, 20, 1_000, 40
MEAN_LENGTH, LENGTH_CAP = 80, 255  # of paragraphs, in tokens
ONE_ROW = ("sentence_od", "fast_map", "lazy_fast_map")  # ours and its peers that need no package
RARE_TOPIC, TARGET_TEXTS = 20, 50
TARGET_TOKENS = 10_000


@dataclass(frozen=True)
class Given:
    """What the lines are measured on; each pool is made when it is first asked for.

    Attributes:
        sentences: of the large pool; the small one has 5,000, or fewer where the large one does, and all others grow with it.
        corpus: a file to read in place of the generated large pool; "" to generate it.
        limit: seconds a selection gets.
    """

    sentences: int = SENTENCES
    corpus: str = ""
    limit: float = 300.0
    seed: int = 0

    @cached_property
    def large(self) -> Pool:
        return load_pool(self.corpus) if self.corpus else self._generated(self.sentences, MEAN_LENGTH)

    @cached_property
    def largest(self) -> Pool:
        """What people have at most on one machine, about 50,000 instructions."""
        return self._generated(self.scaled(46_800), MEAN_LENGTH)

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
        """TokenOD, the naive form, and ways for one row a sentence, at d = 768."""
        ways = ("naive", *ONE_ROW)
        return selection.run(min(5_000, self.sentences), 768, min(PICKS, self.sentences), seed=self.seed, only=ways)

    def scaled(self, count: int) -> int:
        """So many of something beside the usual number of sentences, or as many fewer as there are fewer sentences."""
        return max(10, count * self.sentences // SENTENCES)

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

    def row(self, found: Found, memory: int | None = None) -> tuple[str, str, str, str]:
        value, note = found
        missed = value < self.target if self.higher else value > self.target
        said = f"{'more than ' if note else ''}{value:,.3g} {self.unit}{', ' + note if note else ''}"
        bound = "at least" if self.higher else "at most"
        held = "" if memory is None else f"{memory / 1e9:.1f} GB"
        return self.name, said + (", missed" if missed else ""), f"{bound} {self.target:g} {self.unit}", held


def picks(selector: str, n: int, pool: str = "large", **parameters: object) -> Callable[[Given], Found]:
    """Seconds of a selector's first n picks on one of the pools."""
    return lambda given: _timed(given, getattr(given, pool), selector, n, 0, **parameters)


def tokens(selector: str) -> Callable[[Given], Found]:
    """Seconds of a selector's picks up to TARGET_TOKENS on the large pool with a target."""
    return lambda given: _timed(given, given.aimed, selector, len(given.aimed), TARGET_TOKENS)


def _timed(given: Given, pool: Pool, selector: str, n: int, budget: int, **parameters: object) -> Found:
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


def opened(given: Given) -> Found:
    """Seconds until a file of 200,000 records is a corpus."""
    with tempfile.TemporaryDirectory(prefix="fishersft-bench-") as folder:
        file = write_texts(Path(folder) / "texts.jsonl", given.scaled(200_000), 20)
        started = time.perf_counter()
        load_corpus(file, holdout=0)
        return time.perf_counter() - started, ""


def compared(given: Given) -> Found:
    """Seconds until the near-duplicates among 100,000 texts of 56 words are found; every tenth repeats one but for a word."""
    rng, count = np.random.default_rng(given.seed), given.scaled(100_000)
    words = rng.zipf(1.2, (count, 56)) % 30_000
    again = np.arange(9, count, 10)
    words[again, 1:] = words[again - 9, 1:]
    texts = [" ".join(map(str, row)) for row in words.tolist()]
    started = time.perf_counter()
    near_duplicate_groups(texts)
    return time.perf_counter() - started, ""


def mapped(count: int) -> Callable[[Given], Found]:
    """Seconds of the UMAP of so many sentences of 256 numbers."""

    def measure(given: Given) -> Found:
        means = clusters(given.scaled(count), 256, given.seed)
        started = time.perf_counter()
        projection.project(means)
        return time.perf_counter() - started, ""

    return measure


def _over_flops(given: Given) -> Found:
    return given.wide.facts["ours_over_its_flops"], ""


def _naive(given: Given) -> Found:
    row = given.wide.row("naive")
    return (row.ratio if row and row.ratio else np.nan), ""


def _over_peers(given: Given) -> Found:
    rows = [given.wide.row(way) for way in ONE_ROW]
    ours, *peers = [row.seconds_for_n for row in rows if row]
    return ours / min(peers), ""


def _embedding(given: Given) -> Found:
    with tempfile.TemporaryDirectory(prefix="fishersft-bench-") as folder:
        corpus = load_corpus(write_texts(Path(folder) / "texts.jsonl", given.scaled(2_000), MEAN_LENGTH), holdout=0)
        return embedding.run(corpus, load_model(find_model("mini")), seed=given.seed).facts["ours_over_its_flops"], ""


LINES = [
    Line("TokenOD, n = 1,000", 60, picks("token_od", 1_000)),
    Line("TokenOD per token, n = 300", 60, picks("token_od_per_token", 300)),
    Line("TokenOD, 46,800 sentences, first 120 picks", 60, picks("token_od", 120, "largest")),
    Line("TokenOD, 46,800 sentences, n = 1,000", 240, picks("token_od", PICKS, "largest")),
    Line("MatchedOD, n = 300", 60, picks("matched_od", 300)),
    Line("MatchedOD, each pick the best of 2,000 random sentences, n = 300", 10, picks("matched_od", 300, candidates=2_000)),
    Line("DensitySampling, whole order", 21, picks("density", 10**9)),
    Line("20 random draws along the budget", 6, lambda given: draws_along(given.large)),
    Line("20 random draws under every criterion, one budget", 6, lambda given: draws_scored(given.large)),
    Line("20 random draws along the budget, 5,000 sentences", 1.5, lambda given: draws_along(given.small)),
    Line("TargetMatchedOD, 10,000 tokens", 10, tokens("target_matched")),
    Line("RDS+, 10,000 tokens", 10, tokens("rds_plus")),
    Line("VOptimal, 10,000 tokens", 60, tokens("v_optimal")),
    Line("TargetOD, 10,000 tokens", 60, tokens("target_od")),
    Line("TokenOD, 5,000 x 768, n = 1,000, over its own flops", 1.5, _over_flops, "times"),
    Line("the naive form over TokenOD, 5,000 x 768, n = 1,000", 100, _naive, "times", higher=True),
    Line("SentenceOD over its quickest peer, 5,000 x 768, n = 1,000", 1, _over_peers, "times"),
    Line("embedding by mini, over the model's own flops", 2, _embedding, "times"),
    Line("the map of 18,000 sentences", 10, mapped(18_000)),
    Line("the map of 200,000 sentences", 120, mapped(200_000)),
    Line("near-duplicates among 100,000 texts", 60, compared),
    Line("opening 200,000 records", 10, opened),
]


def run(given: Given, only: Iterable[str] = (), told: Callable[[str], None] = lambda name: None, *, apart: bool = False) -> str:
    """The table, as Markdown; `only` are parts of names.  UserError where no line has such a name.

    `apart`: each line in a process of its own, whose memory is told.
    """
    wanted = [k for k, line in enumerate(LINES) if not only or any(part.lower() in line.name.lower() for part in only)]
    if not wanted:
        raise UserError(f"No line is named like that; there are: {'; '.join(line.name for line in LINES)}.")
    rows = []
    for k in wanted:
        told(LINES[k].name)
        rows.append(LINES[k].row(*(_apart(given, k) if apart else (LINES[k].measure(given), None))))
    m, T = machine.describe(), int(given.large.tokens.sum())
    what = given.corpus or "generated sentences"
    return "\n\n".join(
        [
            f"{len(given.large):,} {what}, {T:,} token rows of {given.large.embeddings.dimension} numbers, seed {given.seed}, unless "
            "a line says otherwise.",
            table(("what", "measured", "target", "memory at most"), rows),
            f"- {m['cpus']} CPUs ({m['instructions']}), {m['system']}, Python {m['python']}, torch {m['torch']}; load "
            f"{machine.load() or 0:.1f} at the end.",
        ]
    )


def _apart(given: Given, number: int) -> tuple[Found, int | None]:
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        return alone.submit(_measured, given, number).result()


def _measured(given: Given, number: int) -> tuple[Found, int | None]:
    return LINES[number].measure(given), machine.peak_memory()
