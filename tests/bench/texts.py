"""Generated texts with topics, alike on every machine: a corpus for the dashboard's benchmark.  They mean nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def write_corpus(path: Path, records: int, seed: int = 0) -> Path:
    """Generated texts of log-normal length over topics with words of their own; written once."""
    if path.exists():
        return path
    rng = np.random.default_rng(seed)
    topics, own = 16, 200
    words = [["".join(rng.choice(list("abcdefghilmnoprstu"), rng.integers(3, 8))) for _ in range(own)] for _ in range(topics)]
    lines = []
    for _ in range(records):
        topic = int(rng.integers(topics))
        length = int(np.clip(rng.lognormal(2.2, 0.6), 2, 40))
        text = " ".join(words[topic][min(own - 1, int(rng.pareto(1.0) * 5))] for _ in range(length))
        lines.append(json.dumps({"text": text.capitalize() + ".", "topic": f"topic {topic + 1}"}) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    return path
