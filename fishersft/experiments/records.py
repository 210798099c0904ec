"""Records on disk: one JSON line each, written whole or not at all, so that a killed experiment continues where it stopped.

    DIR/records.jsonl    {"about": ...}, then a record a line, appended and flushed to the disk as each is finished

A last line that was cut off is dropped on opening.  Runs and selectors may be added to a folder later, with a new "about" line,
because a record depends on its own run and selector only.  Any other difference is refused: the numbers would not belong
together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fishersft.errors import StoreError, os_reason
from fishersft.experiments.experiment import About, Key, Record, key_of

NAME = "records.jsonl"
NEEDED = {"world", "selectors", "budgets", "runs", "seed", "equal", "reference"}
GROWS = ("runs", "selectors")  # settings that may change between two starts


class Records:
    """The records of a folder, opened for more; a context manager, one process at a time.

    Raises:
        StoreError: the folder cannot be written, holds another experiment, or is being written by another process.
    """

    def __init__(self, folder: Path, about: About) -> None:
        self.folder, self.about = folder, about
        self.all: list[Record] = []
        self._lock = FileLock(folder / ".lock")

    def __enter__(self) -> Records:
        try:
            make_folder(self.folder)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(f"Another process is writing to {self.folder}; wait for it or name another folder.") from error
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written ({os_reason(error)}); name another folder.") from error
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
        self._lock.release()

    def _open(self) -> None:
        path = self.folder / NAME
        known, self.all, whole = _read(path) if path.exists() else (None, [], 0)
        if known is not None and (different := _difference(known.settings, self.about.settings)):
            raise StoreError(f"{self.folder} holds another experiment ({different}); name another folder.")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.ftruncate(self._file, whole)
        if known is None or _plain(asdict(known)) != _plain(asdict(self.about)):
            self._write({"about": _plain(asdict(self.about))})

    @property
    def done(self) -> set[Key]:
        return {key_of(r) for r in self.all}

    def append(self, record: Record) -> None:
        """Keep a record; it is on the disk when this returns."""
        self._write(record)
        self.all.append(record)

    def _write(self, value: dict[str, Any]) -> None:
        line = json.dumps(value).encode() + b"\n"
        try:
            if os.write(self._file, line) != len(line):
                raise OSError("only part of a record was written")
            os.fsync(self._file)
        except OSError as error:
            raise StoreError(
                f"{self.folder / NAME} cannot be written ({os_reason(error)}); finished records are kept."
            ) from error


def make_folder(folder: Path) -> None:
    """Make the folder that results are written to; StoreError where that cannot be."""
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"The place for results must be a folder, and {folder} is a file; name another with --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made ({os_reason(error)}); name another folder with --out.") from error


def read_records(folder: Path) -> tuple[About, list[Record]]:
    """The experiment that a folder holds, and its records.

    Raises:
        StoreError: no such file, or one that is not ours.
    """
    path = folder / NAME
    try:
        about, records, _ = _read(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({os_reason(error)}).") from error
    return _named(path, about), records


def read_about(folder: Path) -> About:
    """The experiment that a folder holds, from its last "about" line; records are not parsed.

    Raises:
        StoreError: no such file, or one that is not ours.
    """
    path = folder / NAME
    about: About | None = None
    try:
        with path.open("rb") as file:
            for line in file:
                if line.startswith(b'{"about"') and line.endswith(b"\n"):
                    about = _checked(About(**json.loads(line)["about"]))
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({os_reason(error)}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} was not written by fishersft curves.") from error
    return _named(path, about)


def _named(path: Path, about: About | None) -> About:
    if about is None:
        raise StoreError(f"{path} does not say which experiment it is of; it was not written by fishersft curves.")
    return about


def _checked(about: About) -> About:
    """ValueError where it is not what `fishersft curves` writes."""
    if not isinstance(about.settings, dict) or NEEDED - set(about.settings) or not isinstance(about.settings["world"], dict):
        raise ValueError("settings are missing")
    words = isinstance(about.arguments, list) and all(isinstance(part, str) for part in about.arguments)
    if not (isinstance(about.title, str) and words and about.arguments[:1] == ["curves"] and len(about.arguments) > 1):
        raise ValueError("the command is missing")
    return about


def _read(path: Path) -> tuple[About | None, list[Record], int]:
    """The last "about" line, the records, and how many bytes are whole lines."""
    about: About | None = None
    records: list[Record] = []
    whole = 0
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True)):
        try:
            value = json.loads(line)
            if not line.endswith(b"\n"):
                break
            if "about" in value:
                about = About(**value["about"])
            else:
                key_of(value)
                records.append(value)
        except (ValueError, KeyError, TypeError) as error:
            if not line.endswith(b"\n"):  # cut off while it was written
                break
            raise StoreError(
                f"Line {number + 1:,} of {path} is not a record of an experiment; delete the file or name another folder."
            ) from error
        whole += len(line)
    return about, records, whole


def _difference(there: dict[str, Any], now: dict[str, Any]) -> str:
    """The first setting that differs, in words; "" where the records belong together."""

    def flat(settings: dict[str, Any]) -> dict[str, Any]:
        out = {k: v for k, v in settings.items() if k not in (*GROWS, "world")}
        return {**out, **settings.get("world", {})}

    a, b = flat(_plain(there)), flat(_plain(now))
    for name in [*a, *(k for k in b if k not in a)]:
        if a.get(name) != b.get(name):
            return f"its {name} is {_short(a.get(name))}, not {_short(b.get(name))}"
    return ""


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """The value as it comes back from the file: tuples are lists."""
    out: dict[str, Any] = json.loads(json.dumps(value))
    return out


def _short(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "none"
    return str(value)
