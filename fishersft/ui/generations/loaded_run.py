"""A run of fine-tuning opened for the screen: its numbers and verdicts, kept in memory between reruns.

Keys are folders with the times of their files, so what a job has finished meanwhile is read anew.  Damaged folders get a
sentence.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st

from fishersft.errors import JudgeError, StoreError
from fishersft.finetuning import run_list as finetune_found
from fishersft.finetuning.results import FineTuneResult, SelectionResult
from fishersft.finetuning.run import ALL, BASE, FineTuneRun, TunedModel
from fishersft.judge import judging, verdicts, votes
from fishersft.judge.counted_verdicts import begun
from fishersft.judge.judging import Comparison
from fishersft.judge.report import Report
from fishersft.store.artifacts import Store

Stamp = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class LoadedRun:
    """A run as it stood when it was read.

    Attributes:
        models: the finished models, in the order of the plan.
        lines: held-out numbers; empty before the first model is finished.
        between: comparisons of the selectors; what people vote on.
        every: those with the untuned and the whole pool's model too.
    """

    run: FineTuneRun
    stamp: Stamp
    models: dict[str, TunedModel]
    result: FineTuneResult
    lines: tuple[SelectionResult, ...]
    between: tuple[Comparison, ...]
    every: tuple[Comparison, ...]

    @property
    def name(self) -> str:
        return self.run.folder.name

    @property
    def labels(self) -> dict[str, str]:
        """Of selectors and of the two without one."""
        told = {str(s.get("name")): str(s.get("label")) for s in self.run.about.get("selectors", [])}
        return {**told, BASE: "Untuned", ALL: "Whole pool"}

    @property
    def planned(self) -> int:
        return len(self.run.about.get("cells", []))

    @property
    def corpus(self) -> str:
        """What the paper's table is looked up by."""
        told = self.run.about["corpus"]
        return str(told.get("source") or told.get("name") or "").lower()


@dataclass(frozen=True)
class JudgeSummary:
    """What a judge, or people, said of a run.

    Attributes:
        id: of the judge; "people" for votes.
        asked: comparisons that the judge has begun with; more than in the report where it was stopped.
    """

    id: str
    label: str
    symmetric: bool
    report: Report
    asked: int


PEOPLE = "people"


def loaded_run(run: FineTuneRun) -> LoadedRun:
    """A run with its numbers.

    Raises:
        StoreError: its folder is damaged.
    """
    with damage_reported(run):
        return _opened(str(run.folder), finetune_found.stamp(run), run)


@contextmanager
def damage_reported(run: FineTuneRun) -> Iterator[None]:
    """What is not as this version writes it becomes one sentence."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StoreError(
            f"The run {run.folder.name} is damaged: a file in it is not as this version writes it "
            f"({type(error).__name__}: {str(error)[:80]}). Delete it and run it again."
        ) from error


@st.cache_resource(max_entries=4, show_spinner="Reading the run …")
def _opened(folder: str, stamp: Stamp, _run: FineTuneRun) -> LoadedRun:
    cells, result = _run.models, FineTuneResult(_run)
    there = list(dict.fromkeys(c.selector for c in cells.values()))
    tuned = [name for name in there if name not in (BASE, ALL)]
    every = _comparisons(_run, list(itertools.combinations(there, 2)))
    names = {frozenset(pair) for pair in itertools.combinations(tuned, 2)}
    between = tuple(c for c in every if frozenset((c.match.a, c.match.b)) in names)
    opened = LoadedRun(_run, stamp, cells, result, tuple(result.lines) if cells else (), between, every)
    _ = opened.labels, opened.corpus, str(_run.about["equal"]), list(_run.about["budgets"]), list(_run.about["seeds"])
    return opened


def _comparisons(run: FineTuneRun, pairs: list[tuple[str, str]]) -> tuple[Comparison, ...]:
    """All questions of these pairs; none where there is nothing to compare yet."""
    try:
        return tuple(judging.comparisons_of(run, judging.matches_of(run, pairs=pairs))) if pairs else ()
    except JudgeError:
        return ()


def judge_summaries(of: LoadedRun) -> list[JudgeSummary]:
    """Judges that looked at the run, the last first, and people where there are votes."""
    with damage_reported(of.run):
        return _said(str(of.run.folder), of.stamp, _said_stamp(of.run), of)


@st.cache_resource(max_entries=8, show_spinner="Adding up the verdicts …")
def _said(folder: str, stamp: Stamp, said: Stamp, _of: LoadedRun) -> list[JudgeSummary]:
    out = []
    for about in verdicts.judges_of(_of.run):
        kept = judging.verdicts_of(_of.run, about, _of.every)
        judged, asked = begun(kept, _of.every)
        if judged:
            report = Report(tuple(judged))
            _ = report.lines, report.ranking
            out.append(JudgeSummary(str(about["id"]), str(about["label"]), bool(about["symmetric"]), report, asked))
    if voted := votes.votes(_of.run, _of.between):
        out.append(JudgeSummary(PEOPLE, "People", False, Report(tuple(voted)), len(voted)))
    return out


def _said_stamp(run: FineTuneRun) -> Stamp:
    """What changes whenever a verdict or a vote is kept."""
    home = Store.default().path
    files = [home / verdicts.FILE, home / f"{verdicts.FILE}-wal", run.folder / verdicts.EXPORT]
    out = [(str(home), 0)]
    for file in files:
        try:
            told = file.stat()
            out.append((file.name, told.st_mtime_ns ^ told.st_size))
        except OSError:
            continue
    return tuple(out)
