"""Runs: background jobs and what was kept, to watch, steer, export and delete."""

import streamlit as st

from fishersft.ui import page, runs
from fishersft.ui.session import public

with page.page(
    "runs", "Long work continues in the background, whether this tab is open or not. What it made, and what you kept, is here."
) as visitor:
    if public():
        st.caption("On this hosted demo runs can be looked at and not changed.")
    runs.show(runs.choose_section())
