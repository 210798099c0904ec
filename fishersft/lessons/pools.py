"""Two lessons on what a pool holds: a rare topic, which a uniform draw misses; and an outlier, which has its price.

Both pools lie in the plane, and all of a pool's sentences have the same length, so that equal sentences are equal tokens and
length explains nothing.  The rare topic is followed by the worst leverage over the pool (the G-criterion).

TokenOD's log det grows without limit along a distant row.  MatchedOD compares second moments: with M of the pool and S / t of the
picks, Stein's loss tr(M^-1 S/t) - log det(M^-1 S/t) - d is 0 when they agree; the trace is the price of an outlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from math import comb

import numpy as np
import plotly.graph_objects as go

import fishersft.lessons.drawing as drawing
from fishersft.design.greedy import greedy
from fishersft.design.information import design_matrix, leverage
from fishersft.design.matched import matched, second_moment
from fishersft.design.rows import TokenEmbeddings
from fishersft.lessons.lesson import OURS, PAPER, Lesson, Number, Picture, Question, Shown, control, percent, several, short
from fishersft.plots.base import VERMILION, ink, style
from fishersft.selectors import DEFAULT_SELECTOR

SENTENCES, TOKENS, MOST, DRAWS = 200, 6, 30, 20  # of the pool with a rare topic
CUTS = (0.05, 0.25, 0.6)
OUTLIER, FOUR, PICKS = 59, 4, 40  # the outlier is the last of sixty sentences of four tokens each
PRIOR, RIDGE = 20.0, 1e-3  # MatchedOD's defaults


def miss(pool: int, rare: int, n: int) -> float:
    """The chance that n sentences, drawn without replacement from the pool, hold none of the rare ones."""
    return comb(pool - rare, n) / comb(pool, n)


@dataclass(frozen=True)
class Imbalance(Lesson):
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
        return TokenEmbeddings.of(list(values.reshape(SENTENCES, TOKENS, 2)))

    @cached_property
    def design(self) -> list[int]:
        return [s.position for s in islice(greedy(self.rows), MOST)]

    @cached_property
    def draws(self) -> np.ndarray:
        rng = np.random.default_rng(0)
        return np.stack([rng.permutation(SENTENCES)[:MOST] for _ in range(DRAWS)])

    def worst(self, order: np.ndarray) -> np.ndarray:
        """(n,) worst leverage over the pool after each pick."""
        designs = [design_matrix([self.rows.block(i) for i in order[:n]], 2) for n in range(1, len(order) + 1)]
        return np.array([leverage(V, self.rows.values).max() for V in designs])

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        ours, chance = curves_of(self.rare)
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
        chance_of_none = miss(SENTENCES, self.rare, n)
        low, middle, high = map(percent, CUTS)
        question = Question(
            f"{several(n, 'sentence')} drawn at random, {self.rare} of 200 rare: how likely is a draw without a rare one?",
            (f"at most {low}", f"{low} to {middle}", f"{middle} to {high}", f"more than {high}"),
            sum(chance_of_none > c for c in CUTS),
            f"{percent(chance_of_none, 1)}; {empty} of the {DRAWS} draws on the picture hold none, and their worst leverage "
            "stays high.",
        )
        return Shown(pictures, numbers, question)

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
        ours, chance = curves_of(self.rare)
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
    """Worst leverage of the design (30,) and of the draws (20, 30), which no budget changes."""
    lesson = Imbalance(rare=rare)
    return lesson.worst(np.array(lesson.design)), np.stack([lesson.worst(d) for d in lesson.draws])


@dataclass(frozen=True)
class Outlier(Lesson):
    distance: float = control(4.0, 0.5, 10.0, 0.5, "Distance of the outlier", "From the origin; the others lie within 2.5.")
    picks: int = control(8, 1, PICKS, 1, "Picks", "The budget, in sentences; all have four tokens.")

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
        """240 rows of sixty sentences; the outlier comes last."""
        rng = np.random.default_rng(2)
        centres = rng.normal(size=(OUTLIER + 1, 2)) * [0.9, 0.5]
        centres[OUTLIER] = self.distance * np.array([-0.6, 0.8])
        values = np.repeat(centres, FOUR, axis=0) + 0.15 * rng.normal(size=(len(centres) * FOUR, 2))
        return TokenEmbeddings.of(list(values.reshape(-1, FOUR, 2)))

    @property
    def sentences(self) -> np.ndarray:
        """(60, 4, 2): the rows, sentence by sentence."""
        return self.rows.values.reshape(-1, FOUR, 2)

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
        rows = self.sentences[some].reshape(-1, 2)
        return (PRIOR * self.pool_moment + rows.T @ rows) / (PRIOR + len(rows))

    def loss(self, some: list[int]) -> float:
        A = np.linalg.solve(self.pool_moment, self.moment(some))
        return float(np.trace(A) - np.linalg.slogdet(A)[1] - 2)

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        token_od, matched_od, losses = self.orders
        n = self.picks
        ranks = [order.index(OUTLIER) + 1 for order in (token_od, matched_od)]
        hidden, beside = f"pick {ranks[1]}" if revealed else "?", f"TokenOD {short(self.loss(token_od[:n]))}"
        numbers = (
            Number("Outlier, TokenOD", f"pick {ranks[0]}", "When TokenOD takes the outlier.", "of 60"),
            Number("Outlier, MatchedOD", hidden, "When MatchedOD takes it; shown with the answer.", "of 60"),
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
        rank = ranks[1]
        options = ("as its first pick", f"between pick 2 and pick {n}", f"after the first {n}")
        question = Question(
            f"The outlier is {self.distance:g} away. When does MatchedOD take it?",
            options if n > 1 else ("as its first pick", "later"),
            0 if rank == 1 else 1 if rank <= n or n == 1 else 2,
            f"It is pick {rank} of 60; TokenOD takes it as pick {ranks[0]}. It belongs to the pool too, so its price is not "
            "infinite: a little of its direction is wanted, and more where it makes up more of the pool's second moment.",
        )
        return Shown(pictures, numbers, question)

    def _plane(self, dark: bool, revealed: bool) -> go.Figure:
        token_od, matched_od, _ = self.orders
        means = self.sentences.mean(1)
        low, high = np.minimum(means.min(0), [-2.6, -2.0]), np.maximum(means.max(0), [2.6, 2.0])
        fig = drawing.plane(dark, tuple(1.1 * float(edge) for edge in (low[0], high[0], low[1], high[1])))
        blue, circle = style(DEFAULT_SELECTOR, dark)
        green, hexagon = style("matched_od", dark)
        fig.add_trace(drawing.points(means[:OUTLIER], "sentences", ink(dark)[2], "circle", 5, opacity=0.45))
        fig.add_trace(drawing.points(means[OUTLIER:], "outlier", VERMILION, "star", 15))
        fig.add_trace(drawing.line(drawing.ellipse_of(np.linalg.inv(self.pool_moment), 2.0), "pool", ink(dark)[2], dash="dot"))
        series = [("TokenOD", token_od, blue, circle, 9)]
        series += [("MatchedOD", matched_od, green, f"{hexagon}-open", 15)] if revealed else []
        for name, order, colour, symbol, size in series:
            some = order[: self.picks]
            fig.add_trace(drawing.points(means[some], name, colour, symbol, size, legendgroup=name))
            ellipse = drawing.ellipse_of(np.linalg.inv(self.moment(some)), 2.0)  # the smaller, the less the rows spread
            fig.add_trace(drawing.line(ellipse, name, colour, showlegend=False, legendgroup=name))
        return fig

    def _losses(self, dark: bool) -> go.Figure:
        token_od, _, losses = self.orders
        x = np.arange(1, PICKS + 1)
        series: list[drawing.Series] = [
            ("TokenOD", [self.loss(token_od[:n]) for n in x], *style(DEFAULT_SELECTOR, dark)),
            ("MatchedOD", losses[:PICKS], *style("matched_od", dark)),
        ]
        fig = drawing.axes(dark, "picks", "Stein's loss", height=drawing.TALL)
        return drawing.curves(fig, x, series, "%{y:.3f}", at=self.picks, size=6)
