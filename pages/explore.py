"""Explore: which sentences a selector picks, in which order, what they gain, and why."""

import streamlit as st

from fishersft.ui import page, targets
from fishersft.ui.components import touch
from fishersft.ui.explore import panels as explore
from fishersft.ui.explore import sets, view, why

with page.page("explore", "Which sentences teach the model most?") as visitor:
    targets.take_over()
    embedded = page.embedded(visitor)
    sets.reopen(embedded, visitor)
    explore.guide(visitor)
    targets.control(embedded.whole, embedded.pool, visitor, lasso=True)
    shown = view.view_of(embedded, visitor)
    why.what_if_banner(shown, visitor)
    numbers = st.container()
    playing = view.choose_view() == "player"
    left, right = st.columns([3, 2], gap="medium")
    with st.container() if playing else left:
        kind, colour, matched = view.map_controls(shown, visitor, playing)
    if playing:
        explore.player_panel(shown, visitor, kind, matched)
        left, right = st.columns([3, 2], gap="medium")
        with left:
            why.why_panel(shown, visitor)
    else:
        explore.check_directions(shown, visitor)
        with left:
            explore.map_panel(shown, visitor, kind, colour, matched)
    with numbers:  # once the picks are on the map
        explore.tiles(shown)
    with right:
        explore.gain_panel(shown, sets.chosen_set(shown, visitor, matched))
        if not playing:
            why.why_panel(shown, visitor)
    # a record's reasons are long: the table stands beside them, under the map; on a phone they come first
    beside = visitor.record is not None and not playing and not touch()
    if not beside:
        why.what_if_panel(shown)
    with left if beside else st.container():
        held = sets.table_panel(shown, visitor, matched, beside=beside)
    if beside:
        why.what_if_panel(shown)
    sets.downloads(shown, visitor, held)
    sets.left_out(visitor)
    sets.kept_panel(shown, visitor)
