"""Choose with one model, score under another: what the choice is worth to the model that will be fine-tuned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.pipeline import embed_and_select
from fishersft.scoring.comparison import Comparison, short
from fishersft.scoring.summaries import comparison_sentences, number, span
from fishersft.selectors import Budget, Pool
from fishersft.text import duration
from fishersft.ui import cached, components
from fishersft.ui.address import write_value
from fishersft.ui.compare import view as compare_view
from fishersft.ui.compare.view import CompareView
from fishersft.ui.corpus import embedding
from fishersft.ui.session import Session, public


def panel(view: CompareView, session: Session) -> None:
    """The whole part: a model to name, its embeddings, its orders, and the table."""
    st.subheader("Transfer", anchor="transfer")
    st.caption(
        f"The picks above were chosen with {components.escape_markdown(short(view.choice.model))}. Does a choice made with one "
        "model serve another, say a small model's choice a large model? Name the model to score under; its tokens are counted."
    )
    if public():
        st.info("This hosted demo has one model, mini; install fishersft to score under another.", icon=":material/lock:")
        return
    wanted = _model(session)
    if not wanted:
        return
    choice = replace(view.choice, model=wanted)
    embeddings = cached.embeddings(choice)
    if embeddings is None:
        st.markdown(f"{components.escape_markdown(short(wanted))} has not read this corpus yet.")
        if embedding.compute(choice, cached.layout(choice)):
            st.rerun()
        return
    under = cached.pool(choice, embeddings)
    found = _found(view, under)
    if found is not None:
        _table(found)


def _model(session: Session) -> str:
    """The model that scores, "" for none; kept in the session and in the address, as the other model is."""
    if "score" in st.query_params and "compare-score" not in st.session_state:
        session.score_model = st.query_params["score"][:300]
    wanted = st.text_input(
        "Model that scores",
        value=session.score_model,
        key="compare-score",
        placeholder="gpt2, or a folder",
        max_chars=300,
        help="mini, a folder with config.json and safetensors, or a hub id such as gpt2.",
    ).strip()
    session.score_model = wanted
    write_value("score", wanted)
    if wanted == session.choice.model:
        st.info("That is the model that chose; name another one to see the difference.", icon=":material/info:")
        return ""
    return wanted


def _found(view: CompareView, under: Pool) -> Comparison | None:
    """The comparison under the other model; where that takes long, first a button that says how long."""
    args = (view.pool, view.selectors, view.n, view.equal, view.seed, under)
    missing = [
        s
        for s in view.selectors
        if embed_and_select.stored_order(under, s, Budget(sentences=min(view.n, len(under))), view.seed if s.random else 0)
        is None
    ]
    times = [compare_view.expected(under, s) for s in missing]
    about = sum(t or 0 for t in times)
    if about > compare_view.AT_ONCE or None in times:
        labels = ", ".join(s.label for s in missing)
        how_long = f"at most about {duration(about)}" if None not in times else "which takes an unknown time"
        row = st.container(horizontal=True, vertical_alignment="center")
        go = row.button("Score under it", type="primary", icon=":material/play_arrow:")
        row.caption(f"{labels} must also choose with that model once, {how_long}; the transfer is measured against those picks.")
        if not go:
            return None
    return compare_view.comparison(*args)


def _table(found: Comparison) -> None:
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
    st.dataframe(
        pd.DataFrame(lines),
        hide_index=True,
        row_height=34,
        height=40 + 34 * len(lines),
        key="transfer-table",
        alt=f"What the picks are worth under {under}",
    )
    st.markdown(components.escape_markdown(comparison_sentences(found)[-2]))
    st.caption(
        f"All scored under {components.escape_markdown(under)} at equal {found.equal}; log det in nats over the empty selection; "
        f"in brackets: chosen by {components.escape_markdown(under)} itself. Random draws: {found.draws} at the same budget."
    )
