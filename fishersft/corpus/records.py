"""`Corpus`: examples in order, the fields that came with them, and a held-out split.

Knows no file format, no tokenizer and no model.  Everywhere, `index` is a record's number in the corpus as loaded, from 0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fishersft.errors import CorpusError
from fishersft.fields import MOST_SEED, check, declared, parameter, parse
from fishersft.text import is_blank, shortened

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from fishersft.corpus.near_duplicates import Repeats

MAX_TOKENS = 256
SPLITS = ("line", "blank-line")
HEADERS = ("first-line", "none")


@dataclass(frozen=True)
class ReadOptions:
    """The options for reading a corpus: the keywords of `load_corpus`, which checks them against the file."""

    text_column: str | None = parameter(None, "Column that holds the text.", metavar="NAME")
    prompt_column: str | None = parameter(None, "Column of prompts; use it with --completion-column.", metavar="NAME")
    completion_column: str | None = parameter(None, "Column of completions; only these are trained.", metavar="NAME")
    system_column: str | None = parameter(None, "Column of system prompts, which open the chat.", metavar="NAME")
    context_column: str | None = parameter(None, "Column of passages that belong to the prompts.", metavar="NAME")
    messages_column: str | None = parameter(None, "Column of chats; only assistant turns are trained.", metavar="NAME")
    split_on: str = parameter("line", "What ends an example in a .txt file.", label="Examples end at", choices=SPLITS)
    header: str = parameter(
        "first-line",
        "Where the columns' names are in a .csv or .tsv file; with none they are column_1, ...",
        label="Column names",
        choices=HEADERS,
    )
    holdout: float = parameter(
        0.1,
        "Share of records that no selector sees: at least 50 records if there are enough, at most half; 0 for none.",
        label="Held-out share",
    )
    skip_bad: bool = parameter(False, "Skip broken lines and report their number.", label="Skip broken lines")
    drop_near_duplicates: bool = parameter(
        False,
        "Keep one of several near-duplicates in the pool, and none that has one among the held-out records.",
        label="Drop near-duplicates",
    )
    no_chat: bool = parameter(False, "Write prompts and chats plainly, not by the model's chat template.", label="Plain form")

    def __post_init__(self) -> None:
        if not isinstance(self.holdout, int | float) or not 0 <= self.holdout < 1:
            raise CorpusError(f"--holdout must be at least 0 and below 1 and was {self.holdout}; 0.1 holds out a tenth.")
        check(self)

    @staticmethod
    def of_texts(given: Iterable[Sequence[str]]) -> dict[str, Any]:
        """The keywords of `load_corpus` from options by name with their texts, where the text of a switch is empty."""
        return {name: parse(ReadOptions, name, text or "true") for name, text in given}

    @property
    def columns(self) -> dict[str, str]:
        """The columns that were named, by what they are taken as: {"prompt": "question"}."""
        given = {name.removesuffix("_column"): getattr(self, name) for name in COLUMN_OPTIONS}
        return {role: column for role, column in given.items() if column is not None}


COLUMN_OPTIONS = tuple(name for name in declared(ReadOptions) if name.endswith("_column"))


@dataclass(frozen=True)
class TargetOptions:
    """What the model should get good at: keywords of `load_pool`."""

    target: str | None = parameter(
        None,
        "Texts that the model should get good at: a file, COLUMN=VALUE or records=3-9,12. Half of them choose, the other half "
        "only measures; none of them can be picked.",
        metavar="FILE|COLUMN=VALUE",
    )
    target_seed: int = parameter(0, "Which half of the target chooses.", least=0, most=MOST_SEED)


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
    plain: bool = False  # read as plain text even by a model with a chat template
    choices: tuple[str, ...] = ()  # of a multiple-choice question, the completion among them; never trained

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
        more = {
            "reasoning_content": self.reasoning,
            "tool_calls": list(self.tool_calls),
            "name": self.name,
            "tool_call_id": self.call_id,
        }
        out: dict[str, Any] = {"role": self.role, "content": self.content, **{k: v for k, v in more.items() if v}}
        return out if self.trained else {**out, "weight": 0}

    def says_something(self) -> bool:
        return bool(self.tool_calls) or not (is_blank(self.content) and is_blank(self.reasoning))

    def display(self) -> str:
        calls = [f"[calls {json.dumps(c.get('function', c), ensure_ascii=False)}]" for c in self.tool_calls]
        thought = [f"[thinks] {self.reasoning}"] if self.reasoning else []
        return "\n".join([*thought, *([self.content] if self.content or not calls else []), *calls])


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation: only the assistant's turns are trained."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()  # the schemas of the tools that the assistant may call, for the chat template
    plain: bool = False  # read as plain text even by a model with a chat template

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
        case Chat(messages, tools, _):
            return {"messages": [m.as_json() for m in messages], **({"tools": list(tools)} if tools else {})}


def example_of(content: Mapping[str, Any], *, plain: bool = False) -> Example:
    """The example that `trained` wrote so."""
    if "text" in content:
        return Text(content["text"])
    if "prompt" in content:
        return PromptCompletion(content["prompt"], content["completion"], plain=plain)
    turns = []
    for t in content["messages"]:
        calls, weight = tuple(t.get("tool_calls", ())), t.get("weight", 1)
        more = calls, weight != 0, t.get("name", ""), t.get("tool_call_id", "")
        turns.append(Message(t["role"], t["content"], t.get("reasoning_content", ""), *more))
    return Chat(tuple(turns), tuple(content.get("tools", ())), plain)


def canonical(example: Example) -> str:
    """One line of JSON, equal for two examples exactly if they train the same tokens from the same context (and choices)."""
    content = trained(example)
    if isinstance(example, Chat):  # a turn of words alone stays the pair that it was before turns had more
        extras = [{k: v for k, v in turn.items() if k not in ("role", "content")} for turn in content["messages"]]
        content["messages"] = [[m.role, m.content, *([e] if e else [])] for m, e in zip(example.messages, extras, strict=True)]
    content |= {name: value for name in ("plain", "choices") if (value := getattr(example, name, None))}
    # encoded with surrogatepass below, since JSON may contain lone surrogates, which strict UTF-8 refuses
    return json.dumps(content, ensure_ascii=False, sort_keys=True)


def compared(example: Example) -> str:
    """What near-duplicates are told by: the prompt and the answer, without the system prompt that many records may share."""
    match example:
        case PromptCompletion(prompt, completion, asked):
            return f"{asked or prompt}\n{completion}"
        case Chat(messages):
            return "\n".join(m.display() for m in messages if m.role != "system")
    return example.text


@dataclass(frozen=True)
class Understood:
    """How the records of a file were read: what is said before anything is computed from them."""

    shape: str = "plain texts"
    columns: tuple[tuple[str, str], ...] = ()  # what a column is taken as, and its name
    unused: tuple[str, ...] = ()  # columns that matter and are not used: each one's name and why it matters
    notes: tuple[str, ...] = ()  # what else a reader should know, in a few words each

    @property
    def sentence(self) -> str:
        """All of it in words, such as "Read as questions and answers (prompt: question, completion: answer)."."""
        taken = ", ".join(f"{role}: {shortened(column, 60)}" for role, column in self.columns)
        said = [f"Read as {self.shape}{f' ({taken})' if taken else ''}."]
        if self.unused:
            said.append(f"Not used: {'; '.join(self.unused)}.")
        return " ".join([*said, *(f"{note[:1].upper()}{note[1:]}." for note in self.notes)])

    def as_json(self) -> dict[str, Any]:
        return {"shape": self.shape, "columns": dict(self.columns), "unused": list(self.unused), "notes": list(self.notes)}


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
    understood: Understood = Understood()
    groups: np.ndarray | None = None  # (N,) of near-duplicates, where they are known already; see `repeats`
    typed: pa.Table | None = None  # `fields` with the types that their file gives them, for exports
    dropped: np.ndarray | None = None  # (N,) bool: near-duplicates that are left out of the pool

    def __post_init__(self) -> None:
        n = len(self.examples)
        if n == 0:
            raise CorpusError(f"{self.name} contains no records; it needs at least one line of text.")
        if len(self.fields) != n or self.held_out.shape != (n,) or self.held_out.dtype != bool:
            raise ValueError("examples, fields and held_out must have one entry per record")
        if not len(self.pool_index):
            also = "" if self.dropped is None else " or a near-duplicate of one that is"
            raise CorpusError(f"{self.name}: every record is held out{also}, so there is nothing to select from.")

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def shape(self) -> str:
        """`text`, `prompt` or `chat`."""
        return {Text: "text", PromptCompletion: "prompt", Chat: "chat"}[type(self.examples[0])]

    @cached_property
    def pool_index(self) -> np.ndarray:
        """The indices that a selector may see, ascending."""
        return np.flatnonzero(~self.held_out if self.dropped is None else ~(self.held_out | self.dropped))

    @cached_property
    def repeats(self) -> Repeats:
        """The near-duplicates among the records; finding them takes about 2 s for 20,000 texts."""
        from fishersft.corpus.near_duplicates import Repeats, kept_groups  # loads scipy

        groups = kept_groups(list(map(compared, self.examples))) if self.groups is None else self.groups
        return Repeats(groups, self.held_out, self.pool_index)

    @property
    def fingerprint(self) -> str:
        """sha256 of every example and of the split, without the metadata columns."""
        return self._identity[0]

    @property
    def duplicates(self) -> int:
        """The number of records that repeat an earlier one exactly."""
        return self._identity[1]

    @cached_property
    def _identity(self) -> tuple[str, int]:
        """The fingerprint and the number of duplicates, which the examples are written out for once."""
        h, seen = hashlib.sha256(), set()
        for example, out in zip(self.examples, self.held_out, strict=True):
            line = canonical(example).encode("utf-8", "surrogatepass")
            h.update(line)
            h.update(b"\x01\n" if out else b"\x00\n")
            seen.add(line)
        if self.dropped is not None:
            h.update(np.flatnonzero(self.dropped).tobytes())
        return h.hexdigest(), len(self) - len(seen)

    def text(self, index: int) -> str:
        """Record `index` as a person reads it."""
        return self.examples[index].display()

    @cached_property
    def texts(self) -> list[str]:
        return [e.display() for e in self.examples]

    def column(self, name: str) -> tuple[list[str], np.ndarray]:
        """The values of a column as text, sorted, and (N,) which of them each record has; made once."""
        if name not in self._columns:
            import pandas as pd

            codes, values = pd.factorize(self.fields[name].map(str), sort=True)
            self._columns[name] = list(values), codes
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, tuple[list[str], np.ndarray]]:
        return {}

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


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: None, NaN, pandas' own marks, blank text or an empty list."""
    if isinstance(value, dict | list | tuple | np.ndarray):
        return len(value) == 0
    return not value.strip() if isinstance(value, str) else str(value) in ("None", "nan", "NaT", "<NA>")
