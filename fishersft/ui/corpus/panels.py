"""What the Corpus page shows of a corpus: numbers, lengths, records."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.corpus.records import Corpus
from fishersft.lm.embed import Plan
from fishersft.plots import base as plots
from fishersft.ui import components, learn
from fishersft.ui.components import dark, tile

MOST_ROWS = 2_000


def tiles(corpus: Corpus, layout: Plan) -> None:
    """The corpus in numbers."""
    tokens = np.diff(layout.offsets)
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
            learn.helped("Rows of the design: positions whose next token is trained, in the pool.", "design matrix"),
            f"median {int(np.median(tokens)):,} per record",
        )
        tile(
            "Truncated",
            f"{layout.truncated:,}",
            "Records that are longer than the model can read at once; each is cut off there.",
            f"{len(layout.skipped):,} without a trained token",
        )
        tile(
            "Exact duplicates",
            f"{corpus.duplicates:,}",
            "Records that repeat an earlier record exactly.",
            f"{corpus.bad_lines:,} broken lines skipped" if corpus.bad_lines else f"{corpus.duplicates / len(corpus):.1%} of all",
        )
        for column in corpus.categories[:2]:
            counts = corpus.fields[column].dropna().map(str).value_counts()
            tile(
                components.escape_markdown(components.one_line(column, 24)),
                f"{len(counts)} values",
                "How many different values this column has; it can colour the map.",
                components.escape_markdown(f"largest: {components.one_line(counts.index[0], 18)}, {counts.iloc[0]:,}"),
            )


def lengths(corpus: Corpus, layout: Plan, cut: int) -> None:
    """How long the records are."""
    said = "A long record has more rows and so gains more."
    st.markdown("**Length of the records in the pool**", help=learn.helped(said, "length"))
    st.plotly_chart(
        plots.length_histogram(np.diff(layout.offsets), cut, dark=dark()),
        theme=None,
        key="lengths",
        config=components.camera("lengths"),
        alt="Histogram of trained tokens per record",
    )
    st.caption(
        f"{len(layout.index):,} records, cut at {cut} tokens. TokenOD prefers long records; Longest is the control for this."
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
            help="Finds records that contain all the words, in any order and case.",
        )
        .lower()
        .split()
    )
    counts = np.zeros(len(corpus), dtype=int)
    counts[layout.index] = np.diff(layout.offsets)
    keep = [i for i, t in enumerate(corpus.texts) if all(w in t.lower() for w in words)] if words else list(range(len(corpus)))
    if not keep:
        st.info("No record contains all these words.", icon=":material/search_off:")
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
