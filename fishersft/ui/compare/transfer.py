"""Transfer: chosen with one model, scored under another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from fishersft.pipeline import embed_and_select
from fishersft.scoring.comparison import Comparison, short
from fishersft.scoring.summaries import comparison_sentences, number, span
from fishersft.selectors import Budget, Pool, Selector
from fishersft.text import duration
from fishersft.ui import cached, components
from fishersft.ui.address import write_value
from fishersft.ui.compare.view import AT_ONCE, CompareView
from fishersft.ui.components import escape_markdown
from fishersft.ui.corpus import compute
from fishersft.ui.session import Session


def panel(view: CompareView, session: Session) -> None:
    """Choose with one model, score under another: what the choice is worth to the model that will be fine-tuned."""
    st.header("Transfer to another model", anchor=False)
    st.caption(
        f"The picks above were chosen with {escape_markdown(short(view.choice.model))}. Does a choice made with one "
        "model serve another, say a small model's choice a large model? Name the model to score under; its tokens are counted."
    )
    wanted = _scoring_model(session)
    if not wanted:
        return
    choice = replace(view.choice, model=wanted)
    embeddings = cached.embeddings(choice)
    if embeddings is None:
        st.markdown(f"{escape_markdown(short(wanted))} has not read this corpus yet.")
        if compute(choice, cached.layout(choice)):
            st.rerun()
        return
    if (found := _scored_under(view, cached.pool(choice, embeddings))) is not None:
        _transfer_table(found)


def _scoring_model(session: Session) -> str:
    """The model that scores, "" for none; kept in the session and in the address, as the other model is."""
    if "score" in st.query_params and "compare-score" not in st.session_state:
        session.score_model = st.query_params["score"][:300]
    wanted = st.text_input(
        "Model that scores",
        value=session.score_model,
        key="compare-score",
        placeholder="gpt2, or a folder",
        max_chars=300,
        width=420,
        help="mini, a folder with config.json and safetensors, or a hub id such as gpt2.",
    ).strip()
    session.score_model = wanted
    write_value("score", wanted)
    if wanted == session.choice.model:
        st.info("That is the model that chose; name another one to see the difference.", icon=":material/info:")
        return ""
    return wanted


def _scored_under(view: CompareView, under: Pool) -> Comparison | None:
    """The comparison under the other model; where that takes long, first a button that says how long."""
    budget = Budget(sentences=min(view.n, len(under)))

    def stored(selector: Selector) -> bool:
        return embed_and_select.stored_order(under, selector, budget, view.seed if selector.random else 0) is not None

    missing = [s for s in view.selectors if not stored(s)]
    times = [cached.expected(under, s) for s in missing]
    about = sum(t or 0 for t in times)
    if about > AT_ONCE or None in times:
        labels = ", ".join(s.label for s in missing)
        how_long = f"at most about {duration(about)}" if None not in times else "which takes an unknown time"
        row = st.container(horizontal=True, vertical_alignment="center")
        go = row.button("Score under it", type="primary", icon=":material/play_arrow:")
        row.caption(f"{labels} must also choose with that model once, {how_long}; the transfer is measured against those picks.")
        if not go:
            return None
    return cached.comparison(view.pool, view.selectors, view.n, view.equal, view.seed, under)


def _transfer_table(found: Comparison) -> None:
    """One line a selector: chosen by the one, by the other, by chance."""
    under = short(found.score_model)
    lines = []
    for name, away in found.chosen.items():
        home = found.home[name]
        a, h = away.scores[0], home.scores[0]
        shared = np.intersect1d(away.positions, home.positions)
        lines.append(
            {
                "selector": away.label,
                f"log det, chosen by {short(found.model)}": number(a.log_det),
                f"log det, chosen by {under}": number(h.log_det),
                "random draws": span(found.baseline(), "log_det"),
                "shared picks": f"{len(shared):,} of {a.sentences:,}",
                "worst leverage": f"{number(a.worst_leverage)} ({number(h.worst_leverage)})",
                f"tokens of {under}": f"{a.tokens:,} ({h.tokens:,})",
            }
        )
    components.table(lines, f"What the picks are worth under {under}", key="transfer-table", height="content")
    st.markdown(escape_markdown(comparison_sentences(found)[-2]))
    st.caption(
        f"All scored under {escape_markdown(under)} at equal {found.equal}; log det in nats over the empty selection; "
        f"in brackets: chosen by {escape_markdown(under)} itself. Random draws: {found.draws} at the same budget."
    )
