"""Learn: optimal design in eleven lessons, hands on."""

import streamlit as st

from fishersft.ui import page
from fishersft.ui.lessons import learning as state
from fishersft.ui.lessons import panels as lessons
from fishersft.ui.lessons import presenter

visitor = page.begin("learn", writes=False)
learning = state.current(visitor)
if learning.manner.present:
    presenter.show(learning)
    page.notices(visitor, "learn")
else:
    page.head("learn", "How does optimal design choose?")
    lessons.contents(learning)
    page.notices(visitor, "learn")
    lessons.heading(learning)
    with st.container(key="lesson"):
        left, right = st.columns([3, 2], gap="medium")
    with left:
        lessons.controls(learning)
        shown = lessons.pictures(learning)
    with right:
        lessons.words(learning, shown)
    lessons.below(learning, shown)
    lessons.neighbours(learning)
    lessons.answers(learning, shown.question)
state.write_address(learning)
