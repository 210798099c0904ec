"""Corpus: choose texts and a model, look at them, and compute the embeddings that every selector works on."""

import streamlit as st

from fishersft.corpus.encode import MAX_TOKENS
from fishersft.lm.folder import effective_max_tokens
from fishersft.ui import cached, components, page
from fishersft.ui import corpus as corpus_page

with page.page("corpus", "Which texts, and which model?") as visitor:
    left, right = st.columns([3, 2], gap="medium")
    with left:
        corpus_page.choose_corpus(visitor)
    with right:
        corpus_page.choose_model(visitor)

    corpus = corpus_page.read(visitor)
    if corpus is None:
        st.stop()
    components.title(corpus)
    corpus_page.understood(corpus)
    corpus_page.reading_options(visitor, [str(c) for c in corpus.fields.columns])

    layout = cached.layout(visitor.choice)
    corpus_page.encoding(visitor, corpus, layout)
    corpus_page.first_record(visitor, corpus)
    corpus_page.embed(visitor, layout)
    corpus_page.tiles(corpus, layout)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        corpus_page.lengths(layout, effective_max_tokens(MAX_TOKENS, cached.folder(visitor.choice).context))
    with right:
        corpus_page.browse(corpus, layout)
    corpus_page.near_duplicates(visitor, corpus)
