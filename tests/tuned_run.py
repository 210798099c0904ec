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
OWN = " was coming from the west"  # how the corpus' own texts of `make_run` begin


TARGET_TEXTS = 7
TARGET = {"name": "topic = law", "target": "topic=law", "seed": 0, "given": 15, "choosing": 8, "measuring": TARGET_TEXTS,
          "repeated": 0, "left_the_pool": 15, "near_duplicates": 2}  # fmt: skip
COUNTED = ("groups", "records", "held_out", "held_out_with_one_in_the_pool", "dropped")


SCORED = 40
EXACT = {"base": 0.0, "uniform": 0.9, "all": 1.0}  # shares of answers that are the record's; of the other selectors half


def tuned_run(
    folder: Path, *, worse: bool = False, losses: bool = True, target: bool = False, scores: bool = False, **more: Any
) -> Path:
    """`make_run` with what the Results section reads.

    `worse`: TokenOD's models are worse than the untuned one.  `target`: the run also has one; every selection helps there, the
    more the earlier it is named, and elsewhere all but the baseline and the whole pool lose.  `scores`: Uniform's models answer
    better than those of any other selector.
    """
    make_run(folder, model=False, **{"id": folder.name, **more})
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 40, TEXTS_HELD_OUT)
    topics = [f"topic {k % 3}" for k in range(TEXTS_HELD_OUT)]
    held_out = {"index": list(range(TEXTS_HELD_OUT)), "tokens": tokens.tolist(), "topic": topics, "column": "topic"}
    held_out["near_duplicates"] = dict(zip(COUNTED, (3, 8, TEXTS_HELD_OUT, 1, 0), strict=True))
    (folder / "held_out.json").write_text(json.dumps(held_out))
    hard = rng.normal(4.5, 0.4, TEXTS_HELD_OUT)
    about = json.loads((folder / "run.json").read_text())["about"]
    if target:
        _aim(folder, [s["name"] for s in about["selectors"]])
    for cell in (folder / "cells").iterdir():
        facts = json.loads((cell / "cell.json").read_text())
        selector, n = facts["selector"], facts["budget"] or 0
        better = {"base": 0.0, "all": 0.6, "token_od": -0.2 if worse else 0.2}.get(selector, 0.1) + n / 1000
        better += 0.01 * (facts["seed"] or 0) + rng.normal(0, 0.01, TEXTS_HELD_OUT)
        if target and selector not in ("base", "all", "uniform"):
            better = better - 0.5
        np.save(cell / "held_out.npy", (hard - better) * tokens)
        if losses and selector != "base":
            facts |= {"losses": [[k, 5 - 0.1 * k] for k in range(1, 6)], "learning_rate": 1e-4}
        (cell / "cell.json").write_text(json.dumps({**facts, "sentences": n, "tokens": 41 * n, "seconds": 3.5}))
        if scores:
            right = np.arange(SCORED) % 10 < 10 * EXACT.get(selector, 0.5)
            lines = [{"text": "", **dict.fromkeys(("exact", "f1", "rouge_l"), float(one))} for one in right]
            (cell / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if scores:
        records = [{"index": k, "prompt": f"Who is {k}?", "answer": "Nobody"} for k in range(SCORED)]
        (folder / "scored.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def _aim(folder: Path, names: list[str]) -> None:
    """The target's files of a run."""
    rng = np.random.default_rng(1)
    run = json.loads((folder / "run.json").read_text())
    run["about"] |= {"target": TARGET, "equal": "tokens"}
    (folder / "run.json").write_text(json.dumps(run))
    tokens = rng.integers(5, 40, TARGET_TEXTS)
    found = {"name": TARGET["name"], "index": list(range(TARGET_TEXTS)), "tokens": tokens.tolist()}
    (folder / "target.json").write_text(json.dumps(found))
    hard = rng.normal(6.0, 0.4, TARGET_TEXTS)
    for cell in (folder / "cells").iterdir():
        selector = cell.name.split("-")[0]
        better = {"base": 0.0, "all": 1.0}.get(selector, 0.0)
        if selector in names:
            better = 0.5 + 0.2 * (len(names) - names.index(selector)) + rng.normal(0, 0.01, TARGET_TEXTS)
        np.save(cell / "target.npy", (hard - better) * tokens)


@dataclass(frozen=True)
class Digests(Judge):
    """Prefers the text with the smaller digest, whichever comes first; every `odd`-th question it takes the first.

    It knows the corpus' own texts, and of two that hold one, as the canary's do, it takes the first.
    """

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
            own = [text.startswith(OWN) for text in (one.first, one.second)]
            if own[0] != own[1]:
                yield number, Judgment(FIRST if own[0] else SECOND, {"p_first": 0.75, "mass": 1.0})
                continue
            by_place = by_place or (OWN in one.first and OWN in one.second)
            yield number, Judgment(FIRST if by_place or first < second else SECOND, {"p_first": 0.75, "mass": 1.0})
