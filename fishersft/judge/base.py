"""The protocol that every judge shares: two continuations of one prompt, names hidden, both orders read.

    identical texts (apart from spaces)   a tie; the judge is not asked
    one text is empty                     the other one wins; the judge is not asked
    otherwise                             the judge reads both orders; a text wins if both judgments name it, else it is a tie
    a text speaks to its judge            the pair is set aside and counted (`Verdict.speaks`), unless the judge reads no words

A judge sees a prompt and two texts; it knows neither who wrote them nor which comparison they belong to.  Judgments are kept
under a digest of the judge and the texts, so no question is asked twice.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

VERSION = 1  # of how verdicts are made of judgments; raise it when a stored judgment would mean something else
FIRST, SECOND, TIE = "first", "second", "tie"
REFUSED, UNPARSABLE, TOO_LONG = "refused", "unparsable", "too_long"
NO_ANSWER = (REFUSED, UNPARSABLE, TOO_LONG)
SAID = (FIRST, SECOND, TIE, *NO_ANSWER)
A, B = "a", "b"
ADDRESSES = re.compile(
    r"<\s{0,9}/?\s{0,9}tag\s{0,9}-?\s{0,9}[12]"  # every repetition is bounded, because a text may be long
    r"|\b(respond|answer|reply|output|say|write|choose|pick|vote|select)\b\W{0,4}(with|for|text|number|option)?\W{0,4}[12]\b"
    r"|\bverdict\b\W{0,6}(is\W{0,3})?(text\W{0,3})?[12]\b"
    r"|\b(ignore|disregard|forget|override)\b.{0,40}\b(instructions?|prompts?)\b"
    r"|\btext ?[12] (is|was) (the )?(better|best|more fluent|winner)"
    r"|\bthis (text|answer|candidate) (is|should be|must be) (the )?(better|best|winner|more fluent|chosen|preferred)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class TextPair:
    """A prompt and two continuations of it, in the order in which a judge reads them."""

    prompt: str
    first: str
    second: str

    @property
    def orders(self) -> tuple[TextPair, TextPair]:
        """This pair, and the same with the second text first."""
        return self, TextPair(self.prompt, self.second, self.first)


@dataclass(frozen=True)
class Judgment:
    """What a judge said of one order: `first`, `second` or `tie`; without an answer `refused`, `unparsable` or `too_long`.

    `facts` are the numbers and flags behind it, as JSON can hold them: nats, a probability, tokens spent.
    """

    said: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        return self.said not in NO_ANSWER

    def as_dict(self) -> dict[str, Any]:
        return {"said": self.said, **({"facts": dict(self.facts)} if self.facts else {})}

    @classmethod
    def of(cls, kept: Any) -> Judgment | None:
        """A stored judgment; None where the value is not one."""
        if not isinstance(kept, Mapping) or kept.get("said") not in SAID:
            return None
        facts = kept.get("facts")
        return cls(kept["said"], facts if isinstance(facts, Mapping) else {})


@dataclass(frozen=True)
class Verdict:
    """Which text of a pair is better: a, its first one, or b; or a `tie`.

    `how` is `asked`, `voted`, or why no judge was asked: `identical`, `empty`.  The judgments `forward`, with a first, and
    `backward` are None where no judge was asked.  `addressed` ("", "a", "b" or "ab") are the texts that speak to the judge by a
    list of suspicious words, and `noticed` those that do by the judge's own answer; neither changes the winner.
    """

    winner: str
    how: str
    forward: Judgment | None = None
    backward: Judgment | None = None
    addressed: str = ""
    noticed: str = ""

    @property
    def score(self) -> float:
        """1 where a won, 0 where b did, a half for a tie."""
        return {A: 1.0, B: 0.0}.get(self.winner, 0.5)

    @property
    def judgments(self) -> tuple[Judgment, ...]:
        return tuple(r for r in (self.forward, self.backward) if r is not None)

    @property
    def flipped(self) -> bool:
        """Each order named another text, so the position decided."""
        return len(self.judgments) == 2 and [r.said for r in self.judgments] in ([FIRST, FIRST], [SECOND, SECOND])

    @property
    def both_decided(self) -> bool:
        return len(self.judgments) == 2 and all(r.said in (FIRST, SECOND) for r in self.judgments)


class Judge(ABC):
    """Compares texts.  A subclass judges one order at a time; the protocol is here.

    `name` is its kind (`reference`, `llm` or `local`), `label` its name on screens.  It is `symmetric` where the order cannot
    matter by construction (both orders are read all the same), and where it `reads_words` it might obey a text that addresses it.
    """

    name: ClassVar[str]
    symmetric: ClassVar[bool] = False
    reads_words: ClassVar[bool] = True
    protocol: str = ""  # how it is asked, or the rule that it follows

    @property
    @abstractmethod
    def label(self) -> str: ...

    @property
    @abstractmethod
    def identity(self) -> str:
        """Names the model and everything else that its answers depend on; judgments are kept under it."""

    @abstractmethod
    def read(self, pairs: Sequence[TextPair]) -> Iterator[tuple[int, Judgment]]:
        """(index, judgment) of each, as they arrive, in any order; ModelError where the model or server gives no answers."""

    def notice(self, texts: Sequence[str]) -> Iterator[tuple[int, Judgment]]:
        """(index, judgment) of each: `first` where the judge finds that a text speaks to it.  Nothing from most judges."""
        return iter(())

    def about(self) -> dict[str, Any]:
        """What is stored of the judge beside its judgments."""
        names = ("id", "name", "label", "identity", "symmetric", "reads_words", "protocol")
        return {name: getattr(self, name) for name in names}

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits that name this judge and its settings."""
        return digest("judge", VERSION, self.name, self.identity)[:16]

    def compare(self, prompt: str, a: str, b: str) -> Verdict:
        """The verdict on one pair."""
        return next(verdict for _, verdict in self.compare_all([TextPair(prompt, a, b)]))

    def compare_all(
        self, pairs: Sequence[TextPair], kept: MutableMapping[str, Any] | None = None, *, under: str = ""
    ) -> Iterator[tuple[int, Verdict]]:
        """(index, verdict) of each pair, as they arrive; judgments that `kept` has by `key_of` are not asked again.

        They are kept `under` the judge's id, or under another name where they are no verdicts on models.
        """
        kept, under = {} if kept is None else kept, under or self.id
        waiting: dict[str, list[int]] = {}  # key of a judgment -> the pairs that need it
        todo: dict[str, TextPair] = {}
        for number, pair in enumerate(pairs):
            verdict = settled(pair, kept, under, reads_words=self.reads_words)
            if verdict is not None:
                yield number, verdict
                continue
            for order in pair.orders:
                key = key_of(under, order)
                if Judgment.of(kept.get(key)) is None:
                    todo[key] = order
                waiting.setdefault(key, []).append(number)
        done: set[int] = set()
        keys = list(todo)
        for place, judgment in self.read(list(todo.values())) if todo else ():
            key = keys[place]
            kept[key] = judgment.as_dict()
            for number in waiting[key]:
                verdict = settled(pairs[number], kept, under, reads_words=self.reads_words)
                if verdict is not None and number not in done:
                    done.add(number)
                    yield number, verdict


def key_of(judge: str, order: TextPair) -> str:
    """The digest under which the judgment of one order is kept."""
    return digest(judge, order.prompt, order.first, order.second)


def key_of_text(judge: str, text: str) -> str:
    """The digest under which it is kept whether a judge finds that a text speaks to it."""
    return digest(judge, "speaks", text)


def digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()


def settled(pair: TextPair, kept: Mapping[str, Any], judge: str, *, reads_words: bool) -> Verdict | None:
    """The verdict, from the texts alone or from the judgments of both orders; None where a judgment is missing."""
    if (alone := without_asking(pair)) is not None:
        return alone
    forward, backward = (Judgment.of(kept.get(key_of(judge, order))) for order in pair.orders)
    if forward is None or backward is None:
        return None
    winner = {(FIRST, SECOND): A, (SECOND, FIRST): B}.get((forward.said, backward.said), TIE)
    if not reads_words:
        return Verdict(winner, "asked", forward, backward)
    found = {name: Judgment.of(kept.get(key_of_text(judge, text))) for name, text in ((A, pair.first), (B, pair.second))}
    noticed = "".join(name for name, said in found.items() if said and said.said == FIRST)
    return Verdict(winner, "asked", forward, backward, addressing(pair), noticed)


def without_asking(pair: TextPair) -> Verdict | None:
    """The verdict on identical texts (a tie) or an empty one (it loses); None where a judge must read them."""
    a, b = (" ".join(text.split()) for text in (pair.first, pair.second))
    if a == b:
        return Verdict(TIE, "identical")
    if not a or not b:
        return Verdict(A if a else B, "empty")
    return None


def addressing(pair: TextPair) -> str:
    """Which of the two texts address the judge with a mark of the fence, a verdict or an instruction."""
    return "".join(name for name, text in ((A, pair.first), (B, pair.second)) if ADDRESSES.search(text))
