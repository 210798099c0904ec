"""Reads files of records (.txt .csv .tsv .jsonl .json .parquet) into tables.

The parsers are pyarrow and the standard library's csv and json; this module adds the error messages for broken files.
Does not know which column holds the text.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from fishersft.corpus.records import SPLITS
from fishersft.errors import CorpusError, os_reason
from fishersft.text import encodable, shortened

READ_FORMATS = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet")
DEEPEST = 100  # levels of nested JSON


def not_read(name: str, suffix: str) -> CorpusError:
    """The error for a file whose ending is not supported."""
    ending = f"files that end in '{suffix}'" if suffix else "files without an ending"
    return CorpusError(f"{name}: {ending} are not supported; these endings are: {', '.join(READ_FORMATS)}.")


def read_table(path: Path, *, split_on: str = "line", skip_bad: bool = False) -> tuple[pd.DataFrame, int]:
    """The fields of every record of a file, and the number of broken lines that were skipped.

    CorpusError if the file is missing, a folder, empty, binary, wrongly encoded or broken; its message says where.
    """
    suffix = path.suffix.lower()
    if not os.path.exists(path):  # unlike Path.exists, answers for names too long to exist
        raise CorpusError(f"There is no file {shortened(path)}.")
    if path.is_dir():
        raise CorpusError(f"{path} is a folder; name one file in it ({', '.join(READ_FORMATS)}).")
    if suffix not in READ_FORMATS:
        raise not_read(path.name, suffix)
    if split_on not in SPLITS:
        raise CorpusError(f"--split-on is 'line' or 'blank-line', not '{split_on}'.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {os_reason(error)}.") from error
    if not data:
        raise CorpusError(f"{path} is empty.")
    if suffix == ".parquet":
        return _read_parquet(data, path.name), 0
    text = decode(data, path.name)
    if not text.strip():
        raise CorpusError(f"{path} holds only blank lines.")
    match suffix:
        case ".txt":
            return _paragraphs(text, split_on), 0
        case ".csv":
            return _delimited(text, ",", path.name, skip_bad)
        case ".tsv":
            return _delimited(text, "\t", path.name, skip_bad)
        case ".jsonl":
            return _json_lines(text, path.name, skip_bad)
        case _:
            return _json(text, path.name), 0


def decode(data: bytes, name: str) -> str:
    """Decode UTF-8, with or without a byte-order mark, or UTF-16 with one; otherwise the error names the first bad byte."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise CorpusError(f"{name} is in UTF-32; save it as UTF-8.")
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if not marked and b"\x00" in data:
        raise CorpusError(f"{name} looks like a binary file (a zero byte at position {data.index(0):,}), not text.")
    encoding = "utf-16" if marked else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        # utf-8-sig counts positions after the mark
        at = error.start + (len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0)
        shown = f" (0x{data[at]:02x})" if at < len(data) else ""
        kind = "UTF-16" if marked else "UTF-8"
        raise CorpusError(f"{name} is not {kind}: byte {at:,}{shown} is invalid; save it as UTF-8.") from error
    if "\x00" in text:
        raise CorpusError(f"{name} contains zero characters, so it is not a text file; save it as UTF-8.")
    return text


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    # a lone surrogate in a column's name (JSON may contain one) cannot be encoded as UTF-8
    return pd.DataFrame([{encodable(k): v for k, v in row.items()} for row in rows], dtype=object)


def _paragraphs(text: str, split_on: str) -> pd.DataFrame:
    # only real line ends: str.splitlines would also cut at form feeds and at U+2028
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if split_on == "line":
        return _frame([{"text": line.strip()} for line in lines if line.strip()])
    blocks = itertools.groupby(lines, key=lambda line: bool(line.strip()))
    return _frame([{"text": "\n".join(line.rstrip() for line in block)} for filled, block in blocks if filled])


def _delimited(text: str, separator: str, name: str, skip_bad: bool) -> tuple[pd.DataFrame, int]:
    """Rows as the standard library's csv reads them; a row longer or shorter than the header is broken, never cut or padded."""
    try:
        return _rows(text, separator, name, skip_bad, quoting=csv.QUOTE_MINIMAL)
    except csv.Error as error:
        if separator == "\t":  # many .tsv files do not use quoting
            return _rows(text, separator, name, skip_bad, quoting=csv.QUOTE_NONE)
        raise CorpusError(f"{name}: {error}; fix the quotes of that record.") from error


def _rows(text: str, separator: str, name: str, skip_bad: bool, quoting: Any) -> tuple[pd.DataFrame, int]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=quoting, strict=True)
    header: list[str] = []
    rows, skipped, line = [], 0, 0
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise csv.Error(f"the record that starts at line {line:,} has a misplaced quote ({error})") from error
        if not row or row == [""]:
            continue
        if not header:
            header = _unique(row)
        elif len(row) == len(header):
            rows.append(dict(zip(header, row, strict=True)))
        elif skip_bad:
            skipped += 1
        else:
            raise CorpusError(
                f"{name}, line {line:,} has {len(row)} fields but the header has {len(header)}; fix it or pass --skip-bad."
            )
    if not rows:
        broken = f" ({skipped:,} broken lines were skipped)" if skipped else ""
        raise CorpusError(f"{name} contains no records below its header line{broken}.")
    frame = _frame(rows)
    for column in frame.columns:
        frame[column] = _numbers(frame[column])
    return frame, skipped


def _unique(names: list[str]) -> list[str]:
    """Column names without blanks or duplicates."""
    out: list[str] = []
    for number, name in enumerate(names, 1):
        clean = base = name.strip() or f"column_{number}"
        k = 1
        while clean in out:
            k += 1
            clean = f"{base}_{k}"
        out.append(clean)
    return out


def _numbers(column: pd.Series) -> pd.Series:
    """The column as numbers if every cell is exactly how Python writes its number (007 and 1.50 stay text)."""
    for kind in (int, float):
        try:
            values = [kind(cell) for cell in column]
        except ValueError:
            continue
        if all(str(value) == cell for value, cell in zip(values, column, strict=True)):
            return column.map(kind)
    return column


def _json_lines(text: str, name: str, skip_bad: bool) -> tuple[pd.DataFrame, int]:
    rows, skipped = [], 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = _loads(line)
            if not isinstance(row, dict):
                raise ValueError("it is not an object in braces")
        except ValueError as error:
            if not skip_bad:
                reason = getattr(error, "msg", None) or str(error)
                raise CorpusError(f"{name}, line {number:,} is broken: {reason}; fix it or pass --skip-bad.") from error
            skipped += 1
            continue
        rows.append(row)
    if not rows:
        raise CorpusError(f"{name} contains no records: all of its {skipped:,} lines are broken.")
    return _frame(rows), skipped


def _loads(text: str) -> Any:
    """`json.loads`, except that every failure is a ValueError with a readable message."""
    try:
        value = json.loads(text)
        if text.count("[") + text.count("{") > DEEPEST:
            _check_depth(value)
    except RecursionError as error:
        raise ValueError("it is too deeply nested") from error
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise ValueError("it holds a whole number that is too long" if "digits" in str(error) else str(error)) from error
    return value


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > DEEPEST:
        raise ValueError("it is too deeply nested")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(inner, depth + 1)


def _json(text: str, name: str) -> pd.DataFrame:
    try:
        value = _loads(text)
    except json.JSONDecodeError as error:
        raise CorpusError(f"{name} is broken at line {error.lineno:,}, column {error.colno:,}: {error.msg}.") from error
    except ValueError as error:
        raise CorpusError(f"{name} cannot be read: {error}.") from error
    if isinstance(value, dict):  # as {"data": [...]}: take the only list inside
        lists = [v for v in value.values() if isinstance(v, list)]
        value = lists[0] if len(lists) == 1 else value
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        return _frame([{"text": v} for v in value])
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise CorpusError(f"{name} must hold a list of objects (or of strings).")
    if not value:
        raise CorpusError(f"{name} holds an empty list.")
    return _frame(value)


def _read_parquet(data: bytes, name: str) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(io.BytesIO(data))
    except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
        raise CorpusError(f"{name} is not a readable parquet file.") from error
    frame = frame.reset_index(drop=all(n is None for n in frame.index.names))  # a named index is a column
    return frame.astype({c: object for c in frame.columns if isinstance(frame[c].dtype, pd.StringDtype)})
