"""Corpus: choose texts and a model, see how they are read, and compute the embeddings that every selector works on."""

import streamlit as st

from fishersft.ui import cached, components, page
from fishersft.ui import corpus as corpus_page
from fishersft.ui import corpus_source as source

with page.page("corpus", "Which texts, and which model?") as visitor:
    left, middle, right = st.columns([5, 4, 2], gap="medium", vertical_alignment="bottom")
    with left:
        source.choose_corpus(visitor)
    with middle:
        source.choose_model(visitor)
    answer = st.container()

    corpus = source.read(visitor)
    if corpus is None:
        st.stop()
    with right.popover("How it is read", icon=":material/tune:"):
        source.reading_options(visitor, [str(c) for c in corpus.fields.columns])

    layout = cached.layout(visitor.choice)
    with answer:
        corpus_page.answer(visitor, corpus)
    corpus_page.understood(corpus)
    corpus_page.encoding(visitor, corpus, layout)
    corpus_page.embed(visitor, layout)
    corpus_page.first_record(visitor, corpus)
    part = components.tabs(list(corpus_page.PARTS), "part", "More about this corpus")
    corpus_page.PARTS[part](visitor, corpus, layout)
