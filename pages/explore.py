"""Explore: which sentences a selector picks, in which order, what they gain, and why."""

import streamlit as st

from fishersft import Pool, make_selector
from fishersft.ui import cached, components, explore, session

visitor = session.current()
session.write_address(visitor)

with components.friendly():
    choice = visitor.choice
    corpus = cached.corpus(choice)
    embeddings = cached.embeddings(choice)
    components.headline(corpus, choice)
    if embeddings is None:
        components.not_embedded()
        st.stop()

    pool = Pool(embeddings, corpus)
    selector, seed, unit = explore.control_bar(pool, visitor)
    order = cached.order_now(pool, selector, seed)
    reference = cached.order_now(pool, make_selector("token_od"), 0)
    n = explore.budget_slider(pool, order, unit, visitor)
    components.notices(visitor)
    view = explore.View(choice, corpus, pool, selector, seed, order, n, unit, reference)

    left, right = st.columns([3, 2], gap="medium")
    with left:
        kind, colour, matched = explore.map_controls(view, visitor)
        explore.map_panel(view, visitor, kind, colour, matched)
    with right:
        explore.gain_panel(view)
        explore.tiles(view)

    explore.why_panel(view, visitor)
    explore.table_panel(view, visitor, matched)
    explore.downloads(view)

session.write_address(visitor)
