"""Text for the eye: what a reader cannot see is spelled out, so that nothing hides in a corpus.  Escapes nothing for HTML."""

from __future__ import annotations

import unicodedata

LONGEST_TOKEN = 80


def visible(text: str) -> str:
    """Text for the eye: control, zero-width and direction marks become their code in brackets, long tokens are cut."""
    return _spelled(text if len(text) <= LONGEST_TOKEN else f"{text[:LONGEST_TOKEN]}…({len(text):,} characters)")


def _spelled(text: str) -> str:
    shown = []
    for c in text:
        if c == "\n":
            shown.append("\n")
        elif c == "\t":
            shown.append("    ")
        elif unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            shown.append(f"[U+{ord(c):04X}]")
        else:
            shown.append(c)
    return "".join(shown)


def in_shell(command: str) -> str:
    """A command as `shlex.join` makes it, with what a reader cannot see written as bash's $'\\u202e': it reads and runs alike."""
    return "".join(c if c.isprintable() or c == "\n" else f"'$'\\U{ord(c):08x}''" for c in command)


def visible_text(text: str, longest: int = 1_200) -> str:
    """A whole record for the eye."""
    cut = text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"
    return "\n".join(visible(line) if len(line) <= LONGEST_TOKEN else _spelled(line) for line in cut.split("\n"))
