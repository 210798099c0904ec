"""Files of our own kinds, checked against their type as they are read: one sentence where one is not what we wrote.

A type is written down once, as a TypedDict beside the code that writes the file; msgspec compares.  Knows no kind of run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from fishersft.errors import StoreError, os_reason

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Name = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$")
]  # of a file or a folder, never a way out of it
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
    return None if text is None else _checked(text, kind, path.name, path, advice)


def read_json_lines(path: Path, kind: Any, advice: str) -> list[Any]:
    """The values in a file of JSON lines, each of the type; none where there is no file.  Raises as `read_json` does."""
    text = _text(path, advice)
    return list(_lines(text, kind, path, advice)) if text else []


def read_numbers(path: Path, length: int, advice: str) -> np.ndarray:
    """(length,) finite numbers from a .npy file; StoreError where it holds anything else."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError) as error:
        raise StoreError(f"{path} cannot be read; {advice}.") from error
    if found.shape != (length,) or found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise StoreError(f"{path} is damaged: it should hold {length:,} finite numbers; {advice}.")
    return np.asarray(found)


def _text(path: Path, advice: str) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({os_reason(error)}); {advice}.") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged (it is not UTF-8); {advice}.") from error


def _lines(text: str, kind: Any, path: Path, advice: str) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), 1):
        if line:
            yield _checked(line, kind, f"line {number:,}", path, advice)


def _checked(text: str, kind: Any, where: str, path: Path, advice: str) -> Any:
    try:
        value = json.loads(text)
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise StoreError(f"{path} is damaged ({where}: {str(error)[:120]}); {advice}.") from error
    except RecursionError as error:
        raise StoreError(f"{path} is damaged ({where} is too deeply nested); {advice}.") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({where} is not JSON); {advice}.") from error
    return value
