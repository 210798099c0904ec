"""Runs in several processes: each worker takes a task, sends its records one by one, and asks for the next.

Processes because the work is many small steps of Python between small products.  A worker ends by itself when its parent is
gone (its pipe breaks), and a worker that dies is an error with a sentence, not a wait.  Knows no file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fishersft.errors import FisherSFTError, UserError
from fishersft.experiments.experiment import Record
from fishersft.experiments.measure import Task, records_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def in_processes(tasks: Sequence[Task], workers: int) -> Iterator[Record]:
    """The records of all tasks as they are finished.  Closing the iterator ends the workers.

    Raises:
        UserError: what a worker was told by a selector or a fit.
        FisherSFTError: a worker that ended without a word, which is what running out of memory may look like.
    """
    from multiprocessing import get_context
    from multiprocessing.connection import wait

    context = get_context("spawn")  # a fork of a process with torch's threads may hang
    left = iter(tasks)
    crew = []
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            crew.append((process, ours))
            ours.send(next(left, None))
        open_ends = [ours for _, ours in crew]
        while open_ends:
            ready: Any = wait(open_ends)
            for end in ready:
                said, value = _heard(end)
                if said == "record":
                    yield value
                elif said == "next":
                    task = next(left, None)
                    end.send(task)
                    if task is None:
                        open_ends.remove(end)
                else:
                    raise UserError(value)
    finally:
        for process, ours in crew:
            ours.close()
            process.terminate()
            process.join()


def _heard(end: Connection) -> tuple[str, Any]:
    try:
        said: tuple[str, Any] = end.recv()
        return said
    except (EOFError, OSError) as error:
        raise FisherSFTError(
            "A worker process ended before its work was done, perhaps for want of memory; what was finished is kept. "
            "Lower --workers or --sentences and give the same command again."
        ) from error


def _work(end: Connection) -> None:
    """A worker: tasks in, records out, until it is told None or its parent is gone."""
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    torch.set_num_threads(1)
    try:
        while (task := end.recv()) is not None:
            for record in records_of(task):
                end.send(("record", record))
            end.send(("next", None))
    except (EOFError, BrokenPipeError, ConnectionError):
        return
    except UserError as error:
        end.send(("error", str(error)))
