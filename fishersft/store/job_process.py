"""`python -m fishersft.store.job_process ID ATTEMPT`: the process of one job, from its turn in the queue to its end state.

It waits until no earlier job of its device is left and the device's file lock is free, says `running`, runs
`python -m fishersft ARGUMENTS` inside itself, and writes how that ended.  The system frees the lock when the process is gone,
however it went, so no server has to stay alive for the next one to start.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import runpy
import signal
import sys
import time
import traceback
from typing import Any

from filelock import FileLock, Timeout

from fishersft.errors import StoreError, UserError
from fishersft.paths import home
from fishersft.store.artifacts import writing_to
from fishersft.store.job_report import BEAT, Reporter, set_reporter
from fishersft.store.job_rows import CANCELLED, DONE, FAILED, QUEUED, RUNNING, JobRows
from fishersft.store.jobs import last_sentence, sweep
from fishersft.store.processes import Process

STOPPED = 130  # the command line's status after Ctrl-C
_held: list[FileLock] = []  # until the process ends: a lock that is forgotten is released


def main(id: str, attempt: int) -> int:
    """Run the job; returns the command's exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a starter in the background of a shell has it ignored
    rows = JobRows(home())
    log = rows.log(id)
    start = log.stat().st_size if log.exists() else 0  # earlier attempts lie before
    try:
        row = _turn(rows, id, attempt)
    except UserError as error:
        print(f"fishersft: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        rows.end({"id": id, "attempt": attempt}, CANCELLED, "Never started.")
        return STOPPED
    if row is None:
        return 0
    reporter = Reporter(row, owner=True)
    status = STOPPED
    try:
        set_reporter(reporter)
        reporter.start()
        status = _run(json.loads(row["arguments"]))
    except KeyboardInterrupt:
        status = STOPPED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from here on there is nothing left to stop
    reporter.stop()
    state = DONE if status == 0 else CANCELLED if status == STOPPED or _stopping(rows, row) else FAILED
    try:
        rows.end(row, state, last_sentence(log, start), status)
    except StoreError as error:  # it will be found as lost
        print(f"fishersft: {error}", file=sys.stderr)
    return status


def _turn(rows: JobRows, id: str, attempt: int) -> dict[str, Any] | None:
    """Wait for the device; the row when it runs, None when the job is no longer wanted."""
    said = -BEAT
    pause = 0.05
    me = Process.of(os.getpid())
    while True:
        if time.monotonic() - said >= BEAT:  # also the sign of life of one that waits
            if not rows.has_process(id, attempt, me):
                return None
            said = time.monotonic()
        queue = sweep(rows)
        row = next((r for r in queue if r["id"] == id and r["attempt"] == attempt), None)
        if row is None:  # removed, or the rows could not be read just now: the next look tells
            said = -BEAT
            time.sleep(0.5)
            continue
        before = [r for r in queue if r["turn"] < row["turn"] and r["device"] == row["device"]]
        if not any(r["state"] in (QUEUED, RUNNING) for r in before) and (lock := _device(rows, row["device"])):
            _held.append(lock)
            return rows.one(id) if rows.runs(row) else None
        time.sleep(pause)
        pause = min(2 * pause, 0.5)


def _device(rows: JobRows, device: str) -> FileLock | None:
    """The device's lock, or None where another process holds it."""
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
    """The command line in this process, as `python -m fishersft ARGUMENTS` would run it; its exit status."""
    sys.argv = ["fishersft", *arguments]
    try:
        runpy.run_module("fishersft", run_name="__main__", alter_sys=True)
        status: Any = 0
    except SystemExit as error:
        status = error.code
    except KeyboardInterrupt:
        raise
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return status if isinstance(status, int) else int(status is not None)


def _stopping(rows: JobRows, row: dict[str, Any]) -> bool:
    return any(r["stopping"] for r in rows.all() if (r["id"], r["attempt"]) == (row["id"], row["attempt"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
