"""Unicode's form NFKC of a text that may be hostile, in a time that grows with its length.  Knows no corpus.

Source: Unicode Standard Annex 15, with its stream-safe text format.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np

MARKS = 30  # on one letter: as many as text needs (Unicode Standard Annex 15, stream-safe text)


def normalized(text: str) -> str:
    """A text in Unicode's form NFKC, except that of marks on one letter only the first 30 stay.

    Marks are put into their order by insertion: a letter with 100,000 of them would take minutes.
    """
    if text.isascii():
        return text
    is_mark, codes = _marks(), np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    others = np.flatnonzero(~is_mark[np.minimum(codes, len(is_mark) - 1)])
    gaps = np.diff(others, prepend=-1, append=len(text))
    if gaps.max(initial=0) > MARKS + 1:
        starts = np.concatenate([[0], others + 1])
        text = "".join(
            text[max(0, a - 1) : a + min(gap - 1, MARKS)] for a, gap in zip(starts.tolist(), gaps.tolist(), strict=True)
        )
    return unicodedata.normalize("NFKC", text)


@cache
def _marks() -> np.ndarray:
    """(codes,) bool: which characters are marks on the one before, or begin with one where NFKC takes them apart."""
    codes = map(chr, range(0x1F000))  # none comes after; surrogates are none
    return np.array([unicodedata.combining(unicodedata.normalize("NFKD", c)[0]) > 0 for c in codes])
