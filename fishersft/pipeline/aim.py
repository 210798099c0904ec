"""From words to a target: `FILE`, `COLUMN=VALUE` or `records=3-9,12`; what it takes from the pool is counted.

    FILE           any file that may be a corpus; all its records are target texts
    COLUMN=VALUE   the pool's records with that value are the target texts, and none of them can be picked
    records=...    half of these records of the pool are target texts; the other half stays in the pool

At most 200 texts, drawn by the seed; no others of a file are embedded.  Records that are near-duplicates of a measuring text
leave the pool, since a text whose twin was trained on measures nothing; among the target texts the first of several
near-duplicates stays.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fishersft.corpus.load import load_corpus
from fishersft.corpus.near_duplicates import near_duplicates_of, without_repeats
from fishersft.corpus.records import Corpus
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import ParameterError
from fishersft.paths import user_path
from fishersft.selectors.pool import Pool
from fishersft.selectors.selection import check_seed
from fishersft.selectors.target import MOST_TEXTS, Target, halves

RECORDS = "records"
SHOWN = 8  # values named in a sentence


def aim(
    pool: Pool,
    target: str,
    embed: Callable[[Corpus], TokenEmbeddings],
    seed: int = 0,
    *,
    name: str = "",
    files: bool = True,
    load: Callable[..., Corpus] = load_corpus,
) -> Pool:
    """The pool with a target, without the records that must not be picked then.

    Args:
        target: FILE, COLUMN=VALUE or records=NUMBERS.
        embed: the rows of another corpus under the pool's model.
        seed: of the halves, and of the sample where there are more than 200 texts.
        name: what people call the file, where that is not its own name.
        files: whether the target may be a file; a hosted demo opens no paths.
        load: reads such a file as `load_corpus` does.

    Raises:
        ParameterError: neither a file nor a column of the pool, a value that no record has, nothing trained, nothing left.
        CorpusError: the file cannot be read.
    """
    if pool.corpus is None:
        raise ParameterError("A target is read beside the texts; give the pool its corpus: Pool(embeddings, corpus).")
    check_seed(seed)
    column, equals, value = target.partition("=")
    if not target.strip():
        raise ParameterError("A target is a file, COLUMN=VALUE or records=NUMBERS, not an empty text.")
    if equals and not (files and os.path.exists(user_path(target))):
        aimed = _from_pool(pool, pool.corpus, column.strip(), value.strip(), seed)
    elif not files:
        raise ParameterError("No path can be opened here: upload or paste the target's texts, or name a column's value.")
    else:
        theirs = load(target, name=name, holdout=0, no_chat="no_chat" in dict(pool.corpus.options))
        aimed = _from_file(pool, pool.corpus, theirs, embed, seed)
    assert aimed.target is not None
    return replace(aimed, target=replace(aimed.target, option=name or target, seed=seed))


def _from_file(pool: Pool, corpus: Corpus, theirs: Corpus, embed: Callable[[Corpus], TokenEmbeddings], seed: int) -> Pool:
    drawn = np.random.default_rng(seed).permutation(len(theirs))[:MOST_TEXTS]
    theirs = replace(theirs, held_out=~np.isin(np.arange(len(theirs)), drawn))  # so that no more are embedded
    rows = embed(theirs)
    column, values = "", tuple[str, ...]()
    for shared in (c for c in corpus.categories if c in theirs.fields.columns):
        found = tuple(sorted(set(theirs.fields[shared].dropna().map(str))))
        if found and len(found) < corpus.fields[shared].nunique() and set(found) <= set(corpus.fields[shared].map(str)):
            column, values = shared, found
            break
    not_drawn = len(theirs) - len(drawn)
    return _aimed(pool, theirs, rows, np.arange(len(rows)), theirs.name, seed, column, values, not_drawn)


def _all_alike(corpus: Corpus, records: np.ndarray) -> tuple[str, tuple[str, ...]]:
    """A column that has one value in all of these records and others elsewhere, and that value; "" and () where there is none."""
    for column in corpus.categories:
        values = corpus.fields[column].map(str).to_numpy()
        if len(found := set(values[records])) == 1 and len(set(values)) > 1:
            return column, tuple(found)
    return "", ()


def _from_pool(pool: Pool, corpus: Corpus, column: str, value: str, seed: int) -> Pool:
    if column == RECORDS and RECORDS not in corpus.fields.columns:
        members = positions_of(value, pool.index)
        if not len(members):
            raise ParameterError(f"None of the records {value[:60]} is in the pool (held-out and blank records are not).")
        drawn, _ = halves(len(members), seed)
        column, values_on = _all_alike(corpus, pool.index[members])
        name = f"{column} = {values_on[0]}, {len(members):,} records" if values_on else f"{len(members):,} records of the map"
        members = members[drawn]
    else:
        if column not in corpus.fields.columns:
            there = ", ".join(map(str, corpus.fields.columns[:SHOWN]))
            raise ParameterError(
                f"There is no file '{column}={value}' and {corpus.name} has no column '{column}' (it has: {there}); a target is "
                "FILE or COLUMN=VALUE."
            )
        values = corpus.fields[column].map(str).to_numpy()[pool.index]
        members = np.flatnonzero(values == value)
        if not len(members):
            known, counts = np.unique(values, return_counts=True)
            some = ", ".join(v[:40] for v in known[np.argsort(-counts, kind="stable")][:SHOWN])
            raise ParameterError(f"No record of the pool has {column} = {value[:60]}; there are: {some}.")
        name, values_on = f"{column} = {value}", (value,)
    return _aimed(pool, corpus, pool.embeddings, members, name, seed, column, values_on)


def _aimed(
    pool: Pool,
    theirs: Corpus,
    rows: TokenEmbeddings,
    members: np.ndarray,
    name: str,
    seed: int,
    column: str,
    values: tuple[str, ...],
    not_drawn: int = 0,
) -> Pool:
    """The pool aimed at the records of `theirs` whose rows are at `members`, without those of them that are its own.

    Of more than 200, some are drawn; `not_drawn` others were left out before.
    """
    assert pool.corpus is not None
    given = len(members)
    members = members[np.sort(np.random.default_rng(seed).permutation(given)[:MOST_TEXTS])]
    rest = np.setdiff1d(np.arange(len(pool)), members if rows is pool.embeddings else [])
    unlike = without_repeats([theirs.text(int(i)) for i in rows.index[members]])
    choosing, measuring = halves(len(unlike), seed)
    members = members[unlike]
    measured = [theirs.text(int(i)) for i in rows.index[members[measuring]]]
    near = near_duplicates_of(measured, [pool.corpus.text(int(i)) for i in pool.index[rest]])
    kept = rest[~near]
    if not len(kept):
        raise ParameterError(f"The target {name} leaves nothing in the pool to choose from; name fewer texts.")
    target = Target(
        name,
        theirs,
        rows.subset(members[choosing]),
        rows.subset(members[measuring]) if len(measuring) else None,
        column=column,
        values=values,
        facts={
            "given": given + not_drawn,
            "choosing": len(choosing),
            "measuring": len(measuring),
            "repeated": min(given, MOST_TEXTS) - len(unlike),
            "left_the_pool": int(len(pool) - len(rest)),
            "near_duplicates": int(near.sum()),
        },
    )
    smaller = pool.keeping(kept)
    # what is computed for this pool is computed for this target
    key = smaller.embeddings.key and hashlib.sha256(f"{smaller.embeddings.key} {target.key}".encode()).hexdigest()
    return replace(smaller, embeddings=replace(smaller.embeddings, key=key), target=target)


def positions_of(text: str, index: np.ndarray) -> np.ndarray:
    """Where in `index`, ascending, the records in "3-9,12" are, ascending; ParameterError where it is none of that form.

    No range is written out, so that none costs more than the records that there are.
    """
    beyond = int(index[-1]) + 1
    try:
        parts = [part.partition("-") for part in text.replace(" ", "").split(",")]
        ends = [(int(first), int(last) if dash else int(first)) for first, dash, last in parts]
    except ValueError as error:
        raise ParameterError(f"records= takes numbers and ranges, for example records=3-9,12, not '{text[:60]}'.") from error
    low, high = np.minimum(np.array(ends, dtype=object), beyond).astype(np.int64).T
    begin = np.searchsorted(index, low)
    end = np.maximum(begin, np.searchsorted(index, high, side="right"))
    change = np.bincount(begin, minlength=len(index) + 1) - np.bincount(end, minlength=len(index) + 1)
    return np.flatnonzero(np.cumsum(change)[:-1])


def written(records: np.ndarray) -> str:
    """Record numbers as `positions_of` reads them: "3-9,12"."""
    runs = np.split(np.sort(records), np.flatnonzero(np.diff(np.sort(records)) != 1) + 1)
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs if len(run))
