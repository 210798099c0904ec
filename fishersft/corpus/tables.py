"""Tables of picks, and how a table is written (jsonl, csv, parquet) with the values that its records came with.

Does not know how picks were chosen, nor how files are read.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fishersft.corpus.records import Corpus
from fishersft.errors import UserError
from fishersft.paths import write_whole
from fishersft.text import encodable

WRITE_FORMATS = ("jsonl", "csv", "parquet")
PICK_COLUMNS = ("rank", "index", "gain", "tokens")

BLANK, SIGN = r"\s\ufeff\u200b", "[-=+@\uff1d\uff0b\uff0d\uff20]"  # full-width signs count in East Asian editions
FORMULA = re.compile(rf"[{BLANK}]*{SIGN}")
LATER_FORMULA = re.compile(rf"(?<![{BLANK};])[{BLANK};]+(?={SIGN})")


def picks_table(
    corpus: Corpus, indices: Sequence[int] | np.ndarray, gains: np.ndarray | None, tokens: np.ndarray
) -> pd.DataFrame:
    """One row per pick, in order: rank (from 1), index, gain (nats; NaN if the selector has none), tokens, and the record's
    own fields.  A field with one of these four names becomes `record_<name>`, made unique."""
    if corpus.typed is None:
        table = corpus.fields.iloc[list(indices)].reset_index(drop=True)
    else:
        table = corpus.typed.take(pa.array(indices, pa.int64())).to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
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


def from_parquet(data: bytes) -> pd.DataFrame:
    """A table as `to_bytes` wrote it, with its types."""
    return pq.ParquetFile(pa.BufferReader(data)).read().to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)


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
            return _to_csv(table)
        case _:
            return _to_parquet(table)


def results_csv(results: Sequence[Mapping[str, Any]] | pd.DataFrame) -> str:
    """A table of results as CSV; names in it may come from a stranger's folder, so none runs as a formula."""
    table = pd.DataFrame(results)
    words = table.select_dtypes(exclude=["number", "bool"]).map(lambda v: _unrun(v) if isinstance(v, str) else v)
    return str(table.assign(**words).to_csv(index=False))


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The table's rows as plain Python values; a missing value is None."""
    columns = _objects(table)
    return [{name: plain(v) for name, v in zip(columns, row, strict=True)} for row in zip(*columns.values(), strict=True)]


def _objects(table: pd.DataFrame) -> dict[str, list[Any]]:
    """The columns as Python's own values; pandas would make floats of whole numbers where some are missing."""
    typed = {str(name): isinstance(table[name].dtype, pd.ArrowDtype) for name in table.columns}
    return {name: _pylist(pa.array(table[name])) if known else table[name].tolist() for name, known in typed.items()}


def _pylist(values: pa.Array | pa.ChunkedArray) -> list[Any]:
    # Python's times end at microseconds
    return (values.cast(pa.string()) if values.type == pa.time64("ns") else values).to_pylist()


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
    if isinstance(value, bytes):  # that are no text
        return base64.b64encode(value).decode()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return None if str(value) in ("NaT", "<NA>") else str(value)


def _to_csv(table: pd.DataFrame) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)  # its lines end with both characters, so that cells with either are quoted
    columns = _objects(table)
    writer.writerow(map(_csv_cell, columns))
    writer.writerows(map(_csv_cell, row) for row in zip(*columns.values(), strict=True))
    return out.getvalue().encode()


def _csv_cell(value: Any) -> Any:
    if isinstance(value, dict | list | np.ndarray | bytes):
        value = plain(value)
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return value if isinstance(value, bool | int) else plain(value)
    return _unrun(encodable(value))


def _unrun(text: str) -> str:
    """A text that no spreadsheet runs as a formula, nor a part of it where semicolons or tabs separate cells."""
    safe = LATER_FORMULA.sub(lambda m: m[0] + "'" * (";" in m[0] or (m.start() > 0 and "\t" in m[0])), text)
    return f"'{safe}" if FORMULA.match(text) or text.startswith(("\t", "\r")) else safe


def _to_parquet(table: pd.DataFrame) -> bytes:
    """A column that came with a type keeps it; one of values of several kinds becomes JSON text, as parquet has one type each."""
    columns = [_arrow(table[name]) for name in table.columns]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, names=[encodable(str(name)) for name in table.columns]), sink)
    return bytes(sink.getvalue())


def _arrow(column: pd.Series) -> pa.Array:
    with contextlib.suppress(pa.ArrowException, UnicodeEncodeError, OverflowError, ValueError, TypeError):
        found = pa.array(column, from_pandas=not isinstance(column.dtype, pd.ArrowDtype))
        if "struct<>" not in str(found.type):  # which parquet cannot hold
            return found
    values = [None if plain(v) is None else v for v in column]
    if all(v is None or (isinstance(v, int) and v >= 0) for v in values):
        with contextlib.suppress(OverflowError):
            return pa.array(values, pa.uint64())
    text = [v if v is None or isinstance(v, str) else json.dumps(plain(v), ensure_ascii=False) for v in values]
    return pa.array([v if v is None else encodable(v) for v in text], pa.string())
