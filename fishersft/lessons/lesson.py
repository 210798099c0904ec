"""What every lesson shares: a frozen dataclass whose declared parameters are its controls, and what it shows in that state.

A lesson is a state: `show` computes its pictures, numbers and question from the fields alone, so a link that carries the fields
opens the same lesson, and the answer to the question is always that of the picture.  Everything is computed on small arrays, by
`fishersft.design` wherever it can do it.  Knows no Streamlit and no address.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import plotly.graph_objects as go

from fishersft import fields
from fishersft.errors import ParameterError

PAPER = "In the paper"
READING = "Our reading"
OURS = "Ours, not in the paper"
TEXTBOOK = "Textbook"
Points = tuple[tuple[float, float, float], ...]  # x, y and weight
MOST_POINTS, LEAST_WEIGHT, MOST_WEIGHT = 40, 0.001, 100.0
DRAG = "Drag it, click where it should be, or Tab to it and press the arrow keys."
DRAG_ALL = "Drag a point, or Tab to it: arrow keys move it, + and − change its weight, Delete removes it."


def control(default: float, low: float, high: float, step: float, label: str, help: str) -> Any:
    """A field that the reader changes with a slider."""
    return fields.parameter(default, help, label=label, least=low, most=high, step=step)


@dataclass(frozen=True)
class Question:
    """Predict, then reveal."""

    text: str  # asked about the state on the screen
    options: tuple[str, ...]
    answer: int  # index of the right one, computed
    because: str  # the numbers behind it


@dataclass(frozen=True)
class Number:
    """A tile: a number with its unit, what it means, and what to compare it with."""

    label: str
    value: str
    help: str
    beside: str = ""


Symmetric = tuple[float, float, float]  # a, b, c of [[a, b], [b, c]]
Places = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Marks:
    """Places of a plane under one marker."""

    places: Places
    marker: str  # plotly's name
    colour: str  # a key of the plane's colours
    open: bool = False
    size: float = 1.0


@dataclass(frozen=True)
class Measurements:
    """What makes a plane one of measurements: a point (x, e, w) is seen at (x, truth(x) + noise e), and its row is (1, x)."""

    truth: tuple[float, float]  # intercept and slope
    noise: float  # the standard deviation of one measurement
    up: float  # of the plane, up and down
    draws: tuple[float, ...]  # the noise e of points that are added


@dataclass(frozen=True)
class Coefficients:
    """The plane of coefficients beside one of rows: the ellipse t^T V t = level, and those of V with one more row."""

    reach: float
    title: str = "Coefficients θ: what is still unknown"
    across: str = "first coefficient"
    upwards: str = "second coefficient"
    alt: str = "An ellipse around the origin: the coefficients that the rows leave possible, from their estimate."
    after: tuple[tuple[int, str, str], ...] = ()  # of a candidate: its number, colour and dash
    copies: int = 1  # of that row


@dataclass(frozen=True)
class Plane:
    """A plane of rows whose points are dragged, drawn by the browser, with V = prior + sum of w x x^T where it follows them."""

    points: Points
    colours: dict[str, str]  # by what they paint
    reach: float  # of the plane, in each direction
    hint: str
    title: str = "Rows x"
    across: str = "first coordinate of a row"
    upwards: str = "second coordinate"
    names: tuple[str, ...] = ()  # of points that are not numbered
    fixed: bool = False  # points are moved, and never added, removed or weighed
    ring: float = 0.0  # the length that every point keeps; 0 for any
    weights: tuple[float, float] = (1.0, 1.0)  # the least and the greatest
    most: int = 1  # the greatest number of points
    follows: bool = False
    prior: Symmetric = (1.0, 0.0, 1.0)
    level: float = 1.0
    around: float = 0.0  # the leverage whose line is drawn among the rows; 0 for none
    candidates: tuple[tuple[float, float, str], ...] = ()  # x, y and text of places that are only shown
    best: int = -1  # the candidate whose effect is drawn
    theta: Coefficients | None = None
    line: Measurements | None = None
    dots: Places = ()
    marks: tuple[Marks, ...] = ()
    curves: tuple[tuple[Places, str, str], ...] = ()  # points, colour and dash
    arrows: tuple[tuple[float, float, str], ...] = ()  # rows from the origin
    legend: tuple[tuple[str, str, str, str], ...] = ()  # marker, colour, text and dash
    cloud: Places = ()  # rows of a target, from its point
    ridge: float = 0.0  # of the target's second moment
    told: bool = True  # whether the variance on the target is said

    def to_json(self) -> str:
        """What the browser is given."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Picture:
    """A chart, a description for those who cannot see it, and how to read it."""

    title: str
    figure: go.Figure | Plane
    alt: str
    caption: str


@dataclass(frozen=True)
class Shown:
    pictures: tuple[Picture, ...]
    numbers: tuple[Number, ...]
    question: Question


@dataclass(frozen=True)
class Lesson(ABC):
    name: ClassVar[str]  # in addresses
    tab: ClassVar[str]  # the name in the row of lessons
    title: ClassVar[str]  # the heading
    terms: ClassVar[tuple[str, ...]]  # the words that it explains
    lines: ClassVar[tuple[str, ...]]  # three or four short sentences
    formulas: ClassVar[tuple[str, ...]]  # TeX, each short enough for a phone
    symbols: ClassVar[str]  # the meaning of the symbols in the formulas
    source: ClassVar[tuple[tuple[str, str], ...]]  # PAPER, READING, OURS or TEXTBOOK, and where

    def __post_init__(self) -> None:
        fields.check(self)

    def answered(self) -> Self:
        """The state in which the answer to this state's question is seen."""
        return self

    @abstractmethod
    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        """The lesson in this state; what answers the question is drawn once it is revealed."""


@dataclass(frozen=True)
class Dragged(Lesson):
    """A lesson whose first picture is a `Plane`; the default of `points` is where it starts.

    Raises:
        ParameterError: points outside the plane, or not as many as the lesson has.
    """

    points: Points = ()
    reach: ClassVar[float] = 3.0  # of the plane, in each direction
    alone: ClassVar[str] = ""  # the one point that the lesson has, if there is but one
    begins: ClassVar[str] = ""  # the control that puts the points back

    def __post_init__(self) -> None:
        super().__post_init__()
        for x, y, w in self.points:
            if not (abs(x) <= self.reach and abs(y) <= self.reach and LEAST_WEIGHT <= w <= MOST_WEIGHT):
                raise ParameterError(
                    f"points '{x:g},{y:g},{w:g}' (x and y from -{self.reach:g} to {self.reach:g}, weight from {LEAST_WEIGHT:g} "
                    f"to {MOST_WEIGHT:g})"
                )
        if len(self.points) > MOST_POINTS:
            raise ParameterError(f"{len(self.points)} points (at most {MOST_POINTS})")
        if self.alone and len(self.points) != 1:
            raise ParameterError(f"{len(self.points)} points (this lesson has one {self.alone})")

    @property
    def place(self) -> np.ndarray:
        """(2,) of the one point."""
        return np.array(self.points[0][:2])


def read_points(text: str) -> Points:
    """Points from "x,y,w;x,y,w", as an address carries them.

    Raises:
        ParameterError: not numbers.
    """
    found = []
    for part in filter(None, text.split(";")):
        try:
            x, y, w = (round(float(n), 3) for n in part.split(","))
        except ValueError as error:
            raise ParameterError(f"points '{part[:24]}' (three numbers: x, y and weight)") from error
        found.append((x, y, w))
    return tuple(found)


def write_points(points: Points) -> str:
    return ";".join(",".join(f"{round(n, 3):g}" for n in point) for point in points)


def places(xy: np.ndarray) -> Places:
    """(n, 2) as pairs."""
    return tuple((round(float(x), 3), round(float(y), 3)) for x, y in xy)


def symmetric(A: np.ndarray) -> Symmetric:
    return float(A[0, 0]), float(A[0, 1]), float(A[1, 1])


def several(n: float, noun: str) -> str:
    """`1 sentence`, `3 sentences`."""
    return f"{n:,g} {noun}" if n == 1 else f"{n:,g} {noun}s"


def percent(share: float, digits: int = 0) -> str:
    """`37%`."""
    return f"{100 * share:.{digits}f}%"


def nats(value: float | np.floating[Any]) -> str:
    """Three significant digits with the unit."""
    return f"{short(value)} nats"


def short(value: float | np.floating[Any]) -> str:
    """At most three significant digits, thousands separated."""
    return (f"{value:,.0f}" if abs(float(value)) >= 100 else f"{value:.3g}").replace("-", "−")
