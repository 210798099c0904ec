"""Files and bytes into a table of fields: .txt .csv .tsv .jsonl .json .parquet.

The readers are pandas, pyarrow and the standard library's json; ours is only the sentence that a broken file gets.
Knows nothing of which column holds the text.
"""

from __future__ import annotations

import codecs
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fishersft.errors import CorpusError, os_reason

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet")
SPLITS = ("line", "blank-line")


def read_table(path: Path, *, split_on: str = "line", skip_bad: bool = False) -> tuple[pd.DataFrame, int]:
    """The fields of every record of a file, and how many broken lines were skipped.

    Raises:
        CorpusError: missing, a folder, empty, binary, wrongly encoded or broken; the sentence says where.
    """
    suffix = path.suffix.lower()
    if not path.exists():
        raise CorpusError(f"There is no file {path}.")
    if path.is_dir():
        raise CorpusError(f"{path} is a folder; name one file in it ({', '.join(FORMATS)}).")
    if suffix not in FORMATS:
        raise CorpusError(f"{path.name}: files that end in '{suffix}' are not read; these are: {', '.join(FORMATS)}.")
    if split_on not in SPLITS:
        raise CorpusError(f"--split-on is 'line' or 'blank-line', not '{split_on}'.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {os_reason(error)}.") from error
    if not data:
        raise CorpusError(f"{path} is empty.")
    if suffix == ".parquet":
        return _parquet(data, path.name), 0
    text = decode(data, path.name)
    if not text.strip():
        raise CorpusError(f"{path} holds only blank lines.")
    match suffix:
        case ".txt":
            return _lines(text, split_on), 0
        case ".csv":
            return _delimited(text, ",", path.name, skip_bad)
        case ".tsv":
            return _delimited(text, "\t", path.name, skip_bad)
        case ".jsonl":
            return _json_lines(text, path.name, skip_bad)
        case _:
            return _json(text, path.name), 0


def decode(data: bytes, name: str) -> str:
    """UTF-8 with or without a byte-order mark, or UTF-16 by its mark; anything else names the offending byte."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    else:
        encoding = "utf-8-sig"
        if b"\x00" in data[:65536]:
            raise CorpusError(f"{name} looks like a binary file (a zero byte at position {data.index(0):,}), not text.")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        # utf-8-sig counts from after the mark
        at = error.start + (len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0)
        shown = f" (0x{data[at]:02x})" if at < len(data) else ""
        raise CorpusError(
            f"{name} is not {'UTF-16' if encoding == 'utf-16' else 'UTF-8'}: byte {at:,}{shown} does not fit; save it as UTF-8."
        ) from error


def _frame(rows: list[Any]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, dtype=object)


def _lines(text: str, split_on: str) -> pd.DataFrame:
    # only real line ends: str.splitlines would also cut at form feeds and at U+2028
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if split_on == "line":
        return _frame([{"text": line.strip()} for line in lines if line.strip()])
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            paragraphs[-1].append(line.rstrip())
        elif paragraphs[-1]:
            paragraphs.append([])
    return _frame([{"text": "\n".join(p)} for p in paragraphs if p])


def _delimited(text: str, separator: str, name: str, skip_bad: bool) -> tuple[pd.DataFrame, int]:
    import pandas as pd

    skipped = 0

    def bad(_: list[str]) -> None:
        nonlocal skipped
        skipped += 1

    options: dict[str, Any] = {"sep": separator, "dtype": str, "keep_default_na": False, "index_col": False}
    try:
        if skip_bad:
            frame = pd.read_csv(io.StringIO(text), engine="python", on_bad_lines=bad, **options)
        else:
            frame = pd.read_csv(io.StringIO(text), on_bad_lines="error", **options)
    except pd.errors.ParserError as error:
        reason = str(error).split("C error: ")[-1].strip().rstrip(".")
        raise CorpusError(f"{name}: {reason[:1].lower()}{reason[1:]}; mend the line or pass --skip-bad.") from error
    except pd.errors.EmptyDataError as error:
        raise CorpusError(f"{name} has no header line with the columns' names.") from error
    for column in frame.columns:
        try:
            frame[column] = pd.to_numeric(frame[column])
        except (ValueError, TypeError):
            frame[column] = frame[column].astype(object)
    return frame, skipped


def _json_lines(text: str, name: str, skip_bad: bool) -> tuple[pd.DataFrame, int]:
    rows, skipped = [], 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("it is not an object in braces")
        except (ValueError, RecursionError) as error:
            if not skip_bad:
                reason = getattr(error, "msg", None) or (str(error) if isinstance(error, ValueError) else "too deeply nested")
                raise CorpusError(f"{name}, line {number:,} is broken: {reason}; mend it or pass --skip-bad.") from error
            skipped += 1
            continue
        rows.append(row)
    if not rows:
        raise CorpusError(f"{name} holds no records: all of its {skipped:,} lines are broken.")
    return _frame(rows), skipped


def _json(text: str, name: str) -> pd.DataFrame:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise CorpusError(f"{name} is broken at line {error.lineno:,}, column {error.colno:,}: {error.msg}.") from error
    except RecursionError as error:
        raise CorpusError(f"{name} is too deeply nested to be a list of records.") from error
    if isinstance(value, dict):  # {"data": [...]}: the one list of records inside
        lists = [v for v in value.values() if isinstance(v, list)]
        value = lists[0] if len(lists) == 1 else value
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        return _frame([{"text": v} for v in value])
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise CorpusError(f"{name} must hold a list of objects (or of strings).")
    if not value:
        raise CorpusError(f"{name} holds an empty list.")
    return _frame(value)


def _parquet(data: bytes, name: str) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    try:
        frame = pd.read_parquet(io.BytesIO(data))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorpusError(f"{name} is not a readable parquet file: {str(error).splitlines()[0][:120]}.") from error
    frame = frame.reset_index(drop=True)
    return frame.astype({c: object for c in frame.columns if isinstance(frame[c].dtype, pd.StringDtype)})
