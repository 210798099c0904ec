"""Lesson: why log det has diminishing returns.

The gain of a row is log(1 + x^T V^-1 x); adding any row makes V^-1 smaller, so no gain ever grows (submodularity).  A row of
length 1 that is in the design k times already gains log((k + 2) / (k + 1)) under sigma2 = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from fishersft.design.information import design_matrix, gain
from fishersft.lessons import drawing
from fishersft.lessons.lesson import PAPER, TEXTBOOK, Lesson, Number, Picture, Question, Shown, control, nats
from fishersft.plots.base import ORANGE, faint, ink, style
from fishersft.selectors import DEFAULT_SELECTOR

A = np.array([1.0, 0.0])
LENGTH_B = 0.6
MOST = 12


def gains_beside(copies: int, angle: float) -> tuple[float, float]:
    """What one more copy of A, and what B at an angle (degrees) to it, would gain where A is there `copies` times; nats."""
    V = design_matrix([np.tile(A, (copies, 1))], 2)
    return gain(V, A[None]), gain(V, row_b(angle)[None])


def times(n: int) -> str:
    """How often, in words."""
    return {0: "not at all", 1: "once", 2: "twice"}.get(n, f"{n} times")


def row_b(angle: float) -> np.ndarray:
    """B, shorter than A, in degrees from it."""
    return LENGTH_B * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])


@dataclass(frozen=True)
class Returns(Lesson):
    """The same row again and again."""

    copies: int = control(2, 0, MOST, 1, "Copies of A in the design", "How often row A has been seen.")
    angle: int = control(60, 0, 90, 5, "Angle of B to A (degrees)", "0: B points where A points; 90: in a new direction.")

    name = "returns"
    tab = "Returns"
    title = "Diminishing returns"
    terms = ("gain", "diminishing returns", "submodularity")
    lines = (
        "The first copy of a row says much, the second less: the ellipse is already thin in its direction.",
        "A row in another direction keeps its gain, the better the closer it is to a right angle, but it never gains more than "
        "before. That is submodularity.",
        "So a selector that looks at gains is slow to take duplicates, and a short row in a new direction can beat a "
        "long one in an old direction.",
    )
    formulas = (
        r"\log\frac{\det(V + x x^\top)}{\det V} = \log(1 + x^\top V^{-1} x)",
        r"V \preceq V' \Rightarrow x^\top V'^{-1} x \le x^\top V^{-1} x",
    )
    symbols = (
        "V is the design matrix before, x a new row, sigma2 = 1; the gain of x is what it adds to log det V. A has length 1 and "
        "B has length 0.6."
    )
    source = (
        (TEXTBOOK, "the matrix determinant lemma."),
        (PAPER, "Algorithm 2 is correct because gains only shrink."),
    )

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        again, other = gains_beside(self.copies, self.angle)
        first, hidden = gains_beside(0, self.angle), nats(other) if revealed else "?"
        together = sum(gains_beside(k, self.angle)[0] for k in range(self.copies))
        copies = f"{self.copies} {'copy' if self.copies == 1 else 'copies'}"
        numbers = (
            Number("One more copy of A", nats(again), f"The gain of copy {self.copies + 1}.", f"the first: {nats(first[0])}"),
            Number("B", hidden, "The gain of B; shown with the answer.", f"without any A: {nats(first[1])}"),
            Number("A, all copies", nats(together), "log det gained by all the copies of A together.", copies),
        )
        shown = "up to the copies in the design; the rest comes with the answer." if not revealed else "and beyond."
        pictures = (
            Picture(
                "The two rows, and what is still uncertain",
                self._plane(dark),
                f"Row A of length 1 along the first axis, row B at {self.angle} degrees to it, and the ellipse of V after "
                f"{self.copies} copies of A.",
                "Line: the ellipse θᵀ V θ = 1 after the copies of A; dotted: before any. It becomes thin only along A.",
            ),
            Picture(
                "What each would gain",
                self._curves(dark, revealed),
                "Gain in nats against the copies of A already in the design, for another copy of A and for B; both fall.",
                f"Gains against the copies already there, {shown}",
            ),
        )
        return Shown(pictures, numbers, self._question(again, other))

    def _question(self, again: float, other: float) -> Question:
        apart = again - other
        answer = 2 if abs(apart) <= 0.02 * max(again, other) else int(apart < 0)
        return Question(
            f"A is there {times(self.copies)}. Which gains more now: A once more, or B, which is only 0.6 as long?",
            ("A once more", "B", "about the same (within 2%)"),
            answer,
            f"A once more gains {nats(again)}, B gains {nats(other)}. Change the copies: the answer turns where the curves "
            "cross, if they do.",
        )

    def _plane(self, dark: bool) -> go.Figure:
        fig = drawing.plane(dark, (-1.25, 1.25, -1.15, 1.15), height=drawing.LOW)
        blue, _ = style(DEFAULT_SELECTOR, dark)
        V = design_matrix([np.tile(A, (self.copies, 1))], 2)
        fig.add_trace(drawing.line(drawing.ellipse_of(np.eye(2)), "before", ink(dark)[2], dash="dot", width=1.5))
        fig.add_trace(drawing.line(drawing.ellipse_of(V), "ellipse", blue, fill="toself", fillcolor=faint(blue, 0.12)))
        for row, letter, colour, symbol in ((A, "A", blue, "circle"), (row_b(self.angle), "B", ORANGE, "diamond")):
            fig.add_trace(drawing.line(np.stack([np.zeros(2), row]), letter, colour, showlegend=False))
            named = {"mode": "markers+text", "text": [letter], "textposition": "top center", "showlegend": False}
            fig.add_trace(drawing.points(row[None], letter, colour, symbol, 11, **named))
        return fig

    def _curves(self, dark: bool, revealed: bool) -> go.Figure:
        fig = drawing.axes(dark, "copies of A already in the design", "gain (nats)")
        known = np.arange(MOST + 1) if revealed else np.arange(self.copies + 1)
        both = np.array([gains_beside(int(k), self.angle) for k in known])
        blue, _ = style(DEFAULT_SELECTOR, dark)
        fig.update_xaxes(range=[-0.4, MOST + 0.4], dtick=2)
        fig.update_yaxes(rangemode="tozero")
        series = [("A once more", blue, "circle", both[:, 0])]
        series += [("B", ORANGE, "diamond", both[:, 1])] if revealed else []
        for name, colour, symbol, y in series:
            fig.add_trace(drawing.curve(known, y, name, colour, symbol, "%{y:.3f} nats"))
        drawing.here(fig, self.copies)
        return fig
