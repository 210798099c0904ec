"""An arena: the same selectors fine-tuned on several corpora, targets and models at equal tokens and steps, as one result.

    arena.json       what was asked, and of each contest its selectors with their facts; written whenever a run is finished
    contest-K.npy    nats of each text under each model of contest K, summed over the text's trained tokens
    runs/NAME/       the run of `finetune` of one corpus, target and model; not needed to read the result

Knows neither models nor how its runs are made (`contests.py`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
import numpy as np

from fishersft import paths
from fishersft.corpus.tables import plain
from fishersft.errors import StoreError
from fishersft.finetuning.intervals import HeldOut, Interval
from fishersft.finetuning.leaderboard import Contest, Entry, Score, leaderboard, pool_key, sentence
from fishersft.finetuning.results import SCORES, FineTuneResult, Key, SelectionResult, choosing_seconds, with_interval
from fishersft.finetuning.run import KEPT, own_command, write_text
from fishersft.finetuning.tokens_saved import TokensSaved
from fishersft.lm.folder import model_label
from fishersft.paths import replacing, user_path, writing
from fishersft.selectors import registry
from fishersft.store.artifacts import Store, as_written, checksum
from fishersft.store.checked import Amount, Count, Counts, Finite, Name, Positive, read_json, read_numbers
from fishersft.text import counted, in_markdown, markdown_table

ARENA, RUNS = "arena.json", "runs"
AGAIN = "run fishersft arena again with the same --out"
HEAD = ["rank", "selector", "nats a token, minus Uniform", "a token is worth", "better", "undecided", "worse", "choosing"]
FACTS = ("sentences", "tokens", "seconds", "choosing", "on_target")
TOLD = ("key", "corpus", "target", "model", "budget", "measured_on", "pool")
GROUPS = {"For a target": True, "For no target": False}  # whether their contests have one


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
        if not places:
            return "nothing yet"
        return f"{', '.join(models)}, {counted(len(self.contests), 'contest')}: {', '.join(places)}"

    @property
    def command(self) -> list[str]:
        """The command line that made it, as far as it is one of ours or the arena ships."""
        shipped = self.folder.is_relative_to(paths.asset("arenas"))
        return list(self.about.get("command") or []) if shipped else own_command(self.about)

    def with_contests_of(self, others: Sequence[Arena]) -> Arena:
        """Its contests, with the entries that other arenas have in the same ones."""
        found = []
        for contest in self.contests:
            for other in (c for arena in others for c in arena.contests if c.key == contest.key):
                contest = contest.with_entries_of(other)
            found.append(contest)
        return replace(self, contests=tuple(found))

    @property
    def groups(self) -> dict[str, list[Contest]]:
        """The contests that are ranked together, by what they have in common: a target to choose for, or none."""
        found = {name: [c for c in self.contests if bool(c.target) == aimed] for name, aimed in GROUPS.items()}
        return {name: contests for name, contests in found.items() if contests}

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the leaderboards, and of each contest the selectors with their differences to Uniform."""
        boards = {}
        for name, contests in self.groups.items():
            placings = leaderboard(contests)
            boards[name] = {
                "sentence": sentence(placings, contests),
                "placings": [asdict(one) | {"saved": [s.as_dict() for s in one.saved]} for one in placings],
            }
        told = [
            {
                **{name: getattr(c, name) for name in TOLD},
                "minus_uniform": {name: asdict(d) for name, d in c.differences.items()},
                "entries": {name: _entry_file(e) for name, e in c.entries.items()},
            }
            for c in self.contests
        ]
        return dict(plain({"id": self.id, "about": self.about, "leaderboards": boards, "contests": told}))

    def markdown(self) -> str:
        """The leaderboards as tables, each with a sentence, and where there are several contests each of them in a column."""
        out = []
        for name, contests in self.groups.items():
            placings = leaderboard(contests)
            rows = [
                [
                    p.ranked,
                    p.label,
                    with_interval(p.minus_uniform, signed=True),
                    p.times,
                    *map(str, p.sides),
                    _seconds(p.choosing),
                ]
                for p in placings
            ]
            parts = [f"## {name}", in_markdown(sentence(placings, contests)), markdown_table(HEAD, rows)]
            if len(contests) > 1:
                each = [[p.label.split(" (in ")[0], *(_cell(c, p.selector) for c in contests)] for p in placings]
                parts.append(markdown_table(["nats a token, minus Uniform", *(c.title for c in contests)], each))
            parts.append("\n".join(in_markdown(f"- {c.title}: measured on {c.measured_on}") for c in contests))
            out.append("\n\n".join(parts) + "\n")
        return "\n".join(out)


def read_arena(arena: str | Path, store: Store | None = None) -> Arena:
    """An arena by its folder, or by its id in the store; StoreError where there is none or it is damaged."""
    folder = user_path(arena)
    if paths.stamp(folder / ARENA) is None:
        homes = ((store or Store.default()).path / "arenas", paths.asset("arenas"))
        known = [home / str(arena) for home in homes if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", str(arena))]
        folder = next((f for f in known if (f / ARENA).is_file()), folder)
    head = read_json(folder / ARENA, ArenaFile, AGAIN)
    if head is None:
        raise StoreError(
            f"There is no arena '{str(arena)[:100]}'; fishersft runs list shows those there are, or give its folder."
        )
    contests = []
    for number, told in enumerate(head["contests"]):
        tokens, entries = np.array(told["tokens"]), {}
        size = len(tokens) * sum(e["seeds"] for e in told["entries"])
        file = as_written(folder / f"contest-{number}.npy", told.get("checksum"), AGAIN)
        nats = read_numbers(file, size, AGAIN).astype(float).reshape(-1, len(tokens))
        start = 0
        for e in told["entries"]:
            held = HeldOut(nats[start : start + e["seeds"]], tokens)
            start += e["seeds"]
            entries[e["selector"]] = _entry_of(e, held)
        about = {name: told[name] for name in TOLD if name in told}
        contests.append(Contest(**about, entries=entries))
    return Arena(head["id"], folder, head["about"], tuple(contests))


Numbers = Annotated[list[Finite | None], msgspec.Meta(min_length=1, max_length=3)]  # a value, then its interval; null: infinite


class SavedFile(TypedDict):
    equal: Numbers
    reach: Amount
    spent: Positive
    choosing: Amount | None


class ScoreFile(TypedDict):
    name: str
    value: Numbers
    minus_uniform: Numbers | None


class EntryFile(TypedDict):
    selector: Name
    label: str
    parameters: NotRequired[dict[str, Any]]
    seeds: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    sentences: Amount
    tokens: Amount
    seconds: NotRequired[Amount | None]
    choosing: NotRequired[Amount | None]
    on_target: NotRequired[Amount | None]
    saved: NotRequired[SavedFile | None]
    score: NotRequired[ScoreFile | None]


class ContestFile(TypedDict):
    key: str
    corpus: str
    target: str
    model: str
    budget: Count
    measured_on: str
    pool: NotRequired[str]
    checksum: NotRequired[str]
    tokens: Counts
    entries: list[EntryFile]


class AboutFile(TypedDict):
    command: NotRequired[list[str]]


class ArenaFile(TypedDict):
    """arena.json; an entry's nats are the next of its contest's rows, one for each seed."""

    kind: str
    version: int
    id: Name
    about: AboutFile
    contests: list[ContestFile]


def contests_of(result: FineTuneResult) -> list[Contest]:
    """One contest for each budget of a run at equal tokens, with the untuned model and the whole pool where they are there; none
    while no model is finished."""
    if not result.groups:
        return []
    run, about = result.run, result.run.about
    aim = (result.run.target or {}).get("name") or "" if result.on_target else ""
    same = {"corpus": about["corpus"]["fingerprint"], "model": about["model"]["fingerprint"], "texts": run.held_out["index"]}
    same |= {name: about.get(name) for name in ("max_tokens", "training", "equal", "steps")}
    same |= {"target": about["target"]["key"]} if "target" in about else {}
    out = []
    for budget in about["budgets"]:
        keys = {key[0]: key for key in result.held if key[1] in (budget, None)}
        key = hashlib.sha256(json.dumps({**same, "budget": budget}, sort_keys=True).encode()).hexdigest()
        name, model = about["corpus"]["name"], model_label(about["model"]["name"])
        lines = {line.selector: line for line in result.lines if line.budget in (budget, None)}
        entries = {selector: _entry(result, key, lines[selector]) for selector, key in keys.items()}
        pool = pool_key(same["corpus"], same.get("target", ""))
        out.append(Contest(key, name, str(aim), model, budget, result.measured_on, entries, pool))
    return out


def _entry(result: FineTuneResult, key: Key, line: SelectionResult) -> Entry:
    models, held = result.groups[key], result.held[key]
    facts: dict[str, Any] = {"sentences": line.sentences, "tokens": line.tokens}
    for name in ("seconds", "on_target"):
        known = [m.facts[name] for m in models if m.facts.get(name) is not None]
        facts[name] = float(np.mean(known)) if known else None
    choosing = choosing_seconds(models)
    facts["choosing"] = None if np.isnan(choosing) else choosing
    name = result.score
    score = Score(name, line.values[name], line.minus_uniform.get(name)) if name else None
    changed = next((_changed(key[0], s["parameters"]) for s in result.run.about["selectors"] if s["name"] == key[0]), {})
    label = line.label + (f" ({', '.join(f'{k} = {v}' for k, v in changed.items())})" if changed else "")
    return Entry(key[0], label, replace(held, topics=None), facts, line.saved, score, changed)


def _changed(selector: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters that are not at the selector's defaults, as far as this version knows it, and those it did not have yet."""
    kind = registry().get(selector)
    usual = json.loads(json.dumps(kind().parameters)) if kind else parameters
    changed = {name: value for name, value in parameters.items() if name not in usual or usual[name] != value}
    return changed | {name: "unknown" for name in usual if name not in parameters}


def write_arena(place: Path, id: str, about: dict[str, Any], contests: Sequence[Contest]) -> None:
    """Write the result, so that what was there can be read at any time: the numbers first."""
    told = []
    with writing(place, KEPT):
        place.mkdir(parents=True, exist_ok=True)
    for number, contest in enumerate(contests):
        entries = list(contest.entries.values())
        numbers = place / f"contest-{number}.npy"
        with writing(numbers, KEPT), replacing(numbers) as partial, partial.open("wb") as file:
            np.save(file, np.concatenate([e.held.nats for e in entries]).ravel().astype(np.float32))
        known = {name: getattr(contest, name) for name in TOLD}
        known["checksum"] = checksum(numbers)
        told.append({**known, "tokens": [int(n) for n in entries[0].held.tokens], "entries": [_entry_file(e) for e in entries]})
    write_text(place / ARENA, json.dumps({"kind": "arena", "version": 1, "id": id, "about": about, "contests": told}))


def _entry_file(e: Entry) -> dict[str, Any]:
    """An entry without its nats, as `_entry_of` reads it."""
    told: dict[str, Any] = {"selector": e.selector, "label": e.label, "seeds": len(e.held.nats), **e.facts}
    told |= {"parameters": dict(e.parameters)} if e.parameters else {}
    if (saved := e.saved) is not None:
        choosing = None if np.isnan(saved.choosing) else saved.choosing
        told["saved"] = {"equal": _ends(saved.equal), "reach": saved.reach, "spent": saved.spent, "choosing": choosing}
    if (score := e.score) is not None:
        minus = score.minus_uniform and _ends(score.minus_uniform)
        told["score"] = {"name": score.name, "value": _ends(score.value), "minus_uniform": minus}
    return told


def _entry_of(told: dict[str, Any], held: HeldOut) -> Entry:
    facts = {name: told.get(name) for name in FACTS}
    entry = Entry(told["selector"], told["label"], held, facts, parameters=told.get("parameters", {}))
    if one := told.get("saved"):
        choosing = np.nan if one["choosing"] is None else one["choosing"]
        entry = replace(entry, saved=TokensSaved(_interval(one["equal"]), one["reach"], one["spent"], choosing))
    if (one := told.get("score")) and one["name"] in SCORES:
        minus = one["minus_uniform"] and _interval(one["minus_uniform"])
        entry = replace(entry, score=Score(one["name"], _interval(one["value"]), minus))
    return entry


def _ends(e: Interval) -> list[float | None]:
    """[value, low, high], or the bare value where there is no interval; null where it is infinite."""
    ends = (e.value,) if np.isnan(e.low) else (e.value, e.low, e.high)
    return [None if np.isinf(end) else end for end in ends]


def _interval(ends: list[float | None]) -> Interval:
    value, low, high = [np.inf if end is None else end for end in ends] if len(ends) == 3 else (ends[0], np.nan, np.nan)
    return Interval(np.inf if value is None else value, low, high)


def _cell(contest: Contest, selector: str) -> str:
    """A difference with its interval, bold where that leaves out 0, and the share of picks on the target."""
    if (d := contest.differences.get(selector)) is None:
        return ""
    text, share = with_interval(d, signed=True), contest.entries[selector].facts.get("on_target")
    there = f"; {share:.0%} on target" if share else ""
    return (f"**{text}**" if d.high < 0 or d.low > 0 else text) + there


def _seconds(value: float) -> str:
    return "" if np.isnan(value) else f"{value:,.1f} s"
