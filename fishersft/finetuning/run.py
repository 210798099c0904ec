"""A run of fine-tuning on disk: a folder that any program can read and that needs no store.

    run.json                 what was asked: corpus, model, selectors, budgets, seeds, training, sampling; versions and sizes
    prompts.jsonl            one line per prompt: the first tokens of a held-out record, and the record's continuation
    held_out.json            the held-out records: their numbers, trained tokens, topics where there is such a column, and how
                             many have a near-duplicate in the pool
    target.json              with a target, the same of the texts of its measuring half
    scored.jsonl             one line per record whose answer is scored (the target's where there is one, else held-out ones):
                             its number, prompt and answer, and its choices with their tokens where it is multiple choice;
                             none where the records have no answers, or with --score-prompts 0
    cells/NAME/cell.json     one tuned model: what it was trained on, for how long, its losses; written last.  choosing_seconds
                             are its selector's, measured when its picks were made; tokens_per_second those of the training;
                             checksums (sha256) those of the model's other files, which reading verifies
    cells/NAME/held_out.npy  (H,) nats of each held-out record under it, summed over trained tokens
    cells/NAME/target.npy    with a target, the same of its measuring texts
    cells/NAME/texts.jsonl   one line per prompt: what it wrote
    cells/NAME/scores.jsonl  one line per scored record: its likeliest answer and the scores of that, from 0 to 1; or the nats of
                             each choice as the answer
    cells/all-s0/model/      the model tuned on the whole pool, which the reference judge reads with
    rate.json                the learning rates that were tried on a uniform draw, and the one that was taken
    work/tried.json          the learning rates that a search in progress has tried so far
    work/NAME/               a model in progress: its checkpoints and losses.jsonl; deleted when the run is complete

A model is named `base`, `all-s0` or `token_od-50-s0` (selector, sentences, seed).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from fishersft import paths
from fishersft.errors import StoreError
from fishersft.finetuning.schema import CellFile, MeasuredFile, PromptLine, RunFile, ScoredLine, ScoreLine, TextLine
from fishersft.paths import replacing, user_path, write_whole, writing
from fishersft.store.artifacts import Store, as_written, made
from fishersft.store.checked import check, read_json, read_json_lines, read_numbers
from fishersft.text import all_encodable

VERSION = 1
RUN, PROMPTS, HELD_OUT = "run.json", "prompts.jsonl", "held_out.json"
CELLS, CELL, NATS, TEXTS, MODEL = "cells", "cell.json", "held_out.npy", "texts.jsonl", "model"
TARGET, TARGET_NATS = "target.json", "target.npy"
SCORED, SCORES = "scored.jsonl", "scores.jsonl"
RATE, TRIED, WORK, LOSSES = "rate.json", "tried.json", "work", "losses.jsonl"
BASE, ALL = "base", "all"
GROWS = ("selectors", "budgets", "seeds", "cells", "reference_rows")  # what may be added to a run later
AGAIN = "delete the run's folder, or resume the run from a copy of it"
REMADE = "delete the folder of its model and resume the run"
KEPT = "free some space or name another --out; what was finished is kept"


@dataclass(frozen=True)
class Prompt:
    """The first tokens of held-out record `index`, and the record's own continuation."""

    number: int
    index: int
    text: str
    continuation: str


@dataclass(frozen=True)
class Generated:
    """What one model wrote after one prompt: `tokens` new tokens; `ended` when it wrote the end token itself."""

    prompt: int
    text: str
    tokens: int
    ended: bool


@dataclass(frozen=True)
class TunedModel:
    """A finished model of a run, trained on the picks of a selector; "base" is untuned, "all" saw the whole pool.

    `budget` is in sentences of the reference selector, None for base and all; `facts` is everything else in cell.json.
    """

    name: str
    selector: str
    budget: int | None
    seed: int | None
    sentences: int
    tokens: int
    facts: dict[str, Any]


def own_command(about: Mapping[str, Any]) -> list[str]:
    """The command line that a result names; [] where it names none, or another program than ours, as a stranger's may."""
    given: list[str] = about.get("command") or []
    return given if given[:1] == ["fishersft"] else []


@dataclass(frozen=True)
class FineTuneRun:
    """A run's folder, opened for reading; models that are still being made are left out."""

    folder: Path
    id: str
    about: dict[str, Any]
    versions: dict[str, str]

    @cached_property
    def prompts(self) -> list[Prompt]:
        lines = read_json_lines(self.folder / PROMPTS, PromptLine, AGAIN)
        return [Prompt(p["prompt"], p["index"], p["text"], p["continuation"]) for p in lines]

    @property
    def models(self) -> dict[str, TunedModel]:
        """The finished models by name, in the order of the plan; read anew each time."""
        found = {}
        for name in self.about["cells"]:
            path = self.folder / CELLS / name / CELL
            if facts := read_json(path, CellFile, REMADE):
                if facts["selector"] not in self.labels:
                    raise StoreError(f"{path} is damaged (its selector is none of the run's); {REMADE}.")
                known = {k: facts.pop(k) for k in ("selector", "budget", "seed", "sentences", "tokens")}
                found[name] = TunedModel(name=name, **known, facts=facts)
        return found

    @property
    def labels(self) -> dict[str, str]:
        """What people call the selectors, the untuned model and the one tuned on the whole pool."""
        return {**{s["name"]: s["label"] for s in self.about["selectors"]}, BASE: "Untuned", ALL: "Whole pool"}

    @property
    def share_finished(self) -> float:
        """The share of its models that are finished."""
        planned = self.about["cells"]
        return sum((self.folder / CELLS / name / CELL).is_file() for name in planned) / max(1, len(planned))

    @property
    def source(self) -> str:
        """The corpus as a command names it, or else its name."""
        return str(self.about["corpus"].get("source") or self.about["corpus"]["name"])

    @property
    def command(self) -> list[str]:
        """The command line that made it, as far as it is one of ours."""
        return own_command(self.about)

    @property
    def title(self) -> str:
        """What it compares, in one line; names in it come from its folder."""
        about, target = self.about, self.about.get("target")
        n, seeds = ", ".join(f"{n:,}" for n in about["budgets"]), len(about["seeds"])
        aim = f" for {target['name']}" if target else ""
        return (
            f"{about['corpus']['name']} with {about['model']['name']}{aim}, "
            f"{len(about['selectors'])} selectors, n = {n}, equal {about['equal']}, {seeds} seed{'s' * (seeds != 1)}"
        )

    @property
    def stamp(self) -> tuple[tuple[str, int], ...]:
        """What changes whenever a model of the run is finished or made again."""
        out = []
        for name in [RUN, *(str(Path(CELLS) / model / CELL) for model in self.about["cells"])]:
            try:
                out.append((name, (self.folder / name).stat().st_mtime_ns))
            except (OSError, ValueError):
                continue
        return tuple(out)

    def damage(self) -> list[str]:
        """A sentence for each finished model of which a file is not what was written; every byte is read."""
        found = []
        for name, model in self.models.items():
            try:
                for file, known in model.facts.get("checksums", {}).items():
                    as_written(self.folder / CELLS / name / file, known, REMADE)
            except StoreError as error:
                found.append(str(error))
        return found

    def _file(self, model: str, name: str) -> Path:
        """The path of a finished model's file; StoreError where it is not what was written, as far as its checksum is known."""
        folder = self.folder / CELLS / model
        facts = read_json(folder / CELL, CellFile, REMADE) or {}
        return as_written(folder / name, facts.get("checksums", {}).get(name), REMADE)

    def texts(self, model: str) -> list[Generated]:
        """What a finished model wrote, one text per prompt; empty where the run has no prompts."""
        path = self._file(model, TEXTS)
        return [Generated(t["prompt"], t["text"], t["tokens"], t["ended"]) for t in read_json_lines(path, TextLine, REMADE)]

    def nats(self, model: str, *, target: bool = False) -> np.ndarray:
        """(H,) nats of each held-out record, or of each measuring text of the target, summed over its trained tokens."""
        texts = (self.target or {}) if target else self.held_out
        return read_numbers(self._file(model, TARGET_NATS if target else NATS), len(texts.get("tokens", [])), REMADE)

    @cached_property
    def scored(self) -> list[ScoredLine]:
        """The records whose answers are scored, all with choices or all without; none in a run without scores."""
        path = self.folder / SCORED
        lines: list[ScoredLine] = read_json_lines(path, ScoredLine, AGAIN)
        for number, line in enumerate(lines, 1):
            choices, tokens, correct = line.get("choices", []), line.get("tokens", []), line.get("correct", -1)
            if ("choices" in line) != ("choices" in lines[0]) or len(choices) != len(tokens) or correct >= len(choices):
                raise StoreError(f"{path} is damaged in line {number:,} (its choices do not belong together); {AGAIN}.")
            if choices and correct < 0:
                raise StoreError(f"{path} is damaged in line {number:,} (it has no right choice); {AGAIN}.")
        return lines

    def scores(self, model: str) -> dict[str, np.ndarray]:
        """{score: (K,) from 0 to 1} of a finished model's answers to the K scored records; {} where the run has none.

        They are the `exact`, `f1` and `rouge_l` of its texts, or of its choices the `accuracy`, 1 where the right one has the
        fewest nats per token, and the `accuracy_total`, by nats in all; the first of equal choices is taken.
        """
        if not (records := self.scored):
            return {}
        path = self._file(model, SCORES)
        lines: list[ScoreLine] = read_json_lines(path, ScoreLine, REMADE)
        if len(lines) != len(records):
            raise StoreError(f"{path} is damaged: it should hold {len(records):,} lines; {REMADE}.")
        found = []
        for number, (line, record) in enumerate(zip(lines, records, strict=True), 1):
            nats, names = np.array(line.get("nats", [])), () if "choices" in record else ("exact", "f1", "rouge_l")
            if len(nats) != len(record.get("choices", ())) or not line.keys() >= set(names):
                raise StoreError(f"{path} is damaged in line {number:,} (numbers are missing); {REMADE}.")
            if "choices" in record:
                each = {"accuracy": nats / record["tokens"], "accuracy_total": nats}
                found.append({name: float(values.argmin() == record["correct"]) for name, values in each.items()})
            else:
                found.append({name: float(line[name]) for name in names})  # type: ignore[literal-required]
        return {name: np.array([one[name] for one in found]) for name in found[0]}

    @cached_property
    def held_out(self) -> dict[str, Any]:
        """`index`, `tokens` and `topic` (or null) of the held-out records, the `column` of the topics, and `near_duplicates`."""
        found = _measured(self.folder / HELD_OUT)
        if not found:
            raise StoreError(f"{self.folder} has no {HELD_OUT} yet; resume the run.")
        return {"topic": None, "column": None, **found}

    @cached_property
    def target(self) -> dict[str, Any] | None:
        """`name`, `index` and `tokens` of the measuring half of what the selections were made for; None without a target."""
        return _measured(self.folder / TARGET)

    @property
    def reference_model(self) -> Path | None:
        """The folder of the model tuned on the whole pool, where it was kept."""
        for name, model in self.models.items():
            if model.selector == ALL and (path := self.folder / CELLS / name / MODEL).is_dir():
                return path
        return None


def model_name(selector: str, budget: int | None, seed: int | None) -> str:
    return "-".join([selector, *([str(budget)] if budget is not None else []), *([f"s{seed}"] if seed is not None else [])])


def read_run(run: str | Path, store: Store | None = None) -> FineTuneRun:
    """A run by its folder, its id or the beginning of its id.

    StoreError where there is none, there are several, or it was made by a version whose runs this one cannot read.
    """
    folder = user_path(run)
    if paths.stamp(folder / RUN) is None:
        folder = _by_id(str(run), store or Store.default())
    head = read_json(folder / RUN, dict[str, Any], AGAIN)
    if head.get("kind") != "finetune":
        raise StoreError(f"{folder} is not a run of fishersft finetune: its {RUN} says so.")
    if head.get("version") != VERSION:
        versions = head.get("versions")
        other = str(versions.get("fishersft", "unknown"))[:20] if isinstance(versions, dict) else "unknown"
        raise StoreError(
            f"The run in {folder} was made by another version of fishersft ({other}): its folder has layout "
            f"{str(head.get('version'))[:20]}, this one reads {VERSION}. Use that version, or run it again."
        )
    check(head, RunFile, f"{folder / RUN} is damaged", AGAIN)
    return FineTuneRun(folder, head["id"], head["about"], head.get("versions", {}))


def begin(folder: Path, id: str, about: dict[str, Any]) -> FineTuneRun:
    """Start the run of a folder, or open it for more; StoreError where it holds a run of other settings.

    Selectors, budgets and seeds may be added to a run later; nothing else may change, since its models would then differ in
    more than their selections.
    """
    about = all_encodable(json.loads(json.dumps(about)))
    if not (folder / RUN).exists():
        if (folder / CELLS).exists():
            raise StoreError(f"{folder} holds models without a {RUN}; name another folder.")
        return _write_run(folder, id, about)
    there = read_run(folder)
    for name, value in about.items():
        if name not in (*GROWS, "command") and there.about.get(name) != value:
            raise StoreError(
                f"{folder} holds a run with another {name.replace('_', ' ')} ({_short(there.about.get(name))}, not "
                f"{_short(value)}); name another folder."
            )
    if there.about == about:
        return there
    names = [s["name"] for s in about["selectors"]]
    merged = {
        **about,
        "cells": list(dict.fromkeys([*about["cells"], *there.about["cells"]])),
        "selectors": [*about["selectors"], *(s for s in there.about["selectors"] if s["name"] not in names)],
        "budgets": sorted({*about["budgets"], *there.about["budgets"]}),
        "seeds": sorted({*about["seeds"], *there.about["seeds"]}),
    }
    for s in there.about["selectors"]:
        other = next((t for t in about["selectors"] if t["name"] == s["name"]), s)
        if other["parameters"] != s["parameters"]:
            raise StoreError(f"{folder} holds a run with other parameters of {s['label']}; name another folder.")
    return _write_run(folder, there.id, merged)


def _write_run(folder: Path, id: str, about: dict[str, Any]) -> FineTuneRun:
    versions = {**made(), **{name: version(name) for name in ("torch", "transformers", "accelerate", "numpy")}}
    content = {"kind": "finetune", "version": VERSION, "id": id, "about": about, "versions": versions}
    write_text(folder / RUN, json.dumps(content, indent=1))
    return FineTuneRun(folder, id, about, versions)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def write_lines(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(line, ensure_ascii=True) + "\n" for line in lines))


def write_text(path: Path, text: str) -> None:
    """Write a file of a run completely or not at all; its folder is made where it is missing."""
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text, KEPT)


@contextmanager
def new_model_folder(run: FineTuneRun, name: str) -> Iterator[Path]:
    """An empty folder that becomes the model's by one rename when the block ends well, so a model is complete or absent."""
    final = run.folder / CELLS / name
    for killed in final.parent.glob(f".{name}.*partial"):
        shutil.rmtree(killed, ignore_errors=True)
    with writing(final, KEPT), replacing(final) as partial:
        partial.mkdir(parents=True)
        yield partial


def _by_id(id: str, store: Store) -> Path:
    # An id is one name, never a way out of the store.
    if id and id.replace("-", "").replace("_", "").isalnum():
        for place in (store.path / "runs", paths.asset("runs")):
            found = sorted(p.parent for p in place.glob(f"{id}*/{RUN}")) if place.is_dir() else []
            if len(found) == 1 or any(p.name == id for p in found):
                return next((p for p in found if p.name == id), found[0])
            if found:
                raise StoreError(f"Several runs begin with {id}: {', '.join(p.name for p in found[:5])}; give more of the id.")
    raise StoreError(f"There is no run '{id[:100]}'; fishersft runs list shows those there are, or give its folder.")


def _measured(path: Path) -> dict[str, Any] | None:
    """What was measured on, each text with its tokens."""
    found: dict[str, Any] | None = read_json(path, MeasuredFile, AGAIN)
    if found and not len(found["index"]) == len(found["tokens"]) == len(found.get("topic") or found["tokens"]):
        raise StoreError(f"{path} is damaged: its lists differ in length; {AGAIN}.")
    return found
