"""An arena: the same selectors fine-tuned on several corpora, targets and models at equal tokens and steps, as one result.

    arena.json       what was asked, and of each contest its selectors with their facts; written whenever a run is finished
    contest-K.npy    nats of each text under each model of contest K, summed over the text's trained tokens
    runs/NAME/       the run of `finetune` of one corpus, target and model: any number of processes may share them, and a
                     stopped one resumes; not needed to read the result

The baseline, Uniform, is the reference of every run, so all selectors get the tokens of a random draw's first n sentences.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
import numpy as np

from fishersft import paths
from fishersft.corpus.load import load_corpus
from fishersft.corpus.records import Corpus, Text
from fishersft.errors import ParameterError, StoreError
from fishersft.finetuning.leaderboard import Contest, Entry, Standing, leaderboard, sentence
from fishersft.finetuning.results import BASELINE, FineTuneResult, HeldOut, Key
from fishersft.finetuning.run import write_text
from fishersft.finetuning.stages import finetune
from fishersft.lm.folder import ModelFolder, find_model
from fishersft.paths import replacing, user_path
from fishersft.pipeline.embed_and_select import as_selector
from fishersft.selectors import Selector, registry
from fishersft.selectors.base import Stage
from fishersft.store.artifacts import Store, made
from fishersft.store.checked import Amount, Count, Counts, Name, read_json, read_numbers

ARENA, RUNS = "arena.json", "runs"
ALL_SELECTORS = "all"
APART = ("ask_llm",)  # asks a server or a model of its own: name it to have it
AGAIN = "run fishersft arena again with the same --out"
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
        if not at or user_path(text).exists():
            return cls(text)
        if not corpus or not target:
            raise ParameterError(f"'{text[:100]}' is neither a corpus nor CORPUS@TARGET, such as demo@topic=law.")
        return cls(corpus, target)


@dataclass(frozen=True)
class Arena:
    """What an arena found so far; `about` is what was asked, `id` names its folder."""

    id: str
    folder: Path
    about: dict[str, Any]
    contests: tuple[Contest, ...]

    @property
    def title(self) -> str:
        """What it compares, in one line."""
        places = dict.fromkeys(f"{c.corpus}{f' for {c.target}' if c.target else ''}" for c in self.contests)
        models = dict.fromkeys(c.model for c in self.contests)
        return f"{', '.join(places) or 'nothing yet'}; {', '.join(models)}"

    def standings(self, *, aimed: bool | None = None) -> list[Standing]:
        """The leaderboard of its contests: of all, of those for a target, or of those without."""
        return leaderboard([c for c in self.contests if aimed in (None, bool(c.target))])

    def with_contests_of(self, others: Sequence[Arena]) -> Arena:
        """Its contests, with the entries that other arenas have in the same ones."""
        found = []
        for contest in self.contests:
            for other in (c for arena in others for c in arena.contests if c.key == contest.key):
                contest = contest.with_entries_of(other)
            found.append(contest)
        return replace(self, contests=tuple(found))

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the contests with each selector's difference to Uniform, and the leaderboards."""
        from fishersft.finetuning.arena_text import as_dict

        return as_dict(self)


def arena(
    settings: Sequence[str | Setting] = USUAL,
    models: Sequence[str | Path] = ("mini",),
    *,
    selectors: Sequence[str | Selector] | str = ALL_SELECTORS,
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
        selectors: names or selectors, or `all` for those that need no server; of these, each setting has those that it can have:
            those that choose for a target where there is one, those that need a column or prompts where there are some.
            Uniform is always among them.
        out: the arena's folder; by default in the store. The same call goes on there, and other selectors may be added.
        read: how the corpora are read, as `load_corpus` takes it.
        parameters: of `finetune`, beside those that are the same in every arena: equal tokens, measured against Uniform.

    Raises:
        UserError: one sentence; finished models are kept.
    """
    places = [s if isinstance(s, Setting) else Setting.read(s) for s in settings]
    folders = [find_model(str(model)) for model in models]
    if not places or not folders:
        raise ParameterError("An arena needs at least one corpus and one model.")
    asked = {"settings": [[p.corpus, p.target] for p in places], "models": [f.fingerprint for f in folders]}
    id = hashlib.sha256(json.dumps([asked, read, parameters], sort_keys=True, default=str).encode()).hexdigest()[:12]
    place = Path(out) if out else (store or Store.default()).path / "arenas" / id
    tell: Stage = on_stage or (lambda *_: None)
    total, results = len(places) * len(folders), list[FineTuneResult]()
    about = {**asked, "models": [f.name for f in folders], "command": list(command), "versions": made()}
    for number, (folder, setting) in enumerate(((f, p) for f in folders for p in places), 1):
        corpus = load_corpus(setting.corpus, **(read or {}))

        def stage(what: str, done: int, of: int, number: int = number) -> None:
            tell(f"{what} [{number}/{total}]", done, of)

        results.append(
            finetune(
                corpus,
                folder,
                selectors=_able(selectors, corpus, setting),
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
        )
        contests = [contest for result in results for contest in contests_of(result)]
        _write(place, id, about, contests)
    return read_arena(place)


def read_arena(arena: str | Path, store: Store | None = None) -> Arena:
    """An arena by its folder, or by its id in the store; StoreError where there is none or it is damaged."""
    folder = user_path(arena)
    if not (folder / ARENA).is_file():
        homes = ((store or Store.default()).path / "arenas", paths.asset("arenas"))
        known = [home / str(arena) for home in homes if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", str(arena))]
        folder = next((f for f in known if (f / ARENA).is_file()), folder)
    head = read_json(folder / ARENA, ArenaFile, AGAIN)
    if head is None:
        raise StoreError(f"There is no arena '{str(arena)[:100]}'; fishersft runs list shows those there are, or give its folder.")
    contests = []
    for number, told in enumerate(head["contests"]):
        tokens, entries = np.array(told["tokens"]), {}
        size = len(tokens) * sum(e["seeds"] for e in told["entries"])
        nats = read_numbers(folder / f"contest-{number}.npy", size, AGAIN).astype(float).reshape(-1, len(tokens))
        start = 0
        for e in told["entries"]:
            held = HeldOut(nats[start : start + e["seeds"]], tokens)
            start += e["seeds"]
            facts = {name: value for name, value in e.items() if name not in ("selector", "label", "seeds")}
            entries[e["selector"]] = Entry(e["selector"], e["label"], held, facts)
        about = {name: told[name] for name in ("key", "corpus", "target", "model", "budget", "measured_on")}
        contests.append(Contest(**about, entries=entries))
    return Arena(head["id"], folder, head["about"], tuple(contests))


class EntryFile(TypedDict):
    selector: Name
    label: str
    seeds: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    sentences: Amount
    tokens: Amount
    seconds: NotRequired[Amount | None]
    choosing: NotRequired[Amount | None]
    on_target: NotRequired[Amount | None]


class ContestFile(TypedDict):
    key: str
    corpus: str
    target: str
    model: str
    budget: Count
    measured_on: str
    tokens: Counts
    entries: list[EntryFile]


class ArenaFile(TypedDict):
    """arena.json; an entry's nats are the next of its contest's rows, one for each seed."""

    kind: str
    version: int
    id: Name
    about: dict[str, Any]
    contests: list[ContestFile]


def contests_of(result: FineTuneResult) -> list[Contest]:
    """One contest for each budget of a run at equal tokens, with the untuned model and the whole pool where they are there."""
    run, about = result.run, result.run.about
    aim = (result.run.target or {}).get("name") or "" if result.on_target else ""
    same = {"corpus": about["corpus"]["fingerprint"], "model": about["model"]["fingerprint"], "texts": run.held_out["index"]}
    same |= {name: about.get(name) for name in ("max_tokens", "training", "equal", "steps")}
    same |= {"target": about["target"]["key"]} if "target" in about else {}
    out = []
    for budget in about["budgets"]:
        keys = {key[0]: key for key in result.held if key[1] in (budget, None)}
        key = hashlib.sha256(json.dumps({**same, "budget": budget}, sort_keys=True).encode()).hexdigest()
        name, model = about["corpus"]["name"], about["model"]["name"]
        entries = {selector: _entry(result, key) for selector, key in keys.items()}
        out.append(Contest(key, name, str(aim), model, budget, result.measured_on, entries))
    return out


def _entry(result: FineTuneResult, key: Key) -> Entry:
    models, held = result.groups[key], result.held[key]
    facts: dict[str, Any] = {
        name: float(np.mean([getattr(m, name) for m in models])) for name in ("sentences", "tokens")
    }
    for name, told in (("seconds", "seconds"), ("choosing", "choosing_seconds"), ("on_target", "on_target")):
        known = [m.facts[told] for m in models if m.facts.get(told) is not None]
        facts[name] = float(np.mean(known)) if known else None
    return Entry(key[0], result.run.labels.get(key[0], key[0]), replace(held, topics=None), facts)


def _write(place: Path, id: str, about: dict[str, Any], contests: Sequence[Contest]) -> None:
    """Write the result, so that what was there can be read at any time: the numbers first."""
    told = []
    for number, contest in enumerate(contests):
        entries = list(contest.entries.values())
        with replacing(place / f"contest-{number}.npy") as partial, partial.open("wb") as file:
            np.save(file, np.concatenate([e.held.nats for e in entries]).ravel().astype(np.float32))
        known = {name: getattr(contest, name) for name in ("key", "corpus", "target", "model", "budget", "measured_on")}
        rows = [{"selector": e.selector, "label": e.label, "seeds": len(e.held.nats), **e.facts} for e in entries]
        told.append({**known, "tokens": [int(n) for n in entries[0].held.tokens], "entries": rows})
    write_text(place / ARENA, json.dumps({"kind": "arena", "version": 1, "id": id, "about": about, "contests": told}))


def _able(selectors: Sequence[str | Selector] | str, corpus: Corpus, setting: Setting) -> list[Selector]:
    """The selectors that a setting can have, Uniform first."""
    if selectors != ALL_SELECTORS:
        named = [as_selector(s) for s in ([selectors] if isinstance(selectors, str) else selectors)]
        named = [s for s in named if s.name != BASELINE]
    else:
        lacking = {
            "balanced": not corpus.categories,
            "on_target": "=" not in (setting.target or "") or (setting.target or "").startswith("records="),
            "ifd": all(isinstance(e, Text) for e in corpus.examples),
        }
        names = [name for name in registry() if name not in (*APART, BASELINE) and not lacking.get(name)]
        named = [as_selector(name) for name in names]
    return [as_selector(BASELINE), *(s for s in named if setting.target or not s.needs_target)]


def _name(corpus: Corpus, setting: Setting, folder: ModelFolder) -> str:
    """A folder's name that says what its run is, and that no other setting has."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", f"{Path(folder.name).name} {corpus.name} {setting.target or ''}").strip("-")[:60]
    digest = hashlib.sha256(json.dumps([corpus.fingerprint, setting.target, folder.fingerprint]).encode()).hexdigest()
    return f"{words}-{digest[:6]}"


__all__ = ["Arena", "Setting", "arena", "contests_of", "read_arena", "sentence"]
