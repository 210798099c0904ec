"""What if?  The visitor pins records in or out, or writes a sentence and sees what it would gain and how it would rank."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from fishersft.design.information import design_matrix, token_gains
from fishersft.ui import cached, components, learn
from fishersft.ui.address import MOST_PINS
from fishersft.ui.components import number, tile
from fishersft.ui.explore.view import ExploreView
from fishersft.ui.session import Session

LONGEST_TEXT = 2_000


def banner(view: ExploreView, session: Session) -> None:
    """What is pinned and excluded, while anything is."""
    if not session.pinned and not session.excluded:
        return
    if not view.selector.heeds_pins:
        st.warning(
            f"{view.selector.label} ignores pinned and excluded records, so its own picks are shown; TokenOD respects them.",
            icon=":material/push_pin:",
        )
        return
    said = [
        f"{what} {_listed(records)}" for what, records in (("pinned", session.pinned), ("excluded", session.excluded)) if records
    ]
    if "sigma2" in view.selector.changed:
        said.append(f"sigma2 = {view.selector.changed['sigma2']:g}")
    here, plain = view.picks, view.plain.positions[: view.n]
    changed = len(np.setdiff1d(here, plain))
    row = st.container(horizontal=True, vertical_alignment="center")
    row.info(
        f"What if: {'; '.join(said)}. The rest are chosen after them: {changed:,} of {view.n:,} picks "
        f"{'differs' if changed == 1 else 'differ'} from {view.selector.label}'s own.",
        icon=":material/push_pin:",
    )
    row.button("Clear the what-if", icon=":material/close:", on_click=session.clear_pins)


def pin_buttons(view: ExploreView, session: Session, record: int) -> None:
    """Buttons that take this record first, never, or as the selector would."""
    if not view.selector.heeds_pins:
        return
    row = st.container(horizontal=True)
    pinned, out = record in session.pinned, record in session.excluded
    full = len(session.pinned) + len(session.excluded) >= MOST_PINS and not pinned and not out
    row.button(
        "Unpin" if pinned else "Pin in",
        icon=":material/push_pin:",
        key="pin-in",
        disabled=full,
        on_click=partial(session.pin, record, pinned=not pinned),
        help="A pinned record is taken first; the rest are chosen after it.",
    )
    row.button(
        "Allow again" if out else "Pin out",
        icon=":material/block:",
        key="pin-out",
        disabled=full or len(view.pool) - len(session.excluded) < 3,
        on_click=partial(session.pin, record, excluded=not out),
        help="An excluded record is never taken; the picks are chosen without it.",
    )


def panel(view: ExploreView, session: Session) -> None:
    """A sentence of the visitor's own under the design as it is."""
    with st.expander("What if? Your own sentence, pins and sigma2", icon=":material/science:"):
        st.caption(
            "Pin a record in or out under “Why this sentence?”. sigma2, how much is taken as known before any pick, is among the "
            "selector's Parameters. Both update the picks at once. Below, try a text of your own. " + learn.link("sigma2")
        )
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
            _own(view, text)


def _own(view: ExploreView, text: str) -> None:
    texts, trained, rows = cached.pasted(text, cached.folder(view.choice), view.choice)
    if not len(rows):
        st.warning("This text has no trained token under this model; write a longer one.", icon=":material/short_text:")
        return
    picked = view.picks
    embeddings = view.pool.embeddings
    V = design_matrix((embeddings.block(p) for p in picked), embeddings.dimension)
    gains = token_gains(V, rows)
    gain = float(gains.sum())
    outside = np.setdiff1d(np.arange(len(view.pool)), [*picked, *view.pool.excluded])
    others = cached.gains_now(embeddings, picked)[outside]
    place = 1 + int((others > gain).sum())
    per_token = 1 + int((others / view.pool.tokens[outside] > gain / len(gains)).sum())
    with st.container(horizontal=True):
        tile(
            "Gain",
            f"{number(gain)} nats",
            learn.helped(f"What it adds to the design of the {view.n:,} picks.", "gain"),
            f"{number(gain / len(gains))} per token",
        )
        tile(
            "Place",
            f"{place:,} of {len(outside) + 1:,}",
            learn.helped("Its rank by gain among the sentences not picked; TokenOD takes the first one next.", "greedy"),
            f"by gain per token: {per_token:,}",
        )
        tile(
            "Length",
            f"{len(gains):,} tokens",
            learn.helped("How many tokens of your text would be trained.", "length"),
            f"pool median {int(np.median(view.pool.tokens)):,}",
        )
    components.heat_map(texts, trained, gains)


def _listed(records: tuple[int, ...]) -> str:
    shown = ", ".join(f"{r:,}" for r in records[:8])
    return f"record{'s' if len(records) > 1 else ''} {shown}{' …' if len(records) > 8 else ''}"
