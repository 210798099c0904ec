"""Fast greedy returns exactly Algorithm 1's picks."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fishersft import TokenEmbeddings
from fishersft.design.factor import Factor
from fishersft.design.greedy import greedy
from fishersft.design.information import design_matrix, log_det
from fishersft.errors import DesignError
from tests.reference import algorithm_1, best_subset

from .conftest import random_blocks


def fast(blocks, n, sigma2=1.0, weights=None, **options):
    e = replace(TokenEmbeddings.of(blocks), weights=weights)
    return list(islice(greedy(e, sigma2, **options), n))


@given(seed=st.integers(0, 10_000), d=st.integers(1, 10), n=st.integers(1, 25), sigma2=st.sampled_from([0.01, 1.0, 30.0]))
@settings(max_examples=40, deadline=None)
def test_fast_greedy_picks_what_algorithm_1_picks(seed, d, n, sigma2):
    blocks = random_blocks(25, d, seed)
    picks, gains = algorithm_1(blocks, n, sigma2)
    steps = fast(blocks, n, sigma2)
    assert [s.position for s in steps] == picks
    assert np.allclose([s.gain for s in steps], gains, rtol=1e-8, atol=1e-10)


class TestScreening:
    """From d = 129 on, float32 screens and float64 decides."""

    @pytest.mark.parametrize("sigma2", [1e-8, 1e-3, 1.0, 1e4])
    def test_picks_are_those_of_algorithm_1(self, sigma2):
        blocks = random_blocks(40, 140, 1, most=12)
        steps = fast(blocks, 25, sigma2)
        picks, gains = algorithm_1(blocks, 25, sigma2)
        assert [s.position for s in steps] == picks
        assert np.allclose([s.gain for s in steps], gains, rtol=1e-8)

    def test_sentences_that_float32_cannot_tell_apart_are_told_apart(self):
        few = random_blocks(6, 140, 2, most=12)
        blocks = [b * (1 + k * 1e-8) for k in range(5) for b in few]
        assert [s.position for s in fast(blocks, 12)] == algorithm_1(blocks, 12)[0]

    def test_exact_duplicates_go_to_the_lowest_index(self):
        few = random_blocks(8, 140, 3)
        assert [s.position for s in fast(few[::-1] + few, 16)] == algorithm_1(few[::-1] + few, 16)[0]

    def test_sentences_longer_than_the_dimension(self):
        blocks = random_blocks(12, 130, 4, most=300)
        assert [s.position for s in fast(blocks, 12)] == algorithm_1(blocks, 12)[0]

    def test_many_picks_pass_through_many_factorisations_and_nothing_drifts(self):
        blocks = random_blocks(150, 132, 5, most=20)
        steps = fast(blocks, 150)
        V = design_matrix(blocks, 132)
        assert sum(s.gain for s in steps) == pytest.approx(log_det(V), rel=1e-12)

    def test_rows_too_uneven_for_float32_are_decided_in_float64(self):
        rng = np.random.default_rng(6)
        blocks = [rng.normal(size=(4, 140)) * np.logspace(6, -6, 140) for _ in range(30)]
        assert [s.position for s in fast(blocks, 15)] == algorithm_1(blocks, 15)[0]


def test_costs_divide_the_gain():
    blocks = random_blocks(30, 5, 8)
    costs = np.array([len(b) for b in blocks], float)
    picks, V = [], np.eye(5)
    for _ in range(12):
        rate = [-1.0 if i in picks else log_det(V + b.T @ b) / len(b) - log_det(V) / len(b) for i, b in enumerate(blocks)]
        picks.append(int(np.argmax(rate)))
        V = V + blocks[picks[-1]].T @ blocks[picks[-1]]
    assert [s.position for s in fast(blocks, 12, costs=costs)] == picks


@pytest.mark.parametrize("d", [6, 140])
def test_weights_multiply_the_rows(d):
    blocks = random_blocks(20, d, 9)
    w = np.random.default_rng(0).random(sum(map(len, blocks)))
    parts = np.split(w, np.cumsum([len(b) for b in blocks])[:-1])
    weighted = [b * v[:, None] for b, v in zip(blocks, parts, strict=True)]
    assert [s.position for s in fast(blocks, 12, weights=w)] == algorithm_1(weighted, 12)[0]
    with pytest.raises(DesignError, match="weight of row 3"):
        fast(blocks, 1, weights=np.where(np.arange(len(w)) == 3, np.nan, w))


def test_sentences_longer_than_the_dimension_are_handled_the_same():
    blocks = random_blocks(20, 3, 2, most=40)
    assert [s.position for s in fast(blocks, 20)] == algorithm_1(blocks, 20)[0]


def test_exact_duplicates_and_ties_go_to_the_lowest_index():
    a, b = random_blocks(2, 6, 3)
    assert [s.position for s in fast([b, a, a, b, a], 5)] == algorithm_1([b, a, a, b, a], 5)[0]
    same = [np.ones((2, 4))] * 6
    assert [s.position for s in fast(same, 6)] == [0, 1, 2, 3, 4, 5]


def test_zero_rows_gain_nothing_and_come_last_in_index_order():
    blocks = [np.zeros((2, 3)), np.ones((1, 3)), np.zeros((1, 3))]
    steps = fast(blocks, 3)
    assert [s.position for s in steps] == [1, 0, 2]
    assert steps[1].gain == steps[2].gain == 0


def test_gains_are_the_increments_of_log_det():
    blocks = random_blocks(30, 5, 4)
    steps = fast(blocks, 10, 0.5)
    V = design_matrix([blocks[s.position] for s in steps], 5, 0.5)
    assert sum(s.gain for s in steps) == pytest.approx(log_det(V) - 5 * np.log(0.5))


def test_order_of_the_pool_does_not_matter_where_nothing_ties():
    blocks = random_blocks(30, 6, 5)
    shuffled = np.random.default_rng(0).permutation(30)
    again = [shuffled[s.position] for s in fast([blocks[i] for i in shuffled], 30)]
    assert again == [s.position for s in fast(blocks, 30)]


def test_float16_rows_give_the_picks_of_algorithm_1_on_the_same_rows():
    blocks = [b.astype(np.float16) for b in random_blocks(40, 8, 6)]
    assert [s.position for s in fast(blocks, 40)] == algorithm_1(blocks, 40)[0]


def test_greedy_reaches_the_share_of_the_best_subset_that_theory_promises_and_its_bound_holds():
    for seed in range(5):
        blocks = random_blocks(9, 4, seed)
        for n in (1, 2, 3, 4):
            steps = fast(blocks, n)
            f, best = sum(s.gain for s in steps), best_subset(blocks, n)[1]
            assert f >= (1 - 1 / np.e) * best - 1e-9
            assert steps[-1].optimum_bound >= best - 1e-9


def test_lazy_evaluation_saves_most_of_the_work():
    blocks = random_blocks(400, 12, 7, most=30)
    steps = fast(blocks, 50)
    assert steps[-1].evaluations < 400 * 50 / 4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_refused_by_their_record(bad):
    blocks = random_blocks(4, 3, 0)
    blocks[2][0, 0] = bad
    with pytest.raises(DesignError, match="record 2"):
        fast(blocks, 1)


def test_a_tail_that_has_cost_as_much_as_a_factor_is_factored_while_candidates_are_screened():
    blocks = random_blocks(40, 150, 3, most=140)
    block, rows = torch.from_numpy(blocks[0]), torch.from_numpy(np.concatenate(blocks))
    factor = Factor(150)
    factor.add(block)
    leverages = (rows @ torch.linalg.inv(torch.eye(150) + block.T @ block) * rows).sum(1)
    tails = []
    while not tails or tails[-1]:
        Z, P = factor.screen(rows.float())
        tails.append(P.shape[1])
        assert torch.allclose((Z**2).sum(1) - (P**2).sum(1), leverages.float(), rtol=1e-3)
        assert len(tails) < 100
    assert tails[0] == len(block)
