"""Downloads: one menu and one button for the file formats of a selection, and a button for the report of any run.

    downloads.selection(kept, key="run-3f2a...")                      # a stored selection
    downloads.on_screen("token_od-120", lambda: kept_of(corpus, embeddings, picks), key="explore", pool=(corpus, embeddings))
    downloads.report(lambda: finetune_page(run), "finetune-3f2a")

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
from fishersft.export.provenance import Origin, is_file, origin_of
from fishersft.export.selection_report import selection_page
from fishersft.pipeline.selections import Kept
from fishersft.scoring import precomputed
from fishersft.ui import components
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


def selection(kept: Kept, key: str, row: Any = None) -> None:
    """The menu and the button for a stored selection.

    Args:
        key: prefix of the widgets' keys, different for each selection.
        row: a horizontal container for the two.
    """
    _menu(kept.name, lambda: kept, key, None, row, [f for f in LABELS if not (_closed(kept, f) or _names_the_host(f))])


def on_screen(name: str, make: Callable[[], Kept], key: str, pool: Origin, row: Any = None) -> None:
    """The same for the selection on the screen; the `Kept` is made when it is needed.

    Args:
        name: its `Kept.name`.
        pool: the corpus and its embeddings.
    """
    _menu(name, make, key, pool, row, [f for f in LABELS if not _names_the_host(f)])


def _menu(stem: str, make: Callable[[], Kept], key: str, pool: Origin | None, row: Any, offered: list[str]) -> None:
    place = row if row is not None else st.container(horizontal=True, vertical_alignment="bottom")
    format = str(
        place.selectbox(
            "Download as",
            offered,
            key=f"{key}-format",
            format_func=LABELS.__getitem__,
            width=200,
            help="\n".join(f"- **{LABELS[f]}**: {_what(f)}" for f in offered),
        )
    )
    try:
        pool = _ready(make, format, pool)
    except FisherSFTError as error:
        components.problem(str(error))
        return
    name = f"{stem}-report.html" if format == REPORT else formats.packed_name(stem, format)
    place.download_button(
        "Download",
        data=lambda: _made(make(), format, pool),
        file_name=name,
        icon=":material/download:",
        key=f"{key}-download-{format}",
        on_click="ignore",
    )
    st.caption(f"{name}: {_what(format)}.")
    if format != REPORT and FORMATS[format].command:
        path = name.removesuffix(".zip")
        opens = FORMATS[format].command.replace("{path!r}", repr(path)).replace("{path}", path)
        st.code(opens, language="bash", wrap_lines=True)


def report(page: Callable[[], Page], name: str, row: Any = None) -> None:
    """A button for the report of a run that has no other format."""
    (row if row is not None else st).download_button(
        "Report",
        data=lambda: page().html(),
        file_name=f"{name}.html",
        icon=":material/download:",
        key=f"report-{name}",
        on_click="ignore",
        help=REPORT_IS[:1].upper() + REPORT_IS[1:] + ".",
    )


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


def _closed(kept: Kept, format: str) -> bool:
    """Whether the format needs a file of the host, which a hosted demo never reads again."""
    return public() and _wants_pool(format) and is_file(str(kept.provenance["source"]))


def _names_the_host(format: str) -> bool:
    """Whether the format names folders of the host: a recipe names the model's, which a hosted demo does not reveal."""
    return public() and format == "trl"


def _ready(make: Callable[[], Kept], format: str, pool: Origin | None) -> Origin | None:
    """The corpus and embeddings, with the map computed, for the formats that need them; a report can do without them."""
    if not _wants_pool(format):
        return None
    try:
        pool = pool or origin_of(make())
    except FisherSFTError:
        if format != REPORT:
            raise
        return None
    with st.spinner("Drawing the map (only once) …"):
        precomputed.map_of(pool[1])
    return pool


def _made(kept: Kept, format: str, pool: Origin | None) -> bytes:
    if format == REPORT:
        return selection_page(kept, pool).html().encode("utf-8", "replace")
    return formats.packed(kept, format, pool)
