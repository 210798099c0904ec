"""The package's calls, kept in memory between reruns.  Keys are names and fingerprints, never object identity."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from fishersft.corpus.encode import MAX_TOKENS, encode, token_texts
from fishersft.corpus.load import load_corpus
from fishersft.corpus.records import Corpus, Text
from fishersft.design import trajectory
from fishersft.design.gain_curve import log_det_at
from fishersft.design.trajectory import Walk
from fishersft.experiments.evidence import Evidence, gather
from fishersft.lm.embed import BATCH_TOKENS, Plan, TokenEmbeddings, effective_max_tokens, plan
from fishersft.lm.folder import ModelFolder, find_model
from fishersft.lm.model import CausalLM, load_model, load_tokenizer
from fishersft.lm.reader import rows_of
from fishersft.pipeline import embed_and_select
from fishersft.pipeline.selections import load_selection
from fishersft.pipeline.stored_losses import StoredLosses
from fishersft.scoring import precomputed, why
from fishersft.scoring.why import rechosen
from fishersft.selectors import Budget, Order, Pool, Selector
from fishersft.store.artifacts import Store
from fishersft.ui.session import Choice

MOST_PICKS = 1_000  # an order is computed this far at first where the pool is large
SMALL_POOL = 2_000
WHAT_IF_STEP = 40


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
    key = embed_and_select.embeddings_key(corpus(choice), folder(choice))
    return Store.default().read(key, lambda found: _embeddings(found.key, str(found.path), found))


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
    return embed_and_select.pool_of(embeddings, corpus(choice), folder(choice))


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
        computed = embed_and_select.order(pool, selector, Budget(sentences=n), seed, on_progress=report, on_stage=stage)
    finally:
        bar.empty()
    _order.clear()
    return computed


def what_if(pool: Pool, selector: Selector, seed: int, budget: Budget, plain: Order) -> Order:
    """The order from pinned and excluded records, as far as the budget needs it; never stored."""
    if budget.sentences is not None:  # in steps, so that a nudge of the budget computes nothing
        room = len(pool) - len(pool.excluded)
        steps = -(-max(budget.sentences, len(pool.pinned)) // WHAT_IF_STEP) * WHAT_IF_STEP
        budget = Budget(sentences=min(room, steps))
    return _what_if(pool.embeddings.key, selector, seed, pool.pinned, pool.excluded, budget, pool, plain)


@st.cache_resource(max_entries=16, show_spinner="Choosing again from there …")
def _what_if(
    key: str, selector: Selector, seed: int, pinned: Any, excluded: Any, budget: Budget, _pool: Pool, _plain: Order
) -> Order:
    return rechosen(_pool, selector, budget, seed, plain=_plain)


def walk(pool: Pool, selector: Selector, seed: int, order: Order, n: int, plane: tuple[int, int] | None = None) -> Walk:
    """The first n picks one by one: gains by TokenOD's criterion, and the ellipse in the plane of two principal directions."""
    return _walk(pool.embeddings.key, selector, seed, pool.pinned, pool.excluded, n, plane, pool.embeddings, order)


@st.cache_data(max_entries=16, show_spinner="Walking through the picks …")
def _walk(
    key: str,
    selector: Selector,
    seed: int,
    pinned: Any,
    excluded: Any,
    n: int,
    plane: tuple[int, int] | None,
    _embeddings: TokenEmbeddings,
    _order: Order,
) -> Walk:
    U = None if plane is None else _directions(key, _embeddings)[:, list(plane)]
    return trajectory.walk(_embeddings.values, _embeddings.offsets, _order.positions[:n], plane=U)


@st.cache_data(max_entries=4, show_spinner=False)
def _directions(key: str, _embeddings: TokenEmbeddings) -> np.ndarray:
    return trajectory.principal_directions(_embeddings.values, _embeddings.offsets, 10)


def gains_now(pool: Pool, selector: Selector, seed: int, order: Order, n: int) -> np.ndarray:
    """(N,) what each record would add to the first n picks, nats; of the picks themselves, what a copy would add."""
    return _gains_now(pool.embeddings.key, selector, seed, pool.pinned, pool.excluded, n, pool, order)


@st.cache_data(max_entries=8, show_spinner="Weighing every sentence again …")
def _gains_now(
    key: str, selector: Selector, seed: int, pinned: Any, excluded: Any, n: int, _pool: Pool, _order: Order
) -> np.ndarray:
    return why.gains_now(_pool.embeddings, _order.positions[:n])


@st.cache_data(max_entries=64, show_spinner=False)
def direction(
    key: str, selector: Selector, seed: int, pins: Any, n: int, position: int, _pool: Pool, _order: Order
) -> why.Direction:
    return why.direction_added(_pool.embeddings, _order.positions[:n], position)


@st.cache_data(max_entries=64, show_spinner=False)
def gain_by_budget(
    key: str, selector: Selector, seed: int, pins: Any, at: tuple[int, ...], position: int, _pool: Pool, _order: Order
) -> np.ndarray:
    return why.gain_along(_pool.embeddings, _order.positions, at, position)


@st.cache_data(max_entries=16, show_spinner="Reading it with the model …")
def pasted(text: str, model_print: str, _choice: Choice) -> tuple[list[str], np.ndarray, np.ndarray]:
    """A text that is in no corpus: its tokens, which of them are trained, and their rows (M, d)."""
    lm = model(_choice)
    encoded = encode([Text(text)], lm.tokenizer, effective_max_tokens(MAX_TOKENS, folder(_choice).context))[0]
    rows = rows_of([encoded], lm) if len(encoded.rows) else np.empty((0, lm.dimension), np.float32)
    return token_texts(lm.tokenizer, encoded.ids.tolist()), encoded.trained, rows


@st.cache_data(max_entries=64, show_spinner=False)
def log_det_of(key: str, digest: str, _embeddings: TokenEmbeddings, _positions: np.ndarray) -> float:
    """f of a set of records, nats."""
    return float(log_det_at(_embeddings, _positions, [len(_positions)])[0]) if len(_positions) else 0.0


@st.cache_data(max_entries=64, show_spinner=False)
def kept_records(key: str) -> list[int]:
    """The record numbers of a kept selection, in its order."""
    return [int(i) for i in load_selection(key)[1]["index"]]


def has_losses(pool: Pool) -> bool:
    """Whether the losses of the pool's tokens are at hand, so that perplexity costs nothing."""
    return isinstance(pool.readings, StoredLosses) and pool.readings.stored


@st.cache_data(max_entries=8, show_spinner=False)
def median_perplexity(key: str, _pool: Pool) -> float:
    return float(np.exp(np.median(_pool.losses(np.arange(len(_pool))))))


@st.cache_data(max_entries=256, show_spinner=False)
def perplexity(key: str, position: int, _pool: Pool) -> float:
    """exp of the mean loss of a record's trained tokens."""
    return float(np.exp(_pool.losses(np.array([position]))[0]))


@st.cache_resource(max_entries=32, show_spinner=False)
def _order(key: str, selector: Selector, seed: int, _pool: Pool) -> Order | None:
    return embed_and_select.stored_order(_pool, selector, Budget(sentences=reach(_pool)), seed)


@st.cache_data(max_entries=8, show_spinner="Drawing the map (UMAP, once a corpus and model) …")
def map_of(key: str, method: str, _embeddings: TokenEmbeddings) -> np.ndarray:
    return precomputed.map_of(_embeddings, method) if key else precomputed.project(_embeddings.means, method)


@st.cache_data(max_entries=8, show_spinner="Drawing 20 random selections to compare with …")
def band(key: str, top: int, token_top: int, _embeddings: TokenEmbeddings) -> precomputed.Band:
    return precomputed.band(_embeddings, top, token_top)


@st.cache_data(max_entries=32, show_spinner=False)
def gain_of(key: str, selector: Selector, seed: int, n: int, _embeddings: TokenEmbeddings, _order: Order) -> Any:
    return precomputed.gain_of(_embeddings, _order, selector, seed)


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
