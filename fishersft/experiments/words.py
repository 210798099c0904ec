"""Pools of pre-trained word vectors: a sentence is a draw of words, a row is the word's vector.

Vectors come from a file (GloVe's or word2vec's text, word2vec's binary), or are a loaded model's input embedding matrix.  Rows
are centred, brought to d dimensions by their leading principal directions, and scaled so that E||x||^2 = d; Theta* and
lengths are as in `synthetic.py`, so that the two can be compared.

The paper's section 5.2 names word embeddings and not how sentences were made of them.  Our reading: words are drawn independently
by Zipf's law over their rank in the file (both formats are sorted by frequency).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from fishersft import fields
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import CorpusError, ParameterError, os_reason
from fishersft.experiments.problem import Problem, check_drawn, draw_labels, lengths
from fishersft.experiments.settings import WordSettings, WordSource
from fishersft.lm.folder import find_model
from fishersft.lm.model import CausalLM, load_model
from fishersft.paths import user_path

LONGEST_WORD = 10_000  # bytes; a binary file with a longer word is something else


@dataclass(frozen=True)
class Words(WordSettings):
    """A world of word vectors.

    Attributes:
        vectors: (W, any) rows by falling frequency (`read_vectors`, `input_embeddings`); not part of the settings.
        source: where they came from: a path, or a model's name.
        options: command-line options that name the source, for `arguments`.
    """

    vectors: np.ndarray = field(kw_only=True, repr=False, compare=False)
    source: str = field(kw_only=True)
    options: tuple[str, ...] = field(default=(), kw_only=True)

    name: ClassVar[str] = "words"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimension > min(self.vectors.shape):
            raise ParameterError(
                f"--dimension {self.dimension} is above what {self.source} has ({self.vectors.shape[0]:,} vectors of "
                f"{self.vectors.shape[1]:,} numbers); lower it."
            )
        check_drawn(self)

    @property
    def settings(self) -> dict[str, Any]:
        named = {"source": self.source, "words": len(self.vectors), "fingerprint": fingerprint(self.vectors)}
        return {**named, **fields.values(self)}

    @property
    def title(self) -> str:
        return f"Word vectors of {self.source}"

    def arguments(self) -> list[str]:
        return [*self.options, *fields.arguments(self)]

    @cached_property
    def rows(self) -> np.ndarray:
        """(W, d) the vectors as they are drawn from."""
        return standardised(self.vectors, self.dimension)

    def problem(self, seed: int) -> Problem:
        rng = np.random.default_rng(seed)
        rows = self.rows
        odds = np.arange(1, len(rows) + 1) ** -float(self.zipf)
        M = lengths(self.sentences, self.median_length, self.length_spread, rng)
        offsets = np.concatenate([[0], np.cumsum(M)]).astype(np.int64)
        X = rows[rng.choice(len(rows), size=int(offsets[-1]), p=odds / odds.sum())]
        theta = rng.normal(size=(self.dimension, self.classes)) * (self.scale / np.sqrt(self.dimension))
        embeddings = TokenEmbeddings(X, offsets, np.arange(self.sentences), {})
        return Problem(embeddings, theta, draw_labels(X, theta, rng), seed)


def word_world(source: WordSource, **settings: Any) -> Words:
    """The world of word vectors from a file or a model; `settings` are those of `WordSettings`.

    Raises:
        CorpusError: a file that does not hold word vectors.
        ModelError: no such model.
        ParameterError: more dimensions than the vectors have.
    """
    if source.vectors:
        path = user_path(source.vectors)
        rows, name = read_vectors(path, source.words), path.name
    else:
        model = load_model(find_model(source.model, source.revision), device="cpu")
        rows, name = input_embeddings(model, source.words), model.name
    return Words(vectors=rows, source=name, options=tuple(fields.arguments(source)), **settings)


def standardised(vectors: np.ndarray, dimension: int) -> np.ndarray:
    """(W, d) float64: centred, on the leading principal directions, E||x||^2 = d over the words."""
    X = np.asarray(vectors, dtype=np.float64)
    X = X - X.mean(0)
    rows = X @ principal(X.T @ X, dimension)
    mean = float((rows**2).sum(1).mean())
    return rows * np.sqrt(dimension / mean) if mean > 0 else rows


def principal(moment: np.ndarray, dimension: int) -> np.ndarray:
    """(D, d) the leading eigenvectors of X^T X, signs fixed so that the same rows give the same answer everywhere."""
    _, vectors = np.linalg.eigh(moment)
    top = vectors[:, ::-1][:, :dimension]
    largest = np.abs(top).argmax(0)
    return np.asarray(top * np.sign(top[largest, np.arange(dimension)]))


def input_embeddings(model: CausalLM, words: int = WordSource.words) -> np.ndarray:
    """(W, D) float32 rows of the model's input embedding matrix, by token number.

    Our reading: merges of a byte-pair vocabulary are numbered in the order they were found, roughly by falling frequency.
    """
    weight: Any = model.network.get_input_embeddings()
    return np.array(weight.weight[:words].detach().float().cpu().numpy())


def read_vectors(path: Path, words: int = WordSource.words) -> np.ndarray:
    """(W, D) float32: the first `words` vectors of a file, text or binary; the words themselves are not kept.

    Text has one word and its numbers per line, with or without word2vec's first line "count dimension"; a word may
    contain spaces.  Binary starts with that line.

    Raises:
        CorpusError: no such file, a broken line (named by its number), or vectors of mixed dimensions.
    """
    try:
        with path.open("rb") as file:
            rows = list(_binary(file, path, words) if _is_binary(path) else _text(file, path, words))
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({os_reason(error)}); name a file of word vectors.") from error
    if len(rows) < 2:
        raise CorpusError(f"{path} holds {len(rows)} word vectors; at least 2 are needed.")
    return np.stack(rows)


def _is_binary(path: Path) -> bool:
    """Whether a file with word2vec's first line goes on in something that is not a line of numbers."""
    with path.open("rb") as file:
        if _header(file.readline(LONGEST_WORD)) is None:
            return False
        second = file.readline(1_000_000)
    try:
        [float(x) for x in second.split()[1:]]
        return b"\x00" in second
    except ValueError:
        return True


def _header(line: bytes) -> tuple[int, int] | None:
    """(count, dimension) where the line is word2vec's first."""
    parts = line.split()
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(p.isdigit() for p in parts) else None


def _text(file: BinaryIO, path: Path, words: int) -> Iterator[np.ndarray]:
    dimension, read = 0, 0
    for number, line in enumerate(file, start=1):
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
        read += 1
        if read == words:
            return


def _numbers(parts: list[bytes]) -> bool:
    try:
        return bool(parts) and all(np.isfinite(float(p)) for p in parts)
    except ValueError:
        return False


def _binary(file: BinaryIO, path: Path, words: int) -> Iterator[np.ndarray]:
    header = _header(file.readline(LONGEST_WORD))
    assert header is not None
    count, dimension = header
    for number in range(min(count, words)):
        word = b""
        while not word.endswith(b" "):
            letter = file.read(1)
            if not letter or len(word) > LONGEST_WORD:
                raise CorpusError(f"{path} ends or is damaged within vector {number + 1:,} of {count:,}; fetch it again.")
            word += letter
        body = file.read(4 * dimension)
        values = np.frombuffer(body, dtype="<f4") if len(body) == 4 * dimension else np.empty(0)
        if len(values) != dimension or not np.isfinite(values).all():
            raise CorpusError(f"{path} ends or is damaged within vector {number + 1:,} of {count:,}; fetch it again.")
        yield values


def fingerprint(rows: np.ndarray) -> str:
    """Names rows by their content."""
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()[:16]
