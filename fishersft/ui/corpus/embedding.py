"""The one action of the Corpus page: compute the embeddings, with the time it takes before it starts."""

from __future__ import annotations

import time
from collections.abc import Callable

import streamlit as st

from fishersft.lm.embed import Plan
from fishersft.pipeline import embed_and_select
from fishersft.text import duration
from fishersft.ui import cached
from fishersft.ui.session import Choice, Session


def embed(session: Session, layout: Plan) -> None:
    """The one action of the page: compute the embeddings, or go and explore them."""
    if (known := cached.embeddings(session.choice)) is not None:
        facts = known.facts
        row = st.container(horizontal=True, vertical_alignment="center")
        row.markdown(
            f":material/check_circle: Embedded: {len(known.values):,} rows of {known.dimension} numbers ({facts['dtype']})."
        )
        if row.button("Explore", type="primary", icon=":material/scatter_plot:"):
            st.switch_page("pages/explore.py")
        return
    if compute(session.choice, layout):
        st.switch_page("pages/explore.py")


def compute(choice: Choice, layout: Plan) -> bool:
    """A button that embeds, with the time it takes before it starts; True once it is done."""
    speed = cached.tokens_a_second(choice)
    total = sum(len(e.ids) for e in layout.encoded)
    row = st.container(horizontal=True, vertical_alignment="center")
    go = row.button(f"Embed {len(layout.index):,} records", type="primary", icon=":material/memory:")
    row.caption(
        f"{total:,} tokens, about {duration(total / speed)} here. If it is stopped or interrupted, it resumes where it left off. "
        f"{_head(cached.model(choice).head)}"
    )
    if not go:
        return False
    bar = st.progress(0.0, "Embedding …")
    st.button("Stop", icon=":material/stop:", help="What has been computed so far is saved.")
    embed_and_select.embed(cached.corpus(choice), cached.model(choice), on_progress=_reporter(bar))
    return True


def _reporter(bar: st.delta_generator.DeltaGenerator) -> Callable[[int, int], None]:
    started, first = time.perf_counter(), None

    def report(done: int, total: int) -> None:
        nonlocal first
        first = done if first is None else first
        spent = time.perf_counter() - started
        rest = spent / max(done - first, 1) * (total - done)
        left = f", about {duration(rest)} left" if done > first else ""
        bar.progress(min(1.0, done / max(total, 1)), f"Embedding: {done:,} of {total:,} tokens{left}")

    return report


def _head(head: str) -> str:
    return "" if head == "exact" else f"This model's logits are its head's output {head}."
