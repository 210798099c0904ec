"""What a run of fine-tuning found: held-out nats of each selector at each budget, against Uniform and the untuned model.

    mean       all nats over all trained tokens
    p95, max   over texts, of each text's own nats per token
    worst      the largest mean of a topic, where there are topics

Intervals are 95% percentiles of a bootstrap that draws texts, and training seeds where there are several, with replacement.
Differences are taken within the same draw, text by text and seed by seed, so that what all models find hard cancels.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fishersft.corpus.near_duplicates import repeats_sentence
from fishersft.corpus.tables import plain
from fishersft.finetuning.run import ALL, BASE, FineTuneRun, TunedModel, read_run, write_text
from fishersft.text import UNDECIDED, markdown_table

BASELINE = "uniform"
MEASURES = {"mean": "mean", "p95": "95th percentile", "max": "largest", "worst": "worst topic"}
DRAWS = 2_000
HELD_OUT = "held_out"
Key = tuple[str, int | None]  # selector and budget
KEPT = 2_000  # the draws of more texts would fill the memory


@dataclass(frozen=True)
class Interval:
    """A value and its 95% interval; the bounds are NaN where there is too little to draw from."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class HeldOut:
    """Nats of H texts under S models that differ in their seed only: (S, H), summed over each text's trained tokens.

    `tokens` are (H,) trained tokens, at least 1, and `topics` (H,) strings or None.
    """

    nats: np.ndarray
    tokens: np.ndarray
    topics: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.nats.ndim != 2 or self.tokens.shape != (self.nats.shape[1],) or (self.tokens < 1).any():
            raise ValueError("nats must be (S, H) and tokens (H,), each at least 1")
        if self.topics is not None and self.topics.shape != self.tokens.shape:
            raise ValueError("topics must have one entry a text")

    def measure(self, name: str) -> float:
        """One of `MEASURES`, the mean over seeds; `worst` is NaN without topics."""
        return float(np.mean(self._at(name, np.ones((1, len(self.tokens)))), axis=-1)[0])

    def draws(self, name: str, weights: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """(B,) values of a measure under drawn texts (B, H) and drawn seeds (B, S), both counts."""
        texts, seeds = weights
        return np.einsum("bs,bs->b", self._at(name, texts), seeds) / seeds.sum(axis=1)

    def _at(self, name: str, texts: np.ndarray) -> np.ndarray:
        """(B, S) values of a measure, each seed by itself, texts counted as often as drawn."""
        if name == "mean":
            return (texts @ self.nats.T) / (texts @ self.tokens)[:, None]
        if name != "worst":
            return np.stack([_quantile(row, texts, 0.95 if name == "p95" else 1.0) for row in self.nats / self.tokens], axis=1)
        if self.topics is None:
            return np.full((len(texts), len(self.nats)), np.nan)
        member = (np.unique(self.topics)[:, None] == self.topics).astype(float)  # (topics, H)
        tokens = texts @ (member * self.tokens).T  # (B, topics)
        nats = np.einsum("bh,kh,sh->bsk", texts, member, self.nats, optimize=True)
        with np.errstate(invalid="ignore", divide="ignore"):  # a topic that was not drawn
            return np.nanmax(nats / tokens[:, None, :], axis=2)


def _drawn(of: HeldOut, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each text (B, H) and each seed (B, S) is drawn; a single seed is always drawn."""
    S, H = of.nats.shape
    return (_kept_counts if H <= KEPT else _counts)(S, H, seed)


def _counts(S: int, H: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    texts, seeds = (rng.multinomial(n, np.full(n, 1 / n), DRAWS).astype(float) for n in (H, S))
    texts.flags.writeable = seeds.flags.writeable = False
    return texts, seeds


_kept_counts = lru_cache(maxsize=4)(_counts)  # all measures of all models of a run use the same draws


def estimate(of: HeldOut, name: str, seed: int = 0) -> Interval:
    """A measure and its interval."""
    return interval_of(of.measure(name), of.draws(name, _drawn(of, seed)))


def difference(a: HeldOut, b: HeldOut, name: str, seed: int = 0) -> Interval:
    """Measure of `a` minus that of `b`, paired by text and by seed; below 0, `a` predicts better.

    Where they have different seeds, seeds are drawn apart and texts together.
    """
    return interval_of(a.measure(name) - b.measure(name), difference_draws(a, b, name, seed))


def difference_draws(a: HeldOut, b: HeldOut, name: str, seed: int = 0) -> np.ndarray:
    """(B,) what the difference is under drawn texts and seeds, the same texts for every `b`."""
    if not np.array_equal(a.tokens, b.tokens):
        raise ValueError("paired texts must be the same texts")
    texts, seeds = _drawn(a, seed)
    other = seeds if len(a.nats) == len(b.nats) else _drawn(b, seed + 1)[1]
    return a.draws(name, (texts, seeds)) - b.draws(name, (texts, other))


def _quantile(values: np.ndarray, counts: np.ndarray, q: float) -> np.ndarray:
    """(B,) the smallest value that at least a share q of the drawn texts do not exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(counts[:, order], axis=1)
    at = (reached >= q * reached[:, -1:] - 1e-9).argmax(axis=1)
    return values[order][at]


def interval_of(value: float, draws: np.ndarray) -> Interval:
    """A value with the 95% interval of its draws."""
    draws = draws[np.isfinite(draws)]
    if len(draws) < 2 or np.ptp(draws) == 0:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(value, float(low), float(high))


@dataclass(frozen=True)
class SelectionResult:
    """One selector ("base" is the untuned model, "all" the whole pool) at one budget, over its seeds.

    `values` are nats per token by measure; `minus_uniform` and `minus_base` are the paired differences to Uniform at the same
    budget and to the untuned model, empty where there is none.  `budget` is in sentences of the reference; None for base and all.
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
    def lines(self) -> list[SelectionResult]:
        """The finished ones: base first, then by budget and selector, the whole pool last."""
        groups, held = self.groups, self.held

        def minus(key: Key, other: Key) -> dict[str, Interval]:
            if key == other or other not in held or key[0] == BASE:
                return {}
            return {m: difference(held[key], held[other], m) for m in self.measures}

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
                    values={m: estimate(held[key], m) for m in self.measures},
                    minus_uniform=minus(key, (BASELINE, budget)),
                    minus_base=minus(key, (BASE, None)),
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
                    row |= {f"{measure}{group}": e.value, f"{measure}{group}_low": e.low, f"{measure}{group}_high": e.high}
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
            "lines": [asdict(line) | {"worse": line.worse} for line in self.lines],
        }
        return dict(plain(content))

    def save(self) -> None:
        """Write result.csv and result.json into the run's folder; StoreError where they cannot be written."""
        for format in ("csv", "json"):
            write_text(self.run.folder / f"result.{format}", self.export(format))

    def export(self, format: str) -> str:
        """The content of a file: the table as `csv`, `json` or `md`, or as `jsonl` the texts that the models wrote."""
        if format == "csv":
            return pd.DataFrame(self.table()).to_csv(index=False)
        if format == "json":
            return json.dumps(self.as_dict(), indent=1)
        if format == "md":
            above = [*self.verdict, f"Nats a token are of {self.measured_on}."] if self.on_target else []
            return "\n\n".join([*above, *filter(None, [self.near_duplicates]), self.markdown()]) + "\n"
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
        head += ["elsewhere, minus untuned"] if lost else []
        rows = []
        for line in self.lines:
            name = line.label if line.budget is None else f"{line.label}, {line.budget:,}"
            measured = [with_interval(line.values[m]) for m in self.measures]
            apart = with_interval(line.minus_uniform["mean"], signed=True) if line.minus_uniform else ""
            name += " (no better than untuned)" * line.worse
            there = [_signed(lost[line.selector, line.budget].minus_base)] if lost else []
            rows.append([name, f"{line.sentences:,.0f}", f"{line.tokens:,.0f}", *measured, apart, *there])
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

    def markdown(self) -> str:
        """`text_table` in Markdown."""
        return markdown_table(*self.text_table())


def _signed(minus: dict[str, Interval]) -> str:
    return with_interval(minus["mean"], signed=True) if minus else ""


def side_of(d: Interval) -> str:
    """A difference of losses in words; where its interval contains 0 it is "not clearly different from" the other."""
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
