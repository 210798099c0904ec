"""The error curves that there are: those that ship, and those in the store.

    found()              all of them, shipped first, then the youngest first; unreadable ones are left out
    find(id)             one, by the id of its folder
    complete(folder)     whether all of it is there
    folder_for(...)      where a new one is written: the same question goes to the same folder, which goes on there
    remove(id)           of the store, never a shipped one

A result is a folder that `fishersft curves --out` wrote: `records.jsonl`, or `timing.json`.  Knows no job and no screen.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fishersft import paths
from fishersft.errors import StoreError
from fishersft.experiments.experiment import About
from fishersft.experiments.records import NAME, read_about
from fishersft.experiments.result import read_curves
from fishersft.experiments.timing import TIMING_FILE, read_timing
from fishersft.store.artifacts import Store, writing_to

log = logging.getLogger(__name__)
TIMING = "timing"


@dataclass(frozen=True)
class Found:
    """A result's folder and what it says of itself.

    Attributes:
        id: the folder's name.
        shipped: it came with fishersft.
        changed: seconds since the epoch; 0 for a shipped one.
    """

    id: str
    folder: Path
    about: About
    shipped: bool
    changed: float

    @property
    def kind(self) -> str:
        """`synthetic`, `words`, `teacher` or `timing`."""
        return self.about.arguments[1]

    @property
    def settings(self) -> dict[str, Any]:
        return self.about.settings


def home(store: Store | None = None) -> Path:
    """Where results of the user's own runs are."""
    return (store or Store.default()).path / "curves"


def found(store: Store | None = None) -> list[Found]:
    """All results."""
    own = sorted(_in(home(store), shipped=False), key=lambda f: (-f.changed, f.id))
    return [*sorted(_in(paths.asset("curves"), shipped=True), key=lambda f: f.id), *own]


def find(id: str, store: Store | None = None) -> Found:
    """The result of an id.

    Raises:
        StoreError: there is none.
    """
    for one in found(store):
        if one.id == id:
            return one
    raise StoreError(f"There is no result '{id[:40]}' here; choose one of those listed, or run it.")


def folder_for(arguments: Sequence[str], inputs: Sequence[str] = (), store: Store | None = None) -> Path:
    """The folder of a command's result: equal commands on equal inputs (fingerprints) have one folder."""
    named = json.dumps([list(arguments), list(inputs)])
    return home(store) / hashlib.sha256(named.encode()).hexdigest()[:12]


def complete(folder: Path) -> bool:
    """Whether a folder holds all that was asked of it."""
    try:
        if (folder / TIMING_FILE).exists():
            return bool(read_timing(folder).budgets)
        result = read_curves(folder)
    except StoreError:
        return False
    return result.runs == int(result.about.settings["runs"])


def remove(id: str, store: Store | None = None) -> None:
    """Delete a result of the store.

    Raises:
        StoreError: it ships with fishersft, or there is none, or it cannot be deleted.
    """
    one = find(id, store)
    if one.shipped:
        raise StoreError(f"The result '{id}' ships with fishersft and stays.")
    with writing_to(one.folder):
        shutil.rmtree(one.folder)


def _in(place: Path, *, shipped: bool) -> list[Found]:
    try:
        folders = [f for f in place.iterdir() if f.is_dir()]
    except OSError:  # no such folder yet
        return []
    out = []
    for folder in folders:
        try:
            timing = (folder / TIMING_FILE).exists()
            path = folder / (TIMING_FILE if timing else NAME)
            if path.exists():
                about = read_timing(folder).about if timing else read_about(folder)
                out.append(Found(folder.name, folder, about, shipped, 0.0 if shipped else path.stat().st_mtime))
        except (StoreError, OSError, IndexError) as error:
            log.warning("the curves in %s cannot be read: %s", folder, error)
    return out
