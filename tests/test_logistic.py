"""Theta_hat: the right minimum, in every corner, and a proof of how near."""

import math

import numpy as np
import pytest

from fishersft.errors import DesignError, ParameterError
from fishersft.experiments.logistic import NEAR, RIDGE, fit, log_probabilities
from fishersft.experiments.problem import draw_labels
from fishersft.experiments.worlds import Synthetic


def drawn(t=400, d=5, L=4, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    X, theta = rng.normal(size=(t, d)), rng.normal(size=(d, L)) * scale
    return X, draw_labels(X, theta, rng), theta


def gradient(X, y, theta, ridge):
    P = np.exp(log_probabilities(X, theta))
    P[np.arange(len(y)), y] -= 1
    return X.T @ P + ridge * theta


def test_two_dimensions_and_two_classes_by_hand():
    # four tokens at (1, 0) of class 0 and four at (0, 1) of class 1: theta = [[w, -w], [-w, w]] with 4 (1 - s(2 w)) = ridge w,
    # and w = log(3) / 2 where ridge = 2 / log 3, because s(log 3) = 3/4
    X = np.repeat(np.eye(2), 4, axis=0)
    w = math.log(3) / 2
    found = fit(X, np.repeat([0, 1], 4), 2, ridge=1 / w)
    np.testing.assert_allclose(found.theta, [[w, -w], [-w, w]], atol=1e-6)
    np.testing.assert_allclose(np.exp(log_probabilities(X[:1], found.theta)), [[0.75, 0.25]], atol=1e-6)


@pytest.mark.parametrize(("ridge", "scale", "L"), [(1.0, 1.0, 4), (0.1, 3.0, 7), (0.01, 1.0, 2), (30.0, 2.0, 3)])
def test_predictions_are_those_of_scikit_learn(ridge, scale, L):
    from sklearn.linear_model import LogisticRegression

    X, y, _ = drawn(L=L, scale=scale)
    theirs = LogisticRegression(C=1 / ridge, fit_intercept=False, tol=1e-10, max_iter=20_000).fit(X, y)
    ours = np.exp(log_probabilities(X, fit(X, y, L, ridge=ridge).theta))
    expected = theirs.predict_proba(X)
    if L == 2:  # there one column of weights: half the ridge on each of ours
        expected = LogisticRegression(C=2 / ridge, fit_intercept=False, tol=1e-10, max_iter=20_000).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(ours, expected, atol=1e-4)


@pytest.mark.parametrize("features", ["isotropic", "clustered"])
def test_along_the_prefixes_of_a_selection_predictions_stay_those_of_scikit_learn(features):
    """The paper's d = 10 and L = 20, each fit begun where the last one ended, as an experiment does; the whole pool predicted."""
    from sklearn.linear_model import LogisticRegression

    problem = Synthetic(features=features, sentences=1_000).problem(0)
    pool, _ = problem.rows()
    order, theta = np.random.default_rng(0).permutation(1_000), None
    for n in (20, 50, 200):
        X, y = problem.rows(order[:n])
        theta = fit(X, y, 20, ridge=RIDGE, start=theta).theta
        theirs = LogisticRegression(C=1 / RIDGE, fit_intercept=False, tol=1e-10, max_iter=20_000).fit(X, y)
        assert len(theirs.classes_) == 20  # it knows no class that it has not seen
        np.testing.assert_allclose(np.exp(log_probabilities(pool, theta)), theirs.predict_proba(pool), atol=1e-4)


@pytest.mark.parametrize("start", [None, "far"])
def test_the_distance_told_is_a_bound_and_small(start):
    X, y, _ = drawn()
    begin = None if start is None else np.random.default_rng(1).normal(size=(5, 4)) * 10
    found = fit(X, y, 4, ridge=0.1, start=begin)
    exact = fit(X, y, 4, ridge=0.1, start=found.theta + 1e-3).theta
    assert np.linalg.norm(gradient(X, y, found.theta, 0.1)) / 0.1 <= NEAR * 1.01
    assert np.linalg.norm(found.theta - exact) <= found.distance + NEAR


def test_a_warm_start_ends_where_a_cold_one_does():
    X, y, _ = drawn(800)
    cold = fit(X, y, 4).theta
    warm = fit(X, y, 4, start=fit(X[:400], y[:400], 4).theta)
    assert np.linalg.norm(warm.theta - cold) <= 2 * NEAR


def test_classes_that_were_never_drawn_are_less_likely_and_no_crash():
    X, y, _ = drawn(30, L=4)
    y = np.where(y == 3, 0, y)
    p = np.exp(log_probabilities(X, fit(X, y, 6, ridge=0.1).theta))
    assert np.isfinite(p).all()
    assert p[:, 3:].mean() < p[:, :3].mean()


def test_one_token_and_separable_labels_have_a_finite_answer():
    one = fit(np.array([[1.0, 0.0]]), np.array([1]), 3, ridge=1e-3)
    assert np.isfinite(one.theta).all()
    assert np.allclose(one.theta[1], 0)  # a direction that no row has
    X = np.array([[1.0], [-1.0]] * 20)
    assert abs(fit(X, np.tile([0, 1], 20), 2, ridge=1e-4).theta).max() < 100


def test_columns_sum_to_zero():
    X, y, _ = drawn()
    assert np.abs(fit(X, y, 4, ridge=0.1, start=np.ones((5, 4))).theta.sum(1)).max() < 1e-9


def test_the_head_comes_closer_to_the_true_one_as_tokens_are_added():
    apart = np.zeros(3)
    for seed in range(40):
        X, y, theta = drawn(25_600, d=3, L=3, seed=seed)
        pinned = theta - theta.mean(1, keepdims=True)
        apart += [np.linalg.norm(fit(X[:t], y[:t], 3).theta - pinned) for t in (100, 1_600, 25_600)]
    # sixteen times the tokens is a quarter of the error
    np.testing.assert_allclose(apart[1:] / apart[:-1], [1 / 4, 1 / 4], atol=0.06)


def test_rows_that_are_not_finite_and_a_ridge_of_zero_get_a_sentence():
    X, y, _ = drawn(10)
    with pytest.raises(ParameterError, match="The ridge must be"):
        fit(X, y, 4, ridge=0.0)
    X[3, 1] = np.nan
    with pytest.raises(DesignError, match="not finite"):
        fit(X, y, 4)
