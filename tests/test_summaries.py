"""Who stands where: hand-made records and the shipped results."""

from dataclasses import replace

import numpy as np
import pytest

from fishersft import catalogue, paths
from fishersft.experiments.experiment import Experiment
from fishersft.experiments.fits import Estimate, Fits, fits_of
from fishersft.experiments.measure import Task, records_of
from fishersft.experiments.result import Result, read_curves
from fishersft.experiments.settings import BUDGETS, SELECTORS
from fishersft.experiments.summaries import (
    alike,
    alike_sentence,
    constant_sentence,
    standing_of,
    verdict_sentences,
    worth_sentences,
)
from fishersft.experiments.worlds import Synthetic

SHIPPED = [f"{world}-{equal}" for world in ("imbalanced", "isotropic") for equal in ("tokens", "sentences")]


def result_of(errors, equal="sentences", measure="maximum"):
    """A result at n = 100 and 200 whose errors at both are {selector: one a run}."""
    runs = len(next(iter(errors.values())))
    asked = Experiment(selectors=tuple(errors), budgets=(100, 200), runs=runs, equal=equal)
    columns = ("maximum", "mean", "worst_leverage", "log_det")
    records = [
        {"run": r, "selector": name, "d": 10, "L": 20, "n": [100, 200], "sentences": [100, 200], "tokens": [800, 1600],
         **{c: [values[r]] * 2 for c in columns}}
        for name, values in errors.items() for r in range(runs)
    ]  # fmt: skip
    return Result.of(asked.about, records)


def test_the_lowest_mean_wins_and_those_level_with_it_run_by_run_are_named():
    found = standing_of(
        result_of({"token_od": [10.0, 20, 30, 40], "uniform": [20.0, 40, 60, 82], "longest": [11.0, 19, 31.5, 39.5]})
    )
    assert (found.best, found.level, found.n) == ("token_od", ["longest"], 200)
    assert found.against.value == pytest.approx(np.exp(np.mean(np.log([0.5, 0.5, 0.5, 40 / 82]))))
    sentence = found.sentence()
    assert sentence.startswith(
        "With 200 sentences, the lowest maximum prediction error is TokenOD's, 25 (95% interval 4.46 to 45.5)"
    )
    assert "Longest cannot be told apart from it." in sentence
    assert "That is 0.497 times Uniform's 50.5" in sentence


def test_no_difference_is_called_no_difference():
    errors = {"token_od": [10.0, 12, 9, 11], "uniform": [11.0, 11, 10, 10.5]}
    sentence = standing_of(result_of(errors, "tokens")).sentence()
    assert sentence.startswith("With the tokens of TokenOD's first 200 sentences,")
    assert "no other selector can be told apart" in sentence
    assert "no clear difference" in sentence


def test_of_log_det_the_highest_wins():
    found = standing_of(result_of({"token_od": [30.0, 31], "uniform": [20.0, 21.5]}), measure="log_det")
    assert (found.best, found.level) == ("token_od", [])
    assert "the highest log det gained (nats) is TokenOD's" in found.sentence()
    assert "every other is lower" in found.sentence()


def test_what_uniform_needs_is_told_with_its_interval_and_where_its_curve_ends():
    errors = {"token_od": [10.0, 12, 11], "uniform": [20.0, 24, 22]}
    result = result_of(errors)
    slope, times = Estimate(-0.3, -0.35, -0.25), Estimate(2.5, 2, 3)

    def told(ratio, measure="maximum"):
        fits = Fits(measure, {"token_od": slope, "uniform": Estimate(-0.5, -0.55, -0.45)}, {"token_od": [ratio] * 2}, {}, 0.35)
        return worth_sentences(result, fits, 100)

    assert told(times) == [
        "For the error of TokenOD at n = 100, Uniform needs 2.5 (95% interval 2 to 3) times as many sentences.",
        "From n = 100 to 200 the error of TokenOD falls as n to the power -0.3 (95% interval -0.35 to -0.25), "
        "Uniform's -0.5 (-0.55 to -0.45); theory says -0.5, the paper saw about -0.3.",
    ]
    assert "2 or more) times" in told(Estimate(2.5, 2, np.inf))[0]
    assert "3 or less) times" in told(Estimate(2.5, 0, 3))[0]
    assert "never gets as low" in (end := told(Estimate(4, 3, np.inf, "at least"))[0])
    assert end.endswith("it needs at least 4 times as many sentences.")
    assert told(Estimate(1, 1, np.inf, "at least"))[0].endswith("it needs more sentences than that.")
    assert told(Estimate(0.5, 0, 0, "at most"))[0].endswith("it needs at most 0.5 times as many sentences.")
    assert told(times, "log_det") == []


def test_the_verdict_says_better_or_worse_than_a_random_draw_and_names_who_is_better_still():
    def told(measure="maximum", **errors):
        result = result_of(errors, measure=measure)
        return verdict_sentences(result, fits_of(result, measure), 100)

    assert told(token_od=[10.0, 12, 11], uniform=[20.0, 24, 22.2]) == [
        "At n = 100, TokenOD is better than a random draw: its largest error is 50% lower than Uniform's (49% to 51%), and "
        "Uniform needs at least 2 times as many sentences for the same."
    ]
    worse = told(token_od=[20.0, 24, 22.2], uniform=[10.0, 12, 11], longest=[5.0, 6.1, 5.5])
    assert worse[0].startswith("At n = 100, TokenOD is worse than a random draw: its largest error is 101% higher")
    assert worse[1].startswith("The lowest is Longest's, 50% lower than Uniform's (")
    level = told(token_od=[10.0, 12, 11], uniform=[11.0, 11, 11])
    assert level[0].startswith(
        "At n = 100, TokenOD is not clearly different from a random draw: its largest error is 0.28% lower"
    )
    assert level[0].endswith("(20% lower to 25% higher).")
    assert "better than a random draw: its log det is" in told("log_det", token_od=[20.0, 22, 21], uniform=[10.0, 11.1, 10])[0]
    alone = told(token_od=[1.0], uniform=[9.0])
    assert alone == [standing_of(result_of({"token_od": [1.0], "uniform": [9.0]}), 100).sentence()]


def test_the_bounds_constant_is_said_to_be_fitted():
    result = result_of({"token_od": [10.0, 12], "uniform": [20.0, 24]})
    fits = Fits("maximum", {}, {}, {}, 0.354)
    assert "The constant is fitted here to the curve of TokenOD (0.354 and 0.354)" in constant_sentence(result, fits, fits)
    assert constant_sentence(result, replace(fits, measure="mean")) == ""


def test_lines_that_hide_one_another_are_named_in_groups():
    errors = {
        "token_od": [10.0, 10],
        "uniform": [20.0, 20],
        "longest": [10.4, 10.4],
        "density": [10.8, 10.8],
        "clustered": [30.0, 30],
    }
    assert alike(result_of(errors)) == [["token_od", "longest", "density"]]
    assert alike(result_of(errors), selectors=("token_od", "density")) == []
    said = alike_sentence(result_of(errors))
    assert said == "These lines hide one another, each within 5% of the next: TokenOD, Longest and DensitySampling."


def test_a_single_run_tells_nobody_apart():
    found = standing_of(result_of({"token_od": [1.0], "uniform": [9.0]}))
    assert found.level == ["uniform"]
    assert found.against is None


def test_a_budget_that_was_not_measured_is_the_nearest_one():
    assert standing_of(result_of({"token_od": [1.0, 2], "uniform": [9.0, 8]}), n=50).n == 100


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_result_is_whole_and_is_what_its_command_says(name):
    """All 20 runs of all default selectors at all default budgets, of the world and the equality that its name says."""
    result = read_curves(paths.asset("curves", name))
    world, equal = name.split("-")
    asked = Experiment(world=Synthetic(features="clustered" if world == "imbalanced" else "isotropic"), equal=equal)
    assert result.about.settings == asked.settings | {"selectors": list(SELECTORS), "budgets": list(BUDGETS)}
    assert result.about.arguments == asked.arguments()
    assert result.runs == 20


def test_a_shipped_record_is_what_a_fresh_computation_gives():
    for name in ("imbalanced-sentences", "isotropic-sentences"):
        found = catalogue.find_run(name, catalogue.CURVES).opened
        world = {k: v for k, v in found.settings["world"].items() if k != "name"}
        asked = Experiment(world=Synthetic(**world), budgets=tuple(found.settings["budgets"]))
        fresh = next(records_of(Task(asked, 3, ("uniform",))))
        kept = read_curves(found.folder)
        assert kept.each("uniform", "maximum")[3] == pytest.approx(fresh["maximum"], rel=1e-5)


def test_the_lesson_of_the_two_worlds():
    """Imbalanced, at equal tokens: TokenOD far below Uniform at n = 200; isotropic: no difference."""
    imbalanced, isotropic = (standing_of(read_curves(paths.asset("curves", f"{w}-tokens"))) for w in ("imbalanced", "isotropic"))
    assert imbalanced.against.high < 0.7
    assert isotropic.against.low < 1 < isotropic.against.high
