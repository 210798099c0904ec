"""Why this sentence?  The panel that explains one record, token by token."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from fishersft.scoring import why
from fishersft.text import visible, visible_text
from fishersft.ui import cached, components, learn
from fishersft.ui.components import number, tile
from fishersft.ui.explore import what_if, why_more
from fishersft.ui.explore.view import View
from fishersft.ui.session import Session


def why_panel(view: View, session: Session) -> None:
    """Why this sentence: its gain, split over its tokens."""
    row = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    row.subheader(
        "Why this sentence?",
        anchor="why",
        help=learn.helped("Its gain, nats by nats: what each of its tokens adds.", "token gain", "gain"),
    )
    if session.record is not None and row.button("Clear", icon=":material/close:", help="Look at no sentence in particular."):
        session.record = None
        session.generation += 1
        st.rerun()
    _goto(view, session)
    if session.record is None:
        st.info(
            "Click a point on the map or a row of the table: its gain, token by token, appears here.", icon=":material/ads_click:"
        )
        return
    position = view.position_of(session.record)
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
    found_in = cached.folder(view.choice)
    texts, trained = cached.pieces(view.corpus.fingerprint, found_in.fingerprint, session.record, view.corpus, found_in)
    components.heat_map(texts, trained, found.token_gains)
    with st.container(horizontal=True):
        tile(
            "Gain",
            f"{number(found.gain)} nats",
            learn.helped(f"With {found.before:,} sentences in the design before it.", "gain"),
            f"{number(found.gain / len(found.token_gains))} a token",
        )
        tile(
            "Length",
            f"{view.pool.tokens[position]:,} tokens",
            learn.helped("Trained tokens of this record.", "length"),
            f"pool median {int(np.median(view.pool.tokens)):,}",
        )
        why_more.perplexity_tile(view, position)
    _strongest(texts, trained, found.token_gains)
    if found.nearest is not None:
        record = int(view.pool.index[found.nearest])
        st.markdown(
            f"**Nearest selected sentence**: record {record:,}, pick {int(view.rank[found.nearest]):,} "
            f"(cosine {found.similarity:.2f} of centred means)"
        )
        st.text(visible_text(view.corpus.texts[record], 600))
    why_more.more(view, session, position, found)


def _goto(view: View, session: Session) -> None:
    """A record by its number, for the keyboard and for those who know it."""
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
        placeholder="click the map, a row of the table, or type a number",
        help="Any record of the pool; the map rings it.",
    )


def _strongest(texts: Any, trained: np.ndarray, gains: np.ndarray) -> None:
    """The heat-map's message in words, for those who do not see colours or cannot hover."""
    names = [t for t, is_trained in zip(texts, trained, strict=True) if is_trained]
    top = np.argsort(-gains, kind="stable")[:5]
    listed = ", ".join(f"“{visible(names[i])}” {number(float(gains[i]))}" for i in top)
    st.caption(components.escape_markdown(f"Largest: {listed} nats. All {len(names):,} tokens together give the gain exactly."))
