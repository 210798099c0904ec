"""Where the answers lie in a conversation that a chat template wrote, when stand-ins stand for all words of its messages.

    ControlTokens   texts as runs of control tokens and what lies between them, and the mark that ends a turn
    Reading         one conversation: the spans that are trained, and what the template leaves out

An answer is what a plain answer in its place would not share: the words, with their reasoning and tool calls.  It is trained with
the mark that ends its turn, and without white space after that.  `{% generation %}` marks of the template's own take precedence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

Range = tuple[int, int]  # characters from, to
Turn = dict[str, Any]
OPEN, CLOSE = "\ue000", "\ue001"  # written around what the template marks
TAG = r"</?[^<>\s]{1,40}>|\[/?[A-Z_]{2,30}\]"  # reads as a control token even where the tokenizer has none of this name
WORDS, THOUGHTS = "content", "reasoning_content"
PLAIN = re.compile("Qy7plainz", re.IGNORECASE)  # stands in for a whole answer


class TemplateRefusal(Exception):
    """The template raised an error, or it changes the words of a message; the text is its reason."""


@dataclass(frozen=True)
class Piece:
    """Words of a conversation, and their stand-in."""

    owner: int  # the number of their message; -1 in the tools' schemas
    part: str  # WORDS, THOUGHTS, or "" for a special token's name that is spelled anywhere else
    words: str
    stand_in: str


@dataclass(frozen=True)
class Place:
    """A piece where the template wrote it."""

    number: int
    start: int
    end: int


class ControlTokens:
    """Texts as runs of control tokens and what lies between them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._control = re.compile(f"({any_of(names)}|{TAG})")

    def runs(self, text: str) -> list[str]:
        """The text cut into control tokens and what lies between them."""
        return [run for run in self._control.split(text) if run]

    def names(self, run: str) -> bool:
        return bool(self._control.fullmatch(run))

    def shared(self, one: str, other: str, *, at_end: bool = False) -> int:
        """The number of characters that both begin with, or end with, in common, without cutting through a control token."""
        step, count = -1 if at_end else 1, 0
        for a, b in zip(self.runs(one)[::step], self.runs(other)[::step], strict=False):
            if a != b:
                if not self.names(a) and not self.names(b):
                    pairs = zip(a[::step], b[::step], strict=False)
                    count += next((k for k, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))
                break
            count += len(a)
        return count

    def end_mark(self, after: str, alone: str | None) -> int:
        """How many characters after an answer end its turn: those up to the last of the first run of control tokens.

        `after` is what follows the answer, up to the next words; `alone` is what follows one that ends the conversation, or None
        if the template ends no conversation there.  What both begin with belongs to the answer's turn.
        """
        mine = after[: self.shared(after, alone)] if alone is not None else ""
        first = self._control.search(after)
        if first and alone and not self._first_run(mine) and self._first_run(alone) and self._first_run(after[first.end() :]):
            mine = after[: first.end()]  # the last turn ends by another mark than the others, and what opens the next one follows
        return self._first_run(mine) or len(mine.rstrip())

    def _first_run(self, text: str) -> int:
        """Where the first run of control tokens ends; 0 if there is none."""
        end = 0
        for found in self._control.finditer(text):
            if end and found.start() > end:
                break
            end = found.end()
        return end


class Writer(Protocol):
    """A chat template."""

    control: ControlTokens
    marks: bool  # whether it has `{% generation %}` marks

    def render(self, turns: Sequence[Turn], tools: Sequence[Any], *, ask: bool = False, marked: bool = False) -> str:
        """What it writes; `ask` opens an answer at the end, `marked` sets OPEN and CLOSE around what it marks."""

    def begins_with_tag(self, text: str) -> bool:
        """Whether a tag that the template knows comes first, such as <think>."""


class Reading:
    """One conversation of stand-ins, as a template writes it: its text, the places of the stand-ins, and its answers."""

    def __init__(self, template: Writer, turns: list[Turn], tools: list[Any], pieces: list[Piece], trained: list[bool]) -> None:
        self.template, self.turns, self.tools, self.pieces, self.trained = template, turns, tools, pieces, trained
        self.numbers = {p.stand_in.lower(): number for number, p in enumerate(pieces)}
        self.stand_ins = re.compile(any_of(self.numbers), re.IGNORECASE)  # a template may write in capitals
        self.text = template.render(turns, tools)
        self.places = self._places_in(self.text)

    @property
    def answers(self) -> list[Range]:
        """What is trained, in the text with stand-ins."""
        marked = self._marked()
        if marked is not None:
            return marked
        return [span for turn, ours in enumerate(self.trained) if ours and (span := self._answer(turn))]

    @property
    def literals(self) -> list[str]:
        """The text before, between and after the stand-ins."""
        return self.stand_ins.split(self.text)

    def _places_in(self, text: str) -> list[Place]:
        return [Place(self.numbers[m[0].lower()], *m.span()) for m in self.stand_ins.finditer(text)]

    def _owner(self, place: Place) -> int:
        return self.pieces[place.number].owner

    def _answer(self, turn: int) -> Range | None:
        """From the answer's first character to the end of its turn; None if it is not shown."""
        message = self.turns[turn]
        own = [p for p in self.places if self._owner(p) == turn and self.pieces[p.number].part]
        if self.stand_ins.fullmatch(message[WORDS]) and not message.keys() & {THOUGHTS, "tool_calls"}:
            if not own:
                return None
            start, end = own[-1].start, own[-1].end
            after = self.text[end : min((p.start for p in self.places if p.start >= end), default=len(self.text))]
            return start, end + self.template.control.end_mark(after, self._alone)
        return self._against_plain(turn, own)

    def _against_plain(self, turn: int, own: list[Place]) -> Range | None:
        """An answer with reasoning, calls, tags or white space around it: what differs from a plain answer in its place."""
        others = [p for p in self.places if self._owner(p) != turn]
        try:
            plain_text = self._with_plain(self.turns, turn)
            others_plain = [p for p in self._places_in(plain_text) if self._owner(p) != turn]
            comparable = [p.number for p in others] == [p.number for p in others_plain]
        except Exception:  # it refuses, say, a tool's result without a call
            comparable = False
        if not comparable:
            return self._as_the_last(turn)
        plain = PLAIN.search(plain_text)
        if not plain:
            return None
        at = plain.start()
        before = sum(p.end <= at for p in others_plain)

        def gap(text: str, places: list[Place]) -> Range:
            first = places[before - 1].end if before else 0
            return first, places[before].start if before < len(places) else len(text)

        (low, high), (low_plain, high_plain) = gap(self.text, others), gap(plain_text, others_plain)
        here, there = self.text[low:high], plain_text[low_plain:high_plain]
        starts, ends = at - low_plain, plain.end() - low_plain  # of the plain answer
        inside = [p for p in own if low <= p.start and p.end <= high]
        head = min([self.template.control.shared(here, there[:starts]), *(p.start - low for p in inside)])
        tail = min([self.template.control.shared(here[head:], there[ends:], at_end=True), *(high - p.end for p in inside)])
        if not here[head : len(here) - tail].strip():
            return None
        if inside and self._thinks_first(turn, inside[0]):
            opened = self._opened(turn, here)
            head = head if "</" in here[opened:head] else min(head, opened)  # the tag that opens the answer's own think block
        start, end = low + head, high - tail
        if tail == len(there) - ends:
            return start, end + self.template.control.end_mark(self.text[end:high], self._alone)
        return start, start + len(self.text[start:end].rstrip())  # it ends by another mark than a plain answer does

    def _as_the_last(self, turn: int) -> Range:
        """Where an answer lies that can only be told from a plain one if the conversation ends with it."""
        if turn + 1 < len(self.turns):
            cut = Reading(self.template, self.turns[: turn + 1], self.tools, self.pieces, self.trained)
            span = cut._answer(turn)
            written = cut.text[slice(*span)] if span else ""
            if written and self.text.count(written) == 1:
                at = self.text.index(written)
                return at, at + len(written)
        raise TemplateRefusal("it writes other turns differently when an answer changes, so that the answer cannot be located")

    def _thinks_first(self, turn: int, first: Place) -> bool:
        """Whether the first words of an answer are thoughts, and shown."""
        if self.pieces[first.number].part == THOUGHTS:
            return True
        begins = min(number for number, p in enumerate(self.pieces) if p.owner == turn and p.part)
        return first.number == begins and self.template.begins_with_tag(self.turns[turn][WORDS])

    def _opened(self, turn: int, gap: str) -> int:
        """Where in the text before an answer the template would have handed over to the model; its end if that cannot be told."""
        if not turn:
            return len(gap)
        told, asked = (self.template.render(self.turns[:turn], self.tools, ask=ask) for ask in (False, True))
        opening = asked[len(told) :] if asked.startswith(told) else ""
        at = gap.find(opening) if opening else -1
        return at + len(opening) if at >= 0 else len(gap)

    def _with_plain(self, turns: Sequence[Turn], turn: int) -> str:
        plain = {"role": turns[turn]["role"], WORDS: PLAIN.pattern}
        return self.template.render([*turns[:turn], plain, *turns[turn + 1 :]], self.tools)

    @cached_property
    def _alone(self) -> str | None:
        """What the template writes after an answer that ends the conversation."""
        last = max(turn for turn, message in enumerate(self.turns) if message["role"] == "assistant")
        try:
            return PLAIN.split(self._with_plain(self.turns[: last + 1], last))[-1]
        except Exception:  # it may refuse a conversation that ends there
            return None

    def _marked(self) -> list[Range] | None:
        """The spans that the template itself marks, of trained answers that say something; None if it marks none."""
        if not self.template.marks:
            return None
        text = self.template.render(self.turns, self.tools, marked=True)
        if text.replace(OPEN, "").replace(CLOSE, "") != self.text or OPEN not in text:
            return None
        opens = [m.start() - 2 * k for k, m in enumerate(re.finditer(OPEN, text))]
        closes = [m.start() - 2 * k - 1 for k, m in enumerate(re.finditer(CLOSE, text))]
        found, calls = [], self._shows_calls(self.trained)
        for start, end in zip(opens, closes, strict=True):
            inside = [p for p in self.places if start <= p.start and p.end <= end and self.pieces[p.number].part]
            says = any(self.trained[self._owner(p)] for p in inside)
            if end > start and (says or (not inside and calls)):
                found.append((start, self._closed(start, end)))
        return found

    def _closed(self, start: int, end: int) -> int:
        """The end of a marked span: with the mark that ends the turn where it was left out, without white space after it."""
        text = self.text[start:end].rstrip()
        runs = self.template.control.runs(text)
        if runs and self.template.control.names(runs[-1]):
            return start + len(text)
        after = self.text[end : min((p.start for p in self.places if p.start >= end), default=len(self.text))]
        return end + self.template.control.end_mark(after, self._alone)

    @property
    def unshown(self) -> list[str]:
        """What the conversation has and the template does not write."""
        missing = set(range(len(self.pieces))) - {p.number for p in self.places}
        said = []
        if self.tools and self.template.render(self.turns, []) == self.text:
            said.append("tools")
        if any("tool_calls" in turn for turn in self.turns) and not self._shows_calls([True] * len(self.turns)):
            said.append("tool calls")
        for turn, message in enumerate(self.turns):
            mine = {n for n, p in enumerate(self.pieces) if p.owner == turn and p.part}
            if gone := mine & missing:
                thoughts = gone != mine or all(self.pieces[n].part == THOUGHTS for n in gone)
                said.append("reasoning" if thoughts else f"{message['role']} messages")
        return list(dict.fromkeys(said))

    def _shows_calls(self, of: Sequence[bool]) -> bool:
        """Whether the template writes any tool call of these turns."""
        without = [
            {k: v for k, v in m.items() if not (ours and k == "tool_calls")} for ours, m in zip(of, self.turns, strict=True)
        ]
        try:
            return without != self.turns and self.template.render(without, self.tools) != self.text
        except Exception:  # it refuses results without their calls
            return True


def any_of(texts: Iterable[str]) -> str:
    """A pattern of any of these texts, the longest first; one that never matches if there are none."""
    return "|".join(re.escape(t) for t in sorted(set(texts), key=lambda t: (-len(t), t))) or "(?!)"
