"""`load_corpus`: a `Corpus` from a path, the embedded demo, two downloaded classics, or the Hugging Face hub.

Detects the shape of the records unless options name the columns, and splits off the held-out part.  Knows no tokenizer.

The classics are public domain: the tiny Shakespeare file (Shakespeare's plays), and *The Adventures of Sherlock Holmes* (Conan
Doyle, 1892) in the copy used for next-word prediction.  pooch does the download, the retries, the caching and the checksum.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pooch

from fishersft import fields as declared
from fishersft import paths
from fishersft.corpus.files import decode, read_table
from fishersft.corpus.records import (
    Chat,
    Corpus,
    Example,
    Message,
    PromptCompletion,
    ReadOptions,
    Text,
    split_by_column,
    split_by_seed,
)
from fishersft.errors import ColumnError, CorpusError, MissingExtra, StoreError, os_reason
from fishersft.paths import home, user_path
from fishersft.text import shortened

TEXT_COLUMNS = ("text", "content", "sentence", "document", "body")
INSTRUCTION = "### Instruction:\n{instruction}\n\n"
INSTRUCTION_INPUT = "### Input:\n{input}\n\n"
RESPONSE = "### Response:\n"
_GITHUB = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class Classic:
    title: str
    url: str
    size: int  # in bytes
    sha256: str


CLASSICS = {
    "shakespeare": Classic(
        title="Tiny Shakespeare: speeches",
        url=f"{_GITHUB}/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
        size=1_115_394,
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
    "sherlock": Classic(
        title="The Adventures of Sherlock Holmes: paragraphs",
        url=f"{_GITHUB}/vramcharan/next-word-predicition-using-lstm-model/d3d4bf56c58a6e45d74a86f79e0e97f422d8ae28"
        "/sherlock-holm.es_stories_plain-text_advs.txt",
        size=610_920,
        sha256="7d2dab7d86b1bd97e545f31c205daeadc96de196205b79053e1ad65316f6edfa",
    ),
}


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
    """Load a corpus; CorpusError says in one sentence what is wrong, where, and what to do.

    Args:
        source: a path (.txt .csv .tsv .jsonl .json .parquet), `demo`, `shakespeare`, `sherlock`, or `hf:owner/name`.
        text_column, prompt_column, completion_column, messages_column: the columns of the example; by default
            they are detected (`messages`; `prompt` + `completion`; `instruction` + `input` + `output`; `text`).
        split_on: for .txt, `line` or `blank-line` (paragraphs).
        holdout: share of records that no selector sees; 0 for none.  A `split` column of the corpus takes precedence.
        skip_bad: skip and count broken lines instead of raising.
        name: the corpus's name; by default the file's name.
    """
    if not isinstance(source, str | Path):
        raise CorpusError(f"A corpus must be named by a path or a word, not by a {type(source).__name__}.")
    source = str(source)
    if not source:
        raise CorpusError("A corpus is a file, 'demo', 'shakespeare', 'sherlock' or 'hf:owner/name', not an empty name.")
    options = ReadOptions(text_column, prompt_column, completion_column, messages_column, split_on, holdout, skip_bad)
    bad_lines = 0
    if source == "demo":
        fields, _ = read_table(paths.asset("demo", "corpus.jsonl"))
    elif source in CLASSICS:
        text = decode(_download(source).read_bytes(), source)
        fields = pd.DataFrame(_speeches(text) if source == "shakespeare" else _paragraphs(text), dtype=object)
    elif source.startswith("hf:"):
        fields = _from_hub(source.removeprefix("hf:"))
    else:
        fields, bad_lines = read_table(user_path(source), split_on=split_on, skip_bad=skip_bad)
    name = name or shortened(Path(source).name if "/" in source and not source.startswith("hf:") else source, 100)
    if not len(fields):
        raise CorpusError(f"{name} contains no records; it needs at least one.")
    fields.columns = [str(c) for c in fields.columns]
    examples = _examples(fields, name, options)
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
        options=tuple((k, "" if v is True else str(v)) for k, v in declared.changed(options).items()),
    )


def _from_hub(dataset_id: str) -> pd.DataFrame:
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
    frames = {str(split): data.to_pandas() for split, data in splits.items()}
    if len(frames) > 1:
        frames = {split: frame if "split" in frame else frame.assign(split=split) for split, frame in frames.items()}
    return pd.concat(frames.values(), ignore_index=True)


def _examples(fields: pd.DataFrame, name: str, options: ReadOptions) -> tuple[Example, ...]:
    columns, text_column, messages_column = list(fields.columns), options.text_column, options.messages_column
    prompt_column, completion_column = options.prompt_column, options.completion_column

    def values(column: str) -> list[Any]:
        if column not in columns:
            raise ColumnError(f"{name} has no column '{column}'; its columns are: {listed}.", columns)
        return list(fields[column].tolist())

    listed = ", ".join(columns[:20]) + (f" and {len(columns) - 20:,} more" if len(columns) > 20 else "") or "none"
    named = [c for c in (text_column, prompt_column, completion_column, messages_column) if c is not None]
    if "" in named:
        raise CorpusError("A column's name cannot be empty.")
    if bool(text_column) + bool(prompt_column or completion_column) + bool(messages_column) > 1:
        raise CorpusError("Name either the text column, or the prompt and completion columns, or the messages column.")
    if bool(prompt_column) != bool(completion_column):
        raise CorpusError("--prompt-column and --completion-column belong together; give both or neither.")
    if not (text_column or messages_column or prompt_column):
        if "messages" in columns:
            messages_column = "messages"
        elif {"prompt", "completion"} <= set(columns):
            prompt_column, completion_column = "prompt", "completion"
        elif {"instruction", "output"} <= set(columns):
            inputs = _strings(values("input"), name) if "input" in columns else [""] * len(fields)
            asked, answers = (_strings(values(c), name) for c in ("instruction", "output"))
            return tuple(map(PromptCompletion, map(instruction_prompt, asked, inputs), answers))
        else:
            strings = [c for c in columns if fields[c].map(lambda v: isinstance(v, str)).any()]
            only = strings[0] if len(strings) == 1 else None
            text_column = next((c for c in TEXT_COLUMNS if c in columns), only)
    if messages_column:
        return _chats(values(messages_column), name)
    if prompt_column and completion_column:
        prompts, completions = values(prompt_column), values(completion_column)
        before, after = [_turns(p) for p in prompts], [_turns(c) for c in completions]
        if None not in before and None not in after:  # conversational prompt + completion
            return _chats([[*(p or ()), *(c or ())] for p, c in zip(before, after, strict=True)], name)
        return tuple(map(PromptCompletion, _strings(prompts, name), _strings(completions, name)))
    if text_column:
        return tuple(map(Text, _strings(values(text_column), name)))
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


def _turns(value: Any) -> list[Any] | None:
    """A value as a list of turns, if it is such a list or JSON text of one; otherwise None."""
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
        messages = []
        for turn in turns:
            parts = turn.get("content")
            if not isinstance(parts, list | np.ndarray) or not all(isinstance(part, dict) for part in parts):
                parts = [{"text": parts}]
            messages.append(Message(turn["role"], "".join(_string(part.get("text"), name, index) for part in parts)))
        chats.append(Chat(tuple(messages)))
    return tuple(chats)


def _download(name: str) -> Path:
    """The classic's file, from the cache or from its public address.

    With `FISHERSFT_MIRROR=https://host` the same path is fetched from that host, for machines behind a firewall.
    """
    classic = CLASSICS[name]
    url, mirror = classic.url, os.environ.get("FISHERSFT_MIRROR")
    if mirror:
        url = mirror.rstrip("/") + urlsplit(classic.url).path
    folder = home() / "downloads"
    pooch.get_logger().setLevel("ERROR")
    try:
        downloader = pooch.HTTPDownloader(timeout=20)
        known = f"sha256:{classic.sha256}"
        return Path(pooch.retrieve(url, known_hash=known, fname=f"{name}.txt", path=folder, downloader=downloader))
    except ValueError as error:  # pooch: the hash does not match
        raise CorpusError(
            f"{url} did not send the expected {name} text ({classic.size:,} bytes, sha256 {classic.sha256[:12]}...); "
            "nothing was saved. Try again later, or load a file of your own."
        ) from error
    except OSError as error:  # requests' errors are OSErrors without an errno
        if error.errno:
            raise StoreError(
                f"{folder} cannot be written ({os_reason(error)}); set FISHERSFT_HOME to a writable folder."
            ) from error
        raise CorpusError(
            f"The {name} text could not be downloaded from {url} (no network?); "
            "use the corpus 'demo', which needs no network, or the path of a text file."
        ) from error


def _speeches(text: str) -> list[dict[str, str]]:
    """The speeches, which blank lines separate; the first line names the speaker, who also becomes a column."""
    found = []
    for block in re.split(r"\n\s*\n", text.strip()):
        first, _, rest = block.partition("\n")
        speaker = first.removesuffix(":") if first.endswith(":") and rest else ""
        found.append({"text": block, "speaker": speaker})
    return found


def _paragraphs(text: str) -> list[dict[str, str]]:
    """The paragraphs of prose, one line each, with their story; without headings, table of contents and the site's note."""
    text = text.split("\n     ----------\n")[0]
    contents = text[: text.index("A SCANDAL IN BOHEMIA")]
    titles = {title.upper(): title for title in re.findall(r"^ {15}(\S.*\S)$", contents, re.MULTILINE)}
    story, found = "", []
    for block in re.split(r"\n\s*\n", text):
        line = " ".join(block.split())
        if line.isupper() and line in titles:
            story = titles[line]
        elif story and re.search(r"[a-z]", line) and re.search(r"[.!?,;:\"'-]$", line):
            found.append({"text": line, "story": story})
    return found
