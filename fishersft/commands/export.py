"""`fishersft export`: a kept selection, written again."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fishersft.commands.options import json_option
from fishersft.corpus.export import FORMATS
from fishersft.errors import UserError


@click.command()
@click.argument("run")
@click.option("--format", "format_name", type=click.Choice(list(FORMATS)), help="By default the ending of --out.")
@click.option("--out", type=click.Path(path_type=Path), help="The file to write; standard output without it (not parquet).")
@json_option
def export(run: str, format_name: str | None, out: Path | None, as_json: bool) -> None:
    """Write the picks of a kept selection. RUN is the id that `select` printed."""
    from fishersft.corpus import export as table
    from fishersft.runs import selections

    format = table.format_of(out, format_name) if out else format_name or "jsonl"
    if as_json and not out:
        raise UserError("--json tells what was written to a file; name one with --out.")
    if not out and format == "parquet":
        raise UserError("A parquet file is not for the terminal; name a file with --out.")
    manifest, picks = selections.load_selection(run)
    if not out:
        click.echo(table.to_bytes(picks, format).decode(), nl=False)
        return
    table.write_table(picks, out, format)
    facts = {"run": manifest["key"][:12], "out": str(out), "format": format, "picks": len(picks)}
    click.echo(json.dumps(facts) if as_json else f"Wrote {len(picks):,} picks of run {facts['run']} to {out}.")
