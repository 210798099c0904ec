"""What a reader cannot see is spelled out, and a command that is spelled out does the same."""

import shlex
import subprocess

import pytest

from fishersft.text import in_shell


@pytest.mark.parametrize(
    "word", ["plain", "it's", "\u202eturned", "a\u200bb'\ufeff", "\U000e0041", "\x07\t", "two\nlines", "$x `y`"]
)
def test_a_command_shows_every_mark_and_bash_reads_what_was_meant(word):
    shown = in_shell(shlex.join(["printf", "%s", word]))
    assert all(c.isprintable() or c == "\n" for c in shown)
    done = subprocess.run(["bash", "-c", shown], capture_output=True, env={"LC_ALL": "C.UTF-8"}, check=True)
    assert done.stdout.decode() == word
