"""Runs one job in a process of its own; with `report`, its command reports progress.

`python -m fishersft.store.job_runner ID ATTEMPT` waits until its device has no earlier job left and the device's file lock is
free, marks the job `running`, runs `python -m fishersft ARGUMENTS` inside itself, and records how that ended.  The system
releases the lock when the process ends for whatever reason, so no server has to stay alive for the next job to start.

A job's environment names it (FISHERSFT_JOB, FISHERSFT_JOB_ATTEMPT).  A command says with `expect` which stages its work has and
how large each is, and calls `report` as often as it likes: that stores how much of the whole job is done, and a thread writes
the latest to the job's row at most twice a second, or a heartbeat while nothing changes.  Outside of a job, `report` does
nothing.  Failing to write the row never interrupts the work.
"""

from __future__ import annotations

import _thread
import atexit
import hashlib
import json
import logging
import os
import re
import runpy
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any

from filelock import FileLock, Timeout

from fishersft.errors import StoreError, UserError
from fishersft.paths import home
from fishersft.store import job_table
from fishersft.store.artifacts import writing_to
from fishersft.store.job_table import JobTable, Process
from fishersft.store.jobs import last_sentence, sweep

log = logging.getLogger(__name__)
STOPPED = 130  # the command line's status after Ctrl-C
EVERY = 0.5  # seconds between two writes of progress
BEAT = 5.0  # seconds between two heartbeats
SLOW = 10.0  # seconds after which a job's own heartbeat stops it, in case the signal to stop did not
_held: list[FileLock] = []  # kept until the process ends: a lock that is garbage-collected is released
_current: Reporter | None = None
Parts = Mapping[str, tuple[float, int]]  # the parts of a job in their order: {what its stages' names have: (size, stages)}


class Share:
    """How much of a whole job is done, told from its stages one after another; it never goes back.

    A stage belongs to the part with the longest name that its own name has, and else to the part before; stages of one part are
    taken as equally long.  What a job finds finished already is never reported, and is passed over when a later part begins.
    """

    def __init__(self, parts: Parts | None = None) -> None:
        self._parts = dict(parts or {"": (1.0, 1)})
        self._part = next(iter(self._parts))
        self._stages = dict.fromkeys(self._parts, -1)  # how many of each part have begun, less one
        self._last: tuple[str, int] = ("", 0)
        self.done = 0.0

    def move(self, what: str, done: int, total: int) -> float:
        """The share of the whole, from 0 to 1, now that the stage `what` has done `done` of `total`."""
        self._part = max((part for part in self._parts if part in what), key=len, default=self._part)
        if what != self._last[0] or done < self._last[1] or self._stages[self._part] < 0:
            self._stages[self._part] += 1
        self._last = what, done
        size, stages = self._parts[self._part]
        within = (min(self._stages[self._part], stages - 1) + min(1.0, done / max(total, 1))) / stages
        names = list(self._parts)
        before = sum(self._parts[name][0] for name in names[: names.index(self._part)])
        self.done = max(self.done, (before + size * within) / sum(size for size, _ in self._parts.values()))
        return self.done


_share = Share()


def expect(parts: Parts) -> None:
    """Say which stages this process will report, and how large each is as a part of the whole job."""
    global _share
    _share = Share(parts)


def in_job() -> bool:
    return bool(os.environ.get(job_table.JOB))


def report(what: str, done: int, total: int) -> None:
    """Report that the stage `what` has done `done` of `total`, in the stage's own unit; kept as a share of the whole job."""
    if not in_job():
        return
    global _current
    if _current is None or _current.pid != os.getpid():  # the second test is true after a fork, which copies no threads
        row = {"id": os.environ[job_table.JOB], "attempt": int(os.environ[job_table.ATTEMPT])}
        _current = Reporter(row, owner=False)
        _current.start()
        atexit.register(_current.stop)
    _current.note(f"{what}, {done:,} of {total:,}", _share.move(what, done, total))


class Reporter:
    """Writes a job's progress from a thread; with `owner`, also writes its heartbeat and notices there a request to stop."""

    def __init__(self, row: dict[str, Any], *, owner: bool) -> None:
        self.pid = os.getpid()
        self._rows, self._row, self._owner = JobTable(home()), row, owner
        self._guard = threading.Lock()
        self._step: dict[str, Any] = {}
        self._new = False
        self._asked_at: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="fishersft-heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what has not been written yet, then end the thread."""
        self._over.set()
        if self._thread.ident is not None and self.pid == os.getpid():
            self._thread.join()

    def note(self, what: str, share: float) -> None:
        """What the job is doing, and how much of it is done, from 0 to 1."""
        now, done = time.time(), int(share * job_table.WHOLE)
        with self._guard:
            self._step = self._step or {"step_started": now, "step_first": done}
            self._step.update(what=what[:200], done=done, total=job_table.WHOLE, reported=now)
            self._new = True

    def _work(self) -> None:
        written, over = 0.0, False
        while not over:
            over = self._over.wait(EVERY)
            with self._guard:
                facts, self._new = dict(self._step) if self._new else None, False
            if facts or (self._owner and (over or time.monotonic() - written >= BEAT)):
                written = time.monotonic()
                try:
                    self._write(facts)
                except StoreError as error:
                    log.warning("the progress of job %s could not be written: %s", self._row["id"], error)

    def _write(self, facts: dict[str, Any] | None) -> None:
        if not self._owner:
            self._rows.report(self._row, facts or {})
            return
        stopping = self._rows.beat(self._row, facts)
        if stopping is None:
            self._rows.put_back({**self._row, **self._step, "heartbeat": time.time()})
        elif stopping and not self._over.is_set():
            self._interrupt(stopping)

    def _interrupt(self, stopping: int) -> None:
        """Stop the command as Ctrl-C does, and again if that had no effect; if a signal was sent, give it time to work first."""
        now = time.monotonic()
        if self._asked_at is None and stopping == job_table.SIGNALLED:
            self._asked_at = now
        if self._asked_at is not None and now - self._asked_at < SLOW:
            return
        self._asked_at = now
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        else:  # Windows
            _thread.interrupt_main()


def main(id: str, attempt: int) -> int:
    """Run the job; returns the command's exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background processes with SIGINT ignored
    rows = JobTable(home())
    log = rows.log(id)
    start = log.stat().st_size if log.exists() else 0  # earlier attempts wrote what precedes
    try:
        row = _turn(rows, id, attempt)
    except UserError as error:
        print(f"fishersft: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        rows.end({"id": id, "attempt": attempt}, job_table.CANCELLED, job_table.NEVER_STARTED)
        return STOPPED
    if row is None:
        return 0
    global _current
    _current = reporter = Reporter(row, owner=True)
    status = STOPPED
    try:
        reporter.start()
        status = _run(json.loads(row["arguments"]))
    except KeyboardInterrupt:
        status = STOPPED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to stop from here on
    reporter.stop()
    try:
        stopping = any(r["stopping"] for r in rows.all() if (r["id"], r["attempt"]) == (id, attempt))
        state = job_table.DONE if status == 0 else job_table.CANCELLED if status == STOPPED or stopping else job_table.FAILED
        rows.end(row, state, last_sentence(log, start), status)
    except StoreError as error:  # whoever looks next will mark the job as lost
        print(f"fishersft: {error}", file=sys.stderr)
    return status


def _turn(rows: JobTable, id: str, attempt: int) -> dict[str, Any] | None:
    """Wait for the device; returns the row once the job runs, or None if the job is no longer wanted."""
    said, pause, me = -BEAT, 0.05, Process.of(os.getpid())
    while True:
        if time.monotonic() - said >= BEAT:  # this is also the heartbeat of a waiting job
            if not rows.has_process(id, attempt, me):
                return None
            said = time.monotonic()
        try:
            queue = sweep(rows)
        except StoreError:  # locked for too long: it waits on
            queue = []
        row = next((r for r in queue if r["id"] == id and r["attempt"] == attempt), None)
        if row is None:  # removed, or the rows could not be read just now: the next attempt will tell
            said = -BEAT
            time.sleep(0.5)
            continue
        before = [r for r in queue if r["turn"] < row["turn"] and r["device"] == row["device"]]
        free = not any(r["state"] in (job_table.QUEUED, job_table.RUNNING) for r in before)
        if free and (lock := _device(rows, row["device"])):
            _held.append(lock)
            return rows.one(id) if rows.runs(row) else None
        time.sleep(pause)
        pause = min(2 * pause, 0.5)


def _device(rows: JobTable, device: str) -> FileLock | None:
    """The device's lock, or None if another process holds it."""
    name = f"{re.sub(r'[^a-z0-9]+', '-', device.lower())[:40]}-{hashlib.sha256(device.encode()).hexdigest()[:8]}"
    with writing_to(rows.path):
        folder = rows.path / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"device-{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
    return lock


def _run(arguments: list[str]) -> int:
    """Run the command line in this process as `python -m fishersft ARGUMENTS` would; returns its exit status."""
    sys.argv = ["fishersft", *arguments]
    try:
        runpy.run_module("fishersft", run_name="__main__", alter_sys=True)
        status: Any = 0
    except SystemExit as error:
        status = error.code
    except Exception:
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return status if isinstance(status, int) else int(status is not None)


if __name__ == "__main__":
    from fishersft.store import job_runner  # the same module that the command's `report` uses, not a second copy named __main__

    sys.exit(job_runner.main(sys.argv[1], int(sys.argv[2])))
