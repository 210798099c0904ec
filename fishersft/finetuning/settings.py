"""What run.json says was asked, and a run's folder opened for more: the same question goes on, another one is refused.

Selectors, budgets and seeds may be added to a run later; nothing else of it may change, since its models would then differ in
more than their selections.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fishersft.corpus.records import Corpus
from fishersft.errors import StoreError
from fishersft.finetuning.plan import Plan
from fishersft.finetuning.run import CELLS, RUN, FineTuneRun, model_name, read_run, write_run
from fishersft.lm.folder import ModelFolder
from fishersft.selectors import Pool
from fishersft.store.artifacts import made

GROWS = ("selectors", "budgets", "seeds", "cells", "reference_rows")  # of a run's settings, what may be added to later


def settings_of(
    corpus: Corpus, folder: ModelFolder, plan: Plan, max_tokens: int, pool: Pool, command: Sequence[str]
) -> dict[str, Any]:
    """What run.json says was asked."""
    return {
        "corpus": {
            "name": corpus.name,
            "source": corpus.source,
            "options": [list(o) for o in corpus.options],
            "fingerprint": corpus.fingerprint,
            "records": len(corpus),
            "held_out": int(corpus.held_out.sum()),
            "pool": len(pool),
        },
        "model": {"name": folder.name, "revision": folder.revision, "fingerprint": folder.fingerprint},
        "selectors": [{"name": s.name, "label": s.label, "parameters": s.parameters} for s in plan.selectors],
        "budgets": list(plan.budgets),
        "equal": plan.equal,
        "reference": plan.anchor.name,
        "seeds": list(plan.seeds),
        "reference_rows": list(plan.reference_rows),
        "max_tokens": max_tokens,
        "training": {**plan.training.parameters, "learning_rate": "auto" if plan.sweep else plan.training.learning_rate},
        "prompts": plan.sampling.parameters,
        "cells": [model_name(*cell) for cell in plan.cells],
        "command": list(command),
    }


def begin(folder: Path, id: str, about: dict[str, Any]) -> FineTuneRun:
    """Open the run of a folder for more, or start one.

    Raises:
        StoreError: the folder holds a run of other settings.
    """
    about = json.loads(json.dumps(about))
    if not (folder / RUN).exists():
        if (folder / CELLS).exists():
            raise StoreError(f"{folder} holds cells without a {RUN}; name another folder.")
        return write_run(folder, id, about, _versions())
    there = read_run(folder)
    for name, value in about.items():
        if name not in (*GROWS, "command") and there.about.get(name) != value:
            raise StoreError(
                f"{folder} holds a run with another {name.replace('_', ' ')} ({_short(there.about.get(name))}, not "
                f"{_short(value)}); name another folder."
            )
    if there.about == about:
        return there
    kept = [name for name in there.about["cells"] if name not in about["cells"]]
    names = [s["name"] for s in about["selectors"]]
    merged = {
        **about,
        "cells": [*about["cells"], *kept],
        "selectors": [*about["selectors"], *(s for s in there.about["selectors"] if s["name"] not in names)],
        "budgets": sorted({*about["budgets"], *there.about["budgets"]}),
        "seeds": sorted({*about["seeds"], *there.about["seeds"]}),
    }
    for s in there.about["selectors"]:
        other = next((t for t in about["selectors"] if t["name"] == s["name"]), s)
        if other["parameters"] != s["parameters"]:
            raise StoreError(f"{folder} holds a run with other parameters of {s['label']}; name another folder.")
    return write_run(folder, there.id, merged, _versions())


def _versions() -> dict[str, str]:
    """What made it, so that a reader of the numbers knows."""
    from importlib.metadata import version

    return {**made(), **{name: version(name) for name in ("torch", "transformers", "accelerate", "numpy")}}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
