"""Lesson: a line through measurements, and where the next ones make its slope known best.

    y = a + b x + noise of variance s^2        a row is f(x) = (1, x); w  how often a place is measured
    V = sum of w f f^T,  Var(a, b) = s^2 V^-1,  Var(b) = s^2 / S,  S = sum of w (x - mean x)^2
    one more measurement at x:  S grows by n / (n + 1) (x - mean x)^2      n  the sum of w

The 95% band of the line at x is 1.96 s sqrt(f^T V^-1 f) wide to each side, x by x.  It is the shadow of the ellipse
{t : t^T V t <= 1.96^2 s^2} on f(x), and the slope's error bar is its shadow on the second axis.  s is taken as known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import fishersft.lessons.drawing as drawing
from fishersft.lessons.lesson import (
    DRAG_ALL,
    LEAST_WEIGHT,
    MOST_POINTS,
    MOST_WEIGHT,
    TEXTBOOK,
    Coefficients,
    Dragged,
    Measurements,
    Number,
    Picture,
    Plane,
    Points,
    Question,
    Shown,
    control,
    percent,
    several,
    short,
)

NORMAL = 1.96  # standard deviations to each side that hold 95%
TRUTH = (0.3, 0.6)  # intercept and slope
UP = 4.5  # of the plane, up and down
DRAWS = (0.6, -0.9, 0.4, -0.5, 1.1, -0.2, -1.2, 0.8)  # the noise of each measurement, in standard deviations
START: Points = tuple((x, e, 1.0) for x, e in zip((0.3, 0.8, 1.3, 1.8), DRAWS, strict=False))
END = 2.8  # of the places that may be measured
EVEN = 0.4  # the two ends are as good as each other where the mean of x is nearer to the middle


@dataclass(frozen=True)
class Regression(Dragged):
    """Measurements along x, to drag, repeat, add and remove; a point is (x, noise, weight)."""

    points: Points = START
    noise: float = control(1.0, 0.2, 2.0, 0.1, "Noise", "Standard deviation of one measurement, in units of y.")

    name = "line"
    tab = "Line"
    title = "A line and its error bar"
    terms = ("error bar", "regression line", "optimal design")
    lines = (
        "You measure y at places x that you choose, always with the same noise, and fit a line. Its slope has an error bar: if "
        "you repeated the whole experiment, about 95 bars in 100 would cover the true slope.",
        "Drag the points. The error bar depends on where you measure, and not on what you find there, so good places can be "
        "chosen before measuring anything. That is optimal design.",
        "On the right each line is one point: its intercept across, its slope upwards. The ellipse holds the lines that are "
        "still possible; its shadow on the upright axis is the slope's error bar.",
    )
    formulas = (
        r"\mathrm{Var}(\hat b) = \frac{s^2}{\sum_i w_i (x_i - \bar x)^2}",
        r"\hat a + \hat b x \pm 1.96\, s \sqrt{f(x)^\top V^{-1} f(x)}",
        r"f(x) = (1, x)^\top, \quad V = \textstyle\sum_i w_i f(x_i) f(x_i)^\top",
    )
    symbols = (
        "a is the intercept, b the slope, s the standard deviation of the noise (taken as known), w how often a place is "
        "measured, x̄ the weighted mean of x. The second line is the band. V is the design matrix of the next lesson, here "
        "without a prior. The ellipse is drawn so that its shadows are the error bars; it covers both coefficients jointly "
        f"with a probability of {percent(1 - np.exp(-(NORMAL**2) / 2))}."
    )
    source = ((TEXTBOOK, "simple linear regression with known variance; the band holds for each x by itself."),)

    @property
    def table(self) -> np.ndarray:
        """(n, 3): x, noise and weight."""
        return np.array(self.points, dtype=np.float64).reshape(-1, 3)

    @property
    def middle(self) -> float:
        """The weighted mean of x; 0 without points."""
        x, _, w = self.table.T
        return float(np.average(x, weights=w)) if len(x) else 0.0

    def spread(self, more: float | None = None) -> float:
        """Sum of w (x - mean x)^2, with one `more` measurement if there is one."""
        x, _, w = self.table.T
        if more is not None:
            x, w = np.append(x, more), np.append(w, 1.0)
        return float(w @ (x - np.average(x, weights=w)) ** 2) if len(x) else 0.0

    def bar(self, more: float | None = None) -> float:
        """Half the length of the slope's 95% error bar; infinite where all x are the same."""
        S = self.spread(more)
        return float(NORMAL * self.noise / np.sqrt(S)) if S > 1e-9 else np.inf

    def band(self, x: float) -> float:
        """Half the width of the 95% band at x."""
        S, n = self.spread(), self.table[:, 2].sum()
        return float(NORMAL * self.noise * np.sqrt(1 / n + (x - self.middle) ** 2 / S)) if S > 1e-9 else np.inf

    def candidates(self) -> np.ndarray:
        """(3,) places for one more measurement: in the middle of the points, towards the nearer end, at the farther end."""
        far = -END if self.middle > 0 else END
        near = -far if abs(self.middle) > EVEN else (self.middle - far) / 2
        return np.array([round(self.middle, 2), near, far])

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        bars = [self.bar(float(x)) for x in self.candidates()]
        finite = bool(np.isfinite(bars).any())
        best = int(np.argmin(bars)) if finite else 3
        numbers = (
            Number("Slope's error bar", _bar(self.bar()), "95%, to each side.", several(len(self.points), "place")),
            Number("Band at x = 0", _bar(self.band(0)), "The line's 95% error bar there, which is the intercept's."),
            Number("Band at x = −3", _bar(self.band(-3)), "Far from the points the line is known badly."),
        )
        picture = Picture(
            "",
            self._plane(bars, best if finite else -1, dark, revealed),
            f"{several(len(self.points), 'measurement')} along x with the fitted line and its band, and three hollow places A, B "
            "and C on the axis below.",
            "Left: the fitted line and, shaded, its 95% band; dotted: the true line. Right, upright bar: the slope's error bar."
            + (" Dashed: with one more measurement at the best place." if revealed and finite else ""),
        )
        listed = ", ".join(f"{letter} {_bar(bar)}" for letter, bar in zip("ABC", bars, strict=True))
        question = Question(
            "One more measurement, at A, B or C: where does it make the slope's error bar shortest?",
            ("A, in the middle of the points", "B", "C, at the farther end", "nowhere: only their number counts"),
            best,
            f"The error bar would be {listed}; now it is {_bar(self.bar())}. A place far from the mean of x is a longer lever. "
            "(If the truth may bend, measure between, too: this design trusts the line.)"
            if finite
            else "Without two different x no line can be fitted, wherever the first measurement is.",
        )
        return Shown((picture,), numbers, question)

    def _plane(self, bars: list[float], best: int, dark: bool, revealed: bool) -> Plane:
        words = [f"{c}: {_bar(bar)}" if revealed else c for c, bar in zip("ABC", bars, strict=True)]
        legend = [("line", "point", "fitted line and its 95% band", ""), ("line", "quiet", "true line", "2 3")]
        legend += [("line", "target", "slope's error bar", "")]
        legend += [("line", "candidate", f"with {'ABC'[best]}", "5 3")] if revealed and best >= 0 else []
        reach = max(1.0, min(6.0, 2.4 * self.noise))
        return Plane(
            points=self.points,
            colours=drawing.colours(dark),
            reach=self.reach,
            hint=DRAG_ALL.replace("a point,", "a point along x,"),
            title="Measurements, and the fitted line",
            across="x",
            upwards="y",
            weights=(LEAST_WEIGHT, MOST_WEIGHT),
            most=MOST_POINTS,
            follows=True,
            prior=(0.0, 0.0, 0.0),
            level=NORMAL**2,
            candidates=tuple((float(x), 0.35 - UP, said) for x, said in zip(self.candidates(), words, strict=True)),
            best=best if revealed else -1,
            theta=Coefficients(
                reach,
                title="Intercept and slope: what is still unknown",
                across="intercept, from its estimate",
                upwards="slope, from its estimate",
                alt=f"An ellipse around the origin; its shadow on the upright axis reaches {_bar(self.bar())}.",
                after=((best, "candidate", "6 4"),) if revealed and best >= 0 else (),
            ),
            line=Measurements(TRUTH, self.noise, UP, DRAWS),
            legend=tuple(legend),
        )


def _bar(half: float) -> str:
    return f"±{short(half)}" if np.isfinite(half) else "unknown"
