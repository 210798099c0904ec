"""Verdicts added up: a line a comparison, the judge's own biases, the pairwise matrix and the ranking.

Verdicts nobody was asked for and those without an answer are ties and stay in every rate; how many there were is told beside.
Knows the statistics (`stats`) and neither runs nor files.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fishersft.judge import stats
from fishersft.judge.base import FIRST, NO_ANSWER, SECOND, A, B, Verdict

COUNTED = ("asked", "identical", "empty", "flipped", "refused", "unparsable", "too_long", "addressed", "cut")


@dataclass(frozen=True)
class Judged:
    """One verdict and what it was about.

    Attributes:
        a, b: selectors.
        budget, seed: of the two models; None where neither has one.
        prompt: its number in the run.
        longer: tokens that a's text has more than b's.
    """

    a: str
    b: str
    budget: int | None
    seed: int | None
    prompt: int
    verdict: Verdict
    longer: int = 0


@dataclass(frozen=True)
class Line:
    """a against b at one budget, or at all (`budget` None).

    Attributes:
        rate: how often a wins, ties half.
        won, tied, lost: verdicts.
        p_value: of the exact test against one half.
        adjusted: the rate at equal length; None where it cannot be told.
        needed: prompts that would show a difference of 5 points, with verdicts spread as here, and without ties.
        counts: how the verdicts came about, `COUNTED`.
    """

    a: str
    b: str
    budget: int | None
    rate: stats.Rate
    won: int
    tied: int
    lost: int
    p_value: float
    adjusted: stats.Rate | None
    prompts: int
    needed: tuple[int, int]
    counts: dict[str, int]

    @classmethod
    def of(cls, a: str, b: str, budget: int | None, judged: Sequence[Judged]) -> Line:
        scores, prompts = scores_of(judged)
        longer = np.array([j.longer for j in judged])
        won, lost = int((scores == 1).sum()), int((scores == 0).sum())
        return cls(
            a,
            b,
            budget,
            stats.win_rate(scores, prompts),
            won,
            len(judged) - won - lost,
            lost,
            stats.exact_test(scores, prompts),
            stats.length_adjusted(scores, longer, prompts),
            len(np.unique(prompts)),
            stats.prompts_needed(scores, prompts),
            count(judged),
        )


@dataclass(frozen=True)
class Report:
    """What a judge's verdicts come to."""

    judged: tuple[Judged, ...]

    @cached_property
    def lines(self) -> list[Line]:
        """Each comparison at each budget, and at all of them where there are several, in the verdicts' own order."""
        groups: dict[tuple[str, str], dict[int | None, list[Judged]]] = {}
        for one in self.judged:
            groups.setdefault((one.a, one.b), {}).setdefault(one.budget, []).append(one)
        out = []
        for (a, b), by_budget in groups.items():
            out += [Line.of(a, b, n, by_budget[n]) for n in sorted(by_budget, key=lambda n: -1 if n is None else n)]
            if len(by_budget) > 1:
                out.append(Line.of(a, b, None, [one for some in by_budget.values() for one in some]))
        return out

    @cached_property
    def position(self) -> stats.Rate:
        """How often the text shown first was named, over all answers that named one; 0.5 where places do not matter."""
        named = [(r.said == FIRST, j.prompt) for j in self.judged for r in j.verdict.readings if r.said in (FIRST, SECOND)]
        return _share(named)

    @cached_property
    def flips(self) -> stats.Rate:
        """How often the two orders named different texts, over questions where both named one."""
        return _share([(j.verdict.flipped, j.prompt) for j in self.judged if j.verdict.both_decided])

    @cached_property
    def surprise(self) -> tuple[stats.Rate, stats.Rate] | None:
        """Of a judge by surprise: the share of the texts it read that surprise less than the corpus' own, and how often the more
        surprising of two was the better one, over decided verdicts.  None of other judges.

        Texts sampled at a temperature below 1 are less surprising than real ones almost by construction.  Where nearly all are,
        nearness to the corpus' own surprise is the same as more surprise, and win rates say little else.
        """
        read = [(j, nats) for j in self.judged if (nats := nats_of(j.verdict)) is not None]
        if not read:
            return None
        below = [(s < target, j.prompt) for j, (a, b, target) in read for s in (a, b)]
        decided = [((a > b) == (j.verdict.winner == A), j.prompt) for j, (a, b, _) in read if j.verdict.winner in (A, B)]
        return _share(below), _share(decided)

    @cached_property
    def counts(self) -> dict[str, int]:
        return count(self.judged)

    @cached_property
    def matrix(self) -> dict[str, dict[str, stats.Rate]]:
        """{row: {column: how often row wins}} over all budgets; the lower half mirrors the upper one."""
        pairs: dict[tuple[str, str], list[Judged]] = {}
        for one in self.judged:
            pairs.setdefault((one.a, one.b), []).append(one)
        out: dict[str, dict[str, stats.Rate]] = {}
        for (a, b), some in pairs.items():
            rate = stats.win_rate(*scores_of(some))
            out.setdefault(a, {})[b] = rate
            out.setdefault(b, {})[a] = stats.Rate(1 - rate.value, 1 - rate.high, 1 - rate.low, rate.n, rate.effective)
        return out

    @cached_property
    def ranking(self) -> list[stats.Strength]:
        """Bradley-Terry over all comparisons, where there are at least three players; two need no ranking."""
        if len({name for j in self.judged for name in (j.a, j.b)}) < 3:
            return []
        return stats.bradley_terry([j.a for j in self.judged], [j.b for j in self.judged], *scores_of(self.judged))

    @property
    def power(self) -> str:
        """How many prompts a difference of 5 points would need, in one sentence."""
        if not self.judged:
            return "Nothing was judged."
        most = max(self.lines, key=lambda line: line.needed[0])
        spread = f", and about {most.needed[0]:,} with verdicts as spread out as these" if most.needed[0] else ""
        return (
            f"To tell a win rate of 55% from 50% (two-sided 5% level, power 80%) takes about {most.needed[1]:,} prompts "
            f"where every verdict is decided{spread}; here {'are' if most.prompts != 1 else 'is'} {most.prompts:,}."
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        rows = [
            {
                **{k: getattr(line, k) for k in ("a", "b", "budget", "won", "tied", "lost", "p_value", "prompts", "counts")},
                "win_rate": line.rate.as_dict(),
                "length_adjusted": line.adjusted and line.adjusted.as_dict(),
                "prompts_for_5_points": {"as_here": line.needed[0], "without_ties": line.needed[1]},
            }
            for line in self.lines
        ]
        return {
            "lines": rows,
            "position_rate": _none(self.position),
            "flip_rate": _none(self.flips),
            "surprise": self.surprise
            and {"texts_below_the_corpus": _none(self.surprise[0]), "more_surprising_won": _none(self.surprise[1])},
            "counts": self.counts,
            "matrix": {a: {b: rate.as_dict() for b, rate in row.items()} for a, row in self.matrix.items()},
            "ranking": [asdict(s) for s in self.ranking],
            "power": self.power,
        }


def scores_of(judged: Sequence[Judged]) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a, and prompts; (n,) each."""
    return np.array([j.verdict.score for j in judged], float), np.array([j.prompt for j in judged], int)


def nats_of(verdict: Verdict) -> tuple[float, float, float] | None:
    """Nats a token of a's text, of b's and of the corpus' own, where a judge by surprise told them."""
    told = verdict.forward.facts if verdict.forward else {}
    numbers = [told.get(name) for name in ("nats_first", "nats_second", "target")]
    a, b, target = (float(x) if isinstance(x, int | float) else math.nan for x in numbers)
    return None if math.isnan(a + b + target) else (a, b, target)


def count(judged: Sequence[Judged]) -> dict[str, int]:
    """How verdicts came about.  `refused`, `unparsable` and `too_long` count questions with at least one such answer."""
    found: Counter[str] = Counter()
    for verdict in (j.verdict for j in judged):
        found[verdict.how] += 1
        found["flipped"] += verdict.flipped
        found["addressed"] += bool(verdict.addressed)
        found["cut"] += any(r.facts.get("cut") for r in verdict.readings)
        found.update({said: 1 for said in NO_ANSWER if any(r.said == said for r in verdict.readings)})
    return {name: found[name] for name in COUNTED}


def _share(hits: Sequence[tuple[bool, int]]) -> stats.Rate:
    """Of (hit, prompt)."""
    return stats.share(np.array([hit for hit, _ in hits], float), np.array([prompt for _, prompt in hits], int))


def _none(rate: stats.Rate) -> dict[str, float] | None:
    return None if math.isnan(rate.value) else rate.as_dict()
