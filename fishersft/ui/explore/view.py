"""The state of the Explore page: a pool and its picks, and the controls that decide which picks these are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import streamlit as st

from fishersft.corpus.records import Corpus
from fishersft.design.trajectory import within_tokens
from fishersft.scoring.precomputed import Band
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Order, Pool, Selector, find_selector, make_selector
from fishersft.ui import cached, learn, query_widgets
from fishersft.ui.address import check_address
from fishersft.ui.page import Embedded
from fishersft.ui.parameters import selector_form
from fishersft.ui.session import Choice, Session

UNITS = ("sentences", "percent", "tokens")
WHAT_IF_STEP = 40


@dataclass(frozen=True)
class ExploreView:
    """A pool, an order and how much of it is selected.

    Attributes:
        pool: with what is pinned and excluded.
        plain: the selector's order with nothing pinned, as far as it was computed.
        order: the one shown: `plain`, or what is chosen from the pins.
        n: picks selected.
        reference: TokenOD's order, which the certificate comes from.
        longest: the control's order.
    """

    choice: Choice
    corpus: Corpus
    pool: Pool
    selector: Selector
    seed: int
    plain: Order
    order: Order
    n: int
    unit: str
    reference: Order
    longest: Order

    @property
    def picks(self) -> np.ndarray:
        """(n,) positions of the picks."""
        return self.order.positions[: self.n]

    @cached_property
    def picked_tokens(self) -> int:
        return int(self.pool.tokens[self.picks].sum())

    @cached_property
    def rank(self) -> np.ndarray:
        """(N,) pick number from 1 for selected records, else 0."""
        out = np.zeros(len(self.pool), dtype=np.int64)
        out[self.picks] = np.arange(1, self.n + 1)
        return out

    @cached_property
    def gain(self) -> tuple[np.ndarray, np.ndarray]:
        """Budgets in sentences and f there, nats."""
        if not self.pool.is_free:
            walked = cached.walk(self.pool.embeddings, self.order.positions)
            return np.arange(1, len(self.order) + 1), np.cumsum(walked.gains)
        return cached.gain_of(self.pool.embeddings, self.order, self.selector, self.seed)

    @cached_property
    def gains(self) -> np.ndarray:
        """(n,) what each pick gained when it was picked, nats, by the page's one criterion: TokenOD's with sigma2 = 1."""
        if self.selector == make_selector(DEFAULT_SELECTOR):
            return self.order.gains[: self.n]
        return cached.walk(self.pool.embeddings, self.picks).gains

    @cached_property
    def longest_gain(self) -> tuple[np.ndarray, np.ndarray]:
        """The control's budgets in sentences and f there, nats."""
        return cached.gain_of(self.pool.embeddings, self.longest, make_selector("longest"), 0)

    @cached_property
    def band(self) -> Band:
        top = len(self.plain)
        most = max(int(self.pool.tokens[o.positions].sum()) for o in (self.plain, self.reference))
        return cached.band(self.pool.embeddings, top, most)

    def pieces(self, record: int) -> tuple[list[str], np.ndarray]:
        """The text of every token of a record, and which of them are trained."""
        return cached.pieces(self.corpus, cached.folder(self.choice), record)

    @property
    def f(self) -> float:
        """log det gained by the selection, nats."""
        return float(np.interp(self.n, *self.gain))

    def lit(self, lasso: tuple[int, ...], matched: np.ndarray | None) -> np.ndarray | None:
        """(N,) bool: what search and filters found, narrowed to a set where there is one; None where nothing narrows."""
        if not lasso:
            return matched
        inside = np.isin(self.pool.index, lasso)
        return inside if matched is None else inside & matched


def control_bar(session: Session) -> tuple[Selector, int, str]:
    """Selector, seed and unit."""
    names = query_widgets.offered()
    labels = {find_selector(name).label: name for name in names}
    check_address(session, "selector", lambda v: v in names or v in labels, ", ".join(names))
    if (asked := st.query_params.get("selector")) in names:
        st.query_params["selector"] = find_selector(asked).label  # as the box keeps it there, and reads it as a run begins
        st.rerun()
    left, form, middle, right = st.columns([3, 2, 4, 2], vertical_alignment="bottom")
    name = left.selectbox(
        "Selector",
        names,
        key="selector",
        bind="query-params",
        format_func=lambda s: find_selector(s).label,
        help="The rule that chooses sentences.\n\n" + "\n".join(f"- {learn.selector(find_selector(n))}" for n in names),
    )
    with form:
        selector = make_selector(str(name), selector_form(find_selector(str(name))))
    unit = query_widgets.segmented(
        "Budget in",
        UNITS,
        "unit",
        place=middle,
        help=learn.helped(
            "Sentences as in the paper, percent of the pool, or trained tokens. TokenOD prefers long sentences, so compare "
            "selectors at equal tokens too: the chart's axis follows this switch.",
            "equal tokens",
        ),
    )
    seed = query_widgets.seed(
        right, "Seed for selectors that draw at random; the same seed gives the same picks.", disabled=not selector.random
    )
    return selector, seed if selector.random else 0, unit


def view_of(embedded: Embedded, session: Session) -> ExploreView:
    """Draw the controls and compute what they ask for."""
    pool = embedded.pool
    selector, seed, unit = control_bar(session)
    plain = cached.order_now(pool, selector, seed)
    reference = cached.order_now(pool, make_selector(DEFAULT_SELECTOR), 0)
    longest = cached.order_now(pool, make_selector("longest"), 0)
    budget = budget_slider(pool, plain, unit, session)
    given, order = pool, plain
    if selector.heeds_pins and (session.pinned or session.excluded):
        given = pool.given(session.pinned, session.excluded)
        order = cached.what_if(given, selector, seed, _in_steps(budget, given), plain)
    n = max(1, min(len(order), budget.cut(pool.tokens[order.positions]) or len(order)))
    if budget.tokens is not None:
        n = max(1, int(within_tokens(pool.tokens[order.positions], np.array([budget.tokens]))[0]))
    return ExploreView(embedded.choice, embedded.corpus, given, selector, seed, plain, order, n, unit, reference, longest)


def _in_steps(budget: Budget, pool: Pool) -> Budget:
    """A little more than the budget, so that a nudge of it computes nothing."""
    if budget.sentences is None:
        return budget
    steps = -(-max(budget.sentences, len(pool.pinned)) // WHAT_IF_STEP) * WHAT_IF_STEP
    return Budget(sentences=min(len(pool) - len(pool.excluded), steps))


def budget_slider(pool: Pool, order: Order, unit: str, session: Session) -> Budget:
    """The budget; its range is what `order` was computed to."""
    N, most = len(pool), len(order)
    usual = max(1, min(120, most, N // 8))
    tokens = pool.tokens[order.positions]
    note = "" if most == N else f" The first {most:,} picks of {N:,} are computed."
    if unit == "sentences":
        said = "How many sentences to select." + note
        return Budget(sentences=query_widgets.slide("Budget: sentences", 1, most, usual, "sentences", said))
    if unit == "percent":
        top = max(1.0, round(100 * most / N, 1))
        check_address(session, "percent", lambda v: query_widgets.is_number(v) and 0 < float(v) <= top, f"up to {top:g}")
        share = st.slider(
            "Budget: percent of the pool",
            0.1,
            float(top),
            float(min(10.0, top)),
            0.1,
            key="percent",
            format="%.1f%%",
            bind="query-params",
            help="Share of the pool's sentences." + note,
        )
        return Budget(sentences=min(most, max(1, round(share / 100 * N))))
    least, total = int(tokens[0]), int(tokens.sum())
    said = "The longest prefix of the picks with at most this many trained tokens." + note
    start = max(least, int(tokens[:usual].sum()))
    return Budget(tokens=query_widgets.slide("Budget: trained tokens", least, total, start, "tokens", said))
