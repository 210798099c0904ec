"""One row an item: the quick greedy and the quick k-center pick what brute force picks."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fishersft import Pool, TokenEmbeddings, make_selector
from fishersft.design.information import TIE
from fishersft.design.rank_one import RankOne, rank_one_greedy
from fishersft.errors import DesignError
from fishersft.selectors.k_center import PickDistances, farthest_first
from tests.reference import algorithm_1, best_subset


def random_rows(n, d, seed, scale=1.0):
    """Rows with a falling spectrum, a quarter of them copies of others."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * scale / np.sqrt(np.arange(1, d + 1))
    copies = rng.permutation(n)[: n // 4]
    X[copies] = X[rng.integers(0, n, len(copies))]
    return X


def small_integers(n, d, seed):
    """Rows of -1, 0 and 1, none of them zero: ties everywhere."""
    X = np.random.default_rng(seed).integers(-1, 2, size=(n, d)).astype(float)
    X[~X.any(1), 0] = 1.0
    return X


def brute_force_greedy(X, n, sigma2=1.0):
    return algorithm_1([x[None] for x in X], n, sigma2)


def brute_force_k_center(X, n):
    """Farthest-first in float64, every distance of every pick by differences; the radius after each pick too."""
    X = np.asarray(X, dtype=np.float64)
    to_mean = np.linalg.norm(X - X.mean(0), axis=1)
    picks, radii = [int(np.flatnonzero(to_mean * (1 - TIE) <= to_mean.min())[0])], []
    while True:
        nearest = np.linalg.norm(X[:, None] - X[picks], axis=2).min(1)
        nearest[picks] = -1
        radii.append(max(nearest.max(), 0.0))
        if len(picks) == n:
            return picks, radii
        picks.append(int(np.flatnonzero(nearest >= nearest.max() * (1 - TIE))[0]))


class TestRankOneGreedy:
    @given(
        seed=st.integers(0, 10_000),
        d=st.integers(1, 12),
        n=st.integers(1, 40),
        sigma2=st.sampled_from([1e-3, 1.0, 30.0]),
        make=st.sampled_from([random_rows, small_integers]),
    )
    @settings(max_examples=60, deadline=None)
    def test_its_picks_and_gains_are_those_of_algorithm_1(self, seed, d, n, sigma2, make):
        X = make(40, d, seed)
        picks, gains = brute_force_greedy(X, n, sigma2)
        steps = list(islice(rank_one_greedy(X, sigma2), n))
        assert [s.position for s in steps] == picks
        assert np.allclose([s.gain for s in steps], gains, rtol=1e-7, atol=1e-9)

    def test_two_picks_by_hand(self):
        # along the first axis q = 3 and after it 3 / 4; along the second 1 before and after
        steps = list(rank_one_greedy(np.array([[0.0, 1.0], [3**0.5, 0.0], [3**0.5, 0.0]])))
        assert [s.position for s in steps] == [1, 0, 2]
        assert [s.gain for s in steps] == pytest.approx(np.log([4, 2, 7 / 4]))

    def test_a_screen_that_sees_nothing_still_gives_the_picks_of_algorithm_1(self, monkeypatch):
        X = random_rows(40, 6, 0)
        # every q of the screen is off by as much as its pad says it may be
        real = RankOne.accept

        def noisy(self, position, q):
            before = self.q.clone(), self.pad.clone()
            real(self, position, q)
            noise = torch.from_numpy(np.random.default_rng(position).uniform(-1, 1, len(X))) * 0.1
            self.q = (self.q + noise * before[0]).clamp(min=0)
            self.pad += 0.1 * before[0]

        monkeypatch.setattr(RankOne, "accept", noisy)
        assert [s.position for s in rank_one_greedy(X)][:20] == brute_force_greedy(X, 20)[0]

    def test_rows_far_beyond_float32_are_screened_in_float64(self):
        X = random_rows(1000, 8, 1) * np.logspace(5, -3, 8)
        design = RankOne(X)
        picks = []
        for _ in range(40):
            picks.append(design.best())
            design.accept(*picks[-1])
        assert design.X.dtype == torch.float64
        V, outside = np.eye(8), np.ones(1000, dtype=bool)
        for position, q in picks[:20]:
            exact = np.einsum("id,id->i", X, np.linalg.solve(V, X.T).T)
            assert q == pytest.approx(exact[position], rel=1e-6)
            assert q >= exact[outside].max() * (1 - 1e-6)
            V += np.outer(X[position], X[position])
            outside[position] = False

    def test_a_well_conditioned_pool_stays_in_float32_and_confirms_few(self):
        X = np.random.default_rng(2).normal(size=(400, 30))
        design = RankOne(X)
        for _ in range(50):
            design.accept(*design.best())
        assert design.X.dtype == torch.float32
        assert design.evaluations - 51 * 400 < 50 * 5

    @pytest.mark.parametrize("tail", [1, 3])
    def test_factoring_V_afresh_changes_no_pick(self, monkeypatch, tail):
        monkeypatch.setattr("fishersft.design.rank_one.TAIL", tail)
        X = random_rows(40, 6, 3)
        assert [s.position for s in islice(rank_one_greedy(X), 30)] == brute_force_greedy(X, 30)[0]

    def test_identical_rows_come_in_index_order_and_zero_rows_last(self):
        assert [s.position for s in rank_one_greedy(np.ones((7, 3)))] == list(range(7))
        steps = list(rank_one_greedy(np.array([[0.0, 0], [1, 1], [0, 0], [2, 0]])))
        assert [s.position for s in steps] == [3, 1, 0, 2]
        assert steps[-1].gain == 0

    def test_no_subset_beats_the_bound(self):
        for seed in range(5):
            X = random_rows(9, 4, seed)
            for step, n in zip(rank_one_greedy(X), (1, 2, 3, 4), strict=False):
                assert step.optimum_bound >= best_subset([x[None] for x in X], n)[1] - 1e-9

    def test_float16_rows_give_the_picks_of_algorithm_1_on_the_same_rows(self):
        X = random_rows(40, 8, 6).astype(np.float16)
        assert [s.position for s in islice(rank_one_greedy(X), 25)] == brute_force_greedy(X, 25)[0]

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_rows_that_are_not_finite_are_refused_by_their_record(self, bad):
        X = random_rows(5, 3, 0)
        X[3, 1] = bad
        with pytest.raises(DesignError, match="record 3"):
            next(rank_one_greedy(X))

    def test_what_cannot_be_designed_gets_a_sentence(self):
        with pytest.raises(DesignError, match="gains anything measurable"):
            next(rank_one_greedy(np.zeros((3, 2))))
        with pytest.raises(DesignError, match="sigma2"):
            next(rank_one_greedy(np.ones((3, 2)), -1.0))
        with pytest.raises(DesignError, match="raise sigma2"):
            list(rank_one_greedy(np.array([[1e9, 1e9], [1e9, 1e9 + 1], [1e9, 1e9]]), 1e-12))


class TestKCenter:
    @given(
        seed=st.integers(0, 10_000),
        d=st.integers(1, 8),
        offset=st.sampled_from([0.0, 50.0]),
        make=st.sampled_from([random_rows, small_integers]),
    )
    @settings(max_examples=60, deadline=None)
    def test_its_picks_and_radii_are_those_of_brute_force(self, seed, d, offset, make):
        X = make(40, d, seed) + offset
        picks, radii = brute_force_k_center(X, 40)
        ours = list(farthest_first(X))
        distinct = len(np.unique(X, axis=0))  # beyond, every distance is 0
        assert [p for p, _ in ours][:distinct] == picks[:distinct]
        assert sorted(p for p, _ in ours) == list(range(40))
        assert np.allclose([r for _, r in ours], radii, rtol=1e-4, atol=1e-9)

    def test_points_on_a_line_by_eye(self):
        # the middle, then one end (the lower index of two), the other end, and then between
        X = np.array([[0.0], [2.0], [4.0], [6.0], [8.0]])
        assert list(farthest_first(X)) == [(2, 4.0), (0, 4.0), (4, 2.0), (1, 2.0), (3, 0.0)]

    def test_points_closer_than_float32_sees_are_told_apart(self):
        rng = np.random.default_rng(0)
        X = 1e4 + rng.normal(size=(30, 5)) * 1e-4
        X[0] += 1e3  # one far away, so that the others are one point to the screen
        assert [p for p, _ in farthest_first(X)] == brute_force_k_center(X, 30)[0]

    def test_few_points_are_confirmed(self):
        points = PickDistances(np.random.default_rng(1).normal(size=(500, 40)))
        confirmed = []
        real = points._confirm
        points._confirm = lambda some: (confirmed.append(len(some)), real(some))
        points.accept(points.nearest_to_mean())
        for _ in range(50):
            points.accept(points.farthest()[0])
        assert sum(confirmed) < 50 * 3

    def test_identical_points_come_in_index_order(self):
        assert list(farthest_first(np.full((6, 3), 0.1))) == [(i, 0.0) for i in range(6)]

    def test_rows_that_are_not_finite_are_refused_by_their_record(self):
        X = random_rows(5, 3, 0)
        X[2, 1] = np.nan
        with pytest.raises(DesignError, match="record 2"):
            next(farthest_first(X))


def test_sentence_od_is_the_rank_one_greedy_on_the_means():
    pool = Pool(TokenEmbeddings.of([np.array([[2.0, 0], [0, 2.0]]), np.array([[0.0, 3.0]]), np.array([[1.0, 0]])]))
    chosen = make_selector("sentence_od").select(pool, 3)
    steps = list(rank_one_greedy(np.array([[1.0, 1], [0, 3], [1, 0]])))
    assert chosen.indices.tolist() == [s.position for s in steps]
    assert chosen.gains == pytest.approx([s.gain for s in steps])
    assert 0 < chosen.proven_share <= 1


def test_k_center_covers_three_far_groups_with_three_picks():
    near = np.random.default_rng(0).normal(size=(12, 2)) * 0.1
    groups = np.repeat([[0.0, 0], [10, 0], [0, 10]], 4, axis=0) + near
    pool = Pool(TokenEmbeddings.of([x[None] for x in groups]))
    chosen = make_selector("k_center").select(pool, 3).indices
    assert sorted(chosen // 4) == [0, 1, 2]
