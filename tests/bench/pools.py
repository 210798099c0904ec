"""A pool of generated token embeddings, alike on every machine: what the benchmarks run on when no corpus is wanted.

    x = sqrt(lambda) * (sqrt(s) c_topic + sqrt(1 - s) z),    c, z ~ N(0, I),    lambda_j ~ 1 / j,  sum of lambda = d

so that E ||x||^2 = d, as it is after a final norm, and the spectrum of the rows falls as a power law.  Sentences have a topic
(topic k has weight 1 / k), a log-normal length, and one in a hundred repeats an earlier one exactly.  The axes are the
principal ones: log det does not change under a rotation, so none is made.

Rows are drawn a chunk of sentences at a time, each chunk from its own stream, so a pool larger than memory goes to a file.
The generator is ours; it knows no text and no model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import StoreError, UserError, os_reason

TOPICS = 200
TOPIC_SHARE = 0.5  # s: how much of a row's variance its topic explains
MEAN_LENGTH = 30
LENGTH_CAP = 128
LENGTH_SPREAD = 0.7  # standard deviation of log length
DUPLICATES = 0.01
CHUNK = 512  # sentences drawn at once: about 50 MB at d = 768

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class GeneratedPool:
    """N sentences with their rows.

    Attributes:
        embeddings: float32 in memory, or float16 in a file mapped into memory.
        topic: (N,) from 0, the most frequent first.
        original: (N,) the sentence that each one repeats; its own number where it repeats none.
    """

    embeddings: TokenEmbeddings
    topic: np.ndarray
    original: np.ndarray


def spectrum(dimension: int) -> np.ndarray:
    """(d,) float64: lambda, the variance of each coordinate; falls as 1 / j and sums to d."""
    falling = 1.0 / np.arange(1, dimension + 1)
    return dimension * falling / falling.sum()


def generate(
    sentences: int,
    dimension: int,
    seed: int = 0,
    *,
    near_equal: bool = False,
    mean_length: int = MEAN_LENGTH,
    length_cap: int = LENGTH_CAP,
    file: Path | None = None,
    on_progress: Progress | None = None,
) -> GeneratedPool:
    """The pool of a seed.

    Args:
        sentences: N, at least 1.
        dimension: d, at least 1.
        near_equal: lengths within a tenth of the mean, which is harder: bounds say little where all are alike.
        mean_length, length_cap: of sentences, in tokens.
        file: where rows go as float16, mapped into memory; memory holds one chunk.  Without it they are float32 in memory.
        on_progress: told the sentences drawn and N.

    Raises:
        UserError: N or d below 1.
        StoreError: the file cannot be written.
    """
    for name, value in (("sentences", sentences), ("dimensions", dimension)):
        if value < 1:
            raise UserError(f"A generated pool needs at least 1 of {name} and was given {value}.")
    facts = np.random.default_rng(np.random.SeedSequence((seed, 0)))
    original = _originals(facts, sentences)
    lengths = _lengths(facts, sentences, near_equal, mean_length, length_cap)[original]
    weights = 1.0 / np.arange(1, TOPICS + 1)
    topic = facts.choice(TOPICS, sentences, p=weights / weights.sum())[original]
    centres = np.sqrt(TOPIC_SHARE) * facts.standard_normal((TOPICS, dimension), dtype=np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    scale = np.sqrt(spectrum(dimension)).astype(np.float32)

    def rows(chunk: int) -> np.ndarray:
        some = slice(chunk * CHUNK, min((chunk + 1) * CHUNK, sentences))
        of_row = np.repeat(topic[some], lengths[some])
        rng = np.random.default_rng(np.random.SeedSequence((seed, 1 + chunk)))
        X = rng.standard_normal((len(of_row), dimension), dtype=np.float32)
        X *= np.float32(np.sqrt(1 - TOPIC_SHARE))
        X += centres[of_row]
        X *= scale
        return X

    chunks = range(-(-sentences // CHUNK))
    shape = (int(offsets[-1]), dimension)
    values: np.ndarray
    if file is None:
        values = np.empty(shape, dtype=np.float32)
        for chunk in chunks:
            drawn = rows(chunk)
            start = int(offsets[chunk * CHUNK])
            values[start : start + len(drawn)] = drawn
            _told(on_progress, chunk, sentences)
        _repeat(values, offsets, original)
    else:
        try:
            with file.open("wb") as out:  # written, not mapped: what is written counts to nobody's resident memory
                for chunk in chunks:
                    rows(chunk).astype(np.float16).tofile(out)
                    _told(on_progress, chunk, sentences)
            writable = np.memmap(file, dtype=np.float16, mode="r+", shape=shape)
            _repeat(writable, offsets, original)
            writable.flush()
            del writable
        except OSError as error:
            size = shape[0] * dimension * 2 / 1e9
            raise StoreError(
                f"The generated pool ({size:,.1f} GB) could not be written to {file.parent} ({os_reason(error)}); "
                "set TMPDIR to a folder with space, or ask for fewer sentences."
            ) from error
        values = np.memmap(file, dtype=np.float16, mode="r", shape=shape)
    embeddings = TokenEmbeddings(values, offsets, np.arange(sentences), {"generated": True, "seed": seed})
    return GeneratedPool(embeddings, topic, original)


def _lengths(rng: np.random.Generator, sentences: int, near_equal: bool, mean: int, cap: int) -> np.ndarray:
    if near_equal:
        return rng.integers(round(0.9 * mean), round(1.1 * mean) + 1, sentences)
    mu = np.log(mean) - LENGTH_SPREAD**2 / 2
    return np.clip(np.rint(rng.lognormal(mu, LENGTH_SPREAD, sentences)), 1, cap).astype(np.int64)


def _originals(rng: np.random.Generator, sentences: int) -> np.ndarray:
    """(N,) itself, but one in a hundred names an earlier sentence that is no repetition itself."""
    original = np.arange(sentences)
    if sentences < 2:
        return original
    copies = np.sort(rng.choice(np.arange(1, sentences), round(DUPLICATES * sentences), replace=False))
    for copy in copies:
        original[copy] = original[rng.integers(copy)]
    return original


def _repeat(values: np.ndarray, offsets: np.ndarray, original: np.ndarray) -> None:
    for copy in np.flatnonzero(original != np.arange(len(original))):
        source = original[copy]
        values[offsets[copy] : offsets[copy + 1]] = values[offsets[source] : offsets[source + 1]]


def _told(on_progress: Progress | None, chunk: int, sentences: int) -> None:
    if on_progress:
        on_progress(min((chunk + 1) * CHUNK, sentences), sentences)
