"""A small run of fine-tuning as it lies on the disk, made without training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from fishersft import paths
from fishersft.lm.folder import find_model

Write = Callable[[str, int], str]  # (cell, prompt) -> text


def words(cell: str, prompt: int) -> str:
    """A text that differs by cell and prompt."""
    return f" {cell.split('-')[0].replace('_', ' ')} wrote of storm number {prompt} and of the rain that came after it."


def make_run(
    folder: Path,
    *,
    write: Write = words,
    prompts: int = 6,
    selectors: Sequence[str] = ("token_od", "uniform"),
    budgets: Sequence[int] = (50,),
    seeds: Sequence[int] = (0,),
    source: str = "demo",
    model: bool = True,
    id: str = "abc123",
    version: int = 1,
) -> Path:
    """The folder of a finished run; `model` puts the mini model where the one tuned on the whole pool lies."""
    names = [f"{s}-{n}-s{k}" for s in selectors for n in budgets for k in seeds] + ["base", "all-s0"]
    about = {
        "cells": names,
        "corpus": {"name": source, "source": source, "options": {}},
        "model": {"name": "mini", "fingerprint": find_model("mini").fingerprint},
        "selectors": [{"name": s, "label": s.replace("_", " ").title(), "parameters": {}} for s in selectors],
        "budgets": list(budgets),
        "equal": "sentences",
        "seeds": list(seeds),
        "domain": "story",
    }
    folder.mkdir(parents=True, exist_ok=True)
    run = {"kind": "finetune", "version": version, "id": id, "about": about, "versions": {"fishersft": "0.1.0"}}
    (folder / "run.json").write_text(json.dumps(run))
    own = "was coming from the west, and the farmers brought in the hay before the rain."
    _lines(
        folder / "prompts.jsonl",
        [
            {"prompt": k, "index": 100 + k, "text": f"A storm of the year {1900 + k}", "continuation": f" {own}"}
            for k in range(prompts)
        ],
    )
    for name in names:
        cell = folder / "cells" / name
        cell.mkdir(parents=True)
        parts = name.split("-")
        budget = int(parts[1]) if len(parts) == 3 else None
        seed = int(parts[-1][1:]) if len(parts) > 1 else None
        texts = [(k, write(name, k)) for k in range(prompts)]
        _lines(cell / "texts.jsonl", [{"prompt": k, "text": t, "tokens": len(t.split()), "ended": True} for k, t in texts])
        facts = {"cell": name, "selector": parts[0], "budget": budget, "seed": seed, "sentences": budget or 0, "tokens": 9}
        (cell / "cell.json").write_text(json.dumps(facts))
    if model:
        shutil.copytree(paths.asset("mini"), folder / "cells" / "all-s0" / "model")
    return folder


def _lines(path: Path, lines: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
