"""Reads a corpus in a process of its own, with limits on memory and time: one visitor's file slows nobody else's page.

    corpus = load_apart("theirs.jsonl", holdout=0)  # what `load_corpus` gives, or its error

At most two files are read at once and the others wait.  A reader that is done takes the next file, since its imports take longer
than most files.  Its answer comes in pieces, between which other threads of this process run.  The memory it takes is watched
from here: a Python that may allocate nothing more can loop for ever (to handle the MemoryError it allocates), so the kernel's own
limit (RLIMIT_DATA) stands a little higher, for what is taken between two looks.  Knows no screen.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pandas as pd
import psutil

from fishersft import errors
from fishersft.corpus.load import load_corpus
from fishersft.corpus.records import Corpus
from fishersft.errors import ColumnError, CorpusError, FisherSFTError, UserError
from fishersft.paths import user_path
from fishersft.text import shortened

MEMORY = 4_000_000_000  # bytes that reading a file may take
SECONDS = 300
PIECE = 1_000  # records of an answer that arrive at once
AT_ONCE = 2
LOOK = 0.1  # seconds between two looks at a reader's memory
BETWEEN_LOOKS = 16_000_000  # bytes that the kernel lets a reader take beyond what it may
NICE = 10  # whatever is on the screen goes first
NO_MEMORY = 3  # a reader's exit status
LARGE = 500_000_000  # bytes of a reader that is not kept for the next file
_turn = threading.Semaphore(AT_ONCE)
_idle: list[subprocess.Popen[bytes]] = []


def load_apart(source: str, *, memory: int = MEMORY, seconds: float = SECONDS, **options: Any) -> Corpus:
    """The corpus in a file, or whatever else `source` names, read here; its errors are those of `load_corpus`, and a CorpusError
    where reading takes more than so many bytes or seconds."""
    try:
        file = user_path(source).absolute()
        there = file.is_file()
    except (OSError, ValueError):  # a name that no file can have
        there = False
    if not there:
        return load_corpus(source, **options)
    named = shortened(options.get("name") or file.name, 100)
    asked = {"source": str(file), "memory": memory, "seconds": seconds, "options": options}
    with _turn:
        reader = _reader()
        assert reader.stdin is not None
        assert reader.stdout is not None
        started = time.monotonic()
        try:
            reader.stdin.write(json.dumps(asked).encode() + b"\n")
            reader.stdin.flush()
            with watched(reader, pickle.load(reader.stdout) + memory):  # noqa: S301
                answer = _received(reader.stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            reader.wait()
            late = time.monotonic() - started >= seconds
            limit = f"{seconds:,.0f} s" if late else f"{memory / 1e9:,.1f} GB of memory"
            raise CorpusError(f"{named} takes more than {limit} to be read, which is too much here; split it up.") from error
        except BaseException:  # nobody waits for the answer any more
            reader.kill()
            raise
        _idle.append(reader)
    if isinstance(answer, Corpus):
        return answer
    kind, sentence, columns = answer
    if kind == ColumnError.__name__:
        raise ColumnError(sentence, columns)
    raise getattr(errors, kind, CorpusError)(sentence)


def _reader() -> subprocess.Popen[bytes]:
    """A reader that waits, or a new one."""
    while _idle:
        reader = _idle.pop()
        with contextlib.suppress(psutil.Error):
            if reader.poll() is None and psutil.Process(reader.pid).memory_info().rss < LARGE:
                return reader
        reader.kill()
    command = [sys.executable, "-m", "fishersft.corpus.reader_process"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)


@contextlib.contextmanager
def watched(reader: subprocess.Popen[bytes], most: int) -> Iterator[None]:
    """A process that is killed as soon as it holds more than so many bytes."""
    done = threading.Event()

    def watch() -> None:
        with contextlib.suppress(psutil.Error):  # it ended
            process = psutil.Process(reader.pid)
            while not done.wait(LOOK):
                if _held(process) > most:
                    reader.kill()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


def _held(process: psutil.Process) -> int:
    """Bytes of a process's own data."""
    info = process.memory_info()
    return int(getattr(info, "data", info.vms))


def _received(answers: IO[bytes]) -> Any:
    """A corpus from its pieces, or the parts of an error; only a process of our own writes here."""
    state, count = pickle.load(answers)  # noqa: S301
    if count is None:
        return state
    examples: list[Any] = []
    fields = []
    for _ in range(count):
        some, rows = pickle.load(answers)  # noqa: S301
        examples += some
        fields.append(rows)
    corpus = object.__new__(Corpus)
    vars(corpus).update(state, examples=tuple(examples), fields=pd.concat(fields) if count > 1 else fields[0])
    return corpus


def _pieces(asked: dict[str, Any]) -> Iterator[Any]:
    """What reading a file comes to, as `_received` takes it."""
    try:
        corpus = load_corpus(asked["source"], **asked["options"])
        _ = corpus.fingerprint, corpus.duplicates, corpus.categories
    except FisherSFTError as error:
        kind = type(error).__name__ if isinstance(error, UserError) else CorpusError.__name__
        yield (kind, str(error), getattr(error, "columns", [])), None
        return
    except MemoryError:
        os._exit(NO_MEMORY)
    starts = range(0, len(corpus), PIECE)
    yield {name: value for name, value in vars(corpus).items() if name not in ("examples", "fields")}, len(starts)
    for start in starts:
        rows = slice(start, start + PIECE)
        yield corpus.examples[rows], corpus.fields.iloc[rows]


def _limit_memory(most: int) -> None:
    """Let this process take so many bytes more than it has now; 0 for any number."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _held(psutil.Process()) + most if most else hard
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer one request a line until there are no more."""
    with Path(os.devnull).open("w") as nowhere:
        for line in requests:
            asked = json.loads(line)
            faulthandler.dump_traceback_later(asked["seconds"], exit=True, file=nowhere)
            _limit_memory(asked["memory"] + BETWEEN_LOOKS)
            pickle.dump(_held(psutil.Process()), answers)
            answers.flush()
            for piece in _pieces(asked):
                pickle.dump(piece, answers)
            answers.flush()
            faulthandler.cancel_dump_traceback_later()
            _limit_memory(0)


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(NICE)
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    from fishersft.corpus import reader_process  # the same module that pickles name, not a second copy named __main__

    reader_process.serve(sys.stdin.buffer, own)
