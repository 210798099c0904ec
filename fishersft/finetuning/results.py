"""What a run of fine-tuning found: held-out nats of each selector at each budget, against Uniform and the untuned model.

Beside them stand the scores of its answers, and how many tokens of a random draw reach the same loss.  Measures and intervals are
those of `intervals.py`; differences are paired, text by text, so that what all models find hard cancels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fishersft.corpus.near_duplicates import repeats_sentence
from fishersft.corpus.tables import plain, results_csv
from fishersft.finetuning.intervals import HeldOut, Interval, difference, estimate
from fishersft.finetuning.run import ALL, BASE, FineTuneRun, TunedModel, read_run, write_text
from fishersft.finetuning.tokens_saved import RandomCurve, TokensSaved
from fishersft.text import UNDECIDED, in_markdown, markdown_table

BASELINE = "uniform"
MEASURES = {"mean": "mean", "p95": "95th percentile", "max": "largest", "worst": "worst topic"}  # of nats, lower is better
SCORES = {  # of answers, from 0 to 1, higher is better; the first that a run has stands for all
    "rouge_l": "ROUGE-L",
    "f1": "token F1",
    "exact": "exact match",
    "accuracy": "accuracy by nats per token",
    "accuracy_total": "accuracy by nats in all",
}
HELD_OUT = "held_out"
Key = tuple[str, int | None]  # selector and budget


def choosing_seconds(models: Sequence[TunedModel]) -> float:
    """What choosing took, for the seed that took longest: what one has computed the others may have read from the store.

    NaN where it is not known of all.
    """
    known = [float(seconds) for m in models if (seconds := m.facts.get("choosing_seconds")) is not None]
    return max(known) if known and len(known) == len(models) else float("nan")


@dataclass(frozen=True)
class SelectionResult:
    """One selector ("base" is the untuned model, "all" the whole pool) at one budget, over its seeds.

    `values` are nats per token by measure, and scores; `minus_uniform` and `minus_base` are the paired differences to Uniform at
    the same budget and to the untuned model, empty where there is none.  `saved` is what it is worth in tokens of a random draw;
    None for a random draw itself, and in a run without.  `budget` is in sentences of the reference; None for base and all.
    """

    selector: str
    label: str
    budget: int | None
    seeds: tuple[int, ...]
    sentences: float
    tokens: float
    seconds: float
    values: dict[str, Interval]
    minus_uniform: dict[str, Interval]
    minus_base: dict[str, Interval]
    saved: TokensSaved | None = None

    @property
    def worse(self) -> bool:
        """Whether the tuned model is no better than the untuned one: comparisons at such a learning rate mislead."""
        return "mean" in self.minus_base and self.minus_base["mean"].value >= 0

    @property
    def title(self) -> str:
        """In a sentence: "TokenOD at 200"."""
        return self.label if self.budget is None else f"{self.label} at {self.budget:,}"


@dataclass(frozen=True)
class FineTuneResult:
    """A run's finished models, summarised: on the target's measuring texts where it has a target, or `on` the held-out ones."""

    run: FineTuneRun
    on: str = ""

    @classmethod
    def open(cls, run: str | Path) -> FineTuneResult:
        """The results of a run by its folder, its id or the beginning of its id; StoreError where it cannot be read."""
        return cls(read_run(run))

    @property
    def on_target(self) -> bool:
        """Whether the numbers are of the target's measuring texts."""
        return self.on != HELD_OUT and self.run.target is not None

    @property
    def measured_on(self) -> str:
        """The texts that the numbers are of, in words; names in it come from the run's folder."""
        if self.on_target:
            about = self.run.target or {}
            return f"the {len(about['tokens']):,} measuring texts of the target {about.get('name') or '?'}"
        return f"the {len(self.run.held_out['tokens']):,} held-out texts of {self.run.about['corpus']['name']}"

    @property
    def near_duplicates(self) -> str:
        """How many held-out records have a near-duplicate in the pool, in a sentence; "" where the run's folder does not say."""
        found = self.run.held_out.get("near_duplicates")
        return repeats_sentence(found) if found else ""

    @cached_property
    def elsewhere(self) -> FineTuneResult:
        """The same models on the corpus' held-out texts."""
        return replace(self, on=HELD_OUT)

    @cached_property
    def groups(self) -> dict[Key, list[TunedModel]]:
        """Models that differ in their seed only, by selector and budget."""
        found: dict[Key, list[TunedModel]] = {}
        for model in sorted(self.run.models.values(), key=lambda model: model.seed or 0):
            found.setdefault((model.selector, model.budget), []).append(model)
        return found

    @cached_property
    def held(self) -> dict[Key, HeldOut]:
        """Nats of the texts that are measured on, by selector and budget."""
        if not self.groups:
            return {}
        texts = (self.run.target or {}) if self.on_target else self.run.held_out
        topics = np.array(texts["topic"]) if texts.get("topic") else None
        tokens = np.array(texts["tokens"])
        nats = {key: [self.run.nats(m.name, target=self.on_target) for m in found] for key, found in self.groups.items()}
        return {key: HeldOut(np.stack(found), tokens, topics) for key, found in nats.items()}

    @cached_property
    def scored(self) -> dict[Key, dict[str, HeldOut]]:
        """Scores of the answers to the scored records, by selector and budget; {} where there are none of these texts."""
        if not self.run.scored or self.on_target != (self.run.target is not None):
            return {}
        ones, out = np.ones(len(self.run.scored), dtype=np.int64), {}
        for key, found in self.groups.items():
            each = [self.run.scores(model.name) for model in found]
            out[key] = {name: HeldOut(np.stack([one[name] for one in each]), ones) for name in SCORES if name in each[0]}
        return out

    @property
    def score(self) -> str:
        """The score that stands for all; "" where the run has none."""
        return next(iter(next(iter(self.scored.values()), {})), "")

    @cached_property
    def random_curve(self) -> RandomCurve | None:
        """Losses of random draws against their tokens; None without Uniform or the untuned model."""
        points = {}
        for key in sorted(self.groups, key=lambda key: key[1] or 0):
            if key[0] in (BASE, BASELINE):
                points[float(np.mean([m.tokens for m in self.groups[key]]))] = key
        if len(points) < 2 or min(points) > 0:
            return None
        if (key := (ALL, None)) in self.groups and (tokens := float(self.groups[key][0].tokens)) > max(points):
            points[tokens] = key
        return RandomCurve.of([(tokens, self.held[key].sampled("mean")) for tokens, key in points.items()])

    def _saved(self, key: Key) -> TokensSaved | None:
        curve, found = self.random_curve, self.groups[key]
        if curve is None or key[0] in (BASE, ALL, BASELINE):
            return None
        paces = [pace for m in self.run.models.values() if (pace := m.facts.get("tokens_per_second"))]
        epochs = self.run.about.get("training", {}).get("epochs", 1)
        choosing = choosing_seconds(found) * float(np.median(paces)) / epochs if paces else float("nan")
        spent = float(np.mean([m.tokens for m in found]))
        return TokensSaved(curve.equal(self.held[key].sampled("mean")), float(curve.tokens[-1]), spent, choosing)

    @cached_property
    def lines(self) -> list[SelectionResult]:
        """The finished ones: base first, then by budget and selector, the whole pool last."""
        groups, held, scored = self.groups, self.held, self.scored

        def minus(key: Key, other: Key) -> dict[str, Interval]:
            if key == other or other not in held or key[0] == BASE:
                return {}
            nats = {m: difference(held[key], held[other], m) for m in self.measures}
            return nats | {s: difference(of, scored[other][s], "mean") for s, of in scored.get(key, {}).items()}

        names = [BASE, *(s["name"] for s in self.run.about["selectors"]), ALL]
        place = {BASE: 0, ALL: 2}
        out = []
        for key in sorted(groups, key=lambda key: (place.get(key[0], 1), key[1] or 0, names.index(key[0]))):
            (selector, budget), found = key, groups[key]
            out.append(
                SelectionResult(
                    selector=selector,
                    label=self.run.labels.get(selector, selector),
                    budget=budget,
                    seeds=tuple(m.seed for m in found if m.seed is not None),
                    sentences=float(np.mean([m.sentences for m in found])),
                    tokens=float(np.mean([m.tokens for m in found])),
                    seconds=float(np.mean([m.facts.get("seconds", np.nan) for m in found])),
                    values={m: estimate(held[key], m) for m in self.measures}
                    | {s: estimate(of, "mean", most=1.0) for s, of in scored.get(key, {}).items()},
                    minus_uniform=minus(key, (BASELINE, budget)),
                    minus_base=minus(key, (BASE, None)),
                    saved=self._saved(key),
                )
            )
        return out

    @property
    def measures(self) -> tuple[str, ...]:
        """Those that the run has; without topics there is no worst one."""
        topics = not self.on_target and self.run.held_out["topic"]
        return tuple(m for m in MEASURES if m != "worst" or topics)

    @property
    def unsound(self) -> list[SelectionResult]:
        """Tuned models that are no better than the untuned one."""
        return [line for line in self.lines if line.worse]

    def table(self) -> list[dict[str, Any]]:
        """Flat rows with a column per number, for csv and data frames."""
        rows = []
        for line in self.lines:
            row: dict[str, Any] = {name: getattr(line, name) for name in ("selector", "budget")}
            row["seeds"] = len(line.seeds) or 1
            row |= {name: getattr(line, name) for name in ("sentences", "tokens", "seconds")} | {"worse_than_base": line.worse}
            for group, found in (("", line.values), ("_minus_uniform", line.minus_uniform), ("_minus_base", line.minus_base)):
                for measure, e in found.items():
                    row |= _columns(f"{measure}{group}", e)
            if saved := line.saved:
                row |= {**_columns("as_good_as_random_tokens", saved.equal), "random_tokens_reach": saved.reach}
                row |= {**_columns("tokens_saved", saved.gross), "choosing_tokens": saved.choosing}
                row |= _columns("tokens_saved_net", saved.net)
            rows.append(row)
        return rows

    def as_dict(self) -> dict[str, Any]:
        """For JSON; undefined numbers are null."""
        content = {
            "run": self.run.id,
            "about": self.run.about,
            "versions": self.run.versions,
            "finished": len(self.run.models),
            "cells": len(self.run.about["cells"]),
            "near_duplicates": self.run.held_out.get("near_duplicates"),
            **({"verdict": self.verdict, "elsewhere": self.elsewhere.as_dict()["lines"]} if self.on_target else {}),
            "worth": self.worth,
            "disagreements": self.disagreements,
            "lines": [asdict(line) | {"worse": line.worse, "saved": line.saved and line.saved.as_dict()} for line in self.lines],
        }
        return dict(plain(content))

    def save(self) -> None:
        """Write result.csv and result.json into the run's folder; StoreError where they cannot be written."""
        for format in ("csv", "json"):
            write_text(self.run.folder / f"result.{format}", self.export(format))

    def export(self, format: str) -> str:
        """The content of a file: the table as `csv`, `json` or `md`, or as `jsonl` the texts that the models wrote."""
        if format == "csv":
            return results_csv(self.table())
        if format == "json":
            return json.dumps(self.as_dict(), indent=1)
        if format == "md":
            above = [*self.verdict, f"Nats a token are of {self.measured_on}."] if self.on_target else []
            above += filter(None, [self.worth, *self.disagreements, self.near_duplicates])
            return "\n\n".join([*map(in_markdown, above), self.markdown()]) + "\n"
        prompts = {p.number: p for p in self.run.prompts}
        lines = []
        for name in self.run.models:
            for t in (t for t in self.run.texts(name) if t.prompt in prompts):
                asked = {"record": prompts[t.prompt].index, "prompt_text": prompts[t.prompt].text}
                lines.append({"prompt": t.prompt, **asked, "model": name, "text": t.text})
        return "".join(json.dumps(line, ensure_ascii=True) + "\n" for line in lines)

    def text_table(self) -> tuple[list[str], list[list[str]]]:
        """Head and rows for people: nats per held-out token with 95% intervals, and the difference to Uniform."""
        lost = {(line.selector, line.budget): line for line in self.elsewhere.lines} if self.on_target else {}
        head = ["selection", "sentences", "tokens", *(MEASURES[m] for m in self.measures), "mean, minus Uniform"]
        head += [SCORES[self.score], f"{SCORES[self.score]}, minus Uniform"] if self.score else []
        head += ["as good as a random draw of", "tokens saved"] if self.random_curve else []
        head += ["elsewhere, minus untuned"] if lost else []
        rows = []
        for line in self.lines:
            name = line.label if line.budget is None else f"{line.label}, {line.budget:,}"
            measured = [with_interval(line.values[m]) for m in self.measures]
            more = [_signed(line.minus_uniform)]
            if self.score:
                more += [with_interval(line.values[self.score]), _signed(line.minus_uniform, self.score)]
            if self.random_curve:
                more += [line.saved.worth, line.saved.words] if line.saved else ["", ""]
            name += " (no better than untuned)" * line.worse
            there = [_signed(lost[line.selector, line.budget].minus_base)] if lost else []
            rows.append([name, f"{line.sentences:,.0f}", f"{line.tokens:,.0f}", *measured, *more, *there])
        return head, rows

    @cached_property
    def verdict(self) -> list[str]:
        """A sentence per budget: who is best on the target and by how much, and what it lost elsewhere."""
        out = []
        chosen = {s["name"] for s in self.run.about["selectors"]}
        lost = {(line.selector, line.budget): line.minus_base for line in self.elsewhere.lines}
        for budget in sorted({line.budget for line in self.lines if line.budget is not None}):
            ranked = sorted(
                (line for line in self.lines if line.budget == budget and line.selector in chosen),
                key=lambda line: line.values["mean"].value,
            )
            first = ranked[0]
            against = []
            if first.minus_uniform:
                against.append(apart(first.minus_uniform["mean"], "Uniform"))
            if len(ranked) > 1 and ranked[1].selector != BASELINE:
                gap = difference(self.held[first.selector, budget], self.held[ranked[1].selector, budget], "mean")
                against.append(apart(gap, ranked[1].label))
            there = lost[first.selector, budget].get("mean")
            elsewhere = f" On the corpus' held-out texts it is {apart(there, 'the untuned model')}." if there else ""
            out.append(
                f"{first.title}, with {first.tokens:,.0f} tokens, predicts the target best: "
                f"{with_interval(first.values['mean'])} nats per "
                f"token{', ' if against else ''}{' and '.join(against)}.{elsewhere}"
            )
        return out

    @cached_property
    def worth(self) -> str:
        """What the best selection of the largest budget is worth in tokens of a random draw; "" where that is not known."""
        told = [(-(line.budget or 0), line.values["mean"].value, line.title, line.saved) for line in self.lines if line.saved]
        if not told:
            return ""
        *_, title, saved = min(told, key=lambda one: one[:2])
        return (
            f"{title}, of {saved.spent:,.0f} tokens, is as good as a random draw of {saved.worth}; tokens saved: {saved.words}."
        )

    @cached_property
    def disagreements(self) -> list[str]:
        """Where nats and the answers' score clearly disagree about who is better than Uniform, in sentences."""
        out = []
        for line in self.lines if self.score else []:
            if not line.minus_uniform:
                continue
            sides = {m: side_of(line.minus_uniform[m], m) for m in ("mean", self.score)}
            if UNDECIDED not in sides.values() and len(set(sides.values())) == 2:
                nats, score = (with_interval(line.minus_uniform[m], signed=True) for m in sides)
                out.append(
                    f"{line.title} is {sides['mean']} Uniform by nats per token ({nats}) and {sides[self.score]} it by "
                    f"{SCORES[self.score]} ({score}): the two disagree about who is better."
                )
        return out

    def markdown(self) -> str:
        """`text_table` in Markdown."""
        return markdown_table(*self.text_table())


def _signed(minus: dict[str, Interval], measure: str = "mean") -> str:
    return with_interval(minus[measure], signed=True) if minus else ""


def _columns(name: str, e: Interval) -> dict[str, float]:
    return {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}


def side_of(d: Interval, measure: str = "mean") -> str:
    """A difference in words; where its interval contains 0 it is "not clearly different from" the other."""
    d = Interval(-d.value, -d.high, -d.low) if measure in SCORES else d
    return "better than" if d.high < 0 else "worse than" if d.low > 0 else UNDECIDED


def size_of(d: Interval) -> Interval:
    """A difference without its sign."""
    return d if d.value > 0 else Interval(-d.value, -d.high, -d.low)


def apart(d: Interval, other: str) -> str:
    """ "0.051 (0.020 to 0.083) better than Uniform", or "not clearly different from Uniform, +0.002 (-0.010 to +0.014)"."""
    side = side_of(d)
    if np.isnan(d.low):
        return f"{d.value:+.3f} against {other}"
    if side == UNDECIDED:
        return f"{side} {other}, {with_interval(d, signed=True)}"
    return f"{with_interval(size_of(d))} {side} {other}"


def with_interval(e: Interval, *, signed: bool = False) -> str:
    """3.214 (3.150 to 3.281), or the bare number where there is no interval."""
    sign = "+" if signed else ""
    if np.isnan(e.low):
        return f"{e.value:{sign}.3f}"
    return f"{e.value:{sign}.3f} ({e.low:{sign}.3f} to {e.high:{sign}.3f})"
