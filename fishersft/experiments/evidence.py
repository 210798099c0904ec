"""What was measured of each selector, with the command that measured it.

The numbers come from the demo (`assets/evidence/demo.json`) and from the shipped results of `fishersft curves` (a folder each in
`assets/curves/`).  A file that is missing or not ours leaves less to show and raises nothing.
"""

from __future__ import annotations

import json
import logging
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fishersft import paths
from fishersft.errors import StoreError
from fishersft.experiments.fits import BASELINE, ratio_to
from fishersft.experiments.result import MEASURES, Result, read_curves
from fishersft.experiments.summaries import USUAL, means, side_of
from fishersft.scoring.criteria import BETTER, CRITERIA
from fishersft.scoring.summaries import beside

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """One measured number of one selector: `what` with its unit, and `where`, which is the corpus or world and the budget.

    `chance_low` to `chance_high` is the range of random draws, or the interval of Uniform's mean; `low` to `high` is the interval
    of the value where there are several runs.  `stands` is "better than" or "worse than" chance where the value lies outside that
    range, or where there are several runs, compared run by run.
    """

    selector: str
    what: str
    where: str
    value: float
    chance_low: float
    chance_high: float
    stands: str
    command: str
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class OrderCost:
    """How many seconds a selector's whole order took on the demo, for how many token rows of which dimension."""

    seconds: float
    rows: int
    dimension: int

    def elsewhere(self, rows: int, dimension: int, reference: OrderCost | None = None, known: float = np.nan) -> float:
        """Seconds to expect on another pool: in proportion to rows x dimension^2, or to the `known` seconds of another selector
        on that pool, whose cost on the demo is `reference`."""
        if reference is not None and reference.seconds > 0 and known > 0:
            return self.seconds / reference.seconds * known
        return self.seconds * rows * dimension**2 / (self.rows * self.dimension**2)


@dataclass(frozen=True)
class Evidence:
    """All findings, and costs on the demo by selector."""

    findings: tuple[Finding, ...]
    costs: dict[str, OrderCost]

    def of(self, selector: str) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.selector == selector)


def gather(demo: Path | None = None, curves: Path | None = None) -> Evidence:
    """The shipped evidence, or that of other files."""
    findings, costs = _demo(demo or paths.asset("evidence") / "demo.json")
    folder = curves or paths.asset("curves")
    for place in sorted(p.parent for p in folder.glob("*/records.jsonl")):
        try:
            findings += known_truth(read_curves(place))
        except StoreError as error:
            log.warning("no evidence in %s: %s", place, error)
    return Evidence(tuple(findings), costs)


def known_truth(result: Result) -> list[Finding]:
    """The maximum error of every selector beside Uniform's, at the usual budget, or at the largest where that was not
    measured.  Empty for a sweep, and for a result without Uniform."""
    if result.is_sweep or BASELINE not in result.selectors:
        return []
    budgets = [int(n) for n in result.budgets]
    at = budgets.index(USUAL) if USUAL in budgets else len(budgets) - 1
    errors = means(result, k=at)
    uniform = errors.pop(BASELINE)
    chance = (uniform.value, uniform.value) if np.isnan(uniform.low) else (uniform.low, uniform.high)
    where = f"{result.about.title}, n = {budgets[at]:,} {result.unit}, {result.runs} runs"
    stands = {name: side_of(ratio_to(result, name)[at], "maximum") for name in errors}
    return [
        Finding(name, MEASURES["maximum"], where, e.value, *chance, stands[name], result.about.command, e.low, e.high)
        for name, e in errors.items()
    ]


def _demo(path: Path) -> tuple[list[Finding], dict[str, OrderCost]]:
    """What the comparison on the demo found, and how long each order took."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        found = held["comparison"]
        chance = next(row["scores"] for row in found["rows"] if row["selector"] is None and f" {found['equal']}," in row["label"])
        first = next(row["scores"][0] for row in found["rows"] if row["selector"] == found["reference"])
        where = f"demo, equal {found['equal']} ({first[found['equal']]:,} {found['equal']})"
        names = [row["selector"] for row in found["rows"] if row["selector"]]
        words = ["fishersft", "compare", found["corpus"], "--budget", str(first["sentences"]), "--equal", found["equal"]]
        command = shlex.join([*words, "--selectors", ",".join(names)])
        findings = []
        for row in (row for row in found["rows"] if row["selector"]):
            for criterion in ("log_det", "worst_leverage", "stein_loss"):
                draws = [s[criterion] for s in chance]
                measured = float(row["scores"][0][criterion]), min(draws), max(draws)
                stands = beside(*measured, BETTER[criterion])
                findings.append(Finding(row["selector"], CRITERIA[criterion], where, *measured, stands, command))
        rows, dimension = int(held["rows"]), int(held["dimension"])
        costs = {name: OrderCost(float(s), rows, dimension) for name, s in held["order_seconds"].items()}
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        log.warning("no evidence in %s: %s", path, error)
        return [], {}
    return findings, costs
