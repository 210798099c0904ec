"""Reads files of records (.txt .csv .tsv .jsonl .ndjson .json .parquet, also .gz and .zst) into tables.

The parsers are pyarrow and the standard library's csv and json; this module finds separators and the list of records in a JSON
file, refuses tables that are far larger than what they say, and adds the error messages for broken files.
Does not know which column holds the text.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from fishersft.corpus.parquet import MOST_UNPACKED as PARQUET
from fishersft.corpus.parquet import check_times, columns_inside, read_parquet, to_frame
from fishersft.corpus.records import HEADERS, SPLITS
from fishersft.corpus.splits import is_held_out
from fishersft.corpus.unpack import COMPRESSED, MOST_UNPACKED, check_lines, decode, unpacked
from fishersft.errors import CorpusError, os_reason
from fishersft.paths import read_whole
from fishersft.text import all_encodable, encodable, shortened

READ_FORMATS = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
ENDINGS = (*READ_FORMATS, *(f"{format}{packed}" for format in READ_FORMATS[:-1] for packed in COMPRESSED))
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
RECORD_LISTS = ("data", "rows", "records", "examples", "items")  # keys under which a JSON file holds its records
DEEPEST = 100  # levels of nested JSON
MOST_COLUMNS = 2_000
LONGEST_NUMBER = 40  # characters of a CSV file's number; what is longer stays text
MOST_CELLS, EMPTY = 5_000_000, 20  # cells of a table, beyond which one in so many must be filled
_LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # how JSON may write one; a pair is one character and stays


class FileTable(NamedTuple):
    """The records of a file as they stand in it."""

    fields: pd.DataFrame
    bad_lines: int = 0  # broken lines that were skipped
    notes: tuple[str, ...] = ()  # what was found out about the file's form, for people
    typed: pa.Table | None = None  # the same records with the types of their file, where it has any
    header: bool = False  # whether the columns' names are the file's first line


def ending(name: str) -> str:
    """The ending of a file's name that says how it is read, such as ".csv" or ".jsonl.gz", in lower case."""
    path = PurePath(name.lower())
    inner = PurePath(path.stem).suffix if path.suffix in COMPRESSED else ""
    return inner + path.suffix


def not_read(name: str, suffix: str) -> CorpusError:
    """The error for a file whose ending is not supported."""
    found = f"files that end in '{suffix}'" if suffix else "files without an ending"
    known = f"{', '.join(READ_FORMATS)}, and all but the last also with {' or '.join(COMPRESSED)}"
    return CorpusError(f"{name}: {found} are not supported; these endings are: {known}.")


def read_table(path: Path, *, split_on: str = SPLITS[0], header: str = HEADERS[0], skip_bad: bool = False) -> FileTable:
    """The fields of every record of a file.

    CorpusError if the file is missing, a folder, empty, binary, wrongly encoded, broken or too large; its message says where.
    """
    suffix = ending(path.name)
    if not os.path.exists(path):  # unlike Path.exists, answers for names too long to exist
        raise CorpusError(f"There is no file {shortened(path)}.")
    if path.is_dir():
        raise CorpusError(f"{path} is a folder; name one file in it ({', '.join(READ_FORMATS)}).")
    if suffix not in ENDINGS:
        raise not_read(path.name, suffix)
    try:
        data = read_whole(path, PARQUET if suffix == ".parquet" else MOST_UNPACKED)
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {os_reason(error)}.") from error
    if not data:
        raise CorpusError(f"{path} is empty.")
    if suffix == ".parquet":
        return _parquet(data, path.name)
    data = unpacked(data, path.name)
    if not suffix.startswith(".json") or suffix.startswith(".jsonl"):
        check_lines(data, path.name)
    text = decode(data, path.name)
    if not text.strip():
        raise CorpusError(f"{path} holds only blank lines.")
    match suffix.split(".")[1]:
        case "txt":
            return FileTable(_paragraphs(text, split_on))
        case "csv":
            return _delimited(text, ",", path.name, skip_bad, header)
        case "tsv":
            return _delimited(text, "\t", path.name, skip_bad, header)
        case "jsonl" | "ndjson":
            return _json_lines(text, path.name, skip_bad)
        case _:
            return _json(text, path.name, skip_bad)


def check_columns(count: int, name: str) -> None:
    """Refuse a table of more columns than anyone names; every step after this one takes time for each of them."""
    if count > MOST_COLUMNS:
        raise CorpusError(f"{name} has {count:,} columns; at most {MOST_COLUMNS:,} are read, so keep those that are needed.")


def _check_cells(rows: list[dict[str, Any]], columns: int, name: str) -> None:
    """Refuse a table of many columns that hardly any record has; every empty cell takes memory too."""
    cells = len(rows) * columns
    if cells > MOST_CELLS and cells > EMPTY * sum(map(len, rows)):
        raise CorpusError(
            f"{name} has {columns:,} columns, and of its {len(rows):,} records hardly any has many of them; keep those that are "
            "needed."
        )


def _paragraphs(text: str, split_on: str) -> pd.DataFrame:
    # only real line ends: str.splitlines would also cut at form feeds and at U+2028
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if split_on == "line":
        return pd.DataFrame({"text": [line.strip() for line in lines if line.strip()]}, dtype=object)
    blocks = itertools.groupby(lines, key=lambda line: bool(line.strip()))
    return pd.DataFrame({"text": ["\n".join(map(str.rstrip, block)) for filled, block in blocks if filled]}, dtype=object)


def _delimited(text: str, usual: str, name: str, skip_bad: bool, header: str) -> FileTable:
    """Rows as the standard library's csv reads them; a row longer or shorter than the first is broken, never cut or padded."""
    separator = _separator(text, usual)
    try:
        table = _rows(text, separator, name, skip_bad, header, quoting=csv.QUOTE_MINIMAL)
    except csv.Error as error:
        if separator != "\t":  # many files with tabs do not use quoting
            raise CorpusError(f"{name}: {error}; fix the quotes of that record.") from error
        table = _rows(text, separator, name, skip_bad, header, quoting=csv.QUOTE_NONE)
    return table._replace(notes=(f"fields separated by {SEPARATORS[separator]}",) if separator != usual else ())


def _separator(text: str, usual: str) -> str:
    """The usual separator if it stands in the header; else another that cuts the first records into equally many fields."""
    head = text[: 1 << 16]

    def widths(separator: str) -> list[int]:
        rows = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
        try:
            found = [len(row) for row in itertools.islice(rows, 50) if row]
        except csv.Error:
            return [1]
        return found[:-1] if len(head) < len(text) and len(found) > 1 else found  # the last one may be cut

    if (widths(usual) or [1])[0] > 1:
        return usual
    others = {other: set(widths(other)) for other in SEPARATORS if other != usual}
    fitting = [other for other, found in others.items() if len(found) == 1 and found != {1}]
    return max(fitting, key=lambda other: max(others[other]), default=usual)


def _rows(text: str, separator: str, name: str, skip_bad: bool, header: str, quoting: Any) -> FileTable:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=quoting, strict=True)
    names: list[str] = []
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
        if not names:
            check_columns(len(row), name)
            if header == "first-line":
                names = unique(row)
                continue
            names = ["text"] if len(row) == 1 else [f"column_{number}" for number in range(1, len(row) + 1)]
        if len(row) == len(names):
            rows.append(row)
        elif skip_bad:
            skipped += 1
        else:
            first = "the header" if header == "first-line" else "the first"
            raise CorpusError(
                f"{name}, line {line:,} has {len(row)} fields but {first} has {len(names)}; fix it or pass --skip-bad."
            )
    if not rows:
        broken = f" ({skipped:,} broken lines were skipped)" if skipped else ""
        raise CorpusError(f"{name} contains no records below its header line{broken}.")
    columns = zip(*rows, strict=True)
    fields = {column: _numbers(values) for column, values in zip(names, columns, strict=True)}
    return FileTable(pd.DataFrame(fields), skipped, header=header == "first-line")


def unique(names: Iterable[str]) -> list[str]:
    """Column names without blanks or duplicates; the second `k` becomes `k_2`."""
    out: dict[str, int] = {}  # each name that is taken, with the last number that was tried behind it
    for number, name in enumerate(names, 1):
        clean = base = encodable(name).strip() or f"column_{number}"
        k = out.get(base, 1)
        while clean in out:
            k += 1
            clean = f"{base}_{k}"
        out[clean] = 1
        out[base] = k
    return list(out)


def _numbers(column: tuple[str, ...]) -> pd.Series:
    """The column as numbers if every cell is empty or exactly how Python writes its number (007 and 1.50 stay text)."""
    for kind in (int, float) if max(map(len, column), default=0) <= LONGEST_NUMBER else ():
        try:
            values = [kind(cell) if cell else None for cell in column]
        except ValueError:
            continue
        if any(column) and all(str(value) == cell for value, cell in zip(values, column, strict=True) if cell):
            return pd.Series(values, dtype=None if all(column) else object)
    return pd.Series(column, dtype=object)


def _json_lines(text: str, name: str, skip_bad: bool) -> FileTable:
    if text.lstrip().startswith("[") and not _is_turns(_tried(text.lstrip().partition("\n")[0])):
        return _json(text, name, skip_bad)  # one list over many lines, with the ending of another format
    rows, skipped, columns = [], 0, dict[str, None]()
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = _loads(line)
            if _is_turns(row):
                row = {"messages": row}
            if not isinstance(row, dict):
                raise ValueError("it is not an object in braces")
        except ValueError as error:
            if not skip_bad:
                reason = getattr(error, "msg", None) or str(error)
                raise CorpusError(f"{name}, line {number:,} is broken: {reason}; fix it or pass --skip-bad.") from error
            skipped += 1
            continue
        rows.append(row)
        columns.update(dict.fromkeys(row))
        check_columns(len(columns), f"{name}, read up to line {number:,},")
    if not rows:
        raise CorpusError(f"{name} contains no records: all of its {skipped:,} lines are broken.")
    _check_cells(rows, len(columns), name)
    return FileTable(_frame(rows, columns), skipped)


def _frame(rows: list[dict[str, Any]], columns: Iterable[str] = ()) -> pd.DataFrame:
    columns = list(columns) or list(dict.fromkeys(key for row in rows for key in row))
    return pd.DataFrame({column: pd.Series([row.get(column) for row in rows], dtype=object) for column in columns})


def _loads(text: str) -> Any:
    """`json.loads` with lone surrogates as `?`; every failure is a ValueError with a readable message."""
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
    return all_encodable(value) if _LONE_SURROGATE.search(text) else value


def _tried(text: str) -> Any:
    try:
        return _loads(text)
    except ValueError:
        return None


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > DEEPEST:
        raise ValueError("it is too deeply nested")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(inner, depth + 1)


def _is_turns(value: Any) -> bool:
    """Whether a value is a conversation: a list of objects that say whose turn each is."""
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) and v.keys() & {"role", "from"} for v in value)


def _json(text: str, name: str, skip_bad: bool) -> FileTable:
    try:
        value = _loads(text)
    except json.JSONDecodeError as error:
        if isinstance(_tried(text.lstrip().partition("\n")[0]), dict):  # JSON lines with the ending of another format
            table = _json_lines(text, name, skip_bad)
            return table._replace(notes=("one JSON object a line",))
        raise CorpusError(f"{name} is broken at line {error.lineno:,}, column {error.colno:,}: {error.msg}.") from error
    except ValueError as error:
        raise CorpusError(f"{name} cannot be read: {error}.") from error
    found = value
    if isinstance(found, dict):
        found = _records_inside(found)
    if not isinstance(found, list):
        raise CorpusError(f"{name} must hold a list of objects (or of strings).")
    if not found:
        raise CorpusError(f"{name} holds an empty list.")
    if _is_turns(found) and isinstance(value, list):
        found = [found]
    if all(isinstance(v, str) for v in found):
        return FileTable(_frame([{"text": v} for v in found]))
    if all(_is_turns(v) for v in found):
        found = [{"messages": v} for v in found]
    if not all(isinstance(v, dict) for v in found):
        raise CorpusError(f"{name} must hold a list of objects (or of strings).")
    columns = dict.fromkeys(key for row in found for key in row)
    check_columns(len(columns), name)
    _check_cells(found, len(columns), name)
    return FileTable(_frame(found, columns))


def _records_inside(value: dict[str, Any]) -> list[Any]:
    """The records of a JSON file that holds one object: a list under a usual key, columns, splits, or one record."""
    columns, rows = value.get("columns"), value.get("data")
    if isinstance(columns, list) and isinstance(rows, list) and all(isinstance(r, list) and len(r) == len(columns) for r in rows):
        return [dict(zip(map(str, columns), row, strict=True)) for row in rows]  # as pandas writes "split"
    lists = {key: v for key, v in value.items() if isinstance(v, list)}
    if any(map(_is_turns, lists.values())):
        return [value]
    tables = {key: v for key, v in lists.items() if v and all(isinstance(row, dict) for row in v)}
    if tables and len(tables) == len(value) > 1 and all(is_held_out(key) is not None for key in value):
        return [{**row, "split": row.get("split", key)} for key, rows in tables.items() for row in rows]
    for key in [*RECORD_LISTS, *(lists if len(lists) == 1 else ())]:
        if key in tables or (key in lists and all(isinstance(v, str) for v in lists[key]) and len(value) == 1):
            inner = [row["row"] if isinstance(row, dict) and row.keys() >= {"row_idx", "row"} else row for row in lists[key]]
            return inner if key in tables or key in RECORD_LISTS else [{key: v} for v in inner]
    if value and len(lists) == len(value) and len({len(v) for v in lists.values()}) == 1:  # one list a column
        return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    objects = [v for v in value.values() if isinstance(v, dict)]
    if objects and len(objects) == len(value) and len({tuple(v) for v in objects}) == 1 and objects[0]:
        if all(key.isdigit() for key in objects[0]):  # one object a column, as pandas writes by default
            return [{column: of[key] for column, of in value.items()} for key in objects[0]]
        return objects  # one object a record, under the records' names
    return [value]


def _parquet(data: bytes, name: str) -> FileTable:
    check_columns(columns_inside(data, name), name)
    table = read_parquet(data, name)
    kept = [i for i, column in enumerate(table.column_names) if not re.fullmatch(r"__index_level_\d+__", column)]
    table = table.select(kept)  # an index without a name is only a count
    table = table.rename_columns(unique(table.column_names))
    try:
        check_times(table)
        return FileTable(to_frame(table), typed=table)
    except (ValueError, OverflowError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:100]
        raise CorpusError(f"{name} holds a value that Python cannot ({reason}); leave out its column.") from error
