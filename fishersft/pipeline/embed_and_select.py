"""The order of the stages: corpus and model -> embeddings -> order -> selection -> map and curves.

The only module that knows it.  Each stage looks in the store first and leaves its result there.  Corpora, models and
selectors may be given by name or as objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from fishersft.corpus.encode import MAX_TOKENS
from fishersft.corpus.load import load_corpus
from fishersft.corpus.records import Corpus
from fishersft.design.rows import TokenEmbeddings
from fishersft.distributed.engine import Engine, as_engine
from fishersft.lm.embed import (
    LocalEmbedder,
    Reader,
    effective_max_tokens,
    embed_into,
    open_embeddings,
    plan,
    storage_dtype,
)
from fishersft.lm.folder import ModelFolder, find_model
from fishersft.lm.model import CausalLM, device_of, load_model, load_tokenizer
from fishersft.pipeline.stored_answers import ANSWERS_FILE, KeptAnswers
from fishersft.pipeline.stored_losses import StoredLosses
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Order, Pool, Selection, Selector
from fishersft.selectors.selection import check_seed
from fishersft.store.artifacts import Artifact, ArtifactKey, Store, commit_arrays, made, read_arrays

Progress = Callable[[int, int], None]
Stage = Callable[[str, int, int], None]
EMBEDDINGS, ORDER = "embeddings", "order"


def embed(
    corpus: str | Path | Corpus,
    model: str | Path | ModelFolder | CausalLM = "mini",
    *,
    max_tokens: int = MAX_TOKENS,
    device: str = "auto",
    engine: str | Engine = "here",
    store: Store | None = None,
    on_progress: Progress | None = None,
) -> TokenEmbeddings:
    """Token embeddings of the corpus' pool, from the store or computed now.

    Args:
        corpus: a `Corpus`, or what `load_corpus` takes.
        model: a `CausalLM`, or what `load_model` takes; its weights are loaded only where the rows are not stored yet.
        max_tokens: where records are cut; never above the model's context.
        engine: `here`, `ray`, or an `Engine`: where it is computed; the rows are the same up to float32 rounding.
        on_progress: told (tokens done, tokens in all) after each batch; may raise `Cancelled`, which keeps what is done.

    Raises:
        CorpusError, ModelError, StoreError, ClusterError, MissingExtra: one sentence each.
    """
    return embed_as(
        None, corpus, model, max_tokens=max_tokens, device=device, engine=engine, store=store, on_progress=on_progress
    )


def embed_as(
    dtype: str | None,
    corpus: str | Path | Corpus,
    model: str | Path | ModelFolder | CausalLM = "mini",
    *,
    max_tokens: int = MAX_TOKENS,
    device: str = "auto",
    engine: str | Engine = "here",
    store: Store | None = None,
    on_progress: Progress | None = None,
) -> TokenEmbeddings:
    """`embed` with the rows stored as `float16` or `float32` whatever their size; for artifacts that are to be shipped."""
    store = store or Store.default()
    corpus = corpus if isinstance(corpus, Corpus) else load_corpus(corpus)
    folder = _folder(model)
    key = embeddings_key(corpus, folder, max_tokens)
    if found := store.read(key, _open):
        return found
    with store.lock(key):
        if found := store.read(key, _open):  # another process finished while we waited
            return found
        layout = plan(corpus, load_tokenizer(folder), key.parameters["max_tokens"])
        with _reader(as_engine(engine), model, folder, device) as reader:
            kind = np.dtype(dtype) if dtype else storage_dtype(layout.rows, reader.dimension)
            workspace = store.workspace(key, fresh=False)
            done = embed_into(workspace, layout, reader, dtype=kind, on_progress=on_progress)
            head, dimension = reader.head, reader.dimension
        facts = {
            "corpus": corpus.name,
            "model": folder.name,
            "revision": folder.revision,
            "head": head,
            "dimension": dimension,
            "dtype": kind.name,
            "records": len(corpus),
            "held_out": int(corpus.held_out.sum()),
            "pool": len(layout.index),
            "tokens": layout.rows,
            "truncated": layout.truncated,
            "skipped": len(layout.skipped),
            "duplicates": corpus.duplicates,
            "bad_lines": corpus.bad_lines,
            **made(),
            **done,
        }
        return _open(store.commit(key, workspace, facts))


def _reader(
    engine: Engine, model: str | Path | ModelFolder | CausalLM, folder: ModelFolder, device: str
) -> AbstractContextManager[Reader]:
    """Who reads: a model of this process, or workers that load its folder."""
    if engine.name != "here":
        return engine.reader(folder, device)
    return nullcontext(LocalEmbedder(model if isinstance(model, CausalLM) else load_model(folder, device=device)))


def embeddings_key(corpus: Corpus, folder: ModelFolder, max_tokens: int = MAX_TOKENS) -> ArtifactKey:
    """What names the embeddings of a corpus under a model."""
    cut = effective_max_tokens(max_tokens, folder.context)
    return ArtifactKey(EMBEDDINGS, 1, {"max_tokens": cut}, {"corpus": corpus.fingerprint, "model": folder.fingerprint})


def stored_embeddings(
    corpus: Corpus, folder: ModelFolder, max_tokens: int = MAX_TOKENS, store: Store | None = None
) -> TokenEmbeddings | None:
    """The embeddings if they are in the store already."""
    return (store or Store.default()).read(embeddings_key(corpus, folder, max_tokens), _open)


def select(
    corpus: str | Path | Corpus,
    model: str | Path | ModelFolder | CausalLM = "mini",
    *,
    selector: str | Selector = DEFAULT_SELECTOR,
    budget: int | None = None,
    token_budget: int | None = None,
    seed: int = 0,
    parameters: Mapping[str, Any] | None = None,
    pinned: Sequence[int] = (),
    excluded: Sequence[int] = (),
    max_tokens: int = MAX_TOKENS,
    device: str = "auto",
    engine: str | Engine = "here",
    store: Store | None = None,
    on_progress: Progress | None = None,
) -> Selection:
    """Choose sentences: embeddings and order come from the store where they are there.

    Args:
        budget: how many sentences, or
        token_budget: how many trained tokens at most.
        parameters: of the selector when it is named, e.g. {"sigma2": 1.0}.
        pinned, excluded: numbers of records that are taken first, in this order, and that are never taken; TokenOD and its
            kin choose the rest from there.
        engine: `here`, `ray`, or an `Engine`: where it is computed; the picks are the same.

    Raises:
        UserError: one sentence; see `errors.py`.
    """
    chosen = as_selector(selector, parameters)
    wanted = Budget(budget, token_budget)
    run = as_engine(engine)
    with run.kept():
        pool = load_pool(corpus, model, max_tokens=max_tokens, device=device, engine=run, store=store, on_progress=on_progress)
        pool = pool.given(pinned, excluded)
        return select_from(pool, chosen, wanted, seed, store=store, on_progress=on_progress)


def select_from(
    pool: Pool,
    selector: Selector,
    budget: Budget,
    seed: int = 0,
    *,
    store: Store | None = None,
    on_progress: Progress | None = None,
    on_stage: Stage | None = None,
) -> Selection:
    """Choose sentences of a pool that is at hand; the arguments are those of `order`."""
    taken = order(pool, selector, budget, seed, store=store, on_progress=on_progress, on_stage=on_stage)
    return selector.cut(pool, taken, budget, seed)


def load_pool(
    corpus: str | Path | Corpus,
    model: str | Path | ModelFolder | CausalLM = "mini",
    *,
    max_tokens: int = MAX_TOKENS,
    device: str = "auto",
    engine: str | Engine = "here",
    store: Store | None = None,
    on_progress: Progress | None = None,
) -> Pool:
    """What selectors see of a corpus under a model: rows now, losses and answers when a selector asks; all kept in the store.

    Raises:
        CorpusError, ModelError, StoreError: one sentence each.
    """
    store = store or Store.default()
    corpus = corpus if isinstance(corpus, Corpus) else load_corpus(corpus)
    folder = _folder(model)
    engine = as_engine(engine)
    embeddings = embed(corpus, model, max_tokens=max_tokens, device=device, engine=engine, store=store, on_progress=on_progress)
    return pool_of(
        embeddings, corpus, model if isinstance(model, CausalLM) else folder, device=device, engine=engine, store=store
    )


def pool_of(
    embeddings: TokenEmbeddings,
    corpus: Corpus,
    model: ModelFolder | CausalLM,
    *,
    device: str = "auto",
    engine: str | Engine = "here",
    store: Store | None = None,
) -> Pool:
    """The pool of embeddings that are at hand already."""
    store = store or Store.default()
    where = device_of(device)
    return Pool(
        embeddings.on(where if where.startswith("cuda") else "cpu"),  # other devices have no float64
        corpus,
        model if isinstance(model, CausalLM) else None,
        readings=StoredLosses(embeddings, corpus, model, store, device),
        answers=KeptAnswers(store.path / ANSWERS_FILE),
        greedy=as_engine(engine).greedy,
    )


def as_selector(selector: str | Selector, parameters: Mapping[str, Any] | None = None) -> Selector:
    """A selector by name and parameters, or as it is."""
    from fishersft.selectors import make_selector

    return selector if isinstance(selector, Selector) else make_selector(selector, parameters)


def order_key(embeddings: TokenEmbeddings, selector: Selector, seed: int) -> ArtifactKey:
    """What names an order; the budget is not part of it, since budgets are prefixes."""
    return ArtifactKey(
        ORDER,
        1,
        {"selector": selector.name, "parameters": selector.parameters, "seed": check_seed(seed)},
        {"embeddings": embeddings.key},
    )


def order(
    pool: Pool,
    selector: Selector,
    budget: Budget,
    seed: int = 0,
    *,
    store: Store | None = None,
    on_progress: Progress | None = None,
    on_stage: Stage | None = None,
) -> Order:
    """A selector's order, at least as far as the budget needs it; a longer one already stored serves as well.

    `on_stage(what, done, total)` tells of work before the first pick (texts asked).
    """
    budget.check(pool)
    if not pool.embeddings.key or not pool.is_free:  # an order from pins is no prefix of the selector's own
        return selector.take(pool, budget, seed, on_progress, on_stage)
    store = store or Store.default()
    key = order_key(pool.embeddings, selector, seed)
    if (found := _stored_order(store, key, pool, budget)) is not None:
        return found
    with store.lock(key):
        if (found := _stored_order(store, key, pool, budget)) is not None:
            return found
        taken = selector.take(pool, budget, seed, on_progress, on_stage)
        commit_arrays(store, key, taken.arrays, {"picks": len(taken), "notes": taken.notes})
        return taken


def stored_order(pool: Pool, selector: Selector, budget: Budget, seed: int = 0, store: Store | None = None) -> Order | None:
    """The order if one long enough is in the store already."""
    return _stored_order(store or Store.default(), order_key(pool.embeddings, selector, seed), pool, budget)


def _stored_order(store: Store, key: ArtifactKey, pool: Pool, budget: Budget) -> Order | None:
    def read(artifact: Artifact) -> Order | None:
        known = Order(**read_arrays(artifact), notes=artifact.manifest.get("notes", {}))
        long_enough = len(known) == len(pool) or budget.cut(pool.tokens[known.positions]) is not None
        return known if long_enough else None

    return store.read(key, read)


def _folder(model: str | Path | ModelFolder | CausalLM) -> ModelFolder:
    if isinstance(model, CausalLM):
        return model.folder
    return model if isinstance(model, ModelFolder) else find_model(model)


def _open(artifact: Artifact) -> TokenEmbeddings:
    return open_embeddings(artifact.path, artifact.manifest, artifact.key)
