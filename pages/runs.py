"""Runs: background jobs and what was kept, to watch, steer, export and delete."""

import streamlit as st

from fishersft import catalogue
from fishersft.ui import page, runs
from fishersft.ui.session import public

with page.page("runs", "What is still running, and what was kept?") as visitor:
    if public():
        st.caption("This hosted demo shows the runs that ship with fishersft.")
    else:
        runs.set_aside()
    every = catalogue.runs(shipped_only=public())
    runs.verdict(every)
    runs.show(runs.choose_section(every), every)
