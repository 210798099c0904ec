"""Explore: which sentences a selector picks, in which order, what they gain, and why."""

import streamlit as st

from fishersft import make_selector
from fishersft.ui import cached, components, explore, session, view, why

visitor = session.current()
session.write_address(visitor)

with components.friendly():
    choice = visitor.choice
    corpus = cached.corpus(choice)
    embeddings = cached.embeddings(choice)
    st.caption(
        "Which sentences teach the model most? TokenOD takes those whose tokens add most new directions to a design matrix; "
        "what they add is measured by its log det, in nats."
    )
    components.headline(corpus, choice, embeddings)
    notices = st.container()
    if embeddings is None:
        components.not_embedded()
        st.stop()

    pool = cached.pool(choice, embeddings)
    selector, seed, unit = view.control_bar(pool, visitor)
    order = cached.order_now(pool, selector, seed)
    reference = cached.order_now(pool, make_selector("token_od"), 0)
    longest = cached.order_now(pool, make_selector("longest"), 0)
    n = view.budget_slider(pool, order, unit, visitor)
    shown = view.View(choice, corpus, pool, selector, seed, order, n, unit, reference, longest)

    explore.tiles(shown)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        kind, colour, matched = view.map_controls(shown, visitor)
        explore.map_panel(shown, visitor, kind, colour, matched)
    with right:
        explore.gain_panel(shown)
        why.why_panel(shown, visitor)
    explore.table_panel(shown, visitor, matched)
    explore.downloads(shown)
    with notices:
        components.notices(visitor)

session.write_address(visitor)
