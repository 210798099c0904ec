"""Appendix: why the best D-design is the best G-design (Kiefer and Wolfowitz, 1960).

A continuous design puts weights w, summing to 1, on k points; M(w) = sum of w_i x_i x_i^T and the leverage of x is
x^T M^-1 x.  Always sum of w_i leverage_i = d, so the worst leverage is at least d; w maximises log det M exactly when it is d.
The weights are found by the multiplicative algorithm (Titterington 1976; Silvey, Titterington and Torsney 1978):

    w_i <- w_i leverage_i / d        log det M never falls

From log det A <= d log(tr A / d) with A = M^-1 M(w*):   log det M(w*) - log det M <= d log(worst leverage / d).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go

import fishersft.lessons.drawing as drawing
from fishersft.design.information import leverage, log_det
from fishersft.errors import ParameterError
from fishersft.fields import parameter
from fishersft.lessons.lesson import (
    LEAST_WEIGHT,
    PAPER,
    READING,
    TEXTBOOK,
    Dragged,
    Marks,
    Number,
    Picture,
    Plane,
    Points,
    Question,
    Shown,
    control,
    nats,
    percent,
    places,
)
from fishersft.plots.base import VERMILION, ink, style
from fishersft.selectors import DEFAULT_SELECTOR

CONVERGED = 1e-6  # worst leverage / d - 1
MOST_STEPS = 200_000
MOST_SHOWN = 60  # steps that the reader may take
LEAST_SPREAD = 0.1  # of the points in their second direction
KEPT = 0.01  # a weight that counts as kept
SEEN = 30.0  # times its weight is a point's size


def spread_out(X: np.ndarray, w: np.ndarray) -> np.ndarray:
    """M(w), (d, d), for rows X (k, d) and weights (k,)."""
    return (X * w[:, None]).T @ X


def step(X: np.ndarray, w: np.ndarray) -> np.ndarray:
    """One step of the multiplicative algorithm; weights keep their sum."""
    return w * leverage(spread_out(X, w), X) / X.shape[1]


def optimal_weights(X: np.ndarray, most: int = MOST_STEPS) -> np.ndarray:
    """(k,) D-optimal weights: the worst leverage is within a millionth of d, or as close as `most` steps bring it."""
    d = X.shape[1]
    w = np.full(len(X), 1 / len(X))
    for _ in range(most):
        inverse = np.linalg.inv(spread_out(X, w))
        h = np.einsum("ij,jk,ik->i", X, inverse, X)
        if h.max() <= d * (1 + CONVERGED):
            break
        # a point whose leverage is far enough below d is in no optimal design (Harman and Pronzato 2007)
        excess = h.max() - d
        w = np.where(h < d * (1 + excess / 2 - np.sqrt(excess * (4 + excess - 4 / d)) / 2), 0.0, w * h / d)
        w /= w.sum()
    return w


def missing_at_most(worst: float, d: int) -> float:
    """An upper bound on how much larger the log det of any design can be, in nats."""
    return float(d * np.log(max(worst, d) / d))


POOLS = ("a cloud", "three directions", "two clusters", "a ring")


def pool(name: str) -> np.ndarray:
    rng = np.random.default_rng(7)
    if name == "three directions":
        return np.array([[2.0, 0.0], [0.0, 1.0], [1.2, 0.7]])
    if name == "two clusters":
        common = np.array([1.8, 0.4]) + 0.25 * rng.normal(size=(17, 2))
        return np.concatenate([common, np.array([-0.4, 1.5]) + 0.2 * rng.normal(size=(3, 2))])
    if name == "a ring":
        angle = np.arange(7) * np.pi / 7
        return 1.8 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return rng.normal(size=(20, 2)) * [1.1, 0.6]


@dataclass(frozen=True)
class Equivalence(Dragged):
    """Points of a pool, to drag, and the weights of a design among them; without points of its own it has the pool's."""

    points: Points = ()
    among: str = parameter(POOLS[0], "The rows that may be given weight.", label="Points", choices=POOLS)
    steps: int = control(0, 0, MOST_SHOWN, 1, "Steps", "Each step multiplies a point's weight by its leverage over d.")

    begins = "among"
    name = "equivalence"
    tab = "Appendix: equivalence"
    title = "The best design for D is the best for G"
    terms = ("equivalence theorem",)
    lines = (
        "Give each row of a pool a weight, and let the weights sum to 1. D and G then want the same weights: those with the "
        "largest log det also have the smallest worst leverage.",
        "Leverage, the variance of a prediction, is 2 on the orange line, less inside and more outside. Weighted by the design, "
        "the average over the points is always d = 2, so the worst cannot be below 2.",
        "Give weight to the points outside the line, and take it from those inside. When no point "
        "is left outside, the worst leverage is 2, and log det is at its largest.",
    )
    formulas = (
        r"M(w) = \sum_i w_i\, x_i x_i^\top",
        r"w^* = \arg\max_w\, \log\det M(w)",
        r"\iff \max_i\, x_i^\top M(w^*)^{-1} x_i = d",
    )
    symbols = "w are weights that sum to 1, M is V per unit of weight without its prior, d the number of dimensions."
    source = (
        (TEXTBOOK, "Kiefer and Wolfowitz (1960)."),
        (PAPER, "it maximises log det and claims a small worst-case prediction error."),
        (READING, "this theorem is why one brings the other. It is exact for weights, and only a guide for whole sentences."),
    )

    def answered(self) -> Equivalence:
        return replace(self, steps=MOST_SHOWN)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.points and (len(self.points) < 3 or np.linalg.svd(self.rows, compute_uv=False)[1] < LEAST_SPREAD):
            raise ParameterError(f"{len(self.points)} points (at least three, and not all on one line through the origin)")

    @property
    def rows(self) -> np.ndarray:
        """(k, 2) points."""
        return np.array(self.points)[:, :2] if self.points else pool(self.among)

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        X = self.rows
        path = [np.full(len(X), 1 / len(X))]  # the weights after each step
        for _ in range(MOST_SHOWN):
            path.append(step(X, path[-1]))
        w = path[self.steps]
        M = spread_out(X, w)
        worst = float(leverage(M, X).max())
        outside = int((leverage(M, X) > 2 * (1 + 1e-3)).sum())
        numbers = (
            Number(
                "D: log det M",
                nats(log_det(M)),
                "Large is good. The bound beside it is proven: d log(worst leverage / d).",
                f"missing at most {nats(missing_at_most(worst, 2))}",
            ),
            Number("G: worst leverage", f"{worst:.3f}", "The largest xᵀ M⁻¹ x over the points; small is good.", "at best d = 2"),
            Number("Points outside", f"{outside}", "Points whose leverage is above 2.", f"of {len(X)}"),
        )
        pictures = (
            Picture(
                "",
                self._plane(X, w, dark, revealed),
                f"{len(X)} points with their weights as size, and the line where leverage is 2; {outside} of the points lie "
                "outside it.",
                f"Points: larger with more weight. Line: leverage 2; {outside} of {len(X)} points lie outside"
                + (". Rings: those that keep weight in the best design." if revealed else "."),
            ),
            Picture(
                "The worst leverage falls to d",
                self._progress([float(leverage(spread_out(X, w), X).max()) for w in path], dark),
                "The worst leverage against the steps of the algorithm, falling towards 2.",
                "Each step multiplies every weight by its point's leverage over d. Dotted: d. Ring: this step.",
            ),
        )
        best = optimal_weights(X)
        best = best[best > KEPT]
        counts = [c for c in range(2, max(4, len(best)) + 1) if c <= len(X)]  # one point leaves a direction unknown
        question = Question(
            f"In the best design for these {len(X)} points, how many keep more than 1% of the weight?",
            tuple(f"{c} of {len(X)}" for c in counts),
            counts.index(len(best)),
            f"Their shares: {', '.join(map(percent, np.sort(best)[::-1]))}. In two dimensions some best design needs no more "
            "than three. The ellipse of leverage 2 is then the smallest one around the origin that holds every point, and "
            "touches those that keep weight (marked on the picture).",
        )
        return Shown(pictures, numbers, question)

    def _plane(self, X: np.ndarray, w: np.ndarray, dark: bool, revealed: bool) -> Plane:
        kept = X[optimal_weights(X) > KEPT] if revealed else X[:0]
        return Plane(
            points=tuple((float(x), float(y), max(LEAST_WEIGHT, float(SEEN * v))) for (x, y), v in zip(X, w, strict=True)),
            colours=drawing.colours(dark),
            reach=self.reach,
            hint="Drag a point, or Tab to it and press the arrow keys.",
            title="The points and their weights",
            fixed=True,
            most=len(X),
            follows=True,
            prior=(0.0, 0.0, 0.0),
            around=2 / SEEN,
            marks=(Marks(places(kept), "circle", "ink", open=True, size=2.6),),
            legend=(("line", "target", "leverage 2", ""),),
        )

    def _progress(self, worst: list[float], dark: bool) -> go.Figure:
        fig = drawing.axes(dark, "steps", "worst leverage")
        curve = np.stack([np.arange(len(worst)), worst], axis=1)
        fig.add_trace(drawing.line(np.array([[0, 2], [MOST_SHOWN, 2]]), "d = 2", ink(dark)[2], dash="dot"))
        fig.add_trace(drawing.line(curve, "worst leverage (G)", style(DEFAULT_SELECTOR, dark)[0]))
        return fig.add_trace(drawing.points(curve[[self.steps]], "this step", VERMILION, "circle-open", 14))
