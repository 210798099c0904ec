"""The order of the stages: corpus and model -> embeddings -> order -> selection -> map and curves.

The only module that knows it.  Each stage looks in the store first and leaves its result there.  Corpora, models and
selectors may be given by name or as objects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from fishersft.corpus.encode import CHAT_TEMPLATE, MAX_TOKENS, PLAIN_FORM
from fishersft.corpus.load import load_corpus
from fishersft.corpus.records import Corpus
from fishersft.design.greedy import Pick
from fishersft.design.rows import TokenEmbeddings
from fishersft.distributed.engine import Engine, as_engine
from fishersft.lm.embed import (
    Reader,
    embed_into,
    open_embeddings,
    plan,
    storage_dtype,
)
from fishersft.lm.folder import ModelFolder, find_model
from fishersft.lm.model import CausalLM, device_of, load_model, load_tokenizer
from fishersft.pipeline.aim import aim
from fishersft.pipeline.costly_losses import StoredCostlyLosses
from fishersft.pipeline.stored_answers import ANSWERS_FILE, KeptAnswers, StoredLosses
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Order, Pool, Selection, Selector, make_selector
from fishersft.selectors.base import OnPick, Progress, Stage
from fishersft.selectors.selection import check_seed
from fishersft.store.artifacts import Artifact, ArtifactKey, Store, commit_arrays, made, read_arrays, writing_to

Model = str | Path | ModelFolder | CausalLM
EMBEDDINGS, ORDER = "embeddings", "order"
JOURNAL = "picks.jsonl"  # of an order that is being made: [position, gain, evaluations, bound, seconds] a line


def embed(
    corpus: str | Path | Corpus,
    model: Model = "mini",
    *,
    max_tokens: int = MAX_TOKENS,
    device: str = "auto",
    engine: str | Engine = "here",
    store: Store | None = None,
    on_progress: Progress | None = None,
    dtype: str | None = None,
) -> TokenEmbeddings:
    """Token embeddings of the corpus' pool, read from the store or computed now.

    Args:
        corpus: a `Corpus`, or what `load_corpus` takes.
        model: a `CausalLM`, or what `load_model` takes; its weights are loaded only if the rows are not stored yet.
        max_tokens: where records are cut; never above the model's context.
        engine: `here`, `ray`, or an `Engine`: where it is computed; the rows are the same up to float32 rounding.
        on_progress: called with (tokens done, tokens in all) after each batch; may raise `Cancelled`, which keeps what is done.
        dtype: `float16` or `float32`, to store the rows so whatever their size.

    Raises:
        CorpusError, ModelError, StoreError, ClusterError, MissingExtra: one sentence each.
    """
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
        reading: AbstractContextManager[Reader]
        if (run := as_engine(engine)).name == "here":
            reading = nullcontext(model if isinstance(model, CausalLM) else load_model(folder, device=device))
        else:
            reading = run.reader(folder, device)
        with reading as reader:
            kind = np.dtype(dtype) if dtype else storage_dtype(layout.rows, reader.dimension)
            workspace = store.workspace(key, fresh=False)
            done = embed_into(workspace, layout, reader, dtype=kind, on_progress=on_progress)
            head, dimension = reader.head, reader.dimension
        facts = {
            "corpus": corpus.name,
            "model": folder.name,
            "revision": folder.revision,
            "model_note": folder.note,
            "head": head,
            "dimension": dimension,
            "dtype": kind.name,
            "records": len(corpus),
            "held_out": int(corpus.held_out.sum()),
            "pool": len(layout.index),
            "tokens": layout.rows,
            "truncated": layout.truncated,
            "skipped": len(layout.skipped),
            "untrained": layout.untrained,
            "unshown": layout.unshown,
            "written_by": CHAT_TEMPLATE if folder.writes(corpus) else PLAIN_FORM,
            "duplicates": corpus.duplicates,
            "bad_lines": corpus.bad_lines,
            **made(),
            **done,
        }
        return _open(store.commit(key, workspace, facts))


def embeddings_key(corpus: Corpus, folder: ModelFolder, max_tokens: int = MAX_TOKENS) -> ArtifactKey:
    """What names the embeddings of a corpus under a model."""
    inputs = {"corpus": corpus.fingerprint, "model": folder.fingerprint}
    return ArtifactKey(EMBEDDINGS, 1, folder.encoding_of(corpus, max_tokens), inputs)


def stored_embeddings(
    corpus: Corpus, folder: ModelFolder, max_tokens: int = MAX_TOKENS, store: Store | None = None
) -> TokenEmbeddings | None:
    """The embeddings if they are in the store."""
    return (store or Store.default()).read(embeddings_key(corpus, folder, max_tokens), _open)


def select(
    corpus: str | Path | Corpus,
    model: Model = "mini",
    *,
    selector: str | Selector = DEFAULT_SELECTOR,
    budget: int | None = None,
    token_budget: int | None = None,
    seed: int = 0,
    parameters: Mapping[str, Any] | None = None,
    pinned: Sequence[int] = (),
    excluded: Sequence[int] = (),
    target: str | None = None,
    target_seed: int = 0,
    max_tokens: int = MAX_TOKENS,
    device: str = "auto",
    engine: str | Engine = "here",
    store: Store | None = None,
    on_progress: Progress | None = None,
) -> Selection:
    """Choose sentences of a corpus; embeddings and order are read from the store if they are there.

    Args:
        corpus, model, max_tokens, engine, on_progress: as in `embed`; the picks are the same on every engine.
        budget, token_budget: how many sentences, or how many trained tokens at most.
        parameters: of the selector if it is given by name, e.g. {"sigma2": 1.0}.
        pinned, excluded: as in `Pool.given`.
        target, target_seed: as in `load_pool`.

    Raises:
        UserError: one sentence; see `errors.py`.
    """
    chosen, wanted, run = as_selector(selector, parameters), Budget(budget, token_budget), as_engine(engine)
    with run.kept():
        where: dict[str, Any] = {"max_tokens": max_tokens, "device": device, "engine": run, "store": store}
        pool = load_pool(corpus, model, target=target, target_seed=target_seed, **where, on_progress=on_progress)
        return select_from(pool.given(pinned, excluded), chosen, wanted, seed, store=store, on_progress=on_progress)


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
    """Choose sentences of a pool at hand; the arguments are those of `order`."""
    taken = order(pool, selector, budget, seed, store=store, on_progress=on_progress, on_stage=on_stage)
    return selector.cut(pool, taken, budget, seed)


def load_pool(
    corpus: str | Path | Corpus,
    model: Model = "mini",
    *,
    target: str | None = None,
    target_seed: int = 0,
    max_tokens: int = MAX_TOKENS,
    device: str = "auto",
    engine: str | Engine = "here",
    store: Store | None = None,
    on_progress: Progress | None = None,
) -> Pool:
    """What selectors see of a corpus under a model: rows now, losses and answers when a selector asks; all kept in the store.

    Args:
        target: texts that the model should get good at: a file, "COLUMN=VALUE" or "records=3-9,12" (`pipeline/aim.py`).
        target_seed: which half of them chooses and which only measures.

    The other arguments and the errors are those of `embed`.
    """
    corpus = corpus if isinstance(corpus, Corpus) else load_corpus(corpus)
    lm = model if isinstance(model, CausalLM) else _folder(model)

    def embedded(texts: Corpus) -> TokenEmbeddings:
        return embed(texts, lm, max_tokens=max_tokens, device=device, engine=engine, store=store, on_progress=on_progress)

    pool = pool_of(embedded(corpus), corpus, lm, device=device, engine=engine, store=store)
    return pool if target is None else aim(pool, target, embedded, target_seed)


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
        costly=StoredCostlyLosses(
            corpus, model.folder if isinstance(model, CausalLM) else model, cut_at(embeddings), store, device
        ),
        answers=KeptAnswers(store.path / ANSWERS_FILE),
        greedy=as_engine(engine).greedy,
    )


def cut_at(embeddings: TokenEmbeddings) -> int:
    """The `max_tokens` that the records were embedded with."""
    return int(embeddings.facts.get("parameters", {}).get("max_tokens", MAX_TOKENS))


def as_selector(selector: str | Selector, parameters: Mapping[str, Any] | None = None) -> Selector:
    """A selector by name and parameters, or as it is."""
    return selector if isinstance(selector, Selector) else make_selector(selector, parameters)


def order_key(embeddings: TokenEmbeddings, selector: Selector, seed: int) -> ArtifactKey:
    """What names an order; the budget is not part of it, since budgets are prefixes."""
    parameters = {"selector": selector.name, "parameters": selector.parameters, "seed": check_seed(seed)}
    return ArtifactKey(ORDER, selector.version, parameters, {"embeddings": embeddings.key})


def order(
    pool: Pool,
    selector: Selector,
    budget: Budget,
    seed: int = 0,
    *,
    store: Store | None = None,
    on_progress: Progress | None = None,
    on_stage: Stage | None = None,
    on_pick: OnPick | None = None,
) -> Order:
    """A selector's order, at least as far as the budget needs it; a longer one already stored serves as well.

    `on_stage(what, done, total)` reports work before the first pick, such as texts asked; `on_pick(pick, seconds)` is given each
    pick as it is made, here or by another process that makes the same order.

    Picks of a selector that heeds pins are kept as they come, so an order that was interrupted goes on behind them as it would
    have: the same picks and gains.
    """
    budget.check(pool)
    if not pool.embeddings.key or not pool.is_free:  # an order from pins is no prefix of the selector's own
        return selector.take(pool, budget, seed, on_progress, on_stage, on_pick)
    store = store or Store.default()
    if (found := stored_order(pool, selector, budget, seed, store)) is not None:
        return found
    key, told = order_key(pool.embeddings, selector, seed), 0

    def tell(known: Sequence[tuple[Pick, float]]) -> None:
        nonlocal told
        if on_pick is not None:
            for pick, seconds in known[told:]:
                on_pick(pick, seconds)
        told = max(told, len(known))

    with store.lock(key, lambda: tell(unfinished_picks(store, key))):
        if (found := stored_order(pool, selector, budget, seed, store)) is not None:
            return found
        if selector.heeds_pins:
            known = unfinished_picks(store, key)
            tell(known)
            journal = store.workspace(key, fresh=False) / JOURNAL
            taken = _taken_behind(known, journal, pool, selector, budget, seed, on_progress, on_stage, lambda: tell(known))
        else:
            taken = selector.take(pool, budget, seed, on_progress, on_stage, on_pick)
        commit_arrays(store, key, taken.arrays, {"picks": len(taken), "notes": taken.notes})
        return taken


def unfinished_picks(store: Store, key: ArtifactKey) -> list[tuple[Pick, float]]:
    """The picks that an order has so far while it is made, or had when it was interrupted, with the seconds until each."""
    try:
        whole = (store.path / "partial" / key.digest / JOURNAL).read_text(encoding="utf-8").split("\n")[:-1]
        lines = [json.loads(line) for line in whole]
        return [(Pick(*pick), seconds) for *pick, seconds in lines]
    except (OSError, ValueError, TypeError):
        return []


def _taken_behind(
    known: list[tuple[Pick, float]],
    journal: Path,
    pool: Pool,
    selector: Selector,
    budget: Budget,
    seed: int,
    on_progress: Progress | None,
    on_stage: Stage | None,
    on_new: Callable[[], None],
) -> Order:
    """The order that begins with the picks `known`, which grow with each new one, as does the journal."""
    positions, notes, skipped = [pick.position for pick, _ in known], dict[str, Any](), len(known)
    evaluations, seconds = 0, 0.0  # of the earlier run, beyond what repeating its picks took

    def keep(pick: Pick, after: float) -> None:
        nonlocal skipped, evaluations, seconds
        if skipped:
            skipped -= 1
            evaluations, seconds = known[-1][0].evaluations - pick.evaluations, known[-1][1] - after
            return
        known.append((pick._replace(evaluations=pick.evaluations + evaluations), after + seconds))
        _write(out, known[-1:])
        on_new()

    with writing_to(journal.parent):
        out = journal.open("w", encoding="utf-8")
    with out:
        _write(out, known)
        if budget.cut(pool.tokens[positions]) is None:
            given = pool.given(pool.index[positions].tolist())
            notes = selector.take(given, budget, seed, on_progress, on_stage, keep).notes
    return Order.of([pick for pick, _ in known], [after for _, after in known], notes)


def _write(out: TextIO, picks: Sequence[tuple[Pick, float]]) -> None:
    with writing_to(Path(out.name).parent):
        for (position, gain, evaluations, bound), seconds in picks:
            out.write(json.dumps([int(position), float(gain), int(evaluations), float(bound), seconds]) + "\n")
        out.flush()


def stored_order(pool: Pool, selector: Selector, budget: Budget, seed: int = 0, store: Store | None = None) -> Order | None:
    """The order if one long enough is in the store."""

    def read(artifact: Artifact) -> Order | None:
        known = Order(**read_arrays(artifact), notes=artifact.manifest.get("notes", {}))
        long_enough = len(known) == len(pool) or budget.cut(pool.tokens[known.positions]) is not None
        return known if long_enough else None

    return (store or Store.default()).read(order_key(pool.embeddings, selector, seed), read)


def _folder(model: Model) -> ModelFolder:
    if isinstance(model, CausalLM):
        return model.folder
    return model if isinstance(model, ModelFolder) else find_model(model)


def _open(artifact: Artifact) -> TokenEmbeddings:
    return open_embeddings(artifact.path, artifact.manifest, artifact.key)
