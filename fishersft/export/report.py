"""The report of whatever an id or a folder names: a kept selection, a run of fine-tuning, or error curves."""

from __future__ import annotations

from pathlib import Path

from fishersft import catalogue
from fishersft.errors import UserError
from fishersft.experiments.result import NAME, read_curves
from fishersft.experiments.timing import TIMING_FILE, read_timing
from fishersft.export.curves_report import curves_page, found_page, timing_page
from fishersft.export.finetune_report import finetune_page
from fishersft.export.html import Page
from fishersft.export.selection_report import selection_page
from fishersft.finetuning import run as finetune_run
from fishersft.paths import user_path
from fishersft.pipeline.selections import load_kept
from fishersft.store.artifacts import Store


def report(run: str, store: Store | None = None) -> Page:
    """The report of a run, by its id, the beginning of it, or its folder.

    Raises:
        UserError: nothing is named so, several are, or what is found cannot be read.
    """
    store = store or Store.default()
    folder = user_path(run)
    if folder.is_dir() and (page := _in_folder(folder, store)):
        return page
    found = catalogue.find_run(run, store=store)
    if found.kind == catalogue.CURVES:
        return found_page(found.opened)
    if found.kind == catalogue.FINETUNED:
        return finetune_page(found.opened, store)
    if found.kind == catalogue.SELECTION:
        return selection_page(load_kept(found.id, store))
    raise UserError(f"'{found.id}' is a job; give the id of what it made.")


def _in_folder(folder: Path, store: Store) -> Page | None:
    """What a folder holds; None where it is no run's."""
    if (folder / finetune_run.RUN).is_file():
        return finetune_page(finetune_run.read_run(folder, store), store)
    if (folder / TIMING_FILE).is_file():
        return timing_page(read_timing(folder), folder.name)
    if (folder / NAME).is_file():
        return curves_page(read_curves(folder), folder.name)
    return None
