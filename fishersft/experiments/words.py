"""Pools of pre-trained word vectors: a sentence is a draw of words, a row is the word's vector.

Vectors come from a file (GloVe's or word2vec's text, word2vec's binary), or are a loaded model's input embedding matrix.  Rows
are centred, brought to d dimensions by their leading principal directions, and scaled so that E||x||^2 = d; Theta* and
lengths are as in `synthetic.py`, so that the two can be compared.

Our reading: the paper's section 5.2 names word embeddings and not how sentences were made of them.  Here words are drawn by
Zipf's law over their rank in the file (both formats are sorted by frequency), independently of each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

import numpy as np

from fishersft.errors import CorpusError, ParameterError, os_reason
from fishersft.experiments.problem import Problem, check_memory, draw_labels, lengths
from fishersft.experiments.synthetic import check_between, check_whole
from fishersft.lm.embed import TokenEmbeddings

if TYPE_CHECKING:
    from fishersft.lm.model import CausalLM

MOST_WORDS = 20_000
LONGEST_WORD = 10_000  # bytes; beyond, a binary file is something else
PLAIN = ("vectors", "source", "options")  # fields that are no options


@dataclass(frozen=True)
class Words:
    """A world of word vectors.

    Attributes:
        vectors: (W, any) rows by falling frequency (`read_vectors`, `input_embeddings`); not part of the settings.
        source: where they came from: a path, or a model's name.
        dimension: d; at most what the vectors have.
        classes, sentences, median_length, length_spread, scale: as in `Synthetic`.
        zipf: a word of rank r has odds r^-zipf; 0 makes all words equally likely.
        options: command-line options that name the source, for `arguments`.
    """

    vectors: np.ndarray = field(repr=False, compare=False)
    source: str
    dimension: int = 10
    classes: int = 20
    sentences: int = 3_000
    median_length: float = 8.0
    length_spread: float = 0.6
    scale: float = 1.0
    zipf: float = 1.0
    options: tuple[str, ...] = ()

    name: ClassVar[str] = "words"

    def __post_init__(self) -> None:
        for name, least in (("dimension", 1), ("classes", 2), ("sentences", 1)):
            check_whole(name, getattr(self, name), least)
        for name, low, most in (
            ("median_length", 1.0, 256.0),
            ("length_spread", 0.0, 3.0),
            ("scale", 0.0, 1e3),
            ("zipf", 0.0, 5.0),
        ):
            check_between(name, getattr(self, name), low, most)
        if self.dimension > min(self.vectors.shape):
            raise ParameterError(
                f"--dimension {self.dimension} is above what {self.source} has ({self.vectors.shape[0]:,} vectors of "
                f"{self.vectors.shape[1]:,} numbers); lower it."
            )
        tokens = self.sentences * self.median_length * np.exp(self.length_spread**2 / 2)
        check_memory(tokens, self.dimension, self.classes, "--sentences, --dimension or --classes")

    @property
    def settings(self) -> dict[str, Any]:
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in PLAIN}
        return {"source": self.source, "words": len(self.vectors), "fingerprint": fingerprint(self.vectors), **plain}

    @property
    def title(self) -> str:
        return f"Word vectors of {self.source}"

    def arguments(self) -> list[str]:
        changed = [f for f in fields(self) if f.name not in PLAIN and getattr(self, f.name) != f.default]
        return [*self.options, *(p for f in changed for p in (f"--{f.name.replace('_', '-')}", f"{getattr(self, f.name)}"))]

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


def input_embeddings(model: CausalLM, words: int = MOST_WORDS) -> np.ndarray:
    """(W, D) float32 rows of the model's input embedding matrix, by token number.

    Our reading: merges of a byte-pair vocabulary are numbered in the order they were found, roughly by falling frequency.
    """
    weight: Any = model.network.get_input_embeddings()
    return np.array(weight.weight[:words].detach().float().cpu().numpy())


def read_vectors(path: Path, words: int = MOST_WORDS) -> np.ndarray:
    """(W, D) float32: the first `words` vectors of a file, text or binary; the words themselves are not kept.

    Text has a word and its numbers a line, with or without word2vec's first line "count dimension"; a word may hold spaces.
    Binary begins with that line.

    Raises:
        CorpusError: no such file, a broken line (its number), vectors of mixed dimensions; one sentence.
    """
    check_whole("words", words, 2)
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
        if vector is None or not np.isfinite(vector).all():
            if len(parts) - 1 != dimension and _numbers(parts[1:]):
                raise CorpusError(
                    f"Line {number:,} of {path} has {len(parts) - 1} numbers where the lines before have {dimension}; "
                    "word vectors of one file have one dimension."
                )
            raise CorpusError(f"Line {number:,} of {path} is not a word and {dimension} numbers; remove it.")
        # a longer line is a word with spaces, unless what should be the word is all numbers
        if len(parts) - 1 > dimension and _numbers(parts[1:-dimension]):
            raise CorpusError(
                f"Line {number:,} of {path} has {len(parts) - 1} numbers where the lines before have {dimension}; "
                "word vectors of one file have one dimension."
            )
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
