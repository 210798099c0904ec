"""Explore: which sentences a selector picks, in which order, what they gain, and why."""

import streamlit as st

from fishersft.ui import behind, components, page, targets
from fishersft.ui.explore import map as sentences
from fishersft.ui.explore import panels as explore
from fishersft.ui.explore import sets, view, why
from fishersft.ui.session import public

PARTS = ("Picks", "Sets", "What if", "Numbers", "Save and repeat")

with page.page("explore", "Which sentences does a selector pick, and why?") as visitor:
    targets.take_over()
    embedded = page.embedded(visitor)
    sets.reopen(embedded, visitor)
    targets.control(embedded.whole, embedded.pool, visitor, lasso=True, place=page.about())
    shown = view.controls(embedded, visitor)
    why.what_if_banner(shown, visitor)
    answer = st.container(key="explore-answer")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        look = sentences.map_controls(shown, visitor)
    with st.container() if look.playing else left:
        sentences.map_panel(shown, visitor, look)
    if look.playing:
        left, right = st.columns(2, gap="medium")
    with (left if look.playing else right).container(gap="xsmall"):
        why.why_panel(shown, visitor)
    with right:
        explore.difference_panel(shown)
    with answer:
        explore.verdict(shown)
        sets.marked(shown, visitor, look.matched)

    part = components.tabs([part for part in PARTS if not (public() and part == "Sets")], "part", "More about this selection")
    if part == "Picks":
        sets.table_panel(shown, visitor, look.matched)
    elif part == "Sets":
        sets.kept_panel(shown, visitor, look.matched)
    elif part == "What if":
        why.what_if_panel(shown)
    elif part == "Numbers":
        explore.numbers_panel(shown, sets.chosen_set(shown, visitor, look.matched))
    else:
        sets.downloads(shown, visitor, look.matched)
    sets.left_out(visitor)
    behind.look_again()
