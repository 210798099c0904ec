"""The worlds of `fishersft curves`: synthetic rows, word vectors, or a corpus under a model that labels it.

Synthetic rows have E||x||^2 of about d and Theta* ~ N(0, scale^2 / d), so a logit has standard deviation `scale`, and no pool is
harder merely because its rows are longer:

    isotropic        x ~ N(0, I)
    power_law        x ~ N(0, diag(j^-power)), scaled so that E||x||^2 = d
    clustered        sentence i belongs to cluster k with odds k^-power; x = its centre (on the sphere of radius sqrt(d)) + noise
    near_duplicates  isotropic, but a share of the sentences are copies of a few others with a little noise

Source: FisherSFT, sections 5.1 and 5.2.  d = 10, L = 20 and 20 runs are the paper's; N, lengths, features, the head and how
sentences are made of word vectors are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from fishersft import fields
from fishersft.corpus.encode import MAX_TOKENS, encode
from fishersft.corpus.records import Corpus
from fishersft.design.rows import TokenEmbeddings
from fishersft.design.trajectory import leading
from fishersft.errors import ParameterError
from fishersft.experiments.problem import Problem, check_memory, draw_labels, offsets_of, row_batches, token_index
from fishersft.experiments.settings import FEATURES, PoolSettings, SyntheticSettings, TeacherSettings, WordSettings, WordSource
from fishersft.experiments.word_vectors import fingerprint, input_embeddings, read_vectors
from fishersft.lm.folder import find_model
from fishersft.lm.model import CausalLM, load_model
from fishersft.paths import user_path

SENTENCES, DIMENSION = 3_000, 32  # that a teacher takes unless told otherwise
MOST_CLASSES = 1_000  # columns of a teacher's head that are kept


def lengths(pool: PoolSettings, rng: np.random.Generator, most: int = 256) -> np.ndarray:
    """(N,) tokens of each sentence: log-normal, rounded, 1 to `most`."""
    drawn = pool.median_length * np.exp(pool.length_spread * rng.normal(size=pool.sentences))
    return np.clip(np.rint(drawn), 1, most).astype(np.int64)


class DrawnWorld(PoolSettings):
    """A world whose sentence lengths and whose head are drawn anew in each run; a subclass draws the rows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_memory(self.sentences * self.median_length * np.exp(self.length_spread**2 / 2), self.dimension, self.classes)

    def problem(self, seed: int) -> Problem:
        rng = np.random.default_rng(seed)
        X, M = self._rows(lengths(self, rng), rng)
        theta = rng.normal(size=(self.dimension, self.classes)) * (self.scale / np.sqrt(self.dimension))
        embeddings = TokenEmbeddings(X, offsets_of(M), np.arange(len(M)), {})
        return Problem(embeddings, theta, draw_labels(X, theta, rng), seed)

    def _rows(self, M: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(T, d) rows for sentences of M tokens, and the lengths, which differ from M where there are copies."""
        raise NotImplementedError


@dataclass(frozen=True)
class Synthetic(DrawnWorld, SyntheticSettings):
    """A world of drawn rows."""

    name: ClassVar[str] = "synthetic"

    @property
    def settings(self) -> dict[str, Any]:
        return fields.values(self)

    @property
    def title(self) -> str:
        return f"Synthetic pool, {FEATURES[self.features]}"

    def arguments(self) -> list[str]:
        # features come first, because stored results are found by a hash of their command
        first = [] if self.features == SyntheticSettings.features else ["--features", self.features]
        return [*first, *fields.arguments(self, without=("features",))]

    def _rows(self, M: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        d = self.dimension
        if self.features == "clustered":
            odds = np.arange(1, self.clusters + 1) ** -self.power
            centres = rng.normal(size=(self.clusters, d))
            centres *= np.sqrt(d) / np.linalg.norm(centres, axis=1, keepdims=True)
            cluster = rng.choice(self.clusters, size=len(M), p=odds / odds.sum())
            rows = centres[np.repeat(cluster, M)]
            return rows + self.noise * rng.normal(size=rows.shape), M
        X = rng.normal(size=(int(M.sum()), d))
        if self.features == "power_law":
            variances = np.arange(1, d + 1) ** -self.power
            X *= np.sqrt(variances * (d / variances.sum()))
        return self._with_copies(X, M, rng) if self.features == "near_duplicates" else (X, M)

    def _with_copies(self, X: np.ndarray, M: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Copies are made of a twentieth of the originals, so that most are redundant; a copy is as long as its original."""
        source = np.arange(len(M))
        copies = rng.random(len(M)) < self.duplicates
        originals = np.flatnonzero(~copies)
        if not len(originals):
            return X, M
        few = rng.choice(originals, size=max(1, len(originals) // 20), replace=False)
        source[copies] = rng.choice(few, size=int(copies.sum()))
        rows = X[token_index(offsets_of(M), source)]
        copied = np.repeat(copies, M[source])
        rows[copied] += self.noise * rng.normal(size=(int(copied.sum()), self.dimension))
        return rows, M[source]


@dataclass(frozen=True)
class Words(DrawnWorld, WordSettings):
    """A world of word vectors: a sentence is a draw of words by Zipf's law over their rank, a row is the word's vector.

    `vectors` are (W, any) rows by falling frequency; `options` are the command line's that name their `source`.
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
        """(W, d) float64: the vectors centred, on their leading principal directions, E||x||^2 = d over the words."""
        X = np.asarray(self.vectors, dtype=np.float64)
        X = X - X.mean(0)
        rows = X @ leading(X.T @ X, self.dimension)
        mean = float((rows**2).sum(1).mean())
        return rows * np.sqrt(self.dimension / mean) if mean > 0 else rows

    def _rows(self, M: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        odds = np.arange(1, len(self.rows) + 1) ** -float(self.zipf)
        return self.rows[rng.choice(len(self.rows), size=int(M.sum()), p=odds / odds.sum())], M


def word_world(source: WordSource, **settings: Any) -> Words:
    """The world of word vectors from a file or a model; `settings` are those of `WordSettings`.

    CorpusError where the file holds no word vectors, ModelError where there is no such model, ParameterError where the vectors
    have fewer dimensions than asked for.
    """
    if source.vectors:
        path = user_path(source.vectors)
        rows, name = read_vectors(path, source.words), path.name
    else:
        model = load_model(find_model(source.model, source.revision), device="cpu")
        rows, name = input_embeddings(model, source.words), model.name
    return Words(vectors=rows, source=name, options=tuple(fields.arguments(source)), **settings)


@dataclass(frozen=True)
class Teacher(TeacherSettings):
    """A world of the rows that a model gives a corpus, with labels drawn from the model's own head.

    Each run takes the token rows of some sentences.  Theta* has the columns of the output head (without its bias) for the L
    most frequent target tokens, and labels are drawn from softmax(Theta*^T x) whatever the text says: so the truth is known and
    the rows are real.  With d' below the model's d, rows and head are projected on the d' leading directions of the rows'
    second moment (not centred, so that logits stay Theta^T x).  Rows are scaled so that E||x||^2 = d' and the head by the
    inverse: no logit changes, and the ridge means what it means in the other worlds.

    `head` (d, C) has the columns of the most frequent targets; `options` are the command line's that name corpus and model.
    """

    embeddings: TokenEmbeddings = field(kw_only=True, repr=False, compare=False)
    head: np.ndarray = field(kw_only=True, repr=False, compare=False)
    corpus: str = field(kw_only=True)
    model: str = field(kw_only=True)
    texts: Corpus | None = field(default=None, kw_only=True, repr=False, compare=False)
    options: tuple[str, ...] = field(default=(), kw_only=True)

    name: ClassVar[str] = "teacher"

    def __post_init__(self) -> None:
        super().__post_init__()
        own, N, there = self.embeddings.dimension, len(self.embeddings), self.head.shape[1]
        if self.dimension is not None and self.dimension > own:
            raise ParameterError(f"--dimension {self.dimension} is above the model's {own}; lower it.")
        if self.sentences > N:
            raise ParameterError(f"--sentences {self.sentences:,} is above the pool of {N:,} sentences; lower it.")
        if self.classes > there:
            raise ParameterError(f"--classes {self.classes} is above the {there} different tokens of {self.corpus}; lower it.")
        object.__setattr__(self, "dimension", self.usual["dimension"] if self.dimension is None else self.dimension or own)
        object.__setattr__(self, "sentences", self.sentences or self.usual["sentences"])
        check_memory(float(self.embeddings.offsets[-1]) * self.sentences / N, self.directions_kept, self.classes)

    @property
    def usual(self) -> dict[str, int]:
        """What is taken where nothing is asked for."""
        return {"dimension": min(DIMENSION, self.embeddings.dimension), "sentences": min(SENTENCES, len(self.embeddings))}

    @property
    def directions_kept(self) -> int:
        """d'."""
        assert self.dimension is not None  # set when the instance was made
        return self.dimension

    @property
    def settings(self) -> dict[str, Any]:
        key = self.embeddings.key[:16] or fingerprint(np.asarray(self.embeddings.values))
        return {"corpus": self.corpus, "model": self.model, "fingerprint": key, **fields.values(self)}

    @property
    def title(self) -> str:
        return f"{self.corpus} under {self.model}, labels drawn from its head"

    def arguments(self) -> list[str]:
        return [*self.options, *fields.arguments(self, without=[n for n, v in self.usual.items() if getattr(self, n) == v])]

    @cached_property
    def directions(self) -> tuple[np.ndarray, float, float]:
        """(d, d') orthonormal columns, the factor that rows are scaled by, and the share of E||x||^2 that is kept."""
        values = self.embeddings.values
        d = values.shape[1]
        moment = np.zeros((d, d))
        for part in row_batches(values):
            moment += part.T @ part
        P = np.eye(d) if self.dimension == d else leading(moment, self.directions_kept)
        kept = float(np.trace(P.T @ moment @ P))
        return P, float(np.sqrt(self.directions_kept * len(values) / kept)), kept / float(np.trace(moment))

    def problem(self, seed: int) -> Problem:
        rng = np.random.default_rng(seed)
        e = self.embeddings
        drawn = np.sort(rng.choice(len(e), size=self.sentences, replace=False))
        P, factor, share = self.directions
        X = np.concatenate([np.asarray(e.block(int(i)), dtype=np.float64) @ P for i in drawn]) * factor
        theta = P.T @ self.head[:, : self.classes].astype(np.float64) * (self.scale / factor)
        pool = TokenEmbeddings(X, offsets_of(e.tokens[drawn]), e.index[drawn], {})
        return Problem(pool, theta, draw_labels(X, theta, rng), seed, self.texts, {"kept": share})


def teacher_world(
    embeddings: TokenEmbeddings,
    corpus: Corpus,
    model: CausalLM,
    settings: TeacherSettings | None = None,
    options: tuple[str, ...] = (),
) -> Teacher:
    """The world of a corpus, whose pool has these embeddings under the model; `options` as in `Teacher`.  ParameterError where
    the corpus or the model cannot meet the settings."""
    most = int(embeddings.facts.get("parameters", {}).get("max_tokens", MAX_TOKENS))
    encoded = encode([corpus.examples[int(i)] for i in embeddings.index], model.tokenizer, most)
    targets = np.concatenate([e.targets for e in encoded])
    if len(targets) != len(embeddings.values):
        raise ParameterError("The rows were not made from these texts by this model: the token counts differ; embed again.")
    counts = np.bincount(targets)
    # the most frequent first, the lower id first where two are equal
    frequent = np.argsort(-counts, kind="stable")[: min(MOST_CLASSES, np.count_nonzero(counts))]
    head: Any = model.network.get_output_embeddings()
    columns = head.weight.detach().cpu()[frequent.tolist()].float().numpy().T
    kind, _, constant = model.head.rpartition(" ")
    if kind == "scaled by":
        columns = columns * float(constant)
    asked = fields.values(settings or TeacherSettings())
    return Teacher(
        embeddings=embeddings, head=columns, corpus=corpus.name, model=model.name, texts=corpus, options=options, **asked
    )
