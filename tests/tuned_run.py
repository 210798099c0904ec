"""A run of fine-tuning with held-out numbers and losses, made without training, and a judge that needs no model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fishersft.judge.base import FIRST, SECOND, Judge, Judgment, TextPair

from .judged_run import make_run

TEXTS_HELD_OUT = 12


def tuned_run(folder: Path, *, worse: bool = False, losses: bool = True, **more: Any) -> Path:
    """`make_run` with what the Results section reads; `worse`: TokenOD's models are worse than the untuned one."""
    make_run(folder, model=False, **{"id": folder.name, **more})
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 40, TEXTS_HELD_OUT)
    topics = [f"topic {k % 3}" for k in range(TEXTS_HELD_OUT)]
    held_out = {"index": list(range(TEXTS_HELD_OUT)), "tokens": tokens.tolist(), "topic": topics, "column": "topic"}
    (folder / "held_out.json").write_text(json.dumps(held_out))
    hard = rng.normal(4.5, 0.4, TEXTS_HELD_OUT)
    for cell in (folder / "cells").iterdir():
        facts = json.loads((cell / "cell.json").read_text())
        selector, n = facts["selector"], facts["budget"] or 0
        better = {"base": 0.0, "all": 0.6, "token_od": -0.2 if worse else 0.2}.get(selector, 0.1) + n / 1000
        better += 0.01 * (facts["seed"] or 0) + rng.normal(0, 0.01, TEXTS_HELD_OUT)
        np.save(cell / "held_out.npy", (hard - better) * tokens)
        if losses and selector != "base":
            facts |= {"losses": [[k, 5 - 0.1 * k] for k in range(1, 6)], "learning_rate": 1e-4}
        (cell / "cell.json").write_text(json.dumps({**facts, "sentences": n, "tokens": 41 * n, "seconds": 3.5}))
    return folder


@dataclass(frozen=True)
class Digests(Judge):
    """Prefers the text with the smaller digest, whichever comes first; every `odd`-th question it takes the first."""

    odd: int = 0
    name = "digests"

    @property
    def label(self) -> str:
        return "digests <b>"

    @property
    def identity(self) -> str:
        return f"digests {self.odd}"

    def read(self, shown: Sequence[TextPair]) -> Iterator[tuple[int, Judgment]]:
        for number, one in enumerate(shown):
            first, second = (hashlib.sha256(text.encode()).hexdigest() for text in (one.first, one.second))
            by_place = self.odd and int(min(first, second), 16) % self.odd == 0
            yield number, Judgment(FIRST if by_place or first < second else SECOND, {"p_first": 0.75, "mass": 1.0})
