"""The Learn page around a lesson: the row of lessons, controls, pictures, question, words and exercises.

Question, its button, and the whole picture that answers it stand in one view of 1440 x 900; numbers, formulas, exercises and the
table of points follow below.  On paper a lesson is one sheet: its picture, its sentences, the question, the exercises.  The
answers are on a second page, or left out.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from fishersft.fields import declared
from fishersft.lessons import APPENDIX, LESSONS, PATHS
from fishersft.lessons.exercises import exercises
from fishersft.lessons.lesson import Picture, Plane, Question, Shown
from fishersft.ui.components import camera, dark, tile
from fishersft.ui.lessons import planes
from fishersft.ui.lessons.learning import Learning

LARGE = 520  # pixels, of a chart in the presenter's view


def contents(learning: Learning) -> None:
    """The row of lessons, with their minutes on a timed path."""
    minutes = PATHS.get(learning.manner.path, {})
    names = [name for name in LESSONS if not minutes or name in minutes or name == learning.name]
    course = [name for name in LESSONS if LESSONS[name] not in APPENDIX]

    def opened() -> None:
        learning.open(st.session_state["lesson-tab"] or learning.name)

    def label(name: str) -> str:
        number = f"{course.index(name) + 1} " if name in course else ""
        return f"{number}{LESSONS[name].tab}" + (f" · {minutes[name]} min" if name in minutes else "")

    st.session_state["lesson-tab"] = learning.name
    look: dict[str, Any] = {"required": True, "key": "lesson-tab", "label_visibility": "collapsed", "on_change": opened}
    with st.container(key="lesson-contents"):
        st.pills("Lesson", names, format_func=label, **look)


def heading(learning: Learning) -> None:
    """The lesson's title, beside it the timed paths and the presenter's view."""

    def follow() -> None:
        chosen = st.session_state["lesson-path"]  # before Streamlit has dropped what is no option
        learning.manner.path = chosen if chosen in PATHS else 0
        if learning.name not in learning.order:
            learning.open(learning.order[0])

    st.session_state["lesson-path"] = learning.manner.path
    with st.container(horizontal=True, vertical_alignment="center", key="lesson-heading"):
        st.header(learning.lesson.title, anchor=False)
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="right", key="lesson-manner"):
            look: dict[str, Any] = {"key": "lesson-path", "label_visibility": "collapsed", "on_change": follow, "width": 190}
            said = {0: "All lessons", **{m: f"{m} minutes: {len(path)} lessons" for m, path in PATHS.items()}}
            st.selectbox("Path", list(said), format_func=said.__getitem__, **look)
            help = "Larger type and one step at a time: arrow keys step, Enter or R reveals, Escape leaves."
            st.button("Present", icon=":material/slideshow:", help=help, on_click=learning.present, key="present-on")


def controls(learning: Learning) -> None:
    found = declared(type(learning.lesson))
    with st.container(key="lesson-controls"):
        for column, (name, one) in zip(st.columns(max(2, len(found)))[: len(found)], found.items(), strict=True):
            about, key = one.about, f"{learning.name}.{name}"
            st.session_state.setdefault(key, getattr(learning.lesson, name))
            if about.choices:
                value = column.selectbox(one.label, about.choices, key=key, help=about.help)
                begins = getattr(learning.lesson, "begins", "") == name and value != getattr(learning.lesson, name)
                learning.change(**({"points": ()} if begins else {}))
            else:
                low, high, step = (one.type(number) for number in (about.least, about.most, about.step))
                value = one.type(column.slider(one.label, low, high, step=step, format="%g", key=key, help=about.help))
            learning.change(**{name: value})
    state = "; ".join(f"{one.label}: {getattr(learning.lesson, name)}" for name, one in found.items())
    with st.container(key="lesson-state"):  # on paper, where the controls are not
        st.caption(f"{state}.")


def pictures(learning: Learning) -> Shown:
    """Compute the open lesson and draw its pictures: the first, and beside it one of the others."""
    shown = learning.lesson.show(revealed=learning.revealed, dark=dark())
    first, *others = shown.pictures
    with st.container(key="lesson-pictures"):
        if not others:
            _draw(learning, first, 0)
            return shown
        left, right = st.columns(2, gap="small")
        with left:
            if first.title:
                st.markdown(f"**{first.title}**")
            _draw(learning, first, 0)
        with right:
            if len(others) == 1:
                st.markdown(f"**{others[0].title}**")
            _draw(learning, _chosen(learning, others), 1)
    return shown


def _chosen(learning: Learning, others: list[Picture]) -> Picture:
    """The picture on the right; a switch where there are several."""
    if len(others) == 1:
        return others[0]
    titles = [picture.title for picture in others]

    def chosen() -> None:
        title = st.session_state["lesson-chart"]
        learning.manner.chart = titles.index(title) if title in titles else learning.manner.chart

    st.session_state["lesson-chart"] = titles[learning.manner.chart]
    look: dict[str, Any] = {"label_visibility": "collapsed", "required": True, "on_change": chosen}
    st.segmented_control("Picture", titles, key="lesson-chart", **look)
    return others[learning.manner.chart]


def _draw(learning: Learning, picture: Picture, place: int) -> None:
    if isinstance(picture.figure, Plane):
        planes.draw(learning, picture, picture.figure)
        return
    key = f"{learning.name}-{place}-{learning.manner.chart if place else 0}"
    if learning.manner.present:
        picture.figure.update_layout(font={"size": 17}, height=LARGE, legend={"font": {"size": 16}})
        axis = {"title_font": {"size": 17}, "tickfont": {"size": 14}}
        picture.figure.update_xaxes(**axis).update_yaxes(**axis).update_annotations(font={"size": 15})
    st.plotly_chart(picture.figure, theme=None, key=key, config=camera(key), alt=picture.alt)
    st.caption(picture.caption)


def question(learning: Learning, shown: Question) -> None:
    """Predict, then reveal.  The answer is that of the state that was asked about, until the reader moves on from it."""
    name, lesson, before = learning.name, learning.lesson, learning.asked.get(learning.name)
    seen = before is not None and before != lesson and lesson == before.answered()
    asked = before.show(revealed=True, dark=dark()).question if seen and before else shown
    key = f"guess-{name}-{asked.text}"

    def reveal() -> None:
        chosen = st.session_state.get(key)
        learning.reveal(None if chosen is None else asked.options.index(chosen))

    with st.container(border=True, key="lesson-question"):
        st.markdown(f"**Predict:** {asked.text}")
        if before is None:
            look: dict[str, Any] = {"label_visibility": "collapsed", "help": "Guess, then reveal."}
            st.radio("Your answer", asked.options, index=None, key=key, **look)
            st.button("Reveal", type="primary", on_click=reveal, key="reveal", icon=":material/visibility:")
            return
        right = asked.options[asked.answer]
        answer = f"**{right[0].upper()}{right[1:]}.** {asked.because}"
        held = learning.guess and learning.guess[0] == before and (seen or before == lesson)
        guess = learning.guess[1] if learning.guess and held else None
        if guess == asked.answer:
            st.success(f"You are right. {answer}", icon=":material/check_circle:")
        else:
            said = "" if guess is None else f"You said: {asked.options[guess]}. "
            st.info(said + answer, icon=":material/lightbulb:")
        st.button("Ask me again", on_click=learning.ask_again, key="again", icon=":material/visibility_off:")


def words(learning: Learning, shown: Shown) -> None:
    for line in learning.lesson.lines:
        st.markdown(line)
    question(learning, shown.question)


def below(learning: Learning, shown: Shown) -> None:
    """Numbers, formulas and sources; for the points of the ellipse a table."""
    lesson = learning.lesson
    with st.container(horizontal=True, key="lesson-numbers"):
        for n in shown.numbers:
            tile(n.label, n.value, n.help, n.beside)
    with st.container(key="lesson-below"):
        left, right = st.columns(2, gap="large")
    with left, st.container(key="lesson-formulas"):
        for line in lesson.formulas:
            st.latex(line)
        st.caption(lesson.symbols)
        for mark, where in lesson.source:
            st.caption(f"**{mark}:** {where}")
    with right:
        _exercises(learning)
        if learning.name == "ellipse":
            planes.table(learning)


def _exercises(learning: Learning) -> None:
    """The tasks, each with its answer behind a button, and the switch for answers on paper."""

    def switched() -> None:
        learning.manner.answers = bool(st.session_state["lesson-answers-on"])

    with st.container(key="lesson-exercises"):
        st.subheader("Exercises", anchor=False)
        for k, one in enumerate(exercises(learning.name), 1):
            st.markdown(f"**{k}.** {one.task}")
            with st.popover("Answer", icon=":material/visibility:", key=f"exercise-{learning.name}-{k}"):
                st.markdown(one.answer)
    st.session_state["lesson-answers-on"] = learning.manner.answers
    with st.container(key="lesson-sheet"):
        help = "Print the page with your browser (Ctrl or Cmd and P): a sheet with the picture, the question and the exercises."
        st.toggle("Answers on the printed sheet", key="lesson-answers-on", on_change=switched, help=help)


def answers(learning: Learning, asked: Question) -> None:
    """The second page of the printed sheet, which the screen does not show."""
    if not learning.manner.answers:
        return
    with st.container(key="lesson-answers"):
        st.subheader(f"Answers: {learning.lesson.title}", anchor=False)
        right = asked.options[asked.answer]
        st.markdown(f"**Question:** {right[0].upper()}{right[1:]}. {asked.because}")
        for k, one in enumerate(exercises(learning.name), 1):
            st.markdown(f"**Exercise {k}:** {one.answer}")


def neighbours(learning: Learning) -> None:
    names = learning.order
    at = names.index(learning.name) if learning.name in names else 0
    with st.container(horizontal=True, horizontal_alignment="distribute", key="lesson-neighbours"):
        for k, icon in ((at - 1, ":material/arrow_back:"), (at + 1, ":material/arrow_forward:")):
            if 0 <= k < len(names):
                to = {"lesson": names[k]} | ({"path": str(learning.manner.path)} if learning.manner.path else {})
                st.page_link("pages/learn.py", label=LESSONS[names[k]].title, icon=icon, query_params=to)
        st.caption("The address bar holds this lesson in this state, as a link to share.")
