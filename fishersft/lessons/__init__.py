"""Optimal design, hands on: the lessons in their order, which of them explains a term, and paths through them for a class."""

from __future__ import annotations

from fishersft.lessons.criteria import Criteria
from fishersft.lessons.ellipse import Ellipse
from fishersft.lessons.equivalence import Equivalence
from fishersft.lessons.gains import Returns, Sentences
from fishersft.lessons.greedy import Lazy, Subsets
from fishersft.lessons.lemma import Lemma
from fishersft.lessons.lesson import Lesson
from fishersft.lessons.pools import Imbalance, Outlier
from fishersft.lessons.regression import Regression
from fishersft.lessons.target import TargetLesson
from fishersft.lessons.tuned import Tuned

COURSE: tuple[type[Lesson], ...] = (
    Regression,
    Ellipse,
    Returns,
    Criteria,
    Subsets,
    Sentences,
    Imbalance,
    Outlier,
    TargetLesson,
    Lemma,
    Tuned,
)
APPENDIX: tuple[type[Lesson], ...] = (Lazy, Equivalence)
LESSONS: dict[str, type[Lesson]] = {kind.name: kind for kind in (*COURSE, *APPENDIX)}
TERMS: dict[str, type[Lesson]] = {term: kind for kind in LESSONS.values() for term in kind.terms}

# Minutes for each lesson of a class: a demonstration, a short class, and a whole one with discussion.
PATHS: dict[int, dict[str, int]] = {
    10: {"line": 3, "ellipse": 3, "sentences": 2, "tuned": 2},
    25: {"line": 4, "ellipse": 3, "returns": 3, "greedy": 3, "sentences": 4, "target": 4, "tuned": 4},
    45: {
        "line": 6,
        "ellipse": 4,
        "returns": 4,
        "criteria": 4,
        "greedy": 4,
        "sentences": 4,
        "imbalance": 3,
        "outlier": 3,
        "target": 4,
        "lemma": 4,
        "tuned": 5,
    },
}
