"""All runs of all kinds in one list: background jobs, saved selections, error curves, fine-tuned runs and arenas.

An id is the name of a folder, a digest of what the run was made from or, for a job, a random number.  It is never a path, so
that an address can carry it.  A run that cannot be read is listed with the reason.  Runs that ship with the package stay.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from fishersft import paths
from fishersft.errors import FisherSFTError, StoreError
from fishersft.experiments.experiment import About
from fishersft.experiments.result import NAME, read_curves, read_records
from fishersft.experiments.timing import TIMING_FILE, read_timing
from fishersft.finetuning.arena import ARENA as ARENA_FILE
from fishersft.finetuning.arena import read_arena
from fishersft.finetuning.run import RUN, read_run
from fishersft.pipeline import selections
from fishersft.store import jobs
from fishersft.store.artifacts import Store, writing_to
from fishersft.store.job_table import Job

JOB, SELECTION, CURVES, FINETUNED, ARENA = KINDS = ("job", "selection", "curves", "finetuned", "arena")
NOUNS = {JOB: "job", SELECTION: "selection", CURVES: "result"}
HOMES = {CURVES: "curves", FINETUNED: "runs", ARENA: "arenas"}  # folders of the store and of the assets
TIMING = "timing"
SELECTION_ID = 12  # characters of a selection's digest that are its id
FEWEST = 4  # characters of an id that may stand for the whole
DAMAGE = (FisherSFTError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


@dataclass(frozen=True)
class Run:
    """One run as a row of the list."""

    id: str
    kind: str
    title: str
    made: float  # when it was made, last changed or, for a job, started, in seconds since the epoch; 0 for a shipped one
    shipped: bool
    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)  # what its kind shows in a table; JSON can hold it
    content: Any = None  # `Job`, the manifest of a selection, `CurvesRun` or `FineTuneRun`; None if it cannot be read
    problem: str = ""  # why it cannot be read; "" if it can
    other_id: str = ""  # a second id, which a fine-tuned run in a folder of another name has

    @property
    def opened(self) -> Any:
        """Its content; StoreError if it cannot be read."""
        if self.problem:
            raise StoreError(self.problem)
        return self.content

    def as_dict(self) -> dict[str, Any]:
        """The run as values that JSON can hold."""
        own = self.content.as_dict() if self.kind == JOB else self.facts
        known = {"kind": self.kind, "title": self.title, "made": self.made, "shipped": self.shipped, "folder": str(self.folder)}
        return {"id": self.id, **known, "problem": self.problem, "facts": own}


@dataclass(frozen=True)
class CurvesRun:
    """A folder of error curves, as `fishersft curves --out` writes it; `changed` is 0 for one that ships with fishersft."""

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


def runs(kind: str = "", store: Store | None = None, *, shipped_only: bool = False) -> list[Run]:
    """All runs, or those of one kind: the newest first, shipped ones last, except that shipped curves come first.

    `shipped_only` leaves out what was computed on this machine, as on a hosted demo, where it is nobody's business.
    """
    store = store or Store.default()
    kinds = [name for name in ([kind] if kind else KINDS) if not (shipped_only and name == JOB)]
    found = [run for name in kinds for run in (_jobs(store) if name == JOB else _stored(store, name))]
    return sorted(
        (run for run in found if run.shipped or not shipped_only), key=lambda run: (run.shipped != (kind == CURVES), -run.made)
    )


def contents(kind: str, store: Store | None = None, *, shipped_only: bool = False) -> list[Any]:
    """The contents of all runs of a kind that can be read."""
    return [run.content for run in runs(kind, store, shipped_only=shipped_only) if not run.problem]


def find_run(
    id: str, kind: str = "", store: Store | None = None, *, shipped_only: bool = False, rather: Sequence[str] = KINDS
) -> Run:
    """The run of an id, or of at least four characters with which only one id begins; StoreError if there is not exactly one.

    Where runs of several kinds have the id, those of the kinds in `rather` are meant.
    """
    there = runs(kind, store, shipped_only=shipped_only)
    matching = [run for run in there if id and id in (run.id, run.other_id)]
    if not matching and len(id) >= FEWEST:
        matching = [run for run in there if run.id.startswith(id) or run.other_id.startswith(id)]
    matching = [run for run in matching if run.kind in rather] or matching
    if len(matching) != 1:
        noun = NOUNS.get(kind, "run")
        nothing = f"There is no {noun} '{id[:40]}' here" if kind else f"The store has no run whose id starts with '{id[:40]}'"
        among = sorted({run.kind for run in matching})
        which = f" ({', '.join(among)}: say which kind)" if len(among) > 1 else ""
        several = f"Several {noun}s have ids that start with '{id[:40]}'{which}"
        raise StoreError(f"{several if matching else nothing}. The Runs page and fishersft runs list show all runs.")
    return matching[0]


def damaged_runs(store: Store | None = None) -> list[str]:
    """A sentence for each model of a fine-tuning run, and each arena, that is not what was written; every byte is read."""
    found: list[str] = []
    for run in [*runs(FINETUNED, store), *runs(ARENA, store)]:
        try:
            content = run.opened  # reading an arena verifies it
            found += content.damage() if run.kind == FINETUNED else []
        except StoreError as error:
            found.append(str(error))
    return found


def remove_run(run: Run, store: Store | None = None) -> None:
    """Delete a run with its files.  What a job made stays, and so do votes and judgments on the texts of a fine-tuned run.

    UserError if it ships with fishersft, a job is still at work on it, or it cannot be deleted.
    """
    if run.shipped:
        raise StoreError(f"The run '{run.id}' ships with fishersft and stays.")
    if run.kind == JOB:
        return jobs.remove(run.id, store)
    if job := writer_of(run, store):
        raise StoreError(f"Job {job.id} is writing the run '{run.id}'; cancel the job first.")
    with writing_to(run.folder):
        paths.remove(run.folder)


def writer_of(run: Run, store: Store | None = None) -> Job | None:
    """The job that is still at work on a run."""
    return next((job for job in jobs.jobs(store) if job.out == run.folder and not job.ended), None)


def folder_for(kind: str, arguments: Sequence[str], inputs: Sequence[str] = (), store: Store | None = None) -> Path:
    """The folder of a command's curves or fine-tuned run: equal commands on equal inputs (fingerprints) have one folder."""
    named = json.dumps([list(arguments), list(inputs)])
    return (store or Store.default()).path / HOMES[kind] / hashlib.sha256(named.encode()).hexdigest()[:12]


def complete(folder: Path) -> bool:
    """Whether a folder of error curves holds every run that was asked for."""
    try:
        if (folder / TIMING_FILE).exists():
            return bool(read_timing(folder).budgets)
        result = read_curves(folder)
    except StoreError:
        return False
    return result.runs == int(result.about.settings["runs"])


def _jobs(store: Store) -> Iterator[Run]:
    for job in jobs.jobs(store):
        facts = {
            "state": "stopping" if job.stopping else job.state,
            "kind": job.kind,
            "what": job.title,
            "done": round(job.share, 2),
            "took": job.seconds,
        }
        yield Run(job.id, JOB, f"{job.kind}: {job.title}", job.started or job.queued, False, job.log, facts, job)


def _folders(store: Store, kind: str) -> Iterator[tuple[Path, bool]]:
    """The folders of a kind by name, and whether each is shipped; a user's own folder hides a shipped one of the same name."""
    if kind == SELECTION:
        for _, folder in sorted(store.folders(SELECTION).items()):
            yield folder, not folder.is_relative_to(store.path)
        return
    seen: set[str] = set()
    for place, shipped in ((store.path / HOMES[kind], False), (paths.asset(HOMES[kind]), True)):
        for folder in sorted(place.iterdir()) if place.is_dir() else []:
            if folder.is_dir() and folder.name not in seen and not folder.name.startswith("."):
                seen.add(folder.name)
                yield folder, shipped


def _stored(store: Store, kind: str) -> Iterator[Run]:
    """The runs in the folders of a kind; a run that cannot be read says why."""
    for folder, shipped in _folders(store, kind):
        try:
            run = _READERS[kind](folder, shipped, store)
        except DAMAGE as error:
            problem = str(error) if isinstance(error, FisherSFTError) else f"It is damaged ({type(error).__name__}: {error})."
            made = 0.0 if shipped or not folder.exists() else folder.stat().st_mtime
            id = folder.name[:SELECTION_ID] if kind == SELECTION else folder.name
            run = Run(id, kind, f"cannot be read: {problem}", made, shipped, folder, problem=problem)
        if run:
            yield run


def _selection(folder: Path, shipped: bool, store: Store) -> Run:
    manifest = selections.open_selection(folder).manifest
    shown = ("name", "selector", "corpus", "model", "sentences", "tokens", "log_det", "seed")
    facts = {name: manifest.get(name) for name in shown}
    title = f"{manifest['sentences']:,} sentences of {manifest['corpus']} by {manifest['selector']}"
    made = 0.0 if shipped else datetime.fromisoformat(manifest["made"]).timestamp()
    return Run(folder.name[:SELECTION_ID], SELECTION, title, made, shipped, folder, facts, manifest)


def _curves(folder: Path, shipped: bool, store: Store) -> Run | None:
    timing = (folder / TIMING_FILE).exists()
    file = folder / (TIMING_FILE if timing else NAME)
    if not file.exists():  # its job has only just begun
        return None
    about = read_timing(folder).about if timing else read_records(folder, only_about=True)[0]
    found = CurvesRun(folder.name, folder, about, shipped, 0.0 if shipped else file.stat().st_mtime)
    facts: dict[str, Any] = {"kind": found.kind, "what": about.title}
    facts |= {"equal": found.settings.get("equal", ""), "runs": found.settings.get("runs")}
    return Run(found.id, CURVES, f"{found.kind}: {about.title}", found.changed, shipped, folder, facts, found)


def _finetuned(folder: Path, shipped: bool, store: Store) -> Run | None:
    file = folder / RUN
    if not file.exists():
        return None
    run = read_run(folder, store)
    facts = {"what": run.title, "done": run.share_finished}
    made = 0.0 if shipped else file.stat().st_mtime
    return Run(folder.name, FINETUNED, run.title, made, shipped, folder, facts, run, other_id=run.id)


def _arena(folder: Path, shipped: bool, store: Store) -> Run | None:
    file = folder / ARENA_FILE
    if not file.exists():  # its first run is not finished
        return None
    found = read_arena(folder, store)
    facts = {"what": found.title, "contests": len(found.contests)}
    return Run(folder.name, ARENA, found.title, 0.0 if shipped else file.stat().st_mtime, shipped, folder, facts, found)


_READERS: dict[str, Callable[[Path, bool, Store], Run | None]] = {
    SELECTION: _selection,
    CURVES: _curves,
    FINETUNED: _finetuned,
    ARENA: _arena,
}
