"""The Corpus page: which texts, how they are read, which model, the embeddings, and the corpus in numbers and records.

Uploads are checked before they are read, and embedding says how long it takes before it starts.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import streamlit as st

from fishersft import fields
from fishersft.corpus.encode import CHAT_TEMPLATE, PLAIN_FORM, encoding_sentences
from fishersft.corpus.files import ENDINGS, READ_FORMATS
from fishersft.corpus.load import CLASSICS
from fishersft.corpus.records import COLUMN_OPTIONS, Corpus, ReadOptions
from fishersft.errors import ColumnError, FisherSFTError
from fishersft.fields import declared
from fishersft.lm.embed import Plan
from fishersft.pipeline import embed_and_select
from fishersft.plots import base as plots
from fishersft.store.artifacts import Store
from fishersft.text import duration
from fishersft.ui import cached, components, page
from fishersft.ui.address import choose
from fishersft.ui.components import dark, escape_markdown, helped, one_line, tile
from fishersft.ui.session import Choice, Session, public
from fishersft.ui.uploads import check_upload

SOURCES = ("Demo", "Upload", "Classics", "Path", "Hub")
HIDDEN_IN_PUBLIC = ("Path", "Hub")
HELD_OUT = 0.1


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
        names = list(CLASSICS)
        name = st.selectbox(
            "Classic",
            names,
            index=names.index(now) if now in names else None,
            format_func=lambda name: CLASSICS[name].title,
            placeholder="choose one; it is about 1 MB and downloaded once",
            help="Public-domain texts.",
        )
        if name and name != now:
            choose(corpus=name, options=())
    else:
        hub = source == "Hub"
        known = now.removeprefix("hf:") if kind == source else ""
        text = st.text_input(
            "Data set on the hub" if hub else "Path of a file on this machine",
            value=known,
            key=f"corpus-{source}",
            placeholder="owner/name" if hub else "/data/texts.jsonl",
            help="Needs the network and the extra 'hub'." if hub else f"One of {', '.join(READ_FORMATS)}.",
        ).strip()
        if text and text != known:
            choose(corpus=f"hf:{text}" if hub else text, options=())


def _upload() -> None:
    file = st.file_uploader(
        "Your file",
        type=[ending.removeprefix(".") for ending in ENDINGS],
        key="upload",
        help="Text: one example per line. Tables and JSON: texts, questions and answers, instructions, chats (also ShareGPT), "
        "preference pairs and other usual shapes are known by their columns; metadata columns are kept.",
    )
    if file is None or st.session_state.get("upload_seen") == file.file_id:
        return
    st.session_state["upload_seen"] = file.file_id
    try:
        data = file.getvalue()
        kept = Store.default().keep_upload(data, check_upload(file.name, data), one_line(file.name, 60))
    except FisherSFTError as error:
        components.problem(str(error))
        return
    choose(corpus=f"upload:{kept.name}", options=())


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
        components.problem("The columns could not be identified. Choose below what they hold and read again.")
        st.caption(escape_markdown(page.on_screen(session.choice, error)))
        reading_options(session, error.columns, wanted=True)
    except FisherSFTError as error:
        components.problem(page.on_screen(session.choice, error))
        page.way_back(elsewhere=False)
        reading_options(session, [], wanted="skip-bad" in str(error))
    return None


def reading_options(session: Session, columns: list[str], *, wanted: bool = False) -> None:
    """How the corpus is read: a form, since a change reads it again; open where the visitor must say something."""
    now = dict(session.choice.options)
    known = declared(ReadOptions)
    asked: dict[str, Any] = {}
    unnamed = "none" if wanted and columns else "found automatically"
    with st.expander("How it is read", expanded=wanted, icon=":material/tune:"), st.form("reading", border=False):
        st.caption(
            "Name the text column, or the prompt and completion columns, or the messages column; the others belong to them."
        )
        places = [*st.columns(3), *st.columns(3)]
        for place, name in zip(places, COLUMN_OPTIONS, strict=True):
            names = [None, *columns]
            asked[name] = place.selectbox(
                known[name].label,
                names,
                index=names.index(now[name]) if now.get(name) in columns else 0,
                format_func=lambda column: unnamed if column is None else one_line(column, 60),
                help=known[name].about.help,
            )
        left, middle, right = st.columns(3)
        words = {
            "line": "the end of a line",
            "blank-line": "a blank line",
            "first-line": "in the first line",
            "none": "nowhere: it is a record",
        }
        for place, name in ((left, "split_on"), (middle, "header")):
            choices = known[name].about.choices
            asked[name] = place.selectbox(
                known[name].label,
                choices,
                index=choices.index(now[name]) if now.get(name) in choices else 0,
                format_func=words.__getitem__,
                help=known[name].about.help,
            )
        said = f"{known['holdout'].about.help} A split column in the corpus takes precedence."
        asked["holdout"] = right.number_input(known["holdout"].label, 0.0, 0.9, _share(now), 0.05, help=said)
        row = st.container(horizontal=True)
        for name in (name for name, one in known.items() if one.type is bool):
            asked[name] = row.checkbox(known[name].label, value=name in now, help=known[name].about.help)
        if st.form_submit_button("Read again"):
            given = fields.changed(ReadOptions(**asked))
            choose(options=tuple((name, "" if value is True else _written(value)) for name, value in given.items()))
            st.rerun()


def _share(now: dict[str, str]) -> float:
    """The held-out share that the number field shows."""
    try:
        return min(0.9, max(0.0, float(now.get("holdout", HELD_OUT))))
    except ValueError:
        return HELD_OUT


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def understood(corpus: Corpus) -> None:
    """How the records were read, and what of them is not used."""
    about = corpus.understood
    taken = ", ".join(f"{role}: {one_line(column, 60)}" for role, column in about.columns)
    said = " ".join([f"{f' ({taken})' if taken else ''}.", *(f"{note[:1].upper()}{note[1:]}." for note in about.notes)])
    st.markdown(f":material/table_view: Read as **{about.shape}**{escape_markdown(said)}")
    if about.unused:
        st.warning(escape_markdown(f"Not used: {'; '.join(about.unused)}."), icon=":material/rule:")


def encoding(session: Session, corpus: Corpus, layout: Plan) -> None:
    """How the records become tokens: what writes them, what of them is not read, which have no trained token and why."""
    folder = cached.folder(session.choice)
    facts = {
        "model": folder.name,
        "model_note": folder.note,
        "written_by": CHAT_TEMPLATE if folder.writes(corpus) else PLAIN_FORM,
        "untrained": layout.untrained,
        "unshown": layout.unshown,
    }
    if said := encoding_sentences(facts):
        sentence = escape_markdown(page.on_screen(session.choice, " ".join(said)))
        if layout.untrained or layout.unshown:
            st.warning(sentence, icon=":material/rule:")
        else:
            st.caption(sentence)


def first_record(session: Session, corpus: Corpus) -> None:
    """The first record token by token, the trained ones marked."""
    texts, trained = cached.pieces(corpus, cached.folder(session.choice), 0)
    with st.expander("The first record as it is trained", expanded=True, icon=":material/format_ink_highlighter:"):
        if not len(texts):
            st.caption("The model's chat template refuses this record, so it is left out.")
            return
        components.marked_tokens(texts, trained)
        count = int(np.sum(trained))
        said = f"{count:,} of its {len(texts):,} tokens are trained: the coloured ones. The others are only read."
        st.caption(said if count else "No token of this record is trained.")


def embed(session: Session, layout: Plan) -> None:
    """The one action of the page: compute the embeddings, or go and explore them."""
    known = cached.embeddings(session.choice)
    if known is None:
        if compute(session.choice, layout):
            st.switch_page("pages/explore.py")
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    rows = f"{len(known.values):,} rows of {known.dimension} numbers ({known.facts['dtype']})"
    row.markdown(f":material/check_circle: Embedded: {rows}.")
    if row.button("Explore", type="primary", icon=":material/scatter_plot:"):
        st.switch_page("pages/explore.py")


def compute(choice: Choice, layout: Plan) -> bool:
    """A button that embeds, with the time it takes before it starts; True once it is done."""
    model = cached.model(choice)
    total = sum(len(e.ids) for e in layout.encoded)
    row = st.container(horizontal=True, vertical_alignment="center")
    go = row.button(f"Embed {len(layout.index):,} records", type="primary", icon=":material/memory:")
    head = "" if model.head == "exact" else f" This model's logits are its head's output {model.head}."
    row.caption(
        f"{total:,} tokens, about {duration(total / cached.tokens_a_second(choice))} here. "
        f"If it is stopped or interrupted, it resumes where it left off.{head}"
    )
    if not go:
        return False
    bar = st.progress(0.0, "Embedding …")
    st.button("Stop", icon=":material/stop:", help="What has been computed so far is saved.")
    started, first = time.perf_counter(), None

    def report(done: int, total: int) -> None:
        nonlocal first
        first = done if first is None else first
        rest = (time.perf_counter() - started) / max(done - first, 1) * (total - done)
        left = f", about {duration(rest)} left" if done > first else ""
        bar.progress(min(1.0, done / max(total, 1)), f"Embedding: {done:,} of {total:,} tokens{left}")

    embed_and_select.embed(cached.corpus(choice), model, on_progress=report)
    return True


def tiles(corpus: Corpus, layout: Plan) -> None:
    """The corpus in numbers."""
    repeated, broken = corpus.duplicates, corpus.bad_lines
    with st.container(horizontal=True, key="tiles"):
        tile(
            "Records",
            f"{len(corpus):,}",
            "Records of the corpus as loaded. Held-out records are never selected; models are measured on them.",
            f"{int(corpus.held_out.sum()):,} held out",
        )
        tile(
            "Trained tokens",
            f"{layout.rows:,}",
            helped("Rows of the design: positions whose next token is trained, in the pool.", "design matrix"),
            f"median {int(np.median(np.diff(layout.offsets))):,} per record",
        )
        tile(
            "Truncated",
            f"{layout.truncated:,}",
            "Records that are longer than the model can read at once; each is cut off there.",
            f"{len(layout.skipped):,} without a trained token",
        )
        tile(
            "Exact duplicates",
            f"{repeated:,}",
            "Records that repeat an earlier record exactly.",
            f"{broken:,} broken lines skipped" if broken else f"{repeated / len(corpus):.1%} of all",
        )
        for column in corpus.categories[:2]:
            counts = corpus.fields[column].dropna().map(str).value_counts()
            tile(
                escape_markdown(one_line(column, 24)),
                f"{len(counts)} values",
                "How many different values this column has; it can colour the map.",
                escape_markdown(f"largest: {one_line(counts.index[0], 18)}, {counts.iloc[0]:,}"),
            )


def lengths(layout: Plan, cut: int) -> None:
    """How long the records are."""
    st.markdown("**Length of the records in the pool**", help=helped("A long record has more rows and so gains more.", "length"))
    drawn = plots.length_histogram(np.diff(layout.offsets), cut, dark=dark())
    components.still_chart(drawn, "lengths", "Histogram of trained tokens per record")
    st.caption(
        f"{len(layout.index):,} records, cut at {cut} tokens. TokenOD prefers long records; Longest is the control for this."
    )


def browse(corpus: Corpus, layout: Plan) -> None:
    """Every record, searchable."""
    found = components.search("Search the records", "find", "Finds records that contain all the words, in any order and case.")
    counts = np.zeros(len(corpus), dtype=int)
    counts[layout.index] = np.diff(layout.offsets)
    keep = np.arange(len(corpus)) if found is None else np.flatnonzero([found(text) for text in corpus.texts])
    if not len(keep):
        st.info("No record contains all these words.", icon=":material/search_off:")
        return
    shown = keep[: components.MOST_ROWS]
    columns = {"record": shown, "part": _parts(corpus, counts)[shown], "tokens": components.blank_zeros(counts[shown])}
    components.record_table(corpus, columns, "The records of the corpus", beside=True)
    more = f"; the first {len(shown):,} are shown." if len(keep) > len(shown) else "."
    st.caption(f"{len(keep):,} of {len(corpus):,} records{more}")


def _parts(corpus: Corpus, tokens: np.ndarray | None = None) -> np.ndarray:
    """(N,) what becomes of each record: held out, in the pool, skipped for want of a trained token, or dropped."""
    part = np.where(corpus.held_out, "held out", "dropped")
    part[corpus.pool_index] = "pool" if tokens is None else np.where(tokens > 0, "pool", "skipped")[corpus.pool_index]
    return part


def near_duplicates(session: Session, corpus: Corpus) -> None:
    """Records that nearly repeat each other, a group below the other, and a button that leaves one of each in the pool."""
    st.markdown(
        "**Near-duplicates**",
        help="Texts that differ in case, spacing, punctuation, boilerplate or one word in 25. They are held out together: what "
        "was trained on one of them is not measured fairly on another.",
    )
    with st.spinner("Looking for near-duplicates …"):
        repeats = corpus.repeats
    st.caption(repeats.sentence)
    if not repeats.groups:
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    across = [g for g in repeats.groups if np.isin(g, repeats.leaking).any()]
    only = bool(across) and row.toggle(
        "Only groups on both sides of the split",
        key="across-the-split",
        help="Groups with a held-out record and one in the pool: what is measured on the first was nearly trained on.",
    )
    now, spare = dict(session.choice.options), int(repeats.spare.sum())
    dropping = "drop_near_duplicates" in now
    if (dropping or spare) and row.button(
        "Put them back into the pool" if dropping else f"Drop {spare:,} of them from the pool",
        icon=":material/undo:" if dropping else ":material/filter_alt:",
        help=f"{declared(ReadOptions)['drop_near_duplicates'].about.help} The pool is then embedded anew.",
    ):
        now = {k: v for k, v in now.items() if k != "drop_near_duplicates"}
        choose(options=tuple({**now, **({} if dropping else {"drop_near_duplicates": ""})}.items()))
        st.rerun()
    groups = across if only else repeats.groups
    shown = np.concatenate(groups)[: components.MOST_ROWS]
    number = np.repeat(np.arange(1, len(groups) + 1), [len(g) for g in groups])[: len(shown)]
    columns = {"group": number, "record": shown, "part": _parts(corpus)[shown]}
    components.record_table(corpus, columns, "Groups of near-duplicates")
    if len(shown) < sum(map(len, groups)):
        st.caption(f"The first {len(shown):,} records are shown.")
