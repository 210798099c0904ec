"""Pre-trained word vectors: read from a file (GloVe's or word2vec's text, word2vec's binary) or taken from a loaded model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fishersft.errors import CorpusError, os_reason
from fishersft.experiments.settings import WordSource
from fishersft.lm.model import CausalLM
from fishersft.paths import open_regular

LONGEST_LINE = 1_000_000  # bytes; of 10,000 numbers
LONGEST_WORD = 10_000  # bytes; a binary file with a longer word is something else


def input_embeddings(model: CausalLM, words: int = WordSource.words) -> np.ndarray:
    """(W, D) float32 rows of the model's input embedding matrix, by token number.  Our reading: merges of a byte-pair
    vocabulary are numbered in the order they were found, roughly by falling frequency."""
    weight: Any = model.network.get_input_embeddings()
    return np.array(weight.weight[:words].detach().float().cpu().numpy())


def read_vectors(path: Path, words: int = WordSource.words) -> np.ndarray:
    """(W, D) float32: the first `words` vectors of a file, text or binary; the words themselves are not kept.

    Text has one word and its numbers per line, with or without word2vec's first line "count dimension"; a word may contain
    spaces.  Binary starts with that line.  CorpusError where there is no such file or a line or vector of it is broken.
    """
    try:
        with open_regular(path) as file:
            rows = list(islice((_binary if _is_binary(path) else _text)(file, path), words))
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({os_reason(error)}); name a file of word vectors.") from error
    if len(rows) < 2:
        raise CorpusError(f"{path} holds {len(rows)} word vectors; at least 2 are needed.")
    return np.stack(rows)


def _is_binary(path: Path) -> bool:
    """Whether a file with word2vec's first line goes on in something that is not a line of numbers."""
    with open_regular(path) as file:
        if _header(file.readline(LONGEST_WORD)) is None:
            return False
        second = file.readline(LONGEST_LINE)
    try:
        [float(x) for x in second.split()[1:]]
        return b"\x00" in second
    except ValueError:
        return True


def _header(line: bytes) -> tuple[int, int] | None:
    """(count, dimension) where the line is word2vec's first."""
    parts = line.split()
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(p.isdigit() and len(p) < 20 for p in parts) else None


def _text(file: BinaryIO, path: Path) -> Iterator[np.ndarray]:
    dimension = 0
    for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), start=1):
        if len(line) == LONGEST_LINE:
            raise CorpusError(f"Line {number:,} of {path} has more than {LONGEST_LINE:,} bytes, which is no word vector.")
        if number == 1 and (header := _header(line)):
            dimension = header[1]
            continue
        parts = line.rstrip().split(b" ")
        if not dimension:
            dimension = len(parts) - 1
        try:
            vector = np.array(parts[-dimension:], dtype=np.float32) if 0 < dimension < len(parts) else None
        except ValueError:
            vector = None
        # a longer line is a word with spaces, unless what should be the word is all numbers
        broken = vector is None or not np.isfinite(vector).all()
        if len(parts) - 1 != dimension and _numbers(parts[1:] if broken else parts[1:-dimension]):
            raise CorpusError(
                f"Line {number:,} of {path} has {len(parts) - 1} numbers where the lines before have {dimension}; "
                "word vectors of one file have one dimension."
            )
        if vector is None or broken:
            raise CorpusError(f"Line {number:,} of {path} is not a word and {dimension} numbers; remove it.")
        yield vector


def _numbers(parts: list[bytes]) -> bool:
    try:
        return bool(parts) and all(np.isfinite(float(p)) for p in parts)
    except ValueError:
        return False


def _binary(file: BinaryIO, path: Path) -> Iterator[np.ndarray]:
    header = _header(file.readline(LONGEST_WORD))
    assert header is not None
    count, dimension = header
    size = path.stat().st_size
    if not 1 <= dimension <= size // 4 or count * (4 * dimension + 2) > size:  # a word has a letter and a space after it
        raise CorpusError(
            f"{path} promises {count:,} vectors of {dimension:,} numbers, which its {size:,} bytes cannot hold; fetch it again."
        )
    for number in range(1, count + 1):
        word = b""
        while not word.endswith(b" ") and len(word) <= LONGEST_WORD and (letter := file.read(1)):
            word += letter
        body = file.read(4 * dimension) if word.endswith(b" ") else b""
        if (
            not word.endswith(b" ")
            or len(body) < 4 * dimension
            or not np.isfinite(values := np.frombuffer(body, dtype="<f4")).all()
        ):
            raise CorpusError(f"{path} ends or is damaged within vector {number:,} of {count:,}; fetch it again.")
        yield values


def fingerprint(rows: np.ndarray) -> str:
    """Names rows by their content."""
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()[:16]
