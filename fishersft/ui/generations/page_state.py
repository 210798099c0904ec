"""The state of the Generations page: which run is open, in which section, and what a visitor has chosen there.

One run is open at a time; its name and the chosen models and prompt are in the address.  What an address asks for and cannot
have is named on the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from fishersft import catalogue
from fishersft.errors import StoreError
from fishersft.store import jobs
from fishersft.store.jobs import Job
from fishersft.text import moment, visible, visible_text
from fishersft.ui import components, job_panel, query_widgets
from fishersft.ui.generations.loaded_run import LoadedRun, loaded_run
from fishersft.ui.session import Session

RESULTS, READ, VOTE, WIN_RATES, SET_UP = SECTIONS = ("Results", "Read", "Vote", "Win rates", "Set up")
FINETUNE, JUDGE = "finetune", "judge"  # kinds of jobs


@dataclass
class GenerationsState:
    """What a visitor has chosen; it outlives a change of page and of section.

    Attributes:
        run: the name of the open run's folder.
        chosen: values of the page's own controls, by name.
        job: the job of each kind that was started here.
        cast: the vote that was just locked, as the Vote section keeps it.
        hidden: ids of jobs that the visitor has hidden.
    """

    run: str = ""
    chosen: dict[str, Any] = field(default_factory=dict)
    job: dict[str, str] = field(default_factory=dict)
    cast: Any = None
    hidden: set[str] = field(default_factory=set)


def page_state() -> GenerationsState:
    mine: GenerationsState = st.session_state.setdefault("generations", GenerationsState())
    return mine


def choose_section() -> str:
    return query_widgets.segmented(
        "Section",
        SECTIONS,
        "section",
        label_visibility="collapsed",
        help="Results: held-out nats. Read: two texts side by side. Vote: blind, with keys. Win rates: what judges and people "
        "say. Set up: fine-tune on selections of your own.",
    )


def choose_run() -> LoadedRun | None:
    """The open run; None where there is none yet.

    Raises:
        StoreError: its folder is damaged.
    """
    there = {run.id: run for run in catalogue.runs(catalogue.FINETUNED) if not run.problem}
    asked = st.query_params.get("run", "")
    if asked and asked != st.session_state.get("generations_asked"):
        st.session_state["generations_asked"] = asked
        try:
            found = catalogue.find_run(asked, catalogue.FINETUNED)
            _ = found.opened
            page_state().run = found.id
        except StoreError as error:
            st.session_state["generations_refused"] = str(error)
    if refused := st.session_state.get("generations_refused"):
        row = st.container(horizontal=True, vertical_alignment="center")
        row.warning(components.escape_markdown(refused), icon=":material/link_off:")
        if row.button("Got it", key="refused-run"):
            del st.session_state["generations_refused"]
            st.rerun()
    if not there:
        return None
    if page_state().run in there:
        st.session_state["run-choice"] = page_state().run
    elif st.session_state.get("run-choice") not in there:
        st.session_state.pop("run-choice", None)
    name = st.selectbox(
        "Run",
        list(there),
        key="run-choice",
        format_func=lambda name: _label(there[name]),
        on_change=_another_run,
        help="Your own runs of fine-tuning and the shipped ones.",
    )
    if name != page_state().run:
        page_state().run, page_state().cast = str(name), None
    if st.query_params.get("run") != name:
        st.query_params["run"] = str(name)
    st.session_state["generations_asked"] = name
    return loaded_run(there[str(name)].content)


def _another_run() -> None:
    page_state().run, page_state().cast = st.session_state["run-choice"], None


def _label(run: catalogue.Run) -> str:
    origin = "shipped" if run.shipped else f"{moment(run.made)}, {run.id}"
    return f"{visible_text(components.one_line(run.title, 160))} ({origin})"


def _name(about: dict[str, Any], part: str) -> str:
    told = about.get(part)
    return visible(components.one_line(told.get("name", "?") if isinstance(told, dict) else "?", 60))


def headline(of: LoadedRun) -> None:
    """What the run is, in one line, and whether it is complete."""
    about = of.run.about
    corpus, model = (components.escape_markdown(_name(about, part)) for part in ("corpus", "model"))
    records, held_out = about["corpus"].get("records", 0), about["corpus"].get("held_out", 0)
    size = f", {records:,} records ({held_out:,} held out)" if records else ""
    rate = about.get("training", {}).get("learning_rate")
    trained = f", {_epochs(about)}, learning rate {_rate(of, rate)}" if rate is not None else ""
    st.markdown(
        f"**{corpus}**{size}, **{model}** tuned on each selection, at equal {components.escape_markdown(str(about['equal']))}"
        f"{trained}"
    )
    if 0 < len(of.models) < of.planned:
        st.info(f"{len(of.models)} of {of.planned} models are finished; this page shows these.", icon=":material/hourglass_top:")


def _epochs(about: dict[str, Any]) -> str:
    epochs = about["training"].get("epochs")
    return components.escape_markdown(f"{epochs} epoch{'s' * (epochs != 1)}"[:20])


def _rate(of: LoadedRun, asked: Any) -> str:
    """The learning rate of the models, and where it is from."""
    used = next((c.facts["learning_rate"] for c in of.models.values() if c.facts.get("learning_rate")), None)
    if asked == "auto":
        return f"{used:g} (found on a uniform draw)" if used else "being found on a uniform draw"
    return f"{asked:g} (given)" if isinstance(asked, int | float) else components.escape_markdown(str(asked)[:20])


def empty() -> None:
    """What to do where there is no run."""
    st.info(
        "There is no run of fine-tuning yet. Set up tunes a model on each selection, measures it and lets it continue prompts; "
        "Results, Read, Vote and Win rates then show the outcome.",
        icon=":material/inbox:",
    )


def remembered(name: str, options: Sequence[Any], usual: Any, visitor: Session) -> Any:
    """The value that a control starts with: the one chosen before, the one in the address, or the usual one.

    A value in the address that is not among the options is named on the page.
    """
    key = f"generations-{name}"
    if key in st.session_state and st.session_state[key] in options:
        return st.session_state[key]
    asked, mine = st.query_params.get(name), page_state().chosen
    wanted = mine.get(name, usual)
    if asked is not None and st.session_state.get(f"asked-{name}") != asked:
        st.session_state[f"asked-{name}"] = asked
        known = {str(option): option for option in options}
        if asked in known:
            wanted = known[asked]
        else:
            visitor.notices.append(f"{name}={asked[:20]} (this run has {', '.join(known)[:120]})")
    wanted = wanted if wanted in options else usual
    st.session_state[key] = wanted
    return wanted


def keep(**values: Any) -> None:
    """Remember what was chosen and put it into the address."""
    page_state().chosen.update(values)
    wanted = {name: str(value) for name, value in values.items()}
    if any(st.query_params.get(name) != value for name, value in wanted.items()):
        st.query_params.update(wanted)
    for name, value in wanted.items():
        st.session_state[f"asked-{name}"] = value


def watched_job(kind: str, of: LoadedRun | None = None) -> Job | None:
    """Show and return the job of this kind: that of the open run, else the one started here, else one that is going on."""
    there = [job for job in jobs.jobs() if job.kind == kind and job.id not in page_state().hidden]
    if of is not None:
        there = [job for job in there if job.out == of.run.folder]
        there = [job for job in there if not job.ended or job.id == page_state().job.get(kind) or job.state != "done"]
    mine = [job for job in there if job.id == page_state().job.get(kind)]
    going = [job for job in there if not job.ended]
    chosen = next(iter([*mine, *going, *(there[:1] if of is not None and len(of.models) < of.planned else [])]), None)
    if chosen is None:
        return None
    job = job_panel.watch(chosen.id)
    if job is not None and job.ended and st.button("Hide this", icon=":material/close:", key=f"hide-{kind}"):
        page_state().hidden.add(job.id)
        st.rerun()
    return job
