"""What the Compare page shows and the controls that decide it; scores are kept in memory between reruns."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import streamlit as st

from fishersft.corpus.records import Corpus
from fishersft.scoring import interpolation
from fishersft.scoring.comparison import LEAST_DRAWS, Comparison, Row, compare, scorer_of
from fishersft.scoring.criteria import Scorer, Scores
from fishersft.scoring.interpolation import POINTS, ScoredOrder
from fishersft.scoring.random_baseline import chance, is_kept, whole_pool
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Order, Pool, Selector, find_selector, make_selector
from fishersft.text import duration
from fishersft.ui import cached, learn, query_widgets
from fishersft.ui.address import write_value
from fishersft.ui.parameters import selector_form
from fishersft.ui.session import Choice, Session

DEFAULT = (DEFAULT_SELECTOR, "longest", "sentence_od")
LEAST, MOST = 2, 4
UNITS = ("sentences", "tokens")
AT_ONCE = 4.0  # seconds of computing that nobody needs to be asked for
DRAWS_AT_ONCE = 25.0
ALONG_SHARE = 0.17  # of scoring a selection by itself: what one more budget of a path costs, measured on 1,250 and 5,000 records


@dataclass(frozen=True)
class CompareView:
    """Two to four selections of one pool; the first two are those that classes are made of.

    Attributes:
        selectors: those compared, the first being the reference.
        n: sentences of the first.
    """

    choice: Choice
    corpus: Corpus
    pool: Pool
    selectors: tuple[Selector, ...]
    seed: int
    equal: str
    n: int
    found: Comparison

    @property
    def rows(self) -> tuple[Row, ...]:
        """The selectors' rows, in the order asked for."""
        return tuple(self.found.chosen.values())

    @cached_property
    def ranks(self) -> dict[str, np.ndarray]:
        """By selector name, (N,) pick number from 1, 0 where not picked."""
        out = {}
        for name, row in self.found.chosen.items():
            rank = np.zeros(len(self.pool), dtype=np.int64)
            rank[row.positions] = np.arange(1, len(row.positions) + 1)
            out[name] = rank
        return out

    def within(self, records: tuple[int, ...]) -> np.ndarray:
        """(N,) bool: which of the pool are among these records."""
        return np.isin(self.pool.index, records)


def control_bar(session: Session) -> tuple[tuple[Selector, ...], str, int]:
    """Which selectors, what they get equally much of, and the seed; fewer than two selectors mean that none can be compared."""
    offered = query_widgets.offered()
    if "compare-selectors" not in st.session_state:
        st.session_state["compare-selectors"] = _from_address(session, offered)
    left, middle, right = st.columns([6, 3, 2], vertical_alignment="bottom")
    names = left.multiselect(
        "Selectors, two to four",
        offered,
        key="compare-selectors",
        max_selections=MOST,
        format_func=lambda s: find_selector(s).label,
        placeholder="choose at least two",
        help="The rules to compare. The budget counts the first one's sentences; the maps and the table tell the first two "
        "apart. The table at the end of the page says what each one is for.",
    )
    equal = query_widgets.segmented(
        "Equal",
        UNITS,
        "equal",
        place=middle,
        help=learn.helped(
            "Every selector gets as many sentences as the first, or at most as many trained tokens. Fine-tuning is paid for in "
            "tokens, and some selectors prefer long sentences: look at both.",
            "equal tokens",
        ),
    )
    chosen = [find_selector(name) for name in names]
    seed = query_widgets.seed(right, "Seed of the 20 random draws and of selectors that draw.")
    with_fields = [kind for kind in chosen if fields(kind)]
    given = {}
    if with_fields:
        with st.container(horizontal=True):
            for kind in with_fields:
                given[kind.name] = selector_form(kind, f"{kind.label}: parameters")
    session.selectors = tuple(names)
    write_value("selectors", ",".join(names) if tuple(names) not in ((), DEFAULT) else "")
    return tuple(make_selector(kind.name, given.get(kind.name)) for kind in chosen), equal, seed


def _from_address(session: Session, offered: list[str]) -> list[str]:
    """Selectors that the address names, or those looked at before, or the usual ones."""
    asked = [n.strip() for n in st.query_params.get("selectors", "").split(",") if n.strip()]
    if not asked:
        return list(session.selectors if len(session.selectors) >= LEAST else DEFAULT)
    known = list(dict.fromkeys(n for n in asked if n in offered))
    for name in asked:
        if name not in offered:
            session.notices.append(f"selectors {name[:24]} (there are {', '.join(offered)})")
    if len(known) > MOST:
        session.notices.append(f"selectors {','.join(known[MOST:])[:60]} (at most {MOST})")
    if len(known) < LEAST:
        session.notices.append(f"selectors {','.join(asked)[:60]} (at least {LEAST})")
        return list(DEFAULT)
    return known[:MOST]


def computed(pool: Pool, selectors: tuple[Selector, ...], seed: int) -> tuple[Selector, ...]:
    """Those whose order is there; quick ones are computed now, for the others there is a button that says how long it takes."""
    ready, waiting = [], []
    for selector in selectors:
        own = seed if selector.random else 0
        if cached.order(pool, selector, own) is not None:
            ready.append(selector)
            continue
        about = expected(pool, selector)
        if about is not None and about <= AT_ONCE:
            cached.order_now(pool, selector, own)
            ready.append(selector)
        else:
            waiting.append((selector, about))
    for selector, about in waiting:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            go = st.button(f"Compute {selector.label}", type="primary", icon=":material/play_arrow:", key=f"go-{selector.name}")
            how_long = f"this takes about {duration(about)}" if about else "how long this takes is not known"
            st.markdown(f"{selector.label} has not chosen from this corpus yet; {how_long}. Until then it is left out.")
        if go:
            cached.order_now(pool, selector, seed if selector.random else 0)
            st.rerun()
    return tuple(ready)


def expected(pool: Pool, selector: Selector) -> float | None:
    """Seconds that an order will take here, from what it took on the demo and how fast TokenOD was on this pool."""
    costs = cached.evidence().costs
    if selector.name not in costs:
        return None
    known = cached.order(pool, make_selector(DEFAULT_SELECTOR), 0)
    rows = pool.embeddings
    seconds = float(known.seconds[-1]) if known is not None else np.nan
    return costs[selector.name].elsewhere(len(rows.values), rows.dimension, costs.get(DEFAULT_SELECTOR), seconds)


def budget_slider(pool: Pool, selectors: tuple[Selector, ...], seed: int) -> int:
    """The budget: sentences of the first selector."""
    orders = [cached.order_now(pool, s, seed if s.random else 0) for s in selectors]
    most = min(len(order) for order in orders)
    usual = max(1, min(120, most, len(pool) // 8))
    note = "" if most == len(pool) else f" The first {most:,} picks of {len(pool):,} are computed."
    said = "How many sentences the first selector takes; the others get as many, or as many tokens." + note
    return query_widgets.slide(f"Budget: sentences of {selectors[0].label}", 1, most, usual, "budget", said)


def compared(pool: Pool, selectors: tuple[Selector, ...], n: int, equal: str, seed: int) -> Comparison:
    """The selections beside chance: exact where this budget was scored, else read off between budgets that were.

    The draws are scored at those once; long work waits for a button.
    """
    spent = _scored_exactly(pool, selectors[0], n, seed)
    if spent is None:
        return comparison(pool, selectors, n, equal, seed)
    draws = draw_paths(pool, seed) or _score_draws(pool, seed, n)
    found = read_between(pool, selectors, n, equal, seed, draws)
    row = st.container(horizontal=True, vertical_alignment="center", key="read-off")
    about = _time(pool, n) * LEAST_DRAWS * 2
    row.caption(
        f"This budget lies between the {found.read_off} that were scored: log det, leverage, radius and Stein's loss are "
        "interpolated, for picks and random draws. Everything else is exact."
    )
    if row.button(f"Score it exactly, about {duration(about)}", icon=":material/straighten:", key="exactly"):
        _score_exactly(pool, (("sentences", n), ("tokens", spent)), seed)
        st.rerun()
    return found


def _scored_exactly(pool: Pool, selector: Selector, n: int, seed: int) -> int | None:
    """None where the draws at this budget are scored, or the pool is so small that they soon are; else the tokens spent."""
    order = cached.order_now(pool, selector, seed if selector.random else 0)
    spent = int(selector.cut(pool, order, Budget(sentences=n), seed).tokens.sum())
    under = scorer(pool)
    wanted = (("sentences", n), ("tokens", spent))
    if len(pool) <= POINTS or all(is_kept(under, k, a, draws=LEAST_DRAWS, seed=seed) for k, a in wanted):
        return None
    return spent


def _time(pool: Pool, n: int) -> float:
    """Seconds that one selection takes to score."""
    return scoring_time(pool.embeddings.key, "", scorer(pool), np.arange(min(n, len(pool))))


def _score_draws(pool: Pool, seed: int, n: int) -> tuple[ScoredOrder, ...]:
    """Score the random draws along themselves, once for a corpus, a model and a seed."""
    about = _time(pool, n) * LEAST_DRAWS * POINTS * ALONG_SHARE
    place = st.empty()
    if about > DRAWS_AT_ONCE:
        with place.container(border=True):
            st.markdown("Every comparison here includes random draws, and these have not been scored yet.")
            label = f"Score them once at {POINTS} budgets, about {duration(about)}"
            if not st.button(label, type="primary", icon=":material/casino:", key="score-draws"):
                st.stop()
    said = f"Scoring {LEAST_DRAWS} random draws at {POINTS} budgets, about {duration(about)}, once"
    bar = place.progress(0.0, f"{said} …")

    def report(done: int, total: int) -> None:
        bar.progress(done / total, f"{said}: {done} draws done")

    paths = score_draws(pool, seed, report)
    place.empty()
    return paths


def _score_exactly(pool: Pool, wanted: Iterable[tuple[str, int]], seed: int) -> None:
    """Score the random draws at one budget."""
    said = f"Scoring {2 * LEAST_DRAWS} random draws at this budget"
    bar = st.progress(0.0, f"{said} …")
    for k, (equal, amount) in enumerate(wanted):

        def report(done: int, total: int, k: int = k) -> None:
            bar.progress((k + done / total) / 2, f"{said}: {k * total + done:,} done")

        chance(scorer(pool), equal, amount, draws=LEAST_DRAWS, seed=seed, on_progress=report)
    bar.empty()


@st.cache_resource(max_entries=4, show_spinner="Computing the model's loss on each token, once per corpus and model …")
def _scorer(key: str, topics: str, _pool: Pool) -> Scorer:
    return scorer_of(_pool)


def scorer(pool: Pool) -> Scorer:
    """What scores selections from a pool; the model is asked only where its losses are not in the store."""
    return _scorer(pool.embeddings.key, _topics(pool), pool)


def comparison(
    pool: Pool, selectors: tuple[Selector, ...], n: int, equal: str, seed: int, under: Pool | None = None
) -> Comparison:
    """`fishersft.compare`, the first selector being the reference."""
    score_key = under.embeddings.key if under else ""
    return _comparison(pool.embeddings.key, score_key, _topics(pool), selectors, n, equal, seed, pool, under)


@st.cache_resource(max_entries=16, show_spinner="Scoring the selections …")
def _comparison(
    key: str,
    score_key: str,
    topics: str,
    selectors: tuple[Selector, ...],
    n: int,
    equal: str,
    seed: int,
    _pool: Pool,
    _under: Pool | None,
) -> Comparison:
    return compare(_pool, selectors, Budget(sentences=n), equal=equal, seed=seed, score_pool=_under)


def draw_paths(pool: Pool, seed: int) -> tuple[ScoredOrder, ...] | None:
    """The random draws along themselves, if they are in the store."""
    own, about = scorer(pool), (pool.embeddings.key, _topics(pool), seed, cached.reach(pool))
    return _draw_paths(*about, own) if _are_kept(*about, own) else None


@st.cache_data(max_entries=32, show_spinner=False)
def _are_kept(key: str, topics: str, seed: int, picks: int, _scorer: Scorer) -> bool:
    return interpolation.are_kept(_scorer, seed, picks=picks)


def score_draws(pool: Pool, seed: int, on_progress: interpolation.Tell) -> tuple[ScoredOrder, ...]:
    """The random draws along themselves, scored now and kept in the store."""
    paths = interpolation.draw_paths(scorer(pool), seed, picks=cached.reach(pool), on_progress=on_progress)
    _are_kept.clear()  # afterwards: another visitor may have asked meanwhile
    return paths


@st.cache_resource(max_entries=4, show_spinner=False)
def _draw_paths(key: str, topics: str, seed: int, picks: int, _scorer: Scorer) -> tuple[ScoredOrder, ...]:
    return interpolation.draw_paths(_scorer, seed, picks=picks)


@st.cache_resource(max_entries=32, show_spinner="Scoring the picks at 40 budgets, once …")
def _pick_path(key: str, topics: str, selector: Selector, seed: int, picks: int, _scorer: Scorer, _order: Order) -> ScoredOrder:
    return interpolation.pick_path(_scorer, selector, seed, _order)


def read_between(
    pool: Pool, selectors: tuple[Selector, ...], n: int, equal: str, seed: int, draws: tuple[ScoredOrder, ...]
) -> Comparison:
    """`comparison` at any budget, at once: read off between the budgets that were"""
    given = []
    for selector in selectors:
        own = seed if selector.random else 0
        known = cached.order_now(pool, selector, own)
        path = _pick_path(pool.embeddings.key, _topics(pool), selector, own, len(known), scorer(pool), known)
        given.append((selector, known, path))
    best = cached.order(pool, make_selector(DEFAULT_SELECTOR), 0)
    return interpolation.read_off(
        pool,
        given,
        n,
        draws,
        equal=equal,
        seed=seed,
        bounds=None if best is None else best.optimum_bounds,
        whole=_whole(pool.embeddings.key, _topics(pool), scorer(pool)),
    )


@st.cache_resource(max_entries=8, show_spinner=False)
def _whole(key: str, topics: str, _scorer: Scorer) -> Scores:
    return whole_pool(_scorer)


@st.cache_data(max_entries=8, show_spinner=False)
def scoring_time(key: str, topics: str, _scorer: Scorer, _positions: np.ndarray) -> float:
    """Seconds that one selection takes to score on this machine."""
    _scorer(_positions)  # what is computed once for a pool is not timed
    started = time.perf_counter()
    _scorer(_positions)
    return time.perf_counter() - started


def _topics(pool: Pool) -> str:
    """Names the column that topics are counted in and its values."""
    return pool.corpus.category_fingerprint if pool.corpus else ""
