"""What every lesson shares: a frozen dataclass whose fields are its controls, and what it shows in that state.

A lesson is a state: `show` computes its pictures, its numbers and its question from the fields alone, so a link that carries
the fields opens the same lesson, and the answer to the question is always that of the picture.  Computing is done on small
arrays, by `fishersft.design` wherever it can do it.  Knows no Streamlit and no address.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    import plotly.graph_objects as go

PAPER = "In the paper"
READING = "Our reading"
OURS = "Ours, not in the paper"
TEXTBOOK = "Textbook"


@dataclass(frozen=True)
class Control:
    """A number that the reader may change: its range, and what it means."""

    label: str
    help: str
    low: float
    high: float
    step: float

    def fits(self, value: float) -> bool:
        return bool(self.low <= value <= self.high)


@dataclass(frozen=True)
class Choice:
    """One of a few named states."""

    label: str
    help: str
    options: tuple[str, ...]


def control(default: float, low: float, high: float, step: float, label: str, help: str) -> Any:
    """A field for a number; whole where the default is."""
    return field(default=default, metadata={"control": Control(label, help, low, high, step)})


def choice(label: str, help: str, *options: str) -> Any:
    """A field for one of some names; the first is the default."""
    return field(default=options[0], metadata={"control": Choice(label, help, options)})


@dataclass(frozen=True)
class Question:
    """Predict, then reveal.

    Attributes:
        text: asked of the state on the screen.
        options: what may be answered.
        answer: the number of the right one, computed.
        because: the numbers behind it.
    """

    text: str
    options: tuple[str, ...]
    answer: int
    because: str


@dataclass(frozen=True)
class Number:
    """A tile: a number with its unit, what it means, and what to compare it with."""

    label: str
    value: str
    help: str
    beside: str = ""


@dataclass(frozen=True)
class Plane:
    """A plane whose points are dragged, drawn by the browser with the ellipse {t : t^T V t <= level}, V = sigma2 I + sum w x x^T.

    Attributes:
        points: (x, y, weight) each.
        reach: of the plane, in each direction.
        weights: the least and the greatest.
        most: points.
        candidates: (x, y, text) each, places that are only shown.
        colours: by what they paint.
    """

    points: tuple[tuple[float, float, float], ...]
    sigma2: float
    level: float
    reach: float
    weights: tuple[float, float]
    most: int
    candidates: tuple[tuple[float, float, str], ...]
    colours: dict[str, str]

    def to_json(self) -> str:
        """What the browser is given."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Picture:
    """A chart, what it says for those who cannot see it, and how to read it."""

    title: str
    figure: go.Figure | Plane
    alt: str
    caption: str


@dataclass(frozen=True)
class Shown:
    """A lesson in its state."""

    pictures: tuple[Picture, ...]
    numbers: tuple[Number, ...]
    question: Question


@dataclass(frozen=True)
class Lesson(ABC):
    """One page of teaching.

    Class attributes:
        name: in addresses.
        title: on screen.
        lines: three or four short sentences.
        formulas: TeX, each short enough for a phone.
        symbols: what stands for what in the formula.
        source: (PAPER, READING, OURS or TEXTBOOK, where).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    lines: ClassVar[tuple[str, ...]]
    formulas: ClassVar[tuple[str, ...]]
    symbols: ClassVar[str]
    source: ClassVar[tuple[tuple[str, str], ...]]

    @abstractmethod
    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        """The lesson in this state; what answers the question is drawn once it is revealed."""

    @classmethod
    def controls(cls) -> dict[str, tuple[Control | Choice, Any]]:
        """Of each field that is a control: the control and its default."""
        return {f.name: (f.metadata["control"], f.default) for f in fields(cls) if "control" in f.metadata}


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
    """Three significant digits at most, thousands separated."""
    return (f"{value:,.0f}" if abs(float(value)) >= 100 else f"{value:.3g}").replace("-", "−")
