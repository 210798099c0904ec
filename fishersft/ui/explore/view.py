"""The state of the Explore page: a pool and its picks, the controls that decide them, and what search and filters light up."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import streamlit as st

from fishersft.corpus.records import Corpus
from fishersft.design.trajectory import within_tokens
from fishersft.scoring.precomputed import Band
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Order, Pool, Selector, find_selector, make_selector, registry
from fishersft.text import visible_text
from fishersft.ui import cached, cached_target, components, maps, query_widgets, targets
from fishersft.ui.address import check_address, write_value
from fishersft.ui.components import escape_markdown, helped, one_line
from fishersft.ui.page import Embedded
from fishersft.ui.parameters import selector_form, selector_help
from fishersft.ui.session import Choice, Session

UNITS = ("sentences", "percent", "tokens")
SHOWN = ("map", "player")
COLOURS = ("selection", "pick order", "tokens")  # a column of the corpus is the other choice
WHAT_IF_STEP = 40
MOST_COLUMNS = 3


@dataclass(frozen=True)
class ExploreView:
    """A pool, an order and how much of it is selected.

    Attributes:
        everything: every record of the corpus that is embedded: what the map shows.
        pool: what is chosen from, with what is pinned and excluded; smaller than `everything` where there is a target.
        plain: the selector's order with nothing pinned, as far as it was computed.
        order: the one shown: `plain`, or what is chosen from the pins.
        n: picks selected.
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

    @cached_property
    def reference(self) -> Order:
        """TokenOD's order, which the certificate comes from."""
        return cached.order_now(self._free, make_selector(DEFAULT_SELECTOR), 0)

    @cached_property
    def longest(self) -> Order:
        """The control's order."""
        return cached.order_now(self._free, make_selector("longest"), 0)

    @property
    def _free(self) -> Pool:
        """The pool without pins."""
        return self.pool if self.pool.is_free else cached_target.aimed(self.choice, self.everything)

    @cached_property
    def places(self) -> np.ndarray:
        """(N,) where the pool's records are on the map."""
        return np.searchsorted(self.everything.index, self.pool.index)

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
    def gain(self) -> tuple[np.ndarray, np.ndarray]:
        """Budgets in sentences and f there, nats."""
        if not self.pool.is_free:
            walked = cached.walk(self.pool.embeddings, self.order.positions)
            return np.arange(1, len(self.order) + 1), np.cumsum(walked.gains)
        return cached.gain_of(self.pool.embeddings, self.order, self.selector, self.seed)

    @property
    def f(self) -> float:
        """log det gained by the selection, nats."""
        return float(np.interp(self.n, *self.gain))

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
        most = max(int(self.pool.tokens[o.positions].sum()) for o in (self.plain, self.reference))
        return cached.band(self.pool.embeddings, len(self.plain), most)

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

    def variance_band(self, *, tokens: bool) -> tuple[np.ndarray, np.ndarray]:
        """Budgets and the variances of random draws there."""
        top = int(self.pool.tokens[self.plain.positions].sum()) if tokens else len(self.plain)
        return cached_target.band(self._free, top, tokens)

    @cached_property
    def chance_variance(self) -> np.ndarray:
        """(draws,) variances of random draws of as many tokens as the picks have."""
        x, draws = self.variance_band(tokens=True)
        return np.array([np.exp(np.interp(self.picked_tokens, x, np.log(each))) for each in draws])

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


def control_bar(session: Session) -> tuple[Selector, int, str]:
    """Selector, seed and unit."""
    names = query_widgets.offered(aimed=bool(session.choice.target))
    if session.choice.target:  # the first is where the box begins
        names = [targets.AIMED, *(name for name in names if name != targets.AIMED)]
    labels = {find_selector(name).label: name for name in names}
    _check_target(session)
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
        help="The rule that chooses sentences.\n\n" + "\n".join(f"- {selector_help(find_selector(n))}" for n in names),
    )
    with form:
        selector = make_selector(str(name), selector_form(find_selector(str(name))))
    said = (
        "Sentences as in the paper, percent of the pool, or trained tokens. TokenOD prefers long sentences, so compare "
        "selectors at equal tokens too: the chart's axis follows this switch."
    )
    unit = query_widgets.segmented("Budget in", UNITS, "unit", place=middle, help=helped(said, "equal tokens"))
    said = "Seed for selectors that draw at random; the same seed gives the same picks."
    seed = query_widgets.seed(right, said, disabled=not selector.random)
    return selector, seed if selector.random else 0, unit


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
        f"{wanted.label} chooses for a target, and none is set yet: say under “Good at” what the model should get good at. Until "
        f"then the picks of {find_selector(DEFAULT_SELECTOR).label} are shown.",
        icon=":material/target:",
    )


def view_of(embedded: Embedded, session: Session) -> ExploreView:
    """Draw the controls and compute what they ask for."""
    pool = embedded.pool
    selector, seed, unit = control_bar(session)
    plain = cached.order_now(pool, selector, seed)
    if pool.target is None:
        budget = budget_slider(pool, plain, unit, session)
    else:
        left, right = st.columns([5, 1], vertical_alignment="center")
        with left:
            budget = budget_slider(pool, plain, unit, session)
        with right:
            targets.choose_further(pool, selector, len(plain))
    given, order = pool, plain
    if selector.heeds_pins and (session.pinned or session.excluded):
        given = pool.given(session.pinned, session.excluded)
        wanted = budget
        if budget.sentences is not None:  # a little more, so that a nudge of the budget computes nothing
            steps = -(-max(budget.sentences, len(given.pinned)) // WHAT_IF_STEP) * WHAT_IF_STEP
            wanted = Budget(sentences=min(len(given) - len(given.excluded), steps))
        order = cached.what_if(given, selector, seed, wanted, plain)
    n = max(1, min(len(order), budget.cut(pool.tokens[order.positions]) or len(order)))
    if budget.tokens is not None:
        n = max(1, int(within_tokens(pool.tokens[order.positions], np.array([budget.tokens]))[0]))
    return ExploreView(embedded.choice, embedded.corpus, embedded.whole, given, selector, seed, plain, order, n, unit)


def budget_slider(pool: Pool, order: Order, unit: str, session: Session) -> Budget:
    """The budget; its range is what `order` was computed to."""
    N, most = len(pool), len(order)
    usual = max(1, min(120, most, N // 8))
    note = "" if most == N else f" The first {most:,} picks of {N:,} are computed."
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
    least, total = int(tokens[0]), int(tokens.sum())
    said = "The longest prefix of the picks with at most this many trained tokens." + note
    start = max(least, int(tokens[:usual].sum()))
    return Budget(tokens=query_widgets.slide("Budget: trained tokens", least, total, start, "tokens", said))


def choose_view() -> str:
    """The map, or the player, where a phone begins."""
    return query_widgets.segmented(
        "Show",
        SHOWN,
        "view",
        default="player" if components.touch() else "map",  # plotly's points take no taps
        help="The map is for exploring; the player shows the picks one by one, with their gains and the ellipse.",
    )


def map_controls(view: ExploreView, session: Session, playing: bool) -> tuple[str, str, np.ndarray | None]:
    """Which map, coloured by what (the player has colours of its own), and which of its records search and filters leave.

    None where nothing is searched or filtered.
    """
    left, form, middle, right = st.columns([3, 2, 3, 2], vertical_alignment="bottom")
    said = "Finds records that contain all the words, in any order and case; they are highlighted on the map."
    found = components.search("Search", "q", said, left)
    with form:
        matched = _filters(view, session)
    colour = "selection"
    if not playing:
        colour = query_widgets.select(
            "Colour by",
            [*COLOURS, *(c for c in view.corpus.colourable if c not in COLOURS)],
            "colour",
            place=middle,
            says="selection, pick order, tokens or a column",
            help="Picks stay larger and on top, whatever the colours show.",
        )
    kind = maps.kind(view.everything, middle if playing else right)
    if found:
        hits = np.array([found(view.corpus.texts[i]) for i in view.everything.index])
        matched = hits if matched is None else hits & matched
    if matched is not None:
        picked = int((matched & (view.on_map(view.rank) > 0)).sum())
        st.caption(f"{int(matched.sum()):,} of {len(view.everything):,} sentences, {picked:,} of them selected")
    return kind, str(colour), matched


def _filters(view: ExploreView, session: Session) -> np.ndarray | None:
    """Which records on the map have some values of a column and some lengths; None where nothing is filtered."""
    pool = view.everything
    tokens = pool.tokens
    span = (int(tokens.min()), int(tokens.max()))
    columns = {c: view.corpus.fields[c].map(str).to_numpy()[pool.index] for c in view.corpus.categories[:MOST_COLUMNS]}
    offered = {column: sorted(set(values)) for column, values in columns.items()}
    start = _from_address(session, offered, span)
    mask, codes, written = np.ones(len(pool), dtype=bool), [], {"length": ""}
    with st.popover("Filter", icon=":material/filter_alt:", help="Filter by a column's values and by length.", width="stretch"):
        for column, values in columns.items():
            chosen = st.multiselect(
                escape_markdown(one_line(column, 24)),
                offered[column],
                key=f"filter {column}",
                format_func=lambda v: visible_text(one_line(v, 60)),
                placeholder="any",
                help="Only records with one of these values.",
            )
            if chosen:
                mask &= np.isin(values, chosen)
                codes += [code_of(column, value) for value in chosen]
        if span[0] < span[1]:
            key = f"filter tokens {span[0]} {span[1]} {start}"
            low, high = st.slider("Trained tokens", *span, start, key=key, help="Only records whose length is in this range.")
            mask &= (tokens >= low) & (tokens <= high)
            if (low, high) != span:
                written["length"] = f"{low}-{high}"
    written["filter"] = ",".join(sorted(codes))
    for name, value in written.items():
        write_value(name, value)
    st.session_state["filters_written"] = written
    return None if mask.all() else mask


def code_of(column: str, value: str) -> str:
    """What stands for a column's value in an address, where no text of a corpus may be."""
    return hashlib.sha256(f"{column}\0{value}".encode("utf-8", "replace")).hexdigest()[:8]


def _from_address(session: Session, offered: dict[str, list[str]], span: tuple[int, int]) -> tuple[int, int]:
    """Apply the filters of a link, name those that cannot be met, and return where the slider of lengths begins."""
    asked = {key: st.query_params.get(key, "") for key in ("filter", "length")}
    if asked != st.session_state.get("filters_written", {"filter": "", "length": ""}):
        unknown = dict.fromkeys(code for code in asked["filter"].split(",") if code)
        codes = set(unknown)
        for column, values in offered.items():
            found = {value: code for value in values if (code := code_of(column, value)) in codes}
            st.session_state[f"filter {column}"] = list(found)
            unknown = {code: None for code in unknown if code not in found.values()}
        session.notices += [f"filter {code[:24]} (matches no value of this corpus)" for code in unknown]
        low, _, high = asked["length"].partition("-")
        fits = low.isdigit() and high.isdigit() and span[0] <= int(low) <= int(high) <= span[1]
        st.session_state["lengths_start"] = (int(low), int(high)) if fits else span
        if asked["length"] and not fits:
            session.notices.append(f"length {asked['length'][:24]} ({span[0]:,} to {span[1]:,} trained tokens)")
    start: tuple[int, int] = st.session_state.get("lengths_start", span)
    return start if span[0] <= start[0] <= start[1] <= span[1] else span  # another corpus has other lengths
