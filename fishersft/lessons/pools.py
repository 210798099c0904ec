"""Two lessons on what a pool holds: a rare topic, which a uniform draw misses; and an outlier, which has its price.

Both pools lie in the plane, and all of a pool's sentences have the same number of tokens, so that equal sentences are equal
tokens.  In the first pool all rows have the same norm, too, so that only their directions differ.  The rare topic is followed by
the worst leverage over the pool (the G-criterion).

TokenOD's log det grows without limit along a distant row.  MatchedOD compares second moments: with M of the pool and S / t of the
picks, Stein's loss tr(M^-1 S/t) - log det(M^-1 S/t) - d is 0 when they agree; the trace is the price of an outlier.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from fishersft.lessons.lesson import (
    DRAG,
    OURS,
    PAPER,
    Dragged,
    Marks,
    Number,
    Picture,
    Plane,
    Points,
    Question,
    Shown,
    control,
    percent,
    places,
    several,
    short,
)
from fishersft.plots.base import style
from fishersft.selectors import DEFAULT_SELECTOR

SENTENCES, TOKENS, MOST, DRAWS = 200, 6, 30, 20  # of the pool with a rare topic
NORM = 2.0  # of each of its rows
CUTS = (0.05, 0.25, 0.6)
OUTLIER, FOUR, PICKS = 59, 4, 60  # the outlier is the last of sixty sentences of four tokens each
PRIOR, RIDGE = 20.0, 1e-3  # MatchedOD's defaults


def miss(pool: int, rare: int, n: int) -> float:
    """The chance that n sentences, drawn without replacement from the pool, hold none of the rare ones."""
    return comb(pool - rare, n) / comb(pool, n)


def stein_loss(M: np.ndarray, S: np.ndarray) -> float:
    """How far a second moment S is from M, both (d, d): 0 where they agree."""
    A = np.linalg.solve(M, S)
    return float(np.trace(A) - np.linalg.slogdet(A)[1] - len(A))


@dataclass(frozen=True)
class Imbalance(Dragged):
    """Two topics in the plane; the rare one's direction is dragged."""

    points: Points = ((-0.536, 1.927, 1.0),)
    picks: int = control(8, 1, MOST, 1, "Picks", "The budget, in sentences; all have six tokens.")
    rare: int = control(8, 1, 60, 1, "Rare sentences", "Number of the two hundred sentences on the rare topic.")

    reach = 2.5
    alone = "rare topic"
    name = "imbalance"
    tab = "Rare topics"
    title = "Rare topics"
    terms = ("uniform", "coverage", "random draws")
    lines = (
        "A uniform draw, in which every sentence is equally likely, looks like the pool: what is rare in the pool is rare in "
        "the draw, and often missing.",
        "The design asks what is still uncertain, so it goes to the rare topic as soon as one more common sentence would gain "
        "less. Then its worst leverage over the pool falls; that of a draw depends on luck.",
        "Every sentence has six tokens and every row has length 2, so neither length explains the picks: only directions "
        "do. In real embeddings a rare topic often has longer rows, too, and the two causes mix.",
    )
    formulas = (
        r"G(S) = \max_{x \in \text{pool}} x^\top V(S)^{-1} x",
        r"P(\text{no rare one}) = \binom{N - r}{n} \Big/ \binom{N}{n}",
    )
    symbols = (
        "n sentences are drawn from N = 200, of which r are rare; G is the worst leverage over the pool's tokens, for the design "
        "matrix V(S) of the drawn sentences S with sigma2 = 1."
    )
    source = (
        (PAPER, "the goal is a small prediction error, above all in the worst case."),
        (OURS, "this pool. A small worst leverage is not yet a better model."),
    )

    @property
    def direction(self) -> np.ndarray:
        """(2,) centre of the rare topic, of length NORM."""
        x, y = self.place
        return NORM * self.place / np.hypot(x, y) if np.hypot(x, y) > 1e-9 else np.array([0.0, NORM])

    @cached_property
    def rows(self) -> TokenEmbeddings:
        """1,200 rows of two numbers and of one norm, the rare sentences last."""
        rng = np.random.default_rng(11)
        common = np.array([2.0, 0.5]) + 0.3 * rng.normal(size=(SENTENCES, 2))
        rare = self.direction + 0.3 * rng.normal(size=(SENTENCES, 2))
        is_rare = np.arange(SENTENCES) >= SENTENCES - self.rare
        centres = np.where(is_rare[:, None], rare, common)
        values = np.repeat(centres, TOKENS, axis=0) + 0.15 * rng.normal(size=(SENTENCES * TOKENS, 2))
        values *= NORM / np.linalg.norm(values, axis=1, keepdims=True)
        return TokenEmbeddings.of(list(values.reshape(SENTENCES, TOKENS, 2)))

    @cached_property
    def design(self) -> list[int]:
        return [s.position for s in islice(greedy(self.rows), MOST)]

    @cached_property
    def draws(self) -> np.ndarray:
        rng = np.random.default_rng(0)
        return np.stack([rng.permutation(SENTENCES)[:MOST] for _ in range(DRAWS)])

    @property
    def without_rare(self) -> np.ndarray:
        """(20,) whether a draw of this budget holds no rare sentence."""
        return np.asarray((self.draws[:, : self.picks] < SENTENCES - self.rare).all(1))

    def worst(self, order: np.ndarray) -> np.ndarray:
        """(n,) worst leverage over the pool after each pick."""
        designs = [design_matrix([self.rows.block(i) for i in order[:n]], 2) for n in range(1, len(order) + 1)]
        return np.array([leverage(V, self.rows.values).max() for V in designs])

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        ours, chance = curves_of(self.rare, self.points)
        n, first_rare = self.picks, SENTENCES - self.rare
        covered = int(sum(i >= first_rare for i in self.design[:n]))
        empty = int(self.without_rare.sum())
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
                "",
                self._plane(dark, revealed),
                f"Two hundred sentences on a circle, {self.rare} of them on a topic of their own; TokenOD takes {covered} of "
                f"its {n} picks there.",
                "Dots: sentences, by the mean of their rows. The rare topic can be dragged around the circle.",
            ),
            Picture(
                "The worst leverage against the picks",
                self._curves(dark, revealed),
                f"Worst leverage against picks: at {several(n, 'pick')} TokenOD's line is below "
                f"{int((chance[:, n - 1] > ours[n - 1]).sum())} of the {DRAWS} uniform draws.",
                f"Grey: {DRAWS} uniform draws; blue: TokenOD. Sentences are equally long: equal picks are equal tokens."
                + (f" Dashed: those whose first {n} hold no rare sentence." if revealed and empty else ""),
            ),
        )
        chance_of_none = miss(SENTENCES, self.rare, n)
        low, middle, high = map(percent, CUTS)
        question = Question(
            f"{several(n, 'sentence')} drawn at random, {self.rare} of 200 rare: how likely is a draw without a rare one?",
            (f"at most {low}", f"{low} to {middle}", f"{middle} to {high}", f"more than {high}"),
            sum(chance_of_none > c for c in CUTS),
            f"{percent(chance_of_none, 1)}. Of the {DRAWS} draws on the picture {empty or 'none'} "
            f"{'is such a draw' if empty == 1 else 'are such draws'}"
            + ("; their worst leverage (dashed) stays high." if empty else ".")
            + " Fewer picks, or fewer rare sentences, make it likelier.",
        )
        return Shown(pictures, numbers, question)

    def _plane(self, dark: bool, revealed: bool) -> Plane:
        means = self.rows.values.reshape(SENTENCES, TOKENS, 2).mean(1)
        shown = int(np.argmax(self.without_rare)) if revealed else 0
        draw = f"a uniform draw{' without rare ones' if revealed and self.without_rare.any() else ''}"
        circle, square = style(DEFAULT_SELECTOR, dark)[1], style("uniform", dark)[1]
        return Plane(
            points=((float(self.direction[0]), float(self.direction[1]), 1.0),),
            colours=drawing.colours(dark),
            reach=self.reach,
            hint=DRAG,
            title="The pool and the picks",
            names=("rare topic",),
            fixed=True,
            ring=NORM,
            dots=places(means),
            marks=(
                Marks(places(means[self.draws[shown, : self.picks]]), square, "uniform", open=True, size=1.2),
                Marks(places(means[self.design[: self.picks]]), circle, "point"),
            ),
            legend=((circle, "point", "TokenOD", ""), (f"{square}-open", "uniform", draw, "")),
        )

    def _curves(self, dark: bool, revealed: bool) -> go.Figure:
        ours, chance = curves_of(self.rare, self.points)
        fig = drawing.axes(dark, "picks (six tokens each)", "worst leverage")
        x = np.arange(1, MOST + 1)
        grey, _ = style("uniform", dark)
        blue, symbol = style(DEFAULT_SELECTOR, dark)
        missed = self.without_rare & revealed
        for some, name, dash in ((~missed, f"{DRAWS} uniform draws", "solid"), (missed, "without a rare one", "dash")):
            for k, y in enumerate(chance[some]):
                fig.add_trace(drawing.line(np.stack([x, y], axis=1), name, grey, showlegend=k == 0, dash=dash, width=1))
        fig.add_trace(drawing.curve(x, ours, "TokenOD", blue, symbol, "%{y:.3f}", size=6, width=2.5))
        drawing.here(fig, self.picks)
        fig.update_yaxes(type="log", dtick=1, minor={"dtick": "D1"})
        return fig


@lru_cache(maxsize=16)
def curves_of(rare: int, points: Points = Imbalance.points) -> tuple[np.ndarray, np.ndarray]:
    """Worst leverage of the design (30,) and of the draws (20, 30), which no budget changes."""
    lesson = Imbalance(points=points, rare=rare)
    return lesson.worst(np.array(lesson.design)), np.stack([lesson.worst(d) for d in lesson.draws])


@dataclass(frozen=True)
class Outlier(Dragged):
    """A pool with one far sentence, which is dragged."""

    points: Points = ((-2.4, 3.2, 1.0),)
    picks: int = control(8, 1, PICKS, 1, "Picks", "The budget, in sentences; all have four tokens.")

    reach = 6.0
    alone = "outlier"
    name = "outlier"
    tab = "Outliers"
    title = "A design matched to the pool"
    terms = ("MatchedOD", "outlier", "Stein's loss", "second moment")
    lines = (
        "To log det a far row is a bargain: the longer the better, without limit. If the far row is noise, TokenOD buys noise "
        "first.",
        "The second moment, the mean of x xᵀ, says how long rows are in each direction. MatchedOD, our selector, wants that of "
        "the picks to be that of the pool; Stein's loss says how far they are apart. A missing direction costs something "
        "(through the log det), and so does too much of one (through the trace).",
        "So an outlier comes late, when the other picks can pay for it. Drag it nearer and see. This is an idea that we tested; "
        "the last lesson says what came of designs like it.",
    )
    formulas = (r"\mathrm{tr}(M^{-1} S/t) - \log\det(M^{-1} S/t) - d",)
    symbols = (
        "M is the pool's second moment, S the sum of x xᵀ over the picks' tokens and 20 more like the pool's, t their number, "
        "and d = 2. The loss is 0 when S/t is M; it is twice the Kullback-Leibler divergence of normal distributions around 0 "
        "with these covariances."
    )
    source = ((OURS, "MatchedOD. It is neither in the paper nor proven better."),)

    @cached_property
    def rows(self) -> TokenEmbeddings:
        """240 rows of sixty sentences; the outlier comes last."""
        rng = np.random.default_rng(2)
        centres = rng.normal(size=(OUTLIER + 1, 2)) * [0.9, 0.5]
        centres[OUTLIER] = self.place
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
        return stein_loss(self.pool_moment, self.moment(some))

    def answered(self) -> Outlier:
        """With as many picks as MatchedOD needs to take the outlier, where the slider goes so far."""
        return replace(self, picks=min(PICKS, max(self.picks, self.orders[1].index(OUTLIER) + 1)))

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
                "",
                self._plane(dark, revealed),
                f"Sixty sentences in the plane of rows, one of them {short(np.hypot(*self.place))} away from the origin, and the "
                f"first {several(n, 'pick')} of TokenOD"
                + (" and MatchedOD, with the ellipses of their second moments." if revealed else "."),
                "Ellipses: second moments, of the pool (dotted) and of the picks"
                + ("." if revealed else "; MatchedOD's come with the answer."),
            ),
            Picture(
                "Stein's loss against the picks",
                self._losses(dark),
                "Stein's loss against picks: MatchedOD stays near 0, TokenOD is above it.",
                "How unlike the pool the picks are; 0 is a perfect match. 20 tokens of the pool itself count as the prior.",
            ),
        )
        rank, until = ranks[1], self.answered().picks
        seen = f"The picture shows {until} picks. " if until != n else ""
        options = ("as its first pick", f"between pick 2 and pick {n}", f"after the first {n}")
        question = Question(
            f"The outlier is {short(np.hypot(*self.place))} away from the origin. When does MatchedOD take it?",
            options if n > 1 else ("as its first pick", "later"),
            0 if rank == 1 else 1 if rank <= n or n == 1 else 2,
            f"It is pick {rank} of 60; TokenOD takes it as pick {ranks[0]}. {seen}It belongs to the pool too, so its price is "
            "not infinite: a little of its direction is wanted, and more where it makes up more of the pool's second moment.",
        )
        return Shown(pictures, numbers, question)

    def _plane(self, dark: bool, revealed: bool) -> Plane:
        means = self.sentences.mean(1)
        series = [("TokenOD", self.orders[0], "point", *style(DEFAULT_SELECTOR)[1:], False)]
        series += [("MatchedOD", self.orders[1], "green", *style("matched_od")[1:], True)] if revealed else []
        marks, legend = [], [("line", "quiet", "the pool", "2 3")]
        curves = [(places(drawing.ellipse_of(np.linalg.inv(self.pool_moment), 2.0)), "quiet", "2 4")]
        for name, order, colour, marker, open in series:
            some = order[: self.picks]
            marks.append(Marks(places(means[some]), marker, colour, open=open, size=1.6 if open else 1.0))
            ellipse = drawing.ellipse_of(np.linalg.inv(self.moment(some)), 2.0)
            curves.append((places(ellipse), colour, "6 4" if open else ""))
            legend.append((f"{marker}{'-open' * open}", colour, name, ""))
        return Plane(
            points=self.points,
            colours=drawing.colours(dark),
            reach=self.reach,
            hint=DRAG,
            title="The pool, the outlier and the picks",
            names=("outlier",),
            fixed=True,
            dots=places(means[:OUTLIER]),
            marks=tuple(marks),
            curves=tuple(curves),
            legend=tuple(legend),
        )

    def _losses(self, dark: bool) -> go.Figure:
        token_od, _, losses = self.orders
        x = np.arange(1, PICKS + 1)
        series: list[drawing.Series] = [
            ("TokenOD", [self.loss(token_od[:n]) for n in x], *style(DEFAULT_SELECTOR, dark)),
            ("MatchedOD", losses[:PICKS], *style("matched_od", dark)),
        ]
        fig = drawing.axes(dark, "picks", "Stein's loss")
        return drawing.curves(fig, x, series, "%{y:.3f}", at=self.picks, size=6)
