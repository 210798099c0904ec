"""Selections that last: kept with their picks' own fields, found again by the id that `select` printed.

manifest.json     what was chosen, from what, by what, and `provenance`: what it takes to do it again
picks.jsonl       one row a pick, in order: rank, index, gain, tokens and the record's own fields
picks.parquet     the same with the types of the corpus' file, where that has types
examples.jsonl    the same picks as they are trained: text, prompt + completion, or messages (all that a chat template writes)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import numpy as np

from fishersft.corpus.encode import CHAT_TEMPLATE, as_chat
from fishersft.corpus.records import Corpus, trained
from fishersft.corpus.tables import from_parquet, picks_table, plain, to_bytes
from fishersft.design.rows import TokenEmbeddings
from fishersft.design.trajectory import log_det_at
from fishersft.errors import StoreError, UserError
from fishersft.paths import user_path
from fishersft.selectors import DEFAULT_SELECTOR, Order, Pool, Selection
from fishersft.store.artifacts import SELECTION, Artifact, ArtifactKey, Store, made, open_artifact, writing_to
from fishersft.store.checked import Count, Finite, check, read_json_lines

if TYPE_CHECKING:
    import pandas as pd

BY_HAND = "by_hand"
PICKS, TYPED, EXAMPLES = "picks.jsonl", "picks.parquet", "examples.jsonl"
LIBRARIES = ("torch", "transformers", "numpy")
AGAIN = "remove the run and do the same select again"


class Provenance(TypedDict):
    """What a selection came from; see `provenance`."""

    source: str
    options: list[tuple[str, str]]
    shape: str
    columns: list[str]
    records: Count
    model: str | None
    revision: str | None
    model_fingerprint: str | None
    max_tokens: Count | None
    versions: dict[str, str]


class SelectionFile(TypedDict):
    """The manifest of a kept selection; see `selection_summary`."""

    key: str
    made: str
    fishersft: str
    name: NotRequired[str]
    corpus: str
    corpus_fingerprint: str
    model: str | None
    embeddings: str
    selector: str
    selector_parameters: dict[str, Any]
    seed: Count
    pool: Count
    sentences: Count
    tokens: Count
    pool_tokens: Count
    log_det: Finite
    proven_share_of_optimum: Finite | None
    own_objective: Finite | None
    notes: dict[str, str]
    evaluations: Count
    seconds: Finite
    provenance: NotRequired[Provenance]


@dataclass(frozen=True)
class Kept:
    """A selection as it is exported; `id` is the run's, "" if it is not in the store.

    `manifest` holds `selection_summary`, when and by which version it was made, and its `provenance`.
    """

    id: str
    manifest: dict[str, Any]
    picks: pd.DataFrame
    examples: list[dict[str, Any]]

    @property
    def provenance(self) -> dict[str, Any]:
        found: dict[str, Any] = self.manifest["provenance"]
        return found

    @property
    def name(self) -> str:
        """A name for files: the selector and the number of picks."""
        return f"{self.manifest['selector']}-{len(self.picks)}"


def kept_of(corpus: Corpus, embeddings: TokenEmbeddings, selection: Selection) -> Kept:
    """A selection at hand as one that is exported."""
    by_template = embeddings.facts.get("written_by") == CHAT_TEMPLATE
    return Kept(
        "",
        {**selection_summary(corpus, embeddings, selection), "provenance": provenance(corpus, embeddings), **made()},
        selection_table(corpus, selection),
        [trained(as_chat(e) if by_template else e) for e in (corpus.examples[i] for i in selection.indices)],
    )


def provenance(corpus: Corpus, embeddings: TokenEmbeddings) -> dict[str, Any]:
    """What the picks came from, as far as the embeddings say."""
    facts, path = embeddings.facts, user_path(corpus.source)
    return {
        "source": str(path.absolute()) if os.path.exists(path) else corpus.source,
        "options": [list(option) for option in corpus.options],
        "shape": corpus.shape,
        "columns": [str(c) for c in corpus.fields.columns],
        "records": len(corpus),
        "model": facts.get("model"),
        "revision": facts.get("revision") or None,
        "model_fingerprint": facts.get("inputs", {}).get("model"),
        "max_tokens": facts.get("parameters", {}).get("max_tokens"),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def by_hand(pool: Pool, positions: np.ndarray) -> Selection:
    """Records that no selector chose, such as a lasso's, as a selection: in the order given, without gains."""
    n, unknown = len(positions), np.full(len(positions), np.nan)
    order = Order(np.asarray(positions, dtype=np.int64), unknown, np.zeros(n, dtype=np.int64), np.zeros(n), unknown)
    return Selection(BY_HAND, {}, 0, pool.index[positions], pool.tokens[positions], order)


def save_selection(
    corpus: Corpus, embeddings: TokenEmbeddings, selection: Selection, store: Store | None = None, name: str = ""
) -> str:
    """Keep a selection, perhaps under a name; returns the run's id, which `export` takes."""
    store = store or Store.default()
    kept = kept_of(corpus, embeddings, selection)
    picks = to_bytes(kept.picks, "jsonl")
    key = ArtifactKey(
        SELECTION,
        3 if corpus.typed is None else 4,  # with types since version 4
        {
            "selector": selection.selector,
            "parameters": selection.parameters,
            "seed": selection.seed,
            "picks": hashlib.sha256(picks).hexdigest(),  # metadata too, which the corpus' fingerprint leaves out
            **({"name": name} if name else {}),
        },
        {"embeddings": embeddings.key, "corpus": corpus.name},
    )
    if store.find(key) is None:
        with store.lock(key):
            folder = store.workspace(key)
            with writing_to(store.path):
                (folder / PICKS).write_bytes(picks)
                if corpus.typed is not None:
                    (folder / TYPED).write_bytes(to_bytes(kept.picks, "parquet"))
                lines = "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in kept.examples)
                (folder / EXAMPLES).write_bytes(lines.encode("utf-8", "replace"))
            store.commit(key, folder, {**kept.manifest, "name": name})
    return key.digest[:12]


def selection_table(corpus: Corpus, selection: Selection) -> pd.DataFrame:
    """One row a pick; see `corpus.tables.picks_table`."""
    return picks_table(corpus, selection.indices, selection.gains, selection.tokens)


def selection_summary(corpus: Corpus, embeddings: TokenEmbeddings, selection: Selection) -> dict[str, Any]:
    """What `--json` prints: what was chosen, from what, and how good it provably is.

    `log_det` is always TokenOD's criterion, on token rows; `own_objective` is what another selector's gains sum to.
    """
    token_od = selection.selector == DEFAULT_SELECTOR
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
        **{name: embeddings.facts[name] for name in ("written_by", "untrained", "unshown") if name in embeddings.facts},
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
    """The manifests of all kept selections that can be read, the newest first; `key` begins with the run's id."""
    found = []
    for folder in (store or Store.default()).folders(SELECTION).values():
        with contextlib.suppress(StoreError):
            found.append(open_selection(folder).manifest)
    return sorted(found, key=lambda manifest: (str(manifest.get("made", "")), manifest["key"]), reverse=True)


def open_selection(folder: Path) -> Artifact:
    """The artifact of a kept selection; StoreError where it is damaged."""
    artifact = open_artifact(folder, outcome="must be selected again")
    check(artifact.manifest, SelectionFile, f"The selection in {folder} is damaged", AGAIN)
    return artifact


def load_selection(run: str, store: Store | None = None) -> tuple[dict[str, Any], pd.DataFrame]:
    """A kept selection's manifest and picks, by its id or the beginning of it; UserError if none or several begin so."""
    artifact = _found(run, store or Store.default())
    return artifact.manifest, _picks_of(artifact, run)


def _picks_of(artifact: Artifact, run: str) -> pd.DataFrame:
    import pandas as pd

    try:
        typed = artifact.path / TYPED
        if typed.exists():
            table = from_parquet(typed.read_bytes())
        else:
            table = pd.DataFrame(read_json_lines(artifact.path / PICKS, dict[str, Any], AGAIN), dtype=object)
        return table.astype({"rank": "int64", "index": "int64", "gain": "float64", "tokens": "int64"})
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"The picks of run {run} are damaged in the store; run the same select again.") from error


def load_kept(run: str, store: Store | None = None) -> Kept:
    """A kept selection with all that an export may need; as `load_selection`, and StoreError if it has no provenance."""
    artifact = _found(run, store or Store.default())
    manifest, picks = artifact.manifest, _picks_of(artifact, run)
    if "provenance" not in manifest:
        raise StoreError(f"Run {run} was kept by an older fishersft, which did not note its source; run the same select again.")
    examples = read_json_lines(artifact.path / EXAMPLES, dict[str, Any], AGAIN)
    return Kept(str(manifest["key"])[:12], manifest, picks, examples)


def _found(run: str, store: Store) -> Artifact:
    found = [folder for digest, folder in store.folders(SELECTION).items() if run and digest.startswith(run)]
    if len(found) != 1:
        several = "several runs start" if found else "no run starts"
        raise UserError(f"In the store {several} with '{run[:40]}'; fishersft select prints the id of what it chose.")
    return open_selection(found[0])
