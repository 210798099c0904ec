"""`fishersft runs` lists, shows and removes stored runs, and stops and resumes background jobs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict

import click

import fishersft
from fishersft.commands import shared
from fishersft.store import jobs
from fishersft.store.artifacts import Store
from fishersft.store.job_table import Job
from fishersft.text import duration, moment

KINDS = ("job", "selection", "curves", "finetuned", "arena")

kind_option = click.option("--kind", type=click.Choice(KINDS), default=None, help="Only runs of this kind.")


@click.group()
def runs() -> None:
    """List, show and remove runs; stop and resume background jobs.

    A run is a saved selection, a result of error curves, a fine-tuning run, an arena or a background job. ID is what `list`
    shows, or at least its first four characters.
    """


@runs.command("list", short_help="List all runs, newest first.")
@kind_option
@shared.json_option
def list_(kind: str | None, as_json: bool) -> None:
    """List all runs, newest first and those that ship with fishersft last: id, kind, state, date, title."""
    found = fishersft.runs(kind or "")
    if as_json:
        content = {"runs": [run.as_dict() for run in found], "set_aside": jobs.left_out()}
        return click.echo(json.dumps(content, ensure_ascii=False))
    if not found:
        click.echo(f"No {kind}s." if kind == "job" else "No runs.")
    width = max((len(run.id) for run in found), default=0)
    for run in found:
        made = "shipped" if run.shipped else moment(run.made)
        state = f"{_state(run.content)} on {run.content.device}" if run.kind == "job" else "damaged" if run.problem else ""
        progress = _progress(run.content, "  ") if run.kind == "job" else ""
        click.echo(f"{run.id:{width}s}  {run.kind:9s}  {made:16s}  {state:14s}  {_line(run.title)}{progress}")
    for sentence in jobs.left_out():
        click.echo(f"fishersft: {_line(sentence)}", err=True)


@runs.command(short_help="Read every byte of the store, and drop what is damaged.")
@shared.json_option
def check(as_json: bool) -> None:
    """Read every byte of the store and compare it with the checksums that were kept.

    What is damaged is dropped, with what was computed from it; both are computed again when they are next needed. Saved
    selections stay, and are named where they were made from damaged rows; so do fine-tuning runs and arenas, of which is said
    what is damaged. The exit status is 1 where anything was.
    """
    from fishersft import catalogue

    found, wrong = Store.default().check(), catalogue.damaged_runs()
    if as_json:
        click.echo(json.dumps({**asdict(found), "runs": wrong}))
    else:
        whole = "all are as they were written" if not found.damaged else f"{len(found.damaged):,} damaged"
        click.echo(f"{found.artifacts:,} artifacts read ({found.bytes / 1e6:,.1f} MB): {whole}.")
        for sentence in found.damaged:
            click.echo(_line(sentence))
        if found.dropped:
            click.echo(f"{found.dropped:,} results that were computed from them, or may have been, are dropped too.")
        for key in found.doubtful:
            click.echo(f"The selection {key[:12]} was made from what is damaged; run its select again.")
        if found.without_checksum:
            click.echo(
                f"{found.without_checksum:,} were written by an earlier version, without checksums; their sizes are right."
            )
        for sentence in wrong:
            click.echo(_line(sentence))
    if found.damaged or wrong:
        raise SystemExit(1)


@runs.command(short_help="Show one run; for a job, also the end of its log.")
@click.argument("id")
@click.option("--lines", type=click.IntRange(0), default=20, show_default=True, help="Lines to show from the end of a job's log.")
@kind_option
@shared.json_option
def show(id: str, lines: int, kind: str | None, as_json: bool) -> None:
    """Show everything known about run ID; for a job, also the end of its log."""
    run = fishersft.find_run(id, kind or "")
    if run.kind == "job":
        _show_job(run.content, lines, as_json)
    elif as_json:
        click.echo(json.dumps(run.as_dict(), ensure_ascii=False))
    else:
        click.echo(f"{run.id}  {run.kind}: {_line(run.title)}")
        facts = {"made": "shipped" if run.shipped else moment(run.made), "folder": run.folder, **run.facts}
        width = max(map(len, facts)) + 1
        for name, value in facts.items():
            click.echo(f"{name + ':':{width}s} {_line(str(value))}")


def _show_job(job: Job, lines: int, as_json: bool) -> None:
    log = jobs.log_lines(job, lines)
    if as_json:
        return click.echo(json.dumps({**job.as_dict(), "log_lines": log}, ensure_ascii=False))
    click.echo(f"{job.id}  {job.kind}: {job.title}")
    click.echo(f"{_state(job)} on {job.device}{_progress(job, ', ')}")
    click.echo(f"command: fishersft {shlex.join(job.arguments)}\nfolder:  {job.folder}")
    moments = {"queued": job.queued, "started": job.started, "ended": job.finished}
    click.echo(f"{'; '.join(f'{name} {moment(when)}' for name, when in moments.items() if when)}; attempt {job.attempt}")
    if job.out:
        click.echo(f"writes:  {job.out}")
    if job.ended:
        status = "" if job.exit_status is None else f" (exit {job.exit_status})"
        click.echo(f"ended:   {job.sentence or 'the log is empty'}{status}")
    click.echo("\n".join([f"log:     {job.log}", *(f"  {line}" for line in log)]))


@runs.command(short_help="Stop a job.")
@click.argument("id")
@shared.json_option
def cancel(id: str, as_json: bool) -> None:
    """Stop job ID: a queued job never starts; a running one keeps what it has finished."""
    _steer(jobs.cancel, id, as_json)


@runs.command(short_help="Start a stopped, failed or lost job again.")
@click.argument("id")
@shared.json_option
def resume(id: str, as_json: bool) -> None:
    """Start job ID again with the same command; it resumes from what is finished."""
    _steer(jobs.resume, id, as_json)


@runs.command(short_help="Delete runs, and forget jobs that have ended.")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@kind_option
@shared.json_option
def rm(ids: tuple[str, ...], kind: str | None, as_json: bool) -> None:
    """Delete runs with their files.

    For a job, only its row and log are deleted: its results stay. Votes and judgments on the texts of a fine-tuned run stay too.
    """
    found = {run.id: run for run in (fishersft.find_run(id, kind or "") for id in ids)}  # all are known before the first goes
    for run in found.values():
        fishersft.remove_run(run)
    click.echo(json.dumps({"removed": list(found)}) if as_json else f"Removed {', '.join(found)}.")


def _steer(act: Callable[[str], Job], id: str, as_json: bool) -> None:
    job = act(id)
    click.echo(json.dumps(job.as_dict(), ensure_ascii=False) if as_json else f"Job {job.id} is {_state(job)}.")


def _state(job: Job) -> str:
    return "stopping" if job.stopping else job.state


def _progress(job: Job, before: str) -> str:
    """The progress of a running job, and the time that its step still takes."""
    if job.state != "running" or not job.total:
        return ""
    left = "" if job.eta is None else f", {duration(job.eta)} left"
    return f"{before}{job.share:.0%} of the job{left}: {job.what}"


def _line(text: str) -> str:
    """One printable line: titles come from files that others may have written."""
    return "".join(c if c.isprintable() else " " for c in text)
