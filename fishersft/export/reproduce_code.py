"""The command line and the Python that make a kept selection again; of one chosen by hand, what there is to say.

What is handed on to others names files and folders without their place: a path says who works where.
"""

from __future__ import annotations

import shlex
from pathlib import PurePath
from typing import Any

from fishersft.corpus.encode import MAX_TOKENS
from fishersft.corpus.load import CLASSICS
from fishersft.pipeline.selections import BY_HAND, Kept
from fishersft.selectors import registry

PINS = {"pinned": "--pin", "excluded": "--exclude"}  # records that a selection was told to take first, and never
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
    """The command line, for a shell."""
    came, m = kept.provenance, kept.manifest
    if m["selector"] == BY_HAND:
        return NO_COMMAND
    words = ["fishersft", "select", source_of(kept, shared=shared)]
    for name, value in came["options"]:
        words += [f"--{name.replace('_', '-')}", *([value] if value else [])]
    words += ["--model", model_of(kept, shared=shared)]
    if came["revision"]:
        words += ["--revision", came["revision"]]
    if came["max_tokens"] not in (None, MAX_TOKENS):
        words += ["--max-tokens", str(came["max_tokens"])]
    words += ["--selector", m["selector"]]
    for name, value in changed(kept).items():
        words += ["--set", f"{name}={value}"]
    for name, option in PINS.items():
        if records := m["selector_parameters"].get(name):
            words += [option, ",".join(map(str, records))]
    words += ["--budget", str(len(kept.picks))]
    if m["seed"]:
        words += ["--seed", str(m["seed"])]
    return shlex.join([*words, "--out", out])


def python_of(kept: Kept, *, shared: bool = False) -> str:
    """The same in Python."""
    came, m = kept.provenance, kept.manifest
    load = "".join(f", {name}={value!r}" for name, value in load_options(kept).items())
    corpus = f"import fishersft\n\ncorpus = fishersft.load_corpus({source_of(kept, shared=shared)!r}{load})\n"
    if m["selector"] == BY_HAND:
        return f"{corpus}picks = corpus.fields.iloc[{kept.picks['index'].tolist()}]\nprint(picks)\n"
    model = repr(model_of(kept, shared=shared))
    if came["revision"]:
        model = f"fishersft.load_model({model}, revision={came['revision']!r})"
    given = changed(kept)
    extra = f", parameters={given!r}" if given else ""
    extra += "".join(f", {name}={m['selector_parameters'][name]}" for name in PINS if m["selector_parameters"].get(name))
    extra += f", max_tokens={came['max_tokens']}" if came["max_tokens"] not in (None, MAX_TOKENS) else ""
    return (
        f"{corpus}picks = fishersft.select(corpus, {model}, selector={m['selector']!r}, budget={len(kept.picks)}, "
        f"seed={m['seed']}{extra})\n"
        "print(picks.indices, picks.gains)\n"
    )


def load_options(kept: Kept) -> dict[str, Any]:
    """How the corpus was read, as the keywords of `load_corpus`."""
    read: dict[str, Any] = {name: value or True for name, value in kept.provenance["options"]}
    if "holdout" in read:
        read["holdout"] = float(read["holdout"])
    return read


def changed(kept: Kept) -> dict[str, Any]:
    """The selector's parameters that are not at their defaults; all of them where the selector is no longer registered."""
    given: dict[str, Any] = kept.manifest["selector_parameters"]
    kind = registry().get(str(kept.manifest["selector"]))
    usual = {name: f.default for name, f in kind.__dataclass_fields__.items()} if kind else {}
    return {n: v for n, v in given.items() if n not in PINS and (n not in usual or v != usual[n])}
