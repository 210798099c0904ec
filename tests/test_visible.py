"""What a reader cannot see is spelled out, and a command that is spelled out does the same."""

import shlex
import subprocess

import pytest

from fishersft.text import in_shell, in_terminal


@pytest.mark.parametrize(
    "word", ["plain", "it's", "\u202eturned", "a\u200bb'\ufeff", "\U000e0041", "\x07\t", "two\nlines", "$x `y`"]
)
def test_a_command_shows_every_mark_and_bash_reads_what_was_meant(word):
    shown = in_shell(shlex.join(["printf", "%s", word]))
    assert all(c.isprintable() or c == "\n" for c in shown)
    done = subprocess.run(["bash", "-c", shown], capture_output=True, env={"LC_ALL": "C.UTF-8"}, check=True)
    assert done.stdout.decode() == word


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Read as texts (text: a\rfishersft: all is well)\n", "Read as texts (text: a[U+000D]fishersft: all is well)\n"),
        ("a\b\b\x1b[2J\u202e\n", "a[U+0008][U+0008][U+001B][2J[U+202E]\n"),
        ("\r 10% of a bar", "\r 10% of a bar"),
        ("one\r\ntwo\r\n", "one\r\ntwo\r\n"),
        ("می\u200cخواهم 👩\u200d🔬", "می\u200cخواهم 👩\u200d🔬"),
    ],
)
def test_what_a_terminal_is_sent_writes_nothing_over_what_stands_there(text, shown):
    assert in_terminal(text) == shown
