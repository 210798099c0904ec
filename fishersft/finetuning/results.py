"""What came out of a run of fine-tuning: held-out nats of each selector at each budget, against Uniform and the untuned model.

Reads a run's folder, finished or not; knows neither training nor screen.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fishersft.finetuning.intervals import MEASURES, HeldOut, Interval, difference, estimate
from fishersft.finetuning.run import ALL, BASE, FineTuneRun, TunedModel

BASELINE = "uniform"


@dataclass(frozen=True)
class SelectionResult:
    """One selector at one budget, over its seeds.

    Attributes:
        selector: or "base" or "all".
        budget: sentences of the reference selector; None for base and all.
        values: each measure, nats a token.
        minus_uniform: the paired difference to Uniform of the same budget; empty for Uniform itself or where it is missing.
        minus_base: likewise to the untuned model; `worse` when the mean is not below it.
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
        """The tuned model is no better than the untuned one: comparisons at such a learning rate mislead."""
        return "mean" in self.minus_base and self.minus_base["mean"].value >= 0


@dataclass(frozen=True)
class FineTuneResult:
    """A run's finished cells, summed up."""

    run: FineTuneRun

    @cached_property
    def lines(self) -> list[SelectionResult]:
        """Base first, then by budget and selector, the whole pool last; only what is finished."""
        cells = self.run.models
        groups: dict[tuple[str, int | None], list[TunedModel]] = {}
        for cell in cells.values():
            groups.setdefault((cell.selector, cell.budget), []).append(cell)
        held = {key: self._held_out([c.name for c in sorted(found, key=_seed)]) for key, found in groups.items()}
        labels = {s["name"]: s["label"] for s in self.run.about["selectors"]}
        labels |= {BASE: "Untuned", ALL: "Whole pool"}
        out = []
        for key, found in sorted(groups.items(), key=lambda item: _place(item[0], self.run)):
            selector, budget = key
            uniform, base = (BASELINE, budget), (BASE, None)
            out.append(
                SelectionResult(
                    selector=selector,
                    label=labels.get(selector, selector),
                    budget=budget,
                    seeds=tuple(c.seed for c in sorted(found, key=_seed) if c.seed is not None),
                    sentences=float(np.mean([c.sentences for c in found])),
                    tokens=float(np.mean([c.tokens for c in found])),
                    seconds=float(np.mean([c.facts.get("seconds", np.nan) for c in found])),
                    values={m: estimate(held[key], m) for m in self.measures},
                    minus_uniform=self._minus(held, key, uniform),
                    minus_base=self._minus(held, key, base),
                )
            )
        return out

    @property
    def measures(self) -> tuple[str, ...]:
        return MEASURES if self.run.held_out["topic"] else tuple(m for m in MEASURES if m != "worst")

    @property
    def unsound(self) -> list[SelectionResult]:
        """Tuned models that are no better than the untuned one."""
        return [line for line in self.lines if line.worse]

    def _minus(self, held: dict[Any, HeldOut], key: Any, other: Any) -> dict[str, Interval]:
        if key == other or other not in held or key[0] == BASE:
            return {}
        return {m: difference(held[key], held[other], m) for m in self.measures}

    def _held_out(self, names: list[str]) -> HeldOut:
        known = self.run.held_out
        topics = np.array(known["topic"]) if known["topic"] else None
        return HeldOut(np.stack([self.run.nats(n) for n in names]), np.array(known["tokens"]), topics)

    def table(self) -> list[dict[str, Any]]:
        """Flat rows: a number a column, for csv and data frames."""
        rows = []
        for line in self.lines:
            row: dict[str, Any] = {
                "selector": line.selector,
                "budget": line.budget,
                "seeds": len(line.seeds) or 1,
                "sentences": line.sentences,
                "tokens": line.tokens,
                "seconds": line.seconds,
                "worse_than_base": line.worse,
            }
            for group, found in (("", line.values), ("_minus_uniform", line.minus_uniform), ("_minus_base", line.minus_base)):
                for measure, e in found.items():
                    row |= {f"{measure}{group}": e.value, f"{measure}{group}_low": e.low, f"{measure}{group}_high": e.high}
            rows.append(row)
        return rows

    def as_dict(self) -> dict[str, Any]:
        """For JSON; numbers that cannot be had are null."""
        return _plain(
            {
                "run": self.run.id,
                "about": self.run.about,
                "versions": self.run.versions,
                "finished": len(self.run.models),
                "cells": len(self.run.about["cells"]),
                "lines": [asdict(line) | {"worse": line.worse} for line in self.lines],
            }
        )

    def markdown(self) -> str:
        """The table for people: nats a held-out token, 95% intervals, difference to Uniform."""
        heads = ["selection", "sentences", "tokens", *(HEADS[m] for m in self.measures), "mean, minus Uniform"]
        rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for line in self.lines:
            name = line.label if line.budget is None else f"{line.label}, {line.budget:,}"
            cells = [name + (" (no better than untuned)" if line.worse else ""), f"{line.sentences:,.0f}", f"{line.tokens:,.0f}"]
            cells += [with_interval(line.values[m]) for m in self.measures]
            cells.append(with_interval(line.minus_uniform["mean"], signed=True) if line.minus_uniform else "")
            rows.append("| " + " | ".join(cells) + " |")
        return "\n".join(rows)


HEADS = {"mean": "mean", "p95": "95th percentile", "max": "largest", "worst": "worst topic"}


def with_interval(e: Interval, *, signed: bool = False) -> str:
    """3.214 (3.150 to 3.281), or the bare number where there is no interval."""
    sign = "+" if signed else ""
    if np.isnan(e.low):
        return f"{e.value:{sign}.3f}"
    return f"{e.value:{sign}.3f} ({e.low:{sign}.3f} to {e.high:{sign}.3f})"


def _seed(cell: Any) -> int:
    return -1 if cell.seed is None else int(cell.seed)


def _place(key: tuple[str, int | None], run: FineTuneRun) -> tuple[int, int, int]:
    selector, budget = key
    names = [BASE, *(s["name"] for s in run.about["selectors"]), ALL]
    return (0 if selector == BASE else 2 if selector == ALL else 1, budget or 0, names.index(selector))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
