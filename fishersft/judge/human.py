"""Blind votes of people: a seeded queue of pairs, names hidden, sides drawn, each vote locked before names appear.

    queue      every comparison once, shuffled by the seed; whether a stands left is drawn with it
    ballot     two texts of one prompt, left and right; who wrote them is not in it
    vote       `1` left, `2` right, `0` neither: it counts as a tie

Nobody picks the pairs, so nobody can pick the flattering ones.  A person sees each pair in one order only: the sides are
drawn instead.  Knows no run and no store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fishersft.errors import JudgeError
from fishersft.judge.base import FIRST, SECOND, TIE, A, B, Question, Reading, Verdict, without_asking

CHOICES = {"1": FIRST, "2": SECOND, "0": TIE}


@dataclass(frozen=True)
class Ballot:
    """One pair to vote on, without names.

    Attributes:
        id: digest of prompt and texts, whichever side they are on; a text that was generated anew makes a new ballot.
        place: in the queue, from 0.
        comparison: number of the comparison that the queue was made of; for the one who counts, not for the screen.
        swapped: b stands left.
    """

    id: str
    place: int
    comparison: int
    prompt: str
    left: str
    right: str
    swapped: bool


def queue(questions: Sequence[Question], seed: int) -> list[Ballot]:
    """Ballots in the order in which they are shown.  The same questions and seed give the same queue, sides included.

    Identical and empty texts are left out: there is nothing to vote on.  Equal pairs of texts come once.
    """
    rng = np.random.default_rng(seed)
    order, sides = rng.permutation(len(questions)), rng.random(len(questions)) < 0.5
    out: dict[str, Ballot] = {}
    for number in map(int, order):
        question, swapped = questions[number], bool(sides[number])
        if without_asking(question) is not None or (id := ballot_id(question)) in out:
            continue
        left, right = (question.b, question.a) if swapped else (question.a, question.b)
        out[id] = Ballot(id, len(out), number, question.prompt, left, right, swapped)
    return list(out.values())


def ballot_id(question: Question) -> str:
    said = json.dumps([question.prompt, *sorted((question.a, question.b))], ensure_ascii=True)
    return hashlib.sha256(said.encode()).hexdigest()[:24]


def verdict_of(choice: str, *, swapped: bool) -> Verdict:
    """A vote as a verdict on a and b.

    Raises:
        JudgeError: it is not 1, 2 or 0.
    """
    if choice not in CHOICES:
        raise JudgeError(f"A vote is 1 (left), 2 (right) or 0 (neither), not '{choice[:20]}'.")
    said = CHOICES[choice]
    winner = TIE if said == TIE else A if (said == FIRST) != swapped else B
    return Verdict(winner, "voted", Reading(said))
