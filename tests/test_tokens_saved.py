"""Tokens saved: read off a curve of random draws by hand, the same in any unit, and open where the curve ends."""

from math import inf

import numpy as np
import pytest

from fishersft.finetuning.intervals import HeldOut, Sampled, interval
from fishersft.finetuning.results import SCORES, FineTuneResult, Interval, side_of
from fishersft.finetuning.tokens_saved import RandomCurve, TokensSaved

from .tuned_run import tuned_run

TEXTS = 80


def measured(loss, *, spread=0.3, seeds=1, luck=0.0, seed=0):
    """Models of about so many nats per token on texts that all measurements of a test share."""
    hard = np.random.default_rng(5).normal(0, spread, TEXTS)
    own = np.random.default_rng(seed)
    lucky = own.normal(0, luck, (seeds, 1)) if luck else np.zeros((seeds, 1))
    return HeldOut((loss + hard - hard.mean() + lucky + own.normal(0, 0.02, (seeds, TEXTS))) * 10, np.full(TEXTS, 10)).sampled(
        "mean"
    )


def exact(*losses):
    """Measurements of one seed in which nothing is left to chance but which texts were drawn."""
    return [measured(loss, seed=0) for loss in losses]


TOKENS = (0.0, 1_000.0, 3_000.0, 9_000.0)


def curve(*losses, tokens=TOKENS):
    return RandomCurve.of(list(zip(tokens, exact(*losses), strict=True)))


def test_a_selection_as_good_as_a_measured_draw_is_worth_its_tokens():
    of = curve(5.0, 4.0, 3.5, 3.2)
    for loss, tokens in zip((4.0, 3.5), (1_000, 3_000), strict=True):
        assert of.equal(measured(loss)).value == pytest.approx(tokens, rel=1e-3)


def test_between_two_points_of_a_straight_line_by_hand():
    x = np.log1p(np.array(TOKENS) / 1_000)  # the curve is straight over this axis, so PCHIP is too
    of = curve(*(5.0 - 0.5 * x))
    middle = 1_000 * np.expm1((x[1] + x[2]) / 2)
    assert of.equal(measured(5.0 - 0.25 * (x[1] + x[2]))).value == pytest.approx(middle, rel=1e-3)


def test_the_curve_is_the_weighted_sum_of_its_points_for_every_seed_and_draw():
    of = curve(5.0, 4.0, 3.5, 3.2)
    for tokens in (0.0, 500.0, 2_000.0, 9_000.0):
        terms = of.sampled(tokens)
        assert sum(float(term.seeds.mean()) for term in terms) == pytest.approx(of.at(tokens), abs=1e-4)


def test_a_rising_stretch_is_flat_and_its_first_tokens_count():
    of = curve(5.0, 4.0, 4.2, 3.2)
    assert of.at(1_000) == pytest.approx(of.at(3_000))
    assert of.equal(measured(4.1)).value <= 1_000 * 1.001


def test_beyond_the_curve_there_is_no_value_but_a_least_one():
    found = TokensSaved(curve(5.0, 4.0, 3.5, 3.2).equal(measured(2.0)), reach=9_000, spent=1_000, choosing=500)
    assert (found.equal.value, found.equal.low, found.equal.high) == (inf, 9_000, inf)
    assert found.worth == "more than 9,000 tokens"
    assert found.words == "more than +7,500 net of choosing"
    assert found.as_dict()["beyond"]


def test_a_selection_that_is_worse_than_the_untuned_model_is_worth_nothing():
    found = curve(5.0, 4.0, 3.5, 3.2).equal(measured(6.0))
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_the_interval_holds_exactly_the_tokens_at_which_the_difference_is_not_clear():
    points = [
        (n, measured(loss, seeds=3, luck=0.05, seed=k)) for k, (n, loss) in enumerate(zip(TOKENS, (5, 4, 3.5, 3.2), strict=True))
    ]
    of, selection = RandomCurve.of(points), measured(3.6, seeds=3, luck=0.05, seed=9)
    found = of.equal(selection)
    assert 0 < found.low < found.value < found.high < 9_000
    for tokens in np.linspace(0, 9_000, 61):
        d = of.difference(selection, tokens)
        assert (d.low <= 0 <= d.high) == (found.low <= tokens <= found.high)


def test_other_units_change_nothing():
    losses = (5.0, 4.0, 3.5, 3.2)
    one, tenfold = curve(*losses), curve(*losses, tokens=tuple(10 * n for n in TOKENS))
    a, b = (of.equal(measured(3.7)) for of in (one, tenfold))
    assert (b.value, b.low, b.high) == pytest.approx((10 * a.value, 10 * a.low, 10 * a.high), rel=1e-3)


def test_choosing_is_charged_in_tokens():
    found = TokensSaved(Interval(900, 700, 1_200), reach=5_000, spent=600, choosing=200)
    assert found.gross == Interval(300, 100, 600)
    assert found.net == Interval(100, -100, 400)
    assert found.words == "+100 (-100 to +400) net of choosing"
    unknown = TokensSaved(Interval(900, 700, inf), reach=5_000, spent=600)
    assert unknown.worth == "900 (700 to more than 5,000) tokens"
    assert unknown.words == "+300 (+100 to more than +4,400) before choosing"


def test_what_a_token_is_worth_has_two_digits_however_much_it_is():
    found = TokensSaved(Interval(51_323, 33.2, inf), reach=512_300, spent=400)
    assert found.times == "130 (0.083 to more than 1,300)"


def test_a_curve_begins_at_the_untuned_model():
    with pytest.raises(ValueError, match="ascend from 0"):
        curve(4.0, 3.5, tokens=(1_000.0, 3_000.0))


def test_seeds_count_by_students_t_and_texts_by_their_own_draws():
    draws = np.zeros((100, 2)) + np.array([1.0, 3.0])  # two seeds, and texts that do not matter
    found = interval(Sampled(np.array([1.0, 3.0]), draws, 50))
    assert found.value == 2.0
    assert found.high - found.value == pytest.approx(12.706 * np.sqrt(2.0 / 2), rel=1e-3)  # t of 1 degree, s / sqrt 2


def test_a_run_tells_what_its_selections_are_worth(tmp_path):
    result = FineTuneResult.open(tuned_run(tmp_path / "run"))
    curve = result.random_curve
    assert curve is not None
    assert curve.tokens[0] == 0
    for line in result.lines:
        assert (line.saved is None) == (line.selector in ("base", "all", "uniform"))
        if line.saved:
            assert np.isnan(line.saved.choosing)  # an old run does not know
            loss = line.values["mean"].value
            if line.saved.equal.value < inf:
                assert curve.at(line.saved.equal.value) == pytest.approx(loss, abs=1e-3)
    row = next(row for row in result.table() if row["selector"] == "token_od")
    assert {"as_good_as_random_tokens", "tokens_saved_low", "tokens_saved_net_high"} <= row.keys()
    assert "before choosing" in result.worth
    assert "as good as a random draw of" in result.markdown()


def test_nats_and_scores_that_disagree_are_said_to(tmp_path):
    result = FineTuneResult.open(tuned_run(tmp_path / "run", scores=True))
    told = [sentence for sentence in result.disagreements if sentence.startswith("Token Od at 50")]
    assert len(told) == 1
    assert "is better than Uniform by nats per token" in told[0]
    assert "worse than it by ROUGE-L (-0.400" in told[0]
    assert "f1_minus_uniform_low" in result.table()[1]
    assert FineTuneResult.open(tuned_run(tmp_path / "plain")).disagreements == []


def test_a_higher_score_is_better():
    assert side_of(Interval(0.1, 0.05, 0.2), "rouge_l") == "better than"
    assert side_of(Interval(0.1, 0.05, 0.2)) == "worse than"
    assert set(SCORES) == {"rouge_l", "f1", "exact", "accuracy", "accuracy_total"}
