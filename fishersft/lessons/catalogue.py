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
TERMS: dict[str, type[Lesson]] = {term: kind for kind in LESSONS.values() for term in kind.terms}
