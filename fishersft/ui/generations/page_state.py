"""The state of the Generations page: which run is open, loaded with its numbers and verdicts, and what a visitor has chosen.

One run is open at a time; its name and the chosen models and prompt are in the address.  What an address asks for and cannot
have is named on the page.  Loaded runs are kept in memory between reruns under their folders and the times of their files, so
what a job has finished meanwhile is read anew.  A damaged folder is reported in one sentence.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import streamlit as st

from fishersft import catalogue
from fishersft.errors import JudgeError, StoreError
from fishersft.finetuning.results import FineTuneResult, SelectionResult
from fishersft.finetuning.run import ALL, BASE, FineTuneRun, TunedModel
from fishersft.judge import judging, verdicts, votes
from fishersft.judge.judging import PairwiseComparison
from fishersft.judge.report import Report
from fishersft.store import jobs
from fishersft.store.artifacts import Store
from fishersft.store.job_table import Job
from fishersft.text import moment, visible, visible_text
from fishersft.ui import components, job_panel, query_widgets
from fishersft.ui.session import Session, public

RESULTS, READ, VOTE, WIN_RATES, SET_UP = SECTIONS = ("Results", "Read", "Vote", "Win rates", "Set up")
FINETUNE, JUDGE = "finetune", "judge"  # kinds of jobs
PEOPLE = "people"  # the id of the votes among the judges
RUN = 330  # pixels of the box that names a run
Stamp = tuple[tuple[str, int], ...]


@dataclass
class GenerationsState:
    """What a visitor has chosen; it outlives a change of page and of section."""

    run: str = ""  # the name of the open run's folder
    chosen: dict[str, Any] = field(default_factory=dict)  # values of the page's own controls, by name
    job: dict[str, str] = field(default_factory=dict)  # the job of each kind that was started here
    cast: dict[str, Any] = field(default_factory=dict)  # the vote on a run that was just locked, as the Vote section keeps it
    hidden: set[str] = field(default_factory=set)  # ids of jobs that the visitor has hidden


@dataclass(frozen=True)
class LoadedRun:
    run: FineTuneRun
    stamp: Stamp
    models: dict[str, TunedModel]  # the finished ones, in the order of the plan
    result: FineTuneResult
    lines: tuple[SelectionResult, ...]  # numbers on the target or on the held-out texts; empty before the first model is finished
    between: tuple[PairwiseComparison, ...]  # comparisons between selectors, which people vote on
    every: tuple[PairwiseComparison, ...]  # those with the untuned and the whole pool's model as well

    @property
    def name(self) -> str:
        return self.run.folder.name

    @property
    def planned(self) -> int:
        return len(self.run.about["cells"])

    @cached_property
    def verdict(self) -> list[str]:
        """Of a run with a target: who predicts it best, and what was lost elsewhere."""
        return self.result.verdict if self.result.on_target and self.lines else []

    @cached_property
    def elsewhere(self) -> LoadedRun:
        """The same models on the corpus' held-out texts."""
        result = self.result.elsewhere
        return replace(self, result=result, lines=tuple(result.lines))

    def label(self, selector: str) -> str:
        """What people call a selector, the untuned model or the one tuned on the whole pool; on one line."""
        return label(self.run.labels.get(selector, selector))


def label(text: Any, longest: int = 60) -> str:
    """A stranger's name for something, on one line and with what cannot be seen spelled out."""
    return visible(components.one_line(text, longest))


def page_state() -> GenerationsState:
    mine: GenerationsState = st.session_state.setdefault("generations", GenerationsState())
    return mine


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
def _loaded(folder: str, stamp: Stamp, _run: FineTuneRun) -> LoadedRun:
    models, result = _run.models, FineTuneResult(_run)
    there = list(dict.fromkeys(c.selector for c in models.values()))
    pairs = list(itertools.combinations(there, 2))
    try:
        every = tuple(judging.comparisons_of(_run, judging.matches_of(_run, pairs=pairs))) if pairs else ()
    except JudgeError:  # nothing to compare yet
        every = ()
    between = tuple(c for c in every if not {c.match.a, c.match.b} & {BASE, ALL})
    loaded = LoadedRun(_run, stamp, models, result, tuple(result.lines) if models else (), between, every)
    _ = loaded.verdict
    return loaded


def judge_reports(of: LoadedRun) -> list[Report]:
    """What each judge that looked at the run said, the latest first, and people where there are votes."""
    home = Store.default().path
    stamp = [(str(home), 0)]  # changes whenever a judgment or a vote is stored
    for file in (home / verdicts.FILE, home / f"{verdicts.FILE}-wal", of.run.folder / verdicts.EXPORT):
        try:
            told = file.stat()
            stamp.append((file.name, told.st_mtime_ns ^ told.st_size))
        except OSError:
            continue
    with damage_reported(of.run):
        return _reports(str(of.run.folder), of.stamp, tuple(stamp), of)


@st.cache_resource(max_entries=8, show_spinner="Adding up the verdicts …")
def _reports(folder: str, stamp: Stamp, verdicts_stamp: Stamp, _of: LoadedRun) -> list[Report]:
    run, out = _of.run, []
    shipped = {str(line["value"].get("id")) for line in verdicts.exported(run, "judge")}
    for about in verdicts.judges_of(run):
        if public() and about["id"] not in shipped:
            continue
        if report := judging.report_of(run, about, _of.every):
            _ = report.lines, report.ranking
            out.append(report)
    if not public() and (voted := tuple(votes.votes(run, _of.between))):
        people = {"id": PEOPLE, "label": "People", "protocol": "blind votes"}
        out.append(Report(voted, people, run.labels, run.source.lower(), len(voted), run.id, votes.examination(run)))
    return out


def choose_section(row: Any) -> str:
    help = (
        "Results: nats of texts that no selector saw. Read: two texts side by side. Vote: blind, with keys. Win rates: what "
        "judges and people say. Set up: fine-tune on selections of your own."
    )
    offered = [section for section in SECTIONS if not (public() and section in (VOTE, SET_UP))]
    return query_widgets.segmented("Section", offered, "section", place=row, help=help, wrap=True)


def choose_run(row: Any) -> LoadedRun | None:
    """The open run; None where there is none yet.

    Raises:
        StoreError: its folder is damaged.
    """
    there = {run.id: run for run in catalogue.runs(catalogue.FINETUNED, shipped_only=public()) if not run.problem}
    mine, asked = page_state(), st.query_params.get("run", "")
    if asked and asked != st.session_state.get("generations_asked"):
        st.session_state["generations_asked"] = asked
        try:
            found = catalogue.find_run(asked, catalogue.FINETUNED, shipped_only=public())
            _ = found.opened
            mine.run = found.id
        except StoreError as error:
            st.session_state["generations_refused"] = str(error)
    if refused := st.session_state.get("generations_refused"):
        box = st.container(horizontal=True, vertical_alignment="center")
        box.warning(components.escape_markdown(refused), icon=":material/link_off:")
        if box.button("Got it", key="refused-run"):
            del st.session_state["generations_refused"]
            st.rerun()
    if not there:
        return None
    if mine.run in there:
        st.session_state["run-choice"] = mine.run
    elif st.session_state.get("run-choice") not in there:
        st.session_state.pop("run-choice", None)

    def another() -> None:
        mine.run = st.session_state["run-choice"]

    def named(name: str) -> str:
        run = there[name]
        origin = "shipped" if run.shipped else f"{moment(run.made)}, {run.id}"
        return f"{visible_text(components.one_line(run.title, 160))} ({origin})"

    help = "Your own runs of fine-tuning and the shipped ones."
    look: dict[str, Any] = {"format_func": named, "on_change": another, "help": help, "width": RUN}
    mine.run = name = str(row.selectbox("Run", list(there), key="run-choice", **look))
    if st.query_params.get("run") != name:
        st.query_params["run"] = name
    st.session_state["generations_asked"] = name
    run = there[name].content
    with damage_reported(run):
        return _loaded(str(run.folder), run.stamp, run)


def headline(of: LoadedRun) -> None:
    """What was tuned on what, and how far the run has got."""
    about = of.run.about
    corpus, model = about["corpus"], about["model"]
    records, held_out = corpus.get("records", 0), corpus.get("held_out", 0)
    size = f", {records:,} records ({held_out:,} held out)" if records else ""
    names = [components.escape_markdown(label(part["name"])) for part in (corpus, model)]
    trained, rate = "", about.get("training", {}).get("learning_rate")
    if rate is not None:
        used = next((c.facts["learning_rate"] for c in of.models.values() if c.facts.get("learning_rate")), None)
        if rate == "auto":
            rate = f"{used:g} (found on a uniform draw)" if used else "being found on a uniform draw"
        else:
            rate = f"{rate:g} (given)" if isinstance(rate, int | float) else components.escape_markdown(str(rate)[:20])
        epochs = about["training"].get("epochs")
        trained = f", {epochs} epoch{'s' * (epochs != 1)}, learning rate {rate}"
    equal = components.escape_markdown(str(about["equal"]))
    st.caption(f"**{names[0]}**{size}, **{names[1]}** tuned on each selection, at equal {equal}{trained}")
    if aim := about.get("target"):
        chose, measure = (aim.get(half, 0) for half in ("choosing", "measuring"))
        name = components.escape_markdown(label(aim["name"]))
        st.caption(f"Target: **{name}**; {chose:,} of its texts chose, the other {measure:,} only measure")
    if 0 < len(of.models) < of.planned:
        st.info(f"{len(of.models)} of {of.planned} models are finished; this page shows these.", icon=":material/hourglass_top:")


def empty() -> None:
    st.info(
        "There is no run of fine-tuning yet. Set up tunes a model on each selection, measures it and lets it continue prompts; "
        "Results, Read, Vote and Win rates then show the outcome.",
        icon=":material/inbox:",
    )


def choose(name: str, heading: str, options: Sequence[Any], usual: Any, visitor: Session, *, place: Any = st, **look: Any) -> Any:
    """A box that starts with the value chosen before, the one in the address, or the usual one, and keeps it in the address.

    A value in the address that is not among the options is named on the page.
    """
    key, seen, mine = f"generations-{name}", f"asked-{name}", page_state().chosen
    asked = st.query_params.get(name)
    if key not in st.session_state or st.session_state[key] not in options:
        wanted = mine.get(name, usual)
        if asked is not None and st.session_state.get(seen) != asked:
            known = {str(option): option for option in options}
            if asked not in known:
                visitor.notices.append(f"{name}={asked[:20]} (this run has {', '.join(known)[:120]})")
            wanted = known.get(asked, wanted)
        st.session_state[key] = wanted if wanted in options else usual
    value = place.selectbox(heading, options, key=key, **look)
    mine[name] = value
    if asked != str(value):
        st.query_params[name] = str(value)
    st.session_state[seen] = str(value)
    return value


def watched_job(kind: str, of: LoadedRun | None = None) -> Job | None:
    """Show and return the job of this kind: that of the open run, else the one started here, else one that is going on."""
    if public():
        return None
    there = [job for job in jobs.jobs() if job.kind == kind and job.id not in page_state().hidden]
    started = page_state().job.get(kind)
    if of is not None:
        there = [job for job in there if job.out == of.run.folder and (job.state != "done" or job.id == started)]
    mine, going = [job for job in there if job.id == started], [job for job in there if not job.ended]
    chosen = next(iter([*mine, *going, *(there[:1] if of is not None and len(of.models) < of.planned else [])]), None)
    if chosen is None:
        return None
    job = job_panel.watch(chosen.id)
    if job is not None and job.ended and st.button("Hide this", icon=":material/close:", key=f"hide-{kind}"):
        page_state().hidden.add(job.id)
        st.rerun()
    return job
