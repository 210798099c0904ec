"""`fishersft runs`: background jobs, seen and steered from the terminal."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import click

from fishersft.commands.options import json_option
from fishersft.text import duration, moment

if TYPE_CHECKING:
    from fishersft.store.jobs import Job


@click.group()
def runs() -> None:
    """List, watch, stop and resume background jobs.

    A job goes on when the dashboard is closed. ID is what `list` shows, or the beginning of it.
    """


@runs.command("list", short_help="All jobs, the last first.")
@json_option
def list_(as_json: bool) -> None:
    """All jobs, the last one first: id, state, device, progress, since when, title."""
    from fishersft.store import jobs

    found = jobs.jobs()
    if as_json:
        click.echo(json.dumps({"jobs": [job.as_dict() for job in found]}, ensure_ascii=False))
    elif not found:
        click.echo("No jobs.")
    for job in [] if as_json else found:
        since = moment(job.started or job.queued)
        click.echo(f"{job.id}  {_state(job):9s}  {job.device:7s}  {since}  {job.kind}: {job.title}{_progress(job, '  ')}")


@runs.command(short_help="One job and the end of its log.")
@click.argument("id")
@click.option("--lines", type=click.IntRange(0), default=20, show_default=True, help="Of the log's end, at most 64 KiB.")
@json_option
def show(id: str, lines: int, as_json: bool) -> None:
    """All that is known of job ID, and the end of its log."""
    from fishersft.store import jobs

    job = jobs.job(id)
    log = jobs.log_lines(job, lines)
    if as_json:
        click.echo(json.dumps({**job.as_dict(), "log_lines": log}, ensure_ascii=False))
        return
    click.echo(f"{job.id}  {job.kind}: {job.title}")
    click.echo(f"{_state(job)} on {job.device}{_progress(job, ', ')}")
    click.echo(f"command: fishersft {shlex.join(job.arguments)}\nfolder:  {job.folder}")
    moments = {"queued": job.queued, "started": job.started, "ended": job.finished}
    click.echo(f"{'; '.join(f'{name} {moment(when)}' for name, when in moments.items() if when)}; attempt {job.attempt}")
    if job.out:
        click.echo(f"writes:  {job.out}")
    if job.ended:
        status = "" if job.exit_status is None else f" (exit {job.exit_status})"
        click.echo(f"ended:   {job.sentence or 'without a word'}{status}")
    click.echo("\n".join([f"log:     {job.log}", *(f"  {line}" for line in log)]))


@runs.command(short_help="Stop a job.")
@click.argument("id")
@json_option
def cancel(id: str, as_json: bool) -> None:
    """Stop job ID: one in the queue never starts, a running one keeps what it has finished."""
    from fishersft.store import jobs

    _tell(jobs.cancel(id), as_json)


@runs.command(short_help="Start a stopped, failed or lost job again.")
@click.argument("id")
@json_option
def resume(id: str, as_json: bool) -> None:
    """Start job ID again with the same command; it goes on from what is finished."""
    from fishersft.store import jobs

    _tell(jobs.resume(id), as_json)


@runs.command(short_help="Forget jobs that have ended.")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
def rm(ids: tuple[str, ...], as_json: bool) -> None:
    """Delete the row and the log of ended jobs. What they made stays."""
    from fishersft.store import jobs

    names = list(dict.fromkeys(jobs.job(id).id for id in ids))  # all known before the first goes
    for name in names:
        jobs.remove(name)
    click.echo(json.dumps({"removed": names}) if as_json else f"Removed {', '.join(names)}.")


def _tell(job: Job, as_json: bool) -> None:
    click.echo(json.dumps(job.as_dict(), ensure_ascii=False) if as_json else f"Job {job.id} is {_state(job)}.")


def _state(job: Job) -> str:
    return "stopping" if job.stopping else job.state


def _progress(job: Job, before: str) -> str:
    """Where a running job is, and how long the step still takes."""
    if job.state != "running" or not job.total:
        return ""
    left = "" if job.eta is None else f", {duration(job.eta)} left"
    return f"{before}{job.what} {job.done:,} of {job.total:,}{left}"
