"""Balanced: a random draw that gives every value of a column the same number of sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.errors import ParameterError
from fishersft.fields import parameter
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool
from fishersft.selectors.selection import Note


@dataclass(frozen=True)
class Balanced(Selector):
    """Values of the column in a random order, over and over; each takes a random sentence of its own until it has none left."""

    column: str = parameter("", "Column to balance by.", metavar="NAME", shown_default="the first column of categories")

    name = "balanced"
    label = "Balanced"
    summary = "Draws the same number of sentences for every value of a column."
    purpose = "A random draw in which no topic crowds out another; needs no target and no model."
    colour = "#6E747D"
    marker = "square-x"
    reference = "balanced random draw, a standard control"
    place = 61
    reads_texts = True
    random = True

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick | Note]:
        values, column = self._values(pool)
        count = len(np.unique(values))
        yield Note(
            "balanced", f"by {column}, {count:,} values" if column else "the corpus has no column of categories: one group"
        )
        shuffled = rng.permutation(len(pool))
        _, group = np.unique(values, return_inverse=True)
        turn = rng.permutation(group.max() + 1)
        turns: dict[int, int] = {}
        rank = np.empty(len(pool), dtype=np.int64)  # how many of its value were drawn before
        for position in shuffled:
            rank[position] = turns.get(int(group[position]), 0)
            turns[int(group[position])] = int(rank[position]) + 1
        for position in np.lexsort((turn[group], rank)):
            yield Pick(int(position))

    def _values(self, pool: Pool) -> tuple[np.ndarray, str]:
        corpus = pool.corpus
        if corpus is None:
            raise ParameterError("Balanced reads a column; give the pool its corpus: Pool(embeddings, corpus).")
        column = self.column or (corpus.categories or [""])[0]
        if column and column not in corpus.fields.columns:
            raise ParameterError(
                f"{corpus.name} has no column '{column}' to balance by; it has: {', '.join(map(str, corpus.fields.columns))}."
            )
        if not column:
            return np.zeros(len(pool), dtype=np.int64), ""
        return corpus.fields[column].map(str).to_numpy()[pool.index], column
