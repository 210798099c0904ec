"""The lessons in their order, and which of them explains a term."""

from __future__ import annotations

from fishersft.lessons.ellipse import Ellipse
from fishersft.lessons.equivalence import Equivalence
from fishersft.lessons.imbalance import Imbalance
from fishersft.lessons.lazy import Lazy
from fishersft.lessons.lemma import Lemma
from fishersft.lessons.lesson import Lesson
from fishersft.lessons.outlier import Outlier
from fishersft.lessons.returns import Returns
from fishersft.lessons.sentences import Sentences
from fishersft.lessons.subsets import Subsets

LESSONS: dict[str, type[Lesson]] = {
    kind.name: kind for kind in (Ellipse, Equivalence, Returns, Sentences, Subsets, Lazy, Imbalance, Lemma, Outlier)
}

TERMS: dict[str, type[Lesson]] = {
    "design matrix": Ellipse,
    "sigma2": Ellipse,
    "log det": Ellipse,
    "nats": Ellipse,
    "ellipse": Ellipse,
    "leverage": Equivalence,
    "worst leverage": Equivalence,
    "criteria": Equivalence,
    "equivalence theorem": Equivalence,
    "gain": Returns,
    "diminishing returns": Returns,
    "submodularity": Returns,
    "token gain": Sentences,
    "gain per token": Sentences,
    "length": Sentences,
    "equal tokens": Sentences,
    "greedy": Subsets,
    "certificate": Subsets,
    "share of the optimum": Subsets,
    "lazy greedy": Lazy,
    "evaluations": Lazy,
    "uniform": Imbalance,
    "coverage": Imbalance,
    "random draws": Imbalance,
    "lemma 3.1": Lemma,
    "confidence of the model": Lemma,
    "MatchedOD": Outlier,
    "outlier": Outlier,
    "Stein's loss": Outlier,
    "second moment": Outlier,
}
