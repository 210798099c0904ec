"""What every lesson shares: a frozen dataclass whose declared parameters are its controls, and what it shows in that state.

A lesson is a state: `show` computes its pictures, numbers and question from the fields alone, so a link that carries the fields
opens the same lesson, and the answer to the question is always that of the picture.  Everything is computed on small arrays, by
`fishersft.design` wherever it can do it.  Knows no Streamlit and no address.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import plotly.graph_objects as go

from fishersft import fields

PAPER = "In the paper"
READING = "Our reading"
OURS = "Ours, not in the paper"
TEXTBOOK = "Textbook"
Points = tuple[tuple[float, float, float], ...]  # x, y and weight


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


@dataclass(frozen=True)
class Plane:
    """A plane whose points are dragged, drawn by the browser with the ellipse t^T V t = level, V = sigma2 I + sum w x x^T."""

    points: Points
    sigma2: float
    level: float
    reach: float  # of the plane, in each direction
    weights: tuple[float, float]  # the least and the greatest
    most: int  # the greatest number of points
    candidates: tuple[tuple[float, float, str], ...]  # x, y and text of places that are only shown
    colours: dict[str, str]  # by what they paint

    def to_json(self) -> str:
        """What the browser is given."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class TargetPlane(Plane):
    """A plane whose one point is a target that is dragged; V is given, and the target's second moment is drawn as it moves.

    A symmetric matrix [[a, b], [b, c]] is (a, b, c).
    """

    cloud: tuple[tuple[float, float], ...] = ()  # the target's rows, from its point
    ridge: float = 0.0  # of its second moment
    design: tuple[float, float, float] = (1.0, 0.0, 1.0)  # V of the picks
    moment: tuple[float, float, float] = (1.0, 0.0, 1.0)  # their rows' second moment
    sentences: tuple[tuple[float, float], ...] = ()
    picks: tuple[tuple[float, float], ...] = ()
    marker: str = ""  # of the picks
    told: bool = True  # whether the variance on the target is said


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

    @abstractmethod
    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        """The lesson in this state; what answers the question is drawn once it is revealed."""


@dataclass(frozen=True)
class Dragged(Lesson):
    """A lesson whose first picture is a `Plane`; the default of `points` is where it starts."""

    points: Points = ()


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
