"""Which records are held out: drawn by a seed, near-duplicates on one side, or as a column of split names says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from fishersft.corpus.records import is_missing
from fishersft.text import shortened

HELD_OUT_NAMES = re.compile(r"(test|valid|eval|dev|hold[-_ ]?out|held[-_ ]?out).*|val([^a-z].*)?")
TRAIN_NAMES = re.compile(r"train.*|pool")
HELD_OUT_SEED = 0
LEAST_HELD_OUT = 50


def split_by_seed(n: int, holdout: float, groups: np.ndarray | None = None) -> np.ndarray:
    """(n,) bool: `holdout` of the records, at least 50 if there are enough, never more than half.

    With the groups of near-duplicates (n,), records of a group are held out together or not at all.  The records that are drawn
    without groups and have no near-duplicate stay; groups take the place of the others, as they are drawn and as far as they
    fit.  Only where that would hold out nothing are groups split.
    """
    held = np.zeros(n, dtype=bool)
    if holdout == 0 or n <= 1:
        return held
    left = min(max(round(holdout * n), LEAST_HELD_OUT), n // 2)
    rng = np.random.default_rng(HELD_OUT_SEED)
    drawn = rng.choice(n, left, replace=False)
    groups = np.arange(n) if groups is None else groups
    sizes = np.bincount(groups, minlength=n)
    alone = sizes[groups[drawn]] == 1
    later = rng.permutation(np.setdiff1d(np.arange(n), drawn))
    taken = []
    for group in dict.fromkeys(groups[np.concatenate([drawn[alone], drawn[~alone], later])].tolist()):
        if sizes[group] <= left:
            taken.append(group)
            left -= sizes[group]
    held[drawn if not taken else np.isin(groups, taken)] = True
    return held


def is_held_out(name: Any) -> bool | None:
    """Whether the split of this name is measured on (`test*`, `validation*`, `eval*`, `dev*`, ...) or chosen from (`train*`);
    None if the name says neither."""
    said = str(name).strip().lower()
    return True if HELD_OUT_NAMES.fullmatch(said) else False if TRAIN_NAMES.fullmatch(said) else None


def split_by_column(values: Sequence[Any]) -> tuple[np.ndarray | None, str]:
    """(n,) bool from a column of split names, and what is to be said of it; None if no value is the name of a split.

    A record whose split is unknown or missing is held out, since it may be a test record.
    """
    sides = [is_held_out(v) for v in values]
    unknown = (value for value, side in zip(values, sides, strict=True) if side is None)
    strange = Counter("missing" if is_missing(value) else repr(shortened(value, 30)) for value in unknown)
    named = ", ".join(f"{name} in {count:,} record{'s' * (count > 1)}" for name, count in strange.most_common(3))
    named += f" and {len(strange) - 3:,} more" if len(strange) > 3 else ""
    if all(side is None for side in sides):
        return None, f"the column split does not name splits ({named}), so records are held out at random"
    held = np.array([side is not False for side in sides])
    return held, f"the column split has unknown values ({named}); these records are held out" if strange else ""
