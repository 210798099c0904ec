"""Every format in which a selection is exported: tables, a list of numbers, folders that other programs open.

    FORMATS                        what there is, and what each is for
    selection_files(kept, format)  {name: content}; one file, or a folder's
    write_selection(kept, ...)     all of it or nothing, and never over the corpus
    packed(kept, format)           one download: the file, or a zip of the folder

Embedding Atlas shows the whole pool, so that one opens the corpus and its embeddings again.  Knows no screen and no report.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fishersft.corpus.files import WRITE_FORMATS, to_bytes
from fishersft.corpus.load import load_corpus
from fishersft.corpus.records import Corpus
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import FisherSFTError, StoreError, UserError, os_reason
from fishersft.export.card import dataset_folder
from fishersft.export.reproduce_code import command_of, is_file, load_options, model_of, source_of
from fishersft.export.trl import COMMAND, trl_folder
from fishersft.fields import values
from fishersft.lm.embed import open_embeddings
from fishersft.lm.folder import find_model
from fishersft.lm.hyperparameters import USUAL_RATE, Training
from fishersft.paths import replacing, write_whole
from fishersft.pipeline.selections import BY_HAND, Kept
from fishersft.scoring.precomputed import map_of
from fishersft.store.artifacts import Store, open_artifact

Files = dict[str, bytes]
Origin = tuple[Corpus, TokenEmbeddings]  # what the picks were chosen from


@dataclass(frozen=True)
class Format:
    """One export format.

    Attributes:
        what: what it is, in half a sentence.
        ending: of the one file; "" for a folder.
        pool: whether it takes the corpus and the embeddings, not only the picks.
        command: what opens it, with {path} for where it is; "" where anything does.
    """

    what: str
    ending: str = ""
    pool: bool = False
    command: str = ""


FORMATS = {
    "jsonl": Format("one JSON object a pick: rank, index, gain, tokens and the record's own fields", ".jsonl"),
    "csv": Format("the same for a spreadsheet; cells that would run as formulas are quoted", ".csv"),
    "parquet": Format("the same as a typed table", ".parquet"),
    "indices": Format("the records' numbers in the corpus, one a line, in the order they were picked", ".txt"),
    "dataset": Format(
        "a folder that Hugging Face datasets opens, with a card that states where it came from",
        command='python -c "import datasets; print(datasets.load_dataset({path!r}))"',
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
    """The files of a format.

    Args:
        origin: the corpus and its embeddings where they are at hand; looked for otherwise.

    Raises:
        UserError: no such format, or the corpus or its embeddings are gone.
    """
    if format in WRITE_FORMATS:
        return {f"{kept.name}.{format}": to_bytes(kept.picks, format)}
    match format:
        case "indices":
            return {f"{kept.name}.txt": "".join(f"{i}\n" for i in kept.picks["index"]).encode()}
        case "dataset":
            return dataset_folder(kept.picks, title_of(kept), provenance_of(kept), command_of(kept, shared=True))
        case "trl":
            return _trl(kept)
        case "atlas":
            return {f"{kept.name}-atlas.parquet": to_bytes(atlas_table(kept, *(origin or origin_of(kept))), "parquet")}
    raise UserError(f"A selection is exported as {', '.join(FORMATS)} or report; '{format}' is none of them.")


def write_selection(kept: Kept, format: str, path: Path, origin: Origin | None = None) -> str:
    """Write a format to `path`: a file, or a new folder.  Returns the command that opens it; "" where anything does.

    Raises:
        UserError: it is the corpus itself, a folder that holds something, or a place that cannot be written.
    """
    source = str(kept.provenance["source"])
    if is_file(source) and os.path.exists(path) and os.path.exists(source) and path.samefile(source):
        raise UserError(f"--out would overwrite the corpus {path} itself; name another file.")
    write_files(selection_files(kept, format, origin), path, folder=not FORMATS[format].ending)
    return FORMATS[format].command.replace("{path!r}", repr(str(path))).replace("{path}", shlex.quote(str(path)))


def write_files(content: Mapping[str, bytes], path: Path, *, folder: bool) -> None:
    """Files as one folder that was not there, or the only one as a file: whole or not at all.

    Raises:
        UserError: the folder is there and not empty, or the place cannot be written.
    """
    if folder and os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path} is there already; this format is a folder of its own, so name a new one with --out.")
    if not folder:
        return write_whole(path, next(iter(content.values())))
    try:
        with replacing(path) as partial:
            for name, data in content.items():
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                (partial / name).write_bytes(data)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({os_reason(error)}); name another place with --out.") from error


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


def title_of(kept: Kept) -> str:
    """One line for people."""
    m = kept.manifest
    name = f"{m['name']}: " if m.get("name") else ""
    whose = "hand" if m["selector"] == BY_HAND else m["selector"]
    return f"{name}{len(kept.picks):,} records of {m['corpus']} chosen by {whose}"


def provenance_of(kept: Kept, *, shared: bool = True) -> dict[str, Any]:
    """Where the picks came from, by name; `shared` leaves out where files lie."""
    m, came = kept.manifest, kept.provenance
    return {
        "corpus": source_of(kept, shared=shared),
        "corpus fingerprint": m["corpus_fingerprint"],
        "corpus records": came["records"],
        "pool": m["pool"],
        "model": model_of(kept, shared=shared),
        "model revision": came["revision"],
        "model fingerprint": came["model_fingerprint"],
        "max tokens": came["max_tokens"],
        "selector": m["selector"],
        "parameters": m["selector_parameters"],
        "seed": m["seed"],
        "budget": f"{len(kept.picks):,} sentences",
        "trained tokens": m["tokens"],
        "log det gained (nats)": m["log_det"],
        "at least this share of the optimum": m["proven_share_of_optimum"],
        "made": m["made"],
        "versions": {"fishersft": m["fishersft"], **came["versions"]},
    }


def origin_of(kept: Kept, store: Store | None = None) -> Origin:
    """The corpus and the embeddings that the picks came from.

    Raises:
        UserError: one of them is gone or is another by now.
    """
    store, came = store or Store.default(), kept.provenance
    folder = store.folders("embeddings").get(str(kept.manifest["embeddings"]))
    if folder is None:
        raise StoreError("The embeddings that these picks came from are no longer in the store; run the same select again.")
    corpus = load_corpus(str(came["source"]), name=str(kept.manifest["corpus"]), **load_options(kept))
    if corpus.fingerprint != kept.manifest["corpus_fingerprint"]:
        raise UserError(f"The corpus {corpus.name} has changed since these picks were made; run the same select again.")
    found = open_artifact(folder)
    return corpus, open_embeddings(found.path, found.manifest, found.key)


def atlas_table(kept: Kept, corpus: Corpus, embeddings: TokenEmbeddings) -> pd.DataFrame:
    """One row a record of the pool: its text, its place on the map, what became of it, and the columns worth colouring by."""
    xy = map_of(embeddings)
    place = np.searchsorted(embeddings.index, kept.picks["index"].to_numpy())
    rank, gain = np.full(len(embeddings), np.nan), np.full(len(embeddings), np.nan)
    rank[place], gain[place] = kept.picks["rank"], kept.picks["gain"]
    table = pd.DataFrame(
        {
            "text": [corpus.texts[i] for i in embeddings.index],
            "x": xy[:, 0].astype(float),
            "y": xy[:, 1].astype(float),
            "picked": ~np.isnan(rank),
            "rank": pd.array([None if np.isnan(r) else int(r) for r in rank], dtype="Int64"),
            "gain": gain,
            "tokens": embeddings.tokens,
            "index": embeddings.index,
        }
    )
    for column in corpus.categories:
        name = column
        while name in table.columns:
            name = f"record_{name}"
        table[name] = corpus.fields[column].map(lambda v: None if v is None or v != v else str(v)).to_numpy()[embeddings.index]
    return table


def _trl(kept: Kept) -> Files:

    came = kept.provenance
    model = str(came["model"])
    if not came["revision"]:
        with contextlib.suppress(FisherSFTError):  # gone by now: its name is the best that can be said
            model = str(find_model(model).path)  # trl knows no `mini`
    return trl_folder(
        kept.examples,
        title_of(kept),
        model=model,
        revision=came["revision"],
        max_tokens=came["max_tokens"],
        training=values(Training(learning_rate=USUAL_RATE)),
        seed=int(kept.manifest["seed"]),
        made_by=command_of(kept, shared=True),
    )
