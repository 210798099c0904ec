"""The design matrix and what is read off it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fishersft.design.information import design_matrix, gain, leverage, log_det, optimum_bound, share_of_optimum, token_gains
from fishersft.errors import DesignError
from tests.reference import best_subset

from .conftest import random_blocks


def test_a_hand_computed_case_in_the_plane():
    # V = I + [2,0]^T[2,0] = diag(5, 1); the row [0,3] then adds log(1 + 9/1); the row [2,0] again only log(1 + 4/5)
    V = design_matrix([np.array([[2.0, 0.0]])], 2)
    assert np.allclose(V, [[5, 0], [0, 1]])
    assert log_det(V) == pytest.approx(np.log(5))
    assert gain(V, np.array([[0.0, 3.0]])) == pytest.approx(np.log(10))
    assert gain(V, np.array([[2.0, 0.0]])) == pytest.approx(np.log(1.8))
    assert leverage(V, np.array([[2.0, 0.0], [0.0, 3.0]])) == pytest.approx([0.8, 9.0])


@given(seed=st.integers(0, 10_000), d=st.integers(1, 12), sigma2=st.floats(1e-3, 1e3))
@settings(max_examples=40, deadline=None)
def test_token_gains_sum_to_the_increase_of_log_det(seed, d, sigma2):
    before, X = random_blocks(3, d, seed), random_blocks(1, d, seed + 1)[0]
    V = design_matrix(before, d, sigma2)
    after = design_matrix([*before, X], d, sigma2)
    split = token_gains(V, X)
    assert split.shape == (len(X),)
    assert (split >= 0).all()
    assert split.sum() == pytest.approx(log_det(after) - log_det(V), rel=1e-9, abs=1e-9)


def test_the_split_follows_the_chain_rule_row_by_row():
    before, X = random_blocks(4, 6, 1), random_blocks(1, 6, 2, least=5)[0]
    V = design_matrix(before, 6)
    for j, part in enumerate(token_gains(V, X)):
        V_j = V + X[:j].T @ X[:j]
        assert part == pytest.approx(np.log1p(X[j] @ np.linalg.solve(V_j, X[j])))


def test_a_block_gains_less_the_second_time():
    X = random_blocks(1, 5, 3)[0]
    V = design_matrix([], 5)
    assert gain(V + X.T @ X, X) < gain(V, X)


def test_rotating_the_space_changes_no_gain():
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(7, 7)))[0]
    before, X = random_blocks(3, 7, 4), random_blocks(1, 7, 5)[0]
    turned = token_gains(design_matrix([b @ Q for b in before], 7), X @ Q)
    assert np.allclose(turned, token_gains(design_matrix(before, 7), X))


@pytest.mark.parametrize("sigma2", [0.0, -1.0, float("nan"), float("inf")])
def test_sigma2_must_be_positive(sigma2):
    with pytest.raises(DesignError, match="sigma2 must be a positive number"):
        design_matrix([], 2, sigma2)


# the certificate never claims more than brute force allows


@given(seed=st.integers(0, 10_000), n=st.integers(1, 4), size=st.integers(0, 4))
@settings(max_examples=30, deadline=None)
def test_the_bound_from_any_selection_holds_for_any_budget(seed, n, size):
    blocks = random_blocks(8, 3, seed)
    chosen = np.random.default_rng(seed).permutation(8)[:size]
    V = design_matrix([blocks[i] for i in chosen], 3)
    f = np.linalg.slogdet(V)[1]
    gains = np.array([gain(V, blocks[i]) for i in range(8) if i not in chosen])
    assert optimum_bound(f, gains, n) >= best_subset(blocks, n)[1] - 1e-9


def test_two_orthogonal_sentences_by_hand():
    # two rows of length sqrt(3) along the axes: the best one gains log 4, the best two 2 log 4
    gains = np.log([4.0, 4.0])
    assert optimum_bound(0.0, gains, 1) == np.log(4)
    assert share_of_optimum(np.log(4), optimum_bound(0.0, gains, 2)) == 0.5


def test_nothing_left_to_gain_is_the_optimum():
    assert share_of_optimum(2.0, optimum_bound(2.0, np.zeros(0), 5)) == 1.0
    assert share_of_optimum(0.0, 0.0) == 1.0
