"""Lesson: points in the plane, and the ellipse of what is still uncertain.

    V = sigma2 I + sum of w x x^T      w  weight of a point, as if its row occurred w times
    {t : t^T V t <= r}                 holds the unknown coefficients with probability 0.95: r = -2 log 0.05

That holds for a linear model with noise of variance 1 and a prior of precision sigma2.  D is log det V, A the trace of V^-1,
E its largest eigenvalue, G the largest x^T V^-1 x over the points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import fishersft.lessons.drawing as drawing
from fishersft.design.information import design_matrix, gain, leverage, log_det
from fishersft.errors import ParameterError
from fishersft.lessons.lesson import (
    TEXTBOOK,
    Dragged,
    Number,
    Picture,
    Plane,
    Points,
    Question,
    Shown,
    control,
    nats,
    several,
    short,
)
from fishersft.plots.base import ORANGE, ink, style
from fishersft.selectors import DEFAULT_SELECTOR

REACH = 3.0  # of the plane, in each direction
MOST_POINTS, LEAST_WEIGHT, MOST_WEIGHT = 40, 0.001, 100.0
LEVEL = -2 * np.log(0.05)  # of a chi-squared with two degrees of freedom
START: Points = ((1.5, 0.5, 1.0), (1.0, -0.25, 1.0), (-2.0, 0.25, 1.0))


def read_points(text: str) -> Points:
    """Points from "x,y,w;x,y,w", as an address carries them.

    Raises:
        ParameterError: not numbers, too many, or outside the plane.
    """
    found = []
    for part in filter(None, text.split(";")):
        numbers = part.split(",")
        try:
            x, y, w = (round(float(n), 3) for n in numbers)
        except ValueError as error:
            raise ParameterError(f"points '{part[:24]}' (three numbers: x, y and weight)") from error
        if not (abs(x) <= REACH and abs(y) <= REACH and LEAST_WEIGHT <= w <= MOST_WEIGHT):
            raise ParameterError(
                f"points '{part[:24]}' (x and y from -{REACH:g} to {REACH:g}, weight from {LEAST_WEIGHT:g} to {MOST_WEIGHT:g})"
            )
        found.append((x, y, w))
    if len(found) > MOST_POINTS:
        raise ParameterError(f"{len(found)} points (at most {MOST_POINTS})")
    return tuple(found)


def write_points(points: Points) -> str:
    return ";".join(",".join(f"{round(n, 3):g}" for n in point) for point in points)


@dataclass(frozen=True)
class Ellipse(Dragged):
    """Points in the plane, to drag, weigh, add and remove."""

    points: Points = START
    sigma2: float = control(1.0, 0.1, 5.0, 0.1, "sigma2", "Weight of the identity in V: how much is known before any point.")

    name = "ellipse"
    tab = "Ellipse"
    title = "Points and the ellipse"
    terms = ("design matrix", "sigma2", "log det", "nats", "ellipse")
    lines = (
        "Each point is a row x, one token's embedding, here in two dimensions; the ellipse is what you still do not know about "
        "a linear model after seeing its rows.",
        "A row shrinks the ellipse in its own direction, a long row more than a short one; its weight counts how often it is "
        "seen.",
        "Drag a point, or add some along one line: the ellipse becomes thin and stays long. A poor design looks like that.",
    )
    formulas = (r"V = \sigma^2 I + \sum_i w_i\, x_i x_i^\top", r"\{\theta : \theta^\top V \theta \le 5.99\}")
    symbols = (
        "X is the matrix of rows x, V the design matrix, sigma2 the weight of the identity, w a weight. The ellipse is the 95% "
        "region of the coefficients, moved to the origin, for noise of variance 1. Logarithms are natural; their unit is the nat."
    )
    source = ((TEXTBOOK, "Bayesian linear regression; D, A, E and G are the classical criteria of optimal design."),)

    @property
    def matrix(self) -> np.ndarray:
        table = np.array(self.points, dtype=np.float64).reshape(-1, 3)
        return design_matrix([table[:, :2] * np.sqrt(table[:, 2:])], 2, self.sigma2)

    def candidates(self) -> np.ndarray:
        """(3, 2) places for one more point: long along what is known best, short along what is known least, and between."""
        _, directions = drawing.semi_axes(self.matrix)  # columns: least known first
        least, best = (d * (1.0 if d[np.argmax(np.abs(d))] > 0 else -1.0) for d in directions.T)
        return np.stack([2.4 * best, 1.1 * least, 1.6 * (best - least) / np.sqrt(2)])

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        V = self.matrix
        half, _ = drawing.semi_axes(V, LEVEL)
        gains = [gain(V, x[None]) for x in self.candidates()]
        f = log_det(V) - 2 * np.log(self.sigma2)
        inverse = np.linalg.eigvalsh(V) ** -1
        table = np.array(self.points).reshape(-1, 3)
        worst = f"{leverage(V, table[:, :2]).max():.3g}" if len(table) else "–"
        numbers = (
            Number(
                "D: log det gained",
                nats(f),
                "log det V minus its value without points; the ellipse's area is π · 5.99 / √det V. TokenOD makes this large.",
                f"area {short(np.pi * half[0] * half[1])}",
            ),
            Number("A: trace of V⁻¹", short(inverse.sum()), "The sum of the variances of the two coefficients; small is good."),
            Number(
                "E: largest variance",
                short(inverse.max()),
                "The largest eigenvalue of V⁻¹: the variance along the ellipse's long axis.",
                f"half axes {short(half[0])} and {short(half[1])}",
            ),
            Number(
                "G: worst leverage",
                worst,
                "The largest xᵀ V⁻¹ x over your points: the variance of the worst prediction among them.",
                several(len(self.points), "point"),
            ),
        )
        picture = Picture(
            "Your points and the 95% ellipse",
            self._plane(gains, dark, revealed),
            f"{several(len(self.points), 'point')} in the plane, larger where the weight is larger, and an ellipse with half "
            f"axes {short(half[0])} and {short(half[1])}; three hollow candidates A, B and C.",
            "Blue: points, larger with more weight. Line: the 95% ellipse; dotted: without any point. A, B, C: candidates of "
            "the question. Under the plane: what the points gain, and the leverage where the pointer is.",
        )
        lengths = [np.linalg.norm(x) for x in self.candidates()]
        listed = ", ".join(f"{letter} {nats(g)} (length {short(n)})" for letter, g, n in zip("ABC", gains, lengths, strict=True))
        best = int(np.argmax(gains))
        question = Question(
            "One more point of weight 1: which of the hollow places A, B and C shrinks the ellipse's area most?",
            ("A", "B", "C"),
            best,
            f"Their gains are {listed}. The area falls by the factor exp(−gain / 2), here {np.exp(-gains[best] / 2):.2f}. Length "
            "counts, and so does what is not yet known in that direction.",
        )
        return Shown((picture,), numbers, question)

    def _plane(self, gains: list[float], dark: bool, revealed: bool) -> Plane:
        text, grid, quiet = ink(dark)
        words = [f"{c}: {short(g)}" if revealed else c for c, g in zip("ABC", gains, strict=True)]
        return Plane(
            points=self.points,
            sigma2=self.sigma2,
            level=float(LEVEL),
            reach=REACH,
            weights=(LEAST_WEIGHT, MOST_WEIGHT),
            most=MOST_POINTS,
            candidates=tuple((float(x), float(y), said) for (x, y), said in zip(self.candidates(), words, strict=True)),
            colours={"point": style(DEFAULT_SELECTOR, dark)[0], "candidate": ORANGE, "ink": text, "grid": grid, "quiet": quiet},
        )
