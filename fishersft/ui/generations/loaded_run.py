"""A run of fine-tuning loaded for the screen: its numbers and verdicts, kept in memory between reruns.

Keys are folders with the times of their files, so what a job has finished meanwhile is read anew.  A damaged folder is
reported in one sentence.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st

from fishersft.errors import JudgeError, StoreError
from fishersft.finetuning.results import FineTuneResult, SelectionResult
from fishersft.finetuning.run import ALL, BASE, FineTuneRun, TunedModel
from fishersft.judge import judging, verdicts, votes
from fishersft.judge.judging import PairwiseComparison
from fishersft.judge.report import Report
from fishersft.store.artifacts import Store

Stamp = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class LoadedRun:
    """A run as it stood when it was read.

    Attributes:
        models: the finished models, in the order of the plan.
        lines: held-out numbers; empty before the first model is finished.
        between: comparisons between selectors, which people vote on.
        every: those with the untuned and the whole pool's model as well.
    """

    run: FineTuneRun
    stamp: Stamp
    models: dict[str, TunedModel]
    result: FineTuneResult
    lines: tuple[SelectionResult, ...]
    between: tuple[PairwiseComparison, ...]
    every: tuple[PairwiseComparison, ...]

    @property
    def name(self) -> str:
        return self.run.folder.name

    @property
    def labels(self) -> dict[str, str]:
        """What people call the selectors, the untuned model and the one tuned on the whole pool."""
        return self.run.labels

    @property
    def planned(self) -> int:
        return len(self.run.about.get("cells", []))

    @property
    def corpus(self) -> str:
        """The name by which the paper's win rates are looked up."""
        return judging.corpus_of(self.run)


PEOPLE = "people"


def loaded_run(run: FineTuneRun) -> LoadedRun:
    """A run with its numbers.

    Raises:
        StoreError: its folder is damaged.
    """
    with damage_reported(run):
        return _opened(str(run.folder), run.stamp, run)


@contextmanager
def damage_reported(run: FineTuneRun) -> Iterator[None]:
    """Turn what this version would not have written into one sentence."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StoreError(
            f"The run {run.folder.name} is damaged: a file in it is not what this version writes "
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
    about = _run.about  # a damaged run is refused here, not in the middle of a page
    _ = about["corpus"]["name"], [s["name"] for s in about["selectors"]]
    _ = str(about["equal"]), list(about["budgets"]), list(about["seeds"])
    return opened


def _comparisons(run: FineTuneRun, pairs: list[tuple[str, str]]) -> tuple[PairwiseComparison, ...]:
    """All comparisons of these pairs; none where there is nothing to compare yet."""
    try:
        return tuple(judging.comparisons_of(run, judging.matches_of(run, pairs=pairs))) if pairs else ()
    except JudgeError:
        return ()


def judge_reports(of: LoadedRun) -> list[Report]:
    """What each judge that looked at the run said, the latest first, and people where there are votes."""
    with damage_reported(of.run):
        return _reports(str(of.run.folder), of.stamp, _verdicts_stamp(of.run), of)


@st.cache_resource(max_entries=8, show_spinner="Adding up the verdicts …")
def _reports(folder: str, stamp: Stamp, verdicts_stamp: Stamp, _of: LoadedRun) -> list[Report]:
    out = []
    for about in verdicts.judges_of(_of.run):
        if report := judging.report_of(_of.run, about, _of.every):
            _ = report.lines, report.ranking
            out.append(report)
    if voted := tuple(votes.votes(_of.run, _of.between)):
        out.append(Report(voted, {"id": PEOPLE, "label": "People"}, _of.labels, _of.corpus, len(voted), _of.run.id))
    return out


def _verdicts_stamp(run: FineTuneRun) -> Stamp:
    """Changes whenever a judgment or a vote is stored."""
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
