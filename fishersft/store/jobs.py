"""Background jobs: each is a long command in its own process, with a row and a log in the store.

A job outlives the tab, the server and the process that started it.  One job runs on each device and the others wait in order,
each in its own process (`job_runner`), which also reports the progress.  A job whose process is gone is marked `lost` by whoever
looks next.  A resumed command continues from what it left in the store or in --out; this module knows nothing of that.  For the
states and their changes see `job_table`.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fishersft.errors import JobError, StoreError, os_reason
from fishersft.store import job_table
from fishersft.store.artifacts import Store, writing_to
from fishersft.store.job_table import Job, JobTable, Process
from fishersft.text import encodable

KILL = getattr(signal, "SIGKILL", 9)  # Windows has no name for it
GRACE = 10.0  # seconds that a job has after Ctrl-C to save its work
TAIL = 65_536  # bytes at the end of a log that are searched for its last lines


def start(
    arguments: Sequence[str],
    *,
    kind: str,
    title: str,
    device: str = "cpu",
    out: Path | None = None,
    secrets_for_it: Mapping[str, str] | None = None,
    store: Store | None = None,
) -> Job:
    """Start `fishersft ARGUMENTS` as a job; returns at once.

    Args:
        arguments: of the command line, without `fishersft`; relative paths refer to this process's folder, also on resume.
        kind: the kind of job, such as "finetune", by which pages list it.
        device: the device it occupies: one job runs on each name, the others wait.
        out: where the arguments tell the command to write; only recorded, so that a page can open it.
        secrets_for_it: environment variables of its process, such as a key; never saved, so a resumed job lacks them.

    Raises:
        JobError: there is nothing to run, or the process cannot be started.
    """
    if not arguments or not device:
        raise JobError("A job needs a command, such as ['embed', 'demo'], and a device, such as 'cpu'.")
    rows = _rows(store)
    id = secrets.token_hex(6)
    try:
        folder = Path.cwd()
    except OSError as error:
        raise JobError(f"The current folder no longer exists ({os_reason(error)}); change to another one.") from error
    named = {"kind": kind, "title": title, "device": device}
    lines = {name: " ".join(encodable(text).split())[:200] for name, text in named.items()}
    command = {"arguments": [str(argument) for argument in arguments], "folder": str(folder)}
    rows.add({"id": id, **lines, **command, "out": str(folder / out) if out else None})
    return _spawn(rows, id, secrets_for_it)


def jobs(store: Store | None = None) -> list[Job]:
    """All jobs, the last queued first; also marks those whose process is gone."""
    rows = _rows(store)
    return [rows.job(row) for row in sweep(rows)]


def left_out(store: Store | None = None) -> list[str]:
    """A sentence for each reason why what was kept may be missing: databases set aside, and rows that are no jobs."""
    return [*(store or Store.default()).set_aside, *_rows(store).damaged]


def job(id: str, store: Store | None = None) -> Job:
    """The job whose id is or begins with `id`; JobError if there is not exactly one."""
    rows, row = _found(store, id)
    return rows.job(row)


def cancel(id: str, store: Store | None = None, *, grace: float = GRACE) -> Job:
    """Stop a job: a queued one never starts; a running one gets Ctrl-C, SIGTERM after `grace` seconds, then SIGKILL.

    Blocks until the job has stopped; JobError if there is no such job or it has ended.  A job that cannot be signalled from here
    (Windows, another machine) is asked to stop through its row and may still be `stopping` when this returns.
    """
    rows, row = _found(store, id)
    if row["state"] in job_table.ENDED:
        raise JobError(f"Job {row['id']} has already ended ({row['state']}); there is nothing to cancel.")
    process = Process.read(row["process"])
    here = process is not None and process.alive is not None
    if not rows.stop(row, job_table.SIGNALLED if here else job_table.ASKED):
        row = rows.one(row["id"])  # a job that started in between has its process now
        process = Process.read(row["process"])
    if here and process:
        # compiled modules swallow the first Ctrl-C if it arrives while they are being imported
        for number, share in ((signal.SIGINT, 0.3), (signal.SIGINT, 0.7), (signal.SIGTERM, 0.5), (KILL, 1.0)):
            process.signal(number)
            if _ends(lambda: not process.alive, share * grace):
                break
        rows.lose(rows.one(row["id"]), job_table.CANCELLED, last_sentence(rows.log(row["id"])) or "Stopped.")
        job_table.end_leftovers(_environment(row))
    else:
        _ends(lambda: rows.one(row["id"])["state"] in job_table.ENDED, grace)
    return rows.job(rows.one(row["id"]))


def resume(id: str, store: Store | None = None) -> Job:
    """Start a failed, cancelled or lost job again, at the end of the queue: same command, same folder, same log.

    JobError if there is no such job, it is not finished or is done, its folder is gone, or the process cannot be started.
    """
    rows, row = _found(store, id)
    if row["state"] not in job_table.RESUMABLE:
        raise JobError(f"Job {row['id']} is {row['state']}; only a job that failed, was cancelled or was lost can be resumed.")
    if not os.path.isdir(rows.job(row).folder):  # no Path: its own raises where no folder can have such a name
        raise JobError(f"Job {row['id']} ran in {rows.job(row).folder}, which no longer exists; start its command anew.")
    job_table.end_leftovers(_environment(row))  # they would write to the same files as the next attempt
    if not rows.again(row):
        raise JobError(f"Job {row['id']} was resumed by another process just now.")
    return _spawn(rows, row["id"])


def remove(id: str, store: Store | None = None) -> None:
    """Delete the row and the log of a job, but not its results; JobError if there is no such job or it has not ended."""
    rows, row = _found(store, id)
    if row["state"] not in job_table.ENDED:
        raise JobError(f"Job {row['id']} is {row['state']}; cancel it before you remove it.")
    if not rows.remove(row):
        raise JobError(f"Job {row['id']} was resumed by another process just now.")


def log_lines(job: Job, most: int = 20) -> list[str]:
    """The last lines of a job's log, taken from its last 64 KiB; of a progress bar, only its last state."""
    return _tail(job.log)[-most:] if most > 0 else []


def last_sentence(log: Path, start: int = 0) -> str:
    """The last line of a log, after its first `start` bytes, that is not a progress bar; at most 500 characters."""
    lines = [line for line in _tail(log, start) if "%|" not in line and "█" not in line]
    return lines[-1].strip().removeprefix("fishersft: ")[:500] if lines else ""


def sweep(rows: JobTable) -> list[dict[str, Any]]:
    """All rows, the last queued first, after marking those whose process is gone `lost`, or `cancelled` if they were to stop."""
    found = rows.all()
    missing = [row for row in found if row["state"] in (job_table.QUEUED, job_table.RUNNING) and job_table.gone(row)]
    if not missing:
        return found
    try:
        for row in missing:
            state, sentence = (job_table.CANCELLED, "Stopped.") if row["stopping"] else (job_table.LOST, job_table.LOST_SENTENCE)
            if rows.lose(row, state, sentence):
                job_table.end_leftovers(_environment(row))
        return rows.all()
    except StoreError:  # a read-only store: report the state without saving it
        for row in missing:
            row.update(state=job_table.LOST, sentence=job_table.LOST_SENTENCE)
        return found


def _spawn(rows: JobTable, id: str, secrets_for_it: Mapping[str, str] | None = None) -> Job:
    row = rows.one(id)
    log = rows.log(id)
    environment = {
        **os.environ,
        **(secrets_for_it or {}),
        **_environment(row),
        "FISHERSFT_HOME": str(rows.path),
        "PYTHONUNBUFFERED": "1",  # the log is read while it is being written
        "PYTHONIOENCODING": "utf-8:backslashreplace",
    }
    # so that neither Ctrl-C nor closing the starter's terminal reaches it; on Windows DETACHED_PROCESS, CREATE_NEW_PROCESS_GROUP
    apart: dict[str, Any] = {"creationflags": 0x8 | 0x200} if os.name == "nt" else {"start_new_session": True}
    with writing_to(rows.path):
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("ab")
    with file:
        if row["attempt"] > 1:
            file.write(f"\n--- attempt {row['attempt']}, {datetime.now():%Y-%m-%d %H:%M:%S} ---\n".encode())
            file.flush()
        command = [sys.executable, "-m", "fishersft.store.job_runner", id, str(row["attempt"])]
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": subprocess.STDOUT}
        try:
            child = subprocess.Popen(command, cwd=rows.job(row).folder, env=environment, **streams, **apart)
        except OSError as error:
            sentence = f"The job's process cannot be started ({os_reason(error)})."
            rows.end(row, job_table.FAILED, sentence)
            raise JobError(sentence) from error
    rows.has_process(id, row["attempt"], Process.of(child.pid))
    threading.Thread(target=child.wait, daemon=True).start()  # so that no zombie is left in a server that keeps running
    return rows.job(rows.one(id))


def _ends(ended: Callable[[], bool], patience: float) -> bool:
    until = time.monotonic() + patience
    while not ended():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _found(store: Store | None, id: str) -> tuple[JobTable, dict[str, Any]]:
    """The table and the row of a job, after all lost ones have been marked."""
    rows = _rows(store)
    sweep(rows)
    return rows, rows.one(id)


def _environment(row: dict[str, Any]) -> dict[str, str]:
    return {job_table.JOB: row["id"], job_table.ATTEMPT: str(row["attempt"])}


def _rows(store: Store | None) -> JobTable:
    return JobTable((store or Store.default()).path.absolute())


def _tail(log: Path, start: int = 0) -> list[str]:
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = (line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n"))
    return [line for line in lines if line]
