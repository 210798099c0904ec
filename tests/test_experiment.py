"""Error experiments: pools where the answer is known, invariances, and the same numbers whoever computes them."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import BudgetError, Cancelled, FisherSFTError, ParameterError
from fishersft.experiments.experiment import Experiment, Sweep, key_of
from fishersft.experiments.measure import run
from fishersft.experiments.problem import Problem, design_scores, draw_labels, prediction_errors
from fishersft.experiments.settings import FEATURES, PoolSettings, default_budgets
from fishersft.experiments.worlds import Synthetic, lengths
from fishersft.selectors import registry

SMALL = Synthetic(dimension=4, classes=3, sentences=60, median_length=4.0)


@dataclass(frozen=True)
class Fixed:
    """A world of one problem, whatever the seed."""

    made: Problem
    name: ClassVar[str] = "fixed"
    title: ClassVar[str] = "A fixed pool"

    @property
    def settings(self) -> dict[str, Any]:
        return {"dimension": self.made.dimension, "classes": self.made.classes, "sentences": len(self.made.embeddings)}

    def arguments(self):
        return []

    def problem(self, seed):
        return self.made


def numbers(records):
    """Records without what a clock says, in the order of their keys."""
    return sorted(({k: v for k, v in r.items() if k != "seconds"} for r in records), key=key_of)


def small(**changes):
    settings = {"selectors": ("token_od", "uniform"), "budgets": (5, 20), "runs": 2, **changes}
    return Experiment(**{"world": SMALL, **settings})


def two_clusters():
    """99 sentences of one token (1, 0), then one of one token (0, 1); the head tells the second direction's class for sure."""
    blocks = [np.array([[1.0, 0.0]])] * 99 + [np.array([[0.0, 1.0]])]
    theta = np.array([[2.0, -2.0], [-2.0, 2.0]])
    return Problem(TokenEmbeddings.of(blocks), theta, np.array([0] * 99 + [1]))


def test_the_rare_one_of_two_orthogonal_clusters_is_the_second_pick():
    made = two_clusters()
    picks = registry()["token_od"]().select(made.pool(), 4).order.positions
    assert picks.tolist() == [0, 99, 1, 2]  # log 2 each at first, the lowest index; then log 2 against log(3/2)


def test_error_leverage_and_log_det_of_two_orthogonal_clusters_by_hand():
    made = two_clusters()
    with_rare, without = np.array([0, 99]), np.array([0, 1])
    assert design_scores(made, with_rare) == pytest.approx((1 / 2, 2 * np.log(2)))
    assert design_scores(made, without) == pytest.approx((1.0, np.log(3)))
    # Theta_hat = 0 there: e = ||(2, -2)|| for every sentence, a token each
    assert prediction_errors(made, np.zeros((2, 2))) == pytest.approx(np.full(100, np.sqrt(8)))
    (of_design, of_chance) = list(run(Experiment(world=Fixed(made), selectors=("token_od", "uniform"), budgets=(2,), runs=1)))
    assert of_chance["worst_leverage"] == pytest.approx([1.0])  # 98% of the draws miss the rare one, this one too
    assert of_design["maximum"][0] < of_chance["maximum"][0]


def test_an_error_is_summed_over_the_tokens_of_a_sentence_and_blind_to_a_shift_of_all_columns():
    blocks = [np.array([[1.0, 0.0], [0.0, 3.0]]), np.array([[0.0, 1.0]])]
    made = Problem(TokenEmbeddings.of(blocks), np.array([[1.0, -1.0], [0.0, 0.0]]), np.array([0, 1, 0]))
    fitted = np.array([[0.0, 0.0], [0.5, -0.5]])
    by_hand = [np.sqrt(2) + 3 * np.sqrt(0.5), np.sqrt(0.5)]
    np.testing.assert_allclose(prediction_errors(made, fitted), by_hand)
    np.testing.assert_allclose(prediction_errors(made, fitted + np.array([[7.0], [-4.0]])), by_hand)


def test_every_selector_has_the_same_errors_where_all_is_selected():
    names = tuple(name for name, kind in registry().items() if not (kind.reads_texts or kind.needs_target))
    records = list(run(small(selectors=names, budgets=(60,), runs=1)))
    assert len(records) == len(names)
    for record in records:
        np.testing.assert_allclose(record["maximum"], records[0]["maximum"], rtol=1e-5)
        np.testing.assert_allclose(record["mean"], records[0]["mean"], rtol=1e-5)


def rotated(made, Q):
    """The same problem in other coordinates: rows X Q and head Q^T Theta* for an orthogonal Q, the same labels."""
    e = made.embeddings
    turned = TokenEmbeddings(np.asarray(e.values, dtype=np.float64) @ Q, e.offsets, e.index, e.facts)
    return replace(made, embeddings=turned, theta=Q.T @ made.theta)


def test_a_rotation_of_the_features_changes_no_error_of_a_log_det_selector():
    Q = np.linalg.qr(np.random.default_rng(5).normal(size=(4, 4)))[0]
    made = SMALL.problem(1)
    plan = {"selectors": ("token_od", "sentence_od", "matched_od"), "budgets": (10, 30), "runs": 1}
    as_it_is, turned = (list(run(Experiment(world=Fixed(p), **plan))) for p in (made, rotated(made, Q)))
    for a, b in zip(as_it_is, turned, strict=True):
        for measure in ("maximum", "mean", "worst_leverage", "log_det"):
            np.testing.assert_allclose(a[measure], b[measure], rtol=1e-4)


@pytest.mark.parametrize("equal", ["sentences", "tokens"])
def test_the_same_seed_gives_the_same_numbers_and_another_gives_others(equal):
    plan = small(selectors=("token_od", "uniform", "density", "clustered"), equal=equal)
    assert numbers(run(plan)) == numbers(run(plan))
    assert numbers(run(plan)) != numbers(run(replace(plan, seed=1)))


def test_workers_give_the_same_numbers():
    plan = small(runs=3)
    assert numbers(run(plan, workers=2)) == numbers(run(plan))


def test_what_is_done_is_not_made_again_and_the_rest_is_the_same():
    plan = small(runs=3)
    every = numbers(run(plan))
    rest = numbers(run(plan, done=[key_of(r) for r in every[:4]]))
    assert rest == every[4:]


def test_stopping_between_two_records_keeps_the_first():
    def stop(what, done, total):
        if done:
            raise Cancelled("stop")

    records = run(small(), stop)
    assert key_of(next(records))[:2] == (0, "token_od")
    with pytest.raises(Cancelled):
        next(records)


def test_more_runs_begin_with_the_same_runs():
    assert numbers(run(small(runs=3)))[:4] == numbers(run(small(runs=2)))


def test_at_equal_tokens_nobody_has_more_tokens_than_the_reference():
    for record in run(small(selectors=("token_od", "uniform", "longest"), equal="tokens", runs=1)):
        if record["selector"] == "token_od":
            limits = record["tokens"]
            assert record["sentences"] == record["n"]
        else:
            assert all(t <= limit for t, limit in zip(record["tokens"], limits, strict=True))
            # the next sentence would not have fitted; none here has 40 tokens
            assert all(t > limit - 40 for t, limit in zip(record["tokens"], limits, strict=True))


def test_a_selector_that_asks_for_losses_is_told_those_of_a_head_fitted_on_a_few_sentences():
    made = replace(SMALL, sentences=300).problem(0)
    losses = made.reference.loss
    assert losses.shape == made.labels.shape
    assert losses.mean() < np.log(3)  # better than knowing nothing


def test_errors_fall_as_one_over_the_root_of_uniform_draws():
    plan = small(world=replace(SMALL, sentences=3_200), selectors=("uniform",), budgets=(50, 200, 800), runs=10)
    mean = np.mean([r["mean"] for r in run(plan)], axis=0)
    np.testing.assert_allclose(mean[1:] / mean[:-1], [1 / 2, 1 / 2], atol=0.08)


@pytest.mark.parametrize("features", FEATURES)
def test_rows_have_the_length_that_is_promised(features):
    made = Synthetic(features=features, sentences=2_000, dimension=10, power=1.0).problem(0)
    assert (made.embeddings.values**2).sum(1).mean() == pytest.approx(10, rel=0.1)
    assert np.median(made.embeddings.tokens) == pytest.approx(8, abs=1)


def test_near_duplicates_are_near():
    made = Synthetic(features="near_duplicates", sentences=200, noise=1e-3, duplicates=0.8).problem(0)
    firsts = made.embeddings.values[made.embeddings.offsets[:-1]]
    apart = np.linalg.norm(firsts[:, None] - firsts[None], axis=2) + 9 * np.eye(200)
    assert 0.7 < (apart.min(1) < 0.1).mean() < 0.95


def test_labels_follow_the_head():
    rng = np.random.default_rng(0)
    X = np.ones((20_000, 1))
    shares = np.bincount(draw_labels(X, np.log([[1.0, 2.0, 5.0]]), rng)) / 20_000
    np.testing.assert_allclose(shares, [1 / 8, 2 / 8, 5 / 8], atol=0.015)


def test_lengths_of_spread_zero_are_all_the_median():
    assert set(lengths(PoolSettings(sentences=50, median_length=7.0, length_spread=0.0), np.random.default_rng(0))) == {7}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"budgets": (61,)}, "above the pool of 60"),
        ({"budgets": (0,)}, "at least 1 sentence"),
        ({"budgets": ()}, "at least one budget"),
        ({"selectors": ("nobody",)}, "no selector 'nobody'"),
        ({"selectors": ("uniform", "uniform")}, "named twice"),
        ({"selectors": ()}, "at least one selector"),
        ({"equal": "words"}, "'equal' must be sentences or tokens"),
        ({"runs": 0}, "'runs' must be a whole number from 1 to 10000"),
        ({"parameters": ("sigma2=1",)}, "SELECTOR.NAME=VALUE"),
        ({"parameters": ("longest.x=1",)}, "not among the selectors"),
        ({"parameters": ("token_od.x=1",)}, "no parameter 'x'"),
        ({"ridge": -1.0}, "'ridge' must be a number"),
    ],
)
def test_an_experiment_that_makes_no_sense_gets_one_sentence(changes, sentence):
    with pytest.raises((BudgetError, ParameterError), match=sentence):
        small(**changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"classes": 1}, "'classes' of 'synthetic' must be a whole number of at least 2"),
        ({"dimension": 0}, "'dimension' of 'synthetic' must be a whole number of at least 1"),
        ({"median_length": 0.0}, "'median_length' of 'synthetic' must be a number from 1"),
        ({"features": "round"}, "'features' of 'synthetic' must be isotropic, .* not 'round'"),
        ({"sentences": 10**12}, "lower --sentences, --dimension or --classes"),
    ],
)
def test_a_world_that_cannot_be_gets_one_sentence(changes, sentence):
    with pytest.raises(ParameterError, match=sentence):
        Synthetic(**changes)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes")])
def test_running_out_of_memory_says_what_to_lower(error):
    class Greedy(Fixed):
        def problem(self, seed):
            raise error

    with pytest.raises(ParameterError, match="lower --sentences"):
        list(run(Experiment(world=Greedy(two_clusters()), selectors=("uniform",), budgets=(2,), runs=1)))


@pytest.mark.slow
def test_a_selector_that_cannot_work_here_gets_one_sentence_through_a_worker_too():
    from fishersft.errors import UserError

    with pytest.raises(UserError, match="Ask-LLM needs"):
        list(run(small(selectors=("ask_llm",), runs=3), workers=2))


def test_a_sweep_moves_each_setting_from_the_experiments_own_and_counts_the_shared_point_once():
    sweep = Sweep(small(budgets=(10,), runs=1), dimensions=(2, 4), classes=(3, 5))
    points = [(r["d"], r["L"]) for r in run(sweep) if r["selector"] == "uniform"]
    assert points == [(2, 3), (4, 3), (4, 5)]
    with pytest.raises(BudgetError, match="one budget"):
        Sweep(small())


def test_the_usual_budgets_stop_at_the_pool():
    assert default_budgets(250) == (50, 100, 200)
    assert default_budgets(7) == (7,)


@pytest.mark.slow
def test_a_worker_that_dies_is_an_error_and_not_a_wait():
    import multiprocessing

    records = run(small(runs=200), workers=2)
    next(records)
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(FisherSFTError, match="died before its work was done"):
        list(records)
    assert not multiprocessing.active_children()
