"""Blind votes of people on a run: a seeded queue of pairs with names hidden, each vote locked before the names appear.

Nobody picks the pairs, so nobody can pick flattering ones.  A person sees each pair in one order only, which is why the sides
are drawn.  Several people may vote on the same ballot, each of them once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fishersft.errors import JudgeError
from fishersft.finetuning.run import FineTuneRun
from fishersft.judge import statistics
from fishersft.judge.base import FIRST, SECOND, TIE, A, B, Judgment, TextPair, Verdict, digest, without_asking
from fishersft.judge.judging import Comparisons, comparisons_of, matches_of
from fishersft.judge.report import Judged
from fishersft.judge.verdicts import keep_vote, kept_votes

CHOICES = {"1": FIRST, "2": SECOND, "0": TIE}  # left, right, neither
VOTER = "you"  # the name where nobody gives one


@dataclass(frozen=True)
class Ballot:
    """One pair to vote on, without names; `swapped` if b stands on the left.  `place` counts in the queue from 0.

    `id` is a digest of the prompt and the texts, whichever sides they are on, so a text that was generated anew makes a new
    ballot.  `comparison` is the index of its comparison, never for the screen.
    """

    id: str
    place: int
    comparison: int
    prompt: str
    left: str
    right: str
    swapped: bool


@dataclass(frozen=True)
class Cast:
    """A vote that is locked, and the names it was blind to: the selectors that wrote the left and the right text."""

    left: str
    right: str
    judged: Judged


def vote_queue(run: FineTuneRun, seed: int = 0, comparisons: Comparisons | None = None) -> list[Ballot]:
    """Ballots on all selectors of a run, or on these comparisons; JudgeError where there is nothing to compare."""
    return queue([c.pair for c in _all(run, comparisons)], seed)


def queue(pairs: Sequence[TextPair], seed: int) -> list[Ballot]:
    """Ballots in the order in which they are shown; the same pairs and seed give the same queue, sides included.  Identical
    and empty texts are left out, because there is nothing to vote on.  Equal pairs of texts appear once."""
    rng = np.random.default_rng(seed)
    order, sides = rng.permutation(len(pairs)), rng.random(len(pairs)) < 0.5
    out: dict[str, Ballot] = {}
    for number in map(int, order):
        pair, swapped = pairs[number], bool(sides[number])
        if without_asking(pair) is not None or (id := ballot_id(pair)) in out:
            continue
        left, right = (pair.second, pair.first) if swapped else (pair.first, pair.second)
        out[id] = Ballot(id, len(out), number, pair.prompt, left, right, swapped)
    return list(out.values())


def ballot_id(pair: TextPair) -> str:
    return digest(pair.prompt, *sorted((pair.first, pair.second)))[:24]


def open_ballots(run: FineTuneRun, queue: Sequence[Ballot], voter: str = VOTER) -> list[Ballot]:
    """The ballots that this voter has not voted on, in the queue's order."""
    done = {v["ballot"] for v in kept_votes(run) if v.get("voter") == voter}
    return [ballot for ballot in queue if ballot.id not in done]


def cast(run: FineTuneRun, ballot: Ballot, choice: str, *, voter: str = VOTER, comparisons: Comparisons | None = None) -> Cast:
    """Lock a vote: `1` left, `2` right, `0` neither.  `comparisons` are those that the queue was made of.  JudgeError where
    there is no such choice, or this voter has voted on this ballot; StoreError where it cannot be stored."""
    verdict = verdict_of(choice, swapped=ballot.swapped)
    every = _all(run, comparisons)
    if not 0 <= ballot.comparison < len(every) or ballot_id(every[ballot.comparison].pair) != ballot.id:
        raise JudgeError("The texts of this pair have changed; reload the run and vote on what it shows.")
    judged = every[ballot.comparison].judged(verdict)
    about = {name: getattr(judged, name) for name in ("a", "b", "budget", "seed", "prompt", "longer")}
    keep_vote(run.id, voter, ballot.id, {**about, "choice": choice, "swapped": ballot.swapped, "place": ballot.place})
    left, right = (judged.b, judged.a) if ballot.swapped else (judged.a, judged.b)
    return Cast(left, right, judged)


def verdict_of(choice: str, *, swapped: bool) -> Verdict:
    """A vote as a verdict on a and b; JudgeError where it is not 1, 2 or 0."""
    if choice not in CHOICES:
        raise JudgeError(f"A vote is 1 (left), 2 (right) or 0 (neither), not '{choice[:20]}'.")
    said = CHOICES[choice]
    winner = TIE if said == TIE else A if (said == FIRST) != swapped else B
    return Verdict(winner, "voted", Judgment(said))


def votes(run: FineTuneRun, comparisons: Comparisons | None = None) -> list[Judged]:
    """Votes as verdicts, in the order they came; votes on texts that the run no longer has are left out."""
    known, found = {ballot_id(c.pair) for c in _all(run, comparisons)}, []
    for vote in kept_votes(run):
        if vote["ballot"] not in known:
            continue
        try:
            verdict = verdict_of(vote["choice"], swapped=bool(vote["swapped"]))
            subject = str(vote["a"]), str(vote["b"]), vote["budget"], vote["seed"], int(vote["prompt"])
            found.append(Judged(*subject, verdict, int(vote["longer"])))
        except (JudgeError, KeyError, TypeError, ValueError):  # not a vote
            continue
    return found


def agreement(voted: Sequence[Judged], judged: Sequence[Judged]) -> statistics.Agreement:
    """Kappa of votes and a judge's verdicts on the same pairs; several votes on one pair each count."""
    said = {j.subject: j.verdict.winner for j in judged}
    both = [v for v in voted if v.subject in said]
    return statistics.kappa([v.verdict.winner for v in both], [said[v.subject] for v in both], [v.prompt for v in both])


def _all(run: FineTuneRun, comparisons: Comparisons | None) -> Comparisons:
    return comparisons_of(run, matches_of(run)) if comparisons is None else comparisons
