"""Conversations as a tokenizer's chat template writes them, and which characters of that are the assistant's own.

A template is a program: it trims, drops or adds think blocks, renames roles, opens with a system prompt, ends each turn or only
the last.  So the words of each message are replaced by a *stand-in* that occurs nowhere else, and the template writes that
conversation; where the stand-ins lie is where the messages' words lie.  Then it writes the conversation itself, which must be the
same text with the words in place of the stand-ins; a template that changes them is said to refuse the record.

`answers.py` reads the text with stand-ins.  Works on characters; knows no token ids.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from fishersft.corpus.answers import (
    CLOSE,
    OPEN,
    TAG,
    THOUGHTS,
    WORDS,
    ControlTokens,
    Piece,
    Range,
    Reading,
    TemplateRefusal,
    Turn,
    any_of,
)
from fishersft.corpus.records import Chat
from fishersft.text import encodable, shortened

KEPT = 1_000  # skeletons
LONGEST = 20_000_000  # characters of a conversation as it is written
GENERATION = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")


@dataclass(frozen=True)
class Rendering:
    """A conversation as the template writes it."""

    text: str
    answers: tuple[Range, ...]  # what is trained, in order
    forged: tuple[Range, ...]  # words of messages that spell a special token and must stay text
    unshown: tuple[str, ...]  # what the template leaves out: "tools", "tool calls", "reasoning", "system messages"


@dataclass(frozen=True)
class _Skeleton:
    """What the template writes with stand-ins; the same for all conversations that differ in their words only."""

    literals: list[str]  # before, between and after the pieces
    numbers: list[int]  # of the pieces, in the order in which they are written
    answers: list[Range]  # what is trained, in the text with stand-ins
    unshown: list[str]


class ChatTemplate:
    """The chat template of a tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        added = [t for t in tokenizer.added_tokens_decoder.values() if t.content.strip()]
        self._special = re.compile(any_of(t.content for t in added if t.special))
        self.control = ControlTokens(t.content for t in added)
        self.marks = bool(GENERATION.search(self.source))
        self._skeletons: dict[str, _Skeleton] = {}

    def write(self, chat: Chat) -> Rendering:
        """The conversation's text and spans; TemplateRefusal if the template refuses it."""
        if self._multiplies:
            raise TemplateRefusal("it multiplies texts, which may fill the memory")
        try:
            return self._write(chat)
        except TemplateRefusal:
            raise
        except Exception as error:  # a template is a program and may raise anything
            raise TemplateRefusal(shortened(" ".join(str(error).split()) or type(error).__name__)) from error

    def _write(self, chat: Chat) -> Rendering:
        turns = [_mapped(m.as_json(), encodable) for m in chat.messages]
        tools = _mapped(list(chat.tools), encodable)
        trained = [m.role == "assistant" and m.trained and m.says_something() for m in chat.messages]
        if not turns:
            return Rendering("", (), (), ())
        stood, stood_tools, pieces = self._stood(turns, tools)
        key = json.dumps([stood, stood_tools, trained])
        if key not in self._skeletons:
            if len(self._skeletons) == KEPT:  # tool calls make every conversation another
                self._skeletons.clear()
            read = Reading(self, stood, stood_tools, pieces, trained)
            self._skeletons[key] = _Skeleton(read.literals, [p.number for p in read.places], read.answers, read.unshown)
        skeleton, text = self._skeletons[key], self.render(turns, tools)
        places = _places(text, skeleton, [p.words for p in pieces])
        shifted = _shift(skeleton, [len(p.stand_in) for p in pieces], places)
        spelled = [bool(self._special.search(p.words)) for p in pieces]
        return Rendering(
            text,
            tuple((shifted(a), shifted(b)) for a, b in skeleton.answers),
            tuple(place for number, place in zip(skeleton.numbers, places, strict=True) if spelled[number]),
            tuple(skeleton.unshown),
        )

    def render(self, turns: Sequence[Turn], tools: Sequence[Any], *, ask: bool = False, marked: bool = False) -> str:
        """What the template writes; `ask` opens an answer at the end, `marked` sets OPEN and CLOSE around what it marks."""
        template = self.tokenizer.get_chat_template(None, list(tools) or None)
        if marked:
            template = GENERATION.sub(_mark, template)
        options = {"tools": list(tools) or None, "chat_template": template, "add_generation_prompt": ask, "tokenize": False}
        given = [{k: v for k, v in turn.items() if k != "weight"} for turn in turns]
        try:
            return self._rendered(given, options)
        except TypeError:  # some templates take the arguments of a call as a string of JSON only
            if not any("tool_calls" in turn for turn in given):
                raise
            return self._rendered([_with_json_arguments(turn) for turn in given], options)

    def _rendered(self, given: Sequence[Turn], options: dict[str, Any]) -> str:
        text = str(self.tokenizer.apply_chat_template(given, **options))
        if len(text) > LONGEST:
            raise TemplateRefusal(f"it writes {len(text):,} characters")
        return text

    @cached_property
    def _multiplies(self) -> bool:
        """Whether the template raises to a power or repeats a text; the sandbox would let it fill the memory."""
        from jinja2 import Environment, TemplateError, nodes

        try:
            tree = Environment(extensions=["jinja2.ext.loopcontrols"], autoescape=True).parse(GENERATION.sub("", self.source))
        except (TemplateError, RecursionError):  # writing will say why
            return False
        texts = (nodes.Const, nodes.TemplateData)
        return next(tree.find_all(nodes.Pow), None) is not None or any(
            isinstance(side, texts) and isinstance(side.as_const(), str)
            for product in tree.find_all(nodes.Mul)
            for side in (product.left, product.right)
        )

    @cached_property
    def source(self) -> str:
        """Every variant of the template."""
        template = self.tokenizer.chat_template
        return "\n".join(template.values()) if isinstance(template, dict) else str(template)

    @cached_property
    def _known_tags(self) -> re.Pattern[str]:
        """Tags that the template's source names, such as </think>; special tokens are none, since no message may write one."""
        return re.compile(f"({any_of(tag for tag in re.findall(TAG, self.source) if not self._special.search(tag))})")

    def begins_with_tag(self, text: str) -> bool:
        """Whether a tag that the template knows comes first, such as <think>."""
        return bool(self._known_tags.match(text.lstrip()))

    def _stood(self, turns: Sequence[Turn], tools: Sequence[Any]) -> tuple[list[Turn], list[Any], list[Piece]]:
        """The conversation with stand-ins for its words."""
        base, everything, pieces = "Qx7", json.dumps([turns, tools], ensure_ascii=False).lower(), list[Piece]()
        while base.lower() in everything:
            base += "v"

        def stand_in(owner: int, part: str, words: str) -> str:
            pieces.append(Piece(owner, part, words, f"{base}n{len(pieces)}z"))
            return pieces[-1].stand_in

        def in_message(owner: int, part: str, text: str) -> str:
            runs = self._known_tags.split(text)  # the odd ones are tags, which stay, so that the template can act on them
            words = [run.strip() for run in runs]
            return "".join(
                run if k % 2 or not w else run.replace(w, stand_in(owner, part, w))
                for k, (run, w) in enumerate(zip(runs, words, strict=True))
            )

        def elsewhere(owner: int, value: Any) -> Any:
            return _mapped(value, lambda text: self._special.sub(lambda found: stand_in(owner, "", found[0]), text))

        stood = [
            {k: in_message(i, k, v) if k in (WORDS, THOUGHTS) else elsewhere(i, v) for k, v in turn.items()}
            for i, turn in enumerate(turns)
        ]
        return stood, elsewhere(-1, tools), pieces


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with every string in it changed; the keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {k: _mapped(v, change) for k, v in value.items()}
    return [_mapped(v, change) for v in value] if isinstance(value, list | tuple) else value


def _with_json_arguments(turn: Turn) -> Turn:
    def written(call: dict[str, Any]) -> dict[str, Any]:
        function = dict(call.get("function", {}))
        if not isinstance(function.get("arguments", ""), str):
            function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
        return {**call, "function": function}

    return {**turn, "tool_calls": [written(call) for call in turn["tool_calls"]]} if "tool_calls" in turn else turn


def _mark(found: re.Match[str]) -> str:
    """A generation tag that also writes OPEN or CLOSE, and trims the white space around itself as before."""
    before, end, after = found.groups()
    if end:
        return f"{{%{before} endgeneration %}}{{% if true %}}{CLOSE}{{% endif {after}%}}"
    return f"{{%{before} if true %}}{OPEN}{{% endif %}}{{% generation {after}%}}"


def _places(text: str, skeleton: _Skeleton, words: Sequence[str]) -> list[Range]:
    """Where the template wrote the words that stand-ins stood for: as they are, as JSON spells them, or with the same letters."""
    found, at = [], len(skeleton.literals[0])
    if not text.startswith(skeleton.literals[0]):
        raise TemplateRefusal("it writes other turns differently when words change")
    for number, following in zip(skeleton.numbers, skeleton.literals[1:], strict=True):
        for form in (words[number], json.dumps(words[number], ensure_ascii=False)[1:-1]):
            end = at + len(form)
            if text.startswith(form, at) and text.startswith(following, end):
                break
        else:
            end = text.find(following, at) if following.strip() else len(text) - len(following)
            if end < at or _letters(text[at:end]) != _letters(words[number]):
                raise TemplateRefusal("it changes the words of a message")
        found.append((at, end))
        at = end + len(following)
    if at != len(text):
        raise TemplateRefusal("it changes the words of a message")
    return found


def _letters(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def _shift(skeleton: _Skeleton, lengths: Sequence[int], places: Sequence[Range]) -> Callable[[int], int]:
    """From a character's number in the text with stand-ins to its number in the text with words."""
    literal = [len(text) for text in skeleton.literals]
    ends = list(accumulate(a + lengths[n] for a, n in zip(literal, skeleton.numbers, strict=False)))  # of the stand-ins

    def shifted(at: int) -> int:
        passed = bisect_right(ends, at)  # pieces that end at or before it
        return at if not passed else places[passed - 1][1] + at - ends[passed - 1]

    return shifted
