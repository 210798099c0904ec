"""The user's own corpus with a known truth: real token rows, a real head, drawn labels.

    rows    the corpus' token embeddings, of a seeded draw of sentences a run
    Theta*  the model's own output head, its columns of the L tokens most frequent among the corpus' targets
    labels  drawn from softmax(Theta*^T x), whatever the text says: so the truth is known and the rows are real

With d' below the model's d, rows and head are projected on the d' leading directions of the rows' second moment (not centred,
so that logits stay Theta^T x).  Rows are scaled by one number so that E||x||^2 = d', the head by its inverse: no logit changes,
and the ridge means what it means in the other worlds.

Ours: a reviewer asked for such a bridge between the synthetic and the real.  A head's bias is left out, as everywhere here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fishersft.corpus.encode import MAX_TOKENS, encode
from fishersft.errors import ParameterError
from fishersft.experiments.problem import Problem, check_memory, draw_labels
from fishersft.experiments.synthetic import check_between, check_whole
from fishersft.experiments.words import fingerprint, principal
from fishersft.lm.embed import TokenEmbeddings

if TYPE_CHECKING:
    from fishersft.corpus.records import Corpus
    from fishersft.lm.model import CausalLM

SENTENCES = 3_000
DIMENSION = 32
MOST_CLASSES = 1_000  # columns of the head that are kept


@dataclass(frozen=True)
class Teacher:
    """A world of a corpus' own rows.

    Attributes:
        embeddings: of the corpus' pool.
        head: (d, C) the output head's columns, those of the most frequent targets first.
        corpus, model: names, for people.
        dimension: d', where it is below the model's own; 0 keeps all of it.
        classes: L.
        sentences: N, a draw of the pool each run; 0 takes min(3,000, the pool).
        scale: multiplies Theta*; below 1 the labels are more random than the model says.
        texts: the corpus, for selectors that read it.
        options: command-line options that name corpus and model, for `arguments`.
    """

    embeddings: TokenEmbeddings = field(repr=False, compare=False)
    head: np.ndarray = field(repr=False, compare=False)
    corpus: str
    model: str
    dimension: int = DIMENSION
    classes: int = 20
    sentences: int = 0
    scale: float = 1.0
    texts: Corpus | None = field(default=None, repr=False, compare=False)
    options: tuple[str, ...] = ()

    name: ClassVar[str] = "teacher"

    def __post_init__(self) -> None:
        for name, least in (("dimension", 0), ("classes", 2), ("sentences", 0)):
            check_whole(name, getattr(self, name), least)
        check_between("scale", self.scale, 0.0, 1e3)
        own, N, there = self.embeddings.dimension, len(self.embeddings), self.head.shape[1]
        if self.dimension > own:
            raise ParameterError(f"--dimension {self.dimension} is above the model's {own}; lower it.")
        if self.sentences > N:
            raise ParameterError(f"--sentences {self.sentences:,} is above the pool of {N:,} sentences; lower it.")
        if self.classes > there:
            raise ParameterError(f"--classes {self.classes} is above the {there} different tokens of {self.corpus}; lower it.")
        object.__setattr__(self, "dimension", self.dimension or own)
        object.__setattr__(self, "sentences", self.sentences or min(SENTENCES, N))
        tokens = float(self.embeddings.offsets[-1]) * self.sentences / N
        check_memory(tokens, self.dimension, self.classes, "--sentences, --dimension or --classes")

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "corpus": self.corpus,
            "model": self.model,
            "fingerprint": self.embeddings.key[:16] or fingerprint(np.asarray(self.embeddings.values)),
            "dimension": self.dimension,
            "classes": self.classes,
            "sentences": self.sentences,
            "scale": self.scale,
        }

    @property
    def title(self) -> str:
        return f"{self.corpus} under {self.model}, labels drawn from its head"

    def arguments(self) -> list[str]:
        defaults = {
            "dimension": min(DIMENSION, self.embeddings.dimension),
            "classes": 20,
            "sentences": min(SENTENCES, len(self.embeddings)),
            "scale": 1.0,
        }
        changed = [name for name, value in defaults.items() if getattr(self, name) != value]
        return [*self.options, *(part for name in changed for part in (f"--{name}", f"{getattr(self, name)}"))]

    @cached_property
    def directions(self) -> tuple[np.ndarray, float, float]:
        """(d, d') orthonormal columns, the factor that rows are scaled by, and the share of E||x||^2 that is kept."""
        values = self.embeddings.values
        d = values.shape[1]
        moment = np.zeros((d, d))
        for start in range(0, len(values), 65_536):
            part = np.asarray(values[start : start + 65_536], dtype=np.float64)
            moment += part.T @ part
        P = np.eye(d) if self.dimension == d else principal(moment, self.dimension)
        kept = float(np.trace(P.T @ moment @ P))
        return P, float(np.sqrt(self.dimension * len(values) / kept)), kept / float(np.trace(moment))

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


def teacher_of(
    embeddings: TokenEmbeddings,
    corpus: Corpus,
    model: CausalLM,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> Teacher:
    """The world of a corpus under a model.

    Args:
        embeddings: of the corpus' pool under this model.
        settings: `dimension`, `classes`, `sentences`, `scale`, `options` of `Teacher`; a `dimension` above the model's own, where
            it was not asked for, is for the caller to leave out.

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
    return Teacher(embeddings, columns, corpus.name, model.name, texts=corpus, **settings)
