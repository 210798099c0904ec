"""How rows become examples: texts, prompts and completions, or chats; and how a table is unfolded into one row a record.

A corpus is of one kind.  It is one of chats as soon as any record has more than a question and its answer: turns, a system
prompt or tools.  Knows which cells are the prompt, the answer and so on, and not how their columns were found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd

from fishersft.corpus import turns
from fishersft.corpus.records import Chat, Example, Message, PromptCompletion, Text, is_missing
from fishersft.corpus.turns import RecordReader, any_turns, messages, spoken_turns, string, words
from fishersft.errors import CorpusError

Row = dict[str, Any]  # the cells of a record by what they are taken as
INSTRUCTION = "### Instruction:\n{instruction}\n\n"
INSTRUCTION_INPUT = "### Input:\n{input}\n\n"
RESPONSE = "### Response:\n"
MOST_TURNS = 1_000_000  # messages of all threads, of which those near the root are in many


class Exchange(NamedTuple):
    """A question and its answer as a row holds them, before it is known whether the corpus is one of chats."""

    prompt: str  # in our plain form
    asked: str  # without our marks
    before: tuple[Message, ...]  # turns in place of a question
    answer: str
    after: tuple[Message, ...]  # turns in place of an answer
    system: str
    tools: tuple[dict[str, Any], ...]


def instruction_prompt(instruction: str, given: str = "") -> str:
    """The prompt of an instruction record in our plain form; the input section is left out if there is no input."""
    middle = INSTRUCTION_INPUT.format(input=given) if given.strip() else ""
    return INSTRUCTION.format(instruction=instruction) + middle + RESPONSE


def beside(question: str, given: str = "") -> str:
    """A question as it stands, with its passage below."""
    return f"{question}\n\n{given}" if given.strip() else question


def texts(rows: list[Row], reader: RecordReader) -> list[Example]:
    return [Text(string(row["text"], reader)) for row in _counted(rows, reader)]


def _counted(rows: list[Row], reader: RecordReader) -> Iterator[Row]:
    """The rows, while the reader follows which record it is at."""
    for reader.record, row in enumerate(rows):
        yield row


def chats(rows: list[Row], reader: RecordReader) -> list[Example]:
    return [Chat(_opened(_conversation(row, reader), row, reader), _tools(row, reader)) for row in _counted(rows, reader)]


def _conversation(row: Row, reader: RecordReader, role: str = "messages") -> tuple[Message, ...]:
    if is_missing(row[role]):
        return ()
    found = any_turns(row[role])
    if found is None:
        raise reader.refused("messages must be a list of objects with 'role' and 'content', or 'from' and 'value'.")
    return messages(found, reader)


def _tools(row: Row, reader: RecordReader) -> tuple[dict[str, Any], ...]:
    return turns.tools(row.get("tools"), reader)


def _opened(said: tuple[Message, ...], row: Row, reader: RecordReader) -> tuple[Message, ...]:
    """A conversation that begins with the system prompt of its row, if there is one and it has none."""
    system = words(row.get("system"), "system", reader)
    return said if not system.strip() or (said and said[0].role == "system") else (Message("system", system), *said)


def pairs(rows: list[Row], reader: RecordReader, form: Callable[[str, str], str] = beside) -> list[Example]:
    return _of_one_kind([_exchange(row, reader, form) for row in _counted(rows, reader)])


def instructions(rows: list[Row], reader: RecordReader) -> list[Example]:
    return pairs(rows, reader, instruction_prompt)


def multiple_choice(rows: list[Row], reader: RecordReader) -> list[Example]:
    """Questions whose completion is the right choice; one without a known answer trains nothing."""
    out: list[Example] = []
    for row in _counted(rows, reader):
        texts, labels = turns.choices(row["choices"], reader)
        at = turns.chosen(row["answer"], texts, labels)
        if at is None:
            reader.note("no answer among the choices")
        prompt = beside(string(row["prompt"], reader), string(row.get("context"), reader))
        out.append(PromptCompletion(prompt, "" if at is None else texts[at], choices=texts))
    return out


def instances(rows: list[Row], reader: RecordReader) -> list[Example]:
    inner = [turns.as_list(row["instances"]) for row in rows]
    given = [one[0] if one and isinstance(one[0], dict) else {} for one in inner]
    flat = [
        {"prompt": r["prompt"], "context": g.get("input"), "completion": g.get("output")}
        for r, g in zip(rows, given, strict=True)
    ]
    return instructions(flat, reader)


def _exchange(row: Row, reader: RecordReader, form: Callable[[str, str], str]) -> Exchange:
    """The question and the answer of a row; turns of the assistant in a prompt are read and not trained."""
    before = spoken_turns(row["prompt"])
    after = spoken_turns(row["completion"])
    history = () if is_missing(row.get("history")) else _conversation(row, reader, "history")
    prompt = "" if before is not None else string(row["prompt"], reader)
    given = string(row.get("context"), reader)
    return Exchange(
        prompt=form(prompt, given) if before is None else "",
        asked=beside(prompt, given),
        before=history if before is None else tuple(_unless_assistant(m) for m in messages(before, reader)),
        answer=turns.answer(row["completion"], reader) if after is None else "",
        after=messages(after or [], reader),
        system=words(row.get("system"), "system", reader),
        tools=_tools(row, reader),
    )


def _unless_assistant(message: Message) -> Message:
    return replace(message, trained=False) if message.role == "assistant" else message


def _of_one_kind(exchanges: list[Exchange]) -> list[Example]:
    """Prompts and completions, or chats if any of them has more than a question and an answer."""
    if not any(e.before or e.after or e.system.strip() or e.tools for e in exchanges):
        return [PromptCompletion(e.prompt, e.answer, e.asked if e.asked != e.prompt else "") for e in exchanges]
    chats: list[Example] = []
    for e in exchanges:
        opens = (Message("system", e.system),) if e.system.strip() and not (e.before and e.before[0].role == "system") else ()
        asked = (Message("user", e.asked),) if e.asked.strip() else ()
        chats.append(Chat((*opens, *e.before, *asked, *(e.after or (Message("assistant", e.answer),))), e.tools))
    return chats


def preferences(rows: list[Row], reader: RecordReader) -> list[Example]:
    """The chosen side of each pair: its own turns, or an answer to the prompt."""
    return _of_one_kind([_chosen(row, reader) for row in _counted(rows, reader)])


def _chosen(row: Row, reader: RecordReader) -> Exchange:
    prompt, chosen, rejected = row.get("prompt"), row["chosen"], row["rejected"]
    said = spoken_turns(chosen)
    if said is None and isinstance(chosen, str):  # "Human: ... Assistant: ...", all of it or behind a prompt that ends so
        said = turns.transcript(f"{prompt if isinstance(prompt, str) else ''}{chosen}") or turns.transcript(chosen)
    if said is not None:
        own = messages(said, reader)
        whole = len(own) > 1 or is_missing(prompt)
        answers = [i for i, m in enumerate(own) if m.role == "assistant"]
        last = answers[-1] if answers else len(own)
        blank = Exchange("", "", (), "", (), words(row.get("system"), "system", reader), ())
        if whole:  # the pairs differ in the last answer, so only that one is trained
            return blank._replace(before=tuple(map(_unless_assistant, own[:last])), after=own[last:])
        return _exchange({**row, "completion": chosen}, reader, beside)
    if is_missing(prompt) and isinstance(chosen, str) and isinstance(rejected, str):
        prompt = _in_common(chosen, rejected)
        chosen = chosen[len(prompt) :]
    return _exchange({**row, "prompt": prompt, "completion": chosen}, reader, beside)


def _in_common(one: str, other: str) -> str:
    """What two texts begin with, up to the end of a word; nothing if one text is all of it."""
    n = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    cut = max(one.rfind(" ", 0, n), one.rfind("\n", 0, n)) + 1
    return one[:cut] if cut < len(one) else ""


def explode(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """A row for each instance of an instruction."""
    column = columns["instances"]
    parts = [[[one] for one in turns.as_list(cell) or []] or [[]] for cell in table[column]]
    out = table.iloc[[i for i, part in enumerate(parts) for _ in part]].reset_index(drop=True)
    out[column] = pd.Series([one for part in parts for one in part], dtype=object)
    return out


def threads(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """A row for each thread of messages from its first to its last answer, with the thread in the column `messages`."""
    ids, parents = (["" if is_missing(one) else str(one) for one in table[columns[role]].tolist()] for role in ("id", "parent"))
    roles, texts = table[columns["role"]].tolist(), table[columns["text"]].tolist()
    place = {one: i for i, one in enumerate(ids) if one}
    above = [place.get(parent) for parent in parents]
    answers = {i for i, role in enumerate(roles) if turns.ROLES.get(str(role).lower()) == "assistant"}
    followed = {up for i, up in enumerate(above) if up != i}
    inner: set[int] = set()  # messages with an answer below them
    for i in answers:
        up = above[i]
        while up is not None and up != i and up not in inner:
            inner.add(up)
            up = above[up]
    paths: dict[int, list[int]] = {}
    left = MOST_TURNS
    for i in sorted((answers - inner) | (set(range(len(ids))) - followed)):
        path: dict[int, None] = {}
        up = i
        while up is not None and up not in path and left >= 0:
            path[up] = None
            up, left = above[up], left - 1
        if left < 0:
            raise CorpusError(f"Its threads come to more than {MOST_TURNS:,} messages, each written out; split it up.")
        if i in answers or answers.isdisjoint(path):  # an answer, or a question that nobody answered
            paths[i] = list(path)[::-1]
    ends = list(paths)
    out = table.iloc[ends].reset_index(drop=True)
    out["messages"] = pd.Series([[{"role": roles[j], "content": texts[j]} for j in paths[i]] for i in ends], dtype=object)
    return out
