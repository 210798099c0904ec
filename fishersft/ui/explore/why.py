"""Why this sentence?  One record explained: token by token, by direction, at any budget, under every selector, by neighbours."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.design.trajectory import Curve, grid
from fishersft.errors import FisherSFTError
from fishersft.plots import base as plots
from fishersft.scoring import why
from fishersft.selectors import Selector, make_selector, registry
from fishersft.text import duration, visible, visible_text
from fishersft.ui import cached, components, learn
from fishersft.ui.compare import view as compare_view
from fishersft.ui.components import dark, escape_markdown, number, tile
from fishersft.ui.explore import what_if
from fishersft.ui.explore.view import ExploreView
from fishersft.ui.session import Session, public

AT_ONCE = 1.0  # seconds that an order may take without being asked for
NEIGHBOURS = 8
ALONG = 3  # records named that lie along a direction
POINTS = 14  # budgets at which a gain is weighed
PARTS = ("direction", "budgets", "ranks", "neighbours")


def why_panel(view: ExploreView, session: Session) -> None:
    """Why this sentence: its gain, split over its tokens."""
    row = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    row.subheader(
        "Why this sentence?",
        anchor="why",
        help=learn.helped("How much each of its tokens adds to its gain, in nats.", "token gain", "gain"),
    )
    if session.record is not None and row.button("Clear", icon=":material/close:", help="Deselect the sentence."):
        session.record = None
        session.generation += 1
        st.rerun()
    _goto(view, session)
    if session.record is None:
        st.info(
            "Click a point on the map or a row of the table to see its gain here, token by token.", icon=":material/ads_click:"
        )
        return
    position = components.position_of(view.pool, session.record)
    if position is None:
        there = 0 <= session.record < len(view.corpus)
        reason = "is held out or has no trained token, so no selector sees it" if there else "is not in this corpus"
        st.warning(f"Record {session.record:,} {reason}.", icon=":material/visibility_off:")
        return
    found = why.why(view.pool.embeddings, view.order.positions, view.n, position)
    label = view.selector.label
    what_if.pin_buttons(view, session, session.record)
    if found.picked:
        st.markdown(f"Record {session.record:,} is **pick {found.rank:,}** of {label}. Its gain when it was picked:")
    elif found.rank:
        st.markdown(f"Record {session.record:,} is not selected; {label} would take it as **pick {found.rank:,}**. Its gain now:")
    else:
        st.markdown(f"Record {session.record:,} is not among the first {len(view.order):,} picks of {label}. Its gain now:")
    texts, trained = view.pieces(session.record)
    components.heat_map(texts, trained, found.token_gains)
    with st.container(horizontal=True):
        tile(
            "Gain",
            f"{number(found.gain)} nats",
            learn.helped(f"With {found.before:,} sentences in the design before it.", "gain"),
            f"{number(found.gain / len(found.token_gains))} per token",
        )
        tile(
            "Length",
            f"{view.pool.tokens[position]:,} tokens",
            learn.helped("Trained tokens of this record.", "length"),
            f"pool median {int(np.median(view.pool.tokens)):,}",
        )
        _perplexity_tile(view, position)
    _strongest(texts, trained, found.token_gains)
    if found.nearest is not None:
        record = int(view.pool.index[found.nearest])
        st.markdown(
            f"**Nearest selected sentence**: record {record:,}, pick {int(view.rank[found.nearest]):,} "
            f"(cosine {found.similarity:.2f} of centred means)"
        )
        st.text(visible_text(view.corpus.texts[record], 600))
    _more(view, session, position, found)


def _goto(view: ExploreView, session: Session) -> None:
    """Go to a record by its number, for those who use the keyboard or know the number."""
    key = f"goto-{session.record}"

    def gone() -> None:
        asked = st.session_state[key]
        session.record = session.record if asked is None else int(asked)

    st.number_input(
        "Record number",
        0,
        max(0, len(view.corpus) - 1),
        session.record if session.record is not None and session.record < len(view.corpus) else None,
        key=key,
        on_change=gone,
        placeholder="click the map or a table row, or type a number",
        help="Any record of the pool; a ring marks it on the map.",
    )


def _strongest(texts: list[str], trained: np.ndarray, gains: np.ndarray) -> None:
    """The heat-map's message in words, for those who do not see colours or cannot hover."""
    names = [t for t, is_trained in zip(texts, trained, strict=True) if is_trained]
    top = np.argsort(-gains, kind="stable")[:5]
    listed = ", ".join(f"“{visible(names[i])}” {number(float(gains[i]))}" for i in top)
    st.caption(components.escape_markdown(f"Largest: {listed} nats. All {len(names):,} tokens together give the gain exactly."))


def _perplexity_tile(view: ExploreView, position: int) -> None:
    """How surprising the model finds the record, where its losses are stored."""
    if not cached.has_losses(view.pool):
        return
    tile(
        "Perplexity",
        number(cached.perplexity(view.pool, position)),
        "exp of the mean loss of its trained tokens under the model, before any tuning. Selection by log det ignores it.",
        f"pool median {number(cached.median_perplexity(view.pool))}",
    )


def _more(view: ExploreView, session: Session, position: int, found: why.Why) -> None:
    """One further view of the record at a time, so that only what is looked at is computed."""
    names = {
        "direction": "Direction added",
        "budgets": "At any budget",
        "ranks": "Under every selector",
        "neighbours": "Neighbours",
    }
    part = st.pills("More about this record", PARTS, key="why-more", format_func=names.__getitem__)
    if part == "direction":
        _direction(view, position, found)
    elif part == "budgets":
        _budgets(view, session, position, found)
    elif part == "ranks":
        _ranks(view, position)
    elif part == "neighbours":
        _neighbours(view, session, position)


def _direction(view: ExploreView, position: int, found: why.Why) -> None:
    """Say how much of the gain lies in one direction, which tokens carry it, and which records lie along it."""
    added = cached.direction(view.pool.embeddings, view.order.positions[: found.before], position)
    with st.container(horizontal=True):
        tile(
            "Along one direction",
            f"{added.share:.0%} of the gain",
            learn.helped("The direction in which this record adds most to the design.", "ellipse"),
        )
        tile(
            "Standard error along it",
            f"× {number(added.narrowed)}",
            learn.helped(
                "A linear model's standard error along this direction after adding the record, relative to before.",
                "leverage",
            ),
        )
        tile(
            "Half of the gain",
            f"{added.half} direction{'s' if added.half > 1 else ''}",
            learn.helped("How many of the largest directions together carry half of the gain.", "ellipse"),
        )
    if added.share < 0.1:
        st.caption("The first picks open many directions at once, so no single direction carries much of the gain.")
    top = np.argsort(-added.tokens, kind="stable")[:5]
    record = int(view.pool.index[position])
    texts, trained = view.pieces(record)
    names = [t for t, is_trained in zip(texts, trained, strict=True) if is_trained]
    listed = ", ".join(f"“{visible(names[i])}” {added.tokens[i]:.0%}" for i in top)
    st.caption(escape_markdown(f"Tokens that carry it: {listed}."))
    along = [p for p in np.argsort(-added.along, kind="stable") if p != position][:ALONG]
    st.markdown("**Other records along this direction**, by the mean square of their rows:")
    for p in along:
        pick = f", pick {int(view.rank[p]):,}" if view.rank[p] else ""
        ratio = number(float(added.along[p] / max(added.along[position], 1e-12)))
        st.caption(f"Record {int(view.pool.index[p]):,}{pick}: {ratio} times as much as this one")
        st.text(visible_text(view.corpus.texts[int(view.pool.index[p])], 160))


def _budgets(view: ExploreView, session: Session, position: int, found: why.Why) -> None:
    """What the record would gain after any number of picks: a curve, and the heat-map at a chosen one."""
    top = len(view.order)
    at = tuple(int(k) for k in np.unique(np.concatenate([[0], grid(top, POINTS) if top > POINTS else np.arange(1, top + 1)])))
    f = cached.gain_by_budget(view.pool.embeddings, view.order.positions, at, position)
    curve = Curve(f"gain of record {session.record:,}", np.array(at), f, "sentences")
    drawn = plots.gain_curves([(view.selector.name, curve)], budget=view.n, dark=dark(), height=200)
    drawn.update_layout(yaxis_title_text="gain (nats)", xaxis_title_text="picks already in the design")
    st.plotly_chart(
        drawn,
        theme=None,
        key="gain-by-budget",
        config=components.camera("explore-why"),
        alt="What the record would gain, in nats, against the number of picks before it, with the record itself left out.",
    )
    k = st.slider(
        "Show its gain after this many picks",
        0,
        top,
        min(found.before, top),
        key=f"weigh-{session.record}-{top}",
        help="Gains shrink as the design grows.",
    )
    there = why.why(view.pool.embeddings, view.order.positions, view.n, position, before=k)
    st.markdown(f"After {k:,} picks it gains **{number(there.gain)} nats** (above: {number(found.gain)} after {found.before:,}).")
    texts, trained = view.pieces(int(session.record or 0))
    components.heat_map(texts, trained, there.token_gains)


def _ranks(view: ExploreView, position: int) -> None:
    """Its place under every selector with default parameters; slow selectors run only when asked for."""
    rows, waiting = [], []
    for name, kind in registry().items():
        if kind.reaches_out:
            continue
        selector = make_selector(name)
        order = cached.order(view.pool, selector, 0)
        about = None if order is not None else compare_view.expected(view.pool, selector)
        if order is None and about is not None and about <= AT_ONCE and not public():
            order = cached.order_now(view.pool, selector, 0)
        if order is None:
            waiting.append((selector, about))
            continue
        hit = np.flatnonzero(order.positions == position)
        label = f"{selector.label}, seed 0" if selector.random else selector.label
        rows.append({"selector": label, "rank": int(hit[0]) + 1 if len(hit) else None, "of": len(order)})
    table = pd.DataFrame(rows).astype({"rank": "Int64"}).sort_values("rank", na_position="last")
    st.dataframe(table, hide_index=True, key="ranks", alt="The record's place in the order of each selector")
    st.caption(f"Its place in each order of {len(view.pool):,} records; blank if it comes after the computed picks.")
    _wait(view, waiting)


def _wait(view: ExploreView, waiting: list[tuple[Selector, float | None]]) -> None:
    if not waiting or public():
        return
    known = [about for _, about in waiting if about is not None]
    how_long = f"about {duration(sum(known))}" if len(known) == len(waiting) else "for an unknown time"
    names = ", ".join(selector.label for selector, _ in waiting)
    if st.button(f"Rank it under {len(waiting)} more, {how_long}", icon=":material/hourglass_top:", help=names):
        started = time.monotonic()
        for selector, _ in waiting:
            try:
                cached.order_now(view.pool, selector, 0)
            except FisherSFTError as error:
                components.problem(f"{selector.label}: {error}")
        st.toast(f"Ranked in {duration(time.monotonic() - started)}.")
        st.rerun()


def _neighbours(view: ExploreView, session: Session, position: int) -> None:
    """The most similar records of the whole pool; a row opens one."""
    means = view.pool.embeddings.means
    near, cosines = why.neighbours_of(means, position, np.arange(len(view.pool)), NEIGHBOURS)
    records = view.pool.index[near]
    table = pd.DataFrame(
        {
            "record": records,
            "cosine": np.round(cosines, 2),
            "pick": pd.array([int(r) if r else None for r in view.rank[near]], dtype="Int64"),
            "text": [components.one_line(view.corpus.texts[r]) for r in records],
        }
    )
    key = f"neighbours-{session.record}"

    st.dataframe(
        table,
        hide_index=True,
        key=key,
        on_select=partial(components.open_row, session, key, records),
        selection_mode="single-row",
        placeholder="",
        alt="The most similar records by the cosine of centred sentence means",
    )
    st.caption("Ranked by the cosine of centred sentence means. Click the box before a row to open that record.")
