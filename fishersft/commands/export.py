"""`fishersft export` writes a saved selection in other formats, or any run as a report page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

import fishersft
from fishersft.commands import shared
from fishersft.errors import UserError
from fishersft.paths import write_whole

PRINTED = ("jsonl", "csv", "indices")
REPORT = "report"
ENDINGS = {".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet", ".txt": "indices", ".html": REPORT}
NAMES = ("jsonl", "csv", "parquet", "indices", "dataset", "trl", "atlas", REPORT)


@click.command()
@click.argument("run")
@click.option("--format", "format_name", type=click.Choice(NAMES), help="By default, as the ending of --out says.")
@shared.out_option(
    "The file to write, or for dataset and trl a new folder; jsonl, csv and indices go to standard output without it."
)
@shared.json_option
def export(run: str, format_name: str | None, out: Path | None, as_json: bool) -> None:
    """Write the picks of a saved selection, or a report of any run.

    RUN is the id that `select` printed. For --format report it may also be a run of `finetune` or the folder or id of error
    curves. dataset is a folder for Hugging Face datasets, trl one for trl sft, atlas a table for Embedding Atlas, and report
    one HTML page that needs no server.
    """
    format = format_name or (ENDINGS.get(out.suffix.lower()) if out else "jsonl")
    if format is None:
        raise UserError(f"The ending of {out and out.name} names no known format; give --format, one of {', '.join(NAMES)}.")
    if as_json and not out:
        raise UserError("--json describes the file that was written; name one with --out.")
    if not out and format not in PRINTED:
        place = "folder" if format in ("dataset", "trl") else "file"
        raise UserError(f"{format} is not for the terminal; name a {place} with --out.")
    shared.check_out(out)
    notes: list[str] = []
    if out and format == REPORT:
        page = fishersft.report(run)
        write_whole(out, page.html().encode("utf-8", "replace"))
        what = "the report"
        facts: dict[str, Any] = {"run": page.run, "out": str(out), "format": format, "opens_with": None}
    else:
        kept = fishersft.load_kept(run)
        if not out:
            content = fishersft.selection_files(kept, format)
            return click.echo(next(iter(content.values())).decode(), nl=False)
        opens = fishersft.write_selection(kept, format, out) or None
        if format == "trl":
            from fishersft.export.trl import recipe_notes

            notes = recipe_notes(out)
        what = f"{len(kept.picks):,} picks"
        facts = {"run": kept.id, "out": str(out), "format": format, "picks": len(kept.picks)}
        facts |= {"opens_with": opens, **({"notes": notes} if notes else {})}
    if as_json:
        return click.echo(json.dumps(facts))
    click.echo(f"Wrote {what} of run {facts['run']} to {out}.")
    if facts["opens_with"]:
        click.echo(f"Open it with: {facts['opens_with']}")
    for note in notes:
        click.echo(f"- {note}")
