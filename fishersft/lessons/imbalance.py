"""Lesson: uniform against design on an imbalanced pool.

Two hundred sentences of six tokens each, in the plane: most on a common topic, some on a rare one.  All have the same
length, so equal sentences are equal tokens and length explains nothing.  The curves show the worst leverage over the pool (the
G-criterion).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from math import comb

import numpy as np
import plotly.graph_objects as go

from fishersft.design.greedy import greedy
from fishersft.design.information import design_matrix, leverage
from fishersft.design.rows import TokenEmbeddings
from fishersft.lessons import drawing
from fishersft.lessons.lesson import OURS, PAPER, Lesson, Number, Picture, Question, Shown, control, percent, several, short
from fishersft.plots.base import ink, style
from fishersft.selectors import DEFAULT_SELECTOR

SENTENCES, TOKENS, MOST, DRAWS = 200, 6, 30, 20
CUTS = (0.05, 0.25, 0.6)


def miss(pool: int, rare: int, n: int) -> float:
    """The chance that n sentences, drawn without replacement from the pool, hold none of the rare ones."""
    return comb(pool - rare, n) / comb(pool, n)


@dataclass(frozen=True)
class Imbalance(Lesson):
    """A common and a rare topic."""

    picks: int = control(8, 1, MOST, 1, "Picks", "The budget, in sentences; all have six tokens.")
    rare: int = control(8, 1, 60, 1, "Rare sentences", "Number of the two hundred sentences on the rare topic.")

    name = "imbalance"
    tab = "Rare topics"
    title = "Uniform against design"
    terms = ("uniform", "coverage", "random draws")
    lines = (
        "A uniform draw looks like the pool: what is rare in the pool is rare in the draw, and often missing.",
        "The design asks what is still uncertain, so it goes to the rare topic as soon as one more common sentence would gain "
        "less.",
        "Its worst leverage falls early; that of a draw depends on luck. All sentences have six tokens here, so the cause is "
        "coverage and not length.",
    )
    formulas = (
        r"G(S) = \max_{x \in \text{pool}} x^\top V(S)^{-1} x",
        r"P(\text{no rare one}) = \binom{N - r}{n} \Big/ \binom{N}{n}",
    )
    symbols = "n sentences are drawn from N = 200 of which r are rare; G is the worst leverage over the pool's tokens."
    source = (
        (PAPER, "the goal is a small prediction error, above all in the worst case."),
        (OURS, "this pool. A small worst leverage is not yet a better model."),
    )

    @cached_property
    def rows(self) -> TokenEmbeddings:
        """1,200 rows of two numbers, the rare sentences last."""
        rng = np.random.default_rng(11)
        common = np.array([2.0, 0.5]) + 0.3 * rng.normal(size=(SENTENCES, 2))
        rare = np.array([-0.5, 1.8]) + 0.3 * rng.normal(size=(SENTENCES, 2))
        is_rare = np.arange(SENTENCES) >= SENTENCES - self.rare
        centres = np.where(is_rare[:, None], rare, common)
        values = np.repeat(centres, TOKENS, axis=0) + 0.15 * rng.normal(size=(SENTENCES * TOKENS, 2))
        return TokenEmbeddings(values, np.arange(SENTENCES + 1) * TOKENS)

    @cached_property
    def design(self) -> list[int]:
        """TokenOD's first picks."""
        return [s.position for s in islice(greedy(self.rows), MOST)]

    @cached_property
    def draws(self) -> np.ndarray:
        """(20, 30) uniform draws, in order."""
        rng = np.random.default_rng(0)
        return np.stack([rng.permutation(SENTENCES)[:MOST] for _ in range(DRAWS)])

    def worst(self, order: np.ndarray) -> np.ndarray:
        """(n,) worst leverage over the pool after each pick."""
        return np.array([leverage(self._matrix(order[:n]), self.rows.values).max() for n in range(1, len(order) + 1)])

    def _matrix(self, some: np.ndarray) -> np.ndarray:
        return design_matrix([self.rows.block(i) for i in some], 2)

    @property
    def curves(self) -> tuple[np.ndarray, np.ndarray]:
        """Worst leverage of the design (30,) and of the draws (20, 30)."""
        return curves_of(self.rare)

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        ours, chance = self.curves
        n = self.picks
        first_rare = SENTENCES - self.rare
        covered = int(sum(i >= first_rare for i in self.design[:n]))
        empty = int((self.draws[:, :n] < first_rare).all(1).sum())
        share, hidden = percent(self.rare / SENTENCES), f"{empty} of {DRAWS}" if revealed else "?"
        numbers = (
            Number(
                "Worst leverage",
                short(ours[n - 1]),
                "The largest xᵀ V⁻¹ x over all tokens of the pool, for TokenOD.",
                f"uniform: {short(chance[:, n - 1].min())} to {short(chance[:, n - 1].max())}",
            ),
            Number("Rare sentences", f"{covered} of {n}", "TokenOD's picks on the rare topic.", f"the pool has {share}"),
            Number("Draws without any", hidden, "Among the uniform draws; shown with the answer.", f"{n} sentences each"),
        )
        pictures = (
            Picture(
                "The pool and the picks",
                self._plane(dark),
                f"Two hundred sentences in the plane, {self.rare} of them in a cluster of their own; TokenOD takes {covered} of "
                f"its {n} picks there.",
                "Dots: means of the sentences. Blue: TokenOD's picks; squares: the first of the draws.",
            ),
            Picture(
                "The worst leverage against the picks",
                self._curves(dark),
                f"Worst leverage against picks: at {several(n, 'pick')} TokenOD's line is below "
                f"{int((chance[:, n - 1] > ours[n - 1]).sum())} of the {DRAWS} uniform draws.",
                f"Grey: each of {DRAWS} uniform draws; blue: TokenOD. Sentences are equally long: equal picks are equal tokens.",
            ),
        )
        return Shown(pictures, numbers, self._question(empty))

    def _question(self, empty: int) -> Question:
        chance = miss(SENTENCES, self.rare, self.picks)
        low, middle, high = map(percent, CUTS)
        return Question(
            f"{several(self.picks, 'sentence')} drawn at random, {self.rare} of 200 rare: how likely is a draw without a rare "
            "one?",
            (f"at most {low}", f"{low} to {middle}", f"{middle} to {high}", f"more than {high}"),
            sum(chance > c for c in CUTS),
            f"{percent(chance, 1)}; {empty} of the {DRAWS} draws on the picture hold none, and their worst leverage stays high.",
        )

    def _plane(self, dark: bool) -> go.Figure:
        fig = drawing.plane(dark, (-1.9, 3.3, -0.7, 3.0))
        means = self.rows.values.reshape(SENTENCES, TOKENS, 2).mean(1)
        blue, symbol = style(DEFAULT_SELECTOR, dark)
        grey, square = style("uniform", dark)
        fig.add_trace(drawing.points(means, "sentences", ink(dark)[2], "circle", 5, opacity=0.45))
        fig.add_trace(drawing.points(means[self.draws[0, : self.picks]], "a uniform draw", grey, f"{square}-open", 13))
        fig.add_trace(drawing.points(means[self.design[: self.picks]], "TokenOD", blue, symbol, 10, outline=ink(dark)[0]))
        return fig

    def _curves(self, dark: bool) -> go.Figure:
        ours, chance = self.curves
        fig = drawing.axes(dark, "picks (six tokens each)", "worst leverage", height=drawing.TALL)
        x = np.arange(1, MOST + 1)
        grey, _ = style("uniform", dark)
        blue, symbol = style(DEFAULT_SELECTOR, dark)
        for k, y in enumerate(chance):
            curve = np.stack([x, y], axis=1)
            fig.add_trace(drawing.line(curve, f"uniform, {DRAWS} draws", grey, width=1, showlegend=k == 0, opacity=0.7))
        fig.add_trace(drawing.curve(x, ours, "TokenOD", blue, symbol, "%{y:.3f}", size=6, width=2.5))
        drawing.here(fig, self.picks)
        fig.update_yaxes(type="log", dtick=1, minor={"dtick": "D1"})
        return fig


@lru_cache(maxsize=16)
def curves_of(rare: int) -> tuple[np.ndarray, np.ndarray]:
    """`Imbalance.curves`, which no budget changes."""
    lesson = Imbalance(rare=rare)
    return lesson.worst(np.array(lesson.design)), np.stack([lesson.worst(d) for d in lesson.draws])
