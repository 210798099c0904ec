"""The word diff: what is marked differs, what is not is common, and nothing of the text is lost."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishersft.text import MOST, compared, share_alike


def marked(spans):
    return [s.text for s in spans if s.differs]


def test_only_the_words_that_differ_are_marked():
    left, right = compared("a storm is coming from the west", "a storm was coming from the far west")
    assert (marked(left), marked(right)) == (["is"], ["was", "far"])


def test_neighbouring_changes_are_one_span_and_punctuation_stands_alone():
    left, right = compared("He came home, tired.", "He went far away, tired!")
    assert (marked(left), marked(right)) == (["came home", "."], ["went far away", "!"])


def test_identical_texts_have_no_mark_and_spaces_alone_never_differ():
    left, right = compared("one  two\nthree", "one two three")
    assert marked(left) == marked(right) == []
    assert share_alike("one  two", "one two") == 1.0


def test_the_share_is_counted_in_words_of_both():
    assert share_alike("a b c", "a x c y") == 4 / 7
    assert share_alike("", "") == 1.0
    assert share_alike("a", "") == 0.0


@given(st.text(max_size=80), st.text(max_size=80))
def test_spans_joined_are_the_text_and_the_marks_turn_around_with_the_texts(one, other):
    left, right = compared(one, other)
    assert ("".join(s.text for s in left), "".join(s.text for s in right)) == (one, other)
    assert all(a.differs != b.differs for a, b in itertools.pairwise(left))
    assert (one.split() == other.split()) <= (not marked(left) and not marked(right))


def test_a_very_long_text_is_compared_in_a_moment():
    left, right = compared("word " * 100_000, "a" * 100_000)
    assert "".join(s.text for s in left) == "word " * 100_000
    assert marked(right) == ["a" * 100_000]


@pytest.mark.timeout(60)
def test_a_text_that_repeats_itself_is_compared_in_a_moment_and_a_usual_one_to_its_end():
    one, other = (" ".join("ab"[(k * k // 7 if odd else 3 * k // 5) % 2] for k in range(3_000)) for odd in (True, False))
    assert share_alike(one, other) < 1
    frequencies = [1 / (rank + 2.7) for rank in range(5_000)]  # of words in a natural text (Mandelbrot 1953)
    usual = random.Random(0).choices([f"w{rank}" for rank in range(5_000)], frequencies, k=MOST)
    left, right = compared(" ".join(usual), " ".join([*usual[:-1], "end"]))
    assert (marked(left), marked(right)) == ([usual[-1]], ["end"])
