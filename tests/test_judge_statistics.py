"""The statistics of verdicts: by hand, by simulation, and what must not change them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from fishersft.judge import statistics
from fishersft.judge.base import Judgment, Verdict
from fishersft.judge.report import PAPER_BUDGETS, Judged, Report, paper_rates


def once(*scores):
    return np.array(scores, float), np.arange(len(scores))


def judged(a, b, score, prompt, budget=50, said=("first", "second"), longer=0, seed=0):
    winner = {1.0: "a", 0.0: "b", 0.5: "tie"}[score]
    return Judged(a, b, budget, seed, prompt, Verdict(winner, "asked", *(Judgment(s) for s in said)), longer)


class TestWinRate:
    @pytest.mark.parametrize(("won", "n"), [(0, 5), (3, 10), (50, 100), (7, 7)])
    def test_with_whole_counts_the_interval_is_wilsons(self, won, n):
        rate = statistics.win_rate(*once(*[1] * won, *[0] * (n - won)))
        expected = binomtest(won, n).proportion_ci(method="wilson")
        assert (rate.low, rate.high) == pytest.approx((expected.low, expected.high), abs=1e-9)

    def test_ties_count_half(self):
        rate = statistics.win_rate(*once(1, 1, 0.5, 0))
        assert rate.value == 2.5 / 4 and rate.n == 4

    def test_copies_of_a_verdict_on_the_same_prompt_narrow_nothing(self):
        scores, prompts = once(1, 0, 1, 1, 0, 1, 0, 1)
        one = statistics.win_rate(scores, prompts)
        copied = statistics.win_rate(np.repeat(scores, 10), np.repeat(prompts, 10))
        assert copied.value == one.value and copied.n == 80
        assert 7 <= copied.effective <= 8 and copied.high - copied.low >= one.high - one.low

    def test_independent_verdicts_on_the_same_prompts_do_narrow_it(self):
        rng = np.random.default_rng(0)
        rate = statistics.win_rate((rng.random(2000) < 0.5).astype(float), np.repeat(np.arange(200), 10))
        assert 1500 < rate.effective <= 2000

    def test_a_rate_of_one_has_no_more_certainty_than_its_prompts(self):
        assert statistics.win_rate(np.ones(50), np.repeat(np.arange(5), 10)).low == pytest.approx(statistics.wilson(1.0, 5)[0])

    def test_the_interval_covers_the_truth_about_as_often_as_it_says(self):
        rng, hits = np.random.default_rng(1), 0
        for _ in range(300):
            p = np.clip(rng.normal(0.6, 0.2, size=60), 0, 1)  # prompts differ
            scores = (rng.random((60, 4)) < p[:, None]).astype(float).ravel()
            rate = statistics.win_rate(scores, np.repeat(np.arange(60), 4))
            hits += rate.low <= 0.6 <= rate.high
        assert 0.91 <= hits / 300 <= 0.99

    def test_nothing_judged_is_no_number(self):
        rate = statistics.win_rate(*once())
        assert math.isnan(rate.value) and (rate.low, rate.high) == (0.0, 1.0)

    @given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 5)), min_size=1, max_size=30))
    @settings(max_examples=60, deadline=None)
    def test_swapping_a_and_b_mirrors_everything(self, rows):
        scores, prompts = np.array([s for s, _ in rows]), np.array([p for _, p in rows])
        one, other = statistics.win_rate(scores, prompts), statistics.win_rate(1 - scores, prompts)
        assert other.value == pytest.approx(1 - one.value)
        assert (other.low, other.high) == pytest.approx((1 - one.high, 1 - one.low))
        assert 0 <= one.low <= one.value <= one.high <= 1
        assert statistics.exact_test(scores, prompts) == pytest.approx(statistics.exact_test(1 - scores, prompts))


class TestExact:
    def test_it_is_the_sign_test_by_hand(self):
        assert statistics.exact_test(*once(1, 1, 1, 1, 1)) == pytest.approx(2 / 32)

    def test_it_counts_prompts_not_verdicts(self):
        assert statistics.exact_test(np.ones(50), np.repeat(np.arange(5), 10)) == pytest.approx(2 / 32)

    def test_ties_say_nothing(self):
        assert statistics.exact_test(*once(1, 1, 1, 1, 1, 0.5, 0.5)) == pytest.approx(2 / 32)
        assert statistics.exact_test(*once(0.5, 0.5)) == 1.0

    def test_five_points_take_785_prompts_without_ties(self):
        scores, prompts = once(*[1, 0] * 20)
        assert statistics.prompts_needed(scores, prompts) == (785, 785)
        assert statistics.prompts_needed(np.r_[scores, np.full(40, 0.5)], np.arange(80))[0] == 393


class TestLength:
    def test_a_judge_that_only_sees_length_is_seen_through(self):
        rng = np.random.default_rng(0)
        longer = rng.normal(20, 20, size=600)  # a is mostly longer
        scores = (rng.random(600) < 1 / (1 + np.exp(-longer / 10))).astype(float)
        raw, adjusted = statistics.win_rate(scores, np.arange(600)), statistics.length_adjusted(scores, longer, np.arange(600))
        assert raw.value > 0.7 and adjusted.low < 0.5 < adjusted.high

    def test_a_judge_blind_to_length_keeps_its_rate(self):
        rng = np.random.default_rng(0)
        scores = (rng.random(600) < 0.7).astype(float)
        adjusted = statistics.length_adjusted(scores, rng.normal(size=600), np.arange(600))
        assert adjusted.value == pytest.approx(scores.mean(), abs=0.01) and adjusted.low < 0.7 < adjusted.high

    def test_it_is_not_told_where_it_cannot_be(self):
        assert statistics.length_adjusted(*(lambda s, p: (s, np.arange(9.0), p))(*once(*[1] * 9))) is None
        assert statistics.length_adjusted(*(lambda s, p: (s, np.full(6, 3.0), p))(*once(1, 0, 1, 1, 0, 1))) is None
        scores, prompts = once(1, 0, 1, 1, 0, 1)
        assert statistics.length_adjusted(scores, np.zeros(6), prompts).value == pytest.approx(4 / 6)


class TestAgreement:
    def test_kappa_by_hand(self):
        # 20 + 15 of 50 agree; expected 0.5 * 0.6 + 0.5 * 0.4 = 0.5; (0.7 - 0.5) / 0.5
        pairs = [("a", "a")] * 20 + [("a", "b")] * 5 + [("b", "a")] * 10 + [("b", "b")] * 15
        found = statistics.kappa([x for x, _ in pairs], [y for _, y in pairs], list(range(50)))
        assert found.kappa == pytest.approx(0.4) and found.observed == 0.7
        assert found.low < 0.4 < found.high

    def test_it_is_scikit_learns(self):
        from sklearn.metrics import cohen_kappa_score

        rng = np.random.default_rng(0)
        one, other = (list(rng.choice(["a", "b", "tie"], 80)) for _ in range(2))
        assert statistics.kappa(one, other, list(range(80))).kappa == pytest.approx(cohen_kappa_score(one, other))

    def test_two_who_only_ever_say_one_thing_agree_without_kappa(self):
        found = statistics.kappa(["a"] * 4, ["a"] * 4, [0, 1, 2, 3])
        assert math.isnan(found.kappa) and found.observed == 1.0


class TestRanking:
    def test_two_players_have_the_log_odds_of_their_rate(self):
        scores = np.array([1.0] * 300 + [0.0] * 100)
        strong, weak = statistics.bradley_terry(["x"] * 400, ["y"] * 400, scores, np.arange(400), draws=20)
        assert strong.name == "x" and strong.value - weak.value == pytest.approx(math.log(3), rel=0.01)

    def test_the_truth_is_found(self):
        truth = {"p": 1.0, "q": 0.3, "r": -0.3, "s": -1.0}
        rng = np.random.default_rng(0)
        pairs = [(x, y) for x in truth for y in truth if x < y] * 150
        win = [float(rng.random() < 1 / (1 + math.exp(truth[y] - truth[x]))) for x, y in pairs]
        found = statistics.bradley_terry([x for x, _ in pairs], [y for _, y in pairs], np.array(win), np.arange(len(pairs)) // 6)
        assert [s.name for s in found] == list("pqrs")
        assert all(abs(s.value - truth[s.name]) < 0.3 and 0.2 < s.high - s.low < 0.6 for s in found)

    def test_one_who_never_lost_has_a_finite_strength(self):
        found = statistics.bradley_terry(["x"] * 9, ["y"] * 9, np.ones(9), np.arange(9), draws=20)
        assert found[0].name == "x" and 0 < found[0].value < 10

    def test_the_order_of_the_verdicts_is_nothing(self):
        rng = np.random.default_rng(3)
        a, b = rng.choice(list("xy"), 60), np.full(60, "z")
        scores, prompts = rng.choice([0, 0.5, 1], 60), np.arange(60)
        mixed = rng.permutation(60)
        one = statistics.bradley_terry(a, b, scores, prompts, draws=0)
        assert one == statistics.bradley_terry(a[mixed], b[mixed], scores[mixed], prompts[mixed], draws=0)


class TestReport:
    def test_position_and_flip_rates_by_hand(self):
        rows = [
            judged("x", "y", 1.0, 0),
            judged("x", "y", 0.0, 1, said=("second", "first")),
            judged("x", "y", 0.5, 2, said=("first", "first")),
            judged("x", "y", 0.5, 3, said=("first", "unparsable")),
        ]
        report = Report(tuple(rows))
        assert report.position.value == pytest.approx(5 / 7) and report.position.n == 7
        assert report.flips.value == pytest.approx(1 / 3) and report.flips.n == 3
        assert report.counts["unparsable"] == 1 and report.counts["flipped"] == 1 and report.counts["asked"] == 4

    def test_verdicts_without_an_answer_stay_in_the_rate_as_ties(self):
        report = Report((judged("x", "y", 1.0, 0), judged("x", "y", 0.5, 1, said=("refused", "refused"))))
        assert report.lines[0].rate.value == 0.75 and report.lines[0].rate.n == 2

    def test_budgets_have_a_line_each_and_one_for_all(self):
        report = Report(tuple(judged("x", "y", float(n == 50), k, budget=n) for n in (50, 100) for k in range(4)))
        assert [(line.budget, line.rate.value) for line in report.lines] == [(50, 1.0), (100, 0.0), (None, 0.5)]
        assert report.lines[2].prompts == 4

    def test_the_matrix_is_its_own_mirror(self):
        report = Report(tuple(judged("x", "y", s, k) for k, s in enumerate([1.0, 1.0, 0.0])))
        assert report.matrix["x"]["y"].value == pytest.approx(1 - report.matrix["y"]["x"].value)
        assert report.matrix["x"]["y"].low == pytest.approx(1 - report.matrix["y"]["x"].high)

    def test_the_report_of_nothing_is_no_crash(self):
        assert Report(()).as_dict()["power"] == "Nothing was judged."


def test_the_papers_numbers_are_there_for_its_two_corpora_and_no_other():
    assert paper_rates("shakespeare")["uniform"] == dict(zip(PAPER_BUDGETS, (0.80, 0.56, 0.60, 0.59, 0.64, 0.74), strict=True))
    assert paper_rates("sherlock")["ask_llm"][5000] == 0.89
    assert paper_rates("demo") == {}


def test_a_name_from_a_strangers_run_cannot_break_the_table_or_the_terminal():
    rows = tuple(judged("x", "y", s, k) for k, s in enumerate([1.0, 0.0, 0.5]))
    said = Report(rows, labels={"x": "a|b\n# c\x1b[31m", "y": "Y"}).markdown()
    assert "| a\\|b # c\\[31m | Y |" in said and "\x1b" not in said
