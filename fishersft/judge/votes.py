"""Blind votes of people on a run: a seeded queue of pairs with names hidden, each vote locked before the names appear.

    vote_queue(run, seed)          every pair once, shuffled by the seed, which also draws the side of each text
    cast(run, ballot, choice, ...) keep a vote at once and for good; only then does it say who wrote which text
    votes(run)                     all votes as verdicts
    agreement(run, judged)         kappa of people and a judge on the same pairs

Nobody picks the pairs, so nobody can pick flattering ones.  A person sees each pair in one order only, which is why the sides
are drawn.  Several people may vote on the same ballot, each of them once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fishersft.errors import JudgeError
from fishersft.finetuning.run import FineTuneRun
from fishersft.judge import statistics
from fishersft.judge.base import FIRST, SECOND, TIE, A, B, Judgment, TextPair, Verdict, without_asking
from fishersft.judge.judging import PairwiseComparison, comparisons_of, matches_of
from fishersft.judge.report import Judged
from fishersft.judge.verdicts import keep_vote, kept_votes
from fishersft.store.artifacts import Store

CHOICES = {"1": FIRST, "2": SECOND, "0": TIE}  # left, right, neither
VOTER = "you"  # the name where nobody gives one


@dataclass(frozen=True)
class Ballot:
    """One pair to vote on, without names.

    Attributes:
        id: digest of the prompt and the texts, whichever sides they are on; a text that was generated anew makes a new ballot.
        place: in the queue, from 0.
        comparison: index of the comparison that it was made of; for counting, never for the screen.
        swapped: whether b stands on the left.
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


def vote_queue(run: FineTuneRun, seed: int = 0, comparisons: Sequence[PairwiseComparison] | None = None) -> list[Ballot]:
    """Ballots on all selectors of a run, or on these comparisons.

    Raises:
        JudgeError: there is nothing to compare.
    """
    return queue([c.pair for c in _all(run, comparisons)], seed)


def queue(pairs: Sequence[TextPair], seed: int) -> list[Ballot]:
    """Ballots in the order in which they are shown; the same pairs and seed give the same queue, sides included.

    Identical and empty texts are left out, because there is nothing to vote on.  Equal pairs of texts appear once.
    """
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
    said = json.dumps([pair.prompt, *sorted((pair.first, pair.second))], ensure_ascii=True)
    return hashlib.sha256(said.encode()).hexdigest()[:24]


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
    comparisons: Sequence[PairwiseComparison] | None = None,
    store: Store | None = None,
) -> Cast:
    """Lock a vote: `1` left, `2` right, `0` neither.  `comparisons` are those that the queue was made of.

    Raises:
        JudgeError: no such choice, or this voter has voted on this ballot; the first vote stays.
        StoreError: it cannot be stored.
    """
    verdict = verdict_of(choice, swapped=ballot.swapped)
    every = _all(run, comparisons)
    if not 0 <= ballot.comparison < len(every) or ballot_id(every[ballot.comparison].pair) != ballot.id:
        raise JudgeError("The texts of this pair have changed; reload the run and vote on what it shows.")
    one = every[ballot.comparison]
    m = one.match
    about = {"a": m.a, "b": m.b, "budget": m.budget, "seed": m.seed, "prompt": one.prompt, "longer": one.longer}
    keep_vote(run.id, voter, ballot.id, {**about, "choice": choice, "swapped": ballot.swapped, "place": ballot.place}, store)
    left, right = (m.b, m.a) if ballot.swapped else (m.a, m.b)
    return Cast(left, right, one.judged(verdict))


def verdict_of(choice: str, *, swapped: bool) -> Verdict:
    """A vote as a verdict on a and b.

    Raises:
        JudgeError: it is not 1, 2 or 0.
    """
    if choice not in CHOICES:
        raise JudgeError(f"A vote is 1 (left), 2 (right) or 0 (neither), not '{choice[:20]}'.")
    said = CHOICES[choice]
    winner = TIE if said == TIE else A if (said == FIRST) != swapped else B
    return Verdict(winner, "voted", Judgment(said))


def votes(run: FineTuneRun, comparisons: Sequence[PairwiseComparison] | None = None, store: Store | None = None) -> list[Judged]:
    """Votes as verdicts, in the order they came; votes on texts that the run no longer has are left out."""
    known = {ballot_id(c.pair) for c in _all(run, comparisons)}
    return [one for vote in kept_votes(run, store) if vote["ballot"] in known and (one := _judged(vote)) is not None]


def agreement(voted: Sequence[Judged], judged: Sequence[Judged]) -> statistics.Agreement:
    """Kappa of votes and a judge's verdicts on the same pairs; several votes on one pair each count."""
    said = {j.subject: j.verdict.winner for j in judged}
    both = [(v.verdict.winner, said[v.subject], v.prompt) for v in voted if v.subject in said]
    return statistics.kappa([one for one, _, _ in both], [other for _, other, _ in both], [prompt for _, _, prompt in both])


def _judged(vote: dict[str, Any]) -> Judged | None:
    """A stored vote as a verdict; None where it is not one."""
    try:
        verdict = verdict_of(vote["choice"], swapped=bool(vote["swapped"]))
        a, b, budget, seed = str(vote["a"]), str(vote["b"]), vote["budget"], vote["seed"]
        return Judged(a, b, budget, seed, int(vote["prompt"]), verdict, int(vote["longer"]))
    except (JudgeError, KeyError, TypeError, ValueError):
        return None


def _all(run: FineTuneRun, comparisons: Sequence[PairwiseComparison] | None) -> Sequence[PairwiseComparison]:
    return comparisons_of(run, matches_of(run)) if comparisons is None else comparisons
