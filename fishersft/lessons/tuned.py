"""Lesson: does choosing help the tuned model, at equal tokens?  The shipped results of fine-tuning, read and not computed here.

    difference  nats a held-out token of the model tuned on a selection, minus that of the model tuned on a random draw
                (Uniform), on the same texts; below 0 the selection is better

`assets/results/` has whole corpora, on their own held-out texts; `assets/arenas/mini` has targets, on texts of the target that
no selector saw.  Intervals are 95%, over texts and training seeds (`finetuning.results`).  A file that is missing
leaves less to show.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

import fishersft.lessons.drawing as drawing
from fishersft import paths
from fishersft.errors import StoreError
from fishersft.fields import parameter
from fishersft.finetuning.arena import read_arena
from fishersft.finetuning.leaderboard import Contest
from fishersft.lessons.lesson import OURS, PAPER, Lesson, Number, Picture, Question, Shown, several
from fishersft.plots.base import ink, style
from fishersft.selectors import DEFAULT_SELECTOR

WHOLE = (("demo", "runs/demo/result.json"), ("Sherlock", "results/sherlock.json"), ("Shakespeare", "results/shakespeare.json"))
AIMED = {"TargetMatched": "target_matched", "TargetOD": "target_od", "VOptimal": "v_optimal", "TokenOD": DEFAULT_SELECTOR}
SYMBOLS = {"demo": "square", "Sherlock": "circle", "Shakespeare": "diamond"}
EQUAL = ("tokens", "sentences")
TICKS = (5_000, 10_000, 20_000, 50_000, 100_000)


@dataclass(frozen=True)
class Difference:
    """Nats a held-out token, minus a random draw's, with its 95% interval; `tokens` were trained, in each pass."""

    where: str
    tokens: float
    value: float
    low: float
    high: float

    @property
    def side(self) -> int:
        """-1: better than a random draw beyond the interval, 1: worse, 0: level."""
        return -1 if self.high < 0 else 1 if self.low > 0 else 0

    @property
    def said(self) -> str:
        return f"{_signed(self.value)} ({_signed(self.low)} to {_signed(self.high)})"


@lru_cache(maxsize=8)
def untargeted(equal: str) -> tuple[Difference, ...]:
    """TokenOD against a random draw of as many `tokens` or `sentences`, at every budget of every corpus that ships."""
    found = []
    for name, path in WHOLE:
        held = _read(paths.asset(*path.split("/")))
        result = held.get(equal) or (held if held.get("about", {}).get("equal") == equal else {})
        found += _differences(name, result.get("lines", []), DEFAULT_SELECTOR)
    return tuple(found)


@lru_cache(maxsize=8)
def targeted(selector: str) -> tuple[Difference, ...]:
    """A selector against a random draw of as many tokens, on each target's measuring texts, at its largest measured budget."""
    found = {}
    for contest in sorted(_arena(), key=lambda contest: contest.budget):
        d = contest.differences.get(selector)
        if contest.target and d and not np.isnan(d.low):
            name = contest.target.removesuffix(".jsonl").replace("-", " ")
            found[name] = Difference(name, contest.entries[selector].facts["tokens"], d.value, d.low, d.high)
    return tuple(found.values())


def _arena() -> tuple[Contest, ...]:
    try:
        return read_arena(paths.asset("arenas", "mini")).contests
    except StoreError:
        return ()


def _differences(where: str, lines: list[dict[str, Any]], selector: str) -> list[Difference]:
    mine = sorted((line for line in lines if line["selector"] == selector and line["budget"]), key=lambda line: line["budget"])
    found = [(line["tokens"], line["minus_uniform"].get("mean")) for line in mine]
    return [Difference(where, n, e["value"], e["low"], e["high"]) for n, e in found if e and e["low"] is not None]


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


@dataclass(frozen=True)
class Tuned(Lesson):
    equal: str = parameter("tokens", "What the random draw has as much of.", label="Left: compared at equal", choices=EQUAL)
    selector: str = parameter("TargetMatched", "The selector on the right.", label="Right: selector", choices=tuple(AIMED))

    name = "tuned"
    tab = "Tuned model"
    title = "Does it help the tuned model, at equal tokens?"
    terms = ("held-out nats",)
    lines = (
        "All so far was about a linear model. The test is a language model: tune it on the chosen sentences, and again on a "
        "random draw with as many tokens, and measure both on texts that neither saw (held out).",
        "The measure is nats per token, the average surprise −log p of the next token: lower is better. A difference counts "
        "when its 95% interval leaves out 0.",
        "At equal sentences TokenOD's picks are longer, so its model reads more. Set the left side to equal sentences to see "
        "how much of a lead length alone can make.",
    )
    formulas = (r"\Delta = \mathrm{nats}(\text{tuned on the choice}) - \mathrm{nats}(\text{tuned on a random draw})",)
    symbols = (
        "Each interval comes from drawing the held-out texts again and again, and the trainings, which differ by their random "
        "seed, where there are several. One small model (mini, 4.3 million parameters) made all of these; a larger one may "
        "differ."
    )
    source = (
        (PAPER, "reports that TokenOD wins, at equal sentences, on GPT-2."),
        (OURS, "every number here, from the shipped results; the README of the evidence has the commands."),
    )

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        whole, aimed = untargeted(self.equal), targeted(AIMED[self.selector])
        better, worse, level = (sum(d.side == side for d in whole) for side in (-1, 1, 0))
        helped = sum(d.side == -1 for d in aimed)
        hidden = "?" if not revealed else ""
        numbers = (
            Number(
                f"TokenOD, equal {self.equal}",
                hidden or f"{better} of {len(whole)} better",
                "Comparisons in which TokenOD's model is better beyond the interval; shown with the answer.",
                "" if hidden else f"{worse} worse, {level} undecided",
            ),
            Number(
                f"For a target, {self.selector}",
                hidden or f"{helped} of {len(aimed)} better",
                "Targets on which this selector's model is better than a random draw's of as many tokens, beyond the interval.",
                "" if hidden else f"{sum(d.side == 1 for d in aimed)} worse, {sum(d.side == 0 for d in aimed)} undecided",
            ),
        )
        low, high = (min((d.value for d in whole), default=np.nan), max((d.value for d in whole), default=np.nan))
        pictures = (
            Picture(
                "TokenOD, no target",
                self._whole(whole if revealed else (), dark),
                f"Differences of TokenOD to a random draw at equal {self.equal}, with intervals"
                + (f": {better} of {len(whole)} below 0, {worse} above." if revealed else "; shown with the answer."),
                f"Each mark: one corpus and budget, at equal {self.equal}. Below 0, TokenOD is better than a random draw.",
            ),
            Picture(
                f"{self.selector}, for a target",
                self._aimed(aimed if revealed else (), dark),
                f"Differences of {self.selector} to a random draw at equal tokens on {len(aimed)} targets, with intervals"
                + (f": {helped} below 0." if revealed else "; shown with the answer."),
                "Each mark: a target, measured on texts that no selector saw, at equal tokens. Below 0 is better.",
            ),
        )
        options = ("in none of them", "in some of them", "in more than half of them")
        if self.equal == "tokens":
            meaning = "No target, equal tokens: choosing by log det alone does not help this model."
        else:
            meaning = "At equal sentences its picks have more tokens; compare at equal tokens before believing a lead."
        if better:
            meaning = meaning if self.equal == "sentences" else "Where it is better, look at the interval and at the budget."
        question = Question(
            f"At equal {self.equal}: in how many of {len(whole)} comparisons on real texts does TokenOD's model beat the random "
            "draw's, beyond the interval?",
            options,
            0 if not better else 1 if 2 * better <= len(whole) else 2,
            f"{better} of {len(whole)} are better, {worse} worse and {level} undecided (differences from {_signed(low)} to "
            f"{_signed(high)} nats). {meaning} With a target, {self.selector} is better on {helped} of "
            f"{several(len(aimed), 'target')}: " + "; ".join(f"{d.where} {d.said}" for d in aimed) + ".",
        )
        return Shown(pictures, numbers, question)

    def _whole(self, found: tuple[Difference, ...], dark: bool) -> go.Figure:
        fig = drawing.axes(dark, "tokens trained on, in each pass", "nats per token, minus a random draw's")
        blue, _ = style(DEFAULT_SELECTOR, dark)
        for name, symbol in SYMBOLS.items():
            mine = [d for d in found if d.where == name]
            if mine:
                fig.add_trace(_with_intervals(mine, [d.tokens for d in mine], name, blue, symbol))
        tokens = [d.tokens for d in untargeted(self.equal)] or [1.0, 10.0]
        fig.update_xaxes(
            type="log", range=[np.log10(min(tokens) * 0.8), np.log10(max(tokens) * 1.25)], tickvals=TICKS, tickformat=","
        )
        return _around_zero(fig, untargeted(self.equal), dark)

    def _aimed(self, found: tuple[Difference, ...], dark: bool) -> go.Figure:
        fig = drawing.axes(dark, "", "nats per token, minus a random draw's", showlegend=False)
        every = targeted(AIMED[self.selector])
        named = [d.where.replace(" ", "<br>") for d in every]
        if found:
            fig.add_trace(_with_intervals(found, named, self.selector, *style(AIMED[self.selector], dark)))
        fig.update_xaxes(
            type="category", range=[-0.6, len(every) - 0.4], tickvals=list(range(len(every))), ticktext=named, tickangle=0
        )
        return _around_zero(fig, every, dark)


def _with_intervals(found: Any, x: Any, name: str, colour: str, symbol: str) -> go.Scatter:
    y = np.array([d.value for d in found])
    high, low = np.array([d.high for d in found]) - y, y - np.array([d.low for d in found])
    bars = {"type": "data", "array": high, "arrayminus": low, "thickness": 1.5, "width": 5}
    trace = drawing.points(np.stack([np.arange(len(y)), y], axis=1), name, colour, symbol, 10, hoverinfo="all")
    said = [f"{d.where}, {d.tokens:,.0f} tokens: {d.said}" for d in found]
    return trace.update(x=x, error_y=bars, customdata=said, hovertemplate="%{customdata}<extra></extra>")


def _around_zero(fig: go.Figure, found: tuple[Difference, ...], dark: bool) -> go.Figure:
    """A marked line at 0, with what each side means; the axis is the same before the answer and after it."""
    low, high = min((d.low for d in found), default=-1.0), max((d.high for d in found), default=1.0)
    room = 0.15 * max(high - low, max(high, 0) - min(low, 0))
    low, high = min(low - room, -room), max(high + room, room)
    fig.add_hline(y=0, line={"color": ink(dark)[0], "width": 1.5})
    for y, anchor, text in ((high, "top", "↑ worse than a random draw"), (low, "bottom", "↓ better than a random draw")):
        fig.add_annotation(x=1, xref="paper", y=y, text=text, showarrow=False, xanchor="right", yanchor=anchor, font={"size": 12})
    return fig.update_yaxes(range=[low, high], tickformat=".2~f")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
