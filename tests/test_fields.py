"""A parameter declared once: what is made from it agrees, whichever way the value comes."""

from dataclasses import dataclass
from typing import ClassVar

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fishersft import fields
from fishersft.errors import ParameterError
from fishersft.fields import parameter


@dataclass(frozen=True)
class Recipe:
    sigma2: float = parameter(1.0, "Weight of the identity.", above=0.0)
    share: float = parameter(0.5, "Share of the pool.", least=0.0, below=1.0)
    picks: int = parameter(3, "Picks.", least=1, most=50, unit="sentences")
    deep: bool = parameter(False, "Look at all.")
    kept: bool = parameter(True, "Keep it.")
    way: str = parameter("lazy", "Which way.", choices=("lazy", "naive"))
    budgets: tuple[int, ...] = parameter((10, 20), "Budgets.", least=1)
    limit: int | None = parameter(None, "At most so many.", least=1)
    undeclared: str = "left alone"

    name: ClassVar[str] = "recipe"

    def __post_init__(self):
        fields.check(self)


recipes = st.builds(
    Recipe,
    sigma2=st.floats(1e-6, 1e6),
    share=st.floats(0, 0.99),
    picks=st.integers(1, 50),
    deep=st.booleans(),
    kept=st.booleans(),
    way=st.sampled_from(["lazy", "naive"]),
    budgets=st.lists(st.integers(1, 10**6), min_size=1).map(tuple),
    limit=st.none() | st.integers(1, 99),
)


def from_command_line(arguments):
    made = []

    @click.command()
    @fields.options(Recipe)
    def command(**given):
        made.append(Recipe(**given))

    done = CliRunner().invoke(command, arguments, standalone_mode=False)
    if done.exception:
        raise done.exception
    return made[0]


@given(recipes)
def test_the_shown_command_makes_the_same_instance(recipe):
    assert from_command_line(fields.arguments(recipe)) == recipe


@given(recipes)
def test_the_shown_python_makes_the_same_instance(recipe):
    assert eval(fields.call(recipe, ""), {"Recipe": Recipe}) == recipe


@given(recipes)
def test_values_given_as_text_make_the_same_instance(recipe):
    texts = {
        name: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in fields.changed(recipe).items()
    }
    assert fields.make(Recipe, texts) == recipe


def test_only_what_differs_from_the_defaults_is_shown():
    assert fields.arguments(Recipe()) == []
    assert fields.arguments(Recipe(deep=True, kept=False, budgets=(5,))) == ["--deep", "--no-kept", "--budgets", "5"]
    assert fields.call(Recipe(picks=7)) == "fishersft.Recipe(picks=7)"


def test_the_key_holds_every_declared_value_and_nothing_else():
    assert list(fields.values(Recipe())) == ["sigma2", "share", "picks", "deep", "kept", "way", "budgets", "limit"]
    assert fields.values(Recipe())["budgets"] == [10, 20]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"sigma2": 0.0}, "a number above 0"),
        ({"sigma2": float("nan")}, "a number above 0"),
        ({"sigma2": True}, "a number above 0"),
        ({"sigma2": 10**400}, "a number above 0"),
        ({"sigma2": "1"}, "a number above 0"),
        ({"share": 1.0}, "a number of at least 0, below 1"),
        ({"picks": 51}, "a whole number from 1 to 50 (sentences)"),
        ({"picks": 2.5}, "a whole number from 1 to 50"),
        ({"deep": 1}, "true or false"),
        ({"way": "quick"}, "lazy or naive"),
        ({"budgets": [5]}, "whole numbers separated by commas"),
        ({"budgets": (5, 0)}, "whole numbers separated by commas"),
        ({"limit": 0}, "a whole number of at least 1"),
    ],
)
def test_a_bad_value_is_one_sentence_that_says_what_fits(bad, words):
    with pytest.raises(ParameterError) as refused:
        Recipe(**bad)
    assert f"The parameter '{next(iter(bad))}' of 'recipe' must be {words}" in str(refused.value)


@pytest.mark.parametrize("text", ["", "x", "1.5", "0x3"])
def test_a_text_that_is_no_whole_number_is_refused(text):
    with pytest.raises(ParameterError, match="must be a whole number from 1 to 50"):
        fields.make(Recipe, {"picks": text})


def test_an_unknown_name_is_told_which_there_are():
    with pytest.raises(ParameterError, match=r"'recipe' has no parameter 'sigma'; it has sigma2, share"):
        fields.make(Recipe, {"sigma": 1.0})


def test_the_help_page_says_what_was_declared():
    @click.command()
    @fields.options(Recipe, without=("deep",), picks=9)
    def command(**given):
        """Nothing."""

    page = CliRunner().invoke(command, ["--help"]).output
    assert "Weight of the identity." in page and "--deep" not in page and "[default: 9" in page and "lazy|naive" in page
