"""Runs: background jobs and what was kept, to watch, steer, export and delete."""

import streamlit as st

from fishersft.ui import page, runs
from fishersft.ui.session import public

with page.page(
    "runs", "Long jobs continue in the background, whether this tab is open or not. Their results, and what you saved, are here."
) as visitor:
    if public():
        st.caption("On this hosted demo, runs can be viewed but not changed.")
    runs.set_aside()
    runs.show(runs.choose_section())
