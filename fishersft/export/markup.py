"""A stranger's words in YAML and Markdown: through a YAML writer, escaped, or inside a fence that they cannot close."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml


def yaml_text(content: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=False, width=10_000))


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
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`+", text))])
    return f"{fence}{language}\n{text}\n{fence}"
