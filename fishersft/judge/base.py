"""One protocol for every judge: two continuations of one prompt, names hidden, both orders, inconsistent means tie.

    identical texts (spaces aside)   tie, nobody is asked
    one text is empty                the other wins, nobody is asked
    otherwise                        asked twice, with a first and with b first; a text wins if both answers name it
    a text that speaks to the judge  cannot win before judges that read text as text: it ties at best

A judge is shown a prompt and two texts and knows neither who wrote them nor which comparison they belong to.  What it said of
each order is a `Reading`; readings are kept under a digest of judge and contents, so the same question is never asked twice.
Knows no run, no store and no selector.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

VERSION = 1  # of the protocol; raise it when a kept reading would mean something else
FIRST, SECOND, TIE = "first", "second", "tie"
REFUSED, UNPARSABLE, TOO_LONG = "refused", "unparsable", "too_long"
NO_ANSWER = (REFUSED, UNPARSABLE, TOO_LONG)
SAID = (FIRST, SECOND, TIE, *NO_ANSWER)
A, B = "a", "b"
ADDRESSES = re.compile(
    r"<\s{0,9}/?\s{0,9}tag\s{0,9}-?\s{0,9}[12]"  # every run is bounded: a text may be long
    r"|\b(respond|answer|reply|output|say|write|choose|pick|vote|select)\b\W{0,4}(with|for|text|number|option)?\W{0,4}[12]\b"
    r"|\bverdict\b\W{0,6}(is\W{0,3})?(text\W{0,3})?[12]\b"
    r"|\b(ignore|disregard|forget|override)\b.{0,40}\b(instructions?|prompts?)\b"
    r"|\btext ?[12] (is|was) (the )?(better|best|more fluent|winner)"
    r"|\bthis (text|answer|candidate) (is|should be|must be) (the )?(better|best|winner|more fluent|chosen|preferred)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Question:
    """A prompt and two continuations of it."""

    prompt: str
    a: str
    b: str


@dataclass(frozen=True)
class Shown:
    """What a judge sees of a question: one of its two orders."""

    prompt: str
    first: str
    second: str


@dataclass(frozen=True)
class Reading:
    """What a judge said of one order.

    Attributes:
        said: `first`, `second`, `tie`; or that there was no answer: `refused`, `unparsable`, `too_long`.
        facts: numbers and flags behind it, such as nats, a probability, tokens spent; what JSON can hold.
    """

    said: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        return self.said not in NO_ANSWER

    def as_dict(self) -> dict[str, Any]:
        return {"said": self.said, **({"facts": dict(self.facts)} if self.facts else {})}

    @classmethod
    def of(cls, kept: Any) -> Reading | None:
        """A kept reading; None where it is not one of ours."""
        if not isinstance(kept, Mapping) or kept.get("said") not in SAID:
            return None
        facts = kept.get("facts")
        return cls(kept["said"], facts if isinstance(facts, Mapping) else {})


@dataclass(frozen=True)
class Verdict:
    """Which of a and b is better.

    Attributes:
        winner: `a`, `b` or `tie`.
        how: `asked`, or why nobody was: `identical`, `empty`.
        forward, backward: what was said with a first, and with b first; None where nobody was asked.
        addressed: which texts speak to the judge: "", "a", "b" or "ab".
    """

    winner: str
    how: str
    forward: Reading | None = None
    backward: Reading | None = None
    addressed: str = ""

    @property
    def score(self) -> float:
        """1 where a won, 0 where b did, a half for a tie."""
        return {A: 1.0, B: 0.0}.get(self.winner, 0.5)

    @property
    def readings(self) -> tuple[Reading, ...]:
        return tuple(r for r in (self.forward, self.backward) if r is not None)

    @property
    def flipped(self) -> bool:
        """Both orders named a winner, and not the same text: the place decided."""
        return len(self.readings) == 2 and [r.said for r in self.readings] in ([FIRST, FIRST], [SECOND, SECOND])

    @property
    def both_decided(self) -> bool:
        return len(self.readings) == 2 and all(r.said in (FIRST, SECOND) for r in self.readings)


class Judge(ABC):
    """Who compares texts.  A subclass says what it reads of one order; the protocol is here.

    Attributes:
        name: of the kind: `reference`, `llm`, `local`.
        label: for the screen and tables.
        symmetric: the order cannot matter by construction; both orders are read all the same.
        reads_words: it reads texts as language and might obey one that speaks to it.
    """

    name: ClassVar[str]
    symmetric: ClassVar[bool] = False
    reads_words: ClassVar[bool] = True

    @property
    @abstractmethod
    def label(self) -> str: ...

    @property
    @abstractmethod
    def identity(self) -> str:
        """Names the model and all else that makes its answers; readings are kept under it."""

    @abstractmethod
    def read(self, shown: Sequence[Shown]) -> Iterator[tuple[int, Reading]]:
        """(number, reading) of each, as they come, in any order.

        Raises:
            ModelError: no answers can be had; one sentence.
        """

    def about(self) -> dict[str, Any]:
        """What is kept beside its readings, for a table's head."""
        return {
            "id": self.id,
            "name": self.name,
            "label": self.label,
            "identity": self.identity,
            "symmetric": self.symmetric,
            "reads_words": self.reads_words,
        }

    @property
    def id(self) -> str:
        """Sixteen digits that name this judge and its settings."""
        return judge_id(self.name, self.identity)

    def compare(self, prompt: str, a: str, b: str) -> Verdict:
        """The verdict on one question."""
        return next(verdict for _, verdict in self.compare_all([Question(prompt, a, b)]))

    def compare_all(
        self, questions: Sequence[Question], kept: MutableMapping[str, Any] | None = None
    ) -> Iterator[tuple[int, Verdict]]:
        """(number, verdict) of each question, as they come.

        Args:
            kept: readings by `key`; each new one is put there as soon as it is had, and what is there is not asked again.
        """
        kept = {} if kept is None else kept
        waiting: dict[str, list[int]] = {}  # a reading's key -> questions that need it
        todo: list[tuple[str, Shown]] = []
        for number, question in enumerate(questions):
            verdict = settled(question, kept, self.id, reads_words=self.reads_words)
            if verdict is not None:
                yield number, verdict
                continue
            for shown in orders(question):
                key = key_of(self.id, shown)
                if Reading.of(kept.get(key)) is None and key not in waiting:
                    todo.append((key, shown))
                waiting.setdefault(key, []).append(number)
        done: set[int] = set()
        for place, reading in self.read([shown for _, shown in todo]) if todo else ():
            key = todo[place][0]
            kept[key] = reading.as_dict()
            for number in waiting[key]:
                verdict = settled(questions[number], kept, self.id, reads_words=self.reads_words)
                if verdict is not None and number not in done:
                    done.add(number)
                    yield number, verdict


def judge_id(name: str, identity: str) -> str:
    said = json.dumps(["judge", VERSION, name, identity], ensure_ascii=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def key_of(judge: str, shown: Shown) -> str:
    """The digest under which the reading of one order is kept."""
    said = json.dumps([judge, shown.prompt, shown.first, shown.second], ensure_ascii=True)
    return hashlib.sha256(said.encode()).hexdigest()


def orders(question: Question) -> tuple[Shown, Shown]:
    """a first, then b first."""
    p, a, b = question.prompt, question.a, question.b
    return Shown(p, a, b), Shown(p, b, a)


def settled(question: Question, kept: Mapping[str, Any], judge: str, *, reads_words: bool) -> Verdict | None:
    """The verdict, from the texts alone or from kept readings of both orders; None where a reading is missing."""
    if (alone := without_asking(question)) is not None:
        return alone
    forward, backward = (Reading.of(kept.get(key_of(judge, shown))) for shown in orders(question))
    if forward is None or backward is None:
        return None
    addressed = addressing(question) if reads_words else ""
    winner = {(FIRST, SECOND): A, (SECOND, FIRST): B}.get((forward.said, backward.said), TIE)
    return Verdict(TIE if winner in addressed else winner, "asked", forward, backward, addressed)


def without_asking(question: Question) -> Verdict | None:
    """Identical texts tie, and an empty one loses; None where a judge must read them."""
    a, b = (" ".join(text.split()) for text in (question.a, question.b))
    if a == b:
        return Verdict(TIE, "identical")
    if not a or not b:
        return Verdict(A if a else B, "empty")
    return None


def addressing(question: Question) -> str:
    """Which of the two texts speak to the judge: they carry a mark of the fence, a verdict, or an instruction to it."""
    return "".join(name for name, text in ((A, question.a), (B, question.b)) if ADDRESSES.search(text))
