"""Makes texts readable: spells out invisible characters, and marks where two texts differ.

    left, right = compared("a storm is coming", "a storm was coming")
    [s.text for s in left if s.differs]                     # ["is"]

The comparison is the longest common subsequence of words (difflib); joined, the spans give the text back to the character,
and spaces never differ by themselves.  Knows no screen and escapes nothing for HTML.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any

LONGEST_TOKEN = 80
UNDECIDED = "not clearly different from"  # what is said of a difference whose interval holds none


def encodable(text: str) -> str:
    """A text with lone surrogates, which JSON may contain and UTF-8 cannot encode, replaced by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def all_encodable(value: Any) -> Any:
    """The same for every text in a value as JSON has them."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list):
        return [all_encodable(v) for v in value]
    return {encodable(k): all_encodable(v) for k, v in value.items()} if isinstance(value, dict) else value


UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # letters and marks that have no ink


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: white space, control characters and zero-width marks only."""
    return all(c.isspace() or c in UNSEEN or unicodedata.category(c) in ("Cc", "Cf") for c in text)


def counted(n: int, noun: str) -> str:
    """So many of something: 1 row, 2,000 rows."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def shortened(name: object, longest: int = 200) -> str:
    """A name cut to a length that fits a message."""
    text = str(name)
    return text if len(text) <= longest else f"{text[:longest]}..."


def visible(text: str) -> str:
    """Makes invisible characters visible: control, zero-width and direction marks become their code; long tokens are cut."""
    return _spelled(text if len(text) <= LONGEST_TOKEN else f"{text[:LONGEST_TOKEN]}…({len(text):,} characters)")


def _spelled(text: str) -> str:
    hidden = {c for c in set(text) - {"\n", "\t"} if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")}
    return text.translate({ord("\t"): "    ", **{ord(c): f"[U+{ord(c):04X}]" for c in hidden}})


def in_shell(command: str) -> str:
    """A command as `shlex.join` makes it, with invisible characters written as bash's $'\\u202e', so that it runs as it reads."""
    return "".join(c if c.isprintable() or c == "\n" else f"'$'\\U{ord(c):08x}''" for c in command)


def in_terminal(text: str) -> str:
    """A text that steers no terminal: what is neither shown nor ends a line, nor joins letters, becomes its code.

    Only a text's first character may go back to the start of the line, as every drawing of a progress bar does; further on, the
    rest would be written over what stands before it.
    """
    if text.isprintable():
        return text
    clean = re.sub(r"(?<=.)\r(?!\n)", "[U+000D]", text, flags=re.DOTALL)
    return "".join(c if c.isprintable() or c in "\n\r\t\u200c\u200d" else f"[U+{ord(c):04X}]" for c in clean)


def visible_text(text: str, longest: int = 1_200) -> str:
    """A whole record with its invisible characters made visible."""
    cut = text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"
    return "\n".join(visible(line) if len(line) <= LONGEST_TOKEN else _spelled(line) for line in cut.split("\n"))


def duration(seconds: float | None) -> str:
    """A time span in words: 12 s, 3 min, 1.5 h; a dash if it is unknown."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


_OPENS = re.compile(r"[\\`\[|]|<(?=[A-Za-z/!?])")


def in_markdown(text: str) -> str:
    """A line of Markdown that is also read as it stands, with a stranger's names in it: they begin no link, picture, HTML, code
    or cell, and steer no terminal."""
    return _OPENS.sub(r"\\\g<0>", "".join(c for c in " ".join(text.split()) if c.isprintable()))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: str = "---") -> str:
    """A table in Markdown, of cells that may hold a stranger's names; `numbers` is the rule under every column but the first, as
    "---:"."""
    lines = [map(in_markdown, head), ["---", *[numbers] * (len(head) - 1)], *(map(in_markdown, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def moment(when: float | datetime) -> str:
    """A point in time, given in seconds since the epoch or as a datetime, to the minute in local time."""
    return f"{when if isinstance(when, datetime) else datetime.fromtimestamp(when):%Y-%m-%d %H:%M}"


PIECES = re.compile(r"\w+(?:['’-]\w+)*|\s+|[^\w\s]")
MOST = 3_000  # words of a text that are compared; the rest is shown unmarked
MOST_PAIRS = 100_000  # of equal words in two texts, beyond which no more is compared: the comparison's time grows with them


@dataclass(frozen=True)
class Span:
    """A piece of a text, and whether the other text lacks it."""

    text: str
    differs: bool


def compared(one: str, other: str) -> tuple[list[Span], list[Span]]:
    """The spans of both texts; neighbouring pieces that are alike form one span."""
    left, right = PIECES.findall(one), PIECES.findall(other)
    a, b = (_words(pieces) for pieces in (left, right))
    mine, theirs = [left[i] for i in a], [right[j] for j in b]
    most = _comparable(mine, theirs)
    a, b = a[:most], b[:most]
    matcher = SequenceMatcher(None, mine[:most], theirs[:most], autojunk=False)
    blocks = matcher.get_matching_blocks()
    same_left = {k for block in blocks for k in a[block.a : block.a + block.size]}
    same_right = {k for block in blocks for k in b[block.b : block.b + block.size]}
    return _spans(left, set(a) - same_left), _spans(right, set(b) - same_right)


def share_alike(one: str, other: str) -> float:
    """The share of words of both texts that the other has too, in order; 1 for two texts without words."""
    left, right = compared(one, other)
    every = [(sum(not piece.isspace() for piece in PIECES.findall(s.text)), s.differs) for s in (*left, *right)]
    words = sum(n for n, _ in every)
    return 1.0 if not words else sum(n for n, differs in every if not differs) / words


def _words(pieces: Sequence[str]) -> list[int]:
    """The positions of the pieces that are compared."""
    return [k for k, piece in enumerate(pieces) if not piece.isspace()][:MOST]


def _comparable(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words of both make at most MOST_PAIRS pairs of equal ones; a text that repeats itself makes many."""
    pairs, here, there = 0, Counter[str](), Counter[str]()
    for most, (mine, theirs) in enumerate(itertools.zip_longest(one, other, fillvalue="")):
        pairs += there[mine]
        here[mine] += 1
        pairs += here[theirs]
        there[theirs] += 1
        if pairs > MOST_PAIRS:
            return most
    return MOST


def _spans(pieces: Sequence[str], marked: set[int]) -> list[Span]:
    """Spaces between two marked words are marked with them, so that a changed passage is one span."""
    differs = [k in marked or (piece.isspace() and k - 1 in marked and k + 1 in marked) for k, piece in enumerate(pieces)]
    groups = itertools.groupby(zip(differs, pieces, strict=True), key=lambda pair: pair[0])
    return [Span("".join(piece for _, piece in group), changed) for changed, group in groups]
