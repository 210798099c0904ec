"""Corpus: choose texts and a model, look at them, and compute the embeddings that every selector works on."""

import streamlit as st

from fishersft.corpus.encode import MAX_TOKENS
from fishersft.lm.folder import effective_max_tokens
from fishersft.ui import cached, components, page
from fishersft.ui.corpus import embedding, panels, source_form

with page.page("corpus") as visitor:
    left, right = st.columns([3, 2], gap="medium")
    with left:
        source_form.choose_corpus(visitor)
    with right:
        source_form.choose_model(visitor)

    corpus = source_form.read(visitor)
    if corpus is None:
        st.stop()
    components.title(corpus)
    source_form.reading_options(visitor, [str(c) for c in corpus.fields.columns])

    folder = cached.folder(visitor.choice)
    layout = cached.layout(visitor.choice)
    embedding.embed(visitor, layout)
    panels.tiles(corpus, layout)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        panels.lengths(corpus, layout, effective_max_tokens(MAX_TOKENS, folder.context))
    with right:
        panels.browse(corpus, layout)
