"""A job on the screen: its progress, the time left, the end of its log, and the buttons that stop or resume it.

    job = job_panel.watch(id)          on any page; the page reruns by itself when the job ends

Works for every kind of job.  Checks every two seconds while the job is unfinished.  A hosted demo shows only the progress:
no buttons, and neither log nor command, since they name folders of the host.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from fishersft.errors import JobError, StoreError
from fishersft.store import jobs
from fishersft.store.job_table import CANCELLED, DONE, FAILED, QUEUED, RESUMABLE, Job
from fishersft.text import duration, moment, visible_text
from fishersft.ui.components import escape_markdown, problem, shell
from fishersft.ui.session import public

EVERY = 2  # seconds between two checks
LINES = 8  # of the log
ICONS = {"queued": ":material/hourglass_empty:", "running": ":material/play_circle:", "done": ":material/check_circle:"}
ICONS |= {"failed": ":material/error:", "cancelled": ":material/cancel:", "lost": ":material/help:"}


def watch(id: str, *, link: bool = True) -> Job | None:
    """Draw a job; returns None if there is no such job.

    Args:
        link: whether to link to the Runs page; False on that page itself.
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


def offer(arguments: list[str], *, kind: str, title: str, out: Path, key: str, can: bool = True, **more: Any) -> Job | None:
    """Show a command and the button that starts it as a job; returns the job once it is started, or one that makes the same.

    Args:
        out: the folder that the command writes.
        can: whether the button may be pressed.
        more: what `jobs.start` is told besides.
    """
    shell(shlex.join(["fishersft", *arguments]))
    if already := next((j for j in jobs.jobs() if j.kind == kind and j.out == out and not j.ended), None):
        st.info("This job is already in progress; it is shown above.", icon=":material/play_circle:")
        return already
    if st.button("Run as a job", type="primary", icon=":material/play_arrow:", key=key, disabled=not can):
        return jobs.start(arguments, kind=kind, title=title, out=out, **more)
    return None


@st.fragment(run_every=EVERY)
def _going_on(id: str, link: bool) -> None:
    try:
        job = jobs.job(id)
    except JobError:
        st.rerun()
    except StoreError as error:  # locked for too long; the next look may find more
        problem(str(error))
        return
    if job.ended:
        st.rerun()
    _heading(job)
    st.progress(job.share, text=escape_markdown(_how_far(job)))
    st.caption("It keeps running if you close this tab, and if the server stops.")
    _log(job)
    row = st.container(horizontal=True, vertical_alignment="center")
    if not public() and row.button("Cancel", icon=":material/stop_circle:", key=f"cancel-{id}", disabled=job.stopping):
        with st.spinner("Stopping; finished work is kept …"):
            act(jobs.cancel, id)
    _link(row, job, link)


def _ended(job: Job, link: bool) -> None:
    _heading(job)
    took = f" after {duration(job.seconds)}" if job.seconds is not None else ""
    sentence = escape_markdown(visible_text(job.sentence)) if job.sentence and not public() else ""
    if job.state == DONE:
        st.success(f"Done{took}.", icon=ICONS[DONE])
    elif job.state == CANCELLED:
        more = "" if "work is kept" in job.sentence else f" {sentence}"
        st.info(f"Cancelled{took}; finished work is kept, and Resume goes on from there.{more}", icon=ICONS[CANCELLED])
    else:
        st.error(sentence or f"The process died without an exit status{took}.", icon=ICONS[FAILED])
    if job.state != DONE:
        _log(job)
    row = st.container(horizontal=True, vertical_alignment="center")
    if job.state in RESUMABLE and not public():
        help = "Runs the same command again; it continues from the work already finished."
        if row.button("Resume", icon=":material/resume:", key=f"resume-{job.id}", help=help):
            act(jobs.resume, job.id)
    _link(row, job, link)


def act(what: Callable[[str], object], id: str) -> None:
    """Do something to a job and rerun the page; if it fails, show why."""
    try:
        what(id)
    except (JobError, StoreError) as error:
        problem(str(error))
        return
    st.rerun()


def _heading(job: Job) -> None:
    state = "stopping" if job.stopping else job.state
    st.markdown(
        f"{ICONS[job.state]} **{escape_markdown(visible_text(job.title))}**, {state} on {escape_markdown(job.device)} "
        f"since {moment(job.started or job.queued)}" + (f", attempt {job.attempt}" if job.attempt > 1 else "")
    )


def _how_far(job: Job) -> str:
    """How much of the whole job is done, the time left of it, and what it is doing."""
    if job.state == QUEUED:
        return f"Waiting for its turn on {job.device}, {duration(max(0.0, time.time() - job.queued))} so far"
    if not job.total:
        return "Starting"
    left = "" if job.eta is None else f", about {duration(job.eta)} left"
    return f"{job.share:.0%} of the whole job is done{left}. Now: {job.what}"


def _log(job: Job) -> None:
    if public():
        return
    with st.expander("Log and command"):
        lines = [visible_text(line) for line in jobs.log_lines(job, LINES)]
        st.code("\n".join(lines) or "Nothing yet.", language=None, wrap_lines=True)
        shell(shlex.join(["fishersft", *job.arguments]))


def _link(row: st.delta_generator.DeltaGenerator, job: Job, link: bool) -> None:
    if link:
        row.page_link("pages/runs.py", label="All runs", icon=":material/list:", query_params={"job": job.id})
