"""Why this sentence, and what if?  One record explained; records pinned in or out; a sentence of the visitor's own.

A record is explained token by token, by direction, at any budget, under every selector, and by its neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.design.information import design_matrix, token_gains
from fishersft.design.trajectory import Curve, grid
from fishersft.errors import FisherSFTError
from fishersft.plots import base as plots
from fishersft.scoring import why
from fishersft.selectors import DEFAULT_SELECTOR, Selector, make_selector, registry
from fishersft.text import counted, duration, visible, visible_text
from fishersft.ui import cached, cached_target, components
from fishersft.ui.address import MOST_PINS
from fishersft.ui.components import dark, escape_markdown, fact, helped, number, tile
from fishersft.ui.explore.view import ExploreView
from fishersft.ui.session import Session, public

AT_ONCE = 1.0  # seconds that an order may take without being asked for
NEIGHBOURS = 8
HELPED = 3  # target texts named
ALONG = 3  # records named that lie along a direction
POINTS = 14  # budgets at which a gain is weighed
LONGEST_TEXT = 2_000


def why_panel(view: ExploreView, session: Session) -> None:
    """Why this sentence: its gain, split over its tokens; at first of the first pick."""
    record = view.record
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    said = "How much each of its tokens adds to its gain, in nats."
    row.header("Why this sentence?", help=helped(said, "token gain", "gain"), anchor=False, width="stretch")
    position = components.position_of(view.pool, record)
    with row:
        if position is not None:
            _pin_buttons(view, session, record)
        _goto(view, session)
    if session.record is not None:
        clear = partial(setattr, session, "record", None)
        row.button("Clear", icon=":material/close:", help="Back to the first pick.", type="tertiary", on_click=clear)
    if position is None:
        st.warning(f"Record {record:,} {_unseen(view, record)}.", icon=":material/visibility_off:")
        return
    found = why.why(view.pool.embeddings, view.order.positions, view.n, position)
    label = view.selector.label
    if found.picked:
        best = view.selector.name == DEFAULT_SELECTOR and view.pool.is_free
        why_then = " No other sentence would have added more then." if best else ""
        st.markdown(f"Record {record:,} is **pick {found.rank:,}** of {label}.{why_then} What each token added:")
    elif found.rank:
        st.markdown(
            f"Record {record:,} is not selected; {label} would take it as **pick {found.rank:,}**. What each token would add now:"
        )
    else:
        st.markdown(
            f"Record {record:,} is not among the first {len(view.order):,} picks of {label}. What each token would add now:"
        )
    texts, trained = view.pieces(record)
    components.heat_map(texts, trained, found.token_gains, low=True)
    with st.container(horizontal=True, gap="small"):
        gain = number(found.gain)
        said = f"With {found.before:,} sentences in the design before it."
        fact("Gain", f"{gain} nats", helped(said, "gain"), f"{number(found.gain / len(found.token_gains))} a token")
        usual = f"median {int(np.median(view.pool.tokens)):,}"
        fact(
            "Length",
            f"{len(found.token_gains):,} tokens",
            helped("Trained tokens of this record, and the median of the pool.", "length"),
            usual,
        )
        if cached.has_losses(view.pool):
            said = (
                "exp of the mean loss of its trained tokens under the model, before any tuning, and the median of the pool. "
                "Selection by log det ignores it."
            )
            all_of_pool = cached.perplexities(view.pool)
            usual = f"median {number(float(np.median(all_of_pool)))}"
            fact("Perplexity", number(float(all_of_pool[position])), said, usual)
    # the heat map in words, for those who do not see colours or cannot hover
    listed = _largest(texts, trained, found.token_gains, number)
    st.caption(
        escape_markdown(
            f"Largest: {listed} nats. The gains of all {int(trained.sum()):,} tokens add up exactly to that of the sentence."
        )
    )
    # one further view at a time, so that only what is looked at is computed
    further: dict[str, tuple[str, Callable[[], None]]] = {}
    if view.pool.target is not None:
        further["target"] = ("For the target", partial(_for_target, view, position, found))
    if found.nearest is not None:
        further["nearest"] = ("Nearest pick", partial(_nearest, view, found))
    further |= {
        "direction": ("Direction", partial(_direction, view, position, found)),
        "budgets": ("Any budget", partial(_budgets, view, record, position, found)),
        "ranks": ("Every selector", partial(_ranks, view, position)),
        "neighbours": ("Neighbours", partial(_neighbours, view, session, position)),
    }
    first = "target" if "target" in further else None
    part = st.pills(
        "More about this record",
        list(further),
        key=f"why-more-{first}",
        default=first,
        format_func=lambda part: further[part][0],
        label_visibility="collapsed",
    )
    if part:
        further[part][1]()


def _nearest(view: ExploreView, found: why.Why) -> None:
    """The pick that is most like the record."""
    assert found.nearest is not None
    near = int(view.pool.index[found.nearest])
    st.markdown(
        f"**Nearest selected sentence**: record {near:,}, pick {int(view.rank[found.nearest]):,} "
        f"(cosine {found.similarity:.2f} of centred means)"
    )
    st.text(visible_text(view.corpus.texts[near], 600))


def _unseen(view: ExploreView, record: int) -> str:
    """Why no selector sees a record."""
    at = components.position_of(view.everything, record)
    if at is not None and view.target_texts[at]:
        return "is a text of the target, so it cannot be picked for it"
    if at is not None:
        return "is nearly the same as a text that the target is measured on, so it cannot be picked"
    there = 0 <= record < len(view.corpus)
    return "is held out or has no trained token, so no selector sees it" if there else "is not in this corpus"


def _for_target(view: ExploreView, position: int, found: why.Why) -> None:
    """Which target texts a record helps, and the nearest of them."""
    target = view.pool.target
    assert target is not None
    helped_by, cosines = cached_target.help_of(view.pool, view.order.positions[: found.before], position)
    said = (
        "Mean variance of a prediction on the texts that choose, tr(M_A V⁻¹): how unsure a linear model is there, given the "
        "picks. What this sentence takes off it splits exactly over these texts."
    )
    share = helped_by.fall / max(helped_by.before, 1e-12)
    st.markdown(
        f"**For the target** it lowers the mean variance from {number(helped_by.before)} to "
        f"{number(helped_by.before - helped_by.fall)} ({share:.1%}). It helps these texts most:",
        help=said,
    )
    most = np.argsort(-helped_by.shares, kind="stable")[:HELPED]
    nearest = int(cosines.argmax())
    for a in [*most, *([nearest] if nearest not in most else [])]:
        near = f", the nearest of all (cosine {cosines[a]:.2f})" if a == nearest else ""
        part = helped_by.shares[a] / max(helped_by.fall, 1e-12)
        st.caption(f"{part:.0%} of the fall: target text {int(target.choosing.index[a]):,}{near}")
        st.text(visible_text(target.corpus.text(int(target.choosing.index[a])), 240))


def _goto(view: ExploreView, session: Session) -> None:
    """Go to a record by its number, for those who use the keyboard or know the number."""
    key, last = f"goto-{session.record}", len(view.corpus) - 1

    def gone() -> None:
        asked = st.session_state[key]
        session.record = session.record if asked is None else int(asked)

    said = "Any record of the pool; a ring marks it on the map."
    with st.popover("Another", icon=":material/tag:", help="Explain another record, by its number.", type="tertiary"):
        st.number_input(
            "Record number",
            0,
            max(0, last),
            session.record if session.record is not None and session.record <= last else None,
            key=key,
            on_change=gone,
            placeholder="click the map or a table row, or type a number",
            help=said,
        )


def _pin_buttons(view: ExploreView, session: Session, record: int) -> None:
    """Buttons that take this record first, never, or as the selector would."""
    if not view.selector.heeds_pins:
        return
    pinned, out = record in session.pinned, record in session.excluded
    full = len(session.pinned) + len(session.excluded) >= MOST_PINS and not pinned and not out
    st.button(
        "Unpin" if pinned else "Pin in",
        icon=":material/push_pin:",
        key="pin-in",
        type="tertiary",
        disabled=full,
        on_click=partial(session.pin, record, pinned=not pinned),
        help="A pinned record is taken first; the rest are chosen after it.",
    )
    st.button(
        "Allow again" if out else "Pin out",
        icon=":material/block:",
        key="pin-out",
        type="tertiary",
        disabled=full or len(view.pool) - len(session.excluded) < 3,
        on_click=partial(session.pin, record, excluded=not out),
        help="An excluded record is never taken; the picks are chosen without it.",
    )


def _gain_tile(gains: np.ndarray, said: str) -> None:
    gain = float(gains.sum())
    tile("Gain", f"{number(gain)} nats", helped(said, "gain"), f"{number(gain / len(gains))} per token")


def _length_tile(view: ExploreView, tokens: int, said: str) -> None:
    tile("Length", f"{tokens:,} tokens", helped(said, "length"), f"pool median {int(np.median(view.pool.tokens)):,}")


def _largest(texts: list[str], trained: np.ndarray, shares: np.ndarray, shown: Callable[[float], str]) -> str:
    """The five trained tokens with the largest shares, in words."""
    names = [text for text, is_trained in zip(texts, trained, strict=True) if is_trained]
    return ", ".join(f"“{visible(names[i])}” {shown(float(shares[i]))}" for i in np.argsort(-shares, kind="stable")[:5])


def _direction(view: ExploreView, position: int, found: why.Why) -> None:
    """Say how much of the gain lies in one direction, which tokens carry it, and which records lie along it."""
    added = cached.direction(view.pool.embeddings, view.order.positions[: found.before], position)
    with st.container(horizontal=True):
        said = "The direction in which this record adds most to the design."
        tile("Along one direction", f"{added.share:.0%} of the gain", helped(said, "ellipse"))
        said = "A linear model's standard error along this direction after adding the record, relative to before."
        tile("Standard error along it", f"× {number(added.narrowed)}", helped(said, "leverage"))
        said = "How many of the largest directions together carry half of the gain."
        tile("Half of the gain", counted(added.half, "direction"), helped(said, "ellipse"))
    if added.share < 0.1:
        st.caption("The first picks open many directions at once, so no single direction carries much of the gain.")
    listed = _largest(*view.pieces(int(view.pool.index[position])), added.tokens, "{:.0%}".format)
    st.caption(escape_markdown(f"Tokens that carry it: {listed}."))
    st.markdown("**Other records along this direction**, by the mean square of their rows:")
    for p in [p for p in np.argsort(-added.along, kind="stable") if p != position][:ALONG]:
        record = int(view.pool.index[p])
        pick = f", pick {int(view.rank[p]):,}" if view.rank[p] else ""
        ratio = number(float(added.along[p] / max(added.along[position], 1e-12)))
        st.caption(f"Record {record:,}{pick}: {ratio} times as much as this one")
        st.text(visible_text(view.corpus.texts[record], 160))


def _budgets(view: ExploreView, record: int, position: int, found: why.Why) -> None:
    """What the record would gain after any number of picks: a curve, and the heat map at a chosen one."""
    top = len(view.order)
    at = tuple(int(k) for k in np.unique(np.concatenate([[0], grid(top, POINTS) if top > POINTS else np.arange(1, top + 1)])))
    f = cached.gain_by_budget(view.pool.embeddings, view.order.positions, at, position)
    curve = Curve(f"gain of record {record:,}", np.array(at), f, "sentences")
    drawn = plots.gain_curves([(view.selector.name, curve)], budget=view.n, dark=dark(), height=200)
    drawn.update_layout(yaxis_title_text="gain (nats)", xaxis_title_text="picks already in the design")
    said = "What the record would gain, in nats, against the number of picks before it, with the record itself left out."
    components.still_chart(drawn, "gain-by-budget", said, "explore-why")
    key, said = f"weigh-{record}-{top}", "Gains shrink as the design grows."
    k = st.slider("Show its gain after this many picks", 0, top, min(found.before, top), key=key, help=said)
    there = why.why(view.pool.embeddings, view.order.positions, view.n, position, before=k)
    st.markdown(f"After {k:,} picks it gains **{number(there.gain)} nats** (above: {number(found.gain)} after {found.before:,}).")
    components.heat_map(*view.pieces(record), there.token_gains)


def _ranks(view: ExploreView, position: int) -> None:
    """Its place under every selector with default parameters; slow selectors run only when asked for."""
    rows: list[dict[str, object]] = []
    waiting: list[tuple[Selector, float | None]] = []
    for name, kind in registry().items():
        if kind.reaches_out or (kind.needs_target and view.pool.target is None):
            continue
        selector = make_selector(name)
        order = cached.order(view.pool, selector, 0)
        about = None if order is not None else cached.expected(view.pool, selector)
        if about is not None and about <= AT_ONCE and not public():
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
    near, cosines = why.neighbours_of(view.pool.embeddings, position, np.arange(len(view.pool)), NEIGHBOURS)
    records = view.pool.index[near]
    table = {
        "record": records,
        "cosine": np.round(cosines, 2),
        "pick": components.blank_zeros(view.rank[near]),
        "text": [components.one_line(view.corpus.texts[r]) for r in records],
    }
    key = f"neighbours-{session.record}"
    st.dataframe(
        pd.DataFrame(table),
        hide_index=True,
        key=key,
        on_select=partial(components.open_row, session, key, records),
        selection_mode="single-row",
        placeholder="",
        alt="The most similar records by the cosine of centred sentence means",
    )
    st.caption("Ranked by the cosine of centred sentence means. Click the box before a row to open that record.")


def what_if_banner(view: ExploreView, session: Session) -> None:
    """What is pinned and excluded, while anything is."""
    if not session.pinned and not session.excluded:
        return
    label = view.selector.label
    if not view.selector.heeds_pins:
        said = f"{label} ignores pinned and excluded records, so its own picks are shown; TokenOD respects them."
        st.warning(said, icon=":material/push_pin:")
        return
    parts = []
    for what, records in (("pinned", session.pinned), ("excluded", session.excluded)):
        if records:
            shown = ", ".join(f"{r:,}" for r in records[:8]) + (" …" if len(records) > 8 else "")
            parts.append(f"{what} record{'s' if len(records) > 1 else ''} {shown}")
    if "sigma2" in view.selector.changed:
        parts.append(f"sigma2 = {view.selector.changed['sigma2']:g}")
    changed = len(np.setdiff1d(view.picks, view.plain.positions[: view.n]))
    row = st.container(horizontal=True, vertical_alignment="center")
    row.info(
        f"What if: {'; '.join(parts)}. The rest are chosen after them: {changed:,} of {view.n:,} picks "
        f"{'differs' if changed == 1 else 'differ'} from {label}'s own.",
        icon=":material/push_pin:",
    )
    row.button("Clear the what-if", icon=":material/close:", on_click=session.clear_pins)


def what_if_panel(view: ExploreView) -> None:
    """A sentence of the visitor's own under the design as it is."""
    said = (
        "Pin a record in or out under “Why this sentence?”. sigma2, how much is taken as known before any pick, is among the "
        "selector's Options. Both update the picks at once. Below, try a text of your own."
    )
    st.caption(helped(said, "sigma2"))
    with st.form("own-sentence", border=False):
        text = st.text_area(
            "Your own sentence",
            help="Its gain is what it would add to the current picks.",
            max_chars=LONGEST_TEXT,
            placeholder="Paste or write a text; it is processed here and never stored.",
        )
        asked = st.form_submit_button("What would it gain?", icon=":material/calculate:")
    if asked and not text.strip():
        st.caption("Write a sentence first.")
    elif asked:
        _own_sentence(view, text)


def _own_sentence(view: ExploreView, text: str) -> None:
    texts, trained, rows = cached.pasted(text, cached.folder(view.choice), view.choice)
    if not len(rows):
        st.warning("This text has no trained token under this model; write a longer one.", icon=":material/short_text:")
        return
    embeddings = view.pool.embeddings
    V = design_matrix((embeddings.block(p) for p in view.picks), embeddings.dimension)
    gains = token_gains(V, rows)
    gain = float(gains.sum())
    outside = np.setdiff1d(np.arange(len(view.pool)), [*view.picks, *view.pool.excluded])
    others = cached.gains_now(embeddings, view.picks)[outside]
    place = 1 + int((others > gain).sum())
    per_token = 1 + int((others / view.pool.tokens[outside] > gain / len(gains)).sum())
    with st.container(horizontal=True):
        _gain_tile(gains, f"What it adds to the design of the {view.n:,} picks.")
        said = helped("Its rank by gain among the sentences not picked; TokenOD takes the first one next.", "greedy")
        tile("Place", f"{place:,} of {len(outside) + 1:,}", said, f"by gain per token: {per_token:,}")
        _length_tile(view, len(gains), "How many tokens of your text would be trained.")
    components.heat_map(texts, trained, gains)
