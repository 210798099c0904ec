"""The package's calls, kept in memory between reruns.  Keys are names and fingerprints, never object identity."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from fishersft.corpus.encode import MAX_TOKENS, encode, token_texts
from fishersft.corpus.load import load_corpus
from fishersft.corpus.records import Corpus
from fishersft.curves.criteria import Scorer
from fishersft.lm.embed import BATCH_TOKENS, Plan, TokenEmbeddings, effective_max_tokens, plan
from fishersft.lm.folder import ModelFolder, find_model
from fishersft.lm.model import CausalLM, load_model, load_tokenizer
from fishersft.projection import project
from fishersft.runs import pictures, pipeline
from fishersft.runs.comparison import Comparison, compare, scorer_of, topics_of
from fishersft.runs.evidence import Evidence, gather
from fishersft.runs.store import Store
from fishersft.selectors import Budget, Order, Pool, Selector
from fishersft.ui.session import Choice

MOST_PICKS = 1_000  # an order is computed this far at first where the pool is large
SMALL_POOL = 2_000


def corpus(choice: Choice) -> Corpus:
    choice.check_public()
    path = Path(choice.source).expanduser()
    stamp = (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else None
    return _corpus(choice.source, choice.options, choice.name, stamp, choice)


@st.cache_resource(max_entries=4, show_spinner="Reading the corpus …")
def _corpus(source: str, options: Any, name: str, stamp: Any, _choice: Choice) -> Corpus:
    loaded = load_corpus(source, name=name, **_choice.load_options)
    _ = loaded.fingerprint, loaded.duplicates, loaded.categories
    return loaded


def folder(choice: Choice) -> ModelFolder:
    choice.check_public()
    return _folder(choice.model)


@st.cache_resource(max_entries=8, ttl=3600, show_spinner="Looking for the model …")
def _folder(name: str) -> ModelFolder:
    found = find_model(name)
    _ = found.fingerprint
    return found


@st.cache_resource(max_entries=2, show_spinner="Loading the model …")
def _model(fingerprint: str, _folder: ModelFolder) -> CausalLM:
    return load_model(_folder)


def model(choice: Choice) -> CausalLM:
    found = folder(choice)
    return _model(found.fingerprint, found)


def embeddings(choice: Choice) -> TokenEmbeddings | None:
    """The embeddings of a choice if they are in the store."""
    recipe = pipeline.embeddings_recipe(corpus(choice), folder(choice))
    return Store.default().read(recipe, lambda found: _embeddings(found.key, str(found.path), found))


@st.cache_resource(max_entries=4, show_spinner=False)
def _embeddings(key: str, path: str, _artifact: Any) -> TokenEmbeddings:
    from fishersft.lm.embed import open_embeddings

    opened = open_embeddings(_artifact.path, _artifact.manifest, key)
    _ = opened.means
    return opened


@st.cache_resource(max_entries=4, show_spinner="Counting tokens …")
def _plan(corpus_print: str, model_print: str, max_tokens: int, _corpus: Corpus, _folder: ModelFolder) -> Plan:
    return plan(_corpus, load_tokenizer(_folder), max_tokens)


def layout(choice: Choice) -> Plan:
    """Encoded records, lengths and batches; needs the tokenizer, not the weights."""
    c, f = corpus(choice), folder(choice)
    return _plan(c.fingerprint, f.fingerprint, effective_max_tokens(MAX_TOKENS, f.context), c, f)


@st.cache_resource(max_entries=4, show_spinner="Timing the model on one batch …")
def _speed(fingerprint: str, length: int, _model: CausalLM) -> float:
    import time

    import torch

    ids = torch.zeros((max(1, BATCH_TOKENS // length), length), dtype=torch.long)
    _model.rows(ids)
    started = time.perf_counter()
    _model.rows(ids)
    return ids.numel() / max(time.perf_counter() - started, 1e-6)


def tokens_a_second(choice: Choice) -> float:
    """How fast this machine embeds with this model, measured on one small batch."""
    lm = model(choice)
    lengths = [len(e.ids) for e in layout(choice).encoded]
    return _speed(lm.fingerprint, max(8, int(np.mean(lengths))), lm)


def pool(choice: Choice, embeddings: TokenEmbeddings) -> Pool:
    """What selectors see of a choice."""
    return pipeline.pool_of(embeddings, corpus(choice), folder(choice))


def reach(pool: Pool) -> int:
    """How far an order is computed: all of a small pool, the first thousand of a large one."""
    return len(pool) if len(pool) <= SMALL_POOL else MOST_PICKS


def order(pool: Pool, selector: Selector, seed: int) -> Order | None:
    """A selector's order as far as `reach`, if it is in the store."""
    return _order(pool.embeddings.key, selector, seed, pool)


def order_now(pool: Pool, selector: Selector, seed: int) -> Order:
    """The order, computed if need be, with a progress bar while it is."""
    if (known := order(pool, selector, seed)) is not None:
        return known
    n = reach(pool)
    bar = st.progress(0.0, f"{selector.label}: choosing from {len(pool):,} sentences …")

    def report(done: int, total: int) -> None:
        if done % max(1, total // 100) == 0:
            bar.progress(done / total, f"{selector.label}: pick {done:,} of {total:,}")

    def stage(what: str, done: int, total: int) -> None:
        bar.progress(done / max(total, 1), f"{selector.label}: {what}, {done:,} of {total:,}")

    try:
        computed = pipeline.order(pool, selector, Budget(sentences=n), seed, on_progress=report, on_stage=stage)
    finally:
        bar.empty()
    _order.clear()
    return computed


@st.cache_resource(max_entries=32, show_spinner=False)
def _order(key: str, selector: Selector, seed: int, _pool: Pool) -> Order | None:
    return pipeline.stored_order(_pool, selector, Budget(sentences=reach(_pool)), seed)


@st.cache_data(max_entries=8, show_spinner="Drawing the map (UMAP, once a corpus and model) …")
def map_of(key: str, method: str, _embeddings: TokenEmbeddings) -> np.ndarray:
    return pictures.map_of(_embeddings, method) if key else project(_embeddings.means, method)


@st.cache_data(max_entries=8, show_spinner="Drawing 20 random selections to compare with …")
def band(key: str, top: int, token_top: int, _embeddings: TokenEmbeddings) -> pictures.Band:
    return pictures.band(_embeddings, top, token_top)


@st.cache_data(max_entries=32, show_spinner=False)
def gain_of(key: str, selector: Selector, seed: int, n: int, _embeddings: TokenEmbeddings, _order: Order) -> Any:
    return pictures.gain_of(_embeddings, _order, selector, seed)


@st.cache_data(max_entries=64, show_spinner=False)
def pieces(corpus_print: str, model_print: str, index: int, _corpus: Corpus, _folder: ModelFolder) -> Any:
    """Text of every token of a record and whether it is trained: (texts, trained)."""
    tokenizer = load_tokenizer(_folder)
    encoded = encode([_corpus.examples[index]], tokenizer, effective_max_tokens(MAX_TOKENS, _folder.context))[0]
    return token_texts(tokenizer, encoded.ids.tolist()), encoded.trained


@st.cache_resource(max_entries=1, show_spinner=False)
def evidence() -> Evidence:
    """What was measured of the selectors and ships with the package."""
    return gather()


@st.cache_resource(max_entries=4, show_spinner="Asking the model how well it predicts each token, once a corpus and model …")
def _scorer(key: str, topics: str, _pool: Pool) -> Scorer:
    return scorer_of(_pool)


def scorer(pool: Pool) -> Scorer:
    """What scores selections from a pool; the model is asked only where its losses are not in the store."""
    return _scorer(pool.embeddings.key, _topics(pool), pool)


def comparison(
    pool: Pool, selectors: tuple[Selector, ...], n: int, equal: str, seed: int, under: Pool | None = None
) -> Comparison:
    """`fishersft.compare`, the first selector being the reference."""
    score_key = under.embeddings.key if under else ""
    return _comparison(pool.embeddings.key, score_key, _topics(pool), selectors, n, equal, seed, pool, under)


@st.cache_resource(max_entries=16, show_spinner="Scoring the selections …")
def _comparison(
    key: str,
    score_key: str,
    topics: str,
    selectors: tuple[Selector, ...],
    n: int,
    equal: str,
    seed: int,
    _pool: Pool,
    _under: Pool | None,
) -> Comparison:
    return compare(_pool, selectors, Budget(sentences=n), equal=equal, seed=seed, score_pool=_under)


def _topics(pool: Pool) -> str:
    """Names the column that topics are counted in: metadata is not in a corpus' fingerprint."""
    column, values = topics_of(pool)
    return column if values is None else f"{column} {hashlib.sha256('|'.join(values).encode()).hexdigest()}"
