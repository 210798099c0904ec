"""`load_corpus`: a `Corpus` from a path, the embedded demo, two downloaded classics, or the Hugging Face hub.

Detects the shape of the records unless options name the columns, and splits off the held-out part.  Knows no tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fishersft import paths
from fishersft.corpus.read import read_table, shortened
from fishersft.corpus.records import (
    Chat,
    Corpus,
    Example,
    Message,
    PromptCompletion,
    Text,
    split_by_column,
    split_by_seed,
)
from fishersft.errors import ColumnError, CorpusError, MissingExtra
from fishersft.paths import user_path

if TYPE_CHECKING:
    import pandas as pd

TEXT_COLUMNS = ("text", "content", "sentence", "document", "body")
INSTRUCTION = "### Instruction:\n{instruction}\n\n"
INSTRUCTION_INPUT = "### Input:\n{input}\n\n"
RESPONSE = "### Response:\n"


def load_corpus(
    source: str | Path,
    *,
    text_column: str | None = None,
    prompt_column: str | None = None,
    completion_column: str | None = None,
    messages_column: str | None = None,
    split_on: str = "line",
    holdout: float = 0.1,
    skip_bad: bool = False,
    name: str | None = None,
) -> Corpus:
    """Load a corpus.

    Args:
        source: a path (.txt .csv .tsv .jsonl .json .parquet), `demo`, `shakespeare`, `sherlock`, or `hf:owner/name`.
        text_column, prompt_column, completion_column, messages_column: the columns of the example; by default
            they are detected (`messages`; `prompt` + `completion`; `instruction` + `input` + `output`; `text`).
        split_on: for .txt, `line` or `blank-line` (paragraphs).
        holdout: share of records that no selector sees; 0 for none.  A `split` column of the corpus takes precedence.
        skip_bad: skip and count broken lines instead of raising.
        name: the corpus's name; by default the file's name.

    Raises:
        CorpusError: one sentence says what is wrong, where, and what to do.
    """
    if not isinstance(source, str | Path):
        raise CorpusError(f"A corpus must be named by a path or a word, not by a {type(source).__name__}.")
    source = str(source)
    if not source:
        raise CorpusError("A corpus is a file, 'demo', 'shakespeare', 'sherlock' or 'hf:owner/name', not an empty name.")
    options = {
        "text_column": text_column,
        "prompt_column": prompt_column,
        "completion_column": completion_column,
        "messages_column": messages_column,
        "split_on": split_on if split_on != "line" else None,
        "holdout": str(holdout) if holdout != 0.1 else None,
        "skip_bad": "" if skip_bad else None,
    }
    fields, bad_lines = _fields(source, split_on=split_on, skip_bad=skip_bad)
    name = name or shortened(Path(source).name if "/" in source and not source.startswith("hf:") else source, 100)
    if not len(fields):
        raise CorpusError(f"{name} contains no records; it needs at least one.")
    fields.columns = [str(c) for c in fields.columns]
    examples = _examples(fields, name, text_column, prompt_column, completion_column, messages_column)
    held_out = split_by_column(fields["split"].tolist()) if "split" in fields.columns else None
    if held_out is None:
        held_out = split_by_seed(len(fields), holdout)
    return Corpus(
        name=name,
        source=source,
        examples=examples,
        fields=fields,
        held_out=held_out,
        bad_lines=bad_lines,
        options=tuple((k, v) for k, v in options.items() if v is not None),
    )


def _fields(source: str, *, split_on: str, skip_bad: bool) -> tuple[pd.DataFrame, int]:
    from fishersft.corpus import builtin

    if source == "demo":
        return read_table(paths.asset("demo", "corpus.jsonl"))
    if source in builtin.CLASSICS:
        return builtin.read(source), 0
    if source.startswith("hf:"):
        return _from_hub(source.removeprefix("hf:")), 0
    return read_table(user_path(source), split_on=split_on, skip_bad=skip_bad)


def _from_hub(dataset_id: str) -> pd.DataFrame:
    import re

    import pandas as pd

    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", dataset_id):
        raise CorpusError(f"'{dataset_id}' is not a dataset's id on the hub; use hf:owner/name.")
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("Reading a dataset from the Hugging Face hub", "hub") from error
    try:
        splits = datasets.load_dataset(dataset_id)
    except Exception as error:  # the library raises a dozen types of error; all get the same sentence
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise CorpusError(
            f"The dataset {dataset_id} could not be loaded from the hub ({reason}); "
            "check its name and the network, or download it and give the file's path."
        ) from error
    frames = []
    for split, data in splits.items():
        frame = data.to_pandas()
        if len(splits) > 1 and "split" not in frame.columns:
            frame["split"] = str(split)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _examples(
    fields: pd.DataFrame,
    name: str,
    text_column: str | None,
    prompt_column: str | None,
    completion_column: str | None,
    messages_column: str | None,
) -> tuple[Example, ...]:
    columns = list(fields.columns)

    def need(column: str) -> str:
        if column not in columns:
            raise ColumnError(f"{name} has no column '{column}'; its columns are: {listed}.", columns)
        return column

    listed = ", ".join(columns[:20]) + (f" and {len(columns) - 20:,} more" if len(columns) > 20 else "") or "none"
    named = [c for c in (text_column, prompt_column, completion_column, messages_column) if c is not None]
    if "" in named:
        raise CorpusError("A column's name cannot be empty.")
    if bool(text_column) + bool(prompt_column or completion_column) + bool(messages_column) > 1:
        raise CorpusError("Name either the text column, or the prompt and completion columns, or the messages column.")
    if bool(prompt_column) != bool(completion_column):
        raise CorpusError("--prompt-column and --completion-column belong together; give both or neither.")
    if text_column:
        return _texts(fields[need(text_column)].tolist(), name)
    if messages_column:
        return _chats(fields[need(messages_column)].tolist(), name)
    if prompt_column and completion_column:
        return _pairs(fields[need(prompt_column)].tolist(), fields[need(completion_column)].tolist(), name)
    if "messages" in columns:
        return _chats(fields["messages"].tolist(), name)
    if {"prompt", "completion"} <= set(columns):
        return _pairs(fields["prompt"].tolist(), fields["completion"].tolist(), name)
    if {"instruction", "output"} <= set(columns):
        inputs = _strings(fields["input"].tolist(), name) if "input" in columns else [""] * len(fields)
        asked, answers = (_strings(fields[c].tolist(), name) for c in ("instruction", "output"))
        prompts = [instruction_prompt(i, x) for i, x in zip(asked, inputs, strict=True)]
        return tuple(PromptCompletion(p, a) for p, a in zip(prompts, answers, strict=True))
    for column in TEXT_COLUMNS:
        if column in columns:
            return _texts(fields[column].tolist(), name)
    strings = [c for c in columns if fields[c].map(lambda v: isinstance(v, str)).any()]
    if len(strings) == 1:
        return _texts(fields[strings[0]].tolist(), name)
    raise ColumnError(
        f"{name} has no column named text (nor prompt and completion, instruction and output, or messages); "
        f"say which one holds the text with --text-column, one of: {listed}.",
        columns,
    )


def instruction_prompt(instruction: str, given: str = "") -> str:
    """The prompt of an instruction record in our plain form; the input section is left out if there is no input."""
    middle = INSTRUCTION_INPUT.format(input=given) if given.strip() else ""
    return INSTRUCTION.format(instruction=instruction) + middle + RESPONSE


def _strings(values: Sequence[Any], name: str) -> list[str]:
    """The cells of a text column as strings: numbers as written, bytes as UTF-8, missing values as empty strings."""
    return [_string(value, name, index) for index, value in enumerate(values)]


def _string(value: Any, name: str, index: int) -> str:
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and np.isnan(value)) or str(value) in ("NaT", "<NA>"):
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CorpusError(f"{name}, record {index:,}: byte {error.start:,} of the text is not UTF-8.") from error
    if isinstance(value, dict | list | tuple | np.ndarray):
        raise CorpusError(f"{name}, record {index:,}: the value is a {type(value).__name__}, not a text; name another column.")
    return str(value)


def _texts(values: Sequence[Any], name: str) -> tuple[Example, ...]:
    return tuple(Text(v) for v in _strings(values, name))


def _pairs(prompts: Sequence[Any], completions: Sequence[Any], name: str) -> tuple[Example, ...]:
    asked, answered = _turn_lists(prompts), _turn_lists(completions)
    if asked and answered:  # conversational prompt + completion
        return _chats([[*p, *c] for p, c in zip(asked, answered, strict=True)], name)
    pairs = zip(_strings(prompts, name), _strings(completions, name), strict=True)
    return tuple(PromptCompletion(p, c) for p, c in pairs)


def _turn_lists(values: Sequence[Any]) -> list[list[Any]] | None:
    """The values as lists of turns if every value is such a list (or its JSON); otherwise None."""
    lists = [_turns(v) for v in values]
    return [v for v in lists if v is not None] if all(v is not None for v in lists) else None


def _turns(value: Any) -> list[Any] | None:
    if isinstance(value, str) and value.lstrip().startswith("["):  # messages stored as text, as in a CSV file
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, list | tuple | np.ndarray):
        return None
    turns = list(value)
    return turns if all(isinstance(t, dict) and isinstance(t.get("role"), str) for t in turns) else None


def _chats(values: Sequence[Any], name: str) -> tuple[Example, ...]:
    chats = []
    for index, value in enumerate(values):
        turns = _turns(value)
        if turns is None:
            raise CorpusError(f"{name}, record {index:,}: messages must be a list of objects with 'role' and 'content'.")
        chats.append(Chat(tuple(Message(t["role"], _content(t.get("content"), name, index)) for t in turns)))
    return tuple(chats)


def _content(value: Any, name: str, index: int) -> str:
    """A turn's text; if the content is a list of parts, the texts of these joined."""
    if isinstance(value, list | np.ndarray) and all(isinstance(part, dict) for part in value):
        return "".join(_string(part.get("text"), name, index) for part in value)
    return _string(value, name, index)
