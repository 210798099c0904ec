"""`JobTable`: the table of jobs in `jobs.sqlite`, and all changes of a job's state.

    queued -> running -> done | failed | cancelled | lost          failed | cancelled | lost -> queued (resume)

Each change is one transaction that names the state it starts from and the attempt it belongs to.  So no two processes ever make
the same change, and a process that comes too late, or whose job has been resumed since, changes nothing.  `lost` means that the
process died without an exit status.  A row that we did not write is no job: it is left out, which is told.  This module neither
starts nor stops jobs (`jobs`) nor runs them (`job_runner`).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import sqlite3
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import psutil
from msgspec import Meta, defstruct

from fishersft.errors import JobError, StoreError
from fishersft.store.checked import Count, check, checked
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
JOB, ATTEMPT = "FISHERSFT_JOB", "FISHERSFT_JOB_ATTEMPT"  # environment variables that name the attempt in all of its processes
WHOLE = 10_000  # of so many parts `done` counts those of the whole job that are done
STALE = 90.0  # seconds without a heartbeat after which a process on another machine counts as gone
ASKED, SIGNALLED = 1, 2  # how a job learns that it is to stop: from its row, or by a signal
NEVER_STARTED = "Cancelled before it started."
LOST_SENTENCE = (
    "Its process died without an exit status: it was killed, ran out of memory, or the machine went down. Resume continues it."
)

Line = Annotated[str, Meta(max_length=1000)]
Moment = Annotated[float, Meta(ge=0, le=1e11)]
COLUMNS: dict[str, Any] = {  # with the types of what we write
    "id": Annotated[str, Meta(pattern=r"^[0-9a-f]{12}\Z")],  # becomes the name of a file
    "state": Literal["queued", "running", "done", "failed", "cancelled", "lost"],
    "stopping": Literal[0, 1, 2],
    "exit_status": Annotated[int, Meta(ge=-(2**31), lt=2**32)] | None,
    **dict.fromkeys(("turn", "attempt", "done", "total"), Count),
    **dict.fromkeys(("kind", "title", "device", "what", "sentence"), Line),
    **dict.fromkeys(("arguments", "folder", "out", "starter"), str),
    **dict.fromkeys(("queued", "heartbeat"), Moment),
    **dict.fromkeys(("started", "finished", "step_started", "reported"), Moment | None),
    "step_first": Count | None,
    "process": str | None,
}
StoredJob: Any = defstruct("StoredJob", list(COLUMNS.items()))
PROCESS = tuple[Annotated[int, Meta(ge=1, lt=2**31)], Line, Line]
WRITTEN = {"arguments": list[str], "folder": str, "out": str | None, "starter": PROCESS, "process": PROCESS}  # in JSON


@dataclass(frozen=True)
class Job:
    """A job as it was when it was read; times are in seconds since the epoch and belong to the last attempt."""

    id: str
    kind: str
    title: str
    arguments: tuple[str, ...]
    device: str
    state: str
    attempt: int
    what: str  # what it is doing and how far that is, in words
    done: int  # of the whole job, in parts of `total`
    total: int  # 0 before the first report
    eta: float | None  # seconds left of the whole job
    queued: float
    started: float | None
    finished: float | None
    heartbeat: float
    stopping: bool  # it was asked to stop and still runs
    pid: int | None
    exit_status: int | None
    sentence: str  # the last line of the log when the job ended; for a failed job, its one-line error
    out: Path | None
    folder: Path
    log: Path

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def share(self) -> float:
        """How much of the whole job is done, from 0 to 1."""
        return 1.0 if self.state == DONE else min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds(self) -> float | None:
        """How long it has been running, or ran; None before it starts."""
        return None if self.started is None else max(0.0, (self.finished or time.time()) - self.started)

    def as_dict(self) -> dict[str, Any]:
        """The job as values that JSON can hold."""
        paths = {"out": str(self.out) if self.out else None, "folder": str(self.folder), "log": str(self.log)}
        return {**asdict(self), **paths, "arguments": list(self.arguments), "seconds": self.seconds}


@dataclass(frozen=True)
class JobTable:
    path: Path

    @property
    def database(self) -> Database:
        return Database(self.path / "jobs.sqlite", SCHEMA, 1, "The jobs")

    def log(self, id: str) -> Path:
        return self.path / "jobs" / f"{id}.log"

    def all(self) -> list[dict[str, Any]]:
        """Newest turn first, without damaged rows."""
        return [row for row in self._read() if not self._damage(row)]

    @property
    def damaged(self) -> list[str]:
        """A sentence if there are rows that are no jobs, with the first of them."""
        found = list(filter(None, map(self._damage, self._read())))
        more = f" So are {len(found) - 1:,} more." if len(found) > 1 else ""
        return [found[0] + more] if found else []

    def _read(self) -> list[dict[str, Any]]:
        # by id, since a foreign table may have one twice
        newest_first = f"SELECT {', '.join(COLUMNS)} FROM jobs GROUP BY id ORDER BY turn DESC"  # noqa: S608
        return self.database.read(lambda db: [dict(row) for row in db.execute(newest_first)], [])

    def _damage(self, row: dict[str, Any]) -> str:
        """Why a row is no job; "" if it is one."""
        damaged, advice = f"A job in {self.database.path} is damaged", "it is left out; deleting that file forgets all jobs"
        try:
            check(row, StoredJob, damaged, advice)
            for name, kind in WRITTEN.items():
                if row[name] is not None:
                    checked(row[name], kind, f"{damaged}: its {name}", advice)
        except StoreError as error:
            return str(error)
        return ""

    def one(self, id: str) -> dict[str, Any]:
        """The row of the job whose id is or begins with `id`; JobError if there is not exactly one."""
        found = [row for row in self.all() if id and row["id"].startswith(id)]
        if len(found) != 1:
            several = "Several jobs have ids that start" if found else "No job has an id that starts"
            raise JobError(f"{several} with '{id[:40]}'; fishersft runs list shows all jobs.")
        return found[0]

    def add(self, row: dict[str, Any]) -> None:
        """Add a new job at the end of the queue."""
        whole = {"attempt": 1, **row, **{name: json.dumps(row[name]) for name in ("out", "folder", "arguments")}}
        self.database.write(lambda db: _insert(db, {**_fresh(db), **whole}))

    def again(self, row: dict[str, Any]) -> bool:
        """Put a job back into the queue for another attempt; False if another process did so first."""
        return self.database.write(lambda db: _update(db, row, RESUMABLE, {**_fresh(db), "attempt": row["attempt"] + 1}))

    def put_back(self, row: dict[str, Any]) -> None:
        """Insert a running job's own row again after the file that held it was lost."""
        self.database.write(lambda db: _insert(db, row))

    def has_process(self, id: str, attempt: int, process: Process) -> bool:
        """Record the attempt's process; False if the attempt is no longer wanted (cancelled, removed or resumed since).

        If the starter died before recording it, others may have marked the job as lost; this corrects that.
        """
        row = {"id": id, "attempt": attempt}
        facts = {"process": process.written, "state": QUEUED, "finished": None, "sentence": "", "heartbeat": time.time()}
        return self._change(row, (QUEUED, LOST), facts)

    def runs(self, row: dict[str, Any]) -> bool:
        """queued -> running; False if the job was cancelled meanwhile."""
        now = time.time()
        return self._change(row, (QUEUED,), {"state": RUNNING, "started": now, "heartbeat": now})

    def beat(self, row: dict[str, Any], facts: dict[str, Any] | None = None) -> int | None:
        """Write a heartbeat, with progress; returns `stopping`, or None if the row is gone or belongs to another attempt.

        A job that others marked as lost, for instance after the machine slept, becomes `running` again.
        """

        stopping = "SELECT CAST(stopping AS INTEGER) FROM jobs WHERE id = ? AND attempt = ?"

        def work(db: sqlite3.Connection) -> int | None:
            now = {"heartbeat": time.time(), **(facts or {})}
            _update(db, row, (RUNNING,), now)
            _update(db, row, (LOST,), {**now, "state": RUNNING, "finished": None, "sentence": ""})
            found = db.execute(stopping, (row["id"], row["attempt"])).fetchone()
            return int(found[0]) if found else None

        return self.database.write(work)

    def report(self, row: dict[str, Any], facts: dict[str, Any]) -> None:
        """Write progress from a process that is not the job's own, such as one of several workers."""
        self._change(row, (RUNNING,), facts)

    def end(self, row: dict[str, Any], state: str, sentence: str, status: int | None = None) -> bool:
        """End an attempt that is queued or running; False, changing nothing, if it has ended already.

        An exit status comes from the process itself, so a job marked as lost was not lost after all.
        """
        facts = {"state": state, "finished": time.time(), "exit_status": status, "sentence": sentence, "stopping": 0}
        return self._change(row, (QUEUED, RUNNING) if status is None else (QUEUED, RUNNING, LOST), facts)

    def lose(self, row: dict[str, Any], state: str, sentence: str) -> bool:
        """End an attempt whose process is gone; False if it has ended or got another process since."""

        def work(db: sqlite3.Connection) -> bool:
            found = db.execute("SELECT process FROM jobs WHERE id = ?", (row["id"],)).fetchone()
            if found is None or found[0] != row["process"]:
                return False
            last = row["heartbeat"] if state == LOST else time.time()
            return _update(db, row, (QUEUED, RUNNING), {"state": state, "finished": last, "stopping": 0, "sentence": sentence})

        return self.database.write(work)

    def stop(self, row: dict[str, Any], how: int) -> bool:
        """Cancel a queued job (True); ask a running one to stop (False)."""
        if self._change(row, (QUEUED,), {"state": CANCELLED, "finished": time.time(), "sentence": NEVER_STARTED}):
            return True
        self._change(row, (RUNNING,), {"stopping": how})
        return False

    def remove(self, row: dict[str, Any]) -> bool:
        """Delete an ended job's row and log; False if the job has been resumed since."""

        def work(db: sqlite3.Connection) -> bool:
            ended = f"DELETE FROM jobs WHERE id = ? AND attempt = ? AND state IN {_marks(ENDED)}"  # noqa: S608
            if not db.execute(ended, (row["id"], row["attempt"], *ENDED)).rowcount:
                return False
            self.log(row["id"]).unlink(missing_ok=True)  # before the commit: a log without a row would never be found again
            return True

        return self.database.write(work)

    def _change(self, row: dict[str, Any], states: tuple[str, ...], facts: dict[str, Any]) -> bool:
        return self.database.write(lambda db: _update(db, row, states, facts))

    def job(self, row: dict[str, Any]) -> Job:
        """The `Job` that a row describes."""
        process = Process.read(row["process"])
        out = json.loads(row["out"])
        return Job(
            **{name: row[name] for name in ("id", "kind", "title", "device", "state", "attempt", "what", "done", "total")},
            **{name: row[name] for name in ("queued", "started", "finished", "heartbeat", "exit_status", "sentence")},
            arguments=tuple(json.loads(row["arguments"])),
            eta=_eta(row),
            stopping=bool(row["stopping"]),
            pid=process.pid if process else None,
            out=Path(out) if out else None,
            folder=Path(json.loads(row["folder"])),
            log=self.log(row["id"]),
        )


def gone(row: dict[str, Any]) -> bool:
    """Whether the process of a queued or running job has ended; before it has a process, its starter counts instead."""
    process = Process.read(row["process"]) or Process.read(row["starter"])
    alive = process.alive if process else None
    return time.time() - row["heartbeat"] > STALE if alive is None else not alive


def _fresh(db: sqlite3.Connection) -> dict[str, Any]:
    """The columns that are the same for every attempt when it is queued."""
    last = "SELECT coalesce(max(CAST(turn AS INTEGER)), 0) FROM jobs WHERE turn BETWEEN 0 AND ?"  # without damaged rows
    turn = db.execute(last, (2**53 - 1,)).fetchone()[0] + 1
    now = time.time()
    known = {"turn": turn, "state": QUEUED, "queued": now, "heartbeat": now, "starter": Process.of(os.getpid()).written}
    empty = dict.fromkeys(("started", "finished", "step_started", "step_first", "reported", "process", "exit_status"))
    return {**known, **empty, "stopping": 0, "what": "", "done": 0, "total": 0, "sentence": ""}


def _insert(db: sqlite3.Connection, row: dict[str, Any]) -> None:
    db.execute(f"INSERT OR IGNORE INTO jobs ({', '.join(row)}) VALUES {_marks(row)}", tuple(row.values()))  # noqa: S608


def _update(db: sqlite3.Connection, row: dict[str, Any], states: tuple[str, ...], facts: dict[str, Any]) -> bool:
    """Set these columns if the attempt is in one of these states; column names are ours, never a user's."""
    setting = ", ".join(f"{name} = ?" for name in facts)
    statement = f"UPDATE jobs SET {setting} WHERE id = ? AND attempt = ? AND state IN {_marks(states)}"  # noqa: S608
    return bool(db.execute(statement, (*facts.values(), row["id"], row["attempt"], *states)).rowcount)


def _marks(values: Any) -> str:
    return f"({', '.join('?' * len(values))})"


def _eta(row: dict[str, Any]) -> float | None:
    """Seconds left of the whole job at its mean pace so far; the work of earlier attempts does not count towards the pace."""
    began, first, reported = (row[name] for name in ("step_started", "step_first", "reported"))
    if row["state"] != RUNNING or None in (began, first, reported) or row["done"] <= first:
        return None
    pace = (reported - began) / (row["done"] - first)
    return float(max(0.0, (row["total"] - row["done"]) * pace - (time.time() - reported)))


@dataclass(frozen=True)
class Process:
    """A process that can be distinguished from a later one with the same id.

    `born` is its start time in hundredths of a second ("" if it has ended).  `machine` names the boot and the process-id
    namespace, so that an id from another machine or container that shares the store is not mistaken for one of ours.
    """

    pid: int
    born: str
    machine: str

    @classmethod
    def of(cls, pid: int) -> Process:
        return cls(pid, _born(pid), this_machine())

    @classmethod
    def read(cls, text: str | None) -> Process | None:
        """The process that `written` describes."""
        return cls(*json.loads(text)) if text else None

    @property
    def written(self) -> str:
        return json.dumps([self.pid, self.born, self.machine])

    @property
    def alive(self) -> bool | None:
        """Whether it still runs; None if it is on another machine.  A zombie counts as ended."""
        if self.machine != this_machine():
            return None
        return bool(self.born) and _born(self.pid) == self.born

    def signal(self, number: int) -> None:
        """Send a signal to it, or to its whole process group if it leads one; does nothing unless it is known to be alive."""
        if not self.alive:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)


@functools.cache
def this_machine() -> str:
    """A name that two processes share if each can look the other up by its process id."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def end_leftovers(environment: dict[str, str]) -> int:
    """Kill every process of ours whose environment contains these variables; returns how many were killed.

    A child survives a `kill -9` of its parent, and would hold on to the accelerator's memory and write to the same files.
    """
    ended = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it has ended meanwhile, or is not ours
            if process.pid != os.getpid() and environment.items() <= process.environ().items():
                process.kill()
                ended += 1
    return ended


def _born(pid: int) -> str:
    """When a process started; "" if there is none or it is a zombie."""
    try:
        boot = psutil.boot_time() if psutil.LINUX else 0.0  # Linux counts from the boot, so setting the clock changes nothing
        process = psutil.Process(pid)
        ended = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return "" if ended else str(round((process.create_time() - boot) * 100))
    except psutil.Error:
        return ""
