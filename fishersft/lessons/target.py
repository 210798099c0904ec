"""Lesson: a design for a target: D-optimal, V-optimal and matched picks of one pool, for a target that is dragged.

All sentences have the same number of tokens, so equal sentences are equal tokens.  M_A is the target's second moment, each text
weighing the same; the mean variance of predictions on it is tr(M_A V^-1), the mean of x^T V^-1 x over its rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import islice

import numpy as np
import plotly.graph_objects as go

import fishersft.lessons.drawing as drawing
from fishersft.design.greedy import greedy
from fishersft.design.information import design_matrix
from fishersft.design.rows import TokenEmbeddings
from fishersft.design.targeted import RIDGE, SteinRule, VarianceRule, aimed, target_moment
from fishersft.fields import parameter
from fishersft.lessons.ellipse import LEVEL
from fishersft.lessons.lesson import (
    DRAG,
    OURS,
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
    places,
    several,
    short,
    symmetric,
)
from fishersft.plots.base import VERMILION, faint, style
from fishersft.selectors import DEFAULT_SELECTOR

TOPICS = ((1.9, 0.5, 34), (-1.3, 1.5, 20), (0.5, -1.9, 16), (0.8, 1.1, 14), (-0.8, -0.6, 12))  # x, y and sentences
TOKENS, TEXTS, MOST, NEAR = 4, 6, 30, 0.75
DESIGNS = {"TokenOD": DEFAULT_SELECTOR, "VOptimal": "v_optimal", "TargetMatched": "target_matched"}
WHY = {
    "TokenOD": "TokenOD spends its picks on every direction, also on those that the target does not have.",
    "VOptimal": "VOptimal looks one pick ahead, and here that was a detour.",
    "TargetMatched": "TargetMatched takes rows like the target's; a longer row in the same direction, of whatever topic, would "
    "lower the variance more.",
}


@lru_cache(maxsize=1)
def pool() -> TokenEmbeddings:
    """Ninety-six sentences of four tokens in five topics."""
    rng = np.random.default_rng(5)
    means = np.concatenate([np.array([x, y]) + 0.28 * rng.normal(size=(n, 2)) for x, y, n in TOPICS])
    return TokenEmbeddings.of(list(means[:, None] + 0.15 * rng.normal(size=(len(means), TOKENS, 2))))


@lru_cache(maxsize=1)
def cloud() -> np.ndarray:
    """(6, 4, 2) rows of the target's texts, from its point."""
    rows = 0.2 * np.random.default_rng(7).normal(size=(TEXTS, TOKENS, 2))
    return np.round(rows - rows.mean((0, 1)), 3)


@lru_cache(maxsize=64)
def orders(x: float, y: float) -> dict[str, list[int]]:
    """The first thirty picks of each design for a target at a place, which no budget changes."""
    M = target_moment(TokenEmbeddings.of(cloud() + np.array([x, y])))
    steps = {
        "TokenOD": greedy(pool()),
        "VOptimal": aimed(VarianceRule(pool(), M)),
        "TargetMatched": aimed(SteinRule(pool(), M)),
    }
    return {name: [pick.position for pick in islice(picks, MOST)] for name, picks in steps.items()}


@dataclass(frozen=True)
class TargetLesson(Dragged):
    """Five topics and a target to drag."""

    points: Points = ((0.8, 1.1, 1.0),)
    design: str = parameter("VOptimal", "Whose picks and ellipses the plane shows.", label="Design", choices=tuple(DESIGNS))
    picks: int = control(8, 1, MOST, 1, "Picks", "The budget, in sentences; all have four tokens.")

    alone = "target"
    name = "target"
    tab = "Target"
    title = "A design for a target"
    terms = ("target", "VOptimal", "TargetMatched")
    lines = (
        "If the model has to be good at some texts only, the target, then TokenOD pays for directions that never occur there.",
        "VOptimal lowers the mean variance of predictions on the target. It takes long rows along the target's direction, "
        "whichever topic they are from.",
        "TargetMatched wants the picks' second moment to be the target's, so its rows are like the target's and as long. That "
        "costs variance and keeps most picks on the topic; some may lie opposite, since x and −x have the same second moment.",
    )
    formulas = (
        r"\mathrm{tr}(M_A V^{-1}) = \mathrm{mean}_{x \in A}\; x^\top V^{-1} x",
        r"\mathrm{tr}(M_A^{-1} S/t) - \log\det(M_A^{-1} S/t) - d",
    )
    symbols = (
        "A holds the target's rows, M_A is their second moment, V the design matrix of the picks with sigma2 = 1. VOptimal is "
        "greedy for the first line; TargetMatched for the second, Stein's loss, where S sums x xᵀ over the picks' tokens and 20 "
        "more like the target's, t in all."
    )
    source = (
        (READING, "the variance is a linear model's; for a language model the loss on target texts decides (last lesson)."),
        (TEXTBOOK, "V- or I-optimality; for language models VTL in SIFT (Hübotter et al. 2025, arXiv 2410.08020)."),
        (OURS, "TargetMatched, and this pool."),
    )

    @cached_property
    def moment(self) -> np.ndarray:
        """M_A."""
        return target_moment(TokenEmbeddings.of(cloud() + self.place))

    def taken(self, name: str, n: int) -> np.ndarray:
        """(4 n, 2) rows of the first picks of a design."""
        return np.concatenate([pool().block(i) for i in orders(*self.points[0][:2])[name][:n]])

    def variance(self, name: str, n: int) -> float:
        """tr(M_A V^-1) after n picks of a design."""
        V = design_matrix([self.taken(name, n)], 2)
        return float(np.trace(np.linalg.solve(V, self.moment)))

    def near(self, name: str, n: int) -> int:
        """How many of its first n picks lie near the target."""
        means = self.taken(name, n).reshape(n, TOKENS, 2).mean(1)
        return int((np.linalg.norm(means - self.place, axis=1) <= NEAR).sum())

    def worst(self) -> str:
        """The design that leaves the largest variance on the target."""
        return max(DESIGNS, key=lambda name: self.variance(name, self.picks))

    def answered(self) -> TargetLesson:
        return replace(self, design=self.worst())

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        n = self.picks
        reached = {name: self.variance(name, n) for name in DESIGNS}
        near = {name: self.near(name, n) for name in DESIGNS}
        about = (
            "tr(M_A V⁻¹), the variance of a prediction averaged over the target's rows; small is good. Near: the sentence's mean "
            f"is within {NEAR:g} of the target."
        )
        numbers = tuple(
            Number(
                f"Variance, {name}",
                short(reached[name]) if revealed or name == "VOptimal" else "?",
                about if name == "VOptimal" else f"{about} Shown with the answer.",
                f"{near[name]} of {several(n, 'pick')} near",
            )
            for name in DESIGNS
        )
        at = f"({short(self.place[0])}, {short(self.place[1])})"
        told = f"mean variance {short(reached[self.design])}" if self._told(revealed) else "its variance comes with the answer"
        pictures = (
            Picture(
                "",
                self._plane(dark, revealed),
                f"Ninety-six sentences in five topics, a target at {at}, and the first {several(n, 'pick')} of {self.design}: "
                f"{near[self.design]} near the target, {told}.",
                "Dots: sentences; crosses: the target's rows; large: picks. Line: their second moment; dashed: the target's.",
            ),
            Picture(
                "Variance on the target",
                self._curves(dark, revealed),
                "Mean variance on the target against the number of picks, "
                + ("a falling line for each design." if revealed else "VOptimal's line; the others come with the answer."),
                "Mean variance of predictions on the target; lower is better. All sentences are equally long, so equal picks are "
                "equal tokens." + ("" if revealed else " TokenOD and TargetMatched are drawn with the answer."),
            ),
            Picture(
                "What is still unknown",
                self._unknown(dark),
                f"The 95% ellipse of the coefficients after {several(n, 'pick')} of {self.design}, and the target's direction.",
                "Filled: the 95% ellipse of the coefficients. Line: the target's direction; narrow along it is good, since only "
                "that part of θ enters predictions there.",
            ),
        )
        worst = self.worst()
        listed = ", ".join(f"{name} {short(value)} ({near[name]} near)" for name, value in reached.items())
        question = Question(
            f"After {several(n, 'pick')} of each design: which one leaves the largest mean variance on the target?",
            tuple(DESIGNS),
            list(DESIGNS).index(worst),
            f"The variances are {listed}. {WHY[worst]}",
        )
        return Shown(pictures, numbers, question)

    def _told(self, revealed: bool) -> bool:
        return revealed or self.design == "VOptimal"

    def _plane(self, dark: bool, revealed: bool) -> Plane:
        colour, marker = style(DESIGNS[self.design], dark)
        X = self.taken(self.design, self.picks)
        means = pool().values.reshape(-1, TOKENS, 2).mean(1)
        picked = orders(*self.points[0][:2])[self.design][: self.picks]
        return Plane(
            points=self.points,
            colours={**drawing.colours(dark), "point": colour},
            reach=self.reach,
            hint=DRAG,
            title=f"The target and the picks of {self.design}",
            names=("target",),
            fixed=True,
            prior=symmetric(design_matrix([X], 2)),
            dots=places(means),
            marks=(Marks(places(means[picked]), marker, "point"),),
            curves=((places(drawing.ellipse_of(np.linalg.inv(X.T @ X / len(X)))), "point", ""),),
            cloud=places(cloud().reshape(-1, 2)),
            ridge=RIDGE,
            told=self._told(revealed),
        )

    def _unknown(self, dark: bool) -> go.Figure:
        V = design_matrix([self.taken(self.design, self.picks)], 2)
        ellipse = drawing.ellipse_of(V, LEVEL)
        reach = 1.3 * float(np.abs(ellipse).max())
        colour, _ = style(DESIGNS[self.design], dark)
        fig = drawing.plane(dark, (-reach, reach, -reach, reach), drawing.COEFFICIENTS)
        fig.add_trace(drawing.line(ellipse, self.design, colour, fill="toself", fillcolor=faint(colour, 0.14)))
        way = 2 * reach * self.place / max(float(np.hypot(*self.place)), 1e-9)
        return fig.add_trace(drawing.line(np.stack([-way, way]), "direction of the target", VERMILION, dash="dash"))

    def _curves(self, dark: bool, revealed: bool) -> go.Figure:
        x = np.arange(1, MOST + 1)
        fig = drawing.axes(dark, "picks (four tokens each)", "mean variance on the target")
        series: list[drawing.Series] = [
            (name, [self.variance(name, n) for n in range(1, MOST + 1)], *style(selector, dark))
            for name, selector in DESIGNS.items()
            if revealed or name == "VOptimal"
        ]
        drawing.curves(fig, x, series, "%{y:.3g}", at=self.picks, size=6)
        return fig.update_yaxes(type="log", rangemode="normal", dtick=1, minor={"dtick": "D1"})
