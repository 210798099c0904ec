"""The form of the Curves page: parameters, what they cost, and the job that runs them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from fishersft import catalogue, fields
from fishersft.errors import BudgetError, FisherSFTError, ParameterError
from fishersft.experiments.experiment import Experiment, Sweep
from fishersft.experiments.running import expected_seconds, experiments_of
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
from fishersft.experiments.synthetic import Synthetic
from fishersft.experiments.teacher import DIMENSION, SENTENCES
from fishersft.experiments.timing import default_picks
from fishersft.selectors import find_selector, registry
from fishersft.store import jobs
from fishersft.text import duration
from fishersft.ui import cached, components, job_panel
from fishersft.ui.curves.panels import state
from fishersft.ui.parameters import widget
from fishersft.ui.session import Session, public

Values = dict[str, Any]
SHAPE = ("dimension", "classes", "sentences", "median_length")
BUDGETS_LOOK: dict[str, Any] = {"value": (), "max_chars": 200}


@dataclass(frozen=True)
class PlannedRun:
    """What the form asks for.

    Attributes:
        arguments: of the command line, without `fishersft` and without --out.
        title: one line for people.
        records: how many will be made; 0 for a timing.
        seconds: about how long that takes.
    """

    arguments: tuple[str, ...]
    title: str
    records: int
    seconds: float


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
            values, inputs = FORMS[kind](visitor)
            st.form_submit_button("Check and estimate", icon=":material/timer:")
        try:
            plan = PLANS[kind](values, visitor)
        except FisherSFTError as error:
            components.problem(str(error))
            return
        _offer(kind, plan, inputs)


def _offer(kind: str, plan: PlannedRun, inputs: tuple[str, ...]) -> None:
    folder = catalogue.folder_for(catalogue.CURVES, plan.arguments, inputs)
    arguments = [*plan.arguments, "--out", str(folder)]
    cores = f"{_cores()} {'core' if _cores() == 1 else 'cores'} of this machine"
    if plan.records:
        cost = f"{plan.records:,} records, roughly {duration(plan.seconds)} on {cores} (one fit was timed; expect up to "
        cost += "twice or half as long). It runs in the background and continues where it was stopped."
    else:
        cost = f"Roughly {duration(plan.seconds)}: the seconds that Algorithm 1 gets, and a few more. It runs in the "
        cost += "background, from the start each time; both methods take longer when the machine is busy."
    st.markdown(cost)
    components.shell(shlex.join(["fishersft", *arguments]))
    already = next((j for j in jobs.jobs() if j.out == folder and not j.ended), None)
    if already:
        st.info("This run is already in progress; it is shown above.", icon=":material/play_circle:")
        state().job[kind] = already.id
        return
    if catalogue.complete(folder):
        st.info("This was run before and is complete.", icon=":material/check_circle:")
        if st.button("Show its result", key=f"show-{kind}"):
            state().result[kind] = folder.name
            st.rerun()
        return
    if st.button("Run as a job", type="primary", icon=":material/play_arrow:", key=f"run-{kind}"):
        job = jobs.start(arguments, kind="curves", title=f"Curves: {plan.title}", out=folder)
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
    names = [name for name, selector in registry().items() if not selector.reaches_out]
    chosen = st.multiselect(
        "Selectors", names, list(SELECTORS), format_func=lambda name: find_selector(name).label, help="Uniform is the baseline."
    )
    budgets, *others = st.columns([3, 1, 1, 2])
    return {
        "selectors": tuple(chosen),
        "budgets": widget(MeasureSettings, "budgets", budgets, placeholder="50,100,200 … up to the pool", **BUDGETS_LOOK),
        **{name: widget(MeasureSettings, name, at) for name, at in zip(("runs", "seed", "equal"), others, strict=True)},
    }


def _more() -> Values:
    ridge, sigma2, settings = st.columns([1, 1, 3])
    return {
        "ridge": widget(MeasureSettings, "ridge", ridge),
        "sigma2": widget(MeasureSettings, "sigma2", sigma2),
        "settings": settings.text_input(
            "Selector settings",
            "",
            placeholder="token_od.sigma2=2 matched_od.ridge=0.01",
            max_chars=300,
            help="SELECTOR.NAME=VALUE, separated by spaces.",
        ),
    }


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
    return Experiment(world=world, parameters=tuple(values["settings"].split()), **{**measured, "budgets": asked})


def _planned(asked: Experiment | Sweep, arguments: Sequence[str] = (), title: str = "") -> PlannedRun:
    """The run of an experiment, or of another world's command of the same size."""
    records = sum(len(one.keys) for one in experiments_of(asked))
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
    options = [visitor.choice.source, "--model", visitor.choice.model]
    for name, value in visitor.choice.options:
        options += [f"--{name.replace('_', '-')}", *([value] if value else [])]
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


FORMS: dict[str, Callable[[Session], tuple[Values, tuple[str, ...]]]] = {
    "synthetic": _synthetic,
    "words": _words,
    "teacher": _teacher,
    "timing": _timing,
}
PLANS: dict[str, Callable[[Values, Session], PlannedRun]] = {
    "synthetic": _plan_synthetic,
    "words": _plan_words,
    "teacher": _plan_teacher,
    "timing": _plan_timing,
}
