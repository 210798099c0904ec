"""What the Compare page shows, and the controls that decide it: one row of them, and a popover for what is rarely changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import streamlit as st

from fishersft.corpus.records import Corpus
from fishersft.scoring.comparison import Row, label_of
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Order, Pool, Selector, find_selector, make_selector, registry
from fishersft.text import duration
from fishersft.ui import cached, maps, query_widgets, targets
from fishersft.ui.address import write_value
from fishersft.ui.components import helped
from fishersft.ui.page import Embedded
from fishersft.ui.parameters import parameter_fields
from fishersft.ui.session import Choice, Session

DEFAULT = (DEFAULT_SELECTOR, "longest", "sentence_od")
LEAST, MOST = 2, 4
UNITS = ("tokens", "sentences")  # fine-tuning is paid for in tokens
AT_ONCE = 4.0  # seconds of computing that nobody needs to be asked for


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

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The selections in the order asked for, not scored yet: maps need no scores."""
        orders = [order_of(self.pool, selector, self.seed) for selector in self.selectors]
        budget, rows = Budget(sentences=self.n), list[Row]()
        for selector, order in zip(self.selectors, orders, strict=True):
            taken = selector.cut(self.pool, order, budget, self.seed if selector.random else 0)
            rows.append(Row(selector.name, label_of(selector, self.seed), selection=taken))
            if self.equal == "tokens":
                budget = Budget(tokens=self.spent(rows[0]))
        return tuple(rows)

    def spent(self, row: Row) -> int:
        """The trained tokens of a selection."""
        return int(self.pool.tokens[row.positions].sum())

    @cached_property
    def ranks(self) -> dict[str, np.ndarray]:
        """By selector name, (N,) pick number from 1, 0 where not picked."""
        out = {}
        for row in self.rows:
            out[row.name] = np.zeros(len(self.pool), dtype=np.int64)
            out[row.name][row.positions] = np.arange(1, len(row.positions) + 1)
        return out

    @cached_property
    def target_texts(self) -> np.ndarray:
        """Which records on the maps are target texts."""
        return maps.target_texts(self.everything, self.pool)

    @cached_property
    def on_maps(self) -> dict[str, np.ndarray]:
        """The same as `ranks` for every record on the maps."""
        places, out = np.searchsorted(self.everything.index, self.pool.index), {}
        for name, ranks in self.ranks.items():
            out[name] = np.zeros(len(self.everything), dtype=np.int64)
            out[name][places] = ranks
        return out


def order_of(pool: Pool, selector: Selector, seed: int) -> Order:
    """A selector's order, which `computed` has seen to."""
    return cached.order_now(pool, selector, seed if selector.random else 0)


def controls(embedded: Embedded, visitor: Session) -> CompareView | None:
    """All controls, and what they ask for; None where fewer than two selectors can be compared."""
    pool, aimed = embedded.pool, bool(visitor.choice.target)
    left, middle, right = st.columns([11, 4, 9], vertical_alignment="bottom", gap="medium")
    kinds = _selectors(left, visitor, aimed=aimed)
    said = (
        "At most as many trained tokens as the first selector spends, or as many sentences. Fine-tuning is paid for in tokens, "
        "and some selectors prefer long sentences: look at both."
    )
    equal = query_widgets.segmented("Equal", UNITS, "equal", place=middle, help=helped(said, "equal tokens"))
    second = st.container(horizontal=True, vertical_alignment="center")
    with second:
        targets.control(embedded.whole, pool, visitor, lasso=False)
    with second.popover("Seed and parameters", icon=":material/tune:", width="content"):
        seed = query_widgets.seed(st, "Seed of the 20 random draws and of selectors that draw.")
        given = {}
        for kind in (kind for kind in kinds if fields(kind)):
            st.markdown(f"**{kind.label}**")
            given[kind.name] = parameter_fields(kind)
    ready = _computed(pool, tuple(make_selector(kind.name, given.get(kind.name)) for kind in kinds), seed)
    if len(ready) < LEAST:
        return None
    with right:
        n = _budget(pool, ready, seed, equal)
    return CompareView(visitor.choice, embedded.corpus, embedded.whole, pool, ready, seed, equal, n)


def _selectors(place: Any, session: Session, *, aimed: bool) -> list[type[Selector]]:
    """Which selectors are compared; what is chosen is in the session and in the address."""
    offered = query_widgets.offered(aimed=aimed)
    usual = targets.COMPARED if aimed else DEFAULT
    if "compare-selectors" not in st.session_state:
        st.session_state["compare-selectors"] = _from_address(session, offered, usual)
    names = place.multiselect(
        "Selectors, two to four",
        offered,
        key="compare-selectors",
        max_selections=MOST,
        format_func=lambda s: find_selector(s).label,
        placeholder="choose at least two",
        help="The rules to compare. The budget counts the first one's sentences; the maps and the table tell the first two "
        "apart. The Evidence page says what each one is for.",
    )
    session.selectors = tuple(names)
    write_value("selectors", ",".join(names) if session.selectors not in ((), usual) else "")
    return [find_selector(name) for name in names]


def _from_address(session: Session, offered: list[str], usual: Sequence[str]) -> list[str]:
    """Selectors that the address names, or those looked at before, or the usual ones."""
    asked = [n.strip() for n in st.query_params.get("selectors", "").split(",") if n.strip()]
    if not asked:
        before = [name for name in session.selectors if name in offered]
        return before if len(before) >= LEAST else list(usual)
    if unaimed := [n for n in asked if n not in offered and n in registry() and registry()[n].needs_target]:
        labels = ", ".join(registry()[n].label for n in unaimed)
        st.info(
            f"{labels}: for a target only, and none is set yet. Say under “Target” what the model should get good at; until "
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


def _computed(pool: Pool, selectors: tuple[Selector, ...], seed: int) -> tuple[Selector, ...]:
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


def _budget(pool: Pool, selectors: tuple[Selector, ...], seed: int, equal: str) -> int:
    """The budget: sentences of the first selector, as far as every order reaches."""
    orders = [order_of(pool, selector, seed) for selector in selectors]
    least, most = 1, min(map(len, orders))
    if equal == "tokens":  # every selector has a first pick, and none runs out of picks before the others have spent as much
        spent = np.cumsum(pool.tokens[orders[0].positions])
        part = [int(pool.tokens[order.positions].sum()) for order in orders if len(order) < len(pool)]
        most = max(1, int(np.searchsorted(spent, min(part)))) if part else most
        least = min(most, 1 + int(np.searchsorted(spent, max(int(pool.tokens[order.positions[0]]) for order in orders))))
    usual = max(least, min(120, most, len(pool) // 8))
    note = "" if most == len(pool) else f" So far {max(map(len, orders)):,} picks are computed, enough for {most:,} of these."
    said = f"How many sentences {selectors[0].label} takes; the others get as many {equal}." + note
    return query_widgets.slide(f"Budget: sentences of {selectors[0].label}", least, most, usual, "budget", said)
