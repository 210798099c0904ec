"""Verdicts added up: a result for each comparison, the judge's own biases, the pairwise matrix, the ranking, and their tables.

Verdicts that took no judge and those without an answer are ties and stay in every rate; the tables say how many there were.
The paper's own win rates stand beside ours: GPT-4o as the judge, GPT-2 tuned on n sentences, from the public review thread of
arXiv 2505.14826 (ICML 2025), without intervals, seeds or number of comparisons.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fishersft.judge import statistics
from fishersft.judge.base import FIRST, NO_ANSWER, SECOND, Verdict
from fishersft.judge.competence import Examination
from fishersft.judge.statistics import Rate
from fishersft.selectors import DEFAULT_SELECTOR
from fishersft.text import markdown_table

COUNTED = {
    "asked": "",
    "identical": "identical texts tied unasked",
    "empty": "empty texts lost unasked",
    "flipped": "flipped with the order and tied",
    "refused": "with a refusal",
    "unparsable": "with a reply that could not be read",
    "too_long": "too long for the judge",
    "addressed": "set aside, because a text speaks to its judge",
    "cut": "cut to the judge's context",
    "reread": "with a reply that an earlier version read as something else",
}  # how verdicts came about, and the words for it in a sentence
CHANCE = (
    "Intervals and p values are over prompts, for these models as they are and for each line by itself. They leave out how much "
    "another draw or another training would change."
)
EARLIER = "an earlier protocol"  # of verdicts that were stored before protocols had names
PAPER = "the paper's"  # the column of its win rates
PAPER_SOURCE = "the paper's review thread, arXiv 2505.14826"
PAPER_BUDGETS = (100, 200, 500, 1000, 2000, 5000)
PAPER_RATES = {
    "shakespeare": {
        "uniform": (0.80, 0.56, 0.60, 0.59, 0.64, 0.74),
        "density": (0.61, 0.66, 0.68, 0.62, 0.54, 0.84),
        "ask_llm": (0.59, 0.52, 0.68, 0.59, 0.68, 0.74),
    },
    "sherlock": {
        "uniform": (0.84, 0.81, 0.75, 0.64, 0.65, 0.93),
        "density": (0.68, 0.75, 0.69, 0.74, 0.65, 0.88),
        "ask_llm": (0.74, 0.58, 0.65, 0.60, 0.61, 0.89),
    },
}


@dataclass(frozen=True)
class Judged:
    """A verdict on the texts of selectors a and b after one prompt; `longer` is how many tokens a's text has more than b's.

    `budget` and `seed` are those of the two models; None where neither has one.
    """

    a: str
    b: str
    budget: int | None
    seed: int | None
    prompt: int
    verdict: Verdict
    longer: int = 0

    @property
    def subject(self) -> tuple[str, str, int | None, int | None, int]:
        """What was compared: selectors, budget, seed and prompt."""
        return self.a, self.b, self.budget, self.seed, self.prompt


@dataclass(frozen=True)
class MatchResult:
    """How a fares against b at one budget, or at all of them (`budget` None): how often it wins, where a tie counts half.

    `p_value` is that of the exact test against one half, `adjusted` the rate at equal length, if defined, `needed` the prompts
    that would show a difference of 5 points (at this spread of verdicts, and without ties); `counts` has the keys of `COUNTED`.
    """

    a: str
    b: str
    budget: int | None
    rate: Rate
    won: int
    tied: int
    lost: int
    p_value: float
    adjusted: Rate | None
    prompts: int
    needed: tuple[int, int]
    counts: dict[str, int]

    @classmethod
    def of(cls, a: str, b: str, budget: int | None, judged: Sequence[Judged]) -> MatchResult:
        scores, prompts = scores_of(judged)
        longer = np.array([j.longer for j in judged])
        won, lost = int((scores == 1).sum()), int((scores == 0).sum())
        rate, p_value = statistics.win_rate(scores, prompts), statistics.exact_test(scores, prompts)
        adjusted, needed = statistics.length_adjusted(scores, longer, prompts), statistics.prompts_needed(scores, prompts)
        tied = len(judged) - won - lost
        return cls(a, b, budget, rate, won, tied, lost, p_value, adjusted, len(np.unique(prompts)), needed, count(judged))


@dataclass(frozen=True)
class Report:
    """What the verdicts of a judge, or of people, come to.

    `judge` is what is stored of the judge (`Judge.about`), with `spent` where it was paid for just now, and `labels` what people
    call the selectors.  `corpus` is the name by which the paper's win rates are looked up.  Where the judge was stopped, there
    are fewer verdicts than the comparisons that were `planned`.  `examined` is what the judge was found to be able to do, and
    `contradictions` are sentences on where its verdicts and the held-out losses disagree.
    """

    judged: tuple[Judged, ...]
    judge: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    corpus: str = ""
    planned: int = 0
    run: str = ""
    examined: Examination | None = None
    contradictions: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return str(self.judge.get("id", ""))

    @property
    def label(self) -> str:
        return str(self.judge.get("label", ""))

    @property
    def symmetric(self) -> bool:
        return bool(self.judge.get("symmetric"))

    @property
    def protocol(self) -> str:
        """How the judge was asked, or the rule that it followed."""
        return str(self.judge.get("protocol") or EARLIER)

    @property
    def refusal(self) -> str:
        """Why no ranking is drawn of these verdicts, in sentences; "" where one is."""
        return self.examined.refusal if self.examined else ""

    @cached_property
    def set_aside(self) -> list[Judged]:
        """Verdicts on pairs in which a text speaks to its judge, by the list or by the judge's own answer; they do not count."""
        believed = self.examined is not None and self.examined.believed
        return [j for j in self.judged if j.verdict.addressed or (believed and j.verdict.noticed)]

    @cached_property
    def counted(self) -> list[Judged]:
        """The verdicts that are not set aside."""
        aside = {id(j) for j in self.set_aside}
        return [j for j in self.judged if id(j) not in aside]

    @cached_property
    def mass(self) -> Rate | None:
        """The mean probability that a judge put on the two labels, over the judgments that have one."""
        found = [(mass, j.prompt) for j in self.judged for r in j.verdict.judgments if (mass := r.facts.get("mass")) is not None]
        found = [(float(mass), prompt) for mass, prompt in found if isinstance(mass, int | float) and 0 <= mass <= 1]
        return _share(found) if found else None

    @cached_property
    def lines(self) -> list[MatchResult]:
        """Each pair at each budget, and at all budgets where there are several, in the verdicts' own order."""
        groups: dict[tuple[str, str], dict[int | None, list[Judged]]] = {}
        for one in self.counted:
            groups.setdefault((one.a, one.b), {}).setdefault(one.budget, []).append(one)
        out = []
        for (a, b), by_budget in groups.items():
            out += [MatchResult.of(a, b, n, by_budget[n]) for n in sorted(by_budget, key=lambda n: -1 if n is None else n)]
            if len(by_budget) > 1:
                out.append(MatchResult.of(a, b, None, [one for some in by_budget.values() for one in some]))
        return out

    @cached_property
    def position(self) -> Rate:
        """How often the text shown first was named, over all answers that named one; 0.5 where the position does not matter."""
        named = [(r.said == FIRST, j.prompt) for j in self.counted for r in j.verdict.judgments if r.said in (FIRST, SECOND)]
        return _share(named)

    @cached_property
    def flips(self) -> Rate:
        """How often the two orders named different texts, over the pairs where both named one."""
        return _share([(j.verdict.flipped, j.prompt) for j in self.counted if j.verdict.both_decided])

    @cached_property
    def counts(self) -> dict[str, int]:
        return count(self.judged) | {"addressed": len(self.set_aside)}

    @cached_property
    def matrix(self) -> dict[str, dict[str, Rate]]:
        """{row: {column: how often row wins}} over all budgets; the lower half mirrors the upper one."""
        out: dict[str, dict[str, Rate]] = {}
        for (a, b), rate in {(line.a, line.b): line.rate for line in self.lines}.items():  # the last line is of all budgets
            out.setdefault(a, {})[b] = rate
            out.setdefault(b, {})[a] = Rate(1 - rate.value, 1 - rate.high, 1 - rate.low, rate.n, rate.effective)
        return out

    @cached_property
    def ranking(self) -> list[statistics.Strength]:
        """Bradley-Terry over all comparisons of at least three players; empty for two, which need no ranking."""
        told = self.counted
        if len({name for j in told for name in (j.a, j.b)}) < 3:
            return []
        return statistics.bradley_terry([j.a for j in told], [j.b for j in told], *scores_of(told))

    @property
    def power(self) -> str:
        """How many prompts a difference of 5 points would need, in one sentence."""
        if not self.lines:
            return "Nothing was judged."
        most = max(self.lines, key=lambda line: line.needed[0])
        spread = f", and about {most.needed[0]:,} with verdicts as spread out as these" if most.needed[0] else ""
        return (
            f"To tell a win rate of 55% from 50% (two-sided 5% level, power 80%) takes about {most.needed[1]:,} prompts "
            f"where every verdict is decided{spread}; here {'are' if most.prompts != 1 else 'is'} {most.prompts:,}."
        )

    def table(self, *, needed: bool = False) -> list[dict[str, Any]]:
        """A row for each of `lines`, as people read it, with the paper's rate where it has one for any of them; `needed` adds the
        prompts that would show a difference of 5 points."""
        paper = [paper_rate(self.corpus, line) for line in self.lines]
        several = {(line.a, line.b) for line in self.lines if line.budget is not None}
        rows = []
        for line, theirs in zip(self.lines, paper, strict=True):
            row: dict[str, Any] = {
                "a": self.labels.get(line.a, line.a),
                "b": self.labels.get(line.b, line.b),
                "n": f"{line.budget:,}" if line.budget is not None else "all" if (line.a, line.b) in several else "–",
                "a wins (95%)": in_percent(line.rate),
                "won / tied / lost": f"{line.won} / {line.tied} / {line.lost}",
                "p": f"{line.p_value:.2g}",
                "at equal length (95%)": in_percent(line.adjusted) if line.adjusted else "–",
                "prompts": line.prompts,
                **({"prompts for 5 points": line.needed[0] or None} if needed else {}),
            }
            if any(rate is not None for rate in paper):
                row[PAPER] = "–" if theirs is None else f"{100 * theirs:.0f}%"
            rows.append(row)
        return rows

    @property
    def paper(self) -> dict[str, dict[int, float]]:
        return paper_rates(self.corpus)

    @property
    def paper_note(self) -> str:
        """Whose the paper's rates are; "" where the table has none."""
        if all(paper_rate(self.corpus, line) is None for line in self.lines):
            return ""
        return f"The paper's rates are not ours: {PAPER_SOURCE}, GPT-4o as the judge, without intervals."

    @property
    def biases(self) -> str:
        """Position rate, flip rate and how the verdicts came about, in sentences."""
        out = []
        if self.symmetric:
            out.append("This judge reads each text alone, so the order cannot matter by construction.")
        elif self.position.n:
            out.append(f"The text shown first was named in {in_percent(self.position)} of {self.position.n:,} decided answers.")
            if self.flips.n:
                flips = f"{in_percent(self.flips)} of {self.flips.n:,}"
                out.append(f"The order changed the verdict in {flips} questions decided twice.")
        if self.mass is not None:
            out.append(
                f"It put {100 * self.mass.value:.0f}% of its probability on the two labels on average; below half is no answer."
            )
        told = [f"{self.counts[name]:,} {words}" for name, words in COUNTED.items() if words and self.counts[name]]
        out.append(f"{len(self.judged):,} verdicts" + (f"; {', '.join(told)}." if told else "."))
        return " ".join(out)

    def markdown(self) -> str:
        """Tables and sentences: what `fishersft judge` prints."""
        strength = "Bradley-Terry strength, log odds (95%)"
        ranking = [
            {"rank": k, "selector": self.labels.get(s.name, s.name), strength: f"{s.value:+.2f} ({s.low:+.2f} to {s.high:+.2f})"}
            for k, s in enumerate(self.ranking, 1)
        ]
        told = self.examined
        known = [told.summary, _table(told.table()), told.canary] if told and told.right else []
        parts = [*known, _table(self.table()), self.paper_note, self.refusal or _table(ranking), *self.contradictions]
        parts += [self.biases, CHANCE, self.power]
        return "\n\n".join(part for part in parts if part)

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        rows = []
        for line in self.lines:
            row = asdict(line)
            as_here, without_ties = row.pop("needed")
            row |= {"win_rate": row.pop("rate"), "length_adjusted": row.pop("adjusted")}
            rows.append({**row, "prompts_for_5_points": {"as_here": as_here, "without_ties": without_ties}})
        return {
            "protocol": self.protocol,
            **(self.examined.as_dict() if self.examined else {}),
            "lines": rows,
            "position_rate": _none(self.position),
            "flip_rate": _none(self.flips),
            "label_mass": _none(self.mass) if self.mass else None,
            "counts": self.counts,
            "matrix": {a: {b: asdict(rate) for b, rate in row.items()} for a, row in self.matrix.items()},
            "ranking": [] if self.refusal else [asdict(s) for s in self.ranking],
            "ranking_refused": self.refusal,
            "contradictions": list(self.contradictions),
            "power": self.power,
        }


def paper_rates(corpus: str) -> dict[str, dict[int, float]]:
    """The paper's win rates of TokenOD on `shakespeare` or `sherlock`, {against: {budget: rate}}; empty for any other corpus."""
    return {against: dict(zip(PAPER_BUDGETS, rates, strict=True)) for against, rates in PAPER_RATES.get(corpus, {}).items()}


def paper_rate(corpus: str, line: MatchResult) -> float | None:
    """The paper's win rate of a over b at this budget; turned around where TokenOD is b."""
    other = line.b if line.a == DEFAULT_SELECTOR else line.a
    theirs = paper_rates(corpus).get(other, {}).get(line.budget or 0)
    if theirs is None or line.a == DEFAULT_SELECTOR:
        return theirs
    return 1 - theirs if line.b == DEFAULT_SELECTOR else None


def in_percent(rate: Rate) -> str:
    """`61% (52 to 70)`."""
    return f"{100 * rate.value:.0f}% ({100 * rate.low:.0f} to {100 * rate.high:.0f})"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table; "" for none."""
    return markdown_table(list(rows[0]), [list(map(str, row.values())) for row in rows]) if rows else ""


def scores_of(judged: Sequence[Judged]) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a, and prompts; (n,) each."""
    return np.array([j.verdict.score for j in judged], float), np.array([j.prompt for j in judged], int)


def count(judged: Sequence[Judged]) -> dict[str, int]:
    """How verdicts came about; `refused`, `unparsable` and `too_long` count pairs with at least one such answer."""
    found: Counter[str] = Counter()
    for verdict in (j.verdict for j in judged):
        found[verdict.how] += 1
        found["flipped"] += verdict.flipped
        found["addressed"] += bool(verdict.addressed)
        found.update({flag: 1 for flag in ("cut", "reread") if any(r.facts.get(flag) for r in verdict.judgments)})
        found.update({said: 1 for said in NO_ANSWER if any(r.said == said for r in verdict.judgments)})
    return {name: found[name] for name in COUNTED}


def _share(hits: Sequence[tuple[float, int]]) -> Rate:
    """Of (hit, prompt)."""
    return statistics.win_rate(np.array([hit for hit, _ in hits], float), np.array([prompt for _, prompt in hits], int))


def _none(rate: Rate) -> dict[str, float] | None:
    return None if math.isnan(rate.value) else asdict(rate)
