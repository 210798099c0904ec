"""Evidence: which selector is worth its tokens after fine-tuning, over corpora, targets and models."""

import streamlit as st

from fishersft.ui import page
from fishersft.ui.evidence import before_tuning, leaderboard

with page.page("evidence", "Which selector is worth its tokens after fine-tuning?") as visitor:
    row = st.container(horizontal=True, vertical_alignment="bottom", key="evidence-controls")
    with row:
        arena = leaderboard.choose(visitor)
    if arena is None:
        st.info("Nothing has been ranked yet; rank selectors on your corpus below.", icon=":material/leaderboard:")
        leaderboard.own(visitor)
        before_tuning.panel()
    else:
        leaderboard.show(arena, leaderboard.narrow(arena, row), visitor)
