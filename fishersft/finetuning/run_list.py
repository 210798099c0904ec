"""The runs of fine-tuning that there are: those of the store, and those that ship.

    found()            all of them, own ones first, the youngest first; unreadable ones are left out
    find(name)         one, by the name of its folder or its id; a reason where it cannot be read
    folder_for(...)    where a new one is written: the same question goes to the same folder, which goes on there
    remove(name)       of the store, never a shipped one

A name is one folder's name and never a path, so that an address can carry it.  Knows no job and no screen.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fishersft import paths
from fishersft.errors import StoreError
from fishersft.finetuning.run import CELL, CELLS, RUN, FineTuneRun, read_run, runs, runs_folder
from fishersft.store.artifacts import Store, writing_to

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def found(store: Store | None = None) -> list[FineTuneRun]:
    """All that can be read; a shipped one has the name of its folder, as every other."""
    return runs(store)


def find(name: str, store: Store | None = None) -> FineTuneRun:
    """The run of a name.

    Raises:
        StoreError: there is none, or it was made by another version, or it is damaged.
    """
    if NAME.fullmatch(name):
        for place in (runs_folder(store), paths.asset("runs")):
            if (place / name / RUN).is_file():
                return read_run(place / name, store)
        for one in runs(store):
            if one.id == name:
                return one
    raise StoreError(f"There is no run '{name[:40]}' here; choose one of those listed, or begin one.")


def shipped(run: FineTuneRun) -> bool:
    """Whether it came with fishersft."""
    return run.folder.parent == paths.asset("runs")


def made(run: FineTuneRun) -> datetime:
    """When it was begun, or last added to."""
    return datetime.fromtimestamp((run.folder / RUN).stat().st_mtime)


def told(run: FineTuneRun) -> str:
    """What it compares, in one line; names in it come from its folder."""
    about = run.about
    corpus, model = (part.get("name", "?") if isinstance(part, dict) else "?" for part in map(about.get, ("corpus", "model")))
    n = ", ".join(f"{n:,}" for n in _list(about, "budgets") if isinstance(n, int))
    seeds = len(_list(about, "seeds"))
    return (
        f"{corpus} with {model}, {len(_list(about, 'selectors'))} selectors, n = {n}, equal {about.get('equal')}, "
        f"{seeds} seed{'s' * (seeds != 1)}"
    )


def _list(about: dict[str, Any], name: str) -> list[Any]:
    found = about.get(name)
    return found if isinstance(found, list) else []


def stamp(run: FineTuneRun) -> tuple[tuple[str, int], ...]:
    """What changes whenever a model of the run is finished or made again."""
    out = []
    for name in [RUN, *(str(Path(CELLS) / cell / CELL) for cell in run.about.get("cells", []))]:
        try:
            out.append((name, (run.folder / name).stat().st_mtime_ns))
        except (OSError, ValueError):
            continue
    return tuple(out)


def folder_for(arguments: Sequence[str], inputs: Sequence[str] = (), store: Store | None = None) -> Path:
    """The folder of a command's run: equal commands on equal inputs (fingerprints) have one folder."""
    named = json.dumps([list(arguments), list(inputs)])
    return runs_folder(store) / hashlib.sha256(named.encode()).hexdigest()[:12]


def remove(name: str, store: Store | None = None) -> None:
    """Delete a run of the store with its models and texts; votes and verdicts on its texts stay.

    Raises:
        StoreError: it ships with fishersft, or there is none, or it cannot be deleted.
    """
    run = find(name, store)
    if run.folder.parent != runs_folder(store):
        raise StoreError(f"The run '{name}' ships with fishersft and stays.")
    with writing_to(run.folder):
        shutil.rmtree(run.folder)
