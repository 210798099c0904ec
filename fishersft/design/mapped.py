"""Rows that lie in a file: what another process needs to open them there, so that they need not travel.

A path means the same rows elsewhere only on one machine or a shared file system, so a digest of some rows goes with it and
whoever opens the file compares.  Knows no design.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SAMPLED = 16  # rows of a part that are compared


@dataclass(frozen=True)
class MappedRows:
    """Some rows of a file.

    Attributes:
        path: the file, absolute.
        dtype, shape, offset: of the array in it; the offset in bytes.
        digest: sha256 of SAMPLED of its rows.
    """

    path: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    digest: str


def where_mapped(values: np.ndarray) -> MappedRows | None:
    """Where (M, d) rows lie in a file, or None where they are not mapped from one."""
    root = values
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not isinstance(root, np.memmap) or root.filename is None or not values.flags.c_contiguous or not values.size:
        return None
    # a view of a memmap keeps its parent's `offset`, so the view's own place is read off the addresses
    offset = root.offset + values.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    path = Path(str(root.filename)).resolve()
    return MappedRows(str(path), values.dtype.str, values.shape, int(offset), _digest(values))


def open_mapped(rows: MappedRows) -> np.ndarray | None:
    """The same rows mapped here, read-only; None where there is no such file or it holds something else."""
    try:
        values = np.memmap(rows.path, dtype=np.dtype(rows.dtype), mode="r", offset=rows.offset, shape=rows.shape)
    except (OSError, ValueError):
        return None
    return values if _digest(values) == rows.digest else None


def _digest(values: np.ndarray) -> str:
    some = np.unique(np.linspace(0, len(values) - 1, SAMPLED).astype(np.int64))
    return hashlib.sha256(np.ascontiguousarray(values[some]).tobytes()).hexdigest()
