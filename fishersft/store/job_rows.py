"""`Job`, and `JobRows`: the rows of jobs in `jobs.sqlite`, and every change of state that there is.

    queued -> running -> done | failed | cancelled | lost          failed | cancelled | lost -> queued (resume)

Each change is one transaction that names the state it starts from and the attempt it belongs to.  So two processes never both
make it, and one that was resumed away, or comes too late, changes nothing.  `lost` means that the process went without a word.
Starts and signals no process; `jobs` and `job_process` do.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from fishersft.errors import JobError
from fishersft.store.database import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, turn INTEGER NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL, stopping INTEGER NOT NULL,
    kind TEXT NOT NULL, title TEXT NOT NULL, arguments TEXT NOT NULL, device TEXT NOT NULL, folder TEXT NOT NULL, out TEXT,
    queued REAL NOT NULL, started REAL, finished REAL, heartbeat REAL NOT NULL,
    what TEXT NOT NULL, done INTEGER NOT NULL, total INTEGER NOT NULL, step_started REAL, step_first INTEGER, reported REAL,
    starter TEXT NOT NULL, process TEXT, exit_status INTEGER, sentence TEXT NOT NULL)
"""
QUEUED, RUNNING, DONE, FAILED, CANCELLED, LOST = "queued", "running", "done", "failed", "cancelled", "lost"
ENDED = (DONE, FAILED, CANCELLED, LOST)
RESUMABLE = (FAILED, CANCELLED, LOST)
JOB, ATTEMPT = "FISHERSFT_JOB", "FISHERSFT_JOB_ATTEMPT"  # the environment variables that name an attempt in its processes
Facts = Callable[[sqlite3.Connection], dict[str, Any]]
STALE = 90.0  # seconds without a heartbeat after which a process that we cannot ask about counts as gone
ASKED, SIGNALLED = 1, 2  # how a job that is stopping hears of it: it looks at its row, or a signal comes
LOST_SENTENCE = "Its process ended without a word: killed, out of memory, or the machine went down. resume goes on from there."


@dataclass(frozen=True)
class Job:
    """A job as it stood when it was read; times in seconds since the epoch.

    `what`, `done`, `total`: the step it is at, in the step's own unit; total 0 before the first report.  `eta`: seconds left
    of that step.  `sentence`: the last line of the log when it ended, which for a failed job is its one-line error.
    `stopping`: asked to stop, and still running.  `queued`, `started`, `finished` are of the last attempt.
    """

    id: str
    kind: str
    title: str
    arguments: tuple[str, ...]
    device: str
    state: str
    attempt: int
    what: str
    done: int
    total: int
    eta: float | None
    queued: float
    started: float | None
    finished: float | None
    heartbeat: float
    stopping: bool
    pid: int | None
    exit_status: int | None
    sentence: str
    out: Path | None
    folder: Path
    log: Path

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def seconds(self) -> float | None:
        """How long it has run, or ran; None before it did."""
        return None if self.started is None else max(0.0, (self.finished or time.time()) - self.started)

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        paths = {"out": str(self.out) if self.out else None, "folder": str(self.folder), "log": str(self.log)}
        return {**asdict(self), **paths, "arguments": list(self.arguments), "seconds": self.seconds}


@dataclass(frozen=True)
class JobRows:
    """The jobs of the store at `path`."""

    path: Path

    @property
    def database(self) -> Database:
        return Database(self.path / "jobs.sqlite", SCHEMA, 1, "The jobs")

    def log(self, id: str) -> Path:
        return self.path / "jobs" / f"{id}.log"

    def all(self) -> list[dict[str, Any]]:
        """Newest turn first."""
        return self.database.read(lambda db: [dict(row) for row in db.execute("SELECT * FROM jobs ORDER BY turn DESC")], [])

    def one(self, id: str) -> dict[str, Any]:
        """The row of an id or of its beginning.

        Raises:
            JobError: no job starts so, or several do.
        """
        found = [row for row in self.all() if id and row["id"].startswith(id)]
        if len(found) != 1:
            several = "several jobs start" if found else "no job starts"
            raise JobError(f"In the store {several} with '{id[:40]}'; fishersft runs list shows them.")
        return found[0]

    def add(self, row: dict[str, Any]) -> None:
        """A new job at the end of the queue."""

        def work(db: sqlite3.Connection) -> None:
            whole = {**_fresh(db), "attempt": 1, **row, "out": json.dumps(row["out"]), "folder": json.dumps(row["folder"])}
            _insert(db, {**whole, "arguments": json.dumps(row["arguments"])})

        self.database.write(work)

    def again(self, row: dict[str, Any]) -> bool:
        """Back into the queue for another attempt; False where someone else did so first."""
        return self._change(row, RESUMABLE, lambda db: {**_fresh(db), "attempt": row["attempt"] + 1})

    def put_back(self, row: dict[str, Any]) -> None:
        """A running job's own row, where the file that held it was lost."""
        self.database.write(lambda db: _insert(db, row))

    def has_process(self, id: str, attempt: int, process: Process) -> bool:
        """The attempt's process is this; False where it is no longer wanted (cancelled, removed, resumed since).

        A starter that died before it could write this left a job that others may take for lost; it is not.
        """
        row = {"id": id, "attempt": attempt}
        facts = {"process": process.written, "state": QUEUED, "finished": None, "sentence": "", "heartbeat": time.time()}
        return self._change(row, (QUEUED, LOST), lambda _: facts)

    def runs(self, row: dict[str, Any]) -> bool:
        """queued -> running; False where it was cancelled meanwhile."""
        now = time.time()
        return self._change(row, (QUEUED,), lambda _: {"state": RUNNING, "started": now, "heartbeat": now})

    def beat(self, row: dict[str, Any], facts: dict[str, Any] | None = None) -> int | None:
        """A sign of life, with progress; returns `stopping`, or None where the row is gone or is another attempt's.

        A job that others took for lost, as after a machine's sleep, runs again with this.
        """

        def work(db: sqlite3.Connection) -> int | None:
            now = {"heartbeat": time.time(), **(facts or {})}
            _update(db, row, (RUNNING,), now)
            _update(db, row, (LOST,), {**now, "state": RUNNING, "finished": None, "sentence": ""})
            found = db.execute("SELECT stopping FROM jobs WHERE id = ? AND attempt = ?", (row["id"], row["attempt"])).fetchone()
            return int(found[0]) if found else None

        return self.database.write(work)

    def report(self, id: str, attempt: int, facts: dict[str, Any]) -> None:
        """Progress from a process that is not the job's own, such as one worker of several."""
        self._change({"id": id, "attempt": attempt}, (RUNNING,), lambda _: facts)

    def end(self, row: dict[str, Any], state: str, sentence: str, status: int | None = None) -> bool:
        """The end of an attempt that is queued or running; False where it had ended, which stays as it is.

        A status comes from the process itself, which was then never lost.
        """
        facts = {"state": state, "finished": time.time(), "exit_status": status, "sentence": sentence, "stopping": 0}
        return self._change(row, (QUEUED, RUNNING) if status is None else (QUEUED, RUNNING, LOST), lambda _: facts)

    def lose(self, row: dict[str, Any], state: str, sentence: str) -> bool:
        """The end of an attempt whose process was found gone; False where it has ended, or has another process, since."""

        def work(db: sqlite3.Connection) -> bool:
            found = db.execute("SELECT process FROM jobs WHERE id = ?", (row["id"],)).fetchone()
            if found is None or found[0] != row["process"]:
                return False
            last = row["heartbeat"] if state == LOST else time.time()
            return _update(db, row, (QUEUED, RUNNING), {"state": state, "finished": last, "stopping": 0, "sentence": sentence})

        return self.database.write(work)

    def stop(self, row: dict[str, Any], how: int) -> bool:
        """End it where it is queued (True), else note that it is to stop."""
        if self._change(row, (QUEUED,), lambda _: {"state": CANCELLED, "finished": time.time(), "sentence": "Never started."}):
            return True
        self._change(row, (RUNNING,), lambda _: {"stopping": how})
        return False

    def remove(self, row: dict[str, Any]) -> bool:
        """Delete an ended job's row and log; False where it has been resumed since."""

        def work(db: sqlite3.Connection) -> bool:
            ended = f"DELETE FROM jobs WHERE id = ? AND attempt = ? AND state IN {_marks(ENDED)}"  # noqa: S608
            if not db.execute(ended, (row["id"], row["attempt"], *ENDED)).rowcount:
                return False
            self.log(row["id"]).unlink(missing_ok=True)  # before the commit: a log without a row would never be found again
            return True

        return self.database.write(work)

    def _change(self, row: dict[str, Any], states: tuple[str, ...], facts: Facts) -> bool:
        return self.database.write(lambda db: _update(db, row, states, facts(db)))

    def job(self, row: dict[str, Any]) -> Job:
        """A row as others see it."""
        process = Process.read(row["process"])
        out = json.loads(row["out"])
        return Job(
            **{name: row[name] for name in ("id", "kind", "title", "device", "state", "attempt", "what", "done", "total")},
            **{name: row[name] for name in ("queued", "started", "finished", "heartbeat", "exit_status", "sentence")},
            arguments=tuple(json.loads(row["arguments"])),
            eta=_eta(row, time.time()),
            stopping=bool(row["stopping"]),
            pid=process.pid if process else None,
            out=Path(out) if out else None,
            folder=Path(json.loads(row["folder"])),
            log=self.log(row["id"]),
        )


def gone(row: dict[str, Any]) -> bool:
    """Whether a queued or running row's process has ended.  Before it has one, its starter stands for it."""
    process = Process.read(row["process"]) or Process.read(row["starter"])
    alive = process.alive if process else None
    return time.time() - row["heartbeat"] > STALE if alive is None else not alive


def _fresh(db: sqlite3.Connection) -> dict[str, Any]:
    """What is so of every attempt that has just been queued."""
    turn = db.execute("SELECT coalesce(max(turn), 0) + 1 FROM jobs").fetchone()[0]
    now = time.time()
    known = {"turn": turn, "state": QUEUED, "queued": now, "heartbeat": now, "starter": Process.of(os.getpid()).written}
    empty = dict.fromkeys(("started", "finished", "step_started", "step_first", "reported", "process", "exit_status"))
    return {**known, **empty, "stopping": 0, "what": "", "done": 0, "total": 0, "sentence": ""}


def _insert(db: sqlite3.Connection, row: dict[str, Any]) -> None:
    db.execute(f"INSERT OR IGNORE INTO jobs ({', '.join(row)}) VALUES {_marks(row)}", tuple(row.values()))  # noqa: S608


def _update(db: sqlite3.Connection, row: dict[str, Any], states: tuple[str, ...], facts: dict[str, Any]) -> bool:
    """Set these columns where the attempt is in one of these states; the names are ours, never a user's."""
    setting = ", ".join(f"{name} = ?" for name in facts)
    statement = f"UPDATE jobs SET {setting} WHERE id = ? AND attempt = ? AND state IN {_marks(states)}"  # noqa: S608
    return bool(db.execute(statement, (*facts.values(), row["id"], row["attempt"], *states)).rowcount)


def _marks(values: Any) -> str:
    return f"({', '.join('?' * len(values))})"


def _eta(row: dict[str, Any], now: float) -> float | None:
    """Seconds left of the step, at the step's mean pace so far; what an earlier attempt had done does not count as pace."""
    if row["state"] != RUNNING or row["step_started"] is None or row["done"] <= row["step_first"]:
        return None
    pace = (row["reported"] - row["step_started"]) / (row["done"] - row["step_first"])
    return float(max(0.0, (row["total"] - row["done"]) * pace - (now - row["reported"])))


@dataclass(frozen=True)
class Process:
    """A process that can be told from a later one with the same number.

    `born` is when it started, in hundredths of a second ("" for one that has ended).  `machine` names this boot and this space
    of process numbers, so that a store on a shared disk or in a container is not asked about a stranger's process.
    """

    pid: int
    born: str
    machine: str

    @classmethod
    def of(cls, pid: int) -> Process:
        return cls(pid, _born(pid), this_machine())

    @classmethod
    def read(cls, text: str | None) -> Process | None:
        """The process that `written` names."""
        if not text:
            return None
        pid, born, machine = json.loads(text)
        return cls(int(pid), str(born), str(machine))

    @property
    def written(self) -> str:
        return json.dumps([self.pid, self.born, self.machine])

    @property
    def alive(self) -> bool | None:
        """Whether it still runs; None where another machine has to be asked.  A zombie has ended."""
        if self.machine != this_machine():
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
    """What two processes share when one can ask the system about the other."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def end_leftovers(environment: dict[str, str]) -> int:
    """Kill every process of ours whose environment holds these variables; returns how many.

    A child outlives its parent's `kill -9`, and would keep the accelerator's memory and write into the same files.
    """
    ended = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it ended meanwhile, or is not ours
            if process.pid != os.getpid() and environment.items() <= process.environ().items():
                process.kill()
                ended += 1
    return ended


def _born(pid: int) -> str:
    """When a process started; "" where there is none, or only what is left for its parent to read."""
    try:
        boot = psutil.boot_time() if psutil.LINUX else 0.0  # Linux counts from the boot: a clock that is set changes nothing
        process = psutil.Process(pid)
        ended = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return "" if ended else str(round((process.create_time() - boot) * 100))
    except psutil.Error:
        return ""
