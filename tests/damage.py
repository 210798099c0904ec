"""Damage to files of a folder, drawn by a seed: a value changed or gone, a file cut off, nested too deeply, or garbage."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

WRONG: list[Any] = [
    None,
    True,
    -1,
    3.5,
    float("nan"),
    1e400,
    10**30,
    "x",
    "",
    "../..",
    "<script>",
    "\ud800",
    [],
    {},
    [None],
    {"a": 1},
]
ARRAYS = [np.full(5, np.nan), np.zeros((2, 2)), np.array(["a"]), np.array(3.0), np.zeros(0)]


def damage(folder: Path, seed: int) -> str:
    """Damage one file of the folder; says what was done."""
    rng = random.Random(seed)
    file = rng.choice(sorted(f for f in folder.rglob("*") if f.is_file() and f.suffix in (".json", ".jsonl", ".npy")))
    kind = rng.choice(["change"] * 6 + ["cut", "nest", "garbage"])
    content = file.read_bytes()
    if kind == "cut":
        file.write_bytes(content[: rng.randrange(len(content) + 1)])
    elif kind == "garbage":
        file.write_bytes(rng.randbytes(100))
    elif kind == "nest":
        file.write_text("[" * 100_000 + "]" * 100_000)
    elif file.suffix == ".npy":
        np.save(file, rng.choice(ARRAYS))
    else:
        lines = content.decode().splitlines() if file.suffix == ".jsonl" else [content.decode()]
        if lines:
            at = rng.randrange(len(lines))
            lines[at] = json.dumps(changed(json.loads(lines[at]), rng))
        file.write_text("\n".join(lines) + "\n")
    return f"{kind} of {file.relative_to(folder)} (seed {seed})"


def changed(value: Any, rng: random.Random) -> Any:
    """The value with something in it gone or replaced."""
    places = list(_places(value))
    if not places:
        return rng.choice(WRONG)
    holder, key = rng.choice(places)
    if rng.random() < 0.35:
        del holder[key]
    else:
        holder[key] = rng.choice(WRONG)
    return value


def _places(value: Any):
    keys = list(value) if isinstance(value, dict) else range(min(len(value), 3)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])
