"""What the Curves page shows: an experiment, one of its results, or one of the visitor's own, which a form starts as a job."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
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
    PoolSettings,
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
SHAPE = ("dimension", "classes", "sentences", "median_length")
BUDGETS_LOOK: dict[str, Any] = {"value": (), "max_chars": 200}


@dataclass
class CurvesState:
    """What a visitor has chosen on this page, results and jobs by kind of experiment; outlives a change of page."""

    experiment: str = ""
    result: dict[str, str] = field(default_factory=dict)
    job: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedRun:
    """What the form asks for."""

    arguments: tuple[str, ...]  # of the command line, without `fishersft` and without --out
    title: str  # one line for people
    records: int  # how many will be made; 0 for a timing
    seconds: float  # about how long that takes


def state() -> CurvesState:
    mine: CurvesState = st.session_state.setdefault("curves", CurvesState())
    return mine


def choose_experiment(session: Session) -> str:
    """The experiment; a link to a result opens its kind."""
    asked = st.query_params.get("result", "")
    if asked and st.session_state.get("curves_asked") != asked:
        st.session_state["curves_asked"] = asked
        try:
            kind = catalogue.find_run(asked, catalogue.CURVES).opened.kind
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
    chosen = query_widgets.segmented("Experiment", [TWO_WORLDS, *KINDS], "experiment", help=help)
    state().experiment = chosen
    if chosen == TWO_WORLDS:
        write_value("result", "")  # else the address would open that result's experiment
    return chosen


def choose_result(kind: str) -> CurvesRun | None:
    """A shipped or an earlier result of this kind; None where there is none yet."""
    there = {found.id: found for found in catalogue.contents(catalogue.CURVES) if found.kind == kind}
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
    id = st.selectbox("Result", list(there), key=key, format_func=named, on_change=chosen, help=help)
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


def run_panel(kind: str, visitor: Session, *, empty: bool) -> None:
    """Parameters, an estimate, and one button."""
    if public():
        st.caption("This hosted demo shows results and runs nothing; install fishersft to run your own.")
        return
    with st.expander("Run it with parameters of your own", icon=":material/tune:", expanded=empty):
        with st.form(f"form-{kind}", border=False):
            form, planned = FORMS[kind]
            values, inputs = form(visitor)
            st.form_submit_button("Check and estimate", icon=":material/timer:")
        try:
            plan = planned(values, visitor)
        except FisherSFTError as error:
            components.problem(str(error))
            return
        _offer(kind, plan, inputs)


def _offer(kind: str, plan: PlannedRun, inputs: tuple[str, ...]) -> None:
    folder = catalogue.folder_for(catalogue.CURVES, plan.arguments, inputs)
    arguments = [*plan.arguments, "--out", str(folder)]
    cores = f"{_cores()} {'core' if _cores() == 1 else 'cores'} of this machine"
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


def _cores() -> int:
    return os.cpu_count() or 1


# -- the forms: widgets and the values they hold


def _row(kind: type, names: Sequence[str], columns: int | Sequence[float] = 0) -> Values:
    """The widgets of some parameters side by side."""
    places = st.columns(columns or len(names))
    return {name: widget(kind, name, place) for name, place in zip(names, places, strict=False)}


def _measured() -> Values:
    chosen = choose_selectors(SELECTORS, "Uniform is the baseline.")
    budgets, *others = st.columns([3, 1, 1, 2])
    return {
        "selectors": tuple(chosen),
        "budgets": widget(MeasureSettings, "budgets", budgets, placeholder="50,100,200 … up to the pool", **BUDGETS_LOOK),
        **{name: widget(MeasureSettings, name, at) for name, at in zip(("runs", "seed", "equal"), others, strict=True)},
    }


def _more() -> Values:
    *places, settings = st.columns([1, 1, 3])
    values = {name: widget(MeasureSettings, name, place) for name, place in zip(("ridge", "sigma2"), places, strict=True)}
    return {**values, "settings": selector_settings(settings)}


def _synthetic(visitor: Session) -> tuple[Values, tuple[str, ...]]:
    a, b = st.columns(2)
    values = {
        "features": widget(SyntheticSettings, "features", a, value="clustered"),
        "sweep": widget(SweepSettings, "sweep", b, choices=("none", "dimension", "classes", "both"), value="none"),
        **_row(PoolSettings, SHAPE),
        **_measured(),
        **_row(SyntheticSettings, ("length_spread", "scale", "clusters", "power", "noise", "duplicates")),
        **_more(),
    }
    return values, ()


def _words(visitor: Session) -> tuple[Values, tuple[str, ...]]:
    a, b, c = st.columns([3, 1, 1])
    values = {
        "vectors": widget(WordSource, "vectors", a, placeholder="a path on this machine", max_chars=500),
        "words": widget(WordSource, "words", b),
        "zipf": widget(WordSettings, "zipf", c),
        **_row(PoolSettings, SHAPE),
        **_measured(),
        **_more(),
    }
    return values, () if values["vectors"] else (cached.folder(visitor.choice).fingerprint,)


def _teacher(visitor: Session) -> tuple[Values, tuple[str, ...]]:
    corpus, folder = cached.corpus(visitor.choice), cached.folder(visitor.choice)
    name, model = (components.escape_markdown(components.one_line(x, 60)) for x in (corpus.name, visitor.choice.model))
    row = st.container(horizontal=True, vertical_alignment="center")
    row.markdown(f"**{name}**, {len(corpus.pool_index):,} records to choose from, read by **{model}**")
    row.page_link("pages/corpus.py", label="Change corpus or model", icon=":material/swap_horiz:")
    layout = cached.layout(visitor.choice)
    values = {
        "pool": len(layout.index),
        "tokens": layout.rows / max(1, len(layout.index)),
        **_row(TeacherSettings, ("dimension", "classes", "sentences", "scale")),
        **_measured(),
        **_more(),
    }
    return values, (corpus.fingerprint, folder.fingerprint)


def _timing(visitor: Session) -> tuple[Values, tuple[str, ...]]:
    values = _row(TimingSettings, ("features", "sentences", "dimension"), [2, 1, 1])
    a, b = st.columns([1, 3])
    values["box"] = widget(TimingSettings, "box", a)
    values["budgets"] = widget(TimingSettings, "budgets", b, placeholder="10,50,100 … up to the pool", **BUDGETS_LOOK)
    return values, ()


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


def _experiment(values: Values, world: Synthetic, budgets: tuple[int, ...] = ()) -> Experiment:
    """What is measured; `budgets` are those that are taken where none are given."""
    measured = {name: values[name] for name in fields.declared(MeasureSettings) if name in values}
    asked = _numbers(MeasureSettings, values["budgets"]) or budgets or default_budgets(world.sentences)
    return Experiment(world=world, parameters=tuple(values["settings"]), **{**measured, "budgets": asked})


def _planned(asked: Experiment | Sweep, arguments: Sequence[str] = (), title: str = "") -> PlannedRun:
    """The run of an experiment, or of another world's command of the same size."""
    records = sum(len(one.keys) for one in asked.experiments)
    return PlannedRun(
        tuple(arguments or asked.about.arguments), title or asked.about.title, records, expected_seconds(asked, _cores())
    )


def _plan_synthetic(values: Values, visitor: Session) -> PlannedRun:
    world = Synthetic(**{name: values[name] for name in fields.declared(SyntheticSettings)})
    if values["sweep"] == "none":
        return _planned(_experiment(values, world))
    moved = SweepSettings(sweep=values["sweep"]).moved
    asked = _experiment(values, world, (SWEEP_BUDGET,))
    return _planned(Sweep(asked, moved.get("dimension", ()), moved.get("classes", ())))


def _plan_words(values: Values, visitor: Session) -> PlannedRun:
    shape = {name: values[name] for name in SHAPE}
    like = _experiment(values, Synthetic(**shape))
    source = values["vectors"] or visitor.choice.model
    options = ["--vectors" if values["vectors"] else "--model", source, *fields.arguments(WordSource(words=values["words"]))]
    options += fields.arguments(WordSettings(**shape, zipf=values["zipf"]))
    title = f"Word vectors of {components.one_line(source, 60)}"
    return _planned(like, ["curves", "words", *options, *like.measured()], title)


def _plan_teacher(values: Values, visitor: Session) -> PlannedRun:
    asked = TeacherSettings(**{name: values[name] for name in fields.declared(TeacherSettings)})
    N = asked.sentences or min(SENTENCES, values["pool"])
    lengths = {"median_length": min(256.0, max(1.0, values["tokens"])), "length_spread": 0.0}
    like = _experiment(values, Synthetic(dimension=asked.dimension or DIMENSION, classes=asked.classes, sentences=N, **lengths))
    options = [visitor.choice.source, "--model", visitor.choice.model, *visitor.choice.flags]
    measured = like.measured(without=() if values["budgets"] else ("budgets",))
    title = f"{components.one_line(visitor.choice.name, 60)}, the model's own head"
    return _planned(like, ["curves", "teacher", *options, *fields.arguments(asked), *measured], title)


def _plan_timing(values: Values, visitor: Session) -> PlannedRun:
    usual = default_picks(values["sentences"])
    at = _numbers(TimingSettings, values["budgets"]) or usual
    if not at or min(at) < 1 or max(at) > values["sentences"]:
        raise BudgetError(f"Picks must be from 1 to {values['sentences']:,}, the sentences in the pool, and separated by commas.")
    asked = TimingSettings(**{**values, "budgets": () if at == usual else at})
    return PlannedRun(("curves", "timing", *fields.arguments(asked)), "Fast against slow", 0, asked.box + 10)


Form = Callable[[Session], tuple[Values, tuple[str, ...]]]
Plan = Callable[[Values, Session], PlannedRun]
FORMS: dict[str, tuple[Form, Plan]] = {
    "synthetic": (_synthetic, _plan_synthetic),
    "words": (_words, _plan_words),
    "teacher": (_teacher, _plan_teacher),
    "timing": (_timing, _plan_timing),
}
