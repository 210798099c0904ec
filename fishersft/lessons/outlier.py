"""Lesson: a design matched to the pool, in which an outlier has its price.

TokenOD's log det grows without limit along a distant row.  MatchedOD compares second moments: with M of the pool and S / t of the
picks, Stein's loss tr(M^-1 S/t) - log det(M^-1 S/t) - d is 0 when they agree; the trace is the price of an outlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import plotly.graph_objects as go

from fishersft.design.greedy import greedy
from fishersft.design.matched import matched, second_moment
from fishersft.design.rows import TokenEmbeddings
from fishersft.lessons import drawing
from fishersft.lessons.lesson import OURS, Lesson, Number, Picture, Question, Shown, control, several, short
from fishersft.plots.base import VERMILION, ink, style
from fishersft.selectors import DEFAULT_SELECTOR

SENTENCES, TOKENS = 60, 4
OUTLIER = SENTENCES - 1
PRIOR, RIDGE = 20.0, 1e-3  # MatchedOD's defaults


@dataclass(frozen=True)
class Outlier(Lesson):
    """Sixty sentences, one of them far away."""

    distance: float = control(4.0, 0.5, 10.0, 0.5, "Distance of the outlier", "From the origin; the others lie within 2.5.")
    picks: int = control(8, 1, 40, 1, "Picks", "The budget, in sentences; all have four tokens.")

    name = "outlier"
    tab = "Outliers"
    title = "A design matched to the pool"
    terms = ("MatchedOD", "outlier", "Stein's loss", "second moment")
    lines = (
        "To log det a far row is a bargain: the longer the better, without limit. If the row is noise, TokenOD buys noise first.",
        "MatchedOD wants the second moment of the picks to look like that of the pool. A missing direction costs something, "
        "through the log det; too much of one does too, through the trace.",
        "So an outlier comes late: it is bought when the other picks can pay for it. This is a lead, not yet a claim.",
    )
    formulas = (r"\mathrm{tr}(M^{-1} S/t) - \log\det(M^{-1} S/t) - d",)
    symbols = (
        "M is the pool's second moment (the mean of x xᵀ over its tokens), S the sum of x xᵀ over the picks' tokens and 20 more "
        "like the pool's, t their number; the loss is twice a Kullback-Leibler divergence and 0 when both agree."
    )
    source = ((OURS, "MatchedOD. It is neither in the paper nor proven better."),)

    @cached_property
    def rows(self) -> TokenEmbeddings:
        """240 rows of 60 sentences; the outlier comes last."""
        rng = np.random.default_rng(2)
        centres = rng.normal(size=(SENTENCES, 2)) * [0.9, 0.5]
        centres[OUTLIER] = self.distance * np.array([-0.6, 0.8])
        rows = np.repeat(centres, TOKENS, axis=0) + 0.15 * rng.normal(size=(SENTENCES * TOKENS, 2))
        return TokenEmbeddings(rows, np.arange(SENTENCES + 1) * TOKENS)

    @cached_property
    def orders(self) -> tuple[list[int], list[int], list[float]]:
        """TokenOD's order, MatchedOD's order, and MatchedOD's loss after each pick."""
        picks = list(matched(self.rows, prior_tokens=PRIOR, ridge=RIDGE))
        losses = (-np.cumsum([p.gain for p in picks])).tolist()
        return [p.position for p in greedy(self.rows)], [p.position for p in picks], losses

    @cached_property
    def pool_moment(self) -> np.ndarray:
        return second_moment(self.rows, RIDGE)

    def moment(self, some: list[int]) -> np.ndarray:
        """S / t of some picks, prior included."""
        rows = self.rows.values.reshape(SENTENCES, TOKENS, 2)[some].reshape(-1, 2)
        return (PRIOR * self.pool_moment + rows.T @ rows) / (PRIOR + len(rows))

    def loss(self, some: list[int]) -> float:
        """Stein's loss of some picks."""
        A = np.linalg.solve(self.pool_moment, self.moment(some))
        return float(np.trace(A) - np.linalg.slogdet(A)[1] - 2)

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        token_od, matched_od, losses = self.orders
        n = self.picks
        ranks = [order.index(OUTLIER) + 1 for order in (token_od, matched_od)]
        hidden, beside = f"pick {ranks[1]}" if revealed else "?", f"TokenOD {short(self.loss(token_od[:n]))}"
        numbers = (
            Number("Outlier, TokenOD", f"pick {ranks[0]}", "When TokenOD takes the outlier.", f"of {SENTENCES}"),
            Number("Outlier, MatchedOD", hidden, "When MatchedOD takes it; shown with the answer.", f"of {SENTENCES}"),
            Number("Stein's loss, MatchedOD", short(losses[n - 1]), f"After {several(n, 'pick')}; 0 is a perfect match.", beside),
        )
        pictures = (
            Picture(
                "The pool, the outlier and the picks",
                self._plane(dark, revealed),
                f"Sixty sentences in the plane, one of them {self.distance:g} away, and the first {several(n, 'pick')} of "
                "TokenOD" + (" and MatchedOD, with the ellipses of their second moments." if revealed else "."),
                "Dots: means of the sentences; star: the outlier. Ellipses: second moments of the pool (dotted) and of the "
                "picks" + (" (blue TokenOD, green MatchedOD)." if revealed else "; MatchedOD's come with the answer."),
            ),
            Picture(
                "Stein's loss against the picks",
                self._losses(dark),
                "Stein's loss against picks: MatchedOD stays near 0, TokenOD is above it.",
                "How unlike the pool the picks are; 0 is a perfect match. 20 tokens of the pool itself count as the prior.",
            ),
        )
        return Shown(pictures, numbers, self._question(ranks[1]))

    def _question(self, rank: int) -> Question:
        n = self.picks
        later = f"after the first {n}" if n > 1 else "later"
        options = ("as its first pick", *((f"between pick 2 and pick {n}",) if n > 1 else ()), later)
        answer = 0 if rank == 1 else len(options) - 1 if rank > n else 1
        return Question(
            f"The outlier is {self.distance:g} away. When does MatchedOD take it?",
            options,
            answer,
            f"It is pick {rank} of {SENTENCES}; TokenOD takes it as pick {self.orders[0].index(OUTLIER) + 1}. It "
            "belongs to the pool too, so its price is not infinite: a little of its direction is wanted, and more where it makes "
            "up more of the pool's second moment.",
        )

    def _plane(self, dark: bool, revealed: bool) -> go.Figure:
        token_od, matched_od, _ = self.orders
        means = self.rows.values.reshape(SENTENCES, TOKENS, 2).mean(1)
        low, high = np.minimum(means.min(0), [-2.6, -2.0]), np.maximum(means.max(0), [2.6, 2.0])
        fig = drawing.plane(dark, tuple(1.1 * float(edge) for edge in (low[0], high[0], low[1], high[1])))
        blue, circle = style(DEFAULT_SELECTOR, dark)
        green, hexagon = style("matched_od", dark)
        fig.add_trace(drawing.points(means[:OUTLIER], "sentences", ink(dark)[2], "circle", 5, opacity=0.45))
        fig.add_trace(drawing.points(means[OUTLIER:], "outlier", VERMILION, "star", 15))
        fig.add_trace(drawing.line(ellipse_of_moment(self.pool_moment), "pool", ink(dark)[2], dash="dot"))
        series = [("TokenOD", token_od, blue, circle, 9)]
        series += [("MatchedOD", matched_od, green, f"{hexagon}-open", 15)] if revealed else []
        for name, order, colour, symbol, size in series:
            some = order[: self.picks]
            fig.add_trace(drawing.points(means[some], name, colour, symbol, size, legendgroup=name))
            fig.add_trace(drawing.line(ellipse_of_moment(self.moment(some)), name, colour, showlegend=False, legendgroup=name))
        return fig

    def _losses(self, dark: bool) -> go.Figure:
        token_od, _, losses = self.orders
        fig = drawing.axes(dark, "picks", "Stein's loss", height=drawing.TALL)
        x = np.arange(1, 41)
        series = (("TokenOD", [self.loss(token_od[:n]) for n in x], DEFAULT_SELECTOR), ("MatchedOD", losses[:40], "matched_od"))
        for name, y, selector in series:
            fig.add_trace(drawing.curve(x, y, name, *style(selector, dark), "%{y:.3f}", size=6))
        drawing.here(fig, self.picks)
        fig.update_yaxes(rangemode="tozero")
        return fig


def ellipse_of_moment(S: np.ndarray) -> np.ndarray:
    """(181, 2) the ellipse x^T S^-1 x = 2 of a second moment: the smaller, the less its rows spread."""
    return drawing.ellipse_of(np.linalg.inv(S), 2.0)
