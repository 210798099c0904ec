"""One input in a process of its own: what came of it, how much processor time it took, and how much memory.

The process is a fork, so that imports are paid for once; its peak memory is counted from the fork on (Linux).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fishersft.errors import UserError

ACCEPTED, REFUSED, FAULT = "accepted", "refused", "traceback"
HANGS = 300.0  # seconds after which an input is given up
SECONDS, MEGABYTES = 2.0, 500.0  # that no input may take more of


@dataclass(frozen=True)
class Outcome:
    """What came of an input; `said` is the refusal, or the end of a traceback."""

    kind: str
    said: str
    seconds: float
    megabytes: float


def trial(attack: Callable[[Path], str | None]) -> Outcome:
    """Run an attack in an empty folder, with a store of its own there.

    It gives the sentence of a refusal, or None where the input was accepted; a UserError is a refusal as well, and whatever else it
    raises is a fault.  So is a refusal that is no sentence.
    """
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    theirs, ours = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(theirs)
        try:
            os.write(ours, json.dumps(_inside(attack, folder)).encode())
        finally:
            os._exit(0)
    os.close(ours)
    try:
        there, _, _ = select.select([theirs], [], [], HANGS)
        if not there:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        answer = os.read(theirs, 1 << 16) if there else b""
    finally:
        os.close(theirs)
        shutil.rmtree(folder, ignore_errors=True)
    if not answer:
        return Outcome(FAULT, f"gave no answer in {HANGS:.0f} s" if not there else f"ended with status {status}", HANGS, 0.0)
    return Outcome(**json.loads(answer))


def _inside(attack: Callable[[Path], str | None], folder: Path) -> dict[str, object]:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before, started = _memory("VmRSS"), _seconds()
    os.environ["FISHERSFT_HOME"] = str(folder / "home")
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    kind, said = ACCEPTED, ""
    try:
        sentence = attack(folder)
        if sentence is not None:
            kind, said = REFUSED, sentence
    except UserError as error:
        kind, said = REFUSED, str(error)
    except BaseException:
        kind, said = FAULT, traceback.format_exc()[-1_500:]
    if kind == REFUSED and not is_sentence(said):
        kind = FAULT
    return {
        "kind": kind,
        "said": said[-1_500:],
        "seconds": _seconds() - started,
        "megabytes": max(0.0, _memory("VmHWM") - before) / 1_000,
    }


def is_sentence(said: str) -> bool:
    """Whether a refusal is what a person can read: on one line, not endless, and nothing of Python's own."""
    return 10 < len(said) < 2_000 and "\n" not in said.strip() and "Traceback" not in said


def _seconds() -> float:
    return sum(resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime for who in (resource.RUSAGE_SELF,))


def _memory(what: str) -> float:
    """Kilobytes, as the kernel counts them; 0 where it does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return float(line.split()[1])
    return 0.0


def command(*words: object) -> str | None:
    """`fishersft WORDS` in this process: None where it did what was asked, else its sentence; what is neither is a fault."""
    from fishersft import cli

    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["fishersft", *map(str, words)]
    status: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as end:
            status = end.code or 0
    if status == 0:
        return None
    lines = [line for line in err.getvalue().replace("\r", "\n").splitlines() if line.strip()]
    if status != 2 or "Traceback" in err.getvalue():
        raise AssertionError(f"status {status}: {err.getvalue()[-1_200:]}")
    return lines[-1] if lines else ""
