"""A selection as a folder that `datasets.load_dataset` opens: one parquet file, and a card that states where it came from.

Everything in the card but our own sentences came from a stranger's corpus: it enters YAML through a YAML writer, and Markdown
escaped or inside a fence that it cannot close.  Knows no store and no selector.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import yaml

from fishersft.corpus.files import plain, to_bytes

DATA = "data/train-00000-of-00001.parquet"
LICENCE = "unknown: that of the source corpus"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))


def dataset_folder(table: pd.DataFrame, title: str, facts: Mapping[str, Any], command: str) -> dict[str, bytes]:
    """{name: content} of the folder's files.

    Args:
        table: one row a pick.
        title: one line for people.
        facts: provenance; values that JSON can hold.
        command: the command line that made the picks.
    """
    return {"README.md": card(table, title, facts, command).encode("utf-8", "replace"), DATA: to_bytes(table, "parquet")}


def card(table: pd.DataFrame, title: str, facts: Mapping[str, Any], command: str) -> str:
    """The dataset card: a YAML header that the hub reads, then the same for people."""
    known = {str(k): plain(v) for k, v in facts.items()}
    header = {
        "pretty_name": one_line(title),
        "license": "unknown",
        "size_categories": [next((name for most, name in SIZES if len(table) < most), "n>10M")],
        "tags": ["fishersft", "data-selection"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": DATA}]}],
        "provenance": {**known, "command": command, "licence": LICENCE},
    }
    rows = "\n".join(f"| {markdown(name)} | {markdown(told(value))} |" for name, value in known.items())
    columns = ", ".join(markdown(str(c)) for c in table.columns)
    return (
        f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=False, width=10_000)}---\n\n# {markdown(title)}\n\n"
        f"{len(table):,} records, in the order they were picked. Columns: {columns}. `rank` counts from 1, `index` is the "
        "record's number in the source corpus from 0, `gain` is in nats where the selector has gains, `tokens` are those that "
        "are trained; the others are the record's own.\n\n"
        f"## Where it came from\n\n| | |\n|---|---|\n{rows}\n\n"
        f"Made by:\n\n{fenced(command, 'sh')}\n\n"
        "## Licence\n\nUnknown: it is that of the source corpus. Choosing records changes nothing about who may use them.\n"
    )


def one_line(text: str, longest: int = 120) -> str:
    """Text without line ends and control characters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"


def markdown(text: str, longest: int = 500) -> str:
    """Text that Markdown shows as it is, in one line."""
    escaped = re.sub(r"([\\`*_{}\[\]()<>#+!|~$&])", r"\\\1", one_line(text, longest))
    return escaped.replace("\\<", "&lt;").replace("\\>", "&gt;").replace("://", ":\u2060//")


def fenced(text: str, language: str) -> str:
    """A block of code that its own content cannot close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def told(value: Any) -> str:
    """A fact for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {told(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(told, value)) or "none"
    return "unknown" if value is None else str(value)
