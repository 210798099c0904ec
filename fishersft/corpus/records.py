"""`Corpus`: examples in order, the fields that came with them, and a held-out split.

Knows no file format, no tokenizer and no model.  Everywhere, `index` is a record's number in the corpus as loaded, from 0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fishersft.errors import CorpusError
from fishersft.fields import parameter

if TYPE_CHECKING:
    import pandas as pd

HELD_OUT_NAMES = frozenset({"test", "validation", "valid", "val", "dev", "eval", "heldout", "held-out", "held_out"})
TRAIN_NAMES = frozenset({"train", "training", "pool"})
HELD_OUT_SEED = 0
LEAST_HELD_OUT = 50
MAX_TOKENS = 256
SPLITS = ("line", "blank-line")


@dataclass(frozen=True)
class ReadOptions:
    """The options for reading a corpus: the keywords of `load_corpus`, which checks them against the file."""

    text_column: str | None = parameter(None, "Column that holds the text.", metavar="NAME")
    prompt_column: str | None = parameter(None, "Column of prompts; use it with --completion-column.", metavar="NAME")
    completion_column: str | None = parameter(None, "Column of completions; only these are trained.", metavar="NAME")
    messages_column: str | None = parameter(None, "Column of chats; only assistant turns are trained.", metavar="NAME")
    split_on: str = parameter("line", "What ends an example in a .txt file.", choices=SPLITS)
    holdout: float = parameter(
        0.1, "Share of records that no selector sees: at least 50 records if there are enough, at most half; 0 for none."
    )
    skip_bad: bool = parameter(False, "Skip broken lines and report their number.")


@dataclass(frozen=True)
class TargetOptions:
    """What the model should get good at: keywords of `load_pool`."""

    target: str | None = parameter(
        None,
        "Texts that the model should get good at: a file, COLUMN=VALUE or records=3-9,12. Half of them choose, the other half "
        "only measures; none of them can be picked.",
        metavar="FILE|COLUMN=VALUE",
    )
    target_seed: int = parameter(0, "Which half of the target chooses.", least=0)


@dataclass(frozen=True, slots=True)
class Text:
    """A plain text: every token is trained."""

    text: str

    def display(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class PromptCompletion:
    """A prompt and its completion: only the completion is trained."""

    prompt: str
    completion: str
    asked: str = ""  # the question without our "### Instruction" marks, for models with a chat template; "" means `prompt`

    def display(self) -> str:
        gap = "" if self.prompt.endswith(("\n", " ")) or self.completion.startswith(("\n", " ")) else " "
        return f"{self.prompt}{gap}{self.completion}"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str  # "system", "user", "assistant", "tool", or another name, which trains nothing
    content: str
    reasoning: str = ""  # what the assistant thought before it answered
    tool_calls: tuple[dict[str, Any], ...] = ()  # {"type": "function", "function": {"name": ..., "arguments": {...}}}
    trained: bool = True  # False for an answer of weight 0: the model reads it and does not learn it
    name: str = ""  # of the tool whose result this is
    call_id: str = ""  # the `id` of the call that this result answers

    def as_json(self) -> dict[str, Any]:
        """The message as chat templates and trainers take it; fields that it does not use are left out."""
        out: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.reasoning:
            out["reasoning_content"] = self.reasoning
        if self.tool_calls:
            out["tool_calls"] = list(self.tool_calls)
        if self.name:
            out["name"] = self.name
        if self.call_id:
            out["tool_call_id"] = self.call_id
        return out if self.trained else {**out, "weight": 0}

    def display(self) -> str:
        calls = [f"[calls {json.dumps(c.get('function', c), ensure_ascii=False)}]" for c in self.tool_calls]
        thought = [f"[thinks] {self.reasoning}"] if self.reasoning else []
        return "\n".join([*thought, *([self.content] if self.content or not calls else []), *calls])


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation: only the assistant's turns are trained."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()  # the schemas of the tools that the assistant may call, for the chat template

    def display(self) -> str:
        return "\n".join(f"{m.role}: {m.display()}" for m in self.messages)


Example = Text | PromptCompletion | Chat


def trained(example: Example) -> dict[str, Any]:
    """An example in the form that trainers expect: {"text"}, {"prompt", "completion"} or {"messages": [{"role", "content"}]}."""
    match example:
        case Text(text):
            return {"text": text}
        case PromptCompletion(prompt, completion):
            return {"prompt": prompt, "completion": completion}
        case Chat(messages, tools):
            return {"messages": [m.as_json() for m in messages], **({"tools": list(tools)} if tools else {})}


def canonical(example: Example) -> str:
    """One line of JSON, equal for two examples exactly if they train the same tokens from the same context."""
    content = trained(example)
    if isinstance(example, Chat):  # a turn of words alone stays the pair that it was before turns had more
        extras = [{k: v for k, v in turn.items() if k not in ("role", "content")} for turn in content["messages"]]
        content["messages"] = [[m.role, m.content, *([e] if e else [])] for m, e in zip(example.messages, extras, strict=True)]
    # encoded with surrogatepass below, since JSON may contain lone surrogates, which strict UTF-8 refuses
    return json.dumps(content, ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True)
class Corpus:
    """Records, in the order in which they were loaded."""

    name: str  # for people: a file name, `demo`, `hf:owner/name`
    source: str  # the command-line argument that loads it again
    examples: tuple[Example, ...]  # N examples, all of one shape
    fields: pd.DataFrame  # N rows with every column of the file as loaded
    held_out: np.ndarray  # (N,) bool: no selector may see the record
    bad_lines: int = 0  # the number of broken lines that `skip_bad` skipped
    options: tuple[tuple[str, str], ...] = ()  # the command-line options, besides `source`, that load it again

    def __post_init__(self) -> None:
        n = len(self.examples)
        if n == 0:
            raise CorpusError(f"{self.name} contains no records; it needs at least one line of text.")
        if len(self.fields) != n or self.held_out.shape != (n,) or self.held_out.dtype != bool:
            raise ValueError("examples, fields and held_out must have one entry per record")
        if self.held_out.all():
            raise CorpusError(f"{self.name}: every record is held out, so there is nothing to select from.")

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def shape(self) -> str:
        """`text`, `prompt` or `chat`."""
        return {Text: "text", PromptCompletion: "prompt", Chat: "chat"}[type(self.examples[0])]

    @cached_property
    def pool_index(self) -> np.ndarray:
        """The indices that a selector may see, ascending."""
        return np.flatnonzero(~self.held_out)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of every example and of the split, without the metadata columns."""
        h = hashlib.sha256()
        for example, out in zip(self.examples, self.held_out, strict=True):
            h.update(canonical(example).encode("utf-8", "surrogatepass"))
            h.update(b"\x01\n" if out else b"\x00\n")
        return h.hexdigest()

    @cached_property
    def duplicates(self) -> int:
        """The number of records that repeat an earlier one exactly."""
        return len(self) - len({canonical(e) for e in self.examples})

    def text(self, index: int) -> str:
        """Record `index` as a person reads it."""
        return self.examples[index].display()

    @cached_property
    def texts(self) -> list[str]:
        return [e.display() for e in self.examples]

    @cached_property
    def category_fingerprint(self) -> str:
        """Identifies the first column of `categories` and its values, which `fingerprint` ignores; "" if there is none."""
        if not self.categories:
            return ""
        values = "|".join(self.fields[self.categories[0]].map(str))
        return f"{self.categories[0]} {hashlib.sha256(values.encode('utf-8', 'replace')).hexdigest()}"

    @cached_property
    def categories(self) -> list[str]:
        """Columns to colour and count by: at least half filled, with 2 to 40 distinct short values; topics first."""
        found = []
        for name in self.fields.columns:
            values = self.fields[name].dropna()
            discrete = values.map(lambda v: isinstance(v, str | bool | int | np.integer)).all()
            if len(values) < max(2, len(self) / 2) or not discrete:
                continue
            distinct = values.map(str).unique()
            if 2 <= len(distinct) <= min(40, max(2, len(self) // 3)) and max(map(len, distinct)) <= 40:
                found.append(str(name))
        first = ("topic", "language", "lang", "category", "source", "domain", "label")
        return sorted(found, key=lambda c: first.index(c.lower()) if c.lower() in first else len(first))

    @cached_property
    def colourable(self) -> list[str]:
        """Every column of numbers or short texts, `categories` first; the columns of the examples themselves are too long."""
        found = list(self.categories)
        for name in map(str, self.fields.columns):
            values = self.fields[name].dropna()
            short = values.map(lambda v: isinstance(v, int | float | np.number) or (isinstance(v, str) and len(v) <= 60)).all()
            if name not in found and len(values) and short and values.map(str).nunique() > 1:
                found.append(name)
        return found


def split_by_seed(n: int, holdout: float) -> np.ndarray:
    """(n,) bool: `holdout` of the records, at least 50 if there are enough, never more than half."""
    if not isinstance(holdout, int | float) or not 0 <= holdout < 1:
        raise CorpusError(f"--holdout must be at least 0 and below 1 and was {holdout}; 0.1 holds out a tenth.")
    held = np.zeros(n, dtype=bool)
    if holdout > 0 and n > 1:
        count = min(max(round(holdout * n), LEAST_HELD_OUT), n // 2)
        held[np.random.default_rng(HELD_OUT_SEED).choice(n, count, replace=False)] = True
    return held


def split_by_column(values: Sequence[Any]) -> np.ndarray | None:
    """(n,) bool from a column of split names, or None if the values are not names of splits."""
    names = [str(v).strip().lower() for v in values]
    if not set(names) <= HELD_OUT_NAMES | TRAIN_NAMES:
        return None
    return np.array([name in HELD_OUT_NAMES for name in names])
