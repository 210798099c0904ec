"""Two lessons on gains: why they diminish, and why long sentences have large ones.

The gain of a row is log(1 + x^T V^-1 x); adding any row makes V^-1 smaller, so no gain ever grows (submodularity).  A row of
length 1 that is in the design k times already gains log((k + 2) / (k + 1)) under sigma2 = 1.  A sentence is a block of rows X_i;
its gain log det(I + X_i V^-1 X_i^T) is split over its tokens by the chain rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import plotly.graph_objects as go

import fishersft.lessons.drawing as drawing
from fishersft.design.greedy import greedy
from fishersft.design.information import design_matrix, gain, token_gains
from fishersft.design.rows import TokenEmbeddings
from fishersft.lessons.lesson import (
    DRAG,
    OURS,
    PAPER,
    TEXTBOOK,
    Dragged,
    Lesson,
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
from fishersft.plots.base import ORANGE, VERMILION, faint, ink, style
from fishersft.selectors import DEFAULT_SELECTOR

A = np.array([1.0, 0.0])
MOST = 12  # copies of A
SENTENCES, DIMENSION = 60, 6
MORE, MUCH_MORE = 1.25, 2.0  # times the tokens of a draw


def gains_beside(copies: int, b: np.ndarray) -> tuple[float, float]:
    """What one more copy of A, and what the row b (2,), would gain where A is there `copies` times; nats."""
    V = design_matrix([np.tile(A, (copies, 1))], 2)
    return gain(V, A[None]), gain(V, b[None])


@dataclass(frozen=True)
class Returns(Dragged):
    """Row A, repeated, and a row B to drag."""

    points: Points = ((0.3, 0.5, 1.0),)
    copies: int = control(2, 0, MOST, 1, "Copies of A in the design", "How often row A has been seen.")

    reach = 1.5
    alone = "row B"
    name = "returns"
    tab = "Returns"
    title = "Diminishing returns"
    terms = ("gain", "diminishing returns", "submodularity")
    lines = (
        "The gain of a row is what it adds to log det V. The first copy of a row gains much and the second less, because its "
        "direction is then known better.",
        "Another row loses as well, by how far it points in the same direction; at a right angle it loses nothing. No gain ever "
        "grows as rows are added. This property is called submodularity.",
        "So a selector that looks at gains is slow to take duplicates, and a short row in a new direction can beat a "
        "long one in an old direction. Drag B, and change the copies of A.",
    )
    formulas = (
        r"\log\frac{\det(V + x x^\top)}{\det V} = \log(1 + x^\top V^{-1} x)",
        r"V \preceq V' \Rightarrow x^\top V'^{-1} x \le x^\top V^{-1} x",
    )
    symbols = (
        "V is the design matrix before, with sigma2 = 1, and x a new row; V ⪯ V' says that V' holds at least the information of "
        "V in every direction. A is (1, 0)."
    )
    source = ((TEXTBOOK, "the matrix determinant lemma."), (PAPER, "Algorithm 2 is correct because gains only shrink."))

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        again, other = gains_beside(self.copies, self.place)
        first, hidden = gains_beside(0, self.place), nats(other) if revealed else "?"
        together = sum(gains_beside(k, self.place)[0] for k in range(self.copies))
        copies = f"{self.copies} {'copy' if self.copies == 1 else 'copies'}"
        length, angle = np.hypot(*self.place), np.degrees(np.arctan2(*self.place[::-1]))
        numbers = (
            Number("One more copy of A", nats(again), f"The gain of copy {self.copies + 1}.", f"the first: {nats(first[0])}"),
            Number("B", hidden, "The gain of B; shown with the answer.", f"without any A: {nats(first[1])}"),
            Number("A, all copies", nats(together), "log det gained by all the copies of A together.", copies),
        )
        pictures = (
            Picture(
                "",
                self._rows(dark),
                f"Row A of length 1 along the first axis, and row B of length {short(length)} at {angle:.0f} degrees to it.",
                "Two rows. B can be dragged.",
            ),
            Picture(
                "What each would gain",
                self._curves(dark, revealed),
                "Gain in nats against the copies of A already in the design, for another copy of A"
                + (" and for B; neither ever rises." if revealed else "; it falls."),
                "Gains against the copies of A already there; upright line: as many as now."
                + ("" if revealed else " B's curve and the rest of A's come with the answer."),
            ),
            Picture(
                "What is still unknown",
                self._ellipse(dark),
                f"The ellipse of V after {self.copies} copies of A, thin along the first axis.",
                "Filled: the ellipse θᵀ V θ = 1 after the copies of A; dotted: before any. It becomes thin only along A.",
            ),
        )
        times = {0: "not at all", 1: "once", 2: "twice"}.get(self.copies, f"{self.copies} times")
        question = Question(
            f"A is there {times}. B has length {short(length)} and stands at {angle:.0f}° to A. Which gains more now: A once "
            "more, or B?",
            ("A once more", "B", "about the same (within 2%)"),
            2 if abs(again - other) <= 0.02 * max(again, other) else int(again < other),
            f"A once more gains {nats(again)}, B gains {nats(other)}. Change the copies: the answer turns where the curves "
            "cross, if they do.",
        )
        return Shown(pictures, numbers, question)

    def _rows(self, dark: bool) -> Plane:
        return Plane(
            points=self.points,
            colours=drawing.colours(dark),
            reach=self.reach,
            hint=DRAG,
            names=("B",),
            fixed=True,
            arrows=((1.0, 0.0, f"A × {self.copies}"),),
        )

    def _ellipse(self, dark: bool) -> go.Figure:
        fig = drawing.plane(dark, (-1.25, 1.25, -1.25, 1.25), drawing.COEFFICIENTS)
        blue, _ = style(DEFAULT_SELECTOR, dark)
        V = design_matrix([np.tile(A, (self.copies, 1))], 2)
        fig.add_trace(drawing.line(drawing.ellipse_of(np.eye(2)), "before", ink(dark)[2], dash="dot", width=1.5))
        return fig.add_trace(
            drawing.line(drawing.ellipse_of(V), "with the copies of A", blue, fill="toself", fillcolor=faint(blue, 0.12))
        )

    def _curves(self, dark: bool, revealed: bool) -> go.Figure:
        known = np.arange(MOST + 1) if revealed else np.arange(self.copies + 1)
        again, other = np.array([gains_beside(int(k), self.place) for k in known]).T
        series: list[drawing.Series] = [("A once more", again, style(DEFAULT_SELECTOR, dark)[0], "circle")]
        series += [("B", other, VERMILION, "diamond")] if revealed else []
        fig = drawing.axes(dark, "copies of A already in the design", "gain (nats)")
        fig.update_xaxes(range=[-0.4, MOST + 0.4], dtick=2)
        drawing.curves(fig, known, series, "%{y:.3f} nats")
        drawing.here(fig, self.copies, ink(dark)[2])
        return fig


@dataclass(frozen=True)
class Sentences(Lesson):
    picks: int = control(6, 1, 20, 1, "Picks", "The budget: how many sentences are taken.")
    alike: int = control(30, 0, 95, 5, "Tokens alike (percent)", "The share of each token that is common to its sentence.")

    name = "sentences"
    tab = "Sentences"
    title = "Tokens come in sentences"
    terms = ("token gain", "gain per token", "length", "equal tokens")
    lines = (
        "TokenOD, the paper's selector, is greedy for log det V. It takes whole sentences, and a sentence brings the rows of all "
        "its tokens (words and parts of words). A sentence's gain is exactly the sum of its tokens' gains, one after another.",
        "More tokens usually mean more gain, so at a budget in sentences the long ones win. This says little about what "
        "they say.",
        "Divide the gain by the tokens, and short sentences come back. Make the tokens of a sentence alike, and length is worth "
        "less, but not nothing.",
    )
    formulas = (
        r"\log\det(I + X_i V^{-1} X_i^\top)",
        r"= \sum_j \log(1 + x_{ij}^\top V_{<j}^{-1} x_{ij})",
        r"V_{<j} = V + \sum_{k<j} x_{ik} x_{ik}^\top",
    )
    symbols = (
        f"X_i has the tokens of sentence i as rows. Here {SENTENCES} sentences are drawn at random, in {DIMENSION} dimensions."
    )
    source = (
        (PAPER, "the budget counts sentences; its authors grant, in the public reviews, that long ones are preferred."),
        (OURS, "gain per token, and every comparison also at equal tokens."),
    )

    @cached_property
    def rows(self) -> TokenEmbeddings:
        rng = np.random.default_rng(3)
        lengths = np.clip(np.round(np.exp(rng.normal(np.log(8), 0.7, SENTENCES))), 1, 30).astype(int)
        share = self.alike / 100
        own, common = rng.normal(size=(lengths.sum(), DIMENSION)), rng.normal(size=(SENTENCES, DIMENSION))
        values = 0.5 * (np.sqrt(1 - share) * own + np.sqrt(share) * np.repeat(common, lengths, axis=0))
        return TokenEmbeddings.of(np.split(values, np.cumsum(lengths)[:-1]))

    def order(self, *, per_token: bool = False) -> list[int]:
        costs = self.rows.tokens.astype(np.float64) if per_token else None
        return [s.position for s in islice(greedy(self.rows, costs=costs), self.picks)]

    def token_gains(self, position: int) -> np.ndarray:
        """(tokens,) what each token of a sentence would gain before any pick; nats."""
        return token_gains(design_matrix([], DIMENSION), self.rows.block(position))

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        lengths = self.rows.tokens
        by_gain, by_rate = self.order(), self.order(per_token=True)
        spent, spent_by_rate = (int(lengths[p].sum()) for p in (by_gain, by_rate))
        chance = float(lengths.mean() * self.picks)
        numbers = (
            Number(
                "Tokens of the picks",
                f"{spent:,}" if revealed else "?",
                "Tokens in TokenOD's picks; shown with the answer.",
                f"a uniform draw of {self.picks}: {chance:.0f} on average",
            ),
            Number(
                "By gain per token",
                f"{spent_by_rate:,}",
                "Tokens in as many picks by gain divided by tokens.",
                f"{self.picks} picks",
            ),
            Number("Average length", f"{lengths.mean():.1f} tokens", "Of all sixty sentences.", f"longest {lengths.max()}"),
        )
        split = self.token_gains(by_gain[0])
        bars = drawing.axes(dark, "token of the sentence", "gain (nats)")
        look = {"color": style(DEFAULT_SELECTOR, dark)[0]}
        bars.add_trace(go.Bar(x=np.arange(1, len(split) + 1), y=split, marker=look, hovertemplate="%{y:.3f} nats"))
        pictures = (
            Picture(
                "Gain against length",
                self._scatter(by_gain if revealed else by_gain[:1], by_rate, dark),
                f"First gains of {SENTENCES} sentences in nats against their tokens; longer sentences gain more.",
                "Each point is a sentence and its gain before any pick. Blue: TokenOD's picks"
                + ("" if revealed else " (the first; the rest come with the answer)")
                + "; orange diamonds: picks by gain per token.",
            ),
            Picture(
                "The first pick, token by token",
                bars,
                f"Bars: the gain of each of the {len(split)} tokens of the first pick; they sum to {nats(split.sum())}.",
                f"Each bar is what one token adds to those before it; together {nats(split.sum())}.",
            ),
        )
        ratio = spent / chance
        question = Question(
            f"How many tokens do TokenOD's {self.picks} picks have, compared with {self.picks} sentences drawn at random?",
            (f"less than {MORE} times", f"{MORE} to {MUCH_MORE:g} times", f"more than {MUCH_MORE:g} times"),
            int(ratio > MORE) + int(ratio > MUCH_MORE),
            f"{spent:,} tokens against {chance:.0f} on average, {short(ratio)} times as many. A fair comparison also "
            "asks what a draw of as many tokens would do.",
        )
        return Shown(pictures, numbers, question)

    def _scatter(self, by_gain: list[int], by_rate: list[int], dark: bool) -> go.Figure:
        first = [self.token_gains(i).sum() for i in range(SENTENCES)]
        xy = np.stack([self.rows.tokens, first], axis=1)
        fig = drawing.axes(dark, "tokens in the sentence", "first gain (nats)")
        blue, symbol = style(DEFAULT_SELECTOR, dark)
        fig.add_trace(drawing.points(xy, "sentences", ink(dark)[2], "circle", 7, opacity=0.5))
        fig.add_trace(drawing.points(xy[by_rate], "by gain per token", ORANGE, "diamond-open", 14))
        fig.add_trace(drawing.points(xy[by_gain], "TokenOD", blue, symbol, 11))
        fig.update_xaxes(rangemode="tozero")
        return fig.update_yaxes(rangemode="tozero")
