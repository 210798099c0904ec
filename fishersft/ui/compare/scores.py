"""The scores of a comparison on the screen: at once where the random draws are scored, else with a bar or behind a button."""

from __future__ import annotations

import streamlit as st

from fishersft.scoring import interpolation
from fishersft.scoring.comparison import LEAST_DRAWS, Comparison
from fishersft.scoring.interpolation import POINTS
from fishersft.scoring.random_baseline import chance, is_kept
from fishersft.selectors import DEFAULT_SELECTOR, make_selector
from fishersft.text import duration
from fishersft.ui import cached
from fishersft.ui.compare.view import CompareView, order_of

DRAWS_AT_ONCE = 25.0  # seconds
ALONG_SHARE = 0.17  # of scoring a selection by itself: what one more budget of a path costs, measured on 1,250 and 5,000 records


def compared(view: CompareView) -> Comparison | None:
    """The selections beside chance: exact where the draws at this budget are scored, or the pool is so small that they soon
    are; else interpolated between budgets at which the draws are scored once.  None while that waits for a button."""
    if len(view.pool) <= POINTS or all(_is_kept(view, unit, amount) for unit, amount in _amounts(view)):
        return cached.comparison(view.pool, view.selectors, view.n, view.equal, view.seed)
    if not cached.draws_are_scored(view.pool, view.seed) and not _score_draws(view):
        return None
    return _interpolated(view)


def exactly(view: CompareView, found: Comparison) -> None:
    """Where a comparison is interpolated: what that means, and a button that scores this budget."""
    if not found.read_off:
        return
    row = st.container(horizontal=True, vertical_alignment="center", key="read-off")
    about = cached.scoring_time(view.pool, view.n) * LEAST_DRAWS * 2
    aimed = ", the variance on the target" if found.target else ""
    row.caption(
        f"This budget lies between the {found.read_off} that were scored: log det and the share of the optimum, leverage, radius"
        f"{aimed} and Stein's loss are interpolated, for picks and random draws. Everything else is exact."
    )
    if row.button(f"Score it exactly, about {duration(about)}", icon=":material/straighten:", key="exactly"):
        said = f"Scoring {2 * LEAST_DRAWS} random draws at this budget"
        bar = st.progress(0.0, f"{said} …")
        for k, (unit, amount) in enumerate(_amounts(view)):

            def report(done: int, total: int, k: int = k) -> None:
                bar.progress((k + done / total) / 2, f"{said}: {k * total + done:,} done")

            chance(cached.scorer(view.pool), unit, amount, draws=LEAST_DRAWS, seed=view.seed, on_progress=report)
        bar.empty()
        st.rerun()


def _amounts(view: CompareView) -> tuple[tuple[str, int], ...]:
    """What random draws are made of: as many sentences as the first selector takes, and as many tokens."""
    return ("sentences", view.n), ("tokens", view.spent(view.rows[0]))


def _is_kept(view: CompareView, unit: str, amount: int) -> bool:
    return is_kept(cached.scorer(view.pool), unit, amount, draws=LEAST_DRAWS, seed=view.seed)


def _interpolated(view: CompareView) -> Comparison:
    """The comparison at any budget, at once, read off between the budgets that were scored."""
    given = []
    for selector in view.selectors:
        order = order_of(view.pool, selector, view.seed)
        given.append((selector, order, cached.scored_picks(view.pool, selector, view.seed if selector.random else 0, order)))
    best = cached.order(view.pool, make_selector(DEFAULT_SELECTOR), 0)
    return interpolation.read_off(
        view.pool,
        given,
        view.n,
        cached.scored_draws(view.pool, view.seed),
        equal=view.equal,
        seed=view.seed,
        bounds=None if best is None else best.optimum_bounds,
        whole=cached.whole(view.pool),
    )


def _score_draws(view: CompareView) -> bool:
    """Score the random draws along themselves, once for a corpus, a model and a seed; False while nobody asked for that."""
    about = cached.scoring_time(view.pool, view.n) * LEAST_DRAWS * POINTS * ALONG_SHARE
    place = st.empty()
    if about > DRAWS_AT_ONCE:
        with place.container(horizontal=True, vertical_alignment="center"):
            label = f"Score random draws, about {duration(about)}"
            go = st.button(label, type="primary", icon=":material/casino:", key="score-draws")
            st.markdown(f"The answer needs {LEAST_DRAWS} random draws, and these have not been scored yet; that is done once.")
        if not go:
            return False
    said = f"Computing the answer: scoring {LEAST_DRAWS} random draws at {POINTS} budgets, about {duration(about)}, once"
    bar = place.progress(0.0, f"{said} …")

    def report(done: int, total: int) -> None:
        bar.progress(done / total, f"{said}: {done} draws done")

    interpolation.draw_paths(cached.scorer(view.pool), view.seed, picks=cached.reach(view.pool), on_progress=report)
    cached.draws_are_scored.clear()  # afterwards: another visitor may have asked meanwhile
    place.empty()
    return True
