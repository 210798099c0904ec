"""Token embeddings of a corpus: the rows X_i of every record that a selector may see, computed once and stored.

A batch holds records of similar length, longest first, with at most `BATCH_TOKENS` padded tokens; the head is never computed.
Rows are written directly to their place in the file and a journal lists the finished batches with their checksums, so a crash
or a kill loses at most the current batch, and what was damaged since is computed again.
Rows are stored as float32 up to 1 GB, as float16 above.  Knows no selector.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fishersft.corpus.encode import MAX_TOKENS, Encoded, encode, untrained_words, why_untrained
from fishersft.corpus.records import Corpus
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import CorpusError, DesignError, ModelError, StoreError, os_reason
from fishersft.lm.model import Progress

FLOAT32_BYTES = 1_000_000_000
BATCH_TOKENS = 2_048


class Reader(Protocol):
    """A model that turns batches into rows, in this process (a `CausalLM`) or on other machines (`distributed/engine.py`)."""

    @property
    def name(self) -> str: ...
    @property
    def dimension(self) -> int: ...
    @property
    def head(self) -> str: ...
    @property
    def vocabulary(self) -> int: ...
    def read(self, batches: Iterable[list[Encoded]]) -> Iterator[np.ndarray]: ...


@dataclass(frozen=True)
class Plan:
    """What is to be embedded: the encoded records, the places of their rows, and the batches."""

    encoded: list[Encoded]
    index: np.ndarray
    offsets: np.ndarray
    skipped: np.ndarray
    batches: list[np.ndarray]
    unshown: dict[str, int]  # what the model does not get to read, by name, and in how many records
    untrained: dict[str, dict[str, Any]]  # why records have no trained token, held-out ones too, as `why_untrained` says it

    @property
    def rows(self) -> int:
        return int(self.offsets[-1])

    @property
    def truncated(self) -> int:
        return sum(e.truncated for e in self.encoded)


def plan(corpus: Corpus, tokenizer: Any, max_tokens: int = MAX_TOKENS) -> Plan:
    """Encode the pool and lay out its rows and batches, without a model; CorpusError if no record has a trained token."""
    pool = corpus.pool_index
    every = encode(corpus.examples, tokenizer, max_tokens)
    encoded = [every[i] for i in pool]
    counts = np.array([len(e.rows) for e in encoded], dtype=np.int64)
    keep = counts > 0
    if not keep.any():
        raise CorpusError(f"{corpus.name}: no record has a trained token: {untrained_words(why_untrained(encoded, pool))}.")
    kept = [e for e in encoded if len(e.rows)]
    batches = batches_of(np.array([len(e.ids) for e in kept]))
    offsets = np.concatenate([[0], np.cumsum(counts[keep])])
    unshown = dict(Counter(what for e in encoded for what in e.unshown).most_common())
    return Plan(kept, pool[keep], offsets, pool[~keep], batches, unshown, why_untrained(every))


def batches_of(lengths: np.ndarray, most: int = BATCH_TOKENS) -> list[np.ndarray]:
    """Positions by decreasing length, in batches of at most `most` padded tokens; lengths must be at least 1."""
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, most // int(lengths[order[start]]))
        batches.append(order[start : start + size])
        start += size
    return batches


def storage_dtype(rows: int, dimension: int) -> np.dtype[Any]:
    """float32 if the rows take at most 1 GB, otherwise float16."""
    return np.dtype(np.float32 if rows * dimension * 4 <= FLOAT32_BYTES else np.float16)


def embed_into(
    folder: Path, plan: Plan, reader: Reader, *, dtype: np.dtype[Any], on_progress: Progress | None = None
) -> dict[str, Any]:
    """Compute the rows of a plan into `folder`, continuing an interrupted run there; returns facts for the manifest.

    `on_progress(done, total)` receives the number of tokens read; if it raises an exception, the work stops between two
    batches and the finished batches are kept.
    """
    top = max(int(e.ids.max()) for e in plan.encoded)
    if top >= reader.vocabulary:
        raise ModelError(
            f"The tokenizer of {reader.name} produces the id {top:,}, but the model has only {reader.vocabulary:,} ids; "
            "they do not belong together."
        )
    journal, values_file = folder / "journal.txt", folder / "values.bin"
    d = reader.dimension
    layout = json.dumps({"rows": plan.rows, "d": d, "dtype": dtype.name, "batches": len(plan.batches)})
    width = d * dtype.itemsize
    size = plan.rows * width
    done = _resume(journal, layout, values_file, plan, width)
    started = time.perf_counter()
    work = [int(sum(len(plan.encoded[i].ids) for i in batch)) for batch in plan.batches]
    total, finished = sum(work), sum(work[:done])
    at_start = finished
    try:
        read: Any = reader.read([plan.encoded[i] for i in batch] for batch in plan.batches[done:])
        with values_file.open("r+b" if done else "w+b") as values, journal.open("a" if done else "w") as notes, closing(read):
            if not done:
                # allocate the space now, so that a full disk is reported before hours of work and not in the middle of it
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(values.fileno(), 0, size)
                else:
                    values.truncate(size)
                notes.write(layout + "\n")
            if on_progress:
                on_progress(finished, total)
            for number, together in enumerate(read, start=done):
                batch = plan.batches[number]
                checksum = 0
                ends = np.cumsum([plan.offsets[i + 1] - plan.offsets[i] for i in batch])
                for position, rows in zip(batch, np.split(together, ends[:-1]), strict=True):
                    if not np.isfinite(rows).all():
                        raise DesignError(
                            f"Under {reader.name}, record {plan.index[position]:,} has rows with numbers that are not finite; "
                            "remove the record or choose another model."
                        )
                    values.seek(int(plan.offsets[position]) * width)
                    content = np.ascontiguousarray(rows, dtype=dtype).tobytes()
                    values.write(content)
                    checksum = zlib.crc32(content, checksum)
                values.flush()
                os.fsync(values.fileno())
                notes.write(f"{number} {checksum:08x}\n")
                notes.flush()
                finished += work[number]
                if on_progress:
                    on_progress(finished, total)
        np.save(folder / "offsets.npy", plan.offsets)
        np.save(folder / "index.npy", plan.index)
        journal.unlink()
    except OSError as error:
        raise StoreError(
            f"The embeddings ({size / 1e6:,.0f} MB) could not be written to {folder.parent.parent} "
            f"({os_reason(error)}); free some space or set FISHERSFT_HOME to another folder. Finished batches are kept."
        ) from error
    seconds = time.perf_counter() - started
    return {
        "seconds": round(seconds, 3),
        "tokens_a_second": round((total - at_start) / max(seconds, 1e-9)),
        "resumed_at_batch": done,
    }


def open_embeddings(folder: Path, facts: dict[str, Any], key: str) -> TokenEmbeddings:
    """Open the rows that `embed_into` wrote; they stay on disk and are memory-mapped."""
    offsets = np.load(folder / "offsets.npy", allow_pickle=False)
    index = np.load(folder / "index.npy", allow_pickle=False)
    shape = (int(offsets[-1]), int(facts["dimension"]))
    values = np.memmap(folder / "values.bin", dtype=np.dtype(facts["dtype"]), mode="r", shape=shape)
    return TokenEmbeddings(values, offsets, index, facts, key)


def _resume(journal: Path, layout: str, values_file: Path, plan: Plan, width: int) -> int:
    """The number of batches, from the first on, that an interrupted run finished and whose rows, of `width` bytes each, are still
    what it wrote; 0 if its layout or the size of its file was different.  The journal is cut off after them."""
    done = 0
    try:
        lines = journal.read_text(encoding="utf-8").split("\n")
        if lines[0] != layout or values_file.stat().st_size != plan.rows * width:
            return 0
        with values_file.open("rb") as values:
            for line, batch in zip(lines[1:-1], plan.batches, strict=False):
                checksum = 0
                for position in batch:
                    start, end = (int(plan.offsets[k]) * width for k in (position, position + 1))
                    values.seek(start)
                    checksum = zlib.crc32(values.read(end - start), checksum)
                if line != f"{done} {checksum:08x}":
                    break
                done += 1
    except (OSError, ValueError):
        return 0
    if lines[done + 1 :] != [""]:
        journal.write_text("\n".join([*lines[: done + 1], ""]), encoding="utf-8")
    return done
