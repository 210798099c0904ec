"""A large generated pool as a store holds it: a corpus of short texts with topics, and rows for every trained token of theirs.

No model runs.  A row is the centre of its record's topic and of a smaller theme in it, with noise; the counts of rows are those
of the texts under the model whose embeddings they pose as.  What a page does with such a pool is what it does with a real one.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from fishersft import load_corpus
from fishersft.corpus.records import Corpus
from fishersft.design.rows import TokenEmbeddings
from fishersft.lm.embed import open_embeddings, plan
from fishersft.lm.folder import find_model
from fishersft.lm.model import load_tokenizer
from fishersft.pipeline.embed_and_select import embeddings_key
from fishersft.store.artifacts import Store, made

THEMES = 400  # in all topics together
CHUNK = 65_536  # rows drawn at once
WORDS = (
    "time day way year work thing man world life part house water room child night month book side hand word story head line end"
)


def clusters(records: int, dimension: int, seed: int = 0) -> np.ndarray:
    """(N, d) float32 points in themes of unequal size, and some that are in none."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, THEMES + 1)
    theme = rng.choice(THEMES, records, p=share / share.sum())
    scale = np.sqrt(1 / np.arange(1, dimension + 1)).astype(np.float32)
    centres = rng.standard_normal((16, dimension), dtype=np.float32)[rng.integers(16, size=THEMES)]
    centres += rng.standard_normal((THEMES, dimension), dtype=np.float32)
    centres *= scale
    points = rng.standard_normal((records, dimension), dtype=np.float32)
    points *= 0.5 * scale
    alone = rng.random(records) < 0.02
    points[alone] *= 4
    points += centres[theme] * ~alone[:, None]
    return points


def write_texts(path: Path, records: int, longest: int = 4, seed: int = 0) -> Path:
    """Texts of up to so many words and a number, each with a topic; written once."""
    if not path.exists():
        rng, words = np.random.default_rng(seed), np.array(WORDS.split())
        path.parent.mkdir(parents=True, exist_ok=True)
        topics, lengths = rng.integers(16, size=records), rng.integers(1, longest + 1, size=records)
        drawn = words[rng.integers(len(words), size=(records, longest))]
        with path.open("w", encoding="utf-8") as out:
            for k in range(records):
                text = f"{' '.join(drawn[k, : lengths[k]])} {k}"
                out.write(json.dumps({"text": text, "topic": f"topic {topics[k] + 1}"}) + "\n")
    return path


def large_pool(home: Path, records: int, dimension: int = 64, longest: int = 4, seed: int = 0) -> tuple[Corpus, TokenEmbeddings]:
    """The corpus and its embeddings under mini in the store at `home`; both are made once."""
    store, folder = Store(home), find_model("mini")
    corpus = load_corpus(write_texts(home / "generated" / f"{records}-{longest}-{seed}.jsonl", records, longest, seed), holdout=0)
    key = embeddings_key(corpus, folder)
    if found := store.find(key):
        return corpus, open_embeddings(found.path, found.manifest, key.digest)
    started = time.perf_counter()
    layout = plan(corpus, load_tokenizer(folder), key.parameters["max_tokens"])
    with store.lock(key):
        workspace, rng = store.workspace(key), np.random.default_rng(seed + 1)
        means = clusters(len(layout.index), dimension, seed)
        of_row = np.repeat(np.arange(len(means)), np.diff(layout.offsets))
        noise = 0.3 * rng.standard_normal((CHUNK, dimension), dtype=np.float32)  # the same for each chunk
        noise /= np.sqrt(np.arange(1, dimension + 1, dtype=np.float32))
        with (workspace / "values.bin").open("wb") as out:
            for a in range(0, len(of_row), CHUNK):
                some = of_row[a : a + CHUNK]
                (means[some] + noise[: len(some)]).astype(np.float16).tofile(out)
        np.save(workspace / "offsets.npy", layout.offsets)
        np.save(workspace / "index.npy", layout.index)
        facts = {
            "corpus": corpus.name,
            "model": folder.name,
            "dimension": dimension,
            "dtype": "float16",
            "records": len(corpus),
            "pool": len(layout.index),
            "tokens": layout.rows,
            "seconds": time.perf_counter() - started,
            **made(),
        }
        found = store.commit(key, workspace, facts)
    return corpus, open_embeddings(found.path, found.manifest, key.digest)
