"""Approximate TokenOD is near the exact one, and says how near."""

from itertools import islice

import numpy as np
import pytest

from fishersft import Pool, TokenEmbeddings, make_selector
from fishersft.design.greedy import greedy
from fishersft.design.trajectory import log_det_at
from fishersft.errors import ParameterError
from fishersft.selectors.token_od_approximate import approximately, measured_regret, projected

from .conftest import random_blocks


@pytest.fixture(scope="module")
def rows():
    return TokenEmbeddings.of(random_blocks(300, 48, 1, most=12))


def picks(rows, n, **modes):
    steps = approximately(rows, 1.0, modes.get("projection", 0), modes.get("candidates", 0), np.random.default_rng(0))
    return np.array([s.position for s in islice(steps, n)])


def test_with_both_modes_off_it_is_exact(rows):
    exact = [s.position for s in islice(greedy(rows), 40)]
    assert picks(rows, 40).tolist() == exact
    assert picks(rows, 40, projection=48).tolist() == exact
    assert picks(rows, 40, candidates=300).tolist() == exact


def test_projection_keeps_lengths_on_average(rows):
    short = projected(rows, 16, np.random.default_rng(0)).values
    assert short.shape == (len(rows.values), 16)
    ratio = (short**2).sum(1) / (rows.values**2).sum(1)
    assert ratio.mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("modes", [{"projection": 24}, {"candidates": 60}, {"projection": 24, "candidates": 60}])
def test_it_lies_between_exact_and_random(rows, modes):
    f = lambda order: log_det_at(rows, order, [30])[0]  # noqa: E731
    exact, near = f(picks(rows, 30)), f(picks(rows, 30, **modes))
    chance = np.mean([f(np.random.default_rng(s).permutation(300)) for s in range(20)])
    assert chance < near <= exact + 1e-9
    assert near > chance + 0.5 * (exact - chance)


def test_regret_is_nothing_for_exact_and_more_for_fewer_candidates(rows):
    few, many, all_ = (measured_regret(rows, 1.0, 0, c)[0] for c in (3, 60, 0))
    assert all_ == 0 < many < few <= 1.2


def test_the_selector_says_its_regret_and_what_it_did(rows):
    chosen = make_selector("token_od_approximate", {"projection": "24", "candidates": "50"}).select(Pool(rows), 20)
    assert "gap between exact and random picks, on 300 sentences, 30 picks" in chosen.order.notes["regret"]
    assert chosen.order.notes["projection"] == "48 to 24 dimensions"
    assert "50 random" in chosen.order.notes["candidates"]
    assert chosen.proven_share is None
    with pytest.raises(ParameterError, match="projection"):
        make_selector("token_od_approximate", {"projection": -1})
