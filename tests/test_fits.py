"""Slopes, ratios, tests and the bound's shape on curves whose answer is known."""

import numpy as np
import pytest

from fishersft.experiments.experiment import About
from fishersft.experiments.fits import bound_shape, fits_of, guide
from fishersft.experiments.result import Result
from fishersft.experiments.summaries import curves_summary, standing_of

BUDGETS = np.array([50, 100, 200, 400, 800])


def result(curves, equal="sentences", tokens=None):
    """A result whose maximum errors are given: {selector: (runs, 5)}."""
    settings = {"selectors": list(curves), "equal": equal, "reference": "token_od", "budgets": BUDGETS.tolist(), "runs": 0}
    world = {"dimension": 10, "classes": 20}
    runs = len(next(iter(curves.values())))
    columns = {}
    for name, maximum in curves.items():
        columns[name] = {m: np.asarray(maximum, float) for m in ("maximum", "mean", "worst_leverage", "log_det")}
        columns[name] |= {
            "sentences": np.tile(BUDGETS, (runs, 1)),
            "tokens": np.tile(10.0 * BUDGETS if tokens is None else tokens, (runs, 1)),
        }
    return Result(
        About({**settings, "world": world}, "A pool", ["curves", "synthetic", "--set", "a.b=c d"]), runs, {(10, 20): columns}
    )


def noisy(constant, slope, runs=20, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    return constant * BUDGETS**slope * np.exp(noise * rng.normal(size=(runs, len(BUDGETS))))


def test_the_slope_of_a_power_law_is_its_power():
    exact = np.tile(300 * BUDGETS**-0.3, (4, 1))
    slope = fits_of(result({"token_od": exact})).slopes["token_od"]
    assert (slope.value, slope.low, slope.high) == pytest.approx((-0.3, -0.3, -0.3))


def test_an_interval_of_the_slope_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(60):
        slope = fits_of(result({"token_od": noisy(300, -0.5, seed=seed)}), seed=seed).slopes["token_od"]
        held += slope.low <= -0.5 <= slope.high
    assert held >= 50  # 57 expected; 50 or fewer has odds below 1 in 500, a bootstrap over 20 runs being a little short


def test_half_the_sentences_for_the_same_error_is_a_ratio_of_two():
    uniform = np.tile(1000 * BUDGETS**-0.5, (3, 1))
    halved = np.tile(1000 * (2 * BUDGETS) ** -0.5, (3, 1))
    found = fits_of(result({"token_od": halved, "uniform": uniform})).ratios["token_od"]
    assert [e.value for e in found[:-1]] == pytest.approx([2, 2, 2, 2])
    assert [e.side for e in found] == ["", "", "", "", "at least"]
    assert (found[-1].value, found[-1].high) == (1.0, np.inf)


def test_a_selector_that_is_worse_needs_less_of_uniform_and_the_start_is_said_to_be_at_most():
    uniform = np.tile(1000 * BUDGETS**-0.5, (3, 1))
    found = fits_of(result({"longest": np.tile(1000 * (BUDGETS / 2) ** -0.5, (3, 1)), "uniform": uniform})).ratios["longest"]
    assert [e.side for e in found] == ["at most", "", "", "", ""]
    assert [e.value for e in found[1:]] == pytest.approx([0.5] * 4)


def test_at_equal_tokens_ratios_and_slopes_are_of_tokens():
    tokens = BUDGETS**2.0
    exact = np.tile(1e4 * tokens**-0.5, (3, 1))
    slope = fits_of(result({"token_od": exact}, "tokens", tokens)).slopes["token_od"]
    assert slope.value == pytest.approx(-0.5)


def test_the_paired_test_sees_a_small_steady_difference_that_means_hide():
    common = np.exp(np.random.default_rng(0).normal(size=(20, 1)))  # pools differ much more than selectors
    uniform = common * noisy(1, -0.5, noise=0.01, seed=1)
    found = fits_of(result({"token_od": 0.95 * common * noisy(1, -0.5, noise=0.01, seed=2), "uniform": uniform})).paired[
        "token_od"
    ]
    assert all(p.ratio.low < 0.95 < p.ratio.high for p in found)
    assert all(p.ratio.high < 1 and p.p < 1e-4 for p in found)


def test_the_same_errors_are_no_difference():
    same = noisy(1, -0.5)
    found = fits_of(result({"token_od": same, "uniform": same}))
    assert all(p.p == 1 and p.ratio.value == 1 for p in found.paired["token_od"])
    assert all(e.value == pytest.approx(1) for e in found.ratios["token_od"])


def test_all_sentences_by_two_rules_are_no_difference_however_the_last_digits_fall():
    """At n = N every selection is the pool; two fits of it agree to what the solver is asked for, and not to the last bit."""
    errors = noisy(1, -0.5)
    by_another_order = errors * np.append(np.full(len(BUDGETS) - 1, 0.5), 1 - 1e-6)
    made = result({"token_od": by_another_order, "uniform": errors})
    last = fits_of(made).paired["token_od"][-1]
    assert (last.p, last.ratio.low, last.ratio.high) == (1.0, 1.0, 1.0)
    assert fits_of(made).ratios["token_od"][-1].side == ""
    assert fits_of(made).ratios["token_od"][-1].value == pytest.approx(1)
    assert standing_of(made, int(BUDGETS[-1])).level == ["uniform"]


def test_one_run_has_values_and_no_intervals():
    made = result({"token_od": noisy(1, -0.5, 1), "uniform": noisy(1, -0.5, 1, 1)})
    found = fits_of(made)
    assert np.isfinite(found.slopes["token_od"].value)
    assert np.isnan(found.slopes["token_od"].low)
    assert np.isnan(found.paired["token_od"][0].p)
    assert curves_summary(made)["fits"]["paired"]["token_od"][0]["p"] is None


def test_without_uniform_there_is_nothing_to_compare_with():
    found = fits_of(result({"token_od": noisy(1, -0.5)}))
    assert not found.ratios
    assert not found.paired


def test_the_bound_has_its_shape_and_the_fitted_constant():
    made = result({"token_od": np.tile(0.7 * 10 * 20 / np.sqrt(BUDGETS), (2, 1))})
    assert fits_of(made).constant == pytest.approx(0.7)
    np.testing.assert_allclose(bound_shape(made).mean, 0.7 * 200 / np.sqrt(BUDGETS))


def test_a_guide_starts_at_the_first_point_with_its_slope():
    line = guide(result({"token_od": np.tile(5.0 * BUDGETS**-0.4, (2, 1))}), "token_od", -0.5).mean
    assert line[0] == pytest.approx(5.0 * 50**-0.4)
    assert np.log(line[-1] / line[0]) / np.log(16) == pytest.approx(-0.5)


def test_a_band_is_students_interval_of_the_mean():
    curve = result({"token_od": [[1.0] * 5, [3.0] * 5]}).curve("token_od")
    assert curve.mean[0] == 2
    assert curve.high is not None
    assert curve.high[0] == pytest.approx(2 + 12.7062 * np.sqrt(2) / np.sqrt(2), rel=1e-4)


def test_a_command_can_be_pasted_into_a_shell():
    assert result({"token_od": noisy(1, -0.5)}).about.command == "fishersft curves synthetic --set 'a.b=c d'"


def test_the_table_has_one_row_a_selector_and_budget():
    rows = result({"token_od": noisy(1, -0.5), "uniform": noisy(2, -0.5)}).table()
    assert [(r["selector"], r["n"]) for r in rows] == [(s, n) for s in ("token_od", "uniform") for n in BUDGETS]
    assert all(r["maximum_low"] < r["maximum"] < r["maximum_high"] for r in rows)
