"""Where a kept selection came from: its title, facts, corpus and embeddings, and the command and the Python that make it again.

What is handed on to others (`shared`) names files and folders without their place: a path says who works where.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from fishersft.corpus.encode import MAX_TOKENS
from fishersft.corpus.load import CLASSICS, load_corpus
from fishersft.corpus.records import Corpus, ReadOptions
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import StoreError, UserError
from fishersft.fields import declared, flags
from fishersft.lm.embed import open_embeddings
from fishersft.pipeline.selections import BY_HAND, Kept
from fishersft.selectors import registry
from fishersft.store.artifacts import Store, open_artifact

Origin = tuple[Corpus, TokenEmbeddings]  # what the picks were chosen from
PINS = {"pinned": "pin", "excluded": "exclude"}  # records that a selection was told to take first, and never
TARGET = ("target", "target_seed")  # what a selection was made for
NO_COMMAND = "# chosen by hand on the screen: no command chooses these records again"


def source_of(kept: Kept, *, shared: bool = False) -> str:
    """The corpus, as the command line takes it; `shared` leaves out where a file lies."""
    source = str(kept.provenance["source"])
    return str(kept.manifest["corpus"]) if shared and is_file(source) else source


def model_of(kept: Kept, *, shared: bool = False) -> str:
    """The model, likewise."""
    name = str(kept.provenance["model"])
    return PurePath(name).name if shared and not kept.provenance["revision"] else name


def is_file(source: str) -> bool:
    """Whether a corpus is named by a path, not by a word that means the same everywhere."""
    return source != "demo" and source not in CLASSICS and not source.startswith("hf:")


def command_of(kept: Kept, *, shared: bool = False, out: str = "picks.jsonl") -> str:
    """The command line, for a shell; a remark where the picks were chosen by hand."""
    came, m = kept.provenance, kept.manifest
    if m["selector"] == BY_HAND:
        return NO_COMMAND
    given: list[tuple[str, Any]] = [
        ("model", model_of(kept, shared=shared)),
        ("revision", came["revision"]),
        ("max_tokens", came["max_tokens"] if came["max_tokens"] != MAX_TOKENS else None),
        ("selector", m["selector"]),
        *(("set", f"{name}={value}") for name, value in _changed(kept).items()),
        *((option, ",".join(map(str, m["selector_parameters"].get(name) or ()))) for name, option in PINS.items()),
        *_aim_of(kept, shared=shared).items(),
        ("budget", len(kept.picks)),
        ("seed", m["seed"]),
        ("out", out),
    ]
    options = flags([*came["options"], *((name, str(value)) for name, value in given if value)])
    return shlex.join(["fishersft", "select", source_of(kept, shared=shared), *options])


def python_of(kept: Kept, *, shared: bool = False) -> str:
    """The same in Python."""
    came, m = kept.provenance, kept.manifest
    load = _keywords(load_options(kept))
    corpus = f"import fishersft\n\ncorpus = fishersft.load_corpus({source_of(kept, shared=shared)!r}{load})\n"
    if m["selector"] == BY_HAND:
        return f"{corpus}picks = corpus.fields.iloc[{kept.picks['index'].tolist()}]\nprint(picks)\n"
    model = repr(model_of(kept, shared=shared))
    if came["revision"]:
        model = f"fishersft.load_model({model}, revision={came['revision']!r})"
    pins = {name: m["selector_parameters"].get(name) for name in PINS}
    aim = _aim_of(kept, shared=shared)
    max_tokens = came["max_tokens"] if came["max_tokens"] != MAX_TOKENS else None
    more = {
        name: value for name, value in {"parameters": _changed(kept), **pins, **aim, "max_tokens": max_tokens}.items() if value
    }
    given = _keywords({"selector": m["selector"], "budget": len(kept.picks), "seed": m["seed"], **more})
    return f"{corpus}picks = fishersft.select(corpus, {model}{given})\nprint(picks.indices, picks.gains)\n"


def _aim_of(kept: Kept, *, shared: bool = False) -> dict[str, Any]:
    """The target that the picks were chosen for, as `load_pool` takes it; `shared` leaves out where a file lies."""
    given = {name: kept.manifest["selector_parameters"].get(name) for name in TARGET}
    if shared and given["target"] and "=" not in given["target"]:
        given["target"] = PurePath(given["target"]).name
    return given


def _keywords(values: dict[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in values.items())


def load_options(kept: Kept) -> dict[str, Any]:
    """How the corpus was read, as the keywords of `load_corpus`; StoreError for one that this version does not have."""
    unknown = [name for name, _ in kept.provenance["options"] if name not in declared(ReadOptions)]
    if unknown:
        raise StoreError(
            f"The corpus of run {kept.id} was read with '{unknown[0][:40]}', which this version of fishersft does not have."
        )
    return ReadOptions.of_texts(kept.provenance["options"])


def _changed(kept: Kept) -> dict[str, Any]:
    """The selector's parameters that are not at their defaults; all of them where the selector is no longer registered."""
    kind = registry().get(str(kept.manifest["selector"]))
    usual = {name: one.default for name, one in declared(kind).items()} if kind else {}
    given: dict[str, Any] = kept.manifest["selector_parameters"]
    return {n: v for n, v in given.items() if n not in (*PINS, *TARGET) and (n not in usual or v != usual[n])}


def title_of(kept: Kept) -> str:
    """One line for people."""
    m = kept.manifest
    name = f"{m['name']}: " if m.get("name") else ""
    whose = "hand" if m["selector"] == BY_HAND else m["selector"]
    return f"{name}{len(kept.picks):,} records of {m['corpus']} chosen by {whose}"


def provenance_of(kept: Kept, *, shared: bool = True) -> dict[str, Any]:
    """Where the picks came from, by name; `shared` leaves out where files lie."""
    m, came = kept.manifest, kept.provenance
    return {
        "corpus": source_of(kept, shared=shared),
        "corpus fingerprint": m["corpus_fingerprint"],
        "corpus records": came["records"],
        "pool": m["pool"],
        "model": model_of(kept, shared=shared),
        "model revision": came["revision"],
        "model fingerprint": came["model_fingerprint"],
        "max tokens": came["max_tokens"],
        "selector": m["selector"],
        "parameters": m["selector_parameters"],
        "seed": m["seed"],
        "budget": f"{len(kept.picks):,} sentences",
        "trained tokens": m["tokens"],
        "log det gained (nats)": m["log_det"],
        "at least this share of the optimum": m["proven_share_of_optimum"],
        "made": m["made"],
        "versions": {"fishersft": m["fishersft"], **came["versions"]},
    }


def origin_of(kept: Kept, store: Store | None = None, load: Callable[..., Corpus] = load_corpus) -> Origin:
    """The corpus, read by `load` as `load_corpus` does, and the embeddings that the picks came from.

    Raises:
        UserError: one of them is gone or is another by now.
    """
    store, came = store or Store.default(), kept.provenance
    folder = store.folders("embeddings").get(str(kept.manifest["embeddings"]))
    if folder is None:
        raise StoreError("The embeddings that these picks came from are no longer in the store; run the same selection again.")
    corpus = load(str(came["source"]), name=str(kept.manifest["corpus"]), **load_options(kept))
    if corpus.fingerprint != kept.manifest["corpus_fingerprint"]:
        raise UserError(f"The corpus {corpus.name} has changed since these picks were made; run the same selection again.")
    found = open_artifact(folder)
    return corpus, open_embeddings(found.path, found.manifest, found.key)


def told(value: Any) -> str:
    """A fact for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {told(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(told, value)) or "none"
    return "unknown" if value is None else str(value)
