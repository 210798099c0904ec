"""`report`: how a command that runs as a job tells how far it is.

A job's environment names it (FISHERSFT_JOB, FISHERSFT_JOB_ATTEMPT).  Commands call `report` as often as they like: it notes
the numbers, and a thread writes the last ones to the job's row at most twice a second, with a heartbeat while nothing changes.
Where no job is named it does nothing.  A row that cannot be written never disturbs the work.
"""

from __future__ import annotations

import _thread
import atexit
import logging
import os
import signal
import threading
import time
from typing import Any

from fishersft.errors import StoreError

log = logging.getLogger(__name__)
JOB, ATTEMPT = "FISHERSFT_JOB", "FISHERSFT_JOB_ATTEMPT"
EVERY = 0.5  # seconds between two writes of progress
BEAT = 5.0  # seconds between two heartbeats
SLOW = 10.0  # seconds after which a job that was asked to stop is asked by its own heartbeat, the signal having failed

_current: Reporter | None = None


def in_job() -> bool:
    return bool(os.environ.get(JOB))


def report(what: str, done: int, total: int) -> None:
    """The step `what` is at `done` of `total`, in the step's own unit."""
    if not in_job():
        return
    global _current
    if _current is None or _current.pid != os.getpid():  # the second after a fork, whose threads stay behind
        _current = Reporter({"id": os.environ[JOB], "attempt": int(os.environ.get(ATTEMPT, "1"))}, owner=False)
        _current.start()
        atexit.register(_current.stop)
    _current.note(what, done, total)


def set_reporter(reporter: Reporter) -> None:
    """Let `report` speak through the job's own process."""
    global _current
    _current = reporter


class Reporter:
    """Writes a job's progress from a thread of its own; with `owner`, its heartbeat, and hears there that it is to stop."""

    def __init__(self, row: dict[str, Any], *, owner: bool) -> None:
        from fishersft.paths import home
        from fishersft.store.job_rows import JobRows

        self.pid = os.getpid()
        self._rows, self._row, self._owner = JobRows(home()), row, owner
        self._guard = threading.Lock()
        self._step: dict[str, Any] = {}
        self._new = False
        self._asked_at: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="fishersft-heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what is not written yet, and end."""
        self._over.set()
        if self._thread.ident is not None and self.pid == os.getpid():
            self._thread.join()

    def note(self, what: str, done: int, total: int) -> None:
        now = time.time()
        with self._guard:
            if self._step.get("what") != what or done < self._step["done"]:
                self._step = {"what": str(what)[:200], "step_started": now, "step_first": int(done)}
            self._step.update(done=int(done), total=int(total), reported=now)
            self._new = True

    def _work(self) -> None:
        written = 0.0
        over = False
        while not over:
            over = self._over.wait(EVERY)
            with self._guard:
                facts = dict(self._step) if self._new else None
                self._new = False
            if facts or (self._owner and (over or time.monotonic() - written >= BEAT)):
                written = time.monotonic()
                try:
                    self._write(facts)
                except StoreError as error:
                    log.warning("the progress of job %s is not written: %s", self._row["id"], error)

    def _write(self, facts: dict[str, Any] | None) -> None:
        if not self._owner:
            self._rows.report(self._row["id"], self._row["attempt"], facts or {})
            return
        stopping = self._rows.beat(self._row, facts)
        if stopping is None:
            self._rows.put_back({**self._row, **self._step, "heartbeat": time.time()})
        elif stopping and not self._over.is_set():
            self._interrupt(stopping)

    def _interrupt(self, stopping: int) -> None:
        """Stop the command as Ctrl-C does, again where that had no effect; where a signal was to come, after it had its time."""
        from fishersft.store.job_rows import SIGNALLED

        now = time.monotonic()
        if self._asked_at is None and stopping == SIGNALLED:
            self._asked_at = now
        if self._asked_at is not None and now - self._asked_at < SLOW:
            return
        self._asked_at = now
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        else:  # Windows
            _thread.interrupt_main()
