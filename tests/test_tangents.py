"""Bounds that follow the design: never below the true gain, and far nearer to it than an old gain is."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fishersft import TokenEmbeddings
from fishersft.design.factor import Factor
from fishersft.design.greedy import greedy
from fishersft.design.information import gain
from fishersft.design.tangents import Tangents
from tests.reference import algorithm_1

from .conftest import random_blocks


def tangents_of(rows, blocks, factor):
    """The tangents of all blocks at the design as it is, and the gains there."""
    kept = Tangents(rows)
    gains = np.array([gain(factor.V.numpy(), b) for b in blocks])
    for i, b in enumerate(blocks):
        X = torch.from_numpy(b)
        Z, P = factor.whiten(X)
        root = torch.linalg.cholesky(torch.eye(len(b), dtype=torch.float64) + Z @ Z.T - P @ P.T)
        kept.take(i, X.float(), root.float(), gains[i], factor, lambda some: gains[some])
    return kept, gains


@given(
    seed=st.integers(0, 10_000), d=st.integers(2, 40), sigma2=st.sampled_from([1e-3, 1.0, 30.0]), uneven=st.sampled_from([0, 3])
)
@settings(max_examples=60, deadline=None)
def test_a_bound_is_never_below_the_true_gain_however_far_the_design_grows(seed, d, sigma2, uneven):
    rng = np.random.default_rng(seed)
    scale = np.logspace(uneven / 2, -uneven / 2, d)
    blocks = [b * scale for b in random_blocks(12, d, seed, most=2 * d)]
    rows, factor = TokenEmbeddings.of(blocks), Factor(d, sigma2)
    factor.add(torch.from_numpy(blocks[0]))
    factor._factor()
    kept, gains = tangents_of(rows, blocks, factor)
    everyone = np.arange(12)
    for p in rng.permutation(12)[:6]:
        factor.add(torch.from_numpy(blocks[p]))
        factor._factor()
        kept.moved(-1)
        true = np.array([gain(factor.V.numpy(), b) for b in blocks])
        bounds = kept.bounds(everyone, factor)
        assert (bounds >= true - 1e-5 * (1 + gains)).all()
        assert (bounds <= gains + 1e-12).all()


def test_where_the_design_grows_by_a_little_the_bound_is_close_and_an_old_gain_is_not():
    blocks = random_blocks(80, 20, 1, most=30)
    rows, factor = TokenEmbeddings.of(blocks), Factor(20)
    for b in blocks[:60]:
        factor.add(torch.from_numpy(b))
    kept, old = tangents_of(rows, blocks, factor)
    for b in blocks[60:63]:
        factor.add(torch.from_numpy(b))
    kept.moved(-1)
    true = np.array([gain(factor.V.numpy(), b) for b in blocks])
    assert (kept.bounds(np.arange(80), factor) - true < 0.1 * (old - true)).all()


@pytest.mark.parametrize("kept_bytes", [10**9, 64 * 140 * 141 * 2])
def test_the_picks_stay_those_of_algorithm_1_and_fewer_gains_are_evaluated(kept_bytes, monkeypatch):
    monkeypatch.setattr("fishersft.design.tangents.KEPT_BYTES", kept_bytes)
    blocks = random_blocks(150, 140, 2, most=60)
    found = {}
    for worth in (0, 10**6):
        monkeypatch.setattr("fishersft.design.tangents.WORTH", worth)
        found[worth] = list(islice(greedy(TokenEmbeddings.of(blocks)), 60))
    plain, following = found.values()
    assert [s.position for s in following[:12]] == algorithm_1(blocks, 12)[0]
    assert [s.position for s in following] == [s.position for s in plain]
    assert np.allclose([s.gain for s in following], [s.gain for s in plain], rtol=1e-9)
    assert following[-1].evaluations < plain[-1].evaluations
