"""Which texts, how they are read, and which model: the controls of the Corpus page.

What is uploaded, see `uploads`.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from fishersft import fields
from fishersft.corpus.files import READ_FORMATS
from fishersft.corpus.load import CLASSICS
from fishersft.corpus.records import COLUMN_OPTIONS, Corpus, ReadOptions
from fishersft.errors import ColumnError, FisherSFTError
from fishersft.fields import declared
from fishersft.ui import cached, components, page, query_widgets, uploads
from fishersft.ui.address import choose
from fishersft.ui.components import escape_markdown, one_line
from fishersft.ui.session import Session, public

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
    source = query_widgets.one_of(
        "Corpus",
        options,
        kind if kind in options else "Demo",
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
    kept = uploads.upload(
        "Your file",
        "upload",
        "Text: one example per line. Tables and JSON: texts, questions and answers, instructions, chats (also ShareGPT), "
        "preference pairs and other usual shapes are known by their columns; metadata columns are kept.",
    )
    if kept:
        choose(corpus=kept, options=())


def choose_model(session: Session) -> None:
    """The embedded model, a folder, or a hub id."""
    if public():
        st.caption("Model: **mini**, the one that this hosted demo has.")
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
        with st.container(border=True):
            reading_options(session, error.columns, wanted=True)
    except FisherSFTError as error:
        components.problem(page.on_screen(session.choice, error))
        page.way_back(elsewhere=False)
        with st.expander("How it is read", expanded="skip-bad" in str(error), icon=":material/tune:"):
            reading_options(session, [])
    return None


def reading_options(session: Session, columns: list[str], *, wanted: bool = False) -> None:
    """How the corpus is read: a form, since a change reads it again; `wanted`: the visitor must say what the columns hold."""
    now = dict(session.choice.options)
    known = declared(ReadOptions)
    asked: dict[str, Any] = {}
    unnamed = "none" if wanted and columns else "found automatically"
    with st.form("reading", border=False):
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
