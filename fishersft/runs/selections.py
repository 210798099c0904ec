"""Selections that last: kept with their picks' own fields, found again by the id that `select` printed."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from fishersft.corpus.export import picks_table, to_bytes
from fishersft.corpus.records import Corpus
from fishersft.curves.gain import log_det_at
from fishersft.errors import StoreError, UserError
from fishersft.lm.embed import TokenEmbeddings
from fishersft.runs.store import Artifact, Recipe, Store, made, writing_to
from fishersft.selectors import Order, Pool, Selection

if TYPE_CHECKING:
    import pandas as pd

SELECTION = "selection"
BY_HAND = "by_hand"


def by_hand(pool: Pool, positions: np.ndarray) -> Selection:
    """Records that no selector chose, such as a lasso's, as a selection: in the order given, without gains."""
    n, unknown = len(positions), np.full(len(positions), np.nan)
    order = Order(np.asarray(positions, dtype=np.int64), unknown, np.zeros(n, dtype=np.int64), np.zeros(n), unknown)
    return Selection(BY_HAND, {}, 0, pool.index[positions], pool.tokens[positions], order)


def save_selection(
    corpus: Corpus, embeddings: TokenEmbeddings, selection: Selection, store: Store | None = None, name: str = ""
) -> str:
    """Keep a selection with its picks' own fields, under a name if it has one; returns the run's id, which `export` takes."""
    store = store or Store.default()
    picks = to_bytes(selection_table(corpus, selection), "jsonl")
    recipe = Recipe(
        SELECTION,
        2,
        {
            "selector": selection.selector,
            "parameters": selection.parameters,
            "seed": selection.seed,
            "picks": hashlib.sha256(picks).hexdigest(),  # metadata too, which the corpus' fingerprint leaves out
            **({"name": name} if name else {}),
        },
        {"embeddings": embeddings.key, "corpus": corpus.name},
    )
    if store.find(recipe) is None:
        with store.lock(recipe):
            folder = store.workspace(recipe)
            with writing_to(store.path):
                (folder / "picks.jsonl").write_bytes(picks)
            store.commit(recipe, folder, {**summary(corpus, embeddings, selection), "name": name, **made()})
    return recipe.key[:12]


def selection_table(corpus: Corpus, selection: Selection) -> pd.DataFrame:
    """One row a pick; see `corpus.export.picks_table`."""
    return picks_table(corpus, selection.indices, selection.gains, selection.tokens)


def summary(corpus: Corpus, embeddings: TokenEmbeddings, selection: Selection) -> dict[str, Any]:
    """What `--json` prints: what was chosen, from what, and how good it provably is.

    `log_det` is TokenOD's criterion, on token rows, whoever chose; `own_objective` is that of a selector's own design.
    """
    token_od = selection.selector == "token_od"
    sigma2 = float(selection.parameters["sigma2"]) if token_od else 1.0
    f = float(log_det_at(embeddings, selection.order.positions, [len(selection)], sigma2)[0])
    return {
        "corpus": corpus.name,
        "corpus_fingerprint": corpus.fingerprint,
        "model": embeddings.facts.get("model"),
        "embeddings": embeddings.key,
        "selector": selection.selector,
        "selector_parameters": selection.parameters,
        "seed": selection.seed,
        "pool": len(embeddings),
        "sentences": len(selection),
        "tokens": int(selection.tokens.sum()),
        "pool_tokens": int(embeddings.tokens.sum()),
        "log_det": f,
        "proven_share_of_optimum": selection.proven_share if token_od else None,
        "own_objective": None if token_od else selection.objective,
        "own_objective_is": None if token_od else selection.gain_of or None,
        "notes": selection.order.notes,
        "evaluations": int(selection.order.evaluations[-1]),
        "seconds": round(float(selection.order.seconds[-1]), 3),
    }


def saved_selections(store: Store | None = None) -> list[dict[str, Any]]:
    """The manifests of all kept selections, the last made first; `key` begins with the run's id."""
    found = [artifact.manifest for artifact in (store or Store.default()).by_prefix(SELECTION, "")]
    return sorted(found, key=lambda manifest: (str(manifest.get("made", "")), manifest["key"]), reverse=True)


def remove_selection(run: str, store: Store | None = None) -> None:
    """Delete a kept selection, by its id or the beginning of it.

    Raises:
        UserError: no run starts so, or several do, or it is not the user's own.
    """
    store = store or Store.default()
    artifact = _found(run, store)
    if not artifact.path.is_relative_to(store.path):
        raise UserError(f"Run {run} ships with fishersft and stays.")
    with writing_to(store.path):
        shutil.rmtree(artifact.path)


def load_selection(run: str, store: Store | None = None) -> tuple[dict[str, Any], pd.DataFrame]:
    """A kept selection's manifest and picks, by its id or the beginning of it.

    Raises:
        UserError: no run starts so, or several do.
    """
    import pandas as pd

    artifact = _found(run, store or Store.default())
    try:
        lines = (artifact.path / "picks.jsonl").read_text(encoding="utf-8").split("\n")
        table = pd.DataFrame([json.loads(line) for line in lines if line])
        table = table.astype({"rank": "int64", "index": "int64", "gain": "float64", "tokens": "int64"})
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"The picks of run {run} are damaged in the store; run the same select again.") from error
    return artifact.manifest, table


def _found(run: str, store: Store) -> Artifact:
    found = store.by_prefix(SELECTION, run) if run and set(run) <= set("0123456789abcdef") else []
    if len(found) != 1:
        several = "several runs start" if found else "no run starts"
        raise UserError(f"In the store {several} with '{run[:40]}'; fishersft select prints the id of what it chose.")
    return found[0]
