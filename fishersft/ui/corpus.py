"""The Corpus page: what was understood, the embeddings, and the corpus in numbers and records.

Embedding says how long it takes before it starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import streamlit as st

from fishersft.corpus.encode import CHAT_TEMPLATE, MAX_TOKENS, PLAIN_FORM, encoding_sentences
from fishersft.corpus.records import Corpus, ReadOptions
from fishersft.fields import declared
from fishersft.lm.embed import Plan
from fishersft.lm.folder import effective_max_tokens
from fishersft.plots import base as plots
from fishersft.text import duration
from fishersft.ui import cached, components, page, uploads
from fishersft.ui.address import choose
from fishersft.ui.components import dark, escape_markdown, helped, one_line, tile
from fishersft.ui.session import Choice, Session

KINDS = {
    "text": ("plain text", "plain texts", ""),
    "prompt": ("prompt with its completion", "prompts with completions", "; only completions are trained"),
    "chat": ("conversation", "conversations", "; only the assistant's turns are trained"),
}


def answer(session: Session, corpus: Corpus) -> None:
    """In a sentence what was understood: how many texts of which kind, how many can be chosen, and under which model."""
    one, many, trained = KINDS[corpus.shape]
    held, count = int(corpus.held_out.sum()), len(corpus)
    why = " (at least 50 where there are that many, at most half; see How it is read)" if held > 0.15 * count else ""
    model = f"**{escape_markdown(one_line(cached.folder(session.choice).name, 40))}**"
    known = cached.embeddings(session.choice)
    components.verdict(
        f"**{escape_markdown(one_line(corpus.name, 80))}**: {count:,} {one if count == 1 else many}, {held:,} held out{why}, "
        f"{len(corpus.pool_index):,} to choose from{trained}; "
        + (f"not embedded with {model} yet." if known is None else f"embedded with {model}."),
        help=helped(
            "Held-out records are never chosen; models are measured on them. Embedded: the model has read every text once, and "
            "each trained token is a row of numbers, which selectors work on.",
            "design matrix",
        ),
    )


def understood(corpus: Corpus) -> None:
    """How the records were read, and what of them is not used."""
    about = corpus.understood
    taken = ", ".join(f"{role}: {one_line(column, 60)}" for role, column in about.columns)
    said = " ".join([f"{f' ({taken})' if taken else ''}.", *(f"{note[:1].upper()}{note[1:]}." for note in about.notes)])
    st.caption(f"Read as **{about.shape}**{escape_markdown(said)}")
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
    st.header("The first record as it is trained", anchor=False)
    with st.container(border=True):
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
    if row.button("Explore", type="primary", icon=":material/scatter_plot:"):
        st.switch_page("pages/explore.py")
    rows = f"{len(known.values):,} rows of {known.dimension} numbers ({known.facts['dtype']})"
    row.caption(f":material/check_circle: Embedded: {rows}.")


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
    cached.check_tokens(cached.corpus(choice), choice)
    bar = st.progress(0.0, "Embedding …")
    st.button("Stop", icon=":material/stop:", help="What has been computed so far is saved.")
    started, first = time.perf_counter(), None

    def report(done: int, total: int) -> None:
        nonlocal first
        first = done if first is None else first
        rest = (time.perf_counter() - started) / max(done - first, 1) * (total - done)
        left = f", about {duration(rest)} left" if done > first else ""
        bar.progress(min(1.0, done / max(total, 1)), f"Embedding: {done:,} of {total:,} tokens{left}")

    cached.embed(cached.corpus(choice), choice, on_progress=report)
    uploads.make_room()
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


def lengths(session: Session, layout: Plan) -> None:
    """How long the records are."""
    cut = effective_max_tokens(MAX_TOKENS, cached.folder(session.choice).context)
    said = helped("A long record has more rows and so gains more.", "length")
    st.header("Length of the records in the pool", anchor=False, help=said)
    found = np.diff(layout.offsets)
    low, middle, high = np.quantile(found, (0.05, 0.5, 0.95)).astype(int).tolist()
    drawn = plots.length_histogram(found, cut, dark=dark())
    alt = f"Histogram of trained tokens per record: half have at most {middle:,}, nine in ten {low:,} to {high:,}."
    components.still_chart(drawn, "lengths", alt)
    st.caption(
        f"{len(layout.index):,} records, cut at {cut} tokens. TokenOD prefers long records; Longest is the control for this."
    )


def browse(corpus: Corpus, layout: Plan) -> None:
    """Every record, searchable."""
    st.header("The records", anchor=False)
    said = "Finds records that contain all the words, in any order and case."
    found = components.search("Search the records", "find", said, corpus)
    counts = np.zeros(len(corpus), dtype=int)
    counts[layout.index] = np.diff(layout.offsets)
    keep = np.arange(len(corpus)) if found is None else np.flatnonzero(found)
    if not len(keep):
        st.info("No record contains all these words.", icon=":material/search_off:")
        return
    shown = keep[: components.MOST_ROWS]
    columns = {"record": shown, "part": _parts(corpus, counts)[shown], "tokens": components.blank_zeros(counts[shown])}
    components.record_table(corpus, columns, "The records of the corpus", height=460)
    more = f"; the first {len(shown):,} are shown." if len(keep) > len(shown) else "."
    st.caption(f"{len(keep):,} of {len(corpus):,} records{more}")


def _parts(corpus: Corpus, tokens: np.ndarray | None = None) -> np.ndarray:
    """(N,) what becomes of each record: held out, in the pool, skipped for want of a trained token, or dropped."""
    part = np.where(corpus.held_out, "held out", "dropped")
    part[corpus.pool_index] = "pool" if tokens is None else np.where(tokens > 0, "pool", "skipped")[corpus.pool_index]
    return part


def near_duplicates(session: Session, corpus: Corpus) -> None:
    """Records that nearly repeat each other, a group below the other, and a button that leaves one of each in the pool."""
    st.header(
        "Near-duplicates",
        anchor=False,
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


def _in_numbers(session: Session, corpus: Corpus, layout: Plan) -> None:
    tiles(corpus, layout)
    lengths(session, layout)


PARTS: dict[str, Callable[[Session, Corpus, Plan], None]] = {
    "In numbers": _in_numbers,
    "Records": lambda _, corpus, layout: browse(corpus, layout),
    "Near-duplicates": lambda session, corpus, _: near_duplicates(session, corpus),
}
