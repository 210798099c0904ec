"""Explore: which sentences a selector picks, in which order, what they gain, and why."""

import streamlit as st

from fishersft.ui import cached, components, explore, filters, player, session, sets, view, what_if, why

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

    shown = view.view_of(choice, corpus, cached.pool(choice, embeddings), visitor)
    what_if.banner(shown, visitor)
    explore.tiles(shown)
    playing = filters.choose_view(visitor) == "player"
    left, right = st.columns([3, 2], gap="medium")
    with st.container() if playing else left:
        kind, colour, matched = filters.map_controls(shown, visitor, playing)
    if playing:
        player.player_panel(shown, visitor, kind)
        left, right = st.columns([3, 2], gap="medium")
        with left:
            why.why_panel(shown, visitor)
    else:
        with left:
            explore.map_panel(shown, visitor, kind, colour, matched)
    with right:
        explore.gain_panel(shown, sets.chosen_set(shown, visitor, matched))
        if not playing:
            why.why_panel(shown, visitor)
    what_if.panel(shown, visitor)
    held = sets.table_panel(shown, visitor, matched)
    sets.downloads(shown, held)
    sets.kept_panel(shown, visitor)
    with notices:
        components.notices(visitor)

session.write_address(visitor)
