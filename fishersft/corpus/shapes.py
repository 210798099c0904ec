"""Which columns of a table hold what: the shapes that public fine-tuning files come in, and how a row becomes an example.

`SHAPES` is the table of them: to read another shape, add an entry.  The first whose columns are all there is taken, unless
options name the columns; a column is never taken for text because it is the only one left.  Knows no file format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from fishersft.corpus import examples, turns
from fishersft.corpus.examples import Row
from fishersft.corpus.records import Example, ReadOptions, Understood, is_missing
from fishersft.corpus.turns import RecordReader
from fishersft.errors import ColumnError
from fishersft.text import shortened

SYSTEM = ("system", "system_prompt", "system_message", "systeminstruction")
CONTEXT = ("context", "passage")
TOOLS = ("tools", "functions")
CHAT = {"system": SYSTEM, "tools": TOOLS}
PAIR = {**CHAT, "context": CONTEXT, "history": ("history",)}
ANSWERS = (
    "completion",
    "response",
    "answer",
    "output",
    "answers",
    "outputs",
    "solution",
    "reply",
    "target",
    "targets",
    "assistant",
)
MATTERS = {name for names in PAIR.values() for name in names} | {"messages", "conversations", "input", "rejected"}
THREADS = "messages joined to threads by their parents"
HOW_TO_NAME = (
    "name the text with --text-column, questions and answers with --prompt-column and --completion-column, "
    "or chats with --messages-column"
)
SHOWN = 20  # columns that an error lists
LIKE_DATA = re.compile(r"(\S+\s+){4}|.*[.!?]$|\s*[-+\d.,]+\s*$|.{61}", re.DOTALL)  # what a column's name rarely looks like


@dataclass(frozen=True)
class Shape:
    """One way in which public files hold examples.

    Attributes:
        name: what it is called on screen.
        takes: the names of the columns that it needs, the most usual first, by what they are taken as.
        examples: rows to examples, one for each.
        may_take: columns that it also uses where they are there.
        fits: whether the cells of the columns that it needs can be what it takes them for.
        unfold: the table of records, where a row of the file holds several or a record spans several rows.
    """

    name: str
    takes: Mapping[str, tuple[str, ...]]
    examples: Callable[[list[Row], RecordReader], list[Example]]
    may_take: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fits: Callable[[Mapping[str, Sequence[Any]]], bool] = lambda cells: True
    unfold: Callable[[pd.DataFrame, Mapping[str, str]], pd.DataFrame] | None = None


def _some(judge: Callable[[Any], bool], role: str) -> Callable[[Mapping[str, Sequence[Any]]], bool]:
    """Whether any cell taken as `role` is of a kind."""
    return lambda cells: any(judge(cell) for cell in cells[role] if not is_missing(cell))


def _like_turns(cell: Any) -> bool:
    """Whether a cell can be a conversation; also a list that lacks its speakers, which is then refused by its record."""
    inner = turns.as_list(cell)
    return turns.any_turns(cell) is not None if inner is None else all(isinstance(t, str | dict) for t in inner)


SHAPES = (
    Shape(
        "chats",
        {"messages": ("messages", "conversations", "conversation", "contents", "dialogue", "dialog", "turns", "chat", "data")},
        examples.chats,
        CHAT,
        _some(_like_turns, "messages"),
    ),
    Shape(
        THREADS,
        {"text": ("text", "content"), "role": ("role",), "id": ("message_id",), "parent": ("parent_id",)},
        examples.chats,
        unfold=examples.threads,
    ),
    Shape(
        "preference pairs, of which the chosen side is trained",
        {"chosen": ("chosen", "chosen_response"), "rejected": ("rejected", "rejected_response")},
        examples.preferences,
        {**PAIR, "prompt": ("prompt", "question", "instruction", "query", "input")},
    ),
    Shape(
        "instructions with instances",
        {"prompt": ("instruction",), "instances": ("instances",)},
        examples.instances,
        unfold=examples.explode,
    ),
    Shape(
        "instructions",
        {"prompt": ("instruction",), "completion": ("output", *ANSWERS)},
        examples.instructions,
        {**PAIR, "context": ("input", *CONTEXT)},
    ),
    Shape(
        "multiple choice",
        {
            "prompt": ("question", "question_stem", "query", "prompt", "ctx"),
            "choices": ("choices", "options", "endings"),
            "answer": ("answer", "answerkey", "label", "answer_index"),
        },
        examples.multiple_choice,
        {"context": (*CONTEXT, "article")},
        _some(turns.like_choices, "choices"),
    ),
    Shape("prompts and completions", {"prompt": ("prompt",), "completion": (*ANSWERS, "chosen")}, examples.pairs, PAIR),
    Shape(
        "questions and answers",
        {"prompt": ("question", "query", "problem", "input", "inputs", "user", "human"), "completion": ("answer", *ANSWERS)},
        examples.pairs,
        PAIR,
    ),
    Shape("contexts and responses", {"prompt": ("context",), "completion": ("response",)}, examples.pairs, CHAT),
    Shape(
        "documents and summaries",
        {"prompt": ("document", "article", "dialogue"), "completion": ("summary", "highlights")},
        examples.pairs,
        CHAT,
    ),
    Shape("plain texts", {"text": ("text", "content", "sentence", "document", "body")}, examples.texts),
)
CHATS, PAIRS, TEXTS = SHAPES[0], next(s for s in SHAPES if s.name == "prompts and completions"), SHAPES[-1]


def read_examples(
    table: pd.DataFrame, name: str, options: ReadOptions, *, header: bool = False
) -> tuple[pd.DataFrame, tuple[Example, ...], Understood]:
    """The records of a table, their examples, and how they were understood.

    `header`: the columns' names are the first line of a file, which may have been a record.
    """
    shape, columns = _shape_of(table, name, options, header)
    reader, whole = RecordReader(name), table
    if shape.unfold:
        table = shape.unfold(table, columns)
    cells = {"messages": "messages"} if shape.unfold is examples.threads else columns
    values = {role: table[column].tolist() for role, column in cells.items()}
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    found = shape.examples(rows, reader)
    called = shape.name
    if shape is CHATS:
        first: Any = next((cell for cell in values["messages"] if not is_missing(cell)), [])
        called = turns.form_of(first)
    unused = _unused(whole, columns, trained_labels=shape is not TEXTS)
    return table, tuple(found), Understood(called, tuple(columns.items()), unused, reader.notes)


def _shape_of(table: pd.DataFrame, name: str, options: ReadOptions, header: bool) -> tuple[Shape, dict[str, str]]:
    """The shape that the options name or that the columns have, and what each column is taken as."""
    columns, named = list(table.columns), options.columns
    _check_named(named, columns, name)
    known = {str(c).strip().lower(): c for c in reversed(columns)}
    if "text" in named:
        return TEXTS, named
    if "messages" in named or "prompt" in named:
        shape = CHATS if "messages" in named else PAIRS
        return shape, {**named, **_found(known, {k: v for k, v in shape.may_take.items() if k in ("tools", "history")}, named)}
    for shape in SHAPES:
        taken = _found(known, shape.takes, {})
        if len(taken) == len(shape.takes) and shape.fits({role: table[column].tolist() for role, column in taken.items()}):
            taken |= named
            lacking = sorted(named.keys() - shape.may_take.keys() - shape.takes.keys())
            if lacking:
                said = f"{name} is read as {shape.name}, which use no {lacking[0]} column; leave out that option."
                raise ColumnError(said, columns)
            return shape, taken | _found(known, shape.may_take, taken)
    raise ColumnError(_unknown(columns, name, header), columns)


def _found(known: Mapping[str, str], wanted: Mapping[str, tuple[str, ...]], taken: Mapping[str, str]) -> dict[str, str]:
    """The columns that are there of those that are wanted, each taken once."""
    out: dict[str, str] = {}
    for role, names in wanted.items():
        free = (known[n] for n in names if n in known and known[n] not in (*taken.values(), *out.values()))
        column = None if role in taken else next(free, None)
        if column is not None:
            out[role] = column
    return out


def _check_named(named: Mapping[str, str], columns: list[str], name: str) -> None:
    beside = named.keys() & ({"system", "context"} if "text" in named else {"context"} if "messages" in named else set())
    missing = next((column for column in named.values() if column not in columns), None)
    said = ""
    if "" in named.values():
        said = "A column's name cannot be empty."
    elif ("text" in named) + bool(named.keys() & {"prompt", "completion"}) + ("messages" in named) > 1:
        said = "Name either the text column, or the prompt and completion columns, or the messages column."
    elif ("prompt" in named) != ("completion" in named):
        said = "--prompt-column and --completion-column belong together; give both or neither."
    elif beside:
        said = f"--{min(beside)}-column belongs to prompts and completions, so it cannot be used with this column."
    elif missing is not None:
        said = f"{name} has no column '{missing}'; its columns are: {_listed(columns)}."
    if said:
        raise ColumnError(said, columns)


def _listed(columns: list[str]) -> str:
    more = f" and {len(columns) - SHOWN:,} more" if len(columns) > SHOWN else ""
    return ", ".join(shortened(c, 60) for c in columns[:SHOWN]) + more or "none"


def _unknown(columns: list[str], name: str, header: bool) -> str:
    """The sentence for columns of no known shape; it says what to pass, and asks whether a first line is really a header."""
    if header and any(LIKE_DATA.match(c) for c in columns):
        return (
            f"{name}: the first line, read as column names ({_listed(columns)}), looks like a record; pass --header none if it "
            f"is one, otherwise {HOW_TO_NAME}."
        )
    return f"{name} has columns of no known shape ({_listed(columns)}); {HOW_TO_NAME}."


def _unused(table: pd.DataFrame, columns: Mapping[str, str], *, trained_labels: bool) -> tuple[str, ...]:
    """Columns that usually belong to the examples, are filled, and are not read."""
    said = []
    for column in table.columns:
        lower = str(column).strip().lower()
        if column in columns.values() or lower not in MATTERS | {"label"}:
            continue
        cells = table[column].tolist()
        if lower == "label":
            wrong = sum(isinstance(cell, bool) and not cell for cell in cells) if trained_labels else 0
            which = "record, which is" if wrong == 1 else "records, which are"
            said += [f"{column} (false in {wrong:,} {which} trained all the same)"] if wrong else []
        elif filled := sum(not is_missing(cell) and str(cell) not in ("[]", "{}") for cell in cells):
            said.append(f"{column} (filled in {filled:,} record{'s' * (filled > 1)})")
    return tuple(said)
