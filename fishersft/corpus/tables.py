"""Tables of picks, and how a table is written (jsonl, csv, parquet) with the values that its records came with.

Does not know how picks were chosen, nor how files are read.
"""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fishersft.corpus.records import Corpus
from fishersft.errors import UserError
from fishersft.paths import write_whole
from fishersft.text import encodable

WRITE_FORMATS = ("jsonl", "csv", "parquet")
PICK_COLUMNS = ("rank", "index", "gain", "tokens")


def picks_table(
    corpus: Corpus, indices: Sequence[int] | np.ndarray, gains: np.ndarray | None, tokens: np.ndarray
) -> pd.DataFrame:
    """One row per pick, in order: rank (from 1), index, gain (nats; NaN if the selector has none), tokens, and the record's
    own fields.  A field with one of these four names becomes `record_<name>`, made unique."""
    table = corpus.fields.iloc[list(indices)].reset_index(drop=True)
    for name in [c for c in table.columns if c in PICK_COLUMNS]:
        other = f"record_{name}"
        while other in table.columns:
            other += "_"
        table = table.rename(columns={name: other})
    head = pd.DataFrame({"rank": np.arange(1, len(indices) + 1), "index": np.asarray(indices, dtype=np.int64)})
    head["gain"], head["tokens"] = np.nan if gains is None else gains, np.asarray(tokens, dtype=np.int64)
    return pd.concat([head, table], axis=1)


def format_of(path: Path) -> str:
    """The format that a file's ending names."""
    found = path.suffix.removeprefix(".").lower()
    if found not in WRITE_FORMATS:
        raise UserError(f"Picks are written as {', '.join(WRITE_FORMATS)}; '{found or path.name}' is none of them.")
    return found


def write_table(table: pd.DataFrame, path: Path, format: str) -> None:
    """Write the complete file or none; in CSV, cells that a spreadsheet would run as formulas are quoted."""
    write_whole(path, to_bytes(table, format), "name another file with --out")


def to_bytes(table: pd.DataFrame, format: str) -> bytes:
    """The table in one of the formats."""
    match format:
        case "jsonl":
            lines = (json.dumps(row, ensure_ascii=False) for row in rows(table))
            return ("\n".join(lines) + "\n").encode("utf-8", "replace")
        case "csv":
            return table.map(_csv_cell).rename(columns=_csv_cell).to_csv(index=False).encode()
        case _:
            return _to_parquet(table)


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The table's rows as plain Python values; a missing value is None."""
    return [{str(k): plain(v) for k, v in row.items()} for row in table.to_dict("records")]


def plain(value: Any) -> Any:
    """The value as one that json can write."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return None if str(value) in ("NaT", "<NA>") else str(value)


def _csv_cell(value: Any) -> Any:
    if isinstance(value, dict | list | np.ndarray):
        value = json.dumps(plain(value), ensure_ascii=False)
    if not isinstance(value, str):
        return value
    value = encodable(value)
    if value.lstrip(f"{string.whitespace}\ufeff\u200b")[:1] in ("=", "+", "-", "@") or value[:1] in ("\t", "\r"):
        return "'" + value
    return value


def _to_parquet(table: pd.DataFrame) -> bytes:
    try:
        return bytes(table.to_parquet(index=False))
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, ValueError, TypeError):
        # parquet has one type per column, so a column of mixed types becomes JSON text
        table = table.copy()
        for name in [c for c in table.columns if table[c].dtype == object]:
            text = [v if v is None or isinstance(v, str) else json.dumps(plain(v)) for v in table[name]]
            table[name] = [v and encodable(v) for v in text]
        return bytes(table.to_parquet(index=False))
