"""A job on the screen: where it is, how long it still takes, the end of its log, and the buttons that stop or resume it.

    job = job_panel.watch(id)          on any page; the page runs again by itself when the job has ended

Knows no kind of job.  Looks every two seconds, and only while the job goes on.  On a hosted demo it only tells: no buttons, and
no log or command, which name folders of the host.
"""

from __future__ import annotations

import shlex
import time

import streamlit as st

from fishersft.errors import JobError
from fishersft.store import jobs
from fishersft.store.job_rows import CANCELLED, DONE, FAILED, QUEUED, RESUMABLE
from fishersft.store.jobs import Job
from fishersft.text import duration, moment, visible_text
from fishersft.ui.components import escape_markdown, problem, shell
from fishersft.ui.session import public

EVERY = 2  # seconds between two looks
LINES = 8
ICONS = {"queued": ":material/hourglass_empty:", "running": ":material/play_circle:", "done": ":material/check_circle:"}
ICONS |= {"failed": ":material/error:", "cancelled": ":material/cancel:", "lost": ":material/help:"}


def watch(id: str, *, link: bool = True) -> Job | None:
    """Draw a job; None where there is no such job.

    Args:
        link: to the Runs page; False on that page itself.
    """
    try:
        job = jobs.job(id)
    except JobError as error:
        problem(str(error))
        return None
    with st.container(border=True, key=f"job-{job.id}"):
        if job.ended:
            _ended(job, link)
        else:
            _going_on(job.id, link)
    return job


@st.fragment(run_every=EVERY)
def _going_on(id: str, link: bool) -> None:
    try:
        job = jobs.job(id)
    except JobError:
        st.rerun()
    if job.ended:
        st.rerun()
    _heading(job)
    st.progress(min(1.0, job.done / job.total) if job.total else 0.0, text=escape_markdown(_step(job)))
    st.caption("It goes on when this tab is closed, and when the server stops.")
    _log(job)
    row = st.container(horizontal=True, vertical_alignment="center")
    stopping = job.stopping or public()
    if not public() and row.button("Cancel", icon=":material/stop_circle:", key=f"cancel-{id}", disabled=stopping):
        with st.spinner("Stopping; what is finished is kept …"):
            act(jobs.cancel, id)
    _link(row, job, link)


def _ended(job: Job, link: bool) -> None:
    _heading(job)
    took = f" after {duration(job.seconds)}" if job.seconds is not None else ""
    sentence = escape_markdown(visible_text(job.sentence)) if job.sentence and not public() else ""
    if job.state == DONE:
        st.success(f"Done{took}.", icon=ICONS[DONE])
    elif job.state == CANCELLED:
        st.info(f"Cancelled{took}; what was finished is kept. {sentence}", icon=ICONS[CANCELLED])
    else:
        st.error(sentence or f"It ended without a word{took}.", icon=ICONS[FAILED])
    if job.state != DONE:
        _log(job)
    row = st.container(horizontal=True, vertical_alignment="center")
    if job.state in RESUMABLE and not public():
        help = "The same command again; it goes on from what is finished."
        if row.button("Resume", icon=":material/resume:", key=f"resume-{job.id}", help=help):
            act(jobs.resume, job.id)
    _link(row, job, link)


def act(what: object, id: str) -> None:
    """Do something to a job and draw the page anew; a refusal is said."""
    assert callable(what)
    try:
        what(id)
    except JobError as error:
        problem(str(error))
        return
    st.rerun()


def _heading(job: Job) -> None:
    state = "stopping" if job.stopping else job.state
    st.markdown(
        f"{ICONS[job.state]} **{escape_markdown(visible_text(job.title))}**, {state} on {escape_markdown(job.device)} "
        f"since {moment(job.started or job.queued)}" + (f", attempt {job.attempt}" if job.attempt > 1 else "")
    )


def _step(job: Job) -> str:
    """The step a job is at, and what is left of it."""
    if job.state == QUEUED:
        return f"Waiting for its turn on {job.device}, {duration(max(0.0, time.time() - job.queued))} so far"
    if not job.total:
        return "Starting"
    left = "" if job.eta is None else f", about {duration(job.eta)} left"
    return f"{job.what}: {job.done:,} of {job.total:,}{left}"


def _log(job: Job) -> None:
    if public():
        return
    with st.expander("Log and command"):
        st.code(
            "\n".join(visible_text(line) for line in jobs.log_lines(job, LINES)) or "Nothing yet.", language=None, wrap_lines=True
        )
        shell(shlex.join(["fishersft", *job.arguments]))


def _link(row: st.delta_generator.DeltaGenerator, job: Job, link: bool) -> None:
    if link:
        row.page_link("pages/runs.py", label="All runs", icon=":material/list:", query_params={"job": job.id})
