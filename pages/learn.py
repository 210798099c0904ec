"""Learn: optimal design in ten lessons, hands on."""

import streamlit as st

from fishersft.ui import page
from fishersft.ui.lessons import panels as lessons

visitor = page.begin("learn", writes=False)
learning = lessons.current(visitor)
lessons.contents(learning)
page.notices(visitor, "learn")
st.subheader(learning.lesson.title, anchor=False)

left, right = st.columns([3, 2], gap="large")
with left:
    lessons.controls(learning)
    shown = lessons.pictures(learning)
with right:
    lessons.words(learning, shown)
lessons.neighbours(learning)
lessons.write_address(learning)
