"""The package's calls, kept in memory between reruns.

Arguments are told apart by what `KEYS` says of their types: names and fingerprints, never object identity.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st
import torch

from fishersft import paths
from fishersft.corpus.encode import MAX_TOKENS, encode, token_texts
from fishersft.corpus.records import Corpus, Text
from fishersft.design import trajectory
from fishersft.design.greedy import Pick
from fishersft.design.rows import TokenEmbeddings
from fishersft.design.trajectory import Walk, log_det_at
from fishersft.errors import CorpusError
from fishersft.experiments.evidence import Evidence, gather
from fishersft.lm.embed import BATCH_TOKENS, Plan, open_embeddings, plan
from fishersft.lm.folder import ModelFolder, effective_max_tokens, find_model
from fishersft.lm.model import CausalLM, Progress, load_model, load_tokenizer
from fishersft.pipeline import embed_and_select
from fishersft.pipeline.selections import load_selection
from fishersft.pipeline.stored_answers import StoredLosses
from fishersft.scoring import interpolation, precomputed, projection, why
from fishersft.scoring.comparison import Comparison, compare, scorer_of
from fishersft.scoring.criteria import Scorer, Scores
from fishersft.scoring.interpolation import ScoredOrder
from fishersft.scoring.random_baseline import whole_pool
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Order, Pool, Selector, make_selector
from fishersft.store.artifacts import Store
from fishersft.ui import behind, uploads
from fishersft.ui.session import Choice, public

MOST_PICKS = 1_000  # an order is computed this far at first where the pool is large
SMALL_POOL = 2_000
MOST_PUBLIC_TOKENS = 300_000  # that a hosted demo embeds
AIMED_PICKS = 240  # with a target
KEYS: dict[str | type[Any], Callable[[Any], Any]] = {
    Corpus: lambda corpus: corpus.fingerprint,
    ModelFolder: lambda folder: folder.fingerprint,
    CausalLM: lambda lm: lm.fingerprint,
    TokenEmbeddings: lambda embeddings: embeddings.key,
    Pool: lambda pool: (pool.embeddings.key, pool.pinned, pool.excluded, pool.corpus.category_fingerprint if pool.corpus else ""),
    Order: lambda order: order.positions.tobytes(),
    np.ndarray: lambda array: array.tobytes(),  # Streamlit would look at a sample of a large one
}


def corpus(choice: Choice) -> Corpus:
    """The corpus, read again where its file has changed."""
    choice.check_public()
    return _corpus(choice.source, choice.options, choice.name, paths.stamp(choice.source), choice)


@st.cache_resource(max_entries=4, show_spinner="Reading the corpus …")
def _corpus(source: str, options: tuple[tuple[str, str], ...], name: str, stamp: Any, _choice: Choice) -> Corpus:
    loaded = uploads.read(source, name=name, **_choice.load_options)
    _ = loaded.fingerprint, loaded.duplicates, loaded.categories
    return loaded


def folder(choice: Choice) -> ModelFolder:
    """The model's files, without its weights in memory."""
    choice.check_public()
    return _folder(choice.model)


@st.cache_resource(max_entries=8, ttl=3600, show_spinner="Looking for the model …")
def _folder(name: str) -> ModelFolder:
    found = find_model(name)
    _ = found.fingerprint
    return found


def model(choice: Choice) -> CausalLM:
    """The model with its weights."""
    return _model(folder(choice))


@st.cache_resource(max_entries=2, show_spinner="Loading the model …", hash_funcs=KEYS)
def _model(folder: ModelFolder) -> CausalLM:
    return load_model(folder)


def embeddings(choice: Choice) -> TokenEmbeddings | None:
    """The embeddings of a choice if they are in the store."""
    key = embed_and_select.embeddings_key(corpus(choice), folder(choice))
    return Store.default().read(key, lambda found: _embeddings(found.key, str(found.path), found))


@st.cache_resource(max_entries=4, show_spinner=False)
def _embeddings(key: str, path: str, _artifact: Any) -> TokenEmbeddings:
    opened = open_embeddings(_artifact.path, _artifact.manifest, key)
    _ = opened.means
    return opened


def embed(texts: Corpus, choice: Choice, on_progress: Progress | None = None) -> TokenEmbeddings:
    """The rows of a corpus or of target texts under the choice's model, computed in turn where they are not in the store.

    Raises:
        CorpusError: more tokens than a hosted demo embeds.
    """
    if (known := embed_and_select.stored_embeddings(texts, folder(choice))) is not None:
        return known
    check_tokens(texts, choice)
    with behind.turn():
        return embed_and_select.embed(texts, model(choice), on_progress=on_progress)


def check_tokens(texts: Corpus, choice: Choice) -> None:
    """Raises CorpusError where these are more tokens than a hosted demo embeds."""
    if public() and sum(len(e.ids) for e in _layout(texts, folder(choice)).encoded) > MOST_PUBLIC_TOKENS:
        most = f"{MOST_PUBLIC_TOKENS:,}"
        raise CorpusError(f"This hosted demo embeds at most {most} tokens of a corpus; install fishersft to embed it all.")


def pool(choice: Choice, embeddings: TokenEmbeddings) -> Pool:
    """What selectors see of a choice."""
    return embed_and_select.pool_of(embeddings, corpus(choice), folder(choice))


def layout(choice: Choice) -> Plan:
    """Encoded records, lengths and batches; needs the tokenizer, not the weights."""
    return _layout(corpus(choice), folder(choice))


@st.cache_resource(max_entries=4, show_spinner="Counting tokens …", hash_funcs=KEYS)
def _layout(corpus: Corpus, folder: ModelFolder) -> Plan:
    return plan(corpus, load_tokenizer(folder), effective_max_tokens(MAX_TOKENS, folder.context))


def tokens_a_second(choice: Choice) -> float:
    """How fast this machine embeds with this model, measured on one small batch."""
    return _speed(model(choice), max(8, int(np.mean([len(e.ids) for e in layout(choice).encoded]))))


@st.cache_resource(max_entries=4, show_spinner="Timing the model on one batch …", hash_funcs=KEYS)
def _speed(lm: CausalLM, length: int) -> float:
    ids = torch.zeros((max(1, BATCH_TOKENS // length), length), dtype=torch.long)
    lm.rows(ids)
    started = time.perf_counter()
    lm.rows(ids)
    return ids.numel() / max(time.perf_counter() - started, 1e-6)


def reach(pool: Pool) -> int:
    """How far an order is computed: all of a small pool, the first thousand of a large one, fewer where it has a target."""
    most = len(pool) if len(pool) <= SMALL_POOL else MOST_PICKS
    return most if pool.target is None else min(most, AIMED_PICKS)


def most_tokens(pool: Pool) -> int:
    """The trained tokens that no order spends more of as far as `reach`."""
    return int(np.sort(pool.tokens)[::-1][: reach(pool)].sum())


def order(pool: Pool, selector: Selector, seed: int) -> Order | None:
    """A selector's order as far as `reach`, if it is in the store."""
    asked = pool, selector, seed, reach(pool)
    if (known := _order(*asked)) is None:
        _order.clear(*asked)  # it may be computed meanwhile, behind a page or by a command
    return known


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEYS)
def _order(pool: Pool, selector: Selector, seed: int, picks: int) -> Order | None:
    known = embed_and_select.stored_order(pool, selector, Budget(sentences=picks), seed)
    return known and known.prefix(picks)  # a command may have gone further than the random draws that pages put beside it


def growing_order(pool: Pool, selector: Selector, seed: int) -> Order | None:
    """The order as far as it exists by now, while more picks are made behind the page; None before the first one.

    One that asks a model first is waited for, with its progress.
    """
    if (known := order(pool, selector, seed)) is not None:
        return known
    if selector.reaches_out or selector.reads_texts:
        return order_now(pool, selector, seed)
    budget = Budget(sentences=reach(pool))

    def choose(add: Callable[[tuple[Pick, float]], None]) -> Order:
        return embed_and_select.order(pool, selector, budget, seed, on_pick=lambda pick, seconds: add((pick, seconds)))

    key = (KEYS[Pool](pool), pool.target and pool.target.key, selector, seed, len(pool))
    made, whole = behind.grow(f"picks of {selector.label}", key, choose)
    if whole is not None:
        return whole
    return Order.of([pick for pick, _ in made], [seconds for _, seconds in made], {}) if made else None


def order_now(pool: Pool, selector: Selector, seed: int) -> Order:
    """The order, computed if need be, with a progress bar while it is."""
    if (known := order(pool, selector, seed)) is not None:
        return known
    bar = st.progress(0.0, f"{selector.label}: choosing from {len(pool):,} sentences …")

    def report(done: int, total: int) -> None:
        if done % max(1, total // 100) == 0:
            bar.progress(done / total, f"{selector.label}: pick {done:,} of {total:,}")

    def stage(what: str, done: int, total: int) -> None:
        bar.progress(done / max(total, 1), f"{selector.label}: {what}, {done:,} of {total:,}")

    try:
        budget = Budget(sentences=reach(pool))
        with behind.turn():
            computed = embed_and_select.order(pool, selector, budget, seed, on_progress=report, on_stage=stage)
    finally:
        bar.empty()
    return computed


@st.cache_resource(max_entries=16, show_spinner="Choosing again from there …", hash_funcs=KEYS)
def what_if(pool: Pool, selector: Selector, seed: int, budget: Budget, plain: Order) -> Order:
    """The order from pinned and excluded records, as far as the budget needs it; never stored."""
    return why.rechosen(pool, selector, budget, seed, plain=plain)


@st.cache_data(max_entries=16, show_spinner="Walking through the picks …", hash_funcs=KEYS)
def walk(embeddings: TokenEmbeddings, picks: np.ndarray, plane: tuple[int, int] | None = None) -> Walk:
    """The picks one by one: gains by TokenOD's criterion, and the ellipse in the plane of two principal directions."""
    U = None if plane is None else _directions(embeddings)[:, list(plane)]
    return trajectory.walk(embeddings, picks, plane=U)


@st.cache_data(max_entries=4, show_spinner=False, hash_funcs=KEYS)
def _directions(embeddings: TokenEmbeddings) -> np.ndarray:
    return trajectory.principal_directions(embeddings, 10)


@st.cache_data(max_entries=8, show_spinner="Weighing every sentence again …", hash_funcs=KEYS)
def gains_now(embeddings: TokenEmbeddings, picks: np.ndarray) -> np.ndarray:
    """(N,) what each record would add to the picks, nats; of the picks themselves, what a copy would add."""
    return why.gains_now(embeddings, picks)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEYS)
def direction(embeddings: TokenEmbeddings, picks: np.ndarray, position: int) -> why.Direction:
    """Where the record at `position` adds most to the picks."""
    return why.direction_added(embeddings, picks, position)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEYS)
def gain_by_budget(embeddings: TokenEmbeddings, picks: np.ndarray, at: tuple[int, ...], position: int) -> np.ndarray:
    """What the record at `position` would add after the first `at[k]` picks, nats."""
    return why.gain_along(embeddings, picks, at, position)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEYS)
def log_det_of(embeddings: TokenEmbeddings, positions: np.ndarray) -> float:
    """f of a set of records, nats."""
    return float(log_det_at(embeddings, positions, [len(positions)])[0]) if len(positions) else 0.0


@st.cache_data(max_entries=16, show_spinner="Reading it with the model …", hash_funcs=KEYS)
def pasted(text: str, folder: ModelFolder, _choice: Choice) -> tuple[list[str], np.ndarray, np.ndarray]:
    """A text that is in no corpus: its tokens, which of them are trained, and their rows (M, d)."""
    lm = model(_choice)
    encoded = encode([Text(text)], lm.tokenizer, effective_max_tokens(MAX_TOKENS, folder.context))[0]
    with behind.turn():
        rows = lm.rows_of([encoded]) if len(encoded.rows) else np.empty((0, lm.dimension), np.float32)
    return token_texts(lm.tokenizer, encoded.ids.tolist()), encoded.trained, rows


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEYS)
def pieces(corpus: Corpus, folder: ModelFolder, record: int) -> tuple[list[str], np.ndarray]:
    """The text of every token of a record, and which of them are trained."""
    tokenizer = load_tokenizer(folder)
    encoded = encode([corpus.examples[record]], tokenizer, effective_max_tokens(MAX_TOKENS, folder.context))[0]
    return token_texts(tokenizer, encoded.ids.tolist()), encoded.trained


@st.cache_data(max_entries=64, show_spinner=False)
def kept_records(key: str) -> list[int]:
    """The record numbers of a kept selection, in its order."""
    return [int(i) for i in load_selection(key)[1]["index"]]


def has_losses(pool: Pool) -> bool:
    """Whether the losses of the pool's tokens are at hand, so that perplexity costs nothing."""
    return isinstance(pool.readings, StoredLosses) and pool.readings.stored


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=KEYS)
def perplexities(pool: Pool) -> np.ndarray:
    """(N,) exp of the mean loss of each record's trained tokens."""
    return np.exp(pool.losses(np.arange(len(pool))))


@st.cache_resource(max_entries=8, show_spinner="Drawing the map, once a corpus and model …", hash_funcs=KEYS)
def map_of(embeddings: TokenEmbeddings, method: str) -> projection.Map:
    """The map of the sentence means; of embeddings without a key it is not stored."""
    if embeddings.key:
        return projection.map_of(embeddings, method)
    return projection.Map(projection.project(embeddings.means, method))


@st.cache_data(max_entries=8, show_spinner="Drawing 20 random selections to compare with …", hash_funcs=KEYS)
def band(embeddings: TokenEmbeddings, top: int, token_top: int) -> precomputed.Band:
    """What random draws gain up to so many sentences and tokens."""
    return precomputed.band(embeddings, top, token_top)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=KEYS)
def gain_of(embeddings: TokenEmbeddings, order: Order, selector: Selector, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Budgets in sentences and f of the order there, nats."""
    return precomputed.gain_of(embeddings, order, selector, seed)


@st.cache_resource(max_entries=1, show_spinner=False)
def evidence() -> Evidence:
    """What was measured of the selectors and ships with the package."""
    return gather()


def expected(pool: Pool, selector: Selector) -> float | None:
    """Seconds that an order will take here, from what it took on the demo and how fast TokenOD was on this pool."""
    costs = evidence().costs
    if selector.name not in costs:
        return None
    known = order(pool, make_selector(DEFAULT_SELECTOR), 0)
    rows = pool.embeddings
    seconds = float(known.seconds[-1]) if known is not None else np.nan
    return costs[selector.name].elsewhere(len(rows.values), rows.dimension, costs.get(DEFAULT_SELECTOR), seconds)


@st.cache_resource(max_entries=4, show_spinner="Computing the loss on each token, once per corpus and model …", hash_funcs=KEYS)
def scorer(pool: Pool) -> Scorer:
    """What scores selections from a pool; the model is asked only where its losses are not in the store."""
    return scorer_of(pool)


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=KEYS)
def scoring_time(pool: Pool, _n: int) -> float:
    """Seconds that one selection takes to score on this machine, measured at the first budget asked for."""
    score, some = scorer(pool), np.arange(min(_n, len(pool)))
    score(some)  # what is computed once for a pool is not timed
    started = time.perf_counter()
    score(some)
    return time.perf_counter() - started


@st.cache_resource(max_entries=16, show_spinner="Scoring the selections …", hash_funcs=KEYS)
def comparison(
    pool: Pool, selectors: tuple[Selector, ...], n: int, equal: str, seed: int, under: Pool | None = None
) -> Comparison:
    """`fishersft.compare`, the first selector being the reference."""
    return compare(pool, selectors, Budget(sentences=n), equal=equal, seed=seed, score_pool=under)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=KEYS)
def draws_are_scored(pool: Pool, seed: int) -> bool:
    """Whether the random draws' criteria along themselves are in the store."""
    return interpolation.are_kept(scorer(pool), seed, picks=reach(pool))


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=KEYS)
def scored_draws(pool: Pool, seed: int) -> tuple[ScoredOrder, ...]:
    """The random draws along themselves, from the store."""
    return interpolation.draw_paths(scorer(pool), seed, picks=reach(pool))


@st.cache_resource(max_entries=32, show_spinner="Scoring the picks at 40 budgets, once …", hash_funcs=KEYS)
def scored_picks(pool: Pool, selector: Selector, seed: int, order: Order) -> ScoredOrder:
    """A selector's order along itself."""
    return interpolation.pick_path(scorer(pool), selector, seed, order)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEYS)
def whole(pool: Pool) -> Scores:
    """The scores of the whole pool."""
    return whole_pool(scorer(pool))
