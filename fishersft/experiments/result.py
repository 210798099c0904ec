"""Records into curves: each selector's errors over the budgets, with a band over the runs.

    result = Result.of(experiment.about, records)     # or read_curves(folder)
    result.curve("token_od", "maximum")               # a Curve: mean over runs, 95% interval of that mean
    result.table()                                    # one row per selector and budget: the csv

A sweep's result has as many `points` as worlds; an experiment's has one.  Only runs that every selector has finished are
counted, so an unfinished experiment shows what it has so far.  Knows no world, no fit and no figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from fishersft.design.trajectory import Curve
from fishersft.errors import StoreError
from fishersft.experiments.experiment import About, Record
from fishersft.experiments.records import read_records
from fishersft.selectors import registry

MEASURES = {
    "maximum": "maximum prediction error",
    "mean": "mean prediction error",
    "worst_leverage": "worst leverage",
    "log_det": "log det gained (nats)",
}
Point = tuple[int, int]  # d, L
LEVEL = 0.95


@dataclass(frozen=True)
class Result:
    """What an experiment or a sweep has measured so far.

    Attributes:
        about: settings, title and command.
        runs: how many are counted; the same ones for every selector and point.
        values: {point: {selector: {column: (runs, k)}}}; the columns are MEASURES, `n`, `sentences`, `tokens`.
    """

    about: About
    runs: int
    values: dict[Point, dict[str, dict[str, np.ndarray]]]

    @classmethod
    def of(cls, about: About, records: Sequence[Record]) -> Result:
        """The curves of the records there are.

        Raises:
            StoreError: no run is finished by every selector yet.
        """
        wanted = list(about.settings["selectors"])
        runs_asked = int(about.settings["runs"])
        found: dict[Point, dict[str, dict[int, Record]]] = {}
        for record in records:
            if record["selector"] in wanted and record["run"] < runs_asked:
                point = found.setdefault((record["d"], record["L"]), {name: {} for name in wanted})
                point[record["selector"]][record["run"]] = record
        every = [set(of_runs) for selectors in found.values() for of_runs in selectors.values()]
        runs = sorted(set.intersection(*every)) if every and len(found) == points_of(about) else []
        if not runs:
            raise StoreError("No run is finished by every selector yet; run the same command again to continue.")
        columns = (*MEASURES, "n", "sentences", "tokens")
        values = {
            point: {
                name: {c: np.array([of_runs[r][c] for r in runs], dtype=np.float64) for c in columns}
                for name, of_runs in selectors.items()
            }
            for point, selectors in sorted(found.items())
        }
        return cls(about, len(runs), values)

    @property
    def selectors(self) -> list[str]:
        return list(self.about.settings["selectors"])

    @property
    def equal(self) -> str:
        """Whether every selector got as many sentences or as many tokens: "sentences" or "tokens"."""
        return str(self.about.settings["equal"])

    @property
    def is_sweep(self) -> bool:
        return "sweep" in self.about.settings

    @property
    def point(self) -> Point:
        """The point of an experiment, or the first of a sweep."""
        return next(iter(self.values))

    @property
    def budgets(self) -> np.ndarray:
        """(k,) n."""
        return np.asarray(self.about.settings["budgets"], dtype=np.int64)

    @property
    def unit(self) -> str:
        """The unit of the budgets, in words."""
        name = label_of(str(self.about.settings["reference"]))
        return "sentences" if self.equal == "sentences" else f"sentences of {name}; all at its tokens"

    def each(self, selector: str, measure: str, point: Point | None = None) -> np.ndarray:
        """(runs, k) of one column."""
        return self.values[point or self.point][selector][measure]

    def spent(self) -> np.ndarray:
        """(k,) where selectors are compared: sentences, or at equal tokens the mean tokens over the runs."""
        if self.equal == "sentences":
            return self.budgets.astype(float)
        return np.mean([v["tokens"].mean(0) for v in self.values[self.point].values()], axis=0)

    def curve(self, selector: str, measure: str = "maximum", point: Point | None = None) -> Curve:
        """Mean over runs against n, with a 95% interval of that mean (Student's t; none with a single run)."""
        mean, low, high = interval(self.each(selector, measure, point))
        return Curve(label_of(selector), self.budgets, mean, self.unit, MEASURES[measure], low, high, self.runs)

    def points_along(self, over: str) -> list[Point]:
        """A sweep's points along `dimension` or `classes`, the other one held at the experiment's own."""
        axis = 0 if over == "dimension" else 1
        kept = self.about.settings["world"]["classes" if over == "dimension" else "dimension"]
        wanted = self.about.settings["sweep"][over]
        return [p for p in self.values if p[1 - axis] == kept and p[axis] in wanted]

    def along(self, over: str, selector: str, measure: str = "maximum") -> Curve:
        """A sweep's curve against `dimension` or `classes`."""
        points = self.points_along(over)
        mean, low, high = interval(np.stack([self.each(selector, measure, p)[:, 0] for p in points], axis=1))
        x = np.array([p[0 if over == "dimension" else 1] for p in points])
        unit = "dimension d" if over == "dimension" else "classes L"
        return Curve(label_of(selector), x, mean, unit, MEASURES[measure], low, high, self.runs)

    def table(self) -> list[dict[str, Any]]:
        """One row per point, selector and budget: means over runs, and 95% intervals of the measures."""
        rows = []
        for (d, L), selectors in self.values.items():
            for name, columns in selectors.items():
                bands = {m: interval(columns[m]) for m in MEASURES}
                for k, n in enumerate(self.budgets):
                    row: dict[str, Any] = {"d": d, "L": L, "selector": name, "n": int(n), "runs": self.runs}
                    row |= {c: float(columns[c][:, k].mean()) for c in ("sentences", "tokens")}
                    for m, (mean, low, high) in bands.items():
                        row |= {
                            m: float(mean[k]),
                            f"{m}_low": None if low is None else float(low[k]),
                            f"{m}_high": None if high is None else float(high[k]),
                        }
                    rows.append(row)
        return rows


def read_curves(folder: Path) -> Result:
    """The result of a folder that `fishersft curves` wrote; StoreError where it holds none."""
    about, records = read_records(folder)
    try:
        return Result.of(about, records)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"The records in {folder} are damaged; delete the folder and run the experiment again.") from error


def interval(each: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """(k,) mean over runs (runs, k), and its 95% interval by Student's t; None where there is a single run."""
    mean = each.mean(0)
    if len(each) < 2:
        return mean, None, None
    half = stdtrit(len(each) - 1, 0.5 + LEVEL / 2) * each.std(0, ddof=1) / np.sqrt(len(each))
    return mean, mean - half, mean + half


def points_of(about: About) -> int:
    """How many worlds the experiment has."""
    sweep = about.settings.get("sweep")
    if not sweep:
        return 1
    d, L = about.settings["world"]["dimension"], about.settings["world"]["classes"]
    return len({(v, L) for v in sweep.get("dimension", ())} | {(d, v) for v in sweep.get("classes", ())})


def label_of(selector: str) -> str:
    """A selector's name for people; the bare name where it is no longer registered."""
    kind = registry().get(selector)
    return kind.label if kind else selector
