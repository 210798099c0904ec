"""The Learn page around a lesson: which one, in which state, its controls, pictures, question and words.

A lesson's state lives in one typed object of the session and in the address; whichever changed last is right.  The points of
the first lesson are dragged, weighted, added and removed on a picture, by pointer and keyboard, and in a table, and the target
of the last one is dragged; one small component (plane.html, .css, .js beside this file) draws them, gets the whole state and
sends back the points.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
import streamlit as st

from fishersft.errors import ParameterError
from fishersft.fields import changed, declared, make
from fishersft.lessons import LESSONS, ellipse
from fishersft.lessons.lesson import Dragged, Lesson, Picture, Plane, Points, Question, Shown, TargetPlane, several
from fishersft.ui.components import camera, dark, tile
from fishersft.ui.session import Session

FIRST = next(iter(LESSONS))
KNOWN = {"lesson", "points", *(name for kind in LESSONS.values() for name in declared(kind))}  # in the address
ACTS = ("add", "move the nearest", "remove the nearest")
KEY = "plane"  # of the component, with the lesson's name

_PLANE: dict[str, Any] = {
    kind: Path(__file__).with_name(f"plane.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
}
_plane = st.components.v2.component("fishersft_plane", **_PLANE)


@dataclass
class Learning:
    """One visitor's lessons: the open one, and each as it was left."""

    name: str = FIRST
    states: dict[str, Lesson] = field(default_factory=lambda: {name: kind() for name, kind in LESSONS.items()})
    revealed: set[str] = field(default_factory=set)  # the lessons whose answer is shown
    guess: tuple[Lesson, int] | None = None  # the last answer, and the state in which it was given
    generation: int = 0  # rises when anything but the table changes the points
    base: Points = ellipse.START  # the points that the table started from in this generation
    address: dict[str, str] | None = None  # what was last read from the address or written into it
    written: dict[str, str] | None = None  # what was last written

    @property
    def lesson(self) -> Lesson:
        return self.states[self.name]

    @property
    def points(self) -> Points:
        """The points of the open lesson, as they are now."""
        return cast(Dragged, self.lesson).points

    def change(self, **values: Any) -> None:
        self.states[self.name] = replace(self.lesson, **values)

    def put_points(self, points: Points) -> None:
        """Take points that did not come from the table, which starts again from them."""
        self.change(points=points)
        self.base = points
        self.generation += 1


def current(visitor: Session) -> Learning:
    """The visitor's lessons, as the address says where it says something new."""
    learning: Learning = st.session_state.setdefault("fishersft_learning", Learning())
    said = {key: st.query_params[key] for key in st.query_params if key in KNOWN}
    if said and said != learning.address:
        _read(learning, said, visitor)
        learning.address = said
    return learning


def write_address(learning: Learning) -> None:
    """Write the lesson and what differs from its defaults."""
    lesson = learning.lesson
    wanted = {"lesson": learning.name}
    wanted |= {name: value if isinstance(value, str) else f"{value:g}" for name, value in changed(lesson).items()}
    if isinstance(lesson, Dragged) and lesson.points != type(lesson).points:
        wanted["points"] = ellipse.write_points(lesson.points)
    for key in KNOWN - set(wanted):
        if key in st.query_params:
            del st.query_params[key]
    if learning.written != wanted or any(st.query_params.get(k) != v for k, v in wanted.items()):
        st.query_params.update(wanted)  # also after a link within the page, which tells the server and not the address bar
    learning.address = learning.written = wanted


def _read(learning: Learning, said: dict[str, str], visitor: Session) -> None:
    """Open the lesson and the state that an address names; what it says wrongly is named on the page."""
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
        st.session_state[f"{name}.{key}"] = values[key]
    learning.states[name] = kind(**values)
    if issubclass(kind, Dragged):
        points = kind.points
        try:
            points = kind(points=ellipse.read_points(said["points"])).points if "points" in said else points
        except ParameterError as error:
            visitor.notices.append(str(error))
        learning.put_points(points)


def contents(learning: Learning) -> None:
    st.session_state["lesson-tab"] = learning.name

    def opened() -> None:
        learning.name = st.session_state["lesson-tab"] or learning.name

    tabs = {name: f"{k} {kind.tab}" for k, (name, kind) in enumerate(LESSONS.items(), 1)}
    look: dict[str, Any] = {"required": True, "key": "lesson-tab", "label_visibility": "collapsed", "on_change": opened}
    with st.container(key="lesson-contents"):
        st.pills("Lesson", list(tabs), format_func=tabs.__getitem__, **look)


def controls(learning: Learning) -> None:
    found = declared(type(learning.lesson))
    with st.container(key="lesson-controls"):
        for column, (name, one) in zip(st.columns(len(found)), found.items(), strict=True):
            about, key = one.about, f"{learning.name}.{name}"
            st.session_state.setdefault(key, getattr(learning.lesson, name))
            if about.choices:
                value = column.selectbox(one.label, about.choices, key=key, help=about.help)
            else:
                low, high, step = (one.type(number) for number in (about.least, about.most, about.step))
                value = one.type(column.slider(one.label, low, high, step=step, format="%g", key=key, help=about.help))
            learning.change(**{name: value})
    state = "; ".join(f"{one.label}: {getattr(learning.lesson, name)}" for name, one in found.items())
    with st.container(key="lesson-state"):  # on paper, where the controls are not
        st.caption(f"{state}.")


def pictures(learning: Learning) -> Shown:
    """Compute the open lesson and draw its pictures; the first lesson has a table of its points under its plane."""
    place = st.container()
    if learning.name == "ellipse":
        _table(learning)
    shown = learning.lesson.show(revealed=learning.name in learning.revealed, dark=dark())
    with place:
        for k, picture in enumerate(shown.pictures):
            if isinstance(picture.figure, Plane):
                _draw_plane(learning, picture, picture.figure)
                continue
            key = f"{learning.name}-{k}"
            st.markdown(f"**{picture.title}**")
            st.plotly_chart(picture.figure, theme=None, key=key, config=camera(key), alt=picture.alt)
            st.caption(picture.caption)
    return shown


def _draw_plane(learning: Learning, picture: Picture, plane: Plane) -> None:
    """The plane, and the choice of what a click on it does; a click moves a target there."""
    act, key, start = ACTS[1], f"{KEY}-{learning.name}", type(cast(Dragged, learning.lesson)).points
    aimed = isinstance(plane, TargetPlane)
    with st.container(key="plane-acts", horizontal=True, vertical_alignment="bottom"):
        if not aimed:
            help = (
                "Add a point of weight 1, or weight to the point that is clicked; move the nearest point there; or remove it. "
                "Points can be dragged in any case."
            )
            look: dict[str, Any] = {"default": "add", "required": True, "key": "plane-act", "help": help}
            act = str(st.segmented_control("A click on the picture will", ACTS, **look))
        st.button("Start again", icon=":material/restart_alt:", on_click=lambda: learning.put_points(start))
        if not aimed:
            st.button("Clear", icon=":material/delete:", on_click=lambda: learning.put_points(()), help="Remove every point.")

    def moved() -> None:
        points = told(st.session_state[key]["points"])
        learning.put_points((points[:1] or learning.points) if aimed else points)

    st.markdown(f"**{picture.title}**")
    _plane(key=key, data={**asdict(plane), "act": act, "alt": picture.alt}, on_points_change=moved)
    st.caption(picture.caption)


def told(points: Any) -> Points:
    """The points that a browser sent, as far as they are points."""
    rows = [row for row in points if isinstance(row, list) and len(row) == 3] if isinstance(points, list) else []
    return clean(pd.DataFrame(rows, columns=["x", "y", "weight"]))[0]


def _table(learning: Learning) -> None:
    """The points as numbers; rows are added at the end and removed with the box before them."""
    if f"points-{learning.generation}" not in st.session_state and learning.base != learning.points:
        learning.put_points(learning.points)  # the table's own memory ends with a visit to another lesson
    reach, number = ellipse.REACH, st.column_config.NumberColumn
    inside: dict[str, Any] = {"min_value": -reach, "max_value": reach, "required": True, "step": 0.001}
    weight: dict[str, Any] = {"min_value": ellipse.LEAST_WEIGHT, "max_value": ellipse.MOST_WEIGHT, "step": 0.001, "default": 1.0}
    weight["help"] = "How often the row is seen."
    edited = st.data_editor(
        pd.DataFrame(learning.base, columns=["x", "y", "weight"], dtype=float),
        num_rows="dynamic",
        hide_index=True,
        key=f"points-{learning.generation}",
        alt="The points: coordinates and weight",
        column_config={"x": number("x", **inside), "y": number("y", **inside), "weight": number("weight", **weight)},
    )
    points, left_out = clean(edited)
    learning.change(points=points)
    if left_out:
        why = f"a number is missing or outside ±{reach:g}, or there are more than {ellipse.MOST_POINTS} points"
        st.caption(f"{several(left_out, 'row')} left out: {why}.")


def clean(table: pd.DataFrame) -> tuple[Points, int]:
    """The rows that are points, and how many are not."""
    numbers = table[["x", "y", "weight"]].apply(pd.to_numeric, errors="coerce").round(3)
    inside = (numbers[["x", "y"]].abs() <= ellipse.REACH).all(axis=1)
    weighted = numbers["weight"].between(ellipse.LEAST_WEIGHT, ellipse.MOST_WEIGHT)
    kept = numbers[inside & weighted].head(ellipse.MOST_POINTS)
    points = tuple((float(x), float(y), float(w)) for x, y, w in kept.itertuples(index=False))
    return points, len(numbers) - len(points)


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
            look: dict[str, Any] = {"label_visibility": "collapsed", "help": "Guess, then reveal."}
            st.radio("Your answer", asked.options, index=None, key=key, **look)
            st.button("Reveal", type="primary", on_click=reveal, key="reveal", icon=":material/visibility:")
            return
        right = asked.options[asked.answer]
        answer = f"**{right[0].upper()}{right[1:]}.** {asked.because}"
        guess = learning.guess[1] if learning.guess and learning.guess[0] == lesson else None
        if guess == asked.answer:
            st.success(f"You are right. {answer}", icon=":material/check_circle:")
        else:
            said = "" if guess is None else f"You said: {asked.options[guess]}. "
            st.info(said + answer, icon=":material/lightbulb:")
        st.button("Ask me again", on_click=lambda: learning.revealed.discard(name), key="again", icon=":material/visibility_off:")


def words(learning: Learning, shown: Shown) -> None:
    lesson = learning.lesson
    for line in lesson.lines:
        st.markdown(line)
    question(learning, shown.question)
    with st.container(horizontal=True, key="lesson-numbers"):
        for n in shown.numbers:
            tile(n.label, n.value, n.help, n.beside)
    for line in lesson.formulas:
        st.latex(line)
    st.caption(lesson.symbols)
    for mark, where in lesson.source:
        st.caption(f"**{mark}:** {where}")


def neighbours(learning: Learning) -> None:
    names = list(LESSONS)
    at = names.index(learning.name)
    with st.container(horizontal=True, horizontal_alignment="distribute", key="lesson-neighbours"):
        for k, icon in ((at - 1, ":material/arrow_back:"), (at + 1, ":material/arrow_forward:")):
            if 0 <= k < len(names):
                st.page_link("pages/learn.py", label=LESSONS[names[k]].title, icon=icon, query_params={"lesson": names[k]})
    st.caption("The address bar holds this lesson in this state, as a link to share. On paper the page has no controls.")
