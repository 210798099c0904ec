"""The state of the Explore page: a pool and its picks, the controls that decide them, and what search and filters light up."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
import streamlit as st

from fishersft.corpus.records import Corpus
from fishersft.design.information import optimum_bound, share_of_optimum
from fishersft.design.trajectory import draw_orders, within_tokens
from fishersft.pipeline import embed_and_select
from fishersft.scoring import precomputed, why
from fishersft.scoring.precomputed import Band
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Order, Pool, Selector, find_selector, make_selector, registry
from fishersft.ui import behind, cached, cached_target, maps, query_widgets, targets
from fishersft.ui.address import check_address
from fishersft.ui.cached import KEYS
from fishersft.ui.components import helped
from fishersft.ui.page import Embedded
from fishersft.ui.parameters import parameter_fields, selector_help
from fishersft.ui.session import Choice, Session

T = TypeVar("T")
UNITS = ("sentences", "percent", "tokens")
WHAT_IF_STEP = 40
WALKED = 128  # picks whose gains are computed at least


@dataclass(frozen=True)
class ExploreView:
    """A pool, an order and how much of it is selected.  What takes long is computed behind the page, and is None until then.

    Attributes:
        everything: every record of the corpus that is embedded: what the map shows.
        pool: what is chosen from, with what is pinned and excluded; smaller than `everything` where there is a target.
        plain: the selector's order with nothing pinned, as far as it was computed.
        order: the one shown: `plain`, or what is chosen from the pins.
        n: picks selected.
        record: number of the record that is explained: the one that was asked for, else the first pick.
    """

    choice: Choice
    corpus: Corpus
    everything: Pool
    pool: Pool
    selector: Selector
    seed: int
    plain: Order
    order: Order
    n: int
    unit: str
    record: int

    @cached_property
    def reference(self) -> Order | None:
        """TokenOD's order, which the certificate comes from."""
        chosen = make_selector(DEFAULT_SELECTOR)
        if self.selector == chosen:
            return self.plain
        budget = Budget(sentences=cached.reach(self._free))
        return self._behind("TokenOD's picks", chosen.name, partial(embed_and_select.order, self._free, chosen, budget))

    @cached_property
    def longest(self) -> Order:
        """The control's order."""
        return cached.order_now(self._free, make_selector("longest"), 0)

    def _behind(self, said: str, key: Hashable, compute: Callable[[], T], latest: str = "") -> T | None:
        """Something about the pool without pins that the page does not wait for."""
        pool = self._free
        return behind.ready(said, (KEYS[Pool](pool), pool.target and pool.target.key, len(pool), key), compute, latest)

    @property
    def _free(self) -> Pool:
        """The pool without pins."""
        return self.pool if self.pool.is_free else cached_target.aimed(self.choice, self.everything)

    @cached_property
    def places(self) -> np.ndarray:
        """(N,) where the pool's records are on the map."""
        N = len(self.everything)
        return np.arange(N) if len(self.pool) == N else np.searchsorted(self.everything.index, self.pool.index)

    @cached_property
    def target_texts(self) -> np.ndarray:
        """Which records on the map are target texts, of the choosing or of the measuring half."""
        return maps.target_texts(self.everything, self.pool)

    def on_map(self, values: np.ndarray) -> np.ndarray:
        """Values of the pool's records at their places on the map; 0 or False elsewhere."""
        out = np.zeros(len(self.everything), dtype=values.dtype)
        out[self.places] = values
        return out

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
    def gain(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Budgets in sentences and f there, nats."""
        if not self.pool.is_free:
            walked = cached.walk(self.pool.embeddings, self.order.positions)
            return np.arange(1, len(self.order) + 1), np.cumsum(walked.gains)
        if len(self.order) < cached.reach(self.pool):  # it grows, and what it gains is computed once, of the whole
            return None
        return self._gain_of(self.order, self.selector, self.seed)

    def _gain_of(self, order: Order, selector: Selector, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
        compute = partial(precomputed.gain_of, self.pool.embeddings, order, selector, seed)
        return self._behind(f"the gain of {selector.label}", (selector, seed), compute)

    @cached_property
    def f(self) -> float:
        """log det gained by the selection, nats."""
        return float(self.gains.sum())

    @cached_property
    def gains(self) -> np.ndarray:
        """(n,) what each pick gained when it was picked, nats, by the page's one criterion: TokenOD's with sigma2 = 1."""
        if self.selector == make_selector(DEFAULT_SELECTOR):
            return self.order.gains[: self.n]
        further = min(len(self.order), max(WALKED, 1 << (self.n - 1).bit_length()))  # a nudge of the budget walks nothing anew
        return cached.walk(self.pool.embeddings, self.order.positions[:further]).gains[: self.n]

    @cached_property
    def longest_gain(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The control's budgets in sentences and f there, nats."""
        return self._gain_of(self.longest, make_selector("longest"), 0)

    @cached_property
    def band(self) -> Band | None:
        """What random draws gain."""
        top, most = cached.reach(self._free), cached.most_tokens(self._free)
        return self._behind("20 random draws", "band", partial(precomputed.band, self.pool.embeddings, top, most))

    @cached_property
    def proven(self) -> float | None:
        """The proven share of the largest possible log det of as many sentences: by TokenOD's bounds while it picked, or by what
        every sentence would add to its picks now (Minoux 1978)."""
        if self.reference is None or len(self.reference) < self.n:
            return None
        bound = float(self.reference.optimum_bounds[self.n - 1])
        if self.pool.is_free:
            picks = self.reference.positions[: self.n]
            reached = float(self.reference.gains[: self.n].sum())
            gains = self._behind(
                "the certificate", ("proof", self.n), partial(why.gains_now, self.pool.embeddings, picks), "proof"
            )
            if gains is None:
                return None
            outside = np.delete(gains, picks) * (1 + 1e-4)  # they are exact to about 1e-5
            bound = min(bound, optimum_bound(reached, outside, self.n))
        return share_of_optimum(self.f, bound)

    @cached_property
    def variance(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Budgets in sentences and the mean variance on the target's measuring half; None without one."""
        if self.pool.target is None or self.pool.target.measuring is None:
            return None
        return cached_target.variance(self.pool, self.order.positions)

    @property
    def variance_now(self) -> float:
        """At the budget."""
        return float(np.interp(self.n, *self.variance)) if self.variance is not None else float("nan")

    def variance_band(self, *, tokens: bool) -> tuple[np.ndarray, np.ndarray] | None:
        """Budgets and the variances of random draws there."""
        top = cached.most_tokens(self._free) if tokens else cached.reach(self._free)
        moment = None if self.pool.target is None else self.pool.target.measured_moment
        assert moment is not None
        compute = partial(precomputed.target_variance_band, self.pool.embeddings, top, moment, tokens=tokens)
        return self._behind("the target's variance under 20 random draws", ("variance", tokens), compute)

    @cached_property
    def chance_variance(self) -> np.ndarray | None:
        """(draws,) variances of random draws of as many tokens as the picks have."""
        found = self.variance_band(tokens=True)
        if found is None:
            return None
        x, draws = found
        return np.array([np.exp(np.interp(self.picked_tokens, x, np.log(each))) for each in draws])

    @cached_property
    def chance_losses(self) -> np.ndarray | None:
        """(draws,) Stein's losses of the same draws to the target's measuring half."""
        pool, spent = self.pool, self.picked_tokens

        def losses() -> np.ndarray:
            limit = np.array([spent])
            draws = [o[: max(1, within_tokens(pool.tokens[o], limit)[0])] for o in draw_orders(len(pool))]
            return np.array([cached_target.loss_of(pool, draw) for draw in draws])

        return self._behind("how random draws look to the target", ("losses", spent), losses)

    def pieces(self, record: int) -> tuple[list[str], np.ndarray]:
        """The text of every token of a record, and which of them are trained."""
        return cached.pieces(self.corpus, cached.folder(self.choice), record)

    def lit(self, lasso: tuple[int, ...], matched: np.ndarray | None) -> np.ndarray | None:
        """What search and filters found on the map, narrowed to a set where there is one; None where nothing narrows."""
        if not lasso:
            return matched
        inside = np.isin(self.everything.index, lasso)
        return inside if matched is None else inside & matched

    def in_pool(self, mask: np.ndarray | None) -> np.ndarray | None:
        """(N,) bool of the pool's records from what is (un)marked on the map."""
        return None if mask is None else mask[self.places]


def controls(embedded: Embedded, session: Session) -> ExploreView:
    """One row: selector, budget, unit and parameters; and what they choose."""
    pool = embedded.pool
    with st.container(key="explore-controls"):
        first, middle, unit_place, last = st.columns([22, 44, 22, 15], vertical_alignment="bottom")
    kind = _selector_box(session, first)
    with last.popover("Options", icon=":material/tune:", width="stretch", help="The selector's parameters and its seed."):
        selector = make_selector(kind.name, parameter_fields(kind))
        said = "Seed for selectors that draw at random; the same seed gives the same picks."
        seed = query_widgets.seed(st, said, disabled=not selector.random)
    seed = seed if selector.random else 0
    said = (
        "Sentences as in the paper, percent of the pool, or trained tokens. TokenOD prefers long sentences, so compare "
        "selectors at equal tokens too: the chart's axis follows this switch."
    )
    unit = query_widgets.segmented("Budget in", UNITS, "unit", place=unit_place, help=helped(said, "equal tokens"))
    with middle:
        plain = cached.growing_order(pool, selector, seed)
        if plain is None:
            st.caption(f"{selector.label} is making its first pick from {len(pool):,} sentences …")
            behind.look_again()
            st.stop()
        budget = budget_slider(pool, plain, unit, session)
    given, order = pool, plain
    if selector.heeds_pins and (session.pinned or session.excluded):
        given = pool.given(session.pinned, session.excluded)
        wanted = budget
        if budget.sentences is not None:  # a little more, so that a nudge of the budget computes nothing
            steps = -(-max(min(budget.sentences, len(plain)), len(given.pinned)) // WHAT_IF_STEP) * WHAT_IF_STEP
            wanted = Budget(sentences=min(len(given) - len(given.excluded), steps))
        order = cached.what_if(given, selector, seed, wanted, plain)
    n = max(1, min(len(order), budget.cut(pool.tokens[order.positions]) or len(order)))
    if budget.tokens is not None:
        n = max(1, int(within_tokens(pool.tokens[order.positions], np.array([budget.tokens]))[0]))
    record = session.record if session.record is not None else int(pool.index[order.positions[0]])
    chosen = (selector, seed, plain, order, n, unit, record)
    return ExploreView(embedded.choice, embedded.corpus, embedded.whole, given, *chosen)


def _selector_box(session: Session, place: Any) -> type[Selector]:
    names = query_widgets.offered(aimed=bool(session.choice.target))
    if session.choice.target:  # the first is where the box begins
        names = [targets.AIMED, *(name for name in names if name != targets.AIMED)]
    labels = {find_selector(name).label: name for name in names}
    _check_target(session)
    check_address(session, "selector", lambda v: v in names or v in labels, ", ".join(names))
    if (asked := st.query_params.get("selector")) in names:
        st.query_params["selector"] = find_selector(asked).label  # as the box keeps it there, and reads it as a run begins
        st.rerun()
    name = place.selectbox(
        "Selector",
        names,
        key="selector",
        bind="query-params",
        format_func=lambda s: find_selector(s).label,
        help="The rule that chooses sentences.\n\n" + "\n".join(f"- {selector_help(find_selector(n))}" for n in names),
    )
    return find_selector(str(name))


def _check_target(session: Session) -> None:
    """A link's selector that chooses for a target, where there is none: say what is missing, and show the default."""
    asked = st.query_params.get("selector", "")
    wanted = {word: kind for name, kind in registry().items() if kind.needs_target for word in (name, kind.label)}.get(asked)
    if session.choice.target or wanted is None:
        return
    if "selector" not in st.session_state or st.session_state["selector"] in (wanted.name, wanted.label):
        st.session_state["selector"] = DEFAULT_SELECTOR
    del st.query_params["selector"]
    st.info(
        f"{wanted.label} chooses for a target, and none is set yet: say under “Target” what the model should get good at. Until "
        f"then the picks of {find_selector(DEFAULT_SELECTOR).label} are shown.",
        icon=":material/target:",
    )


def budget_slider(pool: Pool, order: Order, unit: str, session: Session) -> Budget:
    """The budget, as far as an order will be computed; what is beyond the picks that exist by now waits for them."""
    N, most = len(pool), cached.reach(pool)
    usual = max(1, min(120, most, N // 8))
    note = "" if most == N else f" The first {most:,} picks of {N:,} are computed."
    if len(order) < most:
        st.caption(f":material/hourglass_top: {len(order):,} of {most:,} picks computed so far.")
    if unit == "sentences":
        said = "How many sentences to select." + note
        return Budget(sentences=query_widgets.slide("Budget: sentences", 1, most, usual, "sentences", said))
    if unit == "percent":
        top = max(1.0, round(100 * most / N, 1))
        check_address(session, "percent", lambda v: query_widgets.is_number(v) and 0 < float(v) <= top, f"up to {top:g}")
        look: dict[str, Any] = {"key": "percent", "format": "%.1f%%", "bind": "query-params"}
        said = "Share of the pool's sentences." + note
        share = st.slider("Budget: percent of the pool", 0.1, top, min(10.0, top), 0.1, help=said, **look)
        return Budget(sentences=min(most, max(1, round(share / 100 * N))))
    tokens = pool.tokens[order.positions]
    least, total = int(pool.tokens.min()), int(tokens.sum())
    if len(order) < most:  # an end that stays as the picks become more
        total = cached.most_tokens(pool)
    said = "The longest prefix of the picks with at most this many trained tokens." + note
    start = max(least, int(tokens[:usual].sum()))
    return Budget(tokens=query_widgets.slide("Budget: trained tokens", least, total, start, "tokens", said))
