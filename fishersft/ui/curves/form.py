"""The form of the Curves page: parameters, what they cost, and the job that runs them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import streamlit as st

from fishersft.commands.curves import FEATURES
from fishersft.errors import BudgetError, FisherSFTError
from fishersft.experiments import stored
from fishersft.experiments.experiment import SELECTORS, Experiment, default_budgets
from fishersft.experiments.plan import Plan, plan_of, renamed, whole_numbers
from fishersft.experiments.sweep import BUDGET, VALUES, Sweep
from fishersft.experiments.synthetic import Synthetic
from fishersft.experiments.teacher import DIMENSION
from fishersft.experiments.teacher import SENTENCES as MOST
from fishersft.experiments.timing import BOX, BUDGETS
from fishersft.selectors import find_selector, registry
from fishersft.store import jobs
from fishersft.text import duration
from fishersft.ui import cached, components, job_panel, learn
from fishersft.ui.curves.panels import looking
from fishersft.ui.session import Session, public

Values = dict[str, Any]
WORLD = ("--dimension", "--classes", "--sentences", "--median-length", "--length-spread")
MEASURED = ("runs", "seed", "equal", "reference", "ridge", "sigma2")


def watched(kind: str) -> None:
    """The job of this kind that the visitor started here, or that still runs; its result is shown once it is done."""
    going = [j for j in jobs.jobs() if j.kind == "curves" and not j.ended and j.arguments[1:2] == (kind,)]
    mine = looking().job.get(kind)
    known = {j.id for j in jobs.jobs()}
    going.sort(key=lambda j: j.state != "running")
    id = mine if mine in known else going[0].id if going else None
    if id is None:
        return
    job = job_panel.watch(id)
    looking().job[kind] = id
    if job is None or not job.ended:
        return
    if job.state == "done" and job.out and st.session_state.get("curves_done") != (job.id, job.attempt):
        st.session_state["curves_done"] = (job.id, job.attempt)
        looking().result[kind] = job.out.name
    if st.button("Hide this", icon=":material/close:", key="hide-job"):
        del looking().job[kind]
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


def _offer(kind: str, plan: Plan, inputs: tuple[str, ...]) -> None:
    folder = stored.folder_for(plan.arguments, inputs)
    arguments = [*plan.arguments, "--out", str(folder)]
    cores = f"{_cores()} {'core' if _cores() == 1 else 'cores'} of this machine"
    if plan.records:
        cost = f"{plan.records:,} records, roughly {duration(plan.seconds)} on {cores} (one fit was timed; expect up to "
        cost += "twice or half). It runs in the background, and goes on where it was stopped."
    else:
        cost = f"Roughly {duration(plan.seconds)}: the seconds that Algorithm 1 gets, and a few more. It runs in the "
        cost += "background, from the start each time; other work beside it makes both ways slower."
    st.markdown(cost)
    components.shell(shlex.join(["fishersft", *arguments]))
    already = next((j for j in jobs.jobs() if j.out == folder and not j.ended), None)
    if already:
        st.info("This very run is going on; it is shown above.", icon=":material/play_circle:")
        looking().job[kind] = already.id
        return
    if stored.complete(folder):
        st.info("This was run before, to its end.", icon=":material/check_circle:")
        if st.button("Show its result", key=f"show-{kind}"):
            looking().result[kind] = folder.name
            st.rerun()
        return
    if st.button("Run as a job", type="primary", icon=":material/play_arrow:", key=f"run-{kind}"):
        job = jobs.start(arguments, kind="curves", title=f"Curves: {plan.title}", out=folder)
        looking().job[kind] = job.id
        st.rerun()


def _cores() -> int:
    return os.cpu_count() or 1


# -- the forms: widgets and the values they hold


def _world(values: Values, *, lengths: bool = True) -> None:
    a, b, c, d = st.columns(4)
    values["dimension"] = a.number_input("Dimension d", 1, 512, 10, help="Numbers a token row.")
    values["classes"] = b.number_input("Classes L", 2, 1_000, 20, help="Of the true head.")
    values["sentences"] = c.number_input("Sentences N", 1, 100_000, 3_000, help="Of the pool, drawn anew in each run.")
    if lengths:
        values["median_length"] = d.number_input("Median length", 1.0, 256.0, 8.0, 1.0, help="Tokens of the median sentence.")


def _measured(values: Values) -> None:
    names = [name for name, selector in registry().items() if not selector.reaches_out]
    values["selectors"] = st.multiselect(
        "Selectors", names, list(SELECTORS), format_func=lambda name: find_selector(name).label, help="Uniform is the baseline."
    )
    a, b, c, d = st.columns([3, 1, 1, 2])
    values["budgets"] = a.text_input(
        "Budgets n", "", placeholder="50,100,200 … up to the pool", max_chars=200, help="Sentences, with commas between."
    )
    values["runs"] = b.number_input("Runs", 1, 1_000, 20, help="Problems drawn.")
    values["seed"] = c.number_input("Seed", 0, 10**6, 0, help="Another seed draws other problems.")
    values["equal"] = d.segmented_control(
        "At equal",
        ["sentences", "tokens"],
        default="sentences",
        required=True,
        help="What all selectors get as much of: n sentences, or as many trained tokens as TokenOD's n.",
    )


def _more(values: Values) -> None:
    a, b, c = st.columns([1, 1, 3])
    values["ridge"] = a.number_input("Ridge", value=0.1, step=None, format="%g", help="Of the fitted head.")
    values["sigma2"] = b.number_input(
        "sigma2", value=1.0, step=None, format="%g", help=learn.helped("Of the design that is reported.", "sigma2")
    )
    values["settings"] = c.text_input(
        "Selector settings", "", placeholder="token_od.sigma2=2 matched_od.ridge=0.01", max_chars=300, help="With spaces between."
    )


def _synthetic(visitor: Session) -> tuple[Values, tuple[str, ...]]:
    values: Values = {}
    a, b = st.columns(2)
    values["features"] = a.selectbox("Features", FEATURES, index=FEATURES.index("clustered"), help="How rows are drawn.")
    values["sweep"] = b.segmented_control(
        "Sweep", ["none", "dimension", "classes", "both"], default="none", required=True, help="Move d, L or both at n = 1,000."
    )
    _world(values)
    _measured(values)
    a, b, c, d, e, f = st.columns(6)
    values["length_spread"] = a.number_input("Length spread", 0.0, 3.0, 0.6, 0.1, help="Of log-normal lengths; 0 for none.")
    values["scale"] = b.number_input("Scale", 0.0, 1e3, 1.0, 0.5, help="Standard deviation of a true logit.")
    values["clusters"] = c.number_input("Clusters", 1, 10_000, 20, help="Of rows, where features are clustered.")
    values["power"] = d.number_input("Power", 0.0, 10.0, 2.0, 0.5, help="Cluster weights k^-power, or spectrum j^-power.")
    values["noise"] = e.number_input("Noise", 0.0, 1e3, 0.1, 0.1, help="Of rows about their centre or original.")
    values["duplicates"] = f.number_input("Duplicates", 0.0, 0.99, 0.5, 0.1, help="Share of copies (near_duplicates).")
    _more(values)
    return values, ()


def _words(visitor: Session) -> tuple[Values, tuple[str, ...]]:
    values: Values = {}
    a, b, c = st.columns([3, 1, 1])
    values["vectors"] = a.text_input(
        "File of vectors",
        "",
        placeholder="GloVe or word2vec; the model's own embeddings without one",
        max_chars=500,
        help="A path on this machine, in the text format: a word and its numbers a line.",
    ).strip()
    values["words"] = b.number_input("Words", 2, 10**6, 20_000, help="Vectors that are read, the most frequent.")
    values["zipf"] = c.number_input("Zipf", 0.0, 5.0, 1.0, 0.1, help="Odds of the word of rank r are r^-zipf.")
    _world(values)
    _measured(values)
    _more(values)
    return values, () if values["vectors"] else (cached.folder(visitor.choice).fingerprint,)


def _teacher(visitor: Session) -> tuple[Values, tuple[str, ...]]:
    corpus, folder = cached.corpus(visitor.choice), cached.folder(visitor.choice)
    name, model = (components.escape_markdown(components.one_line(x, 60)) for x in (corpus.name, visitor.choice.model))
    row = st.container(horizontal=True, vertical_alignment="center")
    row.markdown(f"**{name}**, {len(corpus.pool_index):,} records to choose from, read by **{model}**")
    row.page_link("pages/corpus.py", label="Change corpus or model", icon=":material/swap_horiz:")
    layout = cached.layout(visitor.choice)
    values: Values = {"pool": len(layout.index), "tokens": layout.rows / max(1, len(layout.index))}
    a, b, c, d = st.columns(4)
    values["dimension"] = a.number_input("Directions d'", 0, 4_096, DIMENSION, help="Leading directions of the rows; 0 for all.")
    values["classes"] = b.number_input("Classes L", 2, 1_000, 20, help="The corpus' most frequent tokens.")
    values["sentences"] = c.number_input("Sentences N", 0, 100_000, 0, help="A draw of the pool each run; 0 takes up to 3,000.")
    values["scale"] = d.number_input("Scale", 0.0, 1e3, 1.0, 0.5, help="Multiplies the head; below 1, noisier labels.")
    _measured(values)
    _more(values)
    return values, (corpus.fingerprint, folder.fingerprint)


def _timing(visitor: Session) -> tuple[Values, tuple[str, ...]]:
    a, b, c, d, e = st.columns(5)
    return {
        "features": a.selectbox("Features", FEATURES, help="How rows are drawn."),
        "sentences": b.number_input("Sentences N", 1, 100_000, 5_000, help="Size of the pool."),
        "dimension": c.number_input("Dimension d", 1, 512, 10, help="Numbers a row."),
        "box": d.number_input(
            "Algorithm 1 gets", 0.01, 3_600.0, BOX, 10.0, help="Seconds; what it does not reach is extrapolated."
        ),
        "budgets": e.text_input(
            "Picks", "", placeholder="10,50,100 … up to the pool", max_chars=200, help="How many are timed, with commas between."
        ),
    }, ()


# -- from values to a plan


def _experiment(values: Values, world: Synthetic, budgets: tuple[int, ...]) -> Experiment:
    measured = {name: values[name] for name in MEASURED if name in values}
    return Experiment(world, tuple(values["selectors"]), tuple(str(values["settings"]).split()), budgets, **measured)


def _budgets(values: Values, there: int) -> tuple[int, ...]:
    return whole_numbers(values["budgets"], "Budgets n") if values["budgets"].strip() else default_budgets(there)


def _plan_synthetic(values: Values, visitor: Session) -> Plan:
    world = Synthetic(**{f.name: values[f.name] for f in fields(Synthetic)})
    if values["sweep"] == "none":
        return plan_of(_experiment(values, world, _budgets(values, world.sentences)), workers=_cores())
    at = whole_numbers(values["budgets"], "Budgets n") if values["budgets"].strip() else (BUDGET,)
    moved = {"dimensions": VALUES["dimension"], "classes": VALUES["classes"]}
    if values["sweep"] != "both":
        moved["classes" if values["sweep"] == "dimension" else "dimensions"] = ()
    return plan_of(Sweep(_experiment(values, world, at), **moved), workers=_cores())


def _plan_words(values: Values, visitor: Session) -> Plan:
    shape = {name: values[name] for name in ("dimension", "classes", "sentences", "median_length")}
    plan = plan_of(_experiment(values, Synthetic(**shape), _budgets(values, values["sentences"])), workers=_cores())
    source = values["vectors"] or visitor.choice.model
    options = ["--vectors", values["vectors"]] if values["vectors"] else ["--model", source]
    options += [
        part for name, plain in (("words", 20_000), ("zipf", 1.0)) if values[name] != plain for part in _said(name, values)
    ]
    return renamed(plan, "words", f"Word vectors of {components.one_line(source, 60)}", options)


def _plan_teacher(values: Values, visitor: Session) -> Plan:
    N = values["sentences"] or min(MOST, values["pool"])
    lengths = {"median_length": min(256.0, max(1.0, values["tokens"])), "length_spread": 0.0}
    like = Synthetic(dimension=values["dimension"] or DIMENSION, classes=values["classes"], sentences=N, **lengths)
    plan = plan_of(_experiment(values, like, _budgets(values, N)), workers=_cores())
    options = [visitor.choice.source, "--model", visitor.choice.model]
    for name, value in visitor.choice.options:
        options += [f"--{name.replace('_', '-')}", *([value] if value else [])]
    plain = {"dimension": DIMENSION, "classes": 20, "sentences": 0, "scale": 1.0}
    options += [part for name, usual in plain.items() if values[name] != usual for part in _said(name, values)]
    without = [*WORLD, *([] if values["budgets"].strip() else ["--budgets"])]
    return renamed(plan, "teacher", f"{components.one_line(visitor.choice.name, 60)}, the model's own head", options, without)


def _plan_timing(values: Values, visitor: Session) -> Plan:
    plain = {"features": "isotropic", "sentences": 5_000, "dimension": 10, "box": BOX}
    there = values["sentences"]
    usual_picks = tuple(n for n in BUDGETS if n <= there)
    at = whole_numbers(values["budgets"], "Picks") if values["budgets"].strip() else usual_picks
    if not at or min(at) < 1 or max(at) > there:
        raise BudgetError(f"Picks must be from 1 to {there:,}, the sentences of the pool; give them with commas between.")
    options = [part for name, usual in plain.items() if values[name] != usual for part in _said(name, values)]
    if tuple(at) != usual_picks:
        options += ["--budgets", ",".join(map(str, at))]
    return Plan(("curves", "timing", *options), "Fast against slow", 0, values["box"] + 10)


def _said(name: str, values: Values) -> list[str]:
    value = values[name]
    return [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]


FORMS: dict[str, Callable[[Session], tuple[Values, tuple[str, ...]]]] = {
    "synthetic": _synthetic,
    "words": _words,
    "teacher": _teacher,
    "timing": _timing,
}
PLANS: dict[str, Callable[[Values, Session], Plan]] = {
    "synthetic": _plan_synthetic,
    "words": _plan_words,
    "teacher": _plan_teacher,
    "timing": _plan_timing,
}
