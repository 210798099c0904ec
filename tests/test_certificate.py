"""The certificate is a proof: it never claims more than brute force allows."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fishersft.design.information import design_matrix, gain, optimum_bound, share_of_optimum
from fishersft.design.reference import best_subset

from .conftest import random_blocks


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
