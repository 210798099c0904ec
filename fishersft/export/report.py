"""The report of whatever an id or a folder names: a kept selection, a run of fine-tuning, or error curves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from fishersft.errors import UserError
from fishersft.experiments import stored
from fishersft.experiments.records import NAME
from fishersft.experiments.result import read_curves
from fishersft.experiments.timing import TIMING_FILE, read_timing
from fishersft.export.curves_report import curves_page, found_page, timing_page
from fishersft.export.finetune_report import finetune_page
from fishersft.export.html import Page
from fishersft.export.selection_report import selection_page
from fishersft.finetuning import run as finetune_run
from fishersft.paths import user_path
from fishersft.pipeline.selections import load_kept, saved_selections
from fishersft.store.artifacts import Store

FEWEST = 4  # characters of an id


def report(run: str, store: Store | None = None) -> Page:
    """The report of a run, by its id, the beginning of it, or its folder.

    Raises:
        UserError: nothing is named so, several are, or what is found cannot be read.
    """
    store = store or Store.default()
    folder = user_path(run)
    if folder.is_dir() and (found := _in_folder(folder, store)):
        return found
    there = _known(store)
    matching = [run] if run in there else [id for id in there if len(run) >= FEWEST and id.startswith(run)]
    if len({there[id] for id in matching}) != 1:
        several = "several runs start" if matching else "no selection, fine-tuning or error curves start"
        raise UserError(
            f"In the store {several} with '{run[:40]}'; give the id that select or finetune printed, an id of the Runs page, or "
            "a run's folder."
        )
    return there[matching[0]]()


def _known(store: Store) -> dict[str, Callable[[], Page]]:
    """{id: how its report is made} of all runs there are."""
    out: dict[str, Callable[[], Page]] = {}
    for found in stored.found(store):
        out[found.id] = partial(found_page, found)
    for run in finetune_run.runs(store):
        out[run.folder.name] = partial(finetune_page, run, store)
        out.setdefault(run.id, out[run.folder.name])
    for manifest in saved_selections(store):
        out[str(manifest["key"])[:12]] = partial(_selection, str(manifest["key"]), store)
    return out


def _selection(key: str, store: Store) -> Page:
    return selection_page(load_kept(key, store))


def _in_folder(folder: Path, store: Store) -> Page | None:
    """What a folder holds; None where it is no run's."""
    if (folder / finetune_run.RUN).is_file():
        return finetune_page(finetune_run.read_run(folder, store), store)
    if (folder / TIMING_FILE).is_file():
        return timing_page(read_timing(folder), folder.name)
    if (folder / NAME).is_file():
        return curves_page(read_curves(folder), folder.name)
    return None
