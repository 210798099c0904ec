"""Scores of selections, kept in memory between reruns: exact at one budget, or read off between budgets that were scored."""

from __future__ import annotations

import time

import numpy as np
import streamlit as st

from fishersft.scoring import interpolation
from fishersft.scoring.comparison import Comparison, compare, scorer_of
from fishersft.scoring.criteria import Scorer, Scores
from fishersft.scoring.random_baseline import whole_pool
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Order, Pool, Selector, make_selector
from fishersft.ui import cached


@st.cache_resource(max_entries=4, show_spinner="Asking the model how well it predicts each token, once a corpus and model …")
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


def draw_paths(pool: Pool, seed: int) -> tuple[interpolation.Path, ...] | None:
    """The random draws along themselves, if they are in the store."""
    own, about = scorer(pool), (pool.embeddings.key, _topics(pool), seed, cached.reach(pool))
    return _draw_paths(*about, own) if _are_kept(*about, own) else None


@st.cache_data(max_entries=32, show_spinner=False)
def _are_kept(key: str, topics: str, seed: int, picks: int, _scorer: Scorer) -> bool:
    return interpolation.are_kept(_scorer, seed, picks=picks)


def score_draws(pool: Pool, seed: int, on_progress: interpolation.Tell) -> tuple[interpolation.Path, ...]:
    """The random draws along themselves, scored now and kept in the store."""
    paths = interpolation.draw_paths(scorer(pool), seed, picks=cached.reach(pool), on_progress=on_progress)
    _are_kept.clear()  # afterwards: another visitor may have asked meanwhile
    return paths


@st.cache_resource(max_entries=4, show_spinner=False)
def _draw_paths(key: str, topics: str, seed: int, picks: int, _scorer: Scorer) -> tuple[interpolation.Path, ...]:
    return interpolation.draw_paths(_scorer, seed, picks=picks)


@st.cache_resource(max_entries=32, show_spinner="Scoring the picks at 40 budgets, once …")
def _pick_path(
    key: str, topics: str, selector: Selector, seed: int, picks: int, _scorer: Scorer, _order: Order
) -> interpolation.Path:
    return interpolation.pick_path(_scorer, selector, seed, _order)


def read_between(
    pool: Pool, selectors: tuple[Selector, ...], n: int, equal: str, seed: int, draws: tuple[interpolation.Path, ...]
) -> Comparison:
    """`comparison` at any budget, at once: read off between the budgets that were scored."""
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
