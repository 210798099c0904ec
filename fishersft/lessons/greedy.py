"""Two lessons on greedy selection: against the best subset, found by brute force; and lazily, its saved work counted.

Brute force is for tiny pools only: every subset's f(S) = log det V(S) - log det V(empty), in nats.  For the lazy lesson the
product's own `Shard` is run, two gains at a time, and asked after each pick which gains it has recomputed.  The naive way
computes every gain outside the selection at every pick: N, N - 1, N - 2, ...
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, islice

import numpy as np
import plotly.graph_objects as go

import fishersft.lessons.drawing as drawing
from fishersft.design.factor import suited_to
from fishersft.design.greedy import Pick, Shard, greedy, winner_of
from fishersft.design.information import gain, share_of_optimum
from fishersft.design.rows import TokenEmbeddings
from fishersft.lessons.lesson import (
    OURS,
    PAPER,
    TEXTBOOK,
    Lesson,
    Number,
    Picture,
    Question,
    Shown,
    control,
    nats,
    percent,
    several,
)
from fishersft.plots.base import GREEN, VERMILION, ink, style
from fishersft.selectors import DEFAULT_SELECTOR

SENTENCES, DIMENSION, MOST = 12, 4, 6  # of the pool whose subsets are all tried
LAZY_SENTENCES, LAZY_DIMENSION, LAZY_MOST = 40, 8, 12
TOGETHER = 2  # gains computed at once; the real thing takes dozens, which suits a machine better and a lesson worse


def all_subsets(rows: TokenEmbeddings, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Every choice of n blocks, (C, n), and its f in nats, (C,), under sigma2 = 1."""
    squares = np.stack([X.T @ X for X in map(rows.block, range(len(rows)))])
    subsets = np.array(list(combinations(range(len(rows)), n)))
    V = squares[subsets].sum(1) + np.eye(rows.dimension)
    return subsets, np.linalg.slogdet(V)[1]


def sentences(positions: Iterable[int]) -> str:
    """`sentences 3, 7, 12`, counted from 1."""
    return f"sentences {', '.join(str(position + 1) for position in positions)}"


@dataclass(frozen=True)
class Subsets(Lesson):
    picks: int = control(3, 1, MOST, 1, "Picks", "Number of the twelve sentences that are chosen.")
    pool: int = control(1, 1, 30, 1, "Pool", "Another twelve sentences, drawn at random with this seed.")

    name = "greedy"
    tab = "Greedy"
    title = "Greedy against the best"
    terms = ("greedy", "certificate", "share of the optimum")
    lines = (
        "In a large pool the best n sentences cannot be found: there are too many subsets to try. Among twelve sentences all "
        "of them can be tried.",
        "Greedy takes the sentence with the largest gain, then, with all gains computed anew, the largest again, and never takes "
        "a pick back. It often finds the best subset, and provably never gains less than 63% of what the best one gains.",
        "The certificate says more about the case at hand: no selection of as many sentences can gain more than the green line. "
        "It needs no brute force, so the dashboard shows one for any pool.",
    )
    formulas = (
        r"\max_{|S'| = n} f(S') \le \min_k \Big( f(S_k) + \sum_{n \text{ largest}} \text{gain}(S_k) \Big)",
        r"f(S_n) \ge (1 - 1/e)\, \max_{|S'| = n} f(S')",
    )
    symbols = (
        "f(S) is the log det gained by the sentences S, and S_k holds greedy's first k picks; each k gives a valid bound, and "
        "the tightest is drawn. A sentence here is one or two rows in four dimensions. A uniform draw is a random place in the "
        "histogram."
    )
    source = (
        (PAPER, "Algorithm 1 is this greedy rule."),
        (TEXTBOOK, "Nemhauser, Wolsey and Fisher (1978) for 1 − 1/e; Minoux (1978) for the certificate."),
    )

    @cached_property
    def rows(self) -> TokenEmbeddings:
        rng = np.random.default_rng(self.pool)
        lengths = rng.integers(1, 3, SENTENCES)
        rows = rng.normal(size=(lengths.sum(), DIMENSION))
        values = 3 * rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return TokenEmbeddings.of(np.split(values, np.cumsum(lengths)[:-1]))

    @cached_property
    def run(self) -> list[Pick]:
        return list(islice(greedy(self.rows), MOST))

    @property
    def steps(self) -> list[Pick]:
        return self.run[: self.picks]

    @cached_property
    def bounds(self) -> np.ndarray:
        """(6,) the certificate at each budget: the tightest over all prefixes of the run, so it never falls; nats."""
        f, V, tables = 0.0, np.eye(DIMENSION), []
        left = list(range(SENTENCES))
        for pick in [None, *self.run]:
            if pick is not None:
                f, V = f + pick.gain, V + self.rows.block(pick.position).T @ self.rows.block(pick.position)
                left.remove(pick.position)
            gains = np.sort([gain(V, self.rows.block(i)) for i in left])[::-1]
            tables.append(f + np.cumsum(gains)[:MOST])
        return np.array([min(table[min(n, len(table) - 1)] for table in tables) for n in range(MOST)])

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        subsets, f = all_subsets(self.rows, self.picks)
        reached, bound, best = sum(s.gain for s in self.steps), float(self.bounds[self.picks - 1]), float(f.max())
        numbers = (
            Number("Greedy", nats(reached), "log det gained by greedy's picks.", sentences(s.position for s in self.steps)),
            Number(
                "The best subset",
                nats(best) if revealed else "?",
                f"The largest f among all {len(f):,} subsets; shown with the answer.",
                sentences(subsets[f.argmax()]) if revealed else "brute force",
            ),
            Number(
                "Proven",
                f"at least {percent(share_of_optimum(reached, bound), 1)}",
                "Share of the best that the certificate alone proves.",
                f"in truth {percent(reached / best, 2)}" if revealed else f"bound {nats(bound)}",
            ),
            Number(
                "A random subset",
                nats(f.mean()),
                f"The mean of all {len(f):,} subsets.",
                f"{f.min():.3g} to {best:.3g} nats" if revealed else "",
            ),
        )
        picture = Picture(
            f"All {len(f):,} subsets of {self.picks} of {SENTENCES} sentences",
            self._histogram(f, reached, bound, dark, revealed),
            f"Histogram of the log det gained by each of {len(f):,} subsets; greedy reaches {nats(reached)} and the certificate "
            f"says at most {nats(bound)}.",
            "Bars: the number of subsets with such a gain. Blue: greedy. Green: the certificate."
            + (" Dotted: the best subset." if revealed else " The right end of the bars is hidden until you answer."),
        )
        growing = Picture(
            "At every budget",
            self._budgets(dark, revealed),
            "log det gained in nats against picks, for greedy, the certificate, the mean of all subsets"
            + (" and the best subset." if revealed else "."),
            "One run of greedy answers every smaller budget; the best subset of n need not hold the best of n − 1."
            + ("" if revealed else " The best subsets come with the answer."),
        )
        missing = 1 - reached / best
        question = Question(
            f"Is greedy's choice of {self.picks} the best of all subsets in this pool?",
            ("yes, it is the best", "no, but within 1%", "no, more than 1% is missing"),
            0 if missing <= 1e-9 else 1 if missing <= 0.01 else 2,
            f"Greedy gains {reached:.4g} nats, the best subset {best:.4g} nats: {percent(missing, 2)} is missing. Try other "
            "pools.",
        )
        return Shown((picture, growing), numbers, question)

    def _histogram(self, f: np.ndarray, reached: float, bound: float, dark: bool, revealed: bool) -> go.Figure:
        fig = drawing.axes(dark, "log det gained (nats)", "subsets")
        blue, symbol = style(DEFAULT_SELECTOR, dark)
        edges = np.linspace(f.min(), f.max() * (1 + 1e-9), 31) if len(f) > 30 else np.linspace(f.min() - 0.05, f.max() + 0.05, 31)
        counts, _ = np.histogram(f, edges)
        keep = (edges[1:] < reached) | revealed
        x, hover = ((edges[:-1] + edges[1:]) / 2)[keep], "%{y} subsets about %{x:.2f} nats<extra></extra>"
        look = {"width": (edges[1] - edges[0]) * 0.92, "marker": {"color": ink(dark)[2], "opacity": 0.6}, "name": "subsets"}
        fig.add_trace(go.Bar(x=x, y=counts[keep], hovertemplate=hover, **look))
        lines = [("greedy", reached, blue, "solid", symbol), ("certificate", bound, GREEN, "dash", "square")]
        lines += [("best subset", float(f.max()), VERMILION, "dot", "star")] if revealed else []
        for name, at, colour, dash, shape in lines:
            trace = drawing.line(np.array([[at, 0], [at, counts.max() * 1.05]]), name, colour, dash=dash)
            fig.add_trace(trace.update(mode="lines+markers", marker={"symbol": shape, "size": [0, 11], "color": colour}))
        return fig

    def _budgets(self, dark: bool, revealed: bool) -> go.Figure:
        budgets = np.arange(1, MOST + 1)
        every = [all_subsets(self.rows, int(n))[1] for n in budgets]
        series: list[drawing.Series] = [
            ("mean of all subsets", [f.mean() for f in every], ink(dark)[2], "square"),
            ("greedy", np.cumsum([s.gain for s in self.run]), *style(DEFAULT_SELECTOR, dark)),
            ("certificate", self.bounds, GREEN, "square", "dash"),
        ]
        series += [("best subset", [f.max() for f in every], VERMILION, "star", "dot")] if revealed else []
        fig = drawing.curves(drawing.axes(dark, "picks", "log det gained (nats)"), budgets, series, "%{y:.2f} nats")
        drawing.here(fig, self.picks, ink(dark)[2])
        return fig


@dataclass(frozen=True)
class Trace:
    picks: np.ndarray  # (n,) in order
    fresh: np.ndarray  # (n, N) bool, whether a gain was computed for a pick
    bounds: np.ndarray  # (n, N) each gain as it was known at the pick: exact where it is fresh, else an upper bound

    @property
    def lazily(self) -> np.ndarray:
        """(n,) gains computed for each pick."""
        return self.fresh.sum(1)

    @property
    def naively(self) -> np.ndarray:
        """(n,) gains that the naive way computes."""
        return self.fresh.shape[1] - np.arange(len(self.picks))


def trace(pool: TokenEmbeddings, n: int) -> Trace:
    """Run greedy and note which gains each pick computed; the first sweep counts for the first pick."""
    picks, fresh, bounds = [], [], []
    with suited_to(pool.dimension):
        shard = Shard(pool)
        shard.batch = TOGETHER
        for _ in range(n):
            winner = winner_of(shard.propose())
            fresh.append(shard.fresh & shard.outside)
            bounds.append(shard.gains.copy())
            picks.append(winner.position)
            shard.accept(winner.position, shard.block(winner.position))
    return Trace(np.array(picks), np.array(fresh), np.array(bounds))


@dataclass(frozen=True)
class Lazy(Lesson):
    picks: int = control(4, 1, LAZY_MOST - 1, 1, "Picks so far", "Number of picks that are shown.")
    topics: int = control(6, 1, 8, 1, "Topics", "The tokens of one topic point in nearly one direction.")

    name = "lazy"
    tab = "Appendix: lazy"
    title = "Lazy greedy"
    terms = ("lazy greedy", "evaluations")
    lines = (
        "After a pick every gain may have changed, so the plain rule computes them all again.",
        "But gains only shrink, so an earlier gain is an upper bound on the gain now. Look at the highest bound first, and stop "
        "as soon as no bound reaches the best gain found.",
        "The picks are exactly the same. A pick from one topic leaves the bounds of the others nearly true; with one topic "
        "they all fall together and less is saved.",
    )
    formulas = (
        r"V_{\text{now}} \succeq V_{\text{then}} \Rightarrow",
        r"\text{gain}_i(V_{\text{now}}) \le \text{gain}_i(V_{\text{then}})",
    )
    symbols = "gain_i(V) = log det(V + X_iᵀ X_i) − log det V. A gain computed then bounds the gain now."
    source = (
        (PAPER, "Algorithm 2, with cached gains in mini-batches; about 4 times faster on 5,000 sentences."),
        (OURS, "candidates two at a time here, so that the saving can be counted; the package takes dozens."),
    )

    @cached_property
    def run(self) -> Trace:
        rng = np.random.default_rng(5)
        lengths = rng.integers(1, 7, LAZY_SENTENCES)
        centres = np.eye(LAZY_DIMENSION)[np.arange(LAZY_SENTENCES) % self.topics] * 1.5
        rows = np.repeat(centres, lengths, axis=0) + 0.25 * rng.normal(size=(lengths.sum(), LAZY_DIMENSION))
        return trace(TokenEmbeddings.of(np.split(rows, np.cumsum(lengths)[:-1])), LAZY_MOST)

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        done = self.run
        until = self.picks + int(revealed)
        lazily, naively = int(done.lazily[:until].sum()), int(done.naively[:until].sum())
        later = ("–", "nothing yet")
        if until > 1:
            later = f"{done.lazily[1:until].mean():.1f} a pick", f"naively {done.naively[1:until].mean():.1f}"
        numbers = (
            Number("Gains computed", f"{lazily:,}", f"For {several(until, 'pick')}, first sweep included.", f"of {naively:,}"),
            Number("Saved", percent(1 - lazily / naively), "Share of the naive way's gains that were never computed."),
            Number("After the first sweep", later[0], "Average gains computed for each later pick.", later[1]),
        )
        pictures = (
            Picture(
                "Which gains each pick computed",
                self._map(until, dark),
                f"A table of {LAZY_SENTENCES} sentences by {until} picks: dark cells are gains computed for that pick, light "
                f"ones bounds that were good enough; {lazily} of {naively} are dark.",
                "A column is a pick, a row a sentence. Blue: gain computed. Pale: its old bound was low enough. Star: picked, "
                "and blank from then on.",
            ),
            Picture(
                "The work, added up",
                self._sums(until, dark),
                f"Gains computed against picks: {lazily} lazily and {naively} naively after {until} picks.",
                "Gains computed so far, first sweep included.",
            ),
        )
        left = LAZY_SENTENCES - self.picks
        used = int(done.lazily[self.picks])
        few, many = left // 8, left // 3
        question = Question(
            f"Pick {self.picks + 1} is next, and {left} sentences are left. How many gains must be computed for it?",
            (f"1 to {few}", f"{few + 1} to {many}", f"more than {many}"),
            int(used > few) + int(used > many),
            f"{used} of {left}: the bounds of the other {left - used} were already below the best gain found.",
        )
        return Shown(pictures, numbers, question)

    def _map(self, until: int, dark: bool) -> go.Figure:
        done = self.run
        blue, _ = style(DEFAULT_SELECTOR, dark)
        fig = drawing.axes(dark, "pick", "sentence")
        cells = np.where(done.fresh[:until], 2, 1).T.astype(float)
        for k in range(until):
            cells[done.picks[:k], k] = 0
        quiet, ground = ink(dark)[1], "rgba(0,0,0,0)"
        scale = [[0, ground], [1 / 3, ground], [1 / 3, quiet], [2 / 3, quiet], [2 / 3, blue], [1, blue]]
        names = np.array(["already picked", "bound was low enough", "gain computed"])[cells.astype(int)]
        look = {"zmin": 0, "zmax": 2, "colorscale": scale, "showscale": False, "xgap": 2, "ygap": 1}
        hover = "pick %{x}, sentence %{y}: %{customdata}<extra></extra>"
        x, y = np.arange(1, until + 1), np.arange(1, LAZY_SENTENCES + 1)
        fig.add_trace(go.Heatmap(x=x, y=y, z=cells, customdata=names, hovertemplate=hover, **look))
        stars = np.stack([x, done.picks[:until] + 1], axis=1)
        fig.add_trace(drawing.points(stars, "picked", VERMILION, "star", 11, showlegend=True, outline=ink(dark)[0]))
        for name, colour in (("gain computed", blue), ("bound was low enough", quiet)):
            fig.add_trace(drawing.points(np.array([[np.nan, np.nan]]), name, colour, "square", 11, showlegend=True))
        fig.update_xaxes(range=[0.4, LAZY_MOST + 0.6], dtick=1, showgrid=False)
        fig.update_yaxes(range=[LAZY_SENTENCES + 0.6, 0.4], showgrid=False)
        return fig

    def _sums(self, until: int, dark: bool) -> go.Figure:
        naive, lazy = (np.cumsum(each) for each in (self.run.naively, self.run.lazily))
        series: list[drawing.Series] = [
            ("naively", naive[:until], ink(dark)[2], "square"),
            ("lazily", lazy[:until], *style(DEFAULT_SELECTOR, dark)),
        ]
        fig = drawing.axes(dark, "picks", "gains computed so far")
        fig.update_xaxes(range=[0.5, LAZY_MOST + 0.5], dtick=1)
        drawing.curves(fig, np.arange(1, until + 1), series, "%{y} gains")
        return fig.update_yaxes(range=[0, float(naive[-1]) * 1.05])
