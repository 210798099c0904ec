"""Every format in which a selection is exported: tables, a list of numbers, folders that other programs open.

    FORMATS                        what there is, and what each is for
    selection_files(kept, format)  {name: content}; one file, or a folder's
    write_selection(kept, ...)     all of it or nothing, and never over the corpus
    packed(kept, format)           one download: the file, or a zip of the folder

Embedding Atlas shows the whole pool, so that one opens the corpus and its embeddings again.  All but our own sentences came from
a stranger's corpus: it enters YAML through a YAML writer, and Markdown escaped or inside a fence that it cannot close.
"""

from __future__ import annotations

import io
import os
import shlex
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fishersft.corpus.records import Corpus
from fishersft.corpus.tables import WRITE_FORMATS, plain, to_bytes
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import UserError
from fishersft.export.markup import fenced, markdown, one_line, yaml_text
from fishersft.export.provenance import Origin, command_of, is_file, origin_of, provenance_of, title_of, told
from fishersft.export.trl import COMMAND, recipe
from fishersft.paths import replacing, write_whole, writing
from fishersft.pipeline.selections import Kept
from fishersft.scoring.projection import map_of
from fishersft.text import in_shell

Files = dict[str, bytes]
DATA = "data/train-00000-of-00001.parquet"
LICENCE = "unknown: that of the source corpus"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))


@dataclass(frozen=True)
class Format:
    what: str  # it is, in half a sentence
    ending: str = ""  # of the one file; "" for a folder
    pool: bool = False  # whether it takes the corpus and the embeddings, not only the picks
    command: str = ""  # what opens it, with {path} for where it is; "" where anything does


FORMATS = {
    "jsonl": Format("one JSON object a pick: rank, index, gain, tokens and the record's own fields", ".jsonl"),
    "csv": Format("the same for a spreadsheet; cells that would run as formulas are quoted", ".csv"),
    "parquet": Format("the same as a typed table", ".parquet"),
    "indices": Format("the records' numbers in the corpus, one a line, in the order they were picked", ".txt"),
    "dataset": Format(
        "a folder that Hugging Face datasets opens, with a card that states where it came from",
        command='python -c "import datasets, sys; print(datasets.load_dataset(sys.argv[1]))" {path}',
    ),
    "trl": Format("a folder with examples and settings that trl sft trains on", command=f"cd {{path}} && {COMMAND}"),
    "atlas": Format(
        "the whole pool with its map, picks marked, for Embedding Atlas",
        ".parquet",
        pool=True,
        command="embedding-atlas {path} --text text --x x --y y",
    ),
}


def selection_files(kept: Kept, format: str, origin: Origin | None = None) -> Files:
    """The files of a format; UserError where there is none of this name, or the corpus or its embeddings are gone.

    `origin` is the corpus and its embeddings where they are at hand; they are looked for otherwise.
    """
    if format in WRITE_FORMATS:
        return {f"{kept.name}.{format}": to_bytes(kept.picks, format)}
    match format:
        case "indices":
            return {f"{kept.name}.txt": "".join(f"{i}\n" for i in kept.picks["index"]).encode()}
        case "dataset":
            return {"README.md": _card(kept).encode("utf-8", "replace"), DATA: to_bytes(kept.picks, "parquet")}
        case "trl":
            return recipe(kept)
        case "atlas":
            return {f"{kept.name}-atlas.parquet": to_bytes(atlas_table(kept, *(origin or origin_of(kept))), "parquet")}
    raise UserError(f"A selection is exported as {', '.join(FORMATS)} or report; '{format}' is none of them.")


def write_selection(kept: Kept, format: str, path: Path, origin: Origin | None = None) -> str:
    """Write a format to `path`, a file or a new folder, whole or not at all; the command that opens it, "" where anything does.

    UserError where it is the corpus itself, a folder that holds something, or a place that cannot be written.
    """
    source = str(kept.provenance["source"])
    if is_file(source) and os.path.exists(path) and os.path.exists(source) and path.samefile(source):
        raise UserError(f"--out would overwrite the corpus {path} itself; name another file.")
    content, folder = selection_files(kept, format, origin), not FORMATS[format].ending
    if folder and os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path} already exists; this format is a folder of its own, so name a new one with --out.")
    if not folder:
        write_whole(path, next(iter(content.values())))
    else:
        with writing(path), replacing(path) as partial:
            for name, data in content.items():
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                (partial / name).write_bytes(data)
    return opens_with(format, path)


def opens_with(format: str, path: Path | str) -> str:
    """The command that opens a format at this place, for a shell; "" where anything does."""
    return in_shell(FORMATS[format].command.replace("{path}", shlex.quote(str(path))))


def packed(kept: Kept, format: str, origin: Origin | None = None) -> bytes:
    """The format as one download."""
    content = selection_files(kept, format, origin)
    if FORMATS[format].ending:
        return next(iter(content.values()))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(f"{kept.name}-{format}/{name}", data)
    return buffer.getvalue()


def packed_name(stem: str, format: str) -> str:
    """What the download of a selection with this name is called."""
    extra = "-atlas" if format == "atlas" else ""
    ending = FORMATS[format].ending
    return f"{stem}{extra}{ending}" if ending else f"{stem}-{format}.zip"


def atlas_table(kept: Kept, corpus: Corpus, embeddings: TokenEmbeddings) -> pd.DataFrame:
    """One row a record of the pool: its text, its place on the map, what became of it, and the columns worth colouring by."""
    xy = map_of(embeddings).xy
    place = np.searchsorted(embeddings.index, kept.picks["index"].to_numpy())
    rank, gain = np.full(len(embeddings), np.nan), np.full(len(embeddings), np.nan)
    rank[place], gain[place] = kept.picks["rank"], kept.picks["gain"]
    table = pd.DataFrame(
        {"text": [corpus.texts[i] for i in embeddings.index], **dict(zip("xy", xy.T.astype(float), strict=True))}
    )
    table["picked"], table["rank"], table["gain"] = ~np.isnan(rank), pd.array(rank, dtype="Int64"), gain
    table["tokens"], table["index"] = embeddings.tokens, embeddings.index
    for column in corpus.categories:
        name = column
        while name in table.columns:
            name = f"record_{name}"
        table[name] = corpus.fields[column].map(lambda v: None if v is None or v != v else str(v)).to_numpy()[embeddings.index]
    return table


def _card(kept: Kept) -> str:
    """The dataset card: a YAML header that the hub reads, then the same for people."""
    table, title, command = kept.picks, title_of(kept), command_of(kept, shared=True)
    known = {str(k): plain(v) for k, v in provenance_of(kept).items()}
    header = {
        "pretty_name": one_line(title),
        "license": "unknown",
        "size_categories": [next((name for most, name in SIZES if len(table) < most), "n>10M")],
        "tags": ["fishersft", "data-selection"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": DATA}]}],
        "provenance": {**known, "command": command, "licence": LICENCE},
    }
    rows = "\n".join(f"| {markdown(name)} | {markdown(told(value))} |" for name, value in known.items())
    columns = ", ".join(markdown(str(c)) for c in table.columns)
    return (
        f"---\n{yaml_text(header)}---\n\n# {markdown(title)}\n\n"
        f"{len(table):,} records, in the order they were picked. Columns: {columns}. `rank` counts from 1, `index` is the "
        "record's number in the source corpus from 0, `gain` is in nats where the selector has gains, `tokens` are those that "
        "are trained; the others are the record's own.\n\n"
        f"## Where it came from\n\n| | |\n|---|---|\n{rows}\n\n"
        f"Made by:\n\n{fenced(command, 'sh')}\n\n"
        "## Licence\n\nUnknown: it is that of the source corpus. Choosing records changes nothing about who may use them.\n"
    )
