"""What was measured of each selector, with the command that measured it.

Measured on the demo (`assets/evidence/demo.json`, made by `assets/build_evidence.py`) and against a known truth (the shipped
results of `fishersft curves`, one folder each in `assets/curves/`).  A file that is missing or not ours leaves less to show and
raises nothing.  Knows no screen.
"""

from __future__ import annotations

import json
import logging
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fishersft import paths
from fishersft.errors import StoreError
from fishersft.experiments.fits import BASELINE
from fishersft.experiments.result import MEASURES, Result, read_curves
from fishersft.experiments.summaries import USUAL
from fishersft.scoring.criteria import BETTER, CRITERIA, LOWER

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """One measured number of one selector.

    Attributes:
        what: the measure, with its unit.
        where: the corpus or the world it was measured in, and at what budget.
        value: with its interval from `low` to `high` where there are several runs, else NaN.
        chance_low, chance_high: the range of random draws, or the interval of Uniform's mean.
        lower: whether lower is better.
        command: the command line that reproduces the number.
    """

    selector: str
    what: str
    where: str
    value: float
    chance_low: float
    chance_high: float
    lower: bool
    command: str
    low: float = float("nan")
    high: float = float("nan")

    @property
    def stands(self) -> str:
        """ "better" or "worse" than chance where the two ranges do not meet, else "like"."""
        low = self.value if np.isnan(self.low) else self.low
        high = self.value if np.isnan(self.high) else self.high
        if high < self.chance_low:
            return "better" if self.lower else "worse"
        if low > self.chance_high:
            return "worse" if self.lower else "better"
        return "like"


@dataclass(frozen=True)
class OrderCost:
    """How many seconds a selector's whole order took on the demo, for how many token rows of which dimension."""

    seconds: float
    rows: int
    dimension: int

    def elsewhere(self, rows: int, dimension: int, reference: OrderCost | None = None, known: float = np.nan) -> float:
        """Seconds to expect on another pool: in proportion to rows x dimension^2.

        Args:
            reference, known: another selector's cost on the demo and its measured seconds on that pool, which tell how fast
                the machine is.
        """
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


def known_truth(result: Result, measure: str = "maximum") -> list[Finding]:
    """The error of every selector beside Uniform's, at the usual budget, or at the largest where that was not measured.

    Empty for a sweep, and for a result without Uniform.
    """
    if result.is_sweep or BASELINE not in result.selectors:
        return []

    budgets = [int(n) for n in result.budgets]
    at = budgets.index(USUAL) if USUAL in budgets else -1

    def there(selector: str) -> tuple[float, float, float]:
        curve = result.curve(selector, measure)
        low, high = (float(b[at]) if b is not None else np.nan for b in (curve.low, curve.high))
        return float(curve.mean[at]), low, high

    value, low, high = there(BASELINE)
    chance = (value, value) if np.isnan(low) else (low, high)
    where = f"{result.about.title}, n = {budgets[at]:,} {result.unit}, {result.runs} runs"
    return [
        Finding(s, MEASURES[measure], where, there(s)[0], *chance, True, result.about.command, *there(s)[1:])
        for s in result.selectors
        if s != BASELINE
    ]


def _demo(path: Path) -> tuple[list[Finding], dict[str, OrderCost]]:
    """What the comparison on the demo found, and how long each order took."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        found = held["comparison"]
        chance = next(row["scores"] for row in found["rows"] if row["selector"] is None and f" {found['equal']}," in row["label"])
        first = next(row["scores"][0] for row in found["rows"] if row["selector"] == found["reference"])
        amount = f"{first[found['equal']]:,} {found['equal']}"
        findings = []
        for row in found["rows"]:
            for criterion in ("log_det", "worst_leverage", "stein_loss") if row["selector"] else ():
                draws = [s[criterion] for s in chance]
                findings.append(
                    Finding(
                        row["selector"],
                        CRITERIA[criterion],
                        f"demo, equal {found['equal']} ({amount})",
                        float(row["scores"][0][criterion]),
                        min(draws),
                        max(draws),
                        BETTER[criterion] == LOWER,
                        command_of_demo(found),
                    )
                )
        costs = {
            name: OrderCost(float(s), int(held["rows"]), int(held["dimension"])) for name, s in held["order_seconds"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        log.warning("no evidence in %s: %s", path, error)
        return [], {}
    return findings, costs


def command_of_demo(found: dict[str, Any]) -> str:
    """The command line whose JSON a comparison is."""
    names = [row["selector"] for row in found["rows"] if row["selector"]]
    first = next(row["scores"][0] for row in found["rows"] if row["selector"] == found["reference"])
    words = ["fishersft", "compare", found["corpus"], "--budget", str(first["sentences"]), "--equal", found["equal"]]
    return shlex.join([*words, "--selectors", ",".join(names)])
