"""Runs an arena: one fine-tuning of all selectors for each corpus, target and model, at equal tokens and steps.

Uniform, the baseline, is the reference of every run, so all selectors get the tokens of a random draw's first n sentences.  Each
run resumes, and any number of processes may share them; the result is written whenever one is finished (`arena.py`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from fishersft.corpus.load import load_corpus
from fishersft.corpus.records import Corpus, Text
from fishersft.errors import ParameterError
from fishersft.finetuning.arena import RUNS, Arena, contests_of, read_arena, write_arena
from fishersft.finetuning.leaderboard import Contest
from fishersft.finetuning.results import BASELINE, FineTuneResult
from fishersft.finetuning.run import RUN
from fishersft.finetuning.stages import finetune
from fishersft.lm.folder import ModelFolder, find_model
from fishersft.paths import user_path
from fishersft.pipeline.embed_and_select import as_selector, load_pool
from fishersft.selectors import Selector, registry
from fishersft.selectors.base import Stage
from fishersft.store.artifacts import Store, made
from fishersft.text import all_encodable, listed

APART = ("ask_llm",)  # asks a server or a model of its own: name it to have it
USUAL = ("demo", "demo@topic=law")


@dataclass(frozen=True)
class Setting:
    """A corpus, as `load_corpus` takes it, and the target to choose for, as `load_pool` takes it; None for no target."""

    corpus: str
    target: str | None = None

    @classmethod
    def read(cls, text: str) -> Setting:
        """From `CORPUS` or `CORPUS@TARGET`; a file whose name has an @ is a corpus."""
        corpus, at, target = text.rpartition("@")
        if not at or os.path.exists(user_path(text)):  # unlike Path.exists, answers for names too long to exist
            return cls(text)
        if not corpus or not target:
            raise ParameterError(f"'{text[:100]}' is neither a corpus nor CORPUS@TARGET, such as demo@topic=law.")
        return cls(corpus, target)


def arena(
    settings: Sequence[str | Setting] = USUAL,
    models: Sequence[str | Path] = ("mini",),
    *,
    selectors: Sequence[str | Selector] = (),
    out: str | Path | None = None,
    read: dict[str, Any] | None = None,
    command: Sequence[str] = (),
    store: Store | None = None,
    on_stage: Stage | None = None,
    say: Callable[[str], None] | None = None,
    **parameters: Any,
) -> Arena:
    """Fine-tune selectors in every setting under every model, as `fishersft arena` does, and rank them.

    Args:
        settings: `CORPUS` or `CORPUS@TARGET`.
        selectors: names or selectors; by default all that need no server. Each setting has those that it can have: those that
            choose for a target where there is one, those that need a column or prompts where there are some. Uniform is
            always among them.
        out: the arena's folder; by default in the store. The same call goes on there, and other selectors may be added.
        read: how the corpora are read, as `load_corpus` takes it.
        parameters: of `finetune`, beside those that are the same in every arena: equal tokens, measured against Uniform.

    Raises:
        UserError: one sentence; finished models are kept.
    """
    places = [s if isinstance(s, Setting) else Setting.read(s) for s in settings]
    folders = [find_model(str(model)) for model in models]
    named = [as_selector(s) for s in selectors or every_selector()]
    if not places or not folders:
        raise ParameterError("An arena needs at least one corpus and one model.")
    asked = {"settings": [[p.corpus, p.target] for p in places], "models": [f.fingerprint for f in folders]}
    id = hashlib.sha256(json.dumps([asked, read, parameters], sort_keys=True, default=str).encode()).hexdigest()[:12]
    place = Path(out) if out else (store or Store.default()).path / "arenas" / id
    tell: Stage = on_stage or (lambda *_: None)
    total, ever = len(places) * len(folders), {BASELINE}
    mine: dict[Path, list[Contest]] = {}
    opened = cache(lambda source: load_corpus(source, **(read or {})))  # settings and models share corpora
    where = {name: parameters[name] for name in ("max_tokens", "device", "target_seed") if name in parameters}
    about = {**asked, "models": [f.label for f in folders], "command": all_encodable(list(command)), "versions": made()}
    for number, (folder, setting) in enumerate(((f, p) for f in folders for p in places), 1):
        corpus = opened(setting.corpus)

        def stage(what: str, done: int, of: int, number: int = number) -> None:
            tell(f"{what} [{number}/{total}]", done, of)

        labelled = False
        if setting.target and any(s.name == "on_target" for s in named):
            pool = load_pool(corpus, folder, target=setting.target, store=store, on_progress=partial(stage, "embedding"), **where)
            on = pool.target.is_on(corpus, pool.index) if pool.target else None
            labelled = on is not None and bool(on.any())
        lacking = {
            "balanced": not corpus.categories,
            "on_target": not labelled,
            "ifd": all(isinstance(e, Text) for e in corpus.examples),
        }
        able = [as_selector(BASELINE)]
        able += [s for s in named if s.name != BASELINE and not lacking.get(s.name) and (setting.target or not s.needs_target)]
        ever |= {s.name for s in able}
        result = finetune(
            corpus,
            folder,
            selectors=able,
            target=setting.target,
            equal="tokens",
            reference=BASELINE,
            out=place / RUNS / _name(corpus, setting, folder),
            store=store,
            command=command,
            on_stage=stage,
            say=say,
            **parameters,
        )
        mine[result.run.folder] = contests_of(result)
        others = [path.parent for path in sorted((place / RUNS).glob(f"*/{RUN}")) if path.parent not in mine]
        every = [*mine.values(), *(contests_of(FineTuneResult.open(other)) for other in others)]
        write_arena(place, id, about, [contest for contests in every for contest in contests])
    if say and (never := [s.label for s in named if s.name not in ever]):
        say(f"{listed(never)} left out: no setting has the target, the column, or the prompts that are needed.")
    return read_arena(place)


def every_selector() -> list[str]:
    """Those that need neither a server nor a model of their own."""
    return [name for name in registry() if name not in APART]


def _name(corpus: Corpus, setting: Setting, folder: ModelFolder) -> str:
    """A folder's name that says what its run is, and that no other setting has."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", f"{folder.label} {corpus.name} {setting.target or ''}").strip("-")[:60]
    digest = hashlib.sha256(json.dumps([corpus.fingerprint, setting.target, folder.fingerprint]).encode()).hexdigest()
    return f"{words}-{digest[:6]}"
