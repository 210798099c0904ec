"""Near-duplicates: what only looks different is the same, what only looks alike is not."""

import numpy as np
import pytest

from fishersft.corpus.near_duplicates import near_duplicates_of, without_repeats

TEXT = (
    "The harbour master counts the boats twice every evening and writes the number on a board by the gate, so that "
    "whoever comes late can see who is still out."
)


@pytest.mark.parametrize(
    "twin",
    [
        TEXT.upper(),
        TEXT.replace(" ", "  \n"),
        TEXT.replace(",", " ;").replace(".", "!!"),
        TEXT.replace("harbour", "port"),  # one word in 29
        f"{TEXT} Thank you.",
    ],
)
def test_a_twin_is_found(twin):
    assert near_duplicates_of([TEXT], [twin, "Another text."]).tolist() == [True, False]


@pytest.mark.parametrize("other", ["", "   ", "!!", "The boats are out.", " ".join(reversed(TEXT.split()))])
def test_what_is_not_a_twin_is_not_found(other):
    assert not near_duplicates_of([TEXT], [other]).any()


def test_sums_with_other_numbers_differ():
    sums = [f"{a} plus {b} is {a + b}." for a in range(10) for b in range(10)]
    assert near_duplicates_of(sums[:1], sums).tolist() == [True] + [False] * 99


def test_scripts_without_spaces_are_compared_by_characters():
    one = "漁港の管理人は毎晩二度、船を数えて門の板に書く"
    assert near_duplicates_of([one], [one.replace("毎晩", "毎朝"), "猫は窓辺で眠る"]).tolist() == [True, False]


def test_planted_twins_are_found_among_many():
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(3000)])
    texts = [" ".join(rng.choice(words, 40)) for _ in range(3000)]
    twins = []
    for text in texts[:100]:
        changed = text.split()
        changed[int(rng.integers(40))] = "changed"
        twins.append(" ".join(changed).title())
    found = near_duplicates_of(twins, texts)
    assert found[:100].all() and not found[100:].any()


def test_the_first_of_several_stays():
    assert without_repeats([TEXT, "Another text.", TEXT.upper(), "Another text!"]).tolist() == [0, 1]
