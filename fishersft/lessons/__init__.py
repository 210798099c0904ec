"""Optimal design, hands on: the lessons in their order, and which of them explains a term."""

from __future__ import annotations

from fishersft.lessons.ellipse import Ellipse
from fishersft.lessons.equivalence import Equivalence
from fishersft.lessons.gains import Returns, Sentences
from fishersft.lessons.greedy import Lazy, Subsets
from fishersft.lessons.lemma import Lemma
from fishersft.lessons.lesson import Lesson
from fishersft.lessons.pools import Imbalance, Outlier
from fishersft.lessons.target import TargetLesson

LESSONS: dict[str, type[Lesson]] = {
    kind.name: kind for kind in (Ellipse, Equivalence, Returns, Sentences, Subsets, Lazy, Imbalance, Lemma, Outlier, TargetLesson)
}
TERMS: dict[str, type[Lesson]] = {term: kind for kind in LESSONS.values() for term in kind.terms}
