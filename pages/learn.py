"""Learn: optimal design in nine lessons, hands on."""

import streamlit as st

from fishersft.ui import page
from fishersft.ui.lessons import panels as lessons
from fishersft.ui.lessons import plane

visitor = page.begin("learn", writes=False)
learning = lessons.current(visitor)
lessons.contents(learning)
page.notices(visitor, "learn")
st.subheader(learning.lesson.title, anchor=False)

left, right = st.columns([3, 2], gap="large")
with left:
    lessons.controls(learning)
    if learning.name == "ellipse":
        place = st.container()
        plane.table(learning)
        shown = lessons.show(learning)
        with place:
            plane.picture(learning, shown.pictures[0])
    else:
        shown = lessons.show(learning)
        for k, picture in enumerate(shown.pictures):
            lessons.picture(picture, f"{learning.name}-{k}")
with right:
    lessons.words(learning.lesson)
    lessons.question(learning, shown.question)
    lessons.numbers(shown)
    lessons.formula(learning.lesson)
lessons.neighbours(learning)
lessons.write_address(learning)
