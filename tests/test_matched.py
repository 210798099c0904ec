"""MatchedOD minimises Stein's loss, exactly and pick by pick."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fishersft import TokenEmbeddings
from fishersft.design.matched import matched, second_moment
from fishersft.errors import DesignError
from tests.reference import stein_greedy

from .conftest import random_blocks


def steps(blocks, n, **options):
    e = TokenEmbeddings.of(blocks)
    return list(islice(matched(e, **options), n))


def losses_of(picks):
    """Stein's loss after each pick; a pick's gain is its fall."""
    return -np.cumsum([p.gain for p in picks])


def stein(blocks, picks, t0, ridge):
    """Stein's loss of a selection as its definition says, up to no constant: 0 where the moments agree."""
    e = TokenEmbeddings.of(blocks)
    M = second_moment(e, ridge)
    rows = np.concatenate([blocks[i] for i in picks])
    A = np.linalg.solve(M, (t0 * M + rows.T @ rows) / (t0 + len(rows)))
    return np.trace(A) - np.linalg.slogdet(A)[1] - len(M)


@pytest.fixture(params=["small", "general"])
def way(request, monkeypatch):
    """Both ways of computing it, whatever d is."""
    monkeypatch.setattr("fishersft.design.matched.LARGEST_D", 10**6 if request.param == "small" else 0)


@pytest.mark.usefixtures("way")
@given(seed=st.integers(0, 10_000), d=st.integers(1, 9), t0=st.sampled_from([1.0, 20.0]), ridge=st.sampled_from([1e-3, 0.1]))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_picks_what_trying_every_sentence_at_every_pick_picks(seed, d, t0, ridge):
    blocks = random_blocks(25, d, seed)
    picks, losses = stein_greedy(blocks, 25, t0, ridge)
    fast = steps(blocks, 25, prior_tokens=t0, ridge=ridge)
    assert [s.position for s in fast] == picks
    assert np.allclose(losses_of(fast), losses, atol=1e-8)


@pytest.mark.parametrize(("d", "most", "n"), [(140, 12, 40), (135, 200, 20), (20, 60, 40)])
def test_screening_in_float32_and_long_sentences_change_no_pick(d, most, n):
    blocks = random_blocks(n, d, 3, most=most)
    picks, losses = stein_greedy(blocks, n // 2, 20, 1e-3)
    fast = steps(blocks, n // 2)
    assert [s.position for s in fast] == picks
    assert np.allclose(losses_of(fast), losses, atol=1e-7)


def test_bounds_that_fall_with_the_design_save_most_evaluations(monkeypatch):
    monkeypatch.setattr("fishersft.design.matched.LARGEST_D", 0)
    blocks = random_blocks(400, 12, 7, most=20)
    assert steps(blocks, 100)[-1].evaluations < 400 * 100 / 8


@pytest.mark.usefixtures("way")
def test_the_loss_it_reports_is_steins_loss_of_its_picks_and_lower_than_by_chance():
    blocks = random_blocks(300, 8, 1)
    fast = steps(blocks, 60)
    assert losses_of(fast)[-1] == pytest.approx(stein(blocks, [s.position for s in fast], 20, 1e-3))
    rng = np.random.default_rng(0)
    chance = [stein(blocks, rng.permutation(300)[:60], 20, 1e-3) for _ in range(20)]
    assert losses_of(fast)[-1] < min(chance) / 3


def test_the_whole_pool_matches_itself():
    blocks = random_blocks(30, 5, 2)
    assert losses_of(steps(blocks, 30, ridge=1e-9))[-1] == pytest.approx(0, abs=1e-9)


def test_a_change_of_basis_changes_no_pick():
    blocks = random_blocks(40, 6, 4)
    basis = np.random.default_rng(1).normal(size=(6, 6))
    turned = [b @ basis for b in blocks]
    assert [s.position for s in steps(blocks, 20, ridge=1e-12)] == [s.position for s in steps(turned, 20, ridge=1e-12)]


@pytest.mark.usefixtures("way")
def test_of_duplicates_the_first_is_picked():
    blocks = random_blocks(12, 4, 6)
    doubled = [*blocks, *blocks]
    assert max(s.position for s in steps(doubled, 1)) < 12
    picks = [s.position for s in steps(doubled, 24)]
    assert all(picks.index(i) < picks.index(i + 12) for i in range(12))


@pytest.mark.usefixtures("way")
def test_sampled_candidates_lose_little_and_the_seed_decides():
    blocks = random_blocks(300, 8, 5)
    exact = losses_of(steps(blocks, 60))[-1]
    a, b, c = (steps(blocks, 60, candidates=30, rng=np.random.default_rng(s)) for s in (0, 0, 1))
    assert [s.position for s in a] == [s.position for s in b] != [s.position for s in c]
    assert exact <= losses_of(a)[-1] < exact * 3 + 0.5
    assert len({s.position for s in steps(blocks[:40], 40, candidates=7)}) == 40


def test_bad_rows_are_refused():
    blocks = random_blocks(5, 3, 0)
    blocks[3][0, 1] = np.nan
    with pytest.raises(DesignError, match="record 3"):
        steps(blocks, 1)
    with pytest.raises(DesignError, match="zero"):
        steps([np.zeros((2, 3))] * 3, 1)
