"""The user's own corpus with a known truth: real token rows, a real head, drawn labels.

    rows    the corpus' token embeddings, of a seeded draw of sentences a run
    Theta*  the model's own output head, its columns of the L tokens most frequent among the corpus' targets
    labels  drawn from softmax(Theta*^T x), whatever the text says: so the truth is known and the rows are real

With d' below the model's d, rows and head are projected on the d' leading directions of the rows' second moment (not centred,
so that logits stay Theta^T x).  Rows are scaled by one number so that E||x||^2 = d', the head by its inverse: no logit changes,
and the ridge means what it means in the other worlds.

A reviewer of the paper asked for such a bridge between the synthetic and the real.  A head's
bias is left out, as everywhere here.
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
from fishersft.errors import ParameterError
from fishersft.experiments.problem import ROWS, Problem, check_memory, draw_labels
from fishersft.experiments.settings import TeacherSettings
from fishersft.experiments.words import fingerprint, principal
from fishersft.lm.model import CausalLM

SENTENCES = 3_000
DIMENSION = 32
MOST_CLASSES = 1_000  # columns of the head that are kept


@dataclass(frozen=True)
class Teacher(TeacherSettings):
    """A world of a corpus' own rows.

    Attributes:
        embeddings: of the corpus' pool.
        head: (d, C) the output head's columns, those of the most frequent targets first.
        corpus, model: names, for people.
        texts: the corpus, for selectors that read it.
        options: command-line options that name corpus and model, for `arguments`.
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
        return {
            "corpus": self.corpus,
            "model": self.model,
            "fingerprint": self.embeddings.key[:16] or fingerprint(np.asarray(self.embeddings.values)),
            **fields.values(self),
        }

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
        for start in range(0, len(values), ROWS):
            part = np.asarray(values[start : start + ROWS], dtype=np.float64)
            moment += part.T @ part
        P = np.eye(d) if self.dimension == d else principal(moment, self.directions_kept)
        kept = float(np.trace(P.T @ moment @ P))
        return P, float(np.sqrt(self.directions_kept * len(values) / kept)), kept / float(np.trace(moment))

    def problem(self, seed: int) -> Problem:
        rng = np.random.default_rng(seed)
        e = self.embeddings
        drawn = np.sort(rng.choice(len(e), size=self.sentences, replace=False))
        P, factor, share = self.directions
        X = np.concatenate([np.asarray(e.block(int(i)), dtype=np.float64) @ P for i in drawn]) * factor
        offsets = np.concatenate([[0], np.cumsum(e.tokens[drawn])]).astype(np.int64)
        theta = P.T @ self.head[:, : self.classes].astype(np.float64) * (self.scale / factor)
        pool = TokenEmbeddings(X, offsets, e.index[drawn], {})
        return Problem(pool, theta, draw_labels(X, theta, rng), seed, self.texts, {"kept": share})


def teacher_world(
    embeddings: TokenEmbeddings,
    corpus: Corpus,
    model: CausalLM,
    settings: TeacherSettings | None = None,
    options: tuple[str, ...] = (),
) -> Teacher:
    """The world of a corpus under a model.

    Args:
        embeddings: of the corpus' pool under this model.
        options: command-line options that name corpus and model.

    Raises:
        ParameterError: settings that the corpus or the model cannot meet.
    """
    most = int(embeddings.facts.get("parameters", {}).get("max_tokens", MAX_TOKENS))
    encoded = encode([corpus.examples[int(i)] for i in embeddings.index], model.tokenizer, most)
    targets = np.concatenate([e.ids[e.rows + 1] for e in encoded]).astype(np.int64)
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
