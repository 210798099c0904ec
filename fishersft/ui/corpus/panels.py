"""The panels of the Corpus page: choose, read, look, embed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.corpus import classics
from fishersft.corpus.read import FORMATS
from fishersft.corpus.records import Corpus
from fishersft.errors import ColumnError, FisherSFTError
from fishersft.lm.embed import Plan
from fishersft.plots import base as plots
from fishersft.runs import pipeline
from fishersft.runs.store import Store
from fishersft.ui import cached, components, frame, learn
from fishersft.ui.components import tile
from fishersft.ui.corpus.uploads import check_upload
from fishersft.ui.session import Choice, Session, choose, public
from fishersft.ui.theme import dark

SOURCES = {"Demo": "demo", "Upload": "upload", "Classics": "classics", "Path": "path", "Hub": "hub"}
HIDDEN_IN_PUBLIC = ("Path", "Hub")
MOST_ROWS = 2_000


def choose_corpus(session: Session) -> None:
    """Demo, a file of the visitor's, a classic, a path, or the hub."""
    now = session.choice.corpus
    kind = {"demo": "Demo", **dict.fromkeys(classics.CLASSICS, "Classics")}.get(
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
        titles = {name: c.title for name, c in classics.CLASSICS.items()}
        name = st.selectbox(
            "Classic",
            list(titles),
            index=None if now not in titles else list(titles).index(now),
            format_func=titles.__getitem__,
            placeholder="choose one; it is downloaded once, about 1 MB",
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
            help="Needs the network and the extra 'hub'." if hub else f"One of {', '.join(FORMATS)}.",
        ).strip()
        if text and (not fits or text != now.removeprefix("hf:")):
            choose(corpus=f"hf:{text}" if hub else text, options=())


def _upload() -> None:
    file = st.file_uploader(
        "A file of yours",
        type=[f.removeprefix(".") for f in FORMATS],
        key="upload",
        help="Text: one example a line. Tables and JSON: a column text, or prompt and completion, instruction and output, "
        "or messages; metadata columns are kept.",
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
            help="The column that holds the text; prompt and completion, instruction and output, messages and text are found.",
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
            help="Records no selector sees, kept for measuring: at least 50 where there are that many, at most half. "
            "A split column in the corpus wins.",
        )
        skip = st.checkbox(
            "Skip broken lines, and count them",
            value="skip_bad" in now,
            help="A line that cannot be read is left out; how many is said above.",
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
        components.problem("No column is known to hold the text. Choose it below and read again.")
        st.caption(components.escape_markdown(frame.told(session.choice, error)))
        reading_options(session, error.columns, wanted=True)
    except FisherSFTError as error:
        components.problem(frame.told(session.choice, error))
        frame.way_back(elsewhere=False)
        reading_options(session, [], wanted="skip-bad" in str(error))
    return None


def tiles(corpus: Corpus, layout: Plan) -> None:
    """The corpus in numbers."""
    tokens = np.diff(layout.offsets)
    with st.container(horizontal=True, key="tiles"):
        tile(
            "Records",
            f"{len(corpus):,}",
            "As loaded; held-out ones are never selected from, and all measuring is on them.",
            f"{int(corpus.held_out.sum()):,} held out",
        )
        tile(
            "Trained tokens",
            f"{layout.rows:,}",
            learn.helped("Rows of the design: positions whose next token is trained, in the pool.", "design matrix"),
            f"median {int(np.median(tokens)):,} a record",
        )
        tile(
            "Truncated",
            f"{layout.truncated:,}",
            "Records longer than the model may read at once; the rest of them is cut off.",
            f"{len(layout.skipped):,} without a trained token",
        )
        tile(
            "Exact duplicates",
            f"{corpus.duplicates:,}",
            "Records that repeat an earlier one letter by letter.",
            f"{corpus.bad_lines:,} broken lines skipped" if corpus.bad_lines else f"{corpus.duplicates / len(corpus):.1%} of all",
        )
        for column in corpus.categories[:2]:
            counts = corpus.fields[column].dropna().map(str).value_counts()
            tile(
                components.escape_markdown(components.one_line(column, 24)),
                f"{len(counts)} values",
                "Different values of this column; it can colour the map.",
                components.escape_markdown(f"largest: {components.one_line(counts.index[0], 18)}, {counts.iloc[0]:,}"),
            )


def lengths(corpus: Corpus, layout: Plan, cut: int) -> None:
    """How long the records are."""
    said = "A long record has more rows, and so gains more."
    st.markdown("**Length of the records in the pool**", help=learn.helped(said, "length"))
    st.plotly_chart(
        plots.length_histogram(np.diff(layout.offsets), cut, dark=dark()),
        theme=None,
        key="lengths",
        config=components.camera("lengths"),
        alt="Histogram of trained tokens a record",
    )
    st.caption(
        f"{len(layout.index):,} records, cut at {cut} tokens. TokenOD prefers long ones: that is what Longest controls for."
    )


def browse(corpus: Corpus, layout: Plan) -> None:
    """Every record, searchable."""
    words = (
        st.text_input(
            "Search the records",
            key="find",
            type="search",
            placeholder="words in the text",
            max_chars=200,
            help="Records that hold all the words, in any order and case.",
        )
        .lower()
        .split()
    )
    counts = np.zeros(len(corpus), dtype=int)
    counts[layout.index] = np.diff(layout.offsets)
    keep = [i for i, t in enumerate(corpus.texts) if all(w in t.lower() for w in words)] if words else list(range(len(corpus)))
    if not keep:
        st.info("No record holds all these words.", icon=":material/search_off:")
        return
    shown = keep[:MOST_ROWS]
    part = np.where(corpus.held_out, "held out", np.where(counts > 0, "pool", "skipped"))
    table = pd.DataFrame({"record": shown, "part": part[shown], "tokens": [counts[i] or None for i in shown]})
    for column in corpus.categories[:2]:
        table[f" {column}"] = [
            components.one_line(v, 40) if v is not None and v == v else "" for v in corpus.fields[column].iloc[shown]
        ]
    table["text"] = [components.one_line(corpus.texts[i]) for i in shown]
    st.dataframe(
        table,
        hide_index=True,
        height=380,
        row_height=34,
        placeholder="",
        alt="The records of the corpus",
        column_config={
            "record": st.column_config.NumberColumn(width=70, help="Number in the corpus, from 0."),
            "part": st.column_config.TextColumn(width=80, help="Held-out and skipped records are never selected."),
            "tokens": st.column_config.NumberColumn(width=70, help="Trained tokens, in the pool."),
            "text": st.column_config.TextColumn(width="large"),
        },
    )
    st.caption(
        f"{len(keep):,} of {len(corpus):,} records" + (f"; the first {MOST_ROWS:,} are shown." if len(keep) > MOST_ROWS else ".")
    )


def embed(session: Session, layout: Plan) -> None:
    """The one action of the page: compute the embeddings, or go and explore them."""
    if (known := cached.embeddings(session.choice)) is not None:
        facts = known.facts
        row = st.container(horizontal=True, vertical_alignment="center")
        row.markdown(
            f":material/check_circle: Embedded: {len(known.values):,} rows of {known.dimension} numbers ({facts['dtype']})."
        )
        if row.button("Explore", type="primary", icon=":material/scatter_plot:"):
            st.switch_page("pages/explore.py")
        return
    if compute(session.choice, layout):
        st.switch_page("pages/explore.py")


def compute(choice: Choice, layout: Plan) -> bool:
    """A button that embeds, with the time it takes before it starts; True once it is done."""
    speed = cached.tokens_a_second(choice)
    total = sum(len(e.ids) for e in layout.encoded)
    row = st.container(horizontal=True, vertical_alignment="center")
    go = row.button(f"Embed {len(layout.index):,} records", type="primary", icon=":material/memory:")
    row.caption(
        f"{total:,} tokens, about {components.duration(total / speed)} here. Stopped or interrupted, it goes on where it was. "
        f"{_head(cached.model(choice).head)}"
    )
    if not go:
        return False
    bar = st.progress(0.0, "Embedding …")
    st.button("Stop", icon=":material/stop:", help="What is done is kept.")
    pipeline.embed(cached.corpus(choice), cached.model(choice), on_progress=_reporter(bar))
    return True


def _reporter(bar: st.delta_generator.DeltaGenerator) -> Callable[[int, int], None]:
    import time

    started, first = time.perf_counter(), None

    def report(done: int, total: int) -> None:
        nonlocal first
        first = done if first is None else first
        spent = time.perf_counter() - started
        rest = spent / max(done - first, 1) * (total - done)
        left = f", about {components.duration(rest)} left" if done > first else ""
        bar.progress(min(1.0, done / max(total, 1)), f"Embedding: {done:,} of {total:,} tokens{left}")

    return report


def _head(head: str) -> str:
    return "" if head == "exact" else f"This model's logits are its head's output {head}."
