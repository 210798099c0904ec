"""`Target`: texts that the model should get good at, half of which choose while the other half only measures.

No text does both, so that what is measured was never seen by what is judged.  Knows no selector and no file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fishersft.corpus.records import Corpus
from fishersft.design.rows import TokenEmbeddings
from fishersft.design.targeted import target_moment

MOST_TEXTS = 200


@dataclass(frozen=True)
class Target:
    """Target texts under the pool's model.

    Attributes:
        name: for people, such as "topic = law" or a file's name.
        corpus: where the texts are; the `index` of both halves counts in it.
        choosing: rows of the half that selectors see.
        measuring: rows of the half that only measures; None where one text was given, which chooses.
        option, seed: what `load_pool` takes to make it again; "" where it was made by hand.
        column, values: a column of the pool and the values in it that are on target; "" and () where none says so.
        facts: what a reader should know, by name: how many texts, of how many, what left the pool and why.
    """

    name: str
    corpus: Corpus
    choosing: TokenEmbeddings
    measuring: TokenEmbeddings | None
    option: str = ""
    seed: int = 0
    column: str = ""
    values: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Names both halves in caches."""
        both = [(half.key, half.index.tolist()) for half in (self.choosing, self.measuring) if half is not None]
        return hashlib.sha256(str(both).encode()).hexdigest()

    @cached_property
    def moment(self) -> np.ndarray:
        """(d, d) second moment of the choosing half, each text weighing the same, with a small ridge."""
        return target_moment(self.choosing)

    @cached_property
    def measured_moment(self) -> np.ndarray | None:
        """(d, d) the same of the measuring half."""
        return None if self.measuring is None else target_moment(self.measuring)

    @property
    def said(self) -> dict[str, Any]:
        """What a reader should know of it, for a summary."""
        return {"name": self.name, "target": self.option, "seed": self.seed, **self.facts}

    @property
    def sentence(self) -> str:
        """The same in words."""
        count, twins = self.facts["measuring"], self.facts["near_duplicates"]
        measured = f"{count:,} only measure" if count else "none is left to measure on, so no gain can be shown"
        left = f"; {twins:,} near-duplicates of what is measured left the pool" if twins else ""
        return f"Target {self.name}: {self.facts['choosing']:,} of its texts choose and {measured}{left}."

    @property
    def texts(self) -> list[str]:
        """What a person reads of the choosing half."""
        return [self.corpus.text(int(i)) for i in self.choosing.index]

    def is_on(self, corpus: Corpus, index: np.ndarray) -> np.ndarray | None:
        """(k,) bool: which records of the pool's corpus have the target's value in its column; None where there is none."""
        if not self.column or self.column not in corpus.fields.columns:
            return None
        return corpus.fields[self.column].map(str).isin(self.values).to_numpy()[index]


def halves(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of n texts choose and which measure, each ascending, drawn by the seed; the odd one chooses."""
    drawn = np.random.default_rng(seed).permutation(n)
    half = (n + 1) // 2
    return np.sort(drawn[:half]), np.sort(drawn[half:])
