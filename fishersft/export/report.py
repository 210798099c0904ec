"""The report of whatever an id or a folder names: a kept selection, a run of fine-tuning, or error curves."""

from __future__ import annotations

from fishersft import catalogue
from fishersft.errors import UserError
from fishersft.experiments.result import NAME, read_curves
from fishersft.experiments.timing import TIMING_FILE, read_timing
from fishersft.export.curves_report import curves_page, timing_page
from fishersft.export.finetune_report import finetune_page
from fishersft.export.html import Page
from fishersft.export.selection_report import selection_page
from fishersft.finetuning import run as finetune_run
from fishersft.paths import stamp, user_path
from fishersft.pipeline.selections import load_kept
from fishersft.store.artifacts import Store


def report(run: str, store: Store | None = None) -> Page:
    """The report of a run, by its id, the beginning of it, or its folder.

    Raises:
        UserError: nothing has this name, several runs have it, or what is found cannot be read.
    """
    store, folder = store or Store.default(), user_path(run)
    files = (finetune_run.RUN, TIMING_FILE, NAME)
    if not any(stamp(folder / name) for name in files):
        found = catalogue.find_run(run, store=store, rather=(catalogue.SELECTION, catalogue.FINETUNED, catalogue.CURVES))
        if found.kind == catalogue.SELECTION:
            return selection_page(load_kept(found.id, store))
        if found.kind == catalogue.FINETUNED:
            return finetune_page(found.opened, store)
        if found.kind == catalogue.ARENA:
            raise UserError(f"'{found.id}' is an arena, which has no report; the page Evidence shows it.")
        if found.kind == catalogue.JOB:
            raise UserError(f"'{found.id}' is a job; give the id of what it made.")
        folder = found.opened.folder
    if (folder / finetune_run.RUN).is_file():
        return finetune_page(finetune_run.read_run(folder, store), store)
    if (folder / TIMING_FILE).is_file():
        return timing_page(read_timing(folder), folder.name)
    return curves_page(read_curves(folder), folder.name)
