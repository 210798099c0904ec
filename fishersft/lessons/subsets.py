"""Lesson: greedy against the best selection, found by brute force, with the certificate between them.

For tiny pools only: every subset's f(S) = log det V(S) - log det V(empty), in nats.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, islice
from typing import Any

import numpy as np
import plotly.graph_objects as go

from fishersft.design.greedy import Pick, greedy
from fishersft.design.information import share_of_optimum
from fishersft.design.rows import TokenEmbeddings
from fishersft.lessons import drawing
from fishersft.lessons.lesson import PAPER, TEXTBOOK, Lesson, Number, Picture, Question, Shown, control, nats, percent
from fishersft.plots.base import GREEN, VERMILION, ink, style
from fishersft.selectors import DEFAULT_SELECTOR

SENTENCES, DIMENSION, MOST = 12, 4, 6
SAME = 1e-9
NEARLY = 0.01


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
    """Twelve sentences, every subset."""

    picks: int = control(3, 1, MOST, 1, "Picks", "Number of the twelve sentences that are chosen.")
    pool: int = control(1, 1, 30, 1, "Pool", "Another twelve sentences, drawn at random with this seed.")

    name = "greedy"
    tab = "Greedy"
    title = "Greedy against the best"
    terms = ("greedy", "certificate", "share of the optimum")
    lines = (
        "In a large pool the best n sentences cannot be found: there are too many subsets. Among twelve sentences all subsets "
        "can be tried.",
        "Greedy takes the largest gain, then the largest of what is left, and never takes a pick back. It often finds the "
        "best subset, and provably never falls below 63% of it.",
        "The certificate says more about the case at hand: no selection can gain more than the green line. It needs no brute "
        "force, so the dashboard shows it for any pool.",
    )
    formulas = (
        r"\max_{|S'| = n} f(S') \le f(S) + \sum_{n \text{ largest}} \text{gain}(S)",
        r"f(S_{\text{greedy}}) \ge (1 - 1/e)\, \max f",
    )
    symbols = (
        "f(S) is the log det gained by the sentences S; here each has one or two tokens in four dimensions. A uniform draw is "
        "a random place in the histogram."
    )
    source = (
        (PAPER, "Algorithm 1 is this greedy rule."),
        (TEXTBOOK, "Nemhauser, Wolsey and Fisher (1978) for 1 − 1/e; Minoux (1978) for the certificate."),
    )

    @cached_property
    def rows(self) -> TokenEmbeddings:
        """One or two tokens a sentence, all rows of length 3."""
        rng = np.random.default_rng(self.pool)
        lengths = rng.integers(1, 3, SENTENCES)
        rows = rng.normal(size=(lengths.sum(), DIMENSION))
        values = 3 * rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return TokenEmbeddings(values, np.concatenate([[0], np.cumsum(lengths)]))

    @cached_property
    def run(self) -> list[Pick]:
        """Greedy's first six picks."""
        return list(islice(greedy(self.rows), MOST))

    @property
    def steps(self) -> list[Pick]:
        return self.run[: self.picks]

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        subsets, f = all_subsets(self.rows, self.picks)
        reached, bound, best = sum(s.gain for s in self.steps), self.steps[-1].optimum_bound, float(f.max())
        spread = f"{f.min():.3g} to {best:.3g} nats" if revealed else ""
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
            Number("A random subset", nats(f.mean()), f"The mean of all {len(f):,} subsets.", spread),
        )
        picture = Picture(
            f"All {len(f):,} subsets of {self.picks} of {SENTENCES} sentences",
            self._figure(f, reached, bound, dark, revealed),
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
        return Shown((picture, growing), numbers, self._question(reached, best))

    def _question(self, reached: float, best: float) -> Question:
        missing = 1 - reached / best
        answer = 0 if missing <= SAME else 1 if missing <= NEARLY else 2
        return Question(
            f"Is greedy's choice of {self.picks} the best of all subsets in this pool?",
            ("yes, it is the best", "no, but within 1%", "no, more than 1% is missing"),
            answer,
            f"Greedy gains {reached:.4g} nats, the best subset {best:.4g} nats: {percent(missing, 2)} is missing. Try other "
            "pools.",
        )

    def _figure(self, f: np.ndarray, reached: float, bound: float, dark: bool, revealed: bool) -> go.Figure:
        fig = drawing.axes(dark, "log det gained (nats)", "subsets", height=drawing.LOW + 40)
        blue, symbol = style(DEFAULT_SELECTOR, dark)
        edges = np.linspace(f.min(), f.max() * (1 + 1e-9), 31) if len(f) > 30 else np.linspace(f.min() - 0.05, f.max() + 0.05, 31)
        counts, _ = np.histogram(f, edges)
        middles = (edges[:-1] + edges[1:]) / 2
        keep = (edges[1:] < reached) | revealed
        top = float(counts.max())
        fig.add_trace(
            go.Bar(
                x=middles[keep],
                y=counts[keep],
                width=(edges[1] - edges[0]) * 0.92,
                marker={"color": ink(dark)[2], "opacity": 0.6},
                name="subsets",
                hovertemplate="%{y} subsets about %{x:.2f} nats<extra></extra>",
            )
        )
        lines = [("greedy", reached, blue, "solid", symbol), ("certificate", bound, GREEN, "dash", "square")]
        lines += [("best subset", float(f.max()), VERMILION, "dot", "star")] if revealed else []
        for name, x, colour, dash, shape in lines:
            trace = drawing.line(np.array([[x, 0], [x, top * 1.05]]), name, colour, dash=dash)
            fig.add_trace(trace.update(mode="lines+markers", marker={"symbol": shape, "size": [0, 11], "color": colour}))
        return fig

    def _budgets(self, dark: bool, revealed: bool) -> go.Figure:
        budgets = np.arange(1, MOST + 1)
        every = [all_subsets(self.rows, int(n))[1] for n in budgets]
        blue, symbol = style(DEFAULT_SELECTOR, dark)
        fig = drawing.axes(dark, "picks", "log det gained (nats)")
        series: list[tuple[str, Any, str, str, str]] = [
            ("mean of all subsets", [f.mean() for f in every], ink(dark)[2], "solid", "square"),
            ("greedy", np.cumsum([s.gain for s in self.run]), blue, "solid", symbol),
            ("certificate", [s.optimum_bound for s in self.run], GREEN, "dash", "square"),
        ]
        series += [("best subset", [f.max() for f in every], VERMILION, "dot", "star")] if revealed else []
        for name, y, colour, dash, shape in series:
            fig.add_trace(drawing.curve(budgets, y, name, colour, shape, "%{y:.2f} nats", dash=dash))
        drawing.here(fig, self.picks, ink(dark)[2])
        fig.update_yaxes(rangemode="tozero")
        return fig
