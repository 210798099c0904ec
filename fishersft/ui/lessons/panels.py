"""The Learn page around a lesson: which one, in which state, its controls, pictures, question and words.

A lesson's state lives in one typed object of the session and in the address; whichever changed last is right.  The points of
the first lesson have widgets of their own, in `plane.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import streamlit as st

from fishersft.errors import ParameterError
from fishersft.fields import Declared, changed, declared, make
from fishersft.lessons import ellipse
from fishersft.lessons.catalogue import LESSONS
from fishersft.lessons.lesson import Lesson, Picture, Question, Shown
from fishersft.ui.components import camera, dark, tile
from fishersft.ui.learn import PAGE
from fishersft.ui.session import Session

FIRST = next(iter(LESSONS))


@dataclass
class Learning:
    """One visitor's lessons.

    Attributes:
        name: the open lesson.
        states: each lesson as it was left.
        revealed: the lessons whose answer is shown.
        guess: the last answer, and the state in which it was given.
        generation: rises when anything but the table changes the points.
        base: the points that the table started from in this generation.
        address: what was last read from the address or written into it.
        written: what was last written.
    """

    name: str = FIRST
    states: dict[str, Lesson] = field(default_factory=lambda: {name: kind() for name, kind in LESSONS.items()})
    revealed: set[str] = field(default_factory=set)
    guess: tuple[Lesson, int] | None = None
    generation: int = 0
    base: ellipse.Points = ellipse.START
    address: dict[str, str] | None = None
    written: dict[str, str] | None = None

    @property
    def lesson(self) -> Lesson:
        return self.states[self.name]

    def change(self, **values: Any) -> None:
        """The open lesson, in another state."""
        self.states[self.name] = replace(self.lesson, **values)

    def put_points(self, points: ellipse.Points) -> None:
        """Points that did not come from the table, which starts again from them."""
        self.states["ellipse"] = replace(cast(ellipse.Ellipse, self.states["ellipse"]), points=points)
        self.base = points
        self.generation += 1


def current(visitor: Session) -> Learning:
    """The visitor's lessons, as the address says where it says something new."""
    learning: Learning = st.session_state.setdefault("fishersft_learning", Learning())
    said = {key: st.query_params[key] for key in st.query_params if key in _known()}
    if said and said != learning.address:
        _read(learning, said, visitor)
        learning.address = said
    return learning


def write_address(learning: Learning) -> None:
    """The lesson and what differs from its defaults."""
    lesson = learning.lesson
    wanted = {"lesson": learning.name}
    wanted |= {name: value if isinstance(value, str) else f"{value:g}" for name, value in changed(lesson).items()}
    if isinstance(lesson, ellipse.Ellipse) and lesson.points != ellipse.START:
        wanted["points"] = ellipse.write_points(lesson.points)
    for key in _known() - set(wanted):
        if key in st.query_params:
            del st.query_params[key]
    if learning.written != wanted or any(st.query_params.get(k) != v for k, v in wanted.items()):
        st.query_params.update(wanted)  # also after a link within the page, which tells the server and not the address bar
    learning.address = learning.written = wanted


def _known() -> set[str]:
    return {"lesson", "points", *(name for kind in LESSONS.values() for name in declared(kind))}


def _read(learning: Learning, said: dict[str, str], visitor: Session) -> None:
    """The lesson and the state that an address names; what it says wrongly is named on the page."""
    name = said.get("lesson", learning.name)
    if name not in LESSONS:
        visitor.notices.append(f"lesson {name[:24]} (one of: {', '.join(LESSONS)})")
        name = FIRST
    learning.name, kind, values = name, LESSONS[name], {}
    for key, one in declared(kind).items():
        values[key] = one.default
        if key in said:
            try:
                values[key] = getattr(make(kind, {key: said[key]}), key)
            except ParameterError:
                visitor.notices.append(f"{key} {said[key][:24]} ({one.what})")
        st.session_state[_key(name, key)] = values[key]
    if kind is ellipse.Ellipse:
        points: ellipse.Points = ellipse.START
        try:
            points = ellipse.read_points(said["points"]) if "points" in said else points
        except ParameterError as error:
            visitor.notices.append(str(error))
        learning.put_points(points)
        values["points"] = points
    learning.states[name] = kind(**values)


def _key(lesson: str, name: str) -> str:
    return f"{lesson}.{name}"


def contents(learning: Learning) -> None:
    """All lessons in a row; one of them is open."""
    st.session_state["lesson-tab"] = learning.name

    def opened() -> None:
        learning.name = st.session_state["lesson-tab"] or learning.name

    names = list(LESSONS)
    with st.container(key="lesson-contents"):
        st.pills(
            "Lesson",
            names,
            required=True,
            key="lesson-tab",
            format_func=lambda n: f"{names.index(n) + 1} {LESSONS[n].tab}",
            label_visibility="collapsed",
            on_change=opened,
        )


def controls(learning: Learning) -> None:
    """The one or two controls of the open lesson."""
    found = declared(type(learning.lesson))
    with st.container(key="lesson-controls"):
        for column, (name, one) in zip(st.columns(len(found)), found.items(), strict=True):
            key = _key(learning.name, name)
            if key not in st.session_state:
                st.session_state[key] = getattr(learning.lesson, name)
            with column:
                learning.change(**{name: _widget(one, key)})
    state = "; ".join(f"{one.label}: {getattr(learning.lesson, name)}" for name, one in found.items())
    with st.container(key="lesson-state"):  # on paper, where the controls are not
        st.caption(f"{state}.")


def _widget(one: Declared, key: str) -> Any:
    about = one.about
    if about.choices:
        return st.selectbox(one.label, about.choices, key=key, help=about.help)
    low, high, step = (one.type(number) for number in (about.least, about.most, about.step))
    return one.type(st.slider(one.label, low, high, step=step, format="%g", key=key, help=about.help))


def show(learning: Learning) -> Shown:
    """The open lesson, computed."""
    return learning.lesson.show(revealed=learning.name in learning.revealed, dark=dark())


def picture(shown: Picture, key: str) -> None:
    """One chart with its title, its alternative text and how to read it."""
    st.markdown(f"**{shown.title}**")
    st.plotly_chart(shown.figure, theme=None, key=key, config=camera(key), alt=shown.alt)
    st.caption(shown.caption)


def words(lesson: Lesson) -> None:
    """The sentences of the lesson."""
    for line in lesson.lines:
        st.markdown(line)


def numbers(shown: Shown) -> None:
    """The tiles, two a row."""
    with st.container(horizontal=True, key="lesson-numbers"):
        for n in shown.numbers:
            tile(n.label, n.value, n.help, n.beside)


def question(learning: Learning, asked: Question) -> None:
    """Predict, then reveal; once revealed, the answer follows the controls until it is hidden again."""
    name, lesson = learning.name, learning.lesson
    key = f"guess-{name}-{asked.text}"

    def reveal() -> None:
        learning.revealed.add(name)
        chosen = st.session_state.get(key)
        learning.guess = None if chosen is None else (lesson, asked.options.index(chosen))

    with st.container(border=True, key="lesson-question"):
        st.markdown(f"**Predict:** {asked.text}")
        if name not in learning.revealed:
            st.radio(
                "Your answer",
                asked.options,
                index=None,
                key=key,
                label_visibility="collapsed",
                help="Guess, then reveal.",
            )
            st.button("Reveal", type="primary", on_click=reveal, key="reveal", icon=":material/visibility:")
            return
        right = asked.options[asked.answer]
        answer = f"**{right[0].upper()}{right[1:]}.** {asked.because}"
        if learning.guess and learning.guess[0] == lesson:
            if learning.guess[1] == asked.answer:
                st.success(f"You are right. {answer}", icon=":material/check_circle:")
            else:
                st.info(f"You said: {asked.options[learning.guess[1]]}. {answer}", icon=":material/lightbulb:")
        else:
            st.info(answer, icon=":material/lightbulb:")
        st.button("Ask me again", on_click=lambda: learning.revealed.discard(name), key="again", icon=":material/visibility_off:")


def formula(lesson: Lesson) -> None:
    """The formula, its symbols, and where it comes from."""
    for line in lesson.formulas:
        st.latex(line)
    st.caption(lesson.symbols)
    for mark, where in lesson.source:
        st.caption(f"**{mark}:** {where}")


def neighbours(learning: Learning) -> None:
    """The lessons before and after."""
    names = list(LESSONS)
    at = names.index(learning.name)
    with st.container(horizontal=True, horizontal_alignment="distribute", key="lesson-neighbours"):
        for k, icon in ((at - 1, ":material/arrow_back:"), (at + 1, ":material/arrow_forward:")):
            if 0 <= k < len(names):
                st.page_link(PAGE, label=LESSONS[names[k]].title, icon=icon, query_params={"lesson": names[k]})
    st.caption("The address bar holds this lesson in this state, as a link to share. On paper the page has no controls.")
