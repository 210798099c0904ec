"""From a term on any page to the lesson that explains it.

    st.metric("worst leverage", ..., help=learn.helped("The largest ... over the pool.", "leverage"))
    learn.info("certificate")

Terms are those of `fishersft.lessons.TERMS`; an unknown one is a KeyError, so that a test finds it.
"""

from __future__ import annotations

import streamlit as st

from fishersft.lessons import TERMS
from fishersft.lessons.lesson import Lesson
from fishersft.selectors import Selector

PAGE = "pages/learn.py"


def lesson_of(term: str) -> type[Lesson]:
    """The lesson that explains a term."""
    return TERMS[term]


def address(term: str) -> str:
    """Where that lesson is, relative to any page of the dashboard."""
    return f"learn?lesson={lesson_of(term).name}"


def link(term: str) -> str:
    """A Markdown link to the lesson."""
    return f"[Lesson: {lesson_of(term).title}]({address(term)})"


def helped(text: str, *terms: str) -> str:
    """A help text that ends with links to the lessons of its terms, each once."""
    return " ".join([text, *dict.fromkeys(link(term) for term in terms)])


def selector(kind: type[Selector]) -> str:
    """A selector and what it is, in Markdown, with its lesson where it has one."""
    said = f"**{kind.label}**: {kind.summary}"
    return helped(said, kind.label) if kind.label in TERMS else said


def info(term: str) -> None:
    """An "i" that opens the lesson in this tab; reached by keyboard too."""
    kind = lesson_of(term)
    query = {"lesson": kind.name}
    st.page_link(PAGE, label=f"What is {term}?", icon=":material/info:", query_params=query, help=f"Lesson: {kind.title}")
