"""Lesson: the criteria D, A, E and G, and why the best D-design is the best G-design (Kiefer and Wolfowitz, 1960).

A continuous design puts weights w, summing to 1, on k points; M(w) = sum of w_i x_i x_i^T and the leverage of x is
x^T M^-1 x.  Always sum of w_i leverage_i = d, so the worst leverage is at least d; w maximises log det M exactly when it is d.
The weights are found by the multiplicative algorithm (Titterington 1976; Silvey, Titterington and Torsney 1978):

    w_i <- w_i leverage_i / d        log det M never falls

From log det A <= d log(tr A / d) with A = M^-1 M(w*):   log det M(w*) - log det M <= d log(worst leverage / d).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

import fishersft.lessons.drawing as drawing
from fishersft.design.information import leverage, log_det
from fishersft.fields import parameter
from fishersft.lessons.lesson import (
    PAPER,
    READING,
    TEXTBOOK,
    Lesson,
    Number,
    Picture,
    Question,
    Shown,
    control,
    nats,
    percent,
    short,
)
from fishersft.plots.base import VERMILION, ink, style
from fishersft.selectors import DEFAULT_SELECTOR

CONVERGED = 1e-6  # worst leverage / d - 1
MOST_STEPS = 200_000
MOST_SHOWN = 60  # steps that the reader may take
KEPT = 0.01  # a weight that counts as kept


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
class Equivalence(Lesson):
    points: str = parameter(POOLS[0], "The rows that may be given weight.", choices=POOLS)
    steps: int = control(0, 0, MOST_SHOWN, 1, "Steps", "Each step multiplies a point's weight by its leverage over d.")

    name = "criteria"
    tab = "Criteria"
    title = "D, A, E, G and the equivalence theorem"
    terms = ("leverage", "worst leverage", "criteria", "equivalence theorem")
    lines = (
        "Four numbers judge a design: D, the volume of what is uncertain; A, its average; E, its worst direction; G, the worst "
        "prediction at any point of the pool. They can want different designs, but D and G never do.",
        "Leverage, the shade, is the variance of a prediction at each place of the plane. Weighted by the design its average "
        "is always d = 2, so the worst cannot be below 2.",
        "Give weight to points of high leverage, outside the line of leverage 2, and take it from those inside. When no point "
        "is left outside, the worst leverage is 2, and the same design has the largest log det.",
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

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        X = pool(self.points)
        path = [np.full(len(X), 1 / len(X))]  # the weights after each step
        for _ in range(MOST_SHOWN):
            path.append(step(X, path[-1]))
        w = path[self.steps]
        M = spread_out(X, w)
        inverse = 1 / np.linalg.eigvalsh(M)
        worst = float(leverage(M, X).max())
        numbers = (
            Number(
                "D: log det M",
                nats(log_det(M)),
                "Large is good. The bound beside it is proven: d log(worst leverage / d).",
                f"missing at most {nats(missing_at_most(worst, 2))}",
            ),
            Number("A: trace of M⁻¹", short(inverse.sum()), "The sum of the variances of the coefficients; small is good."),
            Number("E: largest variance", short(inverse.max()), "The largest eigenvalue of M⁻¹, along the worst direction."),
            Number("G: worst leverage", f"{worst:.3f}", "The largest xᵀ M⁻¹ x over the points; small is good.", "at best d = 2"),
        )
        outside = int((leverage(M, X) > 2 * (1 + 1e-3)).sum())
        pictures = (
            Picture(
                "Leverage over the plane",
                self._plane(X, w, M, dark, revealed),
                f"Leverage as shade over the plane, {len(X)} points with their weights as size, and the line where leverage is "
                f"2; {outside} of the points lie outside it.",
                f"Shade: leverage. Points: larger with more weight; crosses have less than 1%. Line: leverage 2; "
                f"{outside} of {len(X)} points lie outside.",
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

    def _plane(self, X: np.ndarray, w: np.ndarray, M: np.ndarray, dark: bool, revealed: bool) -> go.Figure:
        right, up = 1.2 * np.maximum(np.abs(X).max(0), np.abs(X).max() / 2)
        fig = drawing.plane(dark, (-right, right, -up, up), height=400)
        across, upwards = np.linspace(-right, right, 61), np.linspace(-up, up, 61)
        grid = np.stack([g.ravel() for g in np.meshgrid(across, upwards)], axis=1)
        blue, symbol = style(DEFAULT_SELECTOR, dark)
        ground = "#14171A" if dark else "#FFFFFF"
        bar = {"title": {"text": "leverage", "side": "top"}, "orientation": "h", "y": -0.22, "yanchor": "top", "len": 0.7}
        bar |= {"thickness": 10, "outlinewidth": 0, "tickvals": [0, 2, 4, 6, 8], "ticktext": ["0", "d = 2", "4", "6", "8+"]}
        fig.add_trace(
            go.Heatmap(
                x=across,
                y=upwards,
                z=np.minimum(leverage(M, grid), 8).reshape(61, 61),
                zmin=0,
                zmax=8,
                zsmooth="best",
                colorscale=[[0, ground], [1, "#7A5C00" if dark else "#F2C879"]],
                name="leverage",
                colorbar=bar,
                hovertemplate="leverage %{z:.2f}<extra></extra>",
            )
        )
        fig.add_trace(drawing.line(drawing.ellipse_of(np.linalg.inv(M), 2.0), "leverage 2", VERMILION, width=2.5))
        some = w > KEPT
        fig.add_trace(
            drawing.points(X[some], "weight", blue, symbol, 5 + 34 * np.sqrt(w[some]), outline=ink(dark)[0], opacity=0.9)
        )
        if (~some).any():
            fig.add_trace(drawing.points(X[~some], "less than 1%", ink(dark)[0], "x-thin-open", 6))
        if revealed:
            kept = X[optimal_weights(X) > KEPT]
            fig.add_trace(drawing.points(kept, "keeps weight at the optimum", ink(dark)[0], "circle-open", 30))
        return fig

    def _progress(self, worst: list[float], dark: bool) -> go.Figure:
        fig = drawing.axes(dark, "steps", "worst leverage")
        curve = np.stack([np.arange(len(worst)), worst], axis=1)
        fig.add_trace(drawing.line(np.array([[0, 2], [MOST_SHOWN, 2]]), "d = 2", ink(dark)[2], dash="dot"))
        fig.add_trace(drawing.line(curve, "worst leverage (G)", style(DEFAULT_SELECTOR, dark)[0]))
        return fig.add_trace(drawing.points(curve[[self.steps]], "this step", VERMILION, "circle-open", 14))
