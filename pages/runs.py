"""Runs: background jobs and what was kept, to watch, steer, export and delete."""

import streamlit as st

from fishersft.ui import components, runs, session

visitor = session.current()
session.write_address(visitor)

with components.friendly():
    st.caption("Long work goes on in the background, whether this tab is open or not. What it made, and what you kept, is here.")
    if session.public():
        st.caption("On this hosted demo runs can be looked at and not changed.")
    notices = st.container()
    section = runs.choose_section(visitor)
    with notices:
        components.notices(visitor)
    runs.SECTIONS[section]()

session.write_address(visitor)
