"""A lesson's exercises on the screen, each answer behind a button, and what its printed sheet has besides.

On paper a lesson is one sheet: its sentences, its picture, the question, the exercises.  The answers are on a second page, or
left out.
"""

from __future__ import annotations

import streamlit as st

from fishersft.lessons.exercises import exercises
from fishersft.lessons.lesson import Question
from fishersft.ui.lessons.learning import Learning


def show(learning: Learning, asked: Question) -> None:
    made = exercises(learning.name)
    with st.container(key="lesson-exercises"):
        st.subheader("Exercises", anchor=False)
        for k, one in enumerate(made, 1):
            st.markdown(f"**{k}.** {one.task}")
            with st.popover("Answer", icon=":material/visibility:", key=f"exercise-{learning.name}-{k}"):
                st.markdown(one.answer)
    sheet(learning, asked)


def sheet(learning: Learning, asked: Question) -> None:
    """The switch for answers on paper, and those answers, which only paper shows."""

    def switched() -> None:
        learning.manner.answers = bool(st.session_state["lesson-answers-on"])

    st.session_state["lesson-answers-on"] = learning.manner.answers
    with st.container(key="lesson-sheet"):
        help = "Print the page with your browser (Ctrl or Cmd and P): a sheet with the picture, the question and the exercises."
        st.toggle("Answers on the printed sheet", key="lesson-answers-on", on_change=switched, help=help)
    if learning.manner.answers:
        with st.container(key="lesson-answers"):
            st.subheader("Answers", anchor=False)
            right = asked.options[asked.answer]
            st.markdown(f"**Question:** {right[0].upper()}{right[1:]}. {asked.because}")
            for k, one in enumerate(exercises(learning.name), 1):
                st.markdown(f"**Exercise {k}:** {one.answer}")
