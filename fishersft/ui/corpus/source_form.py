"""The controls of the Corpus page: which texts, how they are read, and which model; uploads are checked before they are read."""

from __future__ import annotations

import io
from pathlib import PurePath

import pyarrow as pa
import pyarrow.parquet as pq
import streamlit as st

from fishersft.corpus.files import READ_FORMATS, not_read
from fishersft.corpus.load import CLASSICS
from fishersft.corpus.records import Corpus
from fishersft.errors import ColumnError, CorpusError, FisherSFTError
from fishersft.store.artifacts import Store
from fishersft.ui import cached, components, page
from fishersft.ui.address import choose
from fishersft.ui.session import Session, public

SOURCES = {"Demo": "demo", "Upload": "upload", "Classics": "classics", "Path": "path", "Hub": "hub"}
HIDDEN_IN_PUBLIC = ("Path", "Hub")
MOST_BYTES, MOST_PUBLIC_BYTES = 200_000_000, 10_000_000
MOST_LINES = 1_000_000
LONGEST_LINE = 5_000_000


def choose_corpus(session: Session) -> None:
    """Demo, a file of the visitor's, a classic, a path, or the hub."""
    now = session.choice.corpus
    kind = {"demo": "Demo", **dict.fromkeys(CLASSICS, "Classics")}.get(
        now, "Upload" if now.startswith("upload:") else "Hub" if now.startswith("hf:") else "Path"
    )
    options = [s for s in SOURCES if not (public() and s in HIDDEN_IN_PUBLIC)]
    source = st.segmented_control(
        "Corpus",
        options,
        default=kind if kind in options else "Demo",
        required=True,
        key="source",
        persist_state="session",
        help="The texts to choose from. Demo: 1,389 short original texts on 16 topics.",
    )
    if source == "Demo":
        if kind != "Demo":
            choose(corpus="demo", options=())
    elif source == "Upload":
        _upload()
    elif source == "Classics":
        titles = {name: c.title for name, c in CLASSICS.items()}
        name = st.selectbox(
            "Classic",
            list(titles),
            index=None if now not in titles else list(titles).index(now),
            format_func=titles.__getitem__,
            placeholder="choose one; it is about 1 MB and downloaded once",
            help="Public-domain texts.",
        )
        if name and name != now:
            choose(corpus=name, options=())
    else:
        hub = source == "Hub"
        fits = now.startswith("hf:") if hub else kind == "Path"
        text = st.text_input(
            "Data set on the hub" if hub else "Path of a file on this machine",
            value=now.removeprefix("hf:") if fits else "",
            key=f"corpus-{source}",
            placeholder="owner/name" if hub else "/data/texts.jsonl",
            help="Needs the network and the extra 'hub'." if hub else f"One of {', '.join(READ_FORMATS)}.",
        ).strip()
        if text and (not fits or text != now.removeprefix("hf:")):
            choose(corpus=f"hf:{text}" if hub else text, options=())


def _upload() -> None:
    file = st.file_uploader(
        "Your file",
        type=[f.removeprefix(".") for f in READ_FORMATS],
        key="upload",
        help="Text: one example per line. Tables and JSON: a column named text, or prompt and completion, instruction and "
        "output, or messages; metadata columns are kept.",
    )
    if file is None or st.session_state.get("upload_seen") == file.file_id:
        return
    st.session_state["upload_seen"] = file.file_id
    try:
        data = file.getvalue()
        suffix = check_upload(file.name, data)
        kept = Store.default().keep_upload(data, suffix, components.one_line(file.name, 60))
    except FisherSFTError as error:
        components.problem(str(error))
        return
    choose(corpus=f"upload:{kept.name}", options=())


def reading_options(session: Session, columns: list[str], *, wanted: bool = False) -> None:
    """How the corpus is read: a form, since a change reads it again; open where the visitor must say something."""
    now = dict(session.choice.options)
    with st.expander("How it is read", expanded=wanted, icon=":material/tune:"), st.form("reading", border=False):
        left, middle, right = st.columns(3)
        names = ["found automatically", *columns]
        chosen = left.selectbox(
            "Text column",
            names,
            index=names.index(now["text_column"]) if now.get("text_column") in names else 0,
            help="The column that holds the text. Columns named text, prompt and completion, instruction and output, "
            "or messages are found automatically.",
        )
        split = middle.selectbox(
            "A .txt file's examples end at",
            ["line", "blank-line"],
            index=int(now.get("split_on") == "blank-line"),
            format_func={"line": "the end of a line", "blank-line": "a blank line"}.__getitem__,
            help="For .txt files only.",
        )
        held = right.number_input(
            "Held-out share",
            0.0,
            0.9,
            _share(now.get("holdout", "0.1")),
            0.05,
            help="Records reserved for measuring, which no selector sees: at least 50 if there are that many, at most half. "
            "A split column in the corpus takes precedence.",
        )
        skip = st.checkbox(
            "Skip broken lines, and count them",
            value="skip_bad" in now,
            help="Lines that cannot be read are left out; their number is shown above.",
        )
        if st.form_submit_button("Read again"):
            options = {
                "text_column": None if chosen == names[0] else chosen,
                "split_on": split if split != "line" else None,
                "holdout": f"{held:g}" if held != 0.1 else None,
                "skip_bad": "" if skip else None,
            }
            choose(options=tuple((k, v) for k, v in options.items() if v is not None))
            st.rerun()


def _share(text: str) -> float:
    """A held-out share from an address, as the form can show it."""
    try:
        return min(0.9, max(0.0, float(text)))
    except ValueError:
        return 0.1


def choose_model(session: Session) -> None:
    """The embedded model, a folder, or a hub id."""
    if public():
        st.text_input("Model", "mini", disabled=True, help="This hosted demo has one model.")
        return
    text = st.text_input(
        "Model",
        value=session.choice.model,
        key="model-name",
        placeholder="mini",
        help="mini (embedded: a GPT-2 of 4.3 M parameters), a folder with config.json and safetensors, or a hub id such as "
        "gpt2. Pickled weights and code from a repository are never loaded.",
    ).strip()
    choose(model=text or "mini")


def read(session: Session) -> Corpus | None:
    """The corpus, or a box that says why not, with a way to name the column where that is what is missing."""
    try:
        return cached.corpus(session.choice)
    except ColumnError as error:
        components.problem("The text column could not be identified. Choose it below and read again.")
        st.caption(components.escape_markdown(page.on_screen(session.choice, error)))
        reading_options(session, error.columns, wanted=True)
    except FisherSFTError as error:
        components.problem(page.on_screen(session.choice, error))
        page.way_back(elsewhere=False)
        reading_options(session, [], wanted="skip-bad" in str(error))
    return None


def check_upload(name: str, data: bytes) -> str:
    """The file's ending, if it may come in.

    Raises:
        CorpusError: wrong type, too large, too many lines, or a line too long.
    """
    suffix = PurePath(name).suffix.lower()
    shown = PurePath(name).name[:80]
    if suffix not in READ_FORMATS:
        raise not_read(shown, suffix[:12])
    most = MOST_PUBLIC_BYTES if public() else MOST_BYTES
    if len(data) > most:
        raise CorpusError(f"{shown} has {len(data) / 1e6:,.0f} MB; at most {most / 1e6:,.0f} MB are accepted here.")
    if suffix == ".parquet":
        _check_parquet(shown, data, most)
    elif suffix != ".json":
        lines = data.count(b"\n")
        if lines > MOST_LINES:
            raise CorpusError(f"{shown} has {lines:,} lines; at most {MOST_LINES:,} are accepted here.")
        longest = max(map(len, data.split(b"\n")))
        if longest > LONGEST_LINE:
            raise CorpusError(f"{shown} has a line of {longest:,} bytes; at most {LONGEST_LINE:,} are accepted here.")
    return suffix


def _check_parquet(shown: str, data: bytes, most: int) -> None:
    try:
        about = pq.ParquetFile(io.BytesIO(data)).metadata
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{shown} is not a readable parquet file.") from error
    unpacked = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    if about.num_rows > MOST_LINES or unpacked > 4 * most:
        raise CorpusError(f"{shown} unpacks to {about.num_rows:,} records and {unpacked / 1e6:,.0f} MB; that is too much here.")
