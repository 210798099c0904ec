"""Conversations as public files hold them, read as messages: who speaks, what is said, which tools are called.

A turn is an object with `role` and `content` (OpenAI), `from` and `value` (ShareGPT), a pair of a question and an answer, or a
text, the user's first; a whole conversation may also be one text with "Human:" and "Assistant:" in it.  Roles get one name each.
Knows no column and no chat template.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fishersft.corpus.records import Message, is_missing
from fishersft.corpus.tables import plain
from fishersft.errors import CorpusError
from fishersft.text import all_encodable, shortened

CALL = "call"  # a turn that is nothing but the call of a tool
ROLES = {
    **dict.fromkeys(("user", "human", "prompter", "customer"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatbot", "chatgpt", "ai"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "tool_response", "function response"), "tool"),
    **dict.fromkeys(("function_call", "tool_call"), CALL),
}
ASKED = ("human", "user", "input", "question", "prompt", "instruction", "query")
ANSWERED = ("assistant", "gpt", "bot", "output", "answer", "response", "completion")
UNTRAINED = ("weight", "loss", "train")  # 0 or false: the turn is read and not trained
SPOKEN = re.compile(r"(?:^|\n)[ \t]*(?:#+ *)?(Human|User|Assistant|System|Function response) *:[ \t]*", re.IGNORECASE)


class RecordReader:
    """Where the reading of a corpus is, and what was odd about its records."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.record = 0
        self.odd: dict[str, set[int]] = {}

    def note(self, what: str) -> None:
        """Count this record among those of which `what` is true."""
        self.odd.setdefault(what, set()).add(self.record)

    def refused(self, why: str) -> CorpusError:
        return CorpusError(f"{self.name}, record {self.record:,}: {why}")

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"{what} in {len(records):,} record{'s' * (len(records) > 1)}" for what, records in self.odd.items())


def string(value: Any, reader: RecordReader) -> str:
    """A cell as a text: numbers as written, bytes as UTF-8, a missing value as an empty text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise reader.refused(f"byte {error.start:,} of the text is not UTF-8.") from error
    if isinstance(value, dict | list | tuple | np.ndarray):
        if is_missing(value):
            return ""
        raise reader.refused(f"the value is a {type(value).__name__}, not a text; name another column.")
    return "" if is_missing(value) else str(value)


def answer(value: Any, reader: RecordReader) -> str:
    """The text of an answer; of several (a list, or SQuAD's {"text": [...]}) the first."""
    if isinstance(value, dict):
        value = value.get("text", value.get("value", value))
    several = as_list(value) if not isinstance(value, str) else None
    if several is not None and all(isinstance(one, str) for one in several):
        if len(several) > 1:
            reader.note("several answers, of which the first is trained,")
        value = several[0] if several else ""
    return string(value, reader)


def choices(value: Any, reader: RecordReader) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The choices of a question, and their labels where it has any: a list, or {"text": [...], "label": [...]}."""
    given, named = _choices(value)
    texts, labels = (tuple(string(one, reader) for one in several or ()) for several in (given, named))
    if len(texts) < 2 or len(labels) not in (0, len(texts)):
        raise reader.refused("choices must be a list of at least two texts, or {'text': [...], 'label': [...]} of equal length.")
    return texts, labels


def like_choices(value: Any) -> bool:
    """Whether a cell can be the choices of a question."""
    texts = _choices(value)[0] or []
    return bool(texts) and all(isinstance(one, str | int | float) for one in texts)


def _choices(value: Any) -> tuple[list[Any] | None, list[Any] | None]:
    found = _parsed(value)
    return (as_list(found.get("text")), as_list(found.get("label"))) if isinstance(found, dict) else (as_list(found), None)


def chosen(value: Any, texts: Sequence[str], labels: Sequence[str] = ()) -> int | None:
    """Which choice, from 0, an answer names; None where it names none.

    A number counts from 0.  A text is a label, a letter, the choice's own words, or a number, whichever is the first to fit.
    """
    numbers, letters = [str(k) for k in range(len(texts))], [chr(ord("A") + k) for k in range(len(texts))]
    said = "" if is_missing(value) else str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
    for names in (labels, letters, texts, numbers) if isinstance(value, str) else (labels, numbers):
        if said and said in names:
            return list(names).index(said)
    return None


def as_list(value: Any) -> list[Any] | None:
    """A cell as a list, if it is one or the text of one, as in a CSV file: JSON's, or Python's own as pandas writes it."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _parsed(value)
        if isinstance(value, str) and value.lstrip().startswith("[{'"):
            with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
                value = all_encodable(ast.literal_eval(value.strip()))
    return list(value) if isinstance(value, list | tuple | np.ndarray) else None


def _parsed(text: Any) -> Any:
    """JSON text as what it says; anything else as it is."""
    if not isinstance(text, str):
        return text
    try:
        return all_encodable(json.loads(text))  # what is written in a text may hold lone surrogates of its own
    except (ValueError, RecursionError):
        return text


def spoken_turns(value: Any) -> list[dict[str, Any]] | None:
    """A cell as a list of objects that say whose turn each is; None if it is not one."""
    turns = as_list(value)
    spoken = turns is not None and all(isinstance(t, dict) for t in turns) and (not turns or any(map(_speaker, turns)))
    return turns if spoken else None


def any_turns(value: Any) -> list[dict[str, Any]] | None:
    """The same of a conversation in any form: turns with speakers, pairs, texts in turn, or one text with speakers in it."""
    turns = as_list(value)
    if turns is None:
        return transcript(value) if isinstance(value, str) else None
    if spoken_turns(turns) is not None:
        return turns
    if all(isinstance(t, str) for t in turns):
        return [{"role": ("user", "assistant")[i % 2], "content": t} for i, t in enumerate(turns)]
    out: list[dict[str, Any]] = []
    for turn in turns:
        pair = _pair(turn)
        if pair is None:
            return None
        out += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    return out


def transcript(text: str) -> list[dict[str, Any]] | None:
    """The turns of a text such as "Human: ... Assistant: ..."; None if it does not begin with a speaker, or none answers."""
    marks = list(SPOKEN.finditer(text))
    if not marks or text[: marks[0].start()].strip() or not any(m[1].lower() == "assistant" for m in marks):
        return None
    ends = [*(m.start() for m in marks[1:]), len(text)]
    said = (text[m.end() : end].strip().removesuffix("<|endoftext|>").rstrip() for m, end in zip(marks, ends, strict=True))
    return [{"role": m[1].lower(), "content": words} for m, words in zip(marks, said, strict=True)]


def _speaker(turn: Mapping[str, Any]) -> str:
    return next((turn[key] for key in ("role", "from") if isinstance(turn.get(key), str)), "")


def _pair(turn: Any) -> tuple[Any, Any] | None:
    """A question and its answer in one turn, if it is such a pair: [question, answer] or {"human": ..., "assistant": ...}."""
    if isinstance(turn, list | tuple | np.ndarray):
        return (turn[0], turn[1]) if len(turn) == 2 and all(isinstance(t, str) for t in turn) else None
    if not isinstance(turn, dict):
        return None
    asked, answered = (next((k for k in keys if k in turn), None) for keys in (ASKED, ANSWERED))
    return (turn[asked], turn[answered]) if asked and answered else None


def form_of(value: Any) -> str:
    """What a conversation's form is called."""
    turns = as_list(value)
    if turns is None:
        return "transcripts"
    first = turns[0] if turns else {}
    if isinstance(first, dict) and isinstance(first.get("from"), str) and first.get("role") is None:
        return "ShareGPT chats"
    return "chats" if isinstance(first, dict) and _speaker(first) else "chats of alternating texts"


def messages(turns: list[dict[str, Any]], reader: RecordReader) -> tuple[Message, ...]:
    """The messages of a conversation; what cannot be kept is noted, and so is a role that nobody knows."""
    return tuple(_message(turn, reader) for turn in turns)


def _message(turn: dict[str, Any], reader: RecordReader) -> Message:
    speaker = _speaker(turn)
    role = ROLES.get(speaker.strip().lower(), speaker)
    said = next((turn[key] for key in ("content", "value", "text", "parts") if turn.get(key) is not None), "")
    calls = tuple(_calls(_parsed(said) if role == CALL else turn.get("tool_calls"), turn.get("function_call")))
    if role == CALL:
        role, said = "assistant", "" if calls else said
    if role not in ROLES:
        reader.note(f"unknown role {shortened(role, 40)!r}")
    reasoning = next((turn[k] for k in ("reasoning_content", "reasoning", "thinking") if isinstance(turn.get(k), str)), "")
    return Message(
        role=role,
        content=words(said, role, reader),
        reasoning=reasoning,
        tool_calls=calls,
        trained=not (role == "assistant" and any(turn.get(key) == 0 for key in UNTRAINED)),
        name=string(turn.get("name"), reader) if role == "tool" else "",
        call_id=string(turn.get("tool_call_id"), reader) if role == "tool" else "",
    )


def words(said: Any, role: str, reader: RecordReader) -> str:
    """The text of a message's content: a text, or parts of which those that hold text are joined."""
    if isinstance(said, dict) and role == "tool":
        return json.dumps(plain(said), ensure_ascii=False)  # a result that was not written as text
    if isinstance(said, dict):
        said = said.get("parts", [said])
    if not isinstance(said, list | tuple | np.ndarray):
        return string(said, reader)
    texts = []
    for part in said:
        inner = part
        while isinstance(inner, dict):  # as {"type": "text", "text": {"value": ...}}
            inner = next((inner[k] for k in ("text", "value", "input_text", "output_text") if inner.get(k) is not None), None)
        if inner is None:
            reader.note(f"a part that is not text ({shortened(part.get('type') or 'unknown', 40) if part else 'empty'}) left out")
        else:
            texts.append(string(inner, reader))
    return "".join(texts)


def _calls(*values: Any) -> Iterator[dict[str, Any]]:
    """Calls of tools as templates take them, from OpenAI's form or from {"name": ..., "arguments": ...}."""
    for value in values:
        value = _parsed(value)
        for call in [value] if isinstance(value, dict) else as_list(value) or ():
            inner = call.get("function", call) if isinstance(call, dict) else None
            if isinstance(inner, dict) and inner.get("name"):
                arguments = plain(_parsed(inner.get("arguments", inner.get("parameters", {}))))
                extra = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
                yield {**extra, "type": "function", "function": {"name": str(inner["name"]), "arguments": arguments}}


def tools(value: Any, reader: RecordReader) -> tuple[dict[str, Any], ...]:
    """The schemas of the tools that a conversation may call; a schema without its wrapping gets it."""
    if is_missing(value):
        return ()
    found = _parsed(value)
    several = [found] if isinstance(found, dict) else as_list(found)
    schemas: list[Any] = [None] if several is None else [_parsed(one) for one in several]
    if not all(isinstance(schema, dict) for schema in schemas):
        reader.note("tools that are not JSON objects and are not used")
        return ()
    return tuple(plain(s) if "function" in s or "name" not in s else {"type": "function", "function": plain(s)} for s in schemas)
