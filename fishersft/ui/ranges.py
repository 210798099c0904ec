"""Record numbers as an address carries them: 0-3,7,9-12."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

LONGEST = 600  # characters; longer links are cut by mail programs and chats
MOST = 200_000  # records that a short text may stand for
_RANGES = re.compile(r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*", re.ASCII)


def written(numbers: Sequence[int]) -> str:
    """The numbers in order; "" where they do not fit into an address, or where there are none."""
    if not len(numbers):
        return ""
    there = np.unique(np.asarray(numbers, dtype=np.int64))
    breaks = np.flatnonzero(np.diff(there) > 1)
    starts, ends = there[np.append(0, breaks + 1)], there[np.append(breaks, len(there) - 1)]
    if 2 * len(starts) - 1 > LONGEST:
        return ""
    text = ",".join(f"{a}-{b}" if b > a else str(a) for a, b in zip(starts.tolist(), ends.tolist(), strict=True))
    return text if len(text) <= LONGEST else ""


def read(text: str) -> tuple[int, ...] | None:
    """The numbers, in order; None where the text is no such list."""
    if len(text) > LONGEST or not _RANGES.fullmatch(text):
        return None
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        first, last = int(low), int(high or low)
        if not first <= last < first + MOST or len(found) > MOST:
            return None
        found.update(range(first, last + 1))
    return tuple(sorted(found))
