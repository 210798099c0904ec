"""A visitor's lessons: which is open, each as it was left, what is revealed; and how the address carries that.

A lesson's state lives in one typed object of the session and in the address; whichever changed last is right.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

import streamlit as st

from fishersft.errors import ParameterError
from fishersft.fields import changed, declared, make
from fishersft.lessons import LESSONS, PATHS
from fishersft.lessons.lesson import Dragged, Lesson, Points, read_points, write_points
from fishersft.ui.address import AddressBar
from fishersft.ui.session import Session

FIRST = next(iter(LESSONS))


@dataclass
class Manner:
    """How the page shows a lesson; in the address where it differs."""

    path: int = 0  # minutes of the path that is followed; 0 for all lessons
    chart: int = 0  # which of the pictures on the right
    present: bool = False  # the presenter's view
    step: int = 0  # in the presenter's view
    answers: bool = False  # on the printed sheet


MANNER = tuple(one.name for one in fields(Manner))
KNOWN = {"lesson", "points", *MANNER, *(name for kind in LESSONS.values() for name in declared(kind))}  # in the address


@dataclass
class Learning:
    """One visitor's lessons: the open one, and each as it was left."""

    name: str = FIRST
    states: dict[str, Lesson] = field(default_factory=lambda: {name: kind() for name, kind in LESSONS.items()})
    asked: dict[str, Lesson] = field(default_factory=dict)  # of the lessons whose answer is shown: the state that was asked about
    guess: tuple[Lesson, int] | None = None  # the last answer, and the state in which it was given
    manner: Manner = field(default_factory=Manner)
    generation: int = 0  # rises when anything but the table changes the points
    base: Points = ()  # the points that the table started from in this generation
    address: AddressBar = field(default_factory=AddressBar)
    told: dict[str, str] | None = None  # what was last written into the address

    @property
    def lesson(self) -> Lesson:
        return self.states[self.name]

    @property
    def points(self) -> Points:
        """The points of the open lesson, as they are now."""
        return cast(Dragged, self.lesson).points

    @property
    def revealed(self) -> bool:
        return self.name in self.asked

    @property
    def steps(self) -> int:
        """Of the open lesson in the presenter's view: its sentences, the question, the answer."""
        return len(self.lesson.lines) + 2

    @property
    def order(self) -> list[str]:
        """The lessons of the path, or all of them."""
        return list(PATHS.get(self.manner.path, LESSONS))

    def change(self, **values: Any) -> None:
        self.states[self.name] = replace(self.lesson, **values)

    def put(self, lesson: Lesson) -> None:
        """Show a state of the open lesson: its controls follow."""
        self.states[self.name] = lesson
        for key in declared(type(lesson)):
            st.session_state[f"{self.name}.{key}"] = getattr(lesson, key)
        if isinstance(lesson, Dragged):
            self.put_points(lesson.points)

    def put_points(self, points: Points) -> None:
        """Take points that did not come from the table, which starts again from them."""
        self.change(points=points)
        self.base = points
        self.generation += 1

    def open(self, name: str, step: int = 0) -> None:
        self.name, self.manner.chart, self.manner.step = name, 0, step

    def present(self) -> None:
        """Begin the presenter's view with the open lesson."""
        self.manner.present, self.manner.step = True, 0

    def move(self, by: int) -> None:
        """One step on or back in the presenter's view, into the next lesson or the one before."""
        names, step = self.order, min(self.manner.step, self.steps - 1) + by
        at = names.index(self.name) if self.name in names else 0
        if 0 <= step < self.steps:
            self.manner.step = step
        elif 0 <= at + by < len(names):
            self.open(names[at + by])
            self.manner.step = 0 if by > 0 else self.steps - 1

    def reveal(self, guess: int | None = None) -> None:
        """Show the answer, in the state in which it is seen."""
        self.manner.step = self.steps - 1 if self.manner.present else 0
        if self.revealed:
            return
        self.asked[self.name] = self.lesson
        self.guess = None if guess is None else (self.lesson, guess)
        self.put(self.lesson.answered())

    def ask_again(self) -> None:
        """Hide the answer; the state that was asked about comes back, unless the reader has moved on."""
        self.manner.step = min(self.manner.step, self.steps - 2) if self.manner.present else 0
        asked = self.asked.pop(self.name, None)
        if asked and self.lesson == asked.answered():
            self.put(asked)


def current(visitor: Session) -> Learning:
    """The visitor's lessons, as the address says where it says something new."""
    learning: Learning = st.session_state.setdefault("fishersft_learning", Learning())
    said = {key: st.query_params[key] for key in st.query_params if key in KNOWN}
    if said and learning.address.news(said):
        _read(learning, said, visitor)
        learning.address.now = said
    return learning


def write_address(learning: Learning) -> None:
    """Write the lesson and what differs from its defaults."""
    lesson = learning.lesson
    wanted = {"lesson": learning.name}
    wanted |= {name: value if isinstance(value, str) else f"{value:g}" for name, value in changed(lesson).items()}
    if isinstance(lesson, Dragged) and lesson.points != type(lesson).points:
        wanted["points"] = write_points(lesson.points)
    for key in MANNER:
        value = getattr(learning.manner, key)
        wanted |= {key: str(value).lower()} if value else {}
    for key in KNOWN - set(wanted):
        if key in st.query_params:
            del st.query_params[key]
    if learning.told != wanted or any(st.query_params.get(k) != v for k, v in wanted.items()):
        st.query_params.update(wanted)  # also after a link within the page, which tells the server and not the address bar
    learning.address.write(wanted)
    learning.told = wanted


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
            points = kind(points=read_points(said["points"])).points if "points" in said else points
        except ParameterError as error:
            visitor.notices.append(str(error))
        learning.put_points(points)
    learning.manner = _manner(said, visitor)


def _manner(said: dict[str, str], visitor: Session) -> Manner:
    found = Manner()
    choices = {"path": [str(minutes) for minutes in PATHS], "present": ["true", "false"], "answers": ["true", "false"]}
    choices |= {"chart": ["0", "1"], "step": [str(k) for k in range(10)]}
    for key in MANNER:
        if key in said and said[key] not in choices[key]:
            visitor.notices.append(f"{key} {said[key][:24]} (one of: {', '.join(choices[key])})")
        elif key in said:
            setattr(found, key, said[key] == "true" if key in ("present", "answers") else int(said[key]))
    return found
