"""What the Explore page shows, and the controls that decide it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.corpus.records import Corpus
from fishersft.curves.gain import within_tokens
from fishersft.runs.pictures import Band
from fishersft.selectors import Order, Pool, Selector, find_selector, make_selector, registry
from fishersft.ui import cached
from fishersft.ui.parameters import parameters
from fishersft.ui.session import Choice, Session, check_address, public

UNITS = ("sentences", "percent", "tokens")


@dataclass(frozen=True)
class View:
    """What is on the screen: a pool, an order and how much of it is selected.

    Attributes:
        order: the selector's, as far as it was computed.
        n: picks selected.
        reference: TokenOD's order, which the certificate comes from.
        longest: the control's order.
    """

    choice: Choice
    corpus: Corpus
    pool: Pool
    selector: Selector
    seed: int
    order: Order
    n: int
    unit: str
    reference: Order
    longest: Order

    @cached_property
    def picked_tokens(self) -> int:
        return int(self.pool.tokens[self.order.positions[: self.n]].sum())

    @cached_property
    def rank(self) -> np.ndarray:
        """(N,) pick number from 1 for selected records, else 0."""
        out = np.zeros(len(self.pool), dtype=np.int64)
        out[self.order.positions[: self.n]] = np.arange(1, self.n + 1)
        return out

    @cached_property
    def gain(self) -> tuple[np.ndarray, np.ndarray]:
        """Budgets in sentences and f there, nats."""
        at, f = cached.gain_of(
            self.pool.embeddings.key, self.selector, self.seed, len(self.order), self.pool.embeddings, self.order
        )
        return at, f

    @cached_property
    def longest_gain(self) -> tuple[np.ndarray, np.ndarray]:
        """The control's budgets in sentences and f there, nats."""
        rows, control = self.pool.embeddings, make_selector("longest")
        at, f = cached.gain_of(rows.key, control, 0, len(self.longest), rows, self.longest)
        return at, f

    @cached_property
    def band(self) -> Band:
        top = len(self.order)
        most = max(int(self.pool.tokens[o.positions].sum()) for o in (self.order, self.reference))
        return cached.band(self.pool.embeddings.key, top, most, self.pool.embeddings)

    @property
    def f(self) -> float:
        """log det gained by the selection, nats."""
        return float(np.interp(self.n, *self.gain))

    def position_of(self, record: int | None) -> int | None:
        """The pool position of a record's number, or None where it is not in the pool."""
        if record is None:
            return None
        at = int(np.searchsorted(self.pool.index, record))
        return at if at < len(self.pool) and self.pool.index[at] == record else None

    @property
    def fields(self) -> pd.DataFrame:
        return self.corpus.fields


def control_bar(pool: Pool, session: Session) -> tuple[Selector, int, str]:
    """Selector, seed and unit."""
    names = [n for n, kind in registry().items() if not (public() and kind.reaches_out)]
    labels = {find_selector(name).label: name for name in names}
    check_address(session, "selector", lambda v: v in names or v in labels, ", ".join(names))
    if "selector" not in st.session_state and st.query_params.get("selector") in names:
        st.session_state["selector"] = st.query_params["selector"]  # the widget's own address form is the label
    check_address(session, "unit", lambda v: v in UNITS, ", ".join(UNITS))
    check_address(session, "seed", lambda v: v.isdigit() and int(v) < 10**6, "0 to 999,999")
    left, form, middle, right = st.columns([3, 2, 4, 2], vertical_alignment="bottom")
    name = left.selectbox(
        "Selector",
        names,
        key="selector",
        bind="query-params",
        format_func=lambda s: find_selector(s).label,
        help="The rule that chooses.\n\n" + "\n".join(f"- **{registry()[n].label}**: {registry()[n].summary}" for n in names),
    )
    with form:
        selector = make_selector(str(name), parameters(find_selector(str(name))))
    unit = middle.segmented_control(
        "Budget in",
        UNITS,
        default="sentences",
        required=True,
        key="unit",
        bind="query-params",
        help="Sentences as in the paper, percent of the pool, or trained tokens. TokenOD prefers long sentences, so compare "
        "selectors at equal tokens too: the chart's axis follows this switch.",
    )
    seed = right.number_input(
        "Seed",
        0,
        10**6 - 1,
        0,
        key="seed",
        bind="query-params",
        disabled=not selector.random,
        help="For selectors that draw at random; the same seed gives the same picks.",
    )
    return selector, int(seed) if selector.random else 0, str(unit)


def budget_slider(pool: Pool, order: Order, unit: str, session: Session) -> int:
    """The budget, as a number of picks."""
    N, most = len(pool), len(order)
    usual = max(1, min(120, most, N // 8))
    tokens = pool.tokens[order.positions]
    note = "" if most == N else f" The first {most:,} picks of {N:,} are computed."
    if unit == "sentences":
        check_address(session, "sentences", lambda v: v.isdigit() and 1 <= int(v) <= most, f"1 to {most:,}")
        return _slide("Budget: sentences", 1, max(most, 2), usual, "sentences", "How many sentences to select." + note)
    if unit == "percent":
        top = max(1.0, round(100 * most / N, 1))
        check_address(session, "percent", lambda v: _number(v) and 0 < float(v) <= top, f"up to {top:g}")
        share = st.slider(
            "Budget: percent of the pool",
            0.1,
            float(top),
            float(min(10.0, top)),
            0.1,
            key="percent",
            format="%.1f %%",
            bind="query-params",
            help="Share of the pool's sentences." + note,
        )
        return min(most, max(1, round(share / 100 * N)))
    least, total = int(tokens[0]), int(tokens.sum())
    check_address(session, "tokens", lambda v: v.isdigit() and least <= int(v) <= total, f"{least:,} to {total:,}")
    limit = _slide(
        "Budget: trained tokens",
        least,
        max(total, least + 1),
        max(least, int(tokens[:usual].sum())),
        "tokens",
        "The longest prefix of the picks with at most so many trained tokens." + note,
    )
    return max(1, int(within_tokens(tokens, np.array([limit]))[0]))


def _slide(label: str, low: int, high: int, value: int, key: str, help: str) -> int:
    return min(high, int(st.slider(label, low, high, value, 1, key=key, format="localized", bind="query-params", help=help)))


def _number(text: str) -> bool:
    try:
        return np.isfinite(float(text))
    except ValueError:
        return False


def map_controls(view: View, session: Session) -> tuple[str, str, np.ndarray | None]:
    """Which map, coloured by what, and (N,) bool: the records that hold every word of the search, None without one."""
    columns = [c for c in view.corpus.colourable if c not in ("selection", "pick order", "tokens")]
    options = ["selection", "pick order", "tokens", *columns]
    check_address(session, "colour", lambda v: v in options, "selection, pick order, tokens or a column")
    check_address(session, "map", lambda v: v in ("UMAP", "PCA"), "UMAP or PCA")
    left, middle, right = st.columns([3, 3, 2], vertical_alignment="bottom")
    words = (
        left.text_input(
            "Search",
            key="q",
            bind="query-params",
            type="search",
            placeholder="words in the text",
            help="Records that hold all the words, in any order and case; they light up on the map.",
            max_chars=200,
        )
        .lower()
        .split()
    )
    colour = middle.selectbox(
        "Colour by",
        options,
        key="colour",
        bind="query-params",
        help="Picks stay larger and on top whatever the colour shows.",
    )
    kind = right.segmented_control(
        "Map",
        ["UMAP", "PCA"],
        default="UMAP",
        required=True,
        key="map",
        bind="query-params",
        help="UMAP keeps neighbours together; PCA is the flat shadow along the two widest directions.",
    )
    matched = None
    if words:
        texts = [view.corpus.texts[i].lower() for i in view.pool.index]
        matched = np.array([all(w in t for w in words) for t in texts])
        picked = int((matched & (view.rank > 0)).sum())
        left.caption(f"{int(matched.sum()):,} of {len(view.pool):,} sentences, {picked:,} of them selected")
    return str(kind), str(colour), matched
