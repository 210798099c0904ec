"""NFKC of hostile texts: the same as Unicode's own, but for letters with more marks than text has, and never slow."""

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fishersft.corpus.near_duplicates import near_duplicate_groups
from fishersft.corpus.normalized import MARKS, normalized
from fishersft.judge.replies import verdict_in

MARK, LOW, VOICED = "\u0301", "\u0316", "\uff9e"  # the last one is a mark only once it is taken apart


@given(st.text(alphabet=["a", "é", MARK, LOW, VOICED, "ｶ", "ﬁ", "½", " ", "😀", "한", "\ud800"], max_size=MARKS))
@settings(max_examples=300, deadline=None)
def test_a_text_with_few_marks_has_unicodes_own_form(text):
    assert normalized(text) == unicodedata.normalize("NFKC", text)


def test_of_the_marks_on_a_letter_the_first_thirty_stay():
    text = "x" + MARK * 40 + "y" + LOW * 31 + "z" + MARK * 30
    assert normalized(text) == unicodedata.normalize("NFKC", "x" + MARK * 30 + "y" + LOW * 30 + "z" + MARK * 30)
    assert normalized(LOW * 100) == LOW * 30


@pytest.mark.parametrize("marks", [MARK * 300_000 + LOW * 300_000, (VOICED + MARK) * 300_000], ids=["sorted last", "hidden"])
def test_a_letter_with_a_hundred_thousand_marks_takes_no_time(marks):
    began = time.process_time()
    near_duplicate_groups(["a" + marks, "b", "a"])
    verdict_in("a" + marks)
    assert time.process_time() - began < 10  # it was minutes
