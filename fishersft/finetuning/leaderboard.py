"""A leaderboard: how selectors rank after fine-tuning, over contests in which all train on as many tokens in as many steps.

    difference   nats a token under the model tuned on a selection, minus those under one tuned on a random draw (Uniform), on
                 the same texts; over several contests their mean, in which each contest weighs the same
    rank         one more than the number of selectors with a smaller difference

Intervals are 95% (`intervals.py`).  That of a rank: in each of the draws, the texts of every contest are drawn with replacement,
all selectors on the same ones, and the luck of other seeds from Student's t, and the selectors ranked anew.  Contests may share a
seed's random draw, so a selector's seeds are averaged over contests one by one.  The contests are not drawn: a ranking is of
these contests.  Knows no run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf
from typing import Any

import numpy as np

from fishersft.finetuning.intervals import HeldOut, Interval, Sampled, difference, interval, together
from fishersft.finetuning.results import BASELINE, apart, side_of
from fishersft.finetuning.run import ALL, BASE
from fishersft.finetuning.tokens_saved import TokensSaved
from fishersft.text import UNDECIDED, listed

CURVE = 1.2  # times a selection's tokens up to which random draws must be tuned to say what these are worth
REFERENCES = (BASE, BASELINE, ALL)  # rows that are no choice to be ranked; Uniform is what the others are measured against


@dataclass(frozen=True)
class Score:
    """A score of a selector's answers, from 0 to 1 and higher is better, and its paired difference to Uniform's."""

    name: str
    value: Interval
    minus_uniform: Interval | None = None


@dataclass(frozen=True)
class Entry:
    """One selector in one contest, over its seeds.

    Attributes:
        facts: its sentences, tokens, seconds and what else is known.
        saved: what its tokens are worth in tokens of a random draw; None for a random draw itself, and where it is not known.
        score: of its answers, where the contest has questions.
        parameters: of the selector that are not at their defaults; the label names them.
    """

    selector: str
    label: str
    held: HeldOut
    facts: Mapping[str, Any] = field(default_factory=dict)
    saved: TokensSaved | None = None
    score: Score | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Contest:
    """Selectors that were given as many tokens of one corpus, for one target, to one model; `target` is "" for none.

    `budget` is in sentences of a random draw, whose tokens all get; contests of equal `key` were made from the same texts by the
    same model and training, so that their entries can be compared.  `pool` is the `pool_key` of the corpus and the target.
    """

    key: str
    corpus: str
    target: str
    model: str
    budget: int
    measured_on: str
    entries: Mapping[str, Entry]
    pool: str = ""

    @property
    def title(self) -> str:
        aim = f" for {self.target}" if self.target else ""
        return f"{self.corpus}{aim}, {self.model}, n = {self.budget:,}"

    @cached_property
    def differences(self) -> dict[str, Interval]:
        """Differences to Uniform by selector, in nats a token; none where Uniform has not been measured."""
        if BASELINE not in self.entries:
            return {}
        uniform = self.entries[BASELINE].held
        return {name: difference(e.held, uniform, "mean") for name, e in self.entries.items() if name != BASELINE}

    def with_entries_of(self, other: Contest) -> Contest:
        """The contest with the entries of another of its key that it lacks; without those whose parameters were changed there."""
        theirs = {name: entry for name, entry in other.entries.items() if not entry.parameters}
        return replace(self, entries={**theirs, **self.entries}) if other.key == self.key else self


@dataclass(frozen=True)
class Placing:
    """A selector's place over several contests.

    Attributes:
        rank, best, worst: its rank and that rank's interval; None for a row that is not ranked: a reference, or a selector that
            was not measured in every contest.
        minus_uniform: over the contests in which it was measured.
        sides: in how many contests it is clearly better than Uniform, undecided, clearly worse.
        choosing: seconds that choosing took, the mean over contests; NaN where that is not known.
        saved: what its tokens are worth in those of a random draw, contest by contest, as far as that is known.
    """

    selector: str
    label: str
    rank: int | None
    best: int | None
    worst: int | None
    minus_uniform: Interval
    sides: tuple[int, int, int]
    choosing: float
    saved: tuple[TokensSaved, ...] = ()

    @property
    def times(self) -> str:
        """Tokens of a random draw that each of its tokens is worth: with an interval, or from the least contest to the most."""
        if len(self.saved) < 2:
            return self.saved[0].times if self.saved else ""
        least = min(self.saved, key=lambda one: min(one.equal.value, one.reach) / one.spent)
        most = max(self.saved, key=lambda one: (one.equal.value / one.spent, one.reach / one.spent))
        ends = [least.times_alone] if least.equal.value == inf else [least.times_alone, most.times_alone]
        return " to ".join(dict.fromkeys(ends))

    @property
    def ranked(self) -> str:
        """1, or 2 (1 to 4) with its interval."""
        if self.rank is None:
            return ""
        return str(self.rank) if self.best == self.worst else f"{self.rank} ({self.best} to {self.worst})"


def leaderboard(contests: Sequence[Contest]) -> list[Placing]:
    """The selectors by rank, then those that are not ranked by their difference; none where no contest has Uniform."""
    contests = [contest for contest in contests if contest.differences]
    names = list(dict.fromkeys(name for contest in contests for name in contest.differences))
    everywhere = [name for name in names if name not in REFERENCES and all(name in c.differences for c in contests)]
    terms = {name: _minus_uniform(name, [c for c in contests if name in c.differences]) for name in names}
    found = {name: interval(*terms[name]) for name in names}
    ranks = {}
    if everywhere:
        each = np.stack([np.append(found[name].value, sum(term.with_luck for term in terms[name])) for name in everywhere])
        places = 1 + (each[:, None] > each).sum(axis=1)  # what was measured, then what was drawn
        spans = np.quantile(places[:, 1:], [0.025, 0.975], axis=1, method="nearest").astype(int)
        ranks = {name: (int(places[k, 0]), *map(int, spans[:, k])) for k, name in enumerate(everywhere)}
    out = []
    for name in sorted(names, key=lambda name: (name not in ranks, found[name].value)):
        mine = [c for c in contests if name in c.differences]
        sides = [side_of(c.differences[name]) for c in mine]
        some = f" (in {len(mine)} of {len(contests)})"
        seconds = [c.entries[name].facts.get("choosing", np.nan) for c in mine]
        out.append(
            Placing(
                selector=name,
                label=mine[0].entries[name].label + some * (len(mine) < len(contests)),
                **dict(zip(("rank", "best", "worst"), ranks.get(name, (None, None, None)), strict=True)),
                minus_uniform=found[name],
                sides=(sides.count("better than"), sides.count(UNDECIDED), sides.count("worse than")),
                choosing=float(np.mean(np.asarray(seconds, float))),
                saved=tuple(saved for c in mine if (saved := c.entries[name].saved)),
            )
        )
    return out


def _minus_uniform(name: str, contests: Sequence[Contest]) -> list[Sampled]:
    """The terms of a selector's mean difference to Uniform over contests: its own, then Uniform's."""
    sides = ((name, 1 / len(contests)), (BASELINE, -1 / len(contests)))
    return [one for of, weight in sides for one in together(c.entries[of].held.sampled("mean").times(weight) for c in contests)]


def pool_key(corpus: str, target: str = "") -> str:
    """Identifies what is chosen from and for, by the fingerprint of the corpus and the key of the target."""
    return hashlib.sha256(json.dumps([corpus, target]).encode()).hexdigest()[:16]


def after_tuning(contests: Sequence[Contest], selectors: Sequence[str]) -> str:
    """How selectors did at their defaults in the largest contest that has one of them, in a sentence; "" where none has."""
    for contest in sorted(contests, key=lambda c: -c.budget):
        found = {name: d for name, d in contest.differences.items() if not contest.entries[name].parameters}
        mine = [name for name in selectors if name in found and name not in REFERENCES]
        if mine:
            told = [f"{contest.entries[name].label} {apart(found[name], 'a random draw')}" for name in mine]
            return (
                f"After fine-tuning {contest.model} on as many tokens as {contest.budget:,} random sentences have, in nats a "
                f"token: {'; '.join(told)}."
            )
    return ""


def sentence(placings: Sequence[Placing], contests: Sequence[Contest]) -> str:
    """Who leads and by how much, in words; where nobody beats a random draw it says so."""
    ranked = [one for one in placings if one.rank is not None]
    if not ranked:
        return "Nothing has been ranked yet: no selector was tuned beside a random draw."
    first, many = ranked[0], len(contests)
    better = [one for one in ranked if one.minus_uniform.high < 0]
    where = "in this contest" if many == 1 else f"over these {many} contests"
    if not better:
        also = ", and is clearly worse" if first.minus_uniform.low > 0 else ""
        return f"No selector is clearly better than a random draw of as many tokens {where}; {first.label} comes closest{also}."
    sure = "" if first in better else ", though not clearly"
    rivals = [one.label for one in ranked[1:] if one.best == 1]
    rivals[3:] = [f"{len(rivals) - 3} more"] if len(rivals) > 3 else []
    beside = f"; {listed(rivals)} may be as good" if rivals else ""
    told = any(saved.reach > CURVE * saved.spent for saved in first.saved)
    worth = f" Each of its tokens does what {first.times} tokens of a random draw do." if told else ""
    return (
        f"{first.label} leads {where}: {-first.minus_uniform.value:.3f} nats a token better than a random draw of as many "
        f"tokens{sure} ({-first.minus_uniform.high:.3f} to {-first.minus_uniform.low:.3f}){beside}.{worth} "
        f"{len(better)} of {len(ranked)} selectors {'is' if len(better) == 1 else 'are'} clearly better than a random draw."
    )
