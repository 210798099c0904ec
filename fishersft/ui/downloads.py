"""Downloads: one menu and one button for the file formats of a selection, and a button for the report of any run.

    row = st.container(horizontal=True, vertical_alignment="bottom")
    downloads.selection(kept.name, lambda: kept, "run-3f2a", row)
    downloads.report(lambda: finetune_page(run), "finetune-3f2a", row)

A file is made when its button is pressed.  What it is made from is loaded when the format is chosen, so that a failure can
be explained on the page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from fishersft.errors import FisherSFTError
from fishersft.export import formats
from fishersft.export.formats import FORMATS
from fishersft.export.html import Page
from fishersft.export.provenance import Origin, origin_of
from fishersft.export.selection_report import selection_page
from fishersft.pipeline.selections import Kept
from fishersft.scoring import projection
from fishersft.ui import components, uploads
from fishersft.ui.session import public

REPORT = "report"
LABELS = {
    "jsonl": "JSON lines",
    "csv": "CSV",
    "parquet": "Parquet",
    "indices": "Indices",
    "dataset": "Dataset folder",
    "trl": "TRL recipe",
    "atlas": "Embedding Atlas",
    REPORT: "Report",
}
REPORT_IS = (
    "one HTML page with settings, figures, tables and the code that reproduces them; it opens without a server or a network"
)


def selection(stem: str, make: Callable[[], Kept], key: str, row: Any, pool: Origin | None = None) -> None:
    """A menu of formats and a button for a selection; the `Kept` is made when it is needed.

    Args:
        stem: its `Kept.name`, which files are called by.
        key: prefix of the widgets' keys, different for each selection.
        row: a horizontal container for the two.
        pool: the corpus and its embeddings where they are at hand; else they are opened for the formats that need them.
    """
    offered = [format for format in LABELS if not (public() and format == "trl")]  # it names folders of the host
    format = row.selectbox(
        "Download as",
        offered,
        key=f"{key}-format",
        format_func=LABELS.__getitem__,
        width=200,
        help="\n".join(f"- **{LABELS[f]}**: {_what(f)}" for f in offered),
    )
    try:
        pool = _ready(make, format, pool)
    except FisherSFTError as error:
        components.problem(str(error))
        return

    def made() -> bytes:
        if format == REPORT:
            return selection_page(make(), pool).html().encode("utf-8", "replace")
        return formats.packed(make(), format, pool)

    name = f"{stem}-report.html" if format == REPORT else formats.packed_name(stem, format)
    look: dict[str, Any] = {"icon": ":material/download:", "key": f"{key}-download-{format}", "on_click": "ignore"}
    row.download_button("Download", data=made, file_name=name, **look)
    st.caption(f"{name}: {_what(format)}.")
    if format != REPORT and (command := formats.opens_with(format, name.removesuffix(".zip"))):
        st.code(command, language="bash", wrap_lines=True)


def report(page: Callable[[], Page], name: str, row: Any = st) -> None:
    """A button for the report of a run that has no other format."""
    look: dict[str, Any] = {"icon": ":material/download:", "key": f"report-{name}", "on_click": "ignore"}
    said = REPORT_IS[:1].upper() + REPORT_IS[1:] + "."
    row.download_button("Report", data=lambda: page().html(), file_name=f"{name}.html", help=said, **look)


def files(stem: str, key: str, *offered: tuple[str, str, Any, str | None]) -> None:
    """Buttons for files named `stem`: (label, ending, content or what makes it when it is asked for, what it is)."""
    row = st.container(horizontal=True, vertical_alignment="center")
    row.markdown("Download:")
    for label, ending, content, what in offered:
        row.download_button(label, content, f"{stem}.{ending}", key=f"{label}-{key}", on_click="ignore", help=what)


def _what(format: str) -> str:
    return REPORT_IS if format == REPORT else FORMATS[format].what


def _wants_pool(format: str) -> bool:
    return format == REPORT or FORMATS[format].pool


def _ready(make: Callable[[], Kept], format: str, pool: Origin | None) -> Origin | None:
    """The corpus and embeddings, with the map computed, for the formats that need them; a report can do without them."""
    if not _wants_pool(format):
        return None
    try:
        pool = pool or origin_of(make(), load=uploads.read)
    except FisherSFTError:
        if format != REPORT:
            raise
        return None
    with st.spinner("Drawing the map (only once) …"):
        projection.map_of(pool[1])
    return pool
