"""Blind votes on a run: the queue, casting, and what was cast.

    vote_queue(run, seed)          ballots in a seeded order, sides drawn
    cast(run, ballot, choice, ...) kept at once and for good; only then does it say who wrote what
    votes(run)                     all votes as verdicts
    agreement(run, judged)         kappa of people and a judge on the same pairs

Votes lie in the store's verdicts file.  Two voters may vote on the same ballot, one voter only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fishersft.errors import JudgeError
from fishersft.finetuning.run import FineTuneRun
from fishersft.judge import human, stats
from fishersft.judge.human import CHOICES, Ballot
from fishersft.judge.judging import Comparison, comparisons_of, matches_of
from fishersft.judge.report import Judged
from fishersft.judge.verdicts import keep_vote, kept_votes
from fishersft.store.artifacts import Store

VOTER = "you"  # where there is only one


@dataclass(frozen=True)
class Cast:
    """A vote that is locked, and the names it was blind to: selectors that wrote the left and the right text."""

    left: str
    right: str
    judged: Judged


def vote_queue(run: FineTuneRun, seed: int = 0, comparisons: Sequence[Comparison] | None = None) -> list[Ballot]:
    """Ballots on all selectors of a run, or on these comparisons.

    Raises:
        JudgeError: there is nothing to compare.
    """
    return human.queue([c.question for c in _all(run, comparisons)], seed)


def open_ballots(run: FineTuneRun, queue: Sequence[Ballot], voter: str = VOTER, store: Store | None = None) -> list[Ballot]:
    """The ballots that this voter has not voted on, in the queue's order."""
    done = {v["ballot"] for v in kept_votes(run, store) if v.get("voter") == voter}
    return [ballot for ballot in queue if ballot.id not in done]


def cast(
    run: FineTuneRun,
    ballot: Ballot,
    choice: str,
    *,
    voter: str = VOTER,
    comparisons: Sequence[Comparison] | None = None,
    store: Store | None = None,
) -> Cast:
    """Lock a vote: `1` left, `2` right, `0` neither.  `comparisons` are those the queue was made of.

    Raises:
        JudgeError: no such choice, or this voter has voted on this ballot; the first vote stays.
        StoreError: it cannot be kept.
    """
    verdict = human.verdict_of(choice, swapped=ballot.swapped)
    every = _all(run, comparisons)
    if not 0 <= ballot.comparison < len(every) or human.ballot_id(every[ballot.comparison].question) != ballot.id:
        raise JudgeError("This pair is not of these texts any more; open the run again and vote on what it shows.")
    one = every[ballot.comparison]
    m = one.match
    about = {"a": m.a, "b": m.b, "budget": m.budget, "seed": m.seed, "prompt": one.prompt, "longer": one.longer}
    keep_vote(run.id, voter, ballot.id, {**about, "choice": choice, "swapped": ballot.swapped, "place": ballot.place}, store)
    left, right = (m.b, m.a) if ballot.swapped else (m.a, m.b)
    return Cast(left, right, one.judged(verdict))


def votes(run: FineTuneRun, comparisons: Sequence[Comparison] | None = None, store: Store | None = None) -> list[Judged]:
    """Votes as verdicts, in the order they came; those on texts that the run does not have any more are left out."""
    known = {human.ballot_id(c.question) for c in _all(run, comparisons)}
    return [one for vote in kept_votes(run, store) if vote["ballot"] in known and (one := _judged(vote)) is not None]


def agreement(voted: Sequence[Judged], judged: Sequence[Judged]) -> stats.Agreement:
    """Kappa of votes and a judge's verdicts on the same pairs; several votes on one pair each count."""
    said = {_pair(j): j.verdict.winner for j in judged}
    both = [(v.verdict.winner, said[_pair(v)], v.prompt) for v in voted if _pair(v) in said]
    return stats.kappa([one for one, _, _ in both], [other for _, other, _ in both], [prompt for _, _, prompt in both])


def _pair(one: Judged) -> tuple[Any, ...]:
    return one.a, one.b, one.budget, one.seed, one.prompt


def _judged(vote: dict[str, Any]) -> Judged | None:
    """A kept vote as a verdict; None where it is not one of ours."""
    try:
        if vote["choice"] not in CHOICES:
            return None
        verdict = human.verdict_of(vote["choice"], swapped=bool(vote["swapped"]))
        return Judged(
            str(vote["a"]), str(vote["b"]), vote["budget"], vote["seed"], int(vote["prompt"]), verdict, int(vote["longer"])
        )
    except (KeyError, TypeError, ValueError):
        return None


def _all(run: FineTuneRun, comparisons: Sequence[Comparison] | None) -> Sequence[Comparison]:
    return comparisons_of(run, matches_of(run)) if comparisons is None else comparisons
