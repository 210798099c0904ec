"""Lesson: D, A, E and G, four ways to call a design good, and one more row on which they disagree.

V = I + sum of w x x^T      noise of variance 1 and a prior of precision 1; the coefficients have covariance V^-1
D  log det V                large: the volume of the ellipse is small
A  trace of V^-1            small: the sum of the coefficients' variances
E  largest eigenvalue of V^-1     small: the variance along the worst direction, the ellipse's long axis
G  largest x^T V^-1 x over the design's rows and the candidates      small: the variance of the worst prediction
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

import fishersft.lessons.drawing as drawing
from fishersft.design.information import design_matrix, leverage, log_det
from fishersft.lessons.ellipse import LEVEL
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
    short,
)

CANDIDATES = np.array([[2.9, 0.45], [-0.25, 1.1], [1.75, 1.35]])
LETTERS = "PQR"
NAMES = ("D", "A", "E", "G")
LOOKS = (("candidate", "6 4"), ("green", "2 4"), ("purple", ""))  # of P, Q and R: colour and dash
TIED = 1e-6  # of a criterion, relatively


@dataclass(frozen=True)
class Criteria(Dragged):
    """A design of rows to drag, and three candidates for one more."""

    points: Points = ((1.6, 1.0, 1.0), (1.65, -0.95, 1.0))
    copies: int = control(1, 1, 10, 1, "Copies of the new row", "How many more rows are taken, all at one of the places.")

    name = "criteria"
    tab = "Criteria"
    title = "D, A, E and G: what is a good design?"
    terms = ("leverage", "worst leverage", "criteria")
    lines = (
        "Four numbers judge a design. D is log det V: the larger, the smaller the ellipse's area. A is the sum of the "
        "coefficients' variances. E is the variance along the ellipse's long axis.",
        "The leverage of a row x is xᵀ V⁻¹ x, the variance of a prediction there. G is the worst leverage among the rows that "
        "one wants to predict, here the design's and the three candidates.",
        "They may want different rows next: D asks what shrinks the area, so a long row pays even where much is known; E only "
        "looks at the worst direction; A is between them. TokenOD follows D.",
    )
    formulas = (
        r"D = \log\det V, \quad A = \mathrm{tr}\, V^{-1}",
        r"E = \lambda_{\max}(V^{-1}), \quad G = \max_x\, x^\top V^{-1} x",
    )
    symbols = (
        "V = I + Σ w x xᵀ is the design matrix, and V⁻¹ the covariance of the coefficients for noise of variance 1; tr is the "
        "sum of the diagonal, λ an eigenvalue. D should be large, and A, E and G small."
    )
    source = (
        (TEXTBOOK, "the alphabet of optimal design, since Kiefer (1959). That D and G agree in the end is in an appendix."),
    )

    @cached_property
    def matrix(self) -> np.ndarray:
        table = np.array(self.points, dtype=np.float64).reshape(-1, 3)
        return design_matrix([table[:, :2] * np.sqrt(table[:, 2:])], 2)

    def criteria(self, V: np.ndarray) -> tuple[float, float, float, float]:
        """D, A, E and G of a design."""
        inverse = 1 / np.linalg.eigvalsh(V)
        rows = np.concatenate([np.array(self.points).reshape(-1, 3)[:, :2], CANDIDATES])
        return log_det(V), float(inverse.sum()), float(inverse.max()), float(leverage(V, rows).max())

    @cached_property
    def after(self) -> list[tuple[float, float, float, float]]:
        """The criteria with the new rows at P, Q or R."""
        return [self.criteria(self.matrix + self.copies * np.outer(x, x)) for x in CANDIDATES]

    def wanted(self) -> dict[str, int]:
        """The candidate that each criterion wants; of two that are equally good, the first."""
        out = {}
        for k, name in enumerate(NAMES):
            values = np.array([row[k] for row in self.after]) * (-1 if name == "D" else 1)
            out[name] = int(np.flatnonzero(values <= values.min() + TIED * abs(values.min()))[0])
        return out

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        now, wanted = self.criteria(self.matrix), self.wanted()
        say = (nats, short, short, short)
        about = (
            "log det V; large is good. TokenOD makes this large.",
            "The trace of V⁻¹, the sum of the coefficients' variances; small is good.",
            "The largest eigenvalue of V⁻¹, the variance along the long axis; small is good.",
            "The largest xᵀ V⁻¹ x among the rows and candidates; small is good.",
        )
        names = ("D: log det V", "A: sum of variances", "E: worst direction", "G: worst leverage")
        numbers = tuple(
            Number(name, said(now[k]), help, self._beside(k) if revealed else "")
            for k, (name, said, help) in enumerate(zip(names, say, about, strict=True))
        )
        picture = Picture(
            "",
            self._plane(dark, revealed),
            f"{len(self.points)} rows of a design, and three hollow candidates: P, long and where much is known; Q, short and "
            "where little is known; R between them.",
            "Left, filled: the design's rows; hollow: candidates. Right, the ellipse of what is unknown"
            + (" and, as outlines, what it would be with P, Q or R." if revealed else "."),
        )
        D, A, E = (wanted[name] for name in "DAE")
        different = len({D, A, E})
        said = ", ".join(f"{name} wants {LETTERS[wanted[name]]}" for name in NAMES)
        question = Question(
            "One more row: P, Q or R. Do D, A and E want the same one?",
            ("yes, all three", "two of them do", "no, each wants a different one"),
            different - 1,
            f"{said}. Drag the rows: the choices turn with the design.",
        )
        return Shown((picture,), numbers, question)

    def _beside(self, k: int) -> str:
        return ", ".join(f"{letter} {short(row[k])}" for letter, row in zip(LETTERS, self.after, strict=True))

    def _plane(self, dark: bool, revealed: bool) -> Plane:
        wanted = self.wanted()
        words = [c + (": " + ", ".join(n for n in NAMES if wanted[n] == k) if revealed else "") for k, c in enumerate(LETTERS)]
        words = [w.removesuffix(": ") for w in words]
        return Plane(
            points=self.points,
            colours=drawing.colours(dark),
            reach=self.reach,
            hint=DRAG_ALL,
            weights=(LEAST_WEIGHT, MOST_WEIGHT),
            most=MOST_POINTS,
            follows=True,
            level=float(LEVEL),
            candidates=tuple((float(x), float(y), said) for (x, y), said in zip(CANDIDATES, words, strict=True)),
            theta=Coefficients(
                1.8,
                alt="The ellipse of what the design leaves unknown" + (", and with each candidate." if revealed else "."),
                after=tuple((k, *LOOKS[k]) for k in range(3)) if revealed else (),
                copies=self.copies,
            ),
            legend=tuple(("line", colour, f"with {c}", dash) for c, (colour, dash) in zip(LETTERS, LOOKS, strict=True))
            if revealed
            else (),
        )
