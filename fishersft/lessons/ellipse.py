"""Lesson: points in the plane, and the ellipse of what is still uncertain.

    V = sigma2 I + sum of w x x^T      w  weight of a point, as if its row occurred w times
    {t : t^T V t <= r}                 holds the unknown coefficients with probability 0.95: r = -2 log 0.05

That holds for a linear model with normal noise of variance 1 and a normal prior of precision sigma2, with t
counted from the estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import fishersft.lessons.drawing as drawing
from fishersft.design.information import design_matrix, gain, log_det
from fishersft.lessons.lesson import (
    DRAG_ALL,
    LEAST_WEIGHT,
    MOST_POINTS,
    MOST_WEIGHT,
    TEXTBOOK,
    Coefficients,
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

LEVEL = -2 * np.log(0.05)  # of a chi-squared with two degrees of freedom
START: Points = ((1.5, 0.5, 1.0), (1.0, -0.25, 1.0), (-2.0, 0.25, 1.0))


@dataclass(frozen=True)
class Ellipse(Dragged):
    """Points in the plane, to drag, weigh, add and remove."""

    points: Points = START
    sigma2: float = control(
        1.0,
        0.1,
        5.0,
        0.1,
        "sigma2",
        "Weight of the identity in V, the prior precision: how much is known before any point. It is not the noise.",
    )

    name = "ellipse"
    tab = "Ellipse"
    title = "Points and the ellipse"
    terms = ("design matrix", "sigma2", "log det", "nats", "ellipse")
    lines = (
        "A measurement is now any row x of two numbers, and y is x₁ θ₁ + x₂ θ₂ plus noise, with unknown coefficients θ. In a "
        "language model x is a token's embedding, the numbers that its last layer reads at a word or a part of one, and θ are "
        "that layer's weights.",
        "How well θ is then known is in the matrix V, which the paper calls the design matrix and statistics the information "
        "or precision matrix. It makes the ellipse: the θ that are plausible at 95%. Its area "
        "shrinks as log det V, the logarithm of V's determinant, grows.",
        "A row shrinks the ellipse most along its own direction, a long row more than a short one. Add rows along one line only, "
        "and the ellipse becomes thin and stays long: a poor design.",
    )
    formulas = (r"V = \sigma^2 I + \sum_i w_i\, x_i x_i^\top", r"(\theta - \hat\theta)^\top V (\theta - \hat\theta) \le 5.99")
    symbols = (
        "w is a row's weight, how often it is seen. sigma2, the weight of the identity I, says how much is known before any row. "
        "The ellipse holds θ with probability 95%, for normal noise of variance 1 and a normal prior of precision sigma2; it is "
        "drawn around the estimate. Logarithms are natural, and their unit is the nat."
    )
    source = ((TEXTBOOK, "Bayesian linear regression. The area is π · 5.99 / √det V, so it shrinks as log det V grows."),)

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
        best = int(np.argmax(gains))
        area, before = np.pi * half[0] * half[1], np.pi * LEVEL / self.sigma2
        numbers = (
            Number("log det gained", nats(log_det(V) - 2 * np.log(self.sigma2)), "log det V minus its value without points."),
            Number("Area of the ellipse", short(area), "Of the 95% region.", f"without points {short(before)}"),
            Number("Half axes", f"{short(half[0])}, {short(half[1])}", "Of the ellipse.", several(len(self.points), "point")),
        )
        picture = Picture(
            "",
            self._plane(gains, best, dark, revealed),
            f"{several(len(self.points), 'point')} in the plane of rows, larger where the weight is larger, and three hollow "
            "candidates A, B and C.",
            "Left, each point is a row. Right, the filled ellipse is what the rows leave unknown; dotted: without any row"
            + ("; dashed: with the best of the three." if revealed else "."),
        )
        lengths = [np.linalg.norm(x) for x in self.candidates()]
        listed = ", ".join(f"{letter} {nats(g)} (length {short(n)})" for letter, g, n in zip("ABC", gains, lengths, strict=True))
        question = Question(
            "One more row of weight 1: which of the hollow places A, B and C shrinks the ellipse's area most?",
            ("A", "B", "C"),
            best,
            f"log det V would grow by {listed}. The area falls by the factor exp(−gain / 2), here {np.exp(-gains[best] / 2):.2f} "
            "(dashed). Length counts, and so does what is not yet known in that direction.",
        )
        return Shown((picture,), numbers, question)

    def _plane(self, gains: list[float], best: int, dark: bool, revealed: bool) -> Plane:
        words = [f"{c}: {nats(g)}" if revealed else c for c, g in zip("ABC", gains, strict=True)]
        alt = f"An ellipse with half axes {' and '.join(map(short, drawing.semi_axes(self.matrix, LEVEL)[0]))}."
        return Plane(
            points=self.points,
            colours=drawing.colours(dark),
            reach=self.reach,
            hint=DRAG_ALL,
            weights=(LEAST_WEIGHT, MOST_WEIGHT),
            most=MOST_POINTS,
            follows=True,
            prior=(self.sigma2, 0.0, self.sigma2),
            level=float(LEVEL),
            candidates=tuple((float(x), float(y), said) for (x, y), said in zip(self.candidates(), words, strict=True)),
            theta=Coefficients(2.6, alt=alt, after=((best, "candidate", "6 4"),) if revealed else ()),
        )
