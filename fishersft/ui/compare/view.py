"""What the Compare page shows, and the controls that decide it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import streamlit as st

from fishersft.corpus.records import Corpus
from fishersft.scoring import interpolation
from fishersft.scoring.comparison import LEAST_DRAWS, Comparison, Row
from fishersft.scoring.interpolation import POINTS
from fishersft.scoring.random_baseline import chance, is_kept
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Pool, Selector, find_selector, make_selector, registry
from fishersft.text import duration
from fishersft.ui import cached, maps, query_widgets, targets
from fishersft.ui.address import write_value
from fishersft.ui.components import helped
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
        everything: every record that is embedded, as the maps show them.
        pool: what is chosen from; smaller where there is a target.
        selectors: those compared, the first being the reference.
        n: sentences of the first.
    """

    choice: Choice
    corpus: Corpus
    everything: Pool
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
            out[name] = np.zeros(len(self.pool), dtype=np.int64)
            out[name][row.positions] = np.arange(1, len(row.positions) + 1)
        return out

    @cached_property
    def target_texts(self) -> np.ndarray:
        """Which records on the maps are target texts."""
        return maps.target_texts(self.everything, self.pool)

    @cached_property
    def on_maps(self) -> dict[str, np.ndarray]:
        """The same for every record on the maps."""
        places, out = np.searchsorted(self.everything.index, self.pool.index), {}
        for name, ranks in self.ranks.items():
            out[name] = np.zeros(len(self.everything), dtype=np.int64)
            out[name][places] = ranks
        return out


def control_bar(session: Session) -> tuple[tuple[Selector, ...], str, int]:
    """Which selectors, what they get equally much of, and the seed; fewer than two selectors mean that none can be compared."""
    aimed = bool(session.choice.target)
    offered = query_widgets.offered(aimed=aimed)
    usual = targets.COMPARED if aimed else DEFAULT
    if "compare-selectors" not in st.session_state:
        st.session_state["compare-selectors"] = _from_address(session, offered, usual)
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
    said = (
        "Every selector gets as many sentences as the first, or at most as many trained tokens. Fine-tuning is paid for in "
        "tokens, and some selectors prefer long sentences: look at both."
    )
    equal = query_widgets.segmented("Equal", UNITS, "equal", place=middle, help=helped(said, "equal tokens"))
    seed = query_widgets.seed(right, "Seed of the 20 random draws and of selectors that draw.")
    chosen = [find_selector(name) for name in names]
    given = {}
    if any(fields(kind) for kind in chosen):
        with st.container(horizontal=True):
            given = {kind.name: selector_form(kind, f"{kind.label}: parameters") for kind in chosen}
    session.selectors = tuple(names)
    write_value("selectors", ",".join(names) if session.selectors not in ((), usual) else "")
    return tuple(make_selector(kind.name, given.get(kind.name)) for kind in chosen), equal, seed


def _from_address(session: Session, offered: list[str], usual: Sequence[str]) -> list[str]:
    """Selectors that the address names, or those looked at before, or the usual ones."""
    asked = [n.strip() for n in st.query_params.get("selectors", "").split(",") if n.strip()]
    if not asked:
        before = [name for name in session.selectors if name in offered]
        return before if len(before) >= LEAST else list(usual)
    if unaimed := [n for n in asked if n not in offered and n in registry() and registry()[n].needs_target]:
        labels = ", ".join(registry()[n].label for n in unaimed)
        st.info(
            f"{labels}: for a target only, and none is set yet. Say under “Good at” what the model should get good at; until "
            "then the others are compared.",
            icon=":material/target:",
        )
        asked = [n for n in asked if n not in unaimed]
        if len(asked) < LEAST:
            return list(usual)
    known = list(dict.fromkeys(n for n in asked if n in offered))
    for name in asked:
        if name not in offered:
            session.notices.append(f"selectors {name[:24]} (there are {', '.join(offered)})")
    if len(known) > MOST:
        session.notices.append(f"selectors {','.join(known[MOST:])[:60]} (at most {MOST})")
    if len(known) < LEAST:
        session.notices.append(f"selectors {','.join(asked)[:60]} (at least {LEAST})")
        return list(usual)
    return known[:MOST]


def computed(pool: Pool, selectors: tuple[Selector, ...], seed: int) -> tuple[Selector, ...]:
    """Those whose order is there; quick ones are computed now, for the others there is a button that says how long it takes."""
    ready, waiting = [], []
    for selector in selectors:
        own = seed if selector.random else 0
        known, about = cached.order(pool, selector, own), None
        if known is None:
            about = cached.expected(pool, selector)
            soon = about is None and selector.name in targets.COMPARED and len(pool) <= cached.SMALL_POOL
            if soon or (about is not None and about <= AT_ONCE):
                known = cached.order_now(pool, selector, own)
        if known is not None:
            ready.append(selector)
        else:
            waiting.append((selector, own, about))
    for selector, own, about in waiting:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            go = st.button(f"Compute {selector.label}", type="primary", icon=":material/play_arrow:", key=f"go-{selector.name}")
            how_long = f"this takes about {duration(about)}" if about else "how long this takes is not known"
            st.markdown(f"{selector.label} has not chosen from this corpus yet; {how_long}. Until then it is left out.")
        if go:
            cached.order_now(pool, selector, own)
            st.rerun()
    return tuple(ready)


def budget_slider(pool: Pool, selectors: tuple[Selector, ...], seed: int) -> int:
    """The budget: sentences of the first selector."""
    most = min(len(cached.order_now(pool, s, seed if s.random else 0)) for s in selectors)
    usual = max(1, min(120, most, len(pool) // 8))
    note = "" if most == len(pool) else f" The first {most:,} picks of {len(pool):,} are computed."
    said = "How many sentences the first selector takes; the others get as many, or as many tokens." + note
    return query_widgets.slide(f"Budget: sentences of {selectors[0].label}", 1, most, usual, "budget", said)


def compared(pool: Pool, selectors: tuple[Selector, ...], n: int, equal: str, seed: int) -> Comparison:
    """The selections beside chance: exact where the draws at this budget are scored, or the pool is so small that they soon
    are; else interpolated between budgets at which the draws are scored once.  Long work waits for a button."""
    first, scorer = selectors[0], cached.scorer(pool)
    order = cached.order_now(pool, first, seed if first.random else 0)
    spent = int(first.cut(pool, order, Budget(sentences=n), seed).tokens.sum())
    wanted = (("sentences", n), ("tokens", spent))
    if len(pool) <= POINTS or all(is_kept(scorer, unit, amount, draws=LEAST_DRAWS, seed=seed) for unit, amount in wanted):
        return cached.comparison(pool, selectors, n, equal, seed)
    found = _interpolated(pool, selectors, n, equal, seed)
    row = st.container(horizontal=True, vertical_alignment="center", key="read-off")
    about = cached.scoring_time(pool, n) * LEAST_DRAWS * 2
    row.caption(
        f"This budget lies between the {found.read_off} that were scored: log det, leverage, radius and Stein's loss are "
        "interpolated, for picks and random draws. Everything else is exact."
    )
    if row.button(f"Score it exactly, about {duration(about)}", icon=":material/straighten:", key="exactly"):
        said = f"Scoring {2 * LEAST_DRAWS} random draws at this budget"
        bar = st.progress(0.0, f"{said} …")
        for k, (unit, amount) in enumerate(wanted):

            def report(done: int, total: int, k: int = k) -> None:
                bar.progress((k + done / total) / 2, f"{said}: {k * total + done:,} done")

            chance(scorer, unit, amount, draws=LEAST_DRAWS, seed=seed, on_progress=report)
        bar.empty()
        st.rerun()
    return found


def _interpolated(pool: Pool, selectors: tuple[Selector, ...], n: int, equal: str, seed: int) -> Comparison:
    """The comparison at any budget, at once, read off between the budgets that were scored."""
    if not cached.draws_are_scored(pool, seed):
        _score_draws(pool, seed, n)
    given = []
    for selector in selectors:
        own = seed if selector.random else 0
        order = cached.order_now(pool, selector, own)
        given.append((selector, order, cached.scored_picks(pool, selector, own, order)))
    best = cached.order(pool, make_selector(DEFAULT_SELECTOR), 0)
    return interpolation.read_off(
        pool,
        given,
        n,
        cached.scored_draws(pool, seed),
        equal=equal,
        seed=seed,
        bounds=None if best is None else best.optimum_bounds,
        whole=cached.whole(pool),
    )


def _score_draws(pool: Pool, seed: int, n: int) -> None:
    """Score the random draws along themselves, once for a corpus, a model and a seed."""
    about = cached.scoring_time(pool, n) * LEAST_DRAWS * POINTS * ALONG_SHARE
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

    interpolation.draw_paths(cached.scorer(pool), seed, picks=cached.reach(pool), on_progress=report)
    cached.draws_are_scored.clear()  # afterwards: another visitor may have asked meanwhile
    place.empty()
