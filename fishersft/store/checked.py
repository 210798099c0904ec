"""Files of our own kinds, checked against their type as they are read: one sentence where one is not what we wrote.

A type is written down once, as a TypedDict beside the code that writes the file; msgspec compares.  Knows no kind of run.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from fishersft.errors import StoreError, os_reason
from fishersft.paths import read_whole

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Name = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\Z")
]  # of a file or a folder, never a way out of it
LARGEST = 2**63  # of whole numbers: arrays hold smaller ones only
HEADER = 100_000  # bytes that a .npy file may have beside its numbers
Counts = Annotated[list[Count], msgspec.Meta(min_length=1)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e300)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e300)]
Finite = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]


def read_json(path: Path, kind: Any, advice: str) -> Any:
    """The value in a JSON file, as it stands there; None where there is no file.

    Args:
        kind: the type that it must have; fields that a TypedDict does not name may be anything.
        advice: what to do where it is damaged.

    Raises:
        StoreError: it cannot be read, is no JSON, or has another type; the sentence says where in it.
    """
    text = _text(path, advice)
    return None if text is None else checked(text, kind, f"{path} is damaged", advice)


def read_json_lines(path: Path, kind: Any, advice: str) -> list[Any]:
    """The values in a file of JSON lines, each of the type; none where there is no file.  Raises as `read_json` does."""
    text = _text(path, advice)
    lines = enumerate((text or "").split("\n"), 1)
    return [checked(line, kind, f"{path} is damaged in line {number:,}", advice) for number, line in lines if line]


def read_numbers(path: Path, length: int, advice: str) -> np.ndarray:
    """(length,) finite numbers from a .npy file; StoreError where it holds anything else."""
    try:
        found = np.lib.format.read_array(io.BytesIO(read_whole(path, HEADER + 16 * length)), allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError) as error:
        raise StoreError(f"{path} cannot be read; {advice}.") from error
    if found.shape != (length,) or found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise StoreError(f"{path} is damaged: it should hold {length:,} finite numbers; {advice}.")
    return np.asarray(found)


def _text(path: Path, advice: str) -> str | None:
    try:
        return read_whole(path).decode("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({os_reason(error)}); {advice}.") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged (it is not UTF-8); {advice}.") from error


def checked(text: str | bytes, kind: Any, damaged: str, advice: str) -> Any:
    """The JSON value that a text is, if it has this type; StoreError begins with `damaged` and ends with the advice."""
    try:
        value = json.loads(text, parse_int=_whole)
    except RecursionError as error:
        raise StoreError(f"{damaged} (it is too deeply nested); {advice}.") from error
    except ValueError as error:
        raise StoreError(f"{damaged} (it is not JSON); {advice}.") from error
    check(value, kind, damaged, advice)
    return value


def _whole(digits: str) -> int | float:
    """A whole number; a float where it is larger than arrays hold, infinite, as in JSON's 1e400, where no float is as large."""
    return int(digits) if abs(value := float(digits)) < LARGEST else value


def check(value: Any, kind: Any, damaged: str, advice: str) -> None:
    """StoreError, as of `checked`, unless a value has this type."""
    try:
        msgspec.convert(value, kind)
        msgspec.json.encode(value)
    except msgspec.ValidationError as error:
        raise StoreError(f"{damaged} ({str(error)[:120]}); {advice}.") from error
    except (UnicodeEncodeError, OverflowError) as error:  # half of a surrogate pair, a whole number of more than 64 bits
        raise StoreError(f"{damaged} (it holds a text or a number that cannot be written); {advice}.") from error
