"""Lesson: tokens come in sentences, and why long sentences win.

A sentence is a block of rows X_i.  Its gain log det(I + X_i V^-1 X_i^T) is split over its tokens by the chain rule; a longer
sentence has more tokens to add, and TokenOD's budget counts sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import plotly.graph_objects as go

from fishersft.design.greedy import greedy
from fishersft.design.information import design_matrix, token_gains
from fishersft.design.rows import TokenEmbeddings
from fishersft.lessons import drawing
from fishersft.lessons.lesson import OURS, PAPER, Lesson, Number, Picture, Question, Shown, control, nats, short
from fishersft.plots.base import ORANGE, ink, style
from fishersft.selectors import DEFAULT_SELECTOR

SENTENCES, DIMENSION = 60, 6
MORE, MUCH_MORE = 1.25, 2.0  # times the tokens of a draw


@dataclass(frozen=True)
class Sentences(Lesson):
    """Sixty sentences of 1 to 30 tokens."""

    picks: int = control(6, 1, 20, 1, "Picks", "The budget: how many sentences are taken.")
    alike: int = control(30, 0, 95, 5, "Tokens alike (percent)", "The share of each token that is common to its sentence.")

    name = "sentences"
    tab = "Sentences"
    title = "Tokens come in sentences"
    terms = ("token gain", "gain per token", "length", "equal tokens")
    lines = (
        "TokenOD takes whole sentences, and a sentence brings all its tokens. Each token adds what those before it left open, "
        "so the gain of a sentence is exactly the sum over its tokens.",
        "More tokens mean more gain, so at a budget in sentences the long ones win. This says little about what they say.",
        "Divide the gain by the tokens, and short sentences come back. Make the tokens alike, and length is worth less, but not "
        "nothing.",
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
        values = np.sqrt(1 - share) * own + np.sqrt(share) * np.repeat(common, lengths, axis=0)
        return TokenEmbeddings(0.5 * values, np.concatenate([[0], np.cumsum(lengths)]))

    def order(self, *, per_token: bool = False) -> list[int]:
        """The picks, by gain or by gain per token."""
        costs = self.rows.tokens.astype(np.float64) if per_token else None
        return [s.position for s in islice(greedy(self.rows, costs=costs), self.picks)]

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        lengths = self.rows.tokens
        by_gain, by_rate = self.order(), self.order(per_token=True)
        spent = [int(lengths[p].sum()) for p in (by_gain, by_rate)]
        chance = float(lengths.mean() * self.picks)
        numbers = (
            Number(
                "Tokens of the picks",
                f"{spent[0]:,}" if revealed else "?",
                "Tokens in TokenOD's picks; shown with the answer.",
                f"a uniform draw of {self.picks}: {chance:.0f} on average",
            ),
            Number(
                "By gain per token", f"{spent[1]:,}", "Tokens in as many picks by gain divided by tokens.", f"{self.picks} picks"
            ),
            Number("Average length", f"{lengths.mean():.1f} tokens", "Of all sixty sentences.", f"longest {lengths.max()}"),
        )
        split = self._split(by_gain[0])
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
                self._bars(split, dark),
                f"Bars: the gain of each of the {len(split)} tokens of the first pick; they sum to {nats(split.sum())}.",
                f"Each bar is what one token adds to those before it; together {nats(split.sum())}.",
            ),
        )
        return Shown(pictures, numbers, self._question(spent[0], chance))

    def _split(self, position: int) -> np.ndarray:
        return token_gains(design_matrix([], DIMENSION), self.rows.block(position))

    def _question(self, spent: int, chance: float) -> Question:
        ratio = spent / chance
        return Question(
            f"How many tokens do TokenOD's {self.picks} picks have, compared with {self.picks} sentences drawn at random?",
            (f"less than {MORE} times", f"{MORE} to {MUCH_MORE:g} times", f"more than {MUCH_MORE:g} times"),
            int(ratio > MORE) + int(ratio > MUCH_MORE),
            f"{spent:,} tokens against {chance:.0f} on average, {short(ratio)} times as many. A fair comparison also "
            "asks what a draw of as many tokens would do.",
        )

    def _scatter(self, by_gain: list[int], by_rate: list[int], dark: bool) -> go.Figure:
        first = [self._split(i).sum() for i in range(SENTENCES)]
        xy = np.stack([self.rows.tokens, first], axis=1)
        fig = drawing.axes(dark, "tokens in the sentence", "first gain (nats)")
        blue, symbol = style(DEFAULT_SELECTOR, dark)
        fig.add_trace(drawing.points(xy, "sentences", ink(dark)[2], "circle", 7, opacity=0.5))
        fig.add_trace(drawing.points(xy[by_rate], "by gain per token", ORANGE, "diamond-open", 14))
        fig.add_trace(drawing.points(xy[by_gain], "TokenOD", blue, symbol, 11))
        fig.update_xaxes(rangemode="tozero")
        fig.update_yaxes(rangemode="tozero")
        return fig

    def _bars(self, split: np.ndarray, dark: bool) -> go.Figure:
        fig = drawing.axes(dark, "token of the sentence", "gain (nats)")
        blue, _ = style(DEFAULT_SELECTOR, dark)
        fig.add_trace(go.Bar(x=np.arange(1, len(split) + 1), y=split, marker={"color": blue}, hovertemplate="%{y:.3f} nats"))
        return fig
