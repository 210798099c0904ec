"""A report as one HTML page that opens without a server: parts made of texts, tables, figures, code and texts side by side.

Everything on it is escaped by the template engine; what cannot be seen is spelled out first.  plotly.js is inlined once, and
the page's own content policy forbids every request and every script but its two, so nothing in it can reach out.  Figures
follow the reader's light or dark, and are light on paper.  Knows no run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader

from fishersft.export.provenance import told
from fishersft.plots import go
from fishersft.plots.base import script
from fishersft.text import visible_text


@dataclass(frozen=True)
class Paragraph:
    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """Rows of words and numbers as they are to be read."""

    caption: str  # what the rows are, with units and intervals
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wide: tuple[int, ...] = ()  # columns of running text, by their number; the others are kept in one line
    kind: str = "table"


@dataclass(frozen=True)
class Figure:
    """A figure in both themes, as plotly's JSON, with what it says to those who do not see it."""

    light: dict[str, Any]
    dark: dict[str, Any]
    alt: str
    caption: str
    name: str
    kind: str = "figure"

    @classmethod
    def of(cls, draw: Callable[..., go.Figure], name: str, alt: str, caption: str) -> Figure:
        """`draw(dark=...)` makes it; `name` is what its pictures are called."""
        light, dark = (json.loads(str(draw(dark=theme).to_json())) for theme in (False, True))
        return cls(light, dark, alt, caption, name)


@dataclass(frozen=True)
class Code:
    label: str
    code: str
    kind: str = "code"


@dataclass(frozen=True)
class SideBySide:
    prompt: str
    texts: tuple[tuple[str, str], ...]
    kind: str = "side"


Block = Paragraph | Table | Figure | Code | SideBySide


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    title: str
    run: str  # the id of what it is about
    summary: str  # one or two sentences under the title
    parts: tuple[Section, ...]

    def html(self) -> str:
        """The whole page as one text."""
        own = {name: files("fishersft.export").joinpath(name).read_text(encoding="utf-8") for name in ("page.js", "page.css")}
        scripts = [_script(script()), _script(own["page.js"])]
        digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
        loader = PackageLoader("fishersft.export", ".")
        environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
        environment.filters["seen"] = lambda text: visible_text(str(text), 20_000)
        template = environment.get_template("page.html")
        return template.render(page=self, scripts=scripts, hashes=[f"sha256-{d}" for d in digests], style=own["page.css"])


def table_of(caption: str, facts: Sequence[tuple[str, Any]]) -> Table:
    """What was asked, a row a fact; those that are None are left out."""
    rows = tuple((name, told(value)) for name, value in facts if value is not None)
    return Table(caption, ("", ""), rows, wide=(1,))


def _script(text: str) -> str:
    """A script that may stand in a page: one kind of line end, as its digest is taken, and no end tag inside."""
    clean = text.replace("\r\n", "\n").replace("\r", "\n")
    if "</script" in clean.lower() or "<!--" in clean:
        clean = clean.replace("<!--", "\\x3c!--").replace("</script", "<\\/script").replace("</SCRIPT", "<\\/SCRIPT")
    return clean
