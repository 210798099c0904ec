"""Blind votes of people on a run: a seeded queue of pairs with names hidden, each vote locked before the names appear.

Nobody picks the pairs, so nobody can pick flattering ones.  They are spread over the comparisons, so that the first 20 say
something of each.  Three of every 20 are hidden checks, pairs with a known answer (`competence`): nothing tells them from the
others before the vote.  A person sees each pair in one order only, which is why the sides are drawn.  Several people may vote on
the same ballot, each of them once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fishersft.errors import JudgeError
from fishersft.finetuning.run import FineTuneRun
from fishersft.judge import competence, statistics
from fishersft.judge.base import FIRST, SECOND, TIE, A, B, Judgment, TextPair, Verdict, digest, without_asking
from fishersft.judge.competence import NEEDED, Examination, KnownPair
from fishersft.judge.judging import Comparisons, comparisons_of, matches_of
from fishersft.judge.report import Judged
from fishersft.judge.verdicts import keep_vote, kept_votes

CHOICES = {"1": FIRST, "2": SECOND, "0": TIE}  # left, right, neither
VOTER = "you"  # the name where nobody gives one
BATCH, CHECKS = 20, 3  # pairs that are offered at once, and how many of them are checks
OWN = "own"  # stands for the corpus' own text where a check is cast
Entry = tuple[str, int, TextPair]  # kind of a check ("" for none), index of the comparison or the known pair, texts


@dataclass(frozen=True)
class Ballot:
    """One pair to vote on, without names; `swapped` if b stands on the left.  `place` counts in the queue from 0.

    `id` is a digest of the prompt and the texts, whichever sides they are on, so a text that was generated anew makes a new
    ballot.  `comparison` is the index of its comparison, or of a check among the known pairs, whose kind is `check`; neither is
    for the screen.
    """

    id: str
    place: int
    comparison: int
    prompt: str
    left: str
    right: str
    swapped: bool
    check: str = ""


@dataclass(frozen=True)
class Cast:
    """A vote that is locked, and the names it was blind to: the selectors that wrote the left and the right text."""

    left: str
    right: str
    judged: Judged


def vote_queue(run: FineTuneRun, seed: int = 0, comparisons: Comparisons | None = None) -> list[Ballot]:
    """Ballots on all selectors of a run, or on these comparisons, and checks; JudgeError where there is nothing to compare."""
    every = _all(run, comparisons)
    return queue([c.pair for c in every], seed, [(c.match.a, c.match.b) for c in every], competence.known_pairs(run))


def queue(pairs: Sequence[TextPair], seed: int, groups: Sequence[Hashable] = (), known: Sequence[KnownPair] = ()) -> list[Ballot]:
    """Ballots in the order in which they are shown; the same pairs and seed give the same queue, sides included.

    Each group of pairs has its turn before one has its second.  Of every 20 ballots three are checks, one of each kind that is
    needed, for as long as there are `known` pairs.  Identical and empty texts are left out, because there is nothing to vote on;
    equal pairs of texts appear once.
    """
    rng, turns, turn = np.random.default_rng(seed), Counter[Hashable](), dict[int, int]()
    for i in map(int, rng.permutation(len(pairs))):
        group = groups[i] if groups else i
        turns[group] += 1
        turn[i] = turns[group]
    once: dict[str, int] = {}
    for i in sorted(turn, key=turn.__getitem__):
        if without_asking(pairs[i]) is None:
            once.setdefault(ballot_id(pairs[i]), i)
    entries = _with_checks([("", i, pairs[i]) for i in once.values()], known, rng)
    out: list[Ballot] = []
    for (check, number, pair), swapped in zip(entries, rng.random(len(entries)) < 0.5, strict=True):
        left, right = (pair.second, pair.first) if swapped else (pair.first, pair.second)
        out.append(Ballot(ballot_id(pair), len(out), number, pair.prompt, left, right, bool(swapped), check))
    return out


def _with_checks(entries: list[Entry], known: Sequence[KnownPair], rng: np.random.Generator) -> list[Entry]:
    """The entries with a check of each kind at a drawn place among every 17 of them."""
    kinds = {kind: [i for i, one in enumerate(known) if one.kind == kind] for kind in NEEDED}
    left = {kind: [int(i) for i in rng.permutation(found)] for kind, found in kinds.items()}
    out: list[Entry] = []
    for start in range(0, len(entries), BATCH - CHECKS):
        block = entries[start : start + BATCH - CHECKS]
        for kind in NEEDED if start == 0 or len(block) == BATCH - CHECKS else ():
            if left[kind]:
                number = left[kind].pop()
                block.insert(int(rng.integers(len(block) + 1)), (kind, number, known[number].pair))
        out += block
    return out


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
    every: Sequence[Any] = competence.known_pairs(run) if ballot.check else _all(run, comparisons)
    if not 0 <= ballot.comparison < len(every) or ballot_id(every[ballot.comparison].pair) != ballot.id:
        raise JudgeError("The texts of this pair have changed; reload the run and vote on what it shows.")
    one = every[ballot.comparison]
    judged = Judged(OWN, one.kind, None, None, one.prompt, verdict) if ballot.check else one.judged(verdict)
    about = {name: getattr(judged, name) for name in ("a", "b", "budget", "seed", "prompt", "longer")}
    about |= {"check": ballot.check} if ballot.check else {}
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


def examination(run: FineTuneRun) -> Examination:
    """How often people were right in the checks, by kind: over all voters and their votes."""
    known, right = {ballot_id(one.pair): one.kind for one in competence.known_pairs(run)}, dict[str, list[bool]]()
    for vote in kept_votes(run):
        kind = known.get(str(vote.get("ballot")), "")
        if kind in NEEDED and vote.get("choice") in CHOICES and vote.get("check") == kind:
            right.setdefault(kind, []).append(verdict_of(vote["choice"], swapped=bool(vote.get("swapped"))).winner == A)
    return Examination({kind: competence.rate_of(right[kind]) for kind in NEEDED if kind in right}, reads_words=False)


def agreement(voted: Sequence[Judged], judged: Sequence[Judged]) -> statistics.Agreement:
    """Kappa of votes and a judge's verdicts on the same pairs; several votes on one pair each count."""
    said = {j.subject: j.verdict.winner for j in judged}
    both = [v for v in voted if v.subject in said]
    return statistics.kappa([v.verdict.winner for v in both], [said[v.subject] for v in both], [v.prompt for v in both])


def _all(run: FineTuneRun, comparisons: Comparisons | None) -> Comparisons:
    return comparisons_of(run, matches_of(run)) if comparisons is None else comparisons
