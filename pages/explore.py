"""Explore: which sentences a selector picks, in which order, what they gain, and why."""

import streamlit as st

from fishersft.ui import page
from fishersft.ui.components import touch
from fishersft.ui.explore import filters, kept_sets, player, sets, view, what_if, why
from fishersft.ui.explore import panels as explore

with page.page(
    "explore",
    "Which sentences teach the model most? TokenOD takes those whose tokens add most new directions to a design matrix; "
    "what they add is measured by its log det, in nats.",
) as visitor:
    embedded = page.embedded(visitor)
    kept_sets.reopen(embedded, visitor)
    explore.guide(visitor)
    shown = view.view_of(embedded, visitor)
    what_if.banner(shown, visitor)
    explore.tiles(shown)
    playing = filters.choose_view() == "player"
    left, right = st.columns([3, 2], gap="medium")
    with st.container() if playing else left:
        kind, colour, matched = filters.map_controls(shown, visitor, playing)
    if playing:
        player.player_panel(shown, visitor, kind, matched)
        left, right = st.columns([3, 2], gap="medium")
        with left:
            why.why_panel(shown, visitor)
    else:
        player.check_directions(shown, visitor)
        with left:
            explore.map_panel(shown, visitor, kind, colour, matched)
    with right:
        explore.gain_panel(shown, sets.chosen_set(shown, visitor, matched))
        if not playing:
            why.why_panel(shown, visitor)
    # a record's reasons are long: the table stands beside them, under the map; on a phone they come first
    beside = visitor.record is not None and not playing and not touch()
    if not beside:
        what_if.panel(shown, visitor)
    with left if beside else st.container():
        held = sets.table_panel(shown, visitor, matched, beside=beside)
    if beside:
        what_if.panel(shown, visitor)
    sets.downloads(shown, visitor, held)
    kept_sets.left_out(visitor)
    kept_sets.kept_panel(shown, visitor)
