"""`Process`: a process that can be told from a later one with the same number, and ways to end it.

    who = (machine, pid, when it started)

On Linux and macOS the system tells when a process started, so "is it still there" has a sure answer.  Elsewhere, and for a
process of another machine or container on the same store, the answer is None and the caller looks at a heartbeat instead.
Knows no job.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process; `born` is "" where the system does not tell."""

    pid: int
    born: str
    machine: str

    @classmethod
    def of(cls, pid: int) -> Process:
        return cls(pid, _born(pid), this_machine())

    @classmethod
    def read(cls, text: str | None) -> Process | None:
        """The one that `written` names."""
        if not text:
            return None
        pid, born, machine = json.loads(text)
        return cls(int(pid), str(born), str(machine))

    @property
    def written(self) -> str:
        return json.dumps([self.pid, self.born, self.machine])

    @property
    def alive(self) -> bool | None:
        """Whether it still runs; None where that cannot be known from here.  A zombie has ended."""
        if self.machine != this_machine() or not _tells_births():
            return None
        return bool(self.born) and _born(self.pid) == self.born

    def signal(self, number: int) -> None:
        """Send a signal to it and, where it leads one, to its process group; nothing where it is not known to be alive."""
        if not self.alive:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)


@functools.cache
def this_machine() -> str:
    """What two processes share when one can ask the system about the other: this boot and this space of process numbers."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def end_leftovers(environment: dict[str, str]) -> int:
    """Kill what a dead process left running: every process of ours whose environment holds these; returns how many.

    A child outlives its parent's `kill -9`, and would keep the accelerator's memory and write into the same files.  Only where
    /proc tells a process' environment (Linux); elsewhere 0.
    """
    wanted = {f"{name}={value}".encode() for name, value in environment.items()}
    ended = 0
    for folder in PROC.glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile, or is not ours
            if wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                os.kill(int(folder.name), signal.SIGKILL)
                ended += 1
    return ended


def _tells_births() -> bool:
    return PROC.joinpath("self/stat").exists() or sys.platform == "darwin"


def _born(pid: int) -> str:
    """When a process started, as the system writes it; "" where there is none, or only what is left for its parent to read."""
    if PROC.joinpath("self/stat").exists():
        try:
            text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        fields = text[text.rindex(")") + 2 :].split()  # the name before may hold spaces and parentheses
        return "" if fields[0] in "ZX" else fields[19]
    if sys.platform == "darwin":
        command = ["ps", "-p", str(pid), "-o", "stat=,lstart="]
        with contextlib.suppress(OSError):
            found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False)
            state, _, born = found.stdout.strip().partition(" ")
            return "" if state.startswith("Z") else born.strip()
    return ""
