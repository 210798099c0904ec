"""Records of an experiment: kept on disk as they are made, read back, and made into curves.

records.jsonl holds {"about": ...} and then a record a line, appended and flushed to the disk as each is finished.  A line that
was cut off at the end is dropped on opening, so that a killed experiment continues where it stopped.  Runs and selectors may be
added to a folder later, with a new "about" line, because a record depends on its own run and selector only; any other
difference is refused.  Only runs that every selector has finished are counted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
import numpy as np
from filelock import FileLock, Timeout
from scipy.special import stdtrit

from fishersft.design.trajectory import Curve
from fishersft.errors import StoreError, os_reason
from fishersft.experiments.experiment import MOVED, About, Key, Record, key_of
from fishersft.paths import read_whole, writing
from fishersft.selectors import registry
from fishersft.store.checked import Amount, Count, Counts, checked

NAME = "records.jsonl"
GROWS = ("runs", "selectors")  # settings that may change between two starts
MEASURES = {
    "maximum": "maximum prediction error",
    "mean": "mean prediction error",
    "worst_leverage": "worst leverage",
    "log_det": "log det gained (nats)",
}
Point = tuple[int, int]  # d, L


class WorldFacts(TypedDict):
    name: str
    dimension: Count
    classes: Count


class Moved(TypedDict, total=False):
    dimension: list[Count]
    classes: list[Count]


class Settings(TypedDict):
    """The settings that a result is read by; the others are shown."""

    world: WorldFacts
    selectors: Annotated[list[str], msgspec.Meta(min_length=1)]
    budgets: Counts
    runs: Count
    seed: Count
    equal: str
    reference: str
    sweep: NotRequired[Moved]


class ResultFacts(TypedDict):
    settings: Settings
    title: str
    arguments: Annotated[list[str], msgspec.Meta(min_length=2)]


class AboutLine(TypedDict):
    about: ResultFacts


class RecordLine(TypedDict):
    run: Count
    selector: str
    d: Count
    L: Count
    n: list[Count]
    sentences: list[Amount]
    tokens: list[Amount]
    maximum: list[Amount]
    mean: list[Amount]
    worst_leverage: list[Amount]
    log_det: list[Amount]


class Records:
    """The records of a folder, opened for more; a context manager, one process at a time.

    StoreError where the folder cannot be written, holds another experiment, or is being written by another process.
    """

    def __init__(self, folder: Path, about: About) -> None:
        self.folder, self.about = folder, about
        self.all: list[Record] = []
        self._lock = FileLock(folder / ".lock")

    def __enter__(self) -> Records:
        try:
            make_folder(self.folder)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(f"Another process is writing to {self.folder}; wait for it or name another folder.") from error
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written ({os_reason(error)}); name another folder.") from error
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
        self._lock.release()

    def _open(self) -> None:
        path = self.folder / NAME
        known, self.all, whole = _read(path) if path.exists() else (None, [], 0)
        asked = _as_read(asdict(self.about))
        there = _as_read(asdict(known)) if known else asked
        if different := _difference(there["settings"], asked["settings"]):
            raise StoreError(f"{self.folder} holds another experiment ({different}); name another folder.")
        with writing(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            os.ftruncate(self._file, whole)
        if known is None or there != asked:
            self._write({"about": asked})

    @property
    def done(self) -> set[Key]:
        return {key_of(r) for r in self.all}

    def append(self, record: Record) -> None:
        """Keep a record; it is on the disk when this returns."""
        self._write(record)
        self.all.append(record)

    def _write(self, value: dict[str, Any]) -> None:
        line = json.dumps(value).encode() + b"\n"
        try:
            if os.write(self._file, line) != len(line):
                raise OSError("only part of a record was written")
            os.fsync(self._file)
        except OSError as error:
            raise StoreError(
                f"{self.folder / NAME} cannot be written ({os_reason(error)}); finished records are kept."
            ) from error


def make_folder(folder: Path) -> None:
    """Make the folder that results are written to; StoreError where that cannot be."""
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"The place for results must be a folder, and {folder} is a file; name another with --out.")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def read_records(folder: Path, *, only_about: bool = False) -> tuple[About, list[Record]]:
    """The experiment that a folder holds, and its records; StoreError where there is no such file, or one that is not ours.
    `only_about` parses no records, so it is quick and returns none."""
    path = folder / NAME
    try:
        about, records, _ = _read(path, only_about=only_about)
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({os_reason(error)}).") from error
    if about is None:
        raise StoreError(f"{path} does not say which experiment it is of; it was not written by fishersft curves.")
    return about, records


def _read(path: Path, *, only_about: bool = False) -> tuple[About | None, list[Record], int]:
    """The last "about" line, the records, and how many bytes are whole lines."""
    about: About | None = None
    records: list[Record] = []
    whole = 0
    for number, line in enumerate(read_whole(path).splitlines(keepends=True)):
        if not line.endswith(b"\n"):  # cut off while it was written
            break
        whole += len(line)
        if only_about and not line.startswith(b'{"about"'):
            continue
        wrong, advice = f"Line {number + 1:,} of {path} is no record of an experiment", "delete the file or name another folder"
        if line.startswith(b'{"about"'):
            about = About(**checked(line, AboutLine, wrong, advice)["about"])
        else:
            records.append(checked(line, RecordLine, wrong, advice))
    return about, records, whole


def _as_read(value: dict[str, Any]) -> dict[str, Any]:
    """The value as it comes back from the file: tuples are lists."""
    out: dict[str, Any] = json.loads(json.dumps(value))
    return out


def _difference(there: dict[str, Any], now: dict[str, Any]) -> str:
    """The first setting that differs, in words; "" where the records belong together."""
    a, b = ({**{k: v for k, v in s.items() if k not in (*GROWS, "world")}, **s.get("world", {})} for s in (there, now))
    for name in [*a, *(k for k in b if k not in a)]:
        if a.get(name) != b.get(name):
            was, is_ = (", ".join(map(str, v)) or "none" if isinstance(v, list) else str(v) for v in (a.get(name), b.get(name)))
            return f"its {name} is {was}, not {is_}"
    return ""


@dataclass(frozen=True)
class Result:
    """What an experiment or a sweep has measured so far, in as many `runs` of every selector at every point.

    `values` are {point: {selector: {column: (runs, k)}}}; the columns are MEASURES, `n`, `sentences`, `tokens`.
    """

    about: About
    runs: int
    values: dict[Point, dict[str, dict[str, np.ndarray]]]

    @classmethod
    def of(cls, about: About, records: Sequence[Record]) -> Result:
        """The curves of the records there are; StoreError where no run is finished by every selector yet."""
        wanted = list(about.settings["selectors"])
        runs_asked = int(about.settings["runs"])
        found: dict[Point, dict[str, dict[int, Record]]] = {}
        for record in records:
            if record["selector"] in wanted and record["run"] < runs_asked:
                point = found.setdefault((record["d"], record["L"]), {name: {} for name in wanted})
                point[record["selector"]][record["run"]] = record
        every = [set(of_runs) for selectors in found.values() for of_runs in selectors.values()]
        world, sweep = about.settings["world"], about.settings.get("sweep") or {}
        points = {(d, world["classes"]) for d in sweep.get("dimension", ())}
        points |= {(world["dimension"], L) for L in sweep.get("classes", ())}
        runs = sorted(set.intersection(*every)) if every and len(found) == max(1, len(points)) else []
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
    def reference(self) -> str:
        """The reference selector, or where it was not measured the first one."""
        name = str(self.about.settings["reference"])
        return name if name in self.selectors else self.selectors[0]

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

    def curve(self, selector: str, measure: str = "maximum") -> Curve:
        """Mean over runs against n, with a 95% interval of that mean (Student's t; none with a single run)."""
        mean, low, high = interval(self.each(selector, measure))
        return Curve(label_of(selector), self.budgets, mean, self.unit, MEASURES[measure], low, high, self.runs)

    def points_along(self, over: str) -> list[Point]:
        """A sweep's points along `dimension` or `classes`, the other one held at the experiment's own."""
        axis, other = (0, "classes") if over == "dimension" else (1, "dimension")
        kept, wanted = self.about.settings["world"][other], self.about.settings["sweep"][over]
        return [p for p in self.values if p[1 - axis] == kept and p[axis] in wanted]

    def each_along(self, over: str, selector: str, measure: str) -> np.ndarray:
        """(runs, points) of one measure along a sweep."""
        return np.stack([self.each(selector, measure, p)[:, 0] for p in self.points_along(over)], axis=1)

    def along(self, over: str, selector: str, measure: str = "maximum") -> Curve:
        """A sweep's curve against `dimension` or `classes`."""
        mean, low, high = interval(self.each_along(over, selector, measure))
        x = np.array([p[0 if over == "dimension" else 1] for p in self.points_along(over)])
        return Curve(label_of(selector), x, mean, MOVED[over], MEASURES[measure], low, high, self.runs)

    def table(self) -> list[dict[str, Any]]:
        """One row per point, selector and budget: means over runs, and 95% intervals of the measures."""
        rows = []
        for (d, L), selectors in self.values.items():
            for name, columns in selectors.items():
                bands = {m: interval(columns[m]) for m in MEASURES}
                for k, n in enumerate(self.budgets):
                    row: dict[str, Any] = {"d": d, "L": L, "selector": name, "n": int(n), "runs": self.runs}
                    row |= {c: float(columns[c][:, k].mean()) for c in ("sentences", "tokens")}
                    for m, band in bands.items():
                        ends = zip((m, f"{m}_low", f"{m}_high"), band, strict=True)
                        row |= {name: None if values is None else float(values[k]) for name, values in ends}
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
    half = stdtrit(len(each) - 1, 0.975) * each.std(0, ddof=1) / np.sqrt(len(each))
    return mean, mean - half, mean + half


def label_of(selector: str) -> str:
    """A selector's name for people; the bare name where it is no longer registered."""
    kind = registry().get(selector)
    return kind.label if kind else selector
