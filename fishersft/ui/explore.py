"""The panels of the Explore page, and the view they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from fishersft import explain, plots
from fishersft.corpus import export
from fishersft.corpus.records import Corpus
from fishersft.curves.gain import Curve, band_curve, draw_orders, within_tokens
from fishersft.design.certificate import share_of_optimum
from fishersft.runs.pipeline import Band, selection_table
from fishersft.selectors import Budget, Order, Pool, Selector, find_selector, make_selector, registry
from fishersft.ui import cached, components
from fishersft.ui.components import number, spread, tile
from fishersft.ui.session import Choice, Session

UNITS = ("sentences", "percent", "tokens")
MOST_ROWS = 2_000
TEXT_WIDTH = 400


@dataclass(frozen=True)
class View:
    """What is on the screen: a pool, an order and how much of it is selected.

    Attributes:
        order: the selector's, as far as it was computed.
        n: picks selected.
        reference: TokenOD's order, which the certificate comes from.
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
    names = list(registry())
    _check(session, "selector", lambda v: v in names, "the selector")
    _check(session, "unit", lambda v: v in UNITS, "the unit")
    _check(session, "seed", lambda v: v.isdigit() and int(v) < 10**6, "the seed")
    left, middle, right = st.columns([3, 3, 2], vertical_alignment="bottom")
    name = left.selectbox(
        "Selector", names, key="selector", bind="query-params", format_func=lambda s: find_selector(s).label,
        help="The rule that chooses. " + " ".join(f"**{k.label}**: {k.summary}" for k in registry().values()),
    )  # fmt: skip
    unit = middle.segmented_control(
        "Budget in", UNITS, default="sentences", required=True, key="unit", bind="query-params",
        help="Sentences as in the paper, percent of the pool, or trained tokens. TokenOD prefers long sentences, so compare "
        "selectors at equal tokens too: the chart's axis follows this switch.",
    )  # fmt: skip
    seed = right.number_input(
        "Seed", 0, 10**6 - 1, 0, key="seed", bind="query-params",
        disabled=name != "uniform", help="For selectors that draw at random; the same seed gives the same picks.",
    )  # fmt: skip
    return make_selector(str(name)), int(seed) if name == "uniform" else 0, str(unit)


def budget_slider(pool: Pool, order: Order, unit: str, session: Session) -> int:
    """The budget, as a number of picks."""
    N, most = len(pool), len(order)
    usual = max(1, min(120, most, N // 8))
    tokens = pool.tokens[order.positions]
    note = "" if most == N else f" The first {most:,} picks of {N:,} are computed."
    if unit == "sentences":
        _check(session, "sentences", lambda v: v.isdigit() and 1 <= int(v) <= most, f"the budget (1 to {most:,} sentences)")
        return _slide("Budget: sentences", 1, max(most, 2), usual, "sentences", "How many sentences to select." + note)
    if unit == "percent":
        top = max(1.0, round(100 * most / N, 1))
        _check(session, "percent", lambda v: _number(v) and 0 < float(v) <= top, f"the budget (up to {top:g} %)")
        share = st.slider(
            "Budget: percent of the pool", 0.1, float(top), float(min(10.0, top)), 0.1, key="percent", format="%.1f %%",
            bind="query-params", help="Share of the pool's sentences." + note,
        )  # fmt: skip
        return min(most, max(1, round(share / 100 * N)))
    least, total = int(tokens[0]), int(tokens.sum())
    _check(
        session, "tokens", lambda v: v.isdigit() and least <= int(v) <= total, f"the budget ({least:,} to {total:,} tokens)"
    )
    limit = _slide(
        "Budget: trained tokens", least, max(total, least + 1), max(least, int(tokens[:usual].sum())), "tokens",
        "The longest prefix of the picks with at most so many trained tokens." + note,
    )  # fmt: skip
    return max(1, int(within_tokens(tokens, np.array([limit]))[0]))


def _slide(label: str, low: int, high: int, value: int, key: str, help: str) -> int:
    return min(high, int(st.slider(label, low, high, value, 1, key=key, format="localized", bind="query-params", help=help)))


def _number(text: str) -> bool:
    try:
        return np.isfinite(float(text))
    except ValueError:
        return False


def _check(session: Session, key: str, fits: Callable[[str], bool], what: str) -> None:
    """Streamlit drops an address value that does not fit without a word; we say so."""
    value = st.query_params.get(key)
    if value is not None and key not in st.session_state and not fits(value):
        session.notices.append(f"The address asks for {key}={value[:24]}, which does not fit {what}; the usual value is shown.")


def map_panel(view: View, session: Session, kind: str, colour: str, matched: np.ndarray) -> None:
    """The map: click a point for its reasons, draw a lasso for a set."""
    position = view.position_of(session.record)
    nearest = None
    if position is not None:
        nearest = explain.nearest_of(view.pool.embeddings.means, position, view.order.positions[: view.n])[0]
    xy = cached.map_of(view.pool.embeddings.key, kind.lower(), view.pool.embeddings)
    values = None
    if colour == "tokens":
        values = view.pool.tokens
    elif colour in view.fields.columns:
        values = view.fields[colour].to_numpy(dtype=object)[view.pool.index]
    points = plots.Points(xy, view.pool.index, view.rank, matched)
    drawn = plots.sentence_map(
        points, colour_by=colour, values=values, selector=view.selector.name, focus=position, neighbour=nearest,
        equal_axes=kind == "PCA", dark=components.dark(),
    )  # fmt: skip
    key = f"map-{session.generation}"

    def chosen() -> None:
        session.lasso = ()
        found = [int(np.ravel(p["customdata"])[0]) for p in st.session_state[key]["selection"]["points"] if "customdata" in p]
        if len(found) == 1:
            session.record = found[0]
        elif found:
            session.lasso = tuple(found)

    st.plotly_chart(
        drawn, theme=None, key=key, on_select=chosen, selection_mode=("points", "lasso", "box"),
        config={"displaylogo": False, "scrollZoom": True, "modeBarButtonsToRemove": ["autoScale2d", "toImage"]},
        alt=f"{kind} map of {len(view.pool):,} sentences; the {view.n:,} picks of {view.selector.label} are larger and on top.",
    )  # fmt: skip
    sampled = len(view.pool) > plots.MOST_POINTS
    st.caption(
        f"{kind} of sentence means ({len(view.pool):,} sentences, {view.pool.embeddings.dimension} dimensions): for the eye only, "
        f"the choice happens on token rows. Click a point to see why; drag with the lasso for a set."
        + (f" {plots.MOST_POINTS:,} points are drawn: every pick and an even sample of the rest." if sampled else "")
    )


def map_controls(view: View, session: Session) -> tuple[str, str, np.ndarray]:
    """Which map, coloured by what, and (N,) bool: the records that hold every word of the search."""
    columns = [c for c in view.corpus.categories if c not in ("selection", "pick order", "tokens")]
    options = ["selection", "pick order", "tokens", *columns]
    _check(session, "colour", lambda v: v in options, "the colours of this corpus")
    left, middle, right = st.columns([3, 3, 2], vertical_alignment="bottom")
    words = left.text_input(
        "Search", key="q", bind="query-params", type="search", placeholder="words in the text",
        help="Records that hold all the words, in any order and case; they light up on the map.", max_chars=200,
    ).lower().split()  # fmt: skip
    colour = middle.selectbox(
        "Colour by", options, key="colour", bind="query-params",
        help="Picks stay larger and on top whatever the colour shows.",
    )  # fmt: skip
    kind = right.segmented_control(
        "Map", ["UMAP", "PCA"], default="UMAP", required=True, key="map", bind="query-params",
        help="UMAP keeps neighbours together; PCA is the flat shadow along the two widest directions.",
    )  # fmt: skip
    matched = np.zeros(len(view.pool), dtype=bool)
    if words:
        texts = [view.corpus.texts[i].lower() for i in view.pool.index]
        matched = np.array([all(w in t for w in words) for t in texts])
        picked = int((matched & (view.rank > 0)).sum())
        left.caption(f"{int(matched.sum()):,} of {len(view.pool):,} sentences, {picked:,} of them selected")
    return str(kind), str(colour), matched


def gain_panel(view: View) -> None:
    """What the picks gain, beside chance and sheer length."""
    tokens = view.unit == "tokens"
    unit = "trained tokens" if tokens else "sentences"
    at, f = view.gain
    spent = np.cumsum(view.pool.tokens[view.order.positions])
    b = view.band
    x = b.tokens if tokens else b.sentences
    reach = int(spent[-1]) if tokens else len(view.order)
    inside = x <= reach
    draws = (b.uniform_by_tokens if tokens else b.uniform_by_sentences)[:, inside]
    longest = (b.longest_by_tokens if tokens else b.longest_by_sentences)[inside]
    curves = [("uniform", band_curve("Uniform", x[inside], draws, unit))]
    known = view.reference
    steps = np.cumsum(view.pool.tokens[known.positions]) if tokens else np.arange(1, len(known) + 1)
    within = steps <= reach
    curves.append(("token_od", Curve("TokenOD", steps[within], np.cumsum(known.gains)[within], unit)))
    if view.selector.name not in ("longest", "token_od"):
        curves.append((view.selector.name, Curve(view.selector.label, spent[at - 1] if tokens else at, f, unit)))
    curves.append(("longest", Curve("Longest", x[inside], longest, unit)))  # last: it hides under TokenOD otherwise
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    left.markdown(f"**log det gained, by {unit}**")
    log = right.toggle("Log axes", key="log", bind="query-params")
    drawn = plots.gain_curves(curves, budget=view.picked_tokens if tokens else view.n, log=log, dark=components.dark())
    st.plotly_chart(
        drawn, theme=None, config={"displayModeBar": False}, key="gain-chart",
        alt=f"log det gained in nats against {unit}: {view.selector.label}, 20 uniform draws as a band, and the longest first.",
    )  # fmt: skip
    st.caption(
        f"Grey: mean and full range of {len(draws)} uniform draws; dashed: the longest first; dotted: your budget."
    )


def tiles(view: View) -> None:
    """The selection in numbers, each with what chance would give."""
    N, n = len(view.pool), view.n
    total = int(view.pool.tokens.sum())
    orders = draw_orders(N)
    drawn = view.pool.tokens[orders[:, :n]].sum(1)
    b = view.band
    tokens = view.unit == "tokens"
    x, y = (b.tokens, b.uniform_by_tokens) if tokens else (b.sentences, b.uniform_by_sentences)
    at = view.picked_tokens if tokens else n
    chance = [float(np.interp(at, x, row)) for row in y]
    bound = float(view.reference.optimum_bounds[min(n, len(view.reference)) - 1])
    first, second = st.columns(2)
    with first:
        tile("Selected", f"{n:,} of {N:,}", "Sentences selected of the pool; held-out and blank records are not in it.",
             f"{n / N:.1%} of the pool")  # fmt: skip
        tile("log det gained", f"{number(view.f, 4)} nats", "f(S) = log det V(S) - log det V(empty), under TokenOD's criterion.",
             f"uniform, same {'tokens' if tokens else 'n'}: {spread(chance)}")  # fmt: skip
    with second:
        tile("Trained tokens", f"{view.picked_tokens:,}", "Tokens that fine-tuning on the selection would train on.",
             f"uniform, same n: {spread(drawn)} of {total:,}")  # fmt: skip
        tile(f"Of the best {n:,} sentences", f"at least {share_of_optimum(view.f, bound):.1%}",
             "Proven, not estimated (Minoux 1978): no selection of as many sentences has a log det so large that this share "
             "would be smaller.", "of the best log det any could gain")  # fmt: skip
    for column in view.corpus.categories[:1]:
        values = view.fields[column].map(str).to_numpy()[view.pool.index]
        there = len(set(values))
        chance = [len(set(values[o[:n]])) for o in orders]
        covered = len(set(values[view.order.positions[:n]]))
        tile(f"{components.one_line(column, 24)}: values covered", f"{covered} of {there}",
             "How many different values of this column the selection holds.", f"uniform, same n: {spread(chance)}")  # fmt: skip


def table_panel(view: View, session: Session, matched: np.ndarray) -> None:
    """Picks in order, or the lasso's set, or what the search found; a row opens its reasons."""
    inside = np.isin(view.pool.index, session.lasso)
    options = ["picks", "all"] + (["lasso"] if session.lasso else [])
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    show = left.segmented_control(
        "Table of", options, default="lasso" if session.lasso else "picks", required=True, key=f"show-{session.lasso}",
        format_func=lambda o: {"picks": f"the {view.n:,} picks", "all": f"all {len(view.pool):,}",
                               "lasso": f"the lasso's {int(inside.sum()):,}"}[o],
    )  # fmt: skip
    if session.lasso and right.button("Clear the lasso", icon=":material/deselect:"):
        session.lasso = ()
        session.generation += 1
        st.rerun()
    keep = {"picks": view.rank > 0, "all": np.ones(len(view.pool), bool), "lasso": inside}[str(show)]
    if matched.any():
        keep = keep & matched
    positions = np.flatnonzero(keep)
    positions = positions[np.argsort(np.where(view.rank[positions] > 0, view.rank[positions], len(view.pool) + 1), kind="stable")]
    if not len(positions):
        st.info("No record matches; clear the search or the lasso.", icon=":material/search_off:")
        return
    cut = positions[:MOST_ROWS]
    table = _table(view, cut)
    key = f"table-{view.selector.name}-{view.n}-{show}-{hash(cut.tobytes())}"

    def chosen() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        session.record = int(view.pool.index[cut[rows[0]]]) if rows else session.record

    st.dataframe(
        table, hide_index=True, height=380, key=key, on_select=chosen, selection_mode="single-row", row_height=34,
        alt="The selected sentences in the order they were picked" if show == "picks" else "Sentences of the pool",
        column_config={
            "pick": st.column_config.NumberColumn("pick", width=60, help="Place in the order; blank where not selected."),
            "record": st.column_config.NumberColumn("record", width=70, help="Number in the corpus, from 0."),
            "gain": st.column_config.NumberColumn("gain (nats)", width=90, format="%.2f", help="log det gained when it was picked."),
            "tokens": st.column_config.NumberColumn("tokens", width=70, help="Trained tokens."),
            "text": st.column_config.TextColumn("text", width="large"),
        },
    )  # fmt: skip
    picked = int((view.rank[positions] > 0).sum())
    st.caption(
        f"{len(positions):,} rows, {picked:,} of them selected. Click the box before a row to see why."
        + (f" The first {MOST_ROWS:,} are shown." if len(positions) > MOST_ROWS else "")
    )


def _table(view: View, positions: np.ndarray) -> pd.DataFrame:
    rank = view.rank[positions]
    gains = np.full(len(positions), np.nan)
    if view.selector.name == "token_od":
        gains[rank > 0] = view.order.gains[rank[rank > 0] - 1]
    records = view.pool.index[positions]
    table = pd.DataFrame({"pick": pd.array([int(r) if r else None for r in rank], dtype="Int64"), "record": records})
    if view.selector.name == "token_od":
        table["gain"] = gains
    table["tokens"] = view.pool.tokens[positions]
    for column in view.corpus.categories[:2]:
        table[f" {column}"] = view.fields[column].map(lambda v: "" if v is None or v != v else str(v)).to_numpy()[records]
    table["text"] = [components.one_line(view.corpus.texts[r], TEXT_WIDTH) for r in records]
    return table


def why_panel(view: View, session: Session) -> None:
    """Why this sentence: its gain, split over its tokens."""
    st.subheader("Why this sentence?", anchor="why")
    if session.record is None:
        st.info("Click a point on the map or a row of the table: its gain, token by token, appears here.", icon=":material/ads_click:")
        return
    position = view.position_of(session.record)
    if position is None:
        there = 0 <= session.record < len(view.corpus)
        reason = "is held out or has no trained token, so no selector sees it" if there else "is not in this corpus"
        st.warning(f"Record {session.record:,} {reason}.", icon=":material/visibility_off:")
        return
    found = explain.why(view.pool.embeddings, view.order.positions, view.n, position)
    label = view.selector.label
    if found.picked:
        st.markdown(f"Record {session.record:,} is **pick {found.rank:,}** of {label}. Its gain when it was picked:")
    elif found.rank:
        st.markdown(f"Record {session.record:,} is not selected; {label} would take it as **pick {found.rank:,}**. Its gain now:")
    else:
        st.markdown(f"Record {session.record:,} is not among the first {len(view.order):,} picks of {label}. Its gain now:")
    left, right = st.columns([3, 2])
    with left:
        texts, trained = cached.pieces(
            view.corpus.fingerprint, cached.folder(view.choice).fingerprint, session.record, view.corpus, cached.folder(view.choice)
        )
        components.heat_map(texts, trained, found.token_gains, components.dark())
    with right:
        one, two = st.columns(2)
        with one:
            tile("Gain", f"{number(found.gain)} nats", f"With {found.before:,} sentences in the design before it.",
                 f"{number(found.gain / len(found.token_gains))} a token")  # fmt: skip
        with two:
            lengths = view.pool.tokens
            tile("Length", f"{lengths[position]:,} tokens", "Trained tokens of this record.",
                 f"pool median {int(np.median(lengths)):,}")  # fmt: skip
        _strongest(texts, trained, found.token_gains)
    if found.nearest is not None:
        record = int(view.pool.index[found.nearest])
        st.markdown(
            f"**Nearest selected sentence**: record {record:,}, pick {int(view.rank[found.nearest]):,} "
            f"(cosine {found.similarity:.2f} of centred means)"
        )
        st.text(components.visible_text(view.corpus.texts[record]))


def _strongest(texts: Any, trained: np.ndarray, gains: np.ndarray) -> None:
    names = [t for t, is_trained in zip(texts, trained, strict=True) if is_trained]
    top = np.argsort(-gains, kind="stable")[:5]
    table = pd.DataFrame({"token": [components.visible(names[i]).strip() or "(space or end)" for i in top], "gain (nats)": gains[top]})
    st.dataframe(
        table, hide_index=True, row_height=30, alt="The five tokens with the largest gains",
        column_config={"gain (nats)": st.column_config.NumberColumn(format="%.3f")},
    )  # fmt: skip


def downloads(view: View) -> None:
    """The picks as files, and the calls that make the same."""
    budget = Budget(sentences=view.n)
    selection = view.selector.cut(view.pool, view.order, budget, view.seed)
    row = st.container(horizontal=True, vertical_alignment="center")
    row.markdown(f"Download the {view.n:,} picks:")
    for format in export.FORMATS:
        row.download_button(
            format, data=lambda f=format: export.to_bytes(selection_table(view.corpus, selection), f),
            file_name=f"{view.selector.name}-{view.n}.{format}", key=f"download-{format}", on_click="ignore",
            help=f"rank, index, gain, tokens and the record's own fields, as {format}",
        )  # fmt: skip
    amount = ("--token-budget", str(view.picked_tokens)) if view.unit == "tokens" else ("--budget", str(view.n))
    seed = ("--seed", str(view.seed)) if view.seed else ()
    command = view.choice.command("--selector", view.selector.name, *amount, *seed, "--out", "picks.jsonl")
    source = view.choice.title if view.choice.corpus.startswith("upload:") and view.choice.title else view.choice.corpus
    keywords = "".join(f", {k}={v!r}" for k, v in view.choice.load_options.items())
    what = f"{amount[0].removeprefix('--').replace('-', '_')}={amount[1]}"
    python = (
        "import fishersft\n\n"
        f"corpus = fishersft.load_corpus({source!r}{keywords})\n"
        f"picks = fishersft.select(corpus, {view.choice.model!r}, selector={view.selector.name!r}, {what}, seed={view.seed})\n"
        "picks.indices, picks.gains"
    )
    components.footer(command, python)
