"""What the Curves page shows: an experiment, one of its results, or one of the visitor's own, which a form starts as a job."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from fishersft import catalogue, fields
from fishersft.catalogue import CurvesRun
from fishersft.errors import BudgetError, FisherSFTError, ParameterError, StoreError
from fishersft.experiments.experiment import Experiment, Sweep
from fishersft.experiments.measure import expected_seconds
from fishersft.experiments.result import Result, read_curves
from fishersft.experiments.settings import (
    SELECTORS,
    SWEEP_BUDGET,
    MeasureSettings,
    SweepSettings,
    SyntheticSettings,
    TeacherSettings,
    TimingSettings,
    WordSettings,
    WordSource,
    default_budgets,
)
from fishersft.experiments.timing import default_picks
from fishersft.experiments.worlds import DIMENSION, SENTENCES, Synthetic
from fishersft.store import jobs
from fishersft.text import duration
from fishersft.ui import cached, components, job_panel, query_widgets
from fishersft.ui.address import write_value
from fishersft.ui.parameters import choose_selectors, selector_settings, widget
from fishersft.ui.session import Session, public

TWO_WORLDS = "Two worlds"
KINDS = {"Synthetic": "synthetic", "Word vectors": "words", "Your corpus": "teacher", "Fast against slow": "timing"}
Values = dict[str, Any]
RESULT = 340  # pixels of the box that names a result
CORES = os.cpu_count() or 1


@dataclass
class CurvesState:
    """What a visitor has chosen on this page, results and jobs by kind of experiment; outlives a change of page."""

    experiment: str = ""
    result: dict[str, str] = field(default_factory=dict)
    job: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedRun:
    arguments: tuple[str, ...]  # of the command line, without `fishersft` and without --out
    title: str  # one line for people
    records: int  # how many will be made; 0 for a timing
    seconds: float  # about how long that takes
    inputs: tuple[str, ...] = ()  # fingerprints of what it reads


def state() -> CurvesState:
    mine: CurvesState = st.session_state.setdefault("curves", CurvesState())
    return mine


def choose_experiment(row: Any) -> str:
    """The experiment; a link to a result opens its kind."""
    asked = st.query_params.get("result", "")
    if asked and st.session_state.get("curves_asked") != asked:
        st.session_state["curves_asked"] = asked
        try:
            kind = catalogue.find_run(asked, catalogue.CURVES, shipped_only=public()).opened.kind
            state().result[kind] = asked
            st.session_state["experiment"] = next(name for name, k in KINDS.items() if k == kind)
        except StoreError as error:
            st.warning(components.escape_markdown(str(error)), icon=":material/link_off:")
    if state().experiment and "experiment" not in st.query_params and "experiment" not in st.session_state:
        st.session_state["experiment"] = state().experiment  # back from another page
    help = (
        "Synthetic: rows drawn from a distribution. Word vectors: sentences drawn from real vectors. Your corpus: its own "
        "rows, labels drawn from the model's own head. Fast against slow: seconds of choosing."
    )
    chosen = query_widgets.segmented("Experiment", [TWO_WORLDS, *KINDS], "experiment", place=row, help=help, wrap=True)
    state().experiment = chosen
    if chosen == TWO_WORLDS:
        write_value("result", "")  # else the address would open that result's experiment
    return chosen


def choose_result(kind: str, row: Any) -> CurvesRun | None:
    """A shipped or an earlier result of this kind; None where there is none yet."""
    there = {found.id: found for found in catalogue.contents(catalogue.CURVES, shipped_only=public()) if found.kind == kind}
    if not there:
        return None
    key, wanted = f"result-{kind}", state().result.get(kind)
    if wanted in there:
        st.session_state[key] = wanted
    elif st.session_state.get(key) not in there:
        st.session_state[key] = _last(list(there.values()))

    def chosen() -> None:  # before the next rerun draws the box from the state
        state().result[kind] = st.session_state[key]

    def named(id: str) -> str:
        found = there[id]
        s, changed = found.settings, f"{pd.Timestamp(found.changed, unit='s'):%Y-%m-%d %H:%M} UTC"
        origin = "shipped" if found.shipped else f"{changed}, {found.id}"
        if kind == catalogue.TIMING:
            return f"{s['sentences']:,} sentences, d = {s['dimension']} ({origin})"
        fixed = "" if "sweep" in s else f"d = {s['world']['dimension']}, L = {s['world']['classes']}, "
        return f"{components.one_line(found.about.title, 80)}, equal {s['equal']}, {fixed}{s['runs']} runs ({origin})"

    help = "Results of this experiment: those that ship, and your own."
    look: dict[str, Any] = {"format_func": named, "on_change": chosen, "help": help, "width": RESULT}
    id = row.selectbox("Result", list(there), key=key, **look)
    state().result[kind] = id
    st.session_state["curves_asked"] = st.query_params["result"] = id
    return there[id]


def _last(there: list[CurvesRun]) -> str:
    """The visitor's own last result that has something to show, else the first shipped one."""
    for found in there:
        if found.shipped:
            continue
        try:
            _ = found.kind == catalogue.TIMING or opened(found)
        except StoreError:
            continue
        return found.id
    return there[0].id


def opened(found: CurvesRun) -> Result:
    """A result's records, read again when they have grown."""
    stamp = (found.folder / "records.jsonl").stat()
    return _opened(str(found.folder), stamp.st_mtime_ns, stamp.st_size)


@st.cache_resource(max_entries=16, show_spinner="Reading the records …")
def _opened(folder: str, changed: int, size: int) -> Result:
    return read_curves(Path(folder))


def watched(kind: str) -> None:
    """Show the job of this kind that the visitor started here or that still runs, and its result once it is done."""
    if public():
        return
    going = [j for j in jobs.jobs() if j.kind == "curves" and not j.ended and j.arguments[1:2] == (kind,)]
    mine = state().job.get(kind)
    known = {j.id for j in jobs.jobs()}
    going.sort(key=lambda j: j.state != "running")
    id = mine if mine in known else going[0].id if going else None
    if id is None:
        return
    job = job_panel.watch(id)
    state().job[kind] = id
    if job is None or not job.ended:
        return
    if job.state == "done" and job.out and st.session_state.get("curves_done") != (job.id, job.attempt):
        st.session_state["curves_done"] = (job.id, job.attempt)
        state().result[kind] = job.out.name
    if st.button("Hide this", icon=":material/close:", key="hide-job"):
        del state().job[kind]
        st.rerun()


def run_panel(kind: str, visitor: Session) -> None:
    """The form of one's own experiment, what it will take, and the job that does it."""
    if public():
        st.caption("This hosted demo shows results and runs nothing; install fishersft to run your own.")
        return
    with st.form(f"form-{kind}", border=False):
        values = _form(kind, visitor)
        st.form_submit_button("Check and estimate", icon=":material/timer:")
    try:
        _offer(kind, _plan(kind, values, visitor))
    except FisherSFTError as error:
        components.problem(str(error))


def _offer(kind: str, plan: PlannedRun) -> None:
    folder = catalogue.folder_for(catalogue.CURVES, plan.arguments, plan.inputs)
    arguments = [*plan.arguments, "--out", str(folder)]
    cores = f"{CORES} {'core' if CORES == 1 else 'cores'} of this machine"
    if plan.records:
        cost = f"{plan.records:,} records, roughly {duration(plan.seconds)} on {cores} (one fit was timed; it may take "
        cost += "twice or half as long). It runs in the background and continues where it was stopped."
    else:
        cost = f"Roughly {duration(plan.seconds)}: the seconds that Algorithm 1 gets, and a few more. It runs in the "
        cost += "background, from the start each time; both methods take longer when the machine is busy."
    st.markdown(cost)
    if catalogue.complete(folder):
        components.shell(shlex.join(["fishersft", *arguments]))
        st.info("This was run before and is complete.", icon=":material/check_circle:")
        if st.button("Show its result", key=f"show-{kind}"):
            state().result[kind] = folder.name
            st.rerun()
        return
    job = job_panel.offer(arguments, kind="curves", title=f"Curves: {plan.title}", out=folder, key=f"run-{kind}")
    if job is not None and state().job.get(kind) != job.id:
        state().job[kind] = job.id
        st.rerun()


# -- the forms: rows of parameters and their widths

Row = dict[str, float]
SELECTED: Row = {"selectors": 1}
MEASURED: Row = {"budgets": 3, "runs": 1, "seed": 1, "equal": 2}
MORE: Row = {"ridge": 1, "sigma2": 1, "settings": 3}
SHAPE: Row = dict.fromkeys(("dimension", "classes", "sentences", "median_length"), 1)
DRAWN: Row = dict.fromkeys(("length_spread", "scale", "clusters", "power", "noise", "duplicates"), 1)
FORMS: dict[str, tuple[tuple[type, ...], tuple[Row, ...]]] = {  # the classes that declare the parameters, and the rows
    "synthetic": (
        (SyntheticSettings, SweepSettings, MeasureSettings),
        ({"features": 1, "sweep": 1}, SHAPE, SELECTED, MEASURED, DRAWN, MORE),
    ),
    "words": (
        (WordSource, WordSettings, MeasureSettings),
        ({"vectors": 3, "words": 1, "zipf": 1}, SHAPE, SELECTED, MEASURED, MORE),
    ),
    "teacher": (
        (TeacherSettings, MeasureSettings),
        (dict.fromkeys(("dimension", "classes", "sentences", "scale"), 1), SELECTED, MEASURED, MORE),
    ),
    "timing": ((TimingSettings,), ({"features": 2, "sentences": 1, "dimension": 1}, {"box": 1, "budgets": 3})),
}
DIFFERS: dict[tuple[type, str], Values] = {  # from what is declared
    (SyntheticSettings, "features"): {"value": "clustered"},
    (SweepSettings, "sweep"): {"choices": ("none", "dimension", "classes", "both"), "value": "none"},
    (MeasureSettings, "budgets"): {"value": (), "max_chars": 200, "placeholder": "50,100,200 … up to the pool"},
    (TimingSettings, "budgets"): {"value": (), "max_chars": 200, "placeholder": "10,50,100 … up to the pool"},
    (WordSource, "vectors"): {"placeholder": "a path on this machine", "max_chars": 500},
}


def _form(kind: str, visitor: Session) -> Values:
    """Draw the widgets; the values by the names of the parameters."""
    if kind == "teacher":
        corpus = cached.corpus(visitor.choice)
        name, model = (components.escape_markdown(components.one_line(x, 60)) for x in (corpus.name, visitor.choice.model))
        row = st.container(horizontal=True, vertical_alignment="center")
        row.markdown(f"**{name}**, {len(corpus.pool_index):,} records to choose from, read by **{model}**")
        row.page_link("pages/corpus.py", label="Change corpus or model", icon=":material/swap_horiz:")
    classes, rows = FORMS[kind]
    values: Values = {}
    for widths in rows:
        for place, name in zip(st.columns(list(widths.values())), widths, strict=True):
            if name == "selectors":
                with place:
                    values[name] = tuple(choose_selectors(SELECTORS, "Uniform is the baseline.", rows_only=True))
            elif name == "settings":
                values[name] = selector_settings(place)
            else:
                of = next(one for one in classes if name in fields.declared(one))
                values[name] = widget(of, name, place, **DIFFERS.get((of, name), {}))
    return values


# -- from values to a planned run


def _numbers(kind: type, text: str) -> tuple[int, ...]:
    """Budgets; a refusal calls them as the form does."""
    try:
        return tuple(fields.parse(kind, "budgets", text))
    except ParameterError as error:
        raise ParameterError(
            f"{fields.declared(kind)['budgets'].label} takes whole numbers separated by commas, for example 50,100,200, "
            f"not '{text[:40]}'."
        ) from error


def _plan(kind: str, values: Values, visitor: Session) -> PlannedRun:
    """What the values ask for; other worlds than the synthetic one are estimated by a synthetic one of the same size."""
    choice = visitor.choice
    if kind == "timing":
        usual = default_picks(values["sentences"])
        at = _numbers(TimingSettings, values["budgets"]) or usual
        if not at or min(at) < 1 or max(at) > values["sentences"]:
            raise BudgetError(
                f"Picks must be from 1 to {values['sentences']:,}, the sentences in the pool, and separated by commas."
            )
        timed = TimingSettings(**{**values, "budgets": () if at == usual else at})
        return PlannedRun(("curves", "timing", *fields.arguments(timed)), "Fast against slow", 0, timed.box + 10)

    budgets = _numbers(MeasureSettings, values["budgets"])
    measured = {name: values[name] for name in fields.declared(MeasureSettings) if name in values and name != "budgets"}

    def measuring(world: Synthetic, usual: tuple[int, ...] = ()) -> Experiment:
        at = budgets or usual or default_budgets(world.sentences)
        return Experiment(world=world, parameters=tuple(values["settings"]), budgets=at, **measured)

    inputs: tuple[str, ...] = ()
    if kind == "synthetic":
        world = Synthetic(**{name: values[name] for name in fields.declared(SyntheticSettings)})
        asked: Experiment | Sweep = measuring(world)
        if values["sweep"] != "none":
            moved = SweepSettings(sweep=values["sweep"]).moved
            asked = Sweep(measuring(world, (SWEEP_BUDGET,)), moved.get("dimension", ()), moved.get("classes", ()))
        arguments, title = asked.about.arguments, asked.about.title
    elif kind == "words":
        shape, source = {name: values[name] for name in SHAPE}, values["vectors"] or choice.model
        asked = measuring(Synthetic(**shape))
        options = ["--vectors" if values["vectors"] else "--model", source, *fields.arguments(WordSource(words=values["words"]))]
        options += fields.arguments(WordSettings(**shape, zipf=values["zipf"]))
        arguments = ["curves", "words", *options, *asked.measured()]
        title = f"Word vectors of {components.one_line(source, 60)}"
        inputs = () if values["vectors"] else (cached.folder(choice).fingerprint,)
    else:
        settings = TeacherSettings(**{name: values[name] for name in fields.declared(TeacherSettings)})
        layout = cached.layout(choice)
        N, tokens = settings.sentences or min(SENTENCES, len(layout.index)), layout.rows / max(1, len(layout.index))
        lengths: dict[str, Any] = {"median_length": min(256.0, max(1.0, tokens)), "length_spread": 0.0}
        asked = measuring(Synthetic(dimension=settings.dimension or DIMENSION, classes=settings.classes, sentences=N, **lengths))
        options = [choice.source, "--model", choice.model, *choice.flags, *fields.arguments(settings)]
        arguments = ["curves", "teacher", *options, *asked.measured(without=() if budgets else ("budgets",))]
        title = f"{components.one_line(choice.name, 60)}, the model's own head"
        inputs = (cached.corpus(choice).fingerprint, cached.folder(choice).fingerprint)
    records = sum(len(one.keys) for one in asked.experiments)
    return PlannedRun(tuple(arguments), title, records, expected_seconds(asked, CORES), inputs)
