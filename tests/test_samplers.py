"""Selectors that draw or rank: by density, clusters, strata, length and loss."""

import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from scipy import stats

from fishersft import Pool, TokenEmbeddings, make_selector
from fishersft.errors import DesignError, ModelError, ParameterError
from fishersft.lm.losses import TokenStatistics
from fishersft.selectors.clusters import standardised, stratified_order, systematic_order
from fishersft.selectors.density import Sketch, collision, exact_densities, median_distance
from fishersft.selectors.sampling import Clusters, k_means, weighted_order

from .conftest import random_blocks


def pool_of(means, tokens=None, readings=None):
    """A pool whose sentences have these means, each repeated as often as it has tokens."""
    tokens = [1] * len(means) if tokens is None else tokens
    blocks = [np.tile(np.asarray(m, dtype=np.float32), (t, 1)) for m, t in zip(means, tokens, strict=True)]
    return Pool(TokenEmbeddings.of(blocks), readings=readings)


def readings_of(losses):
    """One token a sentence, with these losses."""
    losses = np.asarray(losses, dtype=np.float32)
    return TokenStatistics(losses, np.full(len(losses), 0.5, np.float32), np.arange(len(losses) + 1))


def groups(sizes, spread=0.05, seed=0, d=2):
    """Far groups of points, one of each size, and the group of each point."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(sizes)), sizes)
    return rng.normal(size=(len(sizes), d))[label] * 20 + rng.normal(size=(len(label), d)) * spread, label


@dataclass
class Scripted:
    """Readings that remember what they were asked for."""

    answers: np.ndarray
    asked: list = field(default_factory=list)

    def statistics(self):
        raise AssertionError("asked for every loss")

    def losses(self, positions):
        self.asked.append(np.asarray(positions))
        return self.answers[positions]


class TestWeightedOrder:
    def test_the_first_draw_is_in_proportion_to_the_weights(self):
        weights = np.array([1.0, 2.0, 3.0, 4.0])
        rng = np.random.default_rng(0)
        first = np.bincount([weighted_order(weights, rng)[0] for _ in range(4000)], minlength=4)
        assert stats.chisquare(first, 4000 * weights / 10).pvalue > 1e-3

    def test_the_second_draw_is_in_proportion_to_the_weights_that_are_left(self):
        weights = np.array([6.0, 1.0, 3.0])
        rng = np.random.default_rng(1)
        orders = np.array([weighted_order(weights, rng) for _ in range(4000)])
        after = np.bincount(orders[orders[:, 0] == 0, 1], minlength=3)[1:]
        assert stats.chisquare(after, after.sum() * np.array([1, 3]) / 4).pvalue > 1e-3

    def test_only_ratios_matter_however_small_or_large(self):
        weights = np.array([1.0, 2.0, 3.0])
        orders = [weighted_order(weights * scale, np.random.default_rng(2)).tolist() for scale in (1, 1e-300, 1e300)]
        assert orders[0] == orders[1] == orders[2]

    def test_zero_weights_come_last_in_random_order(self):
        orders = [weighted_order(np.array([0, 5.0, 0, 0]), np.random.default_rng(s)).tolist() for s in range(50)]
        assert {o[0] for o in orders} == {1}
        assert len({tuple(o[1:]) for o in orders}) == 6
        assert sorted(weighted_order(np.zeros(3), np.random.default_rng(0))) == [0, 1, 2]

    @pytest.mark.parametrize("bad", [[-1.0, 1], [np.nan, 1], [np.inf, 1]])
    def test_what_is_no_weight_is_refused(self, bad):
        with pytest.raises(ValueError, match="finite"):
            weighted_order(np.array(bad), np.random.default_rng(0))


class TestDensity:
    def densities(self, X, **parameters):
        made = make_selector("density", parameters).densities(np.asarray(X, dtype=np.float32), np.random.default_rng(0))
        while True:
            try:
                next(made)
            except StopIteration as end:
                return end.value

    def test_the_kernel_is_how_often_hashes_agree(self):
        rng = np.random.default_rng(0)
        draws = 200_000
        for c in (0.3, 1.0, 4.0):
            x, y = rng.normal(size=draws) * c, rng.random(draws) * 2.0  # a . (x - y) is Gaussian of deviation c
            agree = np.mean(np.floor((x + y) / 2.0) == np.floor(y / 2.0))
            k = float(collision(torch.tensor([c], dtype=torch.float64), 2.0, 1))
            assert abs(agree - k) < 5 * np.sqrt(k * (1 - k) / draws)
            assert float(collision(torch.tensor([c], dtype=torch.float64), 2.0, 3)) == pytest.approx(k**3)

    def test_the_kernel_is_1_at_0_and_falls(self):
        k = collision(torch.tensor([0.0, 1e-6, 0.1, 1, 10, 1e4], dtype=torch.float64), 1.0, 2).tolist()
        assert k[0] == 1.0
        assert k == sorted(k, reverse=True)
        assert 0 <= k[-1] < 1e-7

    def test_exact_densities_are_those_of_a_direct_loop(self, monkeypatch):
        monkeypatch.setattr("fishersft.selectors.density.PAIRS", 100)  # several batches
        X = np.random.default_rng(1).normal(size=(30, 4))
        X[7] = X[3]
        X -= X.mean(0)

        def p(c, r):  # Datar et al. 2004, as printed
            if c == 0:
                return 1.0
            return 1 - 2 * stats.norm.cdf(-r / c) - 2 / (np.sqrt(2 * np.pi) * r / c) * (1 - np.exp(-(r**2) / (2 * c**2)))

        direct = [np.mean([p(np.linalg.norm(x - y), 1.5) ** 3 for y in X]) for x in X]
        assert np.allclose(np.concatenate(list(exact_densities(X, 1.5, 3))), direct, rtol=1e-5)

    def test_the_sketch_estimates_the_exact_densities(self):
        X, _ = groups([150, 40, 10], spread=1.0, d=6)
        exact = self.densities(X, repetitions=3000)
        sketch = self.densities(X, repetitions=3000, exact_up_to=0)
        assert np.abs(sketch / exact - 1).max() < 0.2
        assert abs((sketch / exact).mean() - 1) < 0.03

    def test_few_buckets_do_not_bias_the_sketch(self):
        X, _ = groups([60, 20], spread=1.0, d=6)
        exact = self.densities(X)
        sketch = self.densities(X, exact_up_to=0, repetitions=4000, buckets=8)
        assert abs((sketch / exact).mean() - 1) < 0.05

    def test_the_sketch_counts_the_same_in_any_batches(self):
        X = np.random.default_rng(2).normal(size=(50, 3))
        whole, parts = (Sketch(3, 1.0, 2, 20, 100, np.random.default_rng(0)) for _ in range(2))
        whole.add(X)
        for part in np.array_split(X, 4):
            parts.add(part)
        assert np.array_equal(whole.counts, parts.counts)
        assert np.array_equal(whole.densities(X), parts.densities(X))

    def test_95_copies_and_5_copies_are_as_likely_to_come_first(self):
        X, label = groups([95, 5], spread=0.0)
        pool = pool_of(X)
        first = [label[make_selector("density").select(pool, 1, seed=s).indices[0]] for s in range(100)]
        assert 30 <= sum(first) <= 70  # 1 / density undoes the size of a group

    @pytest.mark.parametrize(("exact_up_to", "said"), [(20_000, "exact"), (0, "sketch of 512 x 20,000")])
    def test_it_says_how_the_densities_were_made(self, exact_up_to, said):
        chosen = make_selector("density", {"exact_up_to": exact_up_to}).select(pool_of(groups([9, 3])[0]), 3)
        assert chosen.order.notes == {"density": said}

    def test_the_bandwidth_follows_the_scale_of_the_rows(self):
        X = np.random.default_rng(3).normal(size=(40, 3)).astype(np.float32)
        assert median_distance(X * 8, np.random.default_rng(0)) == pytest.approx(8 * median_distance(X, np.random.default_rng(0)))
        assert np.allclose(self.densities(X), self.densities(X * 8), rtol=1e-4)
        assert np.allclose(self.densities(np.ones((5, 3))), 1.0)


class TestClusters:
    def test_far_groups_are_found_and_the_same_seed_finds_the_same(self):
        X, label = groups([30, 20, 10])
        a, b = (k_means(X, 3, np.random.default_rng(4)) for _ in range(2))
        assert len({(x, y) for x, y in zip(a.labels, label, strict=True)}) == 3
        assert np.array_equal(a.labels, b.labels) and np.array_equal(a.squared, b.squared)
        centres = np.array([X[label == g].mean(0) for g in range(3)])
        assert np.allclose(a.squared, ((X - centres[label]) ** 2).sum(1), atol=1e-4)

    def test_the_number_is_the_square_root_where_none_is_given(self):
        X = np.random.default_rng(0).normal(size=(50, 4))
        assert k_means(X, 0, np.random.default_rng(0)).labels.max() + 1 == 7

    def test_more_clusters_than_sentences_get_a_sentence(self):
        for name, parameters in (("prototypes", {"clusters": 4}), ("clustered", {"clusters": 4}), ("stratified", {"strata": 4})):
            with pytest.raises(ParameterError, match="4 clusters were asked for and the pool has 3 sentences"):
                make_selector(name, parameters).select(pool_of(np.eye(3)), 1)

    def test_identical_sentences_are_one_cluster_without_a_warning(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = k_means(np.full((9, 3), 0.1), 4, np.random.default_rng(0))
        assert not found.labels.any() and not found.squared.any()

    def test_a_cluster_a_sentence_leaves_no_distance(self):
        X = np.random.default_rng(0).normal(size=(6, 3)) + 100
        assert not k_means(X, 6, np.random.default_rng(0)).squared.any()

    def test_a_large_pool_is_clustered_in_batches(self, monkeypatch):
        monkeypatch.setattr("fishersft.selectors.sampling.LARGE", 50)
        X, label = groups([60, 40])
        a, b = (k_means(X, 2, np.random.default_rng(1)) for _ in range(2))
        assert len({(x, y) for x, y in zip(a.labels, label, strict=True)}) == 2
        assert np.array_equal(a.squared, b.squared)

    def test_the_nearest_row_stands_for_its_cluster_and_the_lower_where_two_are(self):
        found = Clusters(np.array([1, 0, 1, 0, 1]), np.array([2.0, 5.0, 1.0, 4.0, 1.0]))
        rows, group = found.nearest()
        assert rows.tolist() == [3, 2]
        assert group.tolist() == [1, 0, 1, 0, 1]


class TestClustered:
    def test_losses_are_asked_once_and_only_at_the_centres(self):
        X, label = groups([12, 8, 5])
        asked = Scripted(np.linspace(1, 2, 25))
        chosen = make_selector("clustered", {"clusters": 3}).select(pool_of(X, readings=asked), 10)
        assert len(asked.asked) == 1
        assert sorted(label[asked.asked[0]]) == [0, 1, 2]
        for position in asked.asked[0]:
            own = X[label == label[position]]
            assert np.linalg.norm(X[position] - own.mean(0)) == pytest.approx(np.linalg.norm(own - own.mean(0), axis=1).min())
        assert chosen.order.notes == {"clustered": "loss asked of 3 sentences of 25"}

    def test_a_group_is_drawn_in_proportion_to_the_loss_at_its_centre(self):
        X, label = groups([10, 10])
        losses = np.where(label == 0, 1.0, 3.0)
        pool = pool_of(X, readings=readings_of(losses))
        kind = make_selector("clustered", {"clusters": 2, "lam": 0.0})
        first = sum(label[kind.select(pool, 1, seed=s).indices[0]] for s in range(200))
        assert abs(first - 150) < 4 * np.sqrt(200 * 0.75 * 0.25)

    def test_with_no_loss_the_farther_from_the_centre_are_drawn(self):
        X = np.array([[-2.0], [0.0], [2.0], [0.0]])  # one cluster with its centre at 0
        pool = pool_of(X, readings=readings_of(np.zeros(4)))
        for seed in range(10):
            assert set(make_selector("clustered", {"clusters": 1}).select(pool, 2, seed=seed).indices) == {0, 2}

    def test_a_loss_that_is_no_number_gets_a_sentence(self):
        with pytest.raises(ModelError, match="record 1 of the pool is nan"):
            make_selector("perplexity").select(pool_of(np.eye(3), readings=readings_of([1.0, np.nan, 2.0])), 1)
        with pytest.raises(ModelError, match="record 2 of the pool is inf"):
            make_selector("clustered", {"clusters": 3}).select(pool_of(np.eye(3), readings=readings_of([1.0, 1.0, np.inf])), 1)


class TestPrototypes:
    def test_hard_takes_the_outlier_of_a_cluster_first_and_easy_its_centre(self):
        X = [[0.0, 0.0], [0.1, 0.0], [-0.1, 0.0], [9.0, 0.0], [9.0, 1.5], [9.0, -1.5], [9.0, 0.5]]
        hard, easy = (
            make_selector("prototypes", {"keep": keep, "clusters": 2}).select(pool_of(X), 7).indices.tolist()
            for keep in ("hard", "easy")
        )
        assert hard[:2] == [5, 4] and easy[0] == 0
        assert hard[::-1] == [*easy[:1], *sorted(easy[1:3], reverse=True), *easy[3:]]


class TestPerplexity:
    losses = (2.0, 5.0, 1.0, 5.0, 3.0)

    @pytest.mark.parametrize(
        ("keep", "picks"), [("hard", [1, 3, 4, 0, 2]), ("easy", [2, 0, 4, 1, 3]), ("middle", [4, 0, 1, 2, 3])]
    )
    def test_five_losses_by_eye(self, keep, picks):
        pool = pool_of(np.eye(5), readings=readings_of(self.losses))
        assert make_selector("perplexity", {"keep": keep}).select(pool, 5).indices.tolist() == picks

    def test_a_long_sentence_counts_by_its_mean(self):
        readings = TokenStatistics(np.array([3.0, 3, 3, 4], np.float32), np.ones(4, np.float32), np.array([0, 3, 4]))
        pool = pool_of(np.eye(2), tokens=[3, 1], readings=readings)
        assert make_selector("perplexity").select(pool, 1).indices.tolist() == [1]

    def test_a_pool_without_losses_says_what_it_needs(self):
        with pytest.raises(ParameterError, match="corpus and model"):
            make_selector("perplexity").select(pool_of(np.eye(3)), 1)


class TestStratified:
    @pytest.mark.parametrize("N", [1, 2, 3, 5, 8, 13, 64, 100])
    def test_a_systematic_order_is_a_permutation_whatever_the_turn(self, N):
        for turn in (0.0, 0.5, 1 - 2**-53, *np.random.default_rng(N).random(20)):
            assert sorted(systematic_order(N, turn)) == list(range(N))

    def test_a_systematic_order_without_a_turn_by_eye(self):
        assert systematic_order(8, 0.0).tolist() == [0, 4, 2, 6, 1, 5, 3, 7]

    def test_prefixes_of_a_systematic_order_are_spread_over_the_ranks(self):
        for turn in np.random.default_rng(0).random(10):
            order = systematic_order(100, turn)
            for n in (2, 4, 8, 16, 32, 64):
                counts = np.bincount(order[:n] * n // 100, minlength=n)
                assert counts.max() <= 2 and np.sort(np.diff(np.sort(order[:n]))).max() <= 100 / n + 1

    def test_every_rank_is_as_likely_to_come_early(self):
        turns = (np.arange(700) + 0.5) / 700
        first = np.array([systematic_order(7, t)[:3] for t in turns])
        assert (np.bincount(first.ravel(), minlength=7) == 300).all()

    @pytest.mark.parametrize(("sizes", "most"), [(np.arange(10, 50), 1.3), (np.array([400, 250, 150, 120, 50, 20, 9, 1]), 2.5)])
    def test_every_prefix_takes_its_share_of_every_stratum(self, sizes, most):
        k, N, rng = len(sizes), sizes.sum(), np.random.default_rng(0)
        labels = np.repeat(np.arange(k), sizes)
        for _ in range(10):
            order = stratified_order(labels, rng.integers(1, 60, N), rng)
            assert sorted(order) == list(range(N))
            taken = np.cumsum(labels[order][:, None] == np.arange(k), axis=0)
            off = np.abs(taken - np.arange(1, N + 1)[:, None] * sizes / N)
            assert off.max() < most
            assert (off <= 1).mean() > 0.95

    def test_a_prefix_has_the_lengths_of_the_pool(self):
        X, label = groups([300, 100], seed=1)
        tokens = np.random.default_rng(2).integers(1, 80, 400)
        chosen = make_selector("stratified", {"strata": 2}).select(pool_of(X, tokens), 40, seed=3)
        assert abs(np.bincount(label[chosen.indices])[0] - 30) <= 1
        assert stats.ks_2samp(tokens[chosen.indices], tokens).statistic < 0.1

    def test_every_sentence_is_about_as_likely_to_be_in_a_prefix(self):
        labels, tokens = np.repeat([0, 1], [8, 4]), np.arange(12)
        often = np.zeros(12)
        for seed in range(600):
            often[stratified_order(labels, tokens, np.random.default_rng(seed))[:6]] += 1
        assert (np.abs(often - 300) < 5 * np.sqrt(150)).all()

    def test_columns_that_do_not_vary_count_for_nothing(self):
        X = np.column_stack([np.full(50, 0.1), np.random.default_rng(0).normal(size=50) * 1e-3 + 5, np.zeros(50)])
        Z = standardised(X.astype(np.float32))
        assert not Z[:, 0].any() and not Z[:, 2].any()
        assert Z[:, 1].std() == pytest.approx(1, rel=1e-4)


def test_length_weighted_draws_in_proportion_to_trained_tokens():
    pool = pool_of(np.eye(3), tokens=[1, 3, 6])
    first = np.bincount([make_selector("length_weighted").select(pool, 1, seed=s).indices[0] for s in range(2000)])
    assert stats.chisquare(first, [200, 600, 1200]).pvalue > 1e-3


@pytest.mark.parametrize("name", ["density", "clustered", "prototypes", "stratified", "k_center"])
def test_rows_that_are_not_finite_are_refused_by_their_record(name):
    blocks = random_blocks(6, 3, 0)
    blocks[4][0, 0] = np.nan
    pool = Pool(TokenEmbeddings.of(blocks), readings=readings_of(np.ones(6)))
    with pytest.raises(DesignError, match="record 4"):
        make_selector(name).select(pool, 2)


@pytest.mark.parametrize(
    ("name", "parameters", "sentence"),
    [
        ("density", {"bandwidth": 0}, "'bandwidth' of 'density' must be a number above 0, not 0"),
        ("density", {"bandwidth": np.inf}, "'bandwidth' of '.*' must be a number above 0"),
        ("density", {"hashes": 0}, "'hashes' of '.*' must be a whole number from 1 to 64"),
        ("density", {"exact_up_to": -1}, "'exact_up_to' of '.*' must be a whole number of at least 0"),
        ("density", {"repetitions": 2.5}, "'repetitions' of '.*' must be a whole number"),
        ("density", {"buckets": 1}, "'buckets' of '.*' must be a whole number from 2 to 65536"),
        ("clustered", {"clusters": -1}, "'clusters' of '.*' must be a whole number of at least 0"),
        ("clustered", {"lam": -0.1}, "'lam' of '.*' must be a number of at least 0"),
        ("clustered", {"lam": True}, "'lam' of '.*' must be a number of at least 0"),
        ("prototypes", {"keep": "middle"}, "'keep' of 'prototypes' must be hard or easy, not 'middle'"),
        ("prototypes", {"clusters": True}, "'clusters' of '.*' must be a whole number"),
        ("perplexity", {"keep": "best"}, "'keep' of 'perplexity' must be hard, easy or middle, not 'best'"),
        ("stratified", {"strata": "many"}, "strata.* must be a whole number"),
    ],
)
def test_a_parameter_out_of_range_gets_a_sentence(name, parameters, sentence):
    with pytest.raises(ParameterError, match=sentence):
        make_selector(name, parameters)
