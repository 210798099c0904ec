"""Selectors for a target against their definitions, one determinant at a time, and what must not change their picks."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fishersft import Budget, Corpus, Pool, Text, TokenEmbeddings, make_selector, registry
from fishersft.design import targeted
from fishersft.design.information import TIE
from fishersft.design.targeted import InformationRule, VarianceRule, nearest_in_turn, target_moment
from fishersft.errors import DesignError, ParameterError
from fishersft.lm.losses import TokenStatistics
from fishersft.selectors.target import Target

from .conftest import random_blocks

DESIGNS = ("target_matched", "target_od", "v_optimal")


def corpus_of(texts, **columns):
    return Corpus(
        "by hand", "by hand", tuple(map(Text, texts)), pd.DataFrame({"text": texts, **columns}), np.zeros(len(texts), bool)
    )


def aimed_at(blocks, target, texts=None, target_texts=None, **pool):
    texts = texts or [f"text {i}" for i in range(len(blocks))]
    target_texts = target_texts or [f"wish {i}" for i in range(len(target))]
    rows = TokenEmbeddings.of(blocks)
    return Pool(
        rows, corpus_of(texts), target=Target("wishes", corpus_of(target_texts), TokenEmbeddings.of(target), None), **pool
    )


def moment(target):
    M = sum(X.T @ X / len(X) for X in target) / len(target)
    return M + 1e-3 * np.trace(M) / len(M) * np.eye(len(M))


def log_det(A):
    return np.linalg.slogdet(A)[1]


def worth(name, X, V, target, t):
    """The rule as it is written down, of a whole block, with inverses and determinants of whole matrices."""
    after = V + X.T @ X
    if name == "target_od":
        A = np.concatenate(target)
        return log_det(after) - log_det(V) - log_det(after + A.T @ A) + log_det(V + A.T @ A)
    M = moment(target)
    if name == "v_optimal":
        return np.trace(M @ np.linalg.inv(V)) - np.trace(M @ np.linalg.inv(after))

    def stein(S, t):
        return np.trace(np.linalg.solve(M, S / t)) - log_det(np.linalg.solve(M, S / t)) - len(M)

    return stein(V, t) - stein(after, t + len(X))


def brute_force(name, blocks, target, n, within=None, per_token=True):
    d = blocks[0].shape[1]
    V, t = (20 * moment(target), 20.0) if name == "target_matched" else (np.eye(d), 20.0)
    picks = []
    for _ in range(n):
        rest = [i for i in range(len(blocks)) if i not in picks]
        if within:
            near = within(sum(len(blocks[i]) for i in picks))
            rest = [i for i in rest if i in near] or [next(i for i in within(10**9) if i not in picks)]
        values = [worth(name, blocks[i], V, target, t) / (len(blocks[i]) if per_token else 1) for i in rest]
        best = next(k for k, value in enumerate(values) if value >= max(values) - TIE * abs(max(values)))
        picks.append(rest[best])
        V, t = V + blocks[rest[best]].T @ blocks[rest[best]], t + len(blocks[rest[best]])
    return picks


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("per_token", [True, False])
def test_the_whole_order_is_the_rules_own(name, seed, per_token):
    blocks, target = random_blocks(25, 6, seed), random_blocks(4, 6, seed + 10)
    order = make_selector(name, {"reach": 0, "per_token": per_token}).select(aimed_at(blocks, target), 25).indices
    assert order.tolist() == brute_force(name, blocks, target, 25, per_token=per_token)


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("per_token", [True, False])
def test_the_gain_of_a_pick_is_what_it_adds_however_picks_are_compared(name, per_token):
    blocks, target = random_blocks(12, 6, 5), random_blocks(4, 6, 15)
    chosen = make_selector(name, {"per_token": per_token}).select(aimed_at(blocks, target), 8)
    V, t = (20 * moment(target), 20.0) if name == "target_matched" else (np.eye(6), 20.0)
    for i, gain in zip(chosen.indices, chosen.gains, strict=True):
        assert gain == pytest.approx(worth(name, blocks[i], V, target, t), rel=1e-9)
        V, t = V + blocks[i].T @ blocks[i], t + len(blocks[i])


@pytest.mark.parametrize("name", DESIGNS)
def test_rows_too_uneven_for_float64_are_an_error_and_never_a_pick(name):
    d = 130  # where the last rows are carried along, and no factor of V is made that would say so
    blocks = [np.full((1, d), 1e12) + np.eye(d)[[k]] for k in range(6)]
    with pytest.raises(DesignError):
        make_selector(name, {"reach": 0}).select(aimed_at(blocks, random_blocks(3, d, 13)), 6)


def uneven_blocks(seed, d=30, n=40):
    """Rows about a large mean along directions of very unequal size; some records come twice, or nearly."""
    rng = np.random.default_rng(seed)
    scale, mean = np.geomspace(1e2, 1e-2, d), 50 * rng.standard_normal(d)
    blocks = [mean + rng.standard_normal((m, d)) * scale for m in rng.integers(1, 25, n)]
    return blocks + blocks[:3] + [X + 1e-6 * rng.standard_normal(X.shape) for X in blocks[3:6]]


@pytest.mark.parametrize("rule", [VarianceRule, InformationRule])
@pytest.mark.parametrize("sigma2", [1e-4, 1.0, 1e4])
def test_screening_in_float32_is_off_by_no_more_than_it_says(rule, sigma2):
    rows, target = TokenEmbeddings.of(uneven_blocks(0)), uneven_blocks(1)[:6]
    aim = moment(target) if rule is VarianceRule else np.concatenate(target)
    one = rule(rows, aim, sigma2, per_token=False)
    one.load(np.arange(len(rows)))
    left = list(range(len(rows)))
    while left:
        exact = dict(zip(left, one.exact(np.array(left)), strict=True))
        for groups in zip(*(design.groups for design in one.designs), strict=True):
            for i, value, error in zip(groups[0].positions.tolist(), *one.screened(*groups), strict=True):
                assert i not in left or abs(value - exact[i]) <= error
        scores = one.scores(np.array(left))
        assert scores.max() == pytest.approx(max(exact.values()), rel=1e-9)
        one.accept(left.pop(int(np.argmax(scores))))


@pytest.mark.parametrize("name", ["target_od", "v_optimal"])
def test_where_rounding_does_more_than_it_may_nothing_is_screened(name, monkeypatch):
    monkeypatch.setattr(targeted, "MARGIN", 1e-12)  # as if float32 had twice its digits, and nothing were made afresh
    blocks, target = uneven_blocks(2), uneven_blocks(3)[:6]
    order = make_selector(name, {"reach": 0}).select(aimed_at(blocks, target), 25).indices
    monkeypatch.undo()
    assert order.tolist() == make_selector(name, {"reach": 0}).select(aimed_at(blocks, target), 25).indices.tolist()


@pytest.mark.parametrize("name", DESIGNS)
def test_reach_keeps_to_the_nearest_records_and_grows_with_what_is_spent(name, monkeypatch):
    monkeypatch.setattr(targeted, "HEAD_START", 12)
    blocks, target = random_blocks(30, 6, 3), random_blocks(3, 6, 13)
    pool = aimed_at(blocks, target)
    nearest = make_selector("rds_plus").select(pool, 30).indices.tolist()

    def within(spent):
        room, ends = 2 * (12 + spent), np.cumsum([len(blocks[i]) for i in nearest])
        return sorted(nearest[: int(np.searchsorted(ends, room, side="right"))]) if spent < 10**9 else nearest

    order = make_selector(name, {"reach": 2}).select(pool, 30).indices
    assert order.tolist() == brute_force(name, blocks, target, 30, within)


@pytest.mark.parametrize("name", [*DESIGNS, "rds_plus"])
def test_a_rotation_of_the_space_changes_no_pick(name):
    blocks, target = random_blocks(30, 5, 4), random_blocks(5, 5, 14)
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    turned = aimed_at([X @ Q for X in blocks], [A @ Q for A in target])
    selector = make_selector(name)
    assert selector.select(turned, 12).indices.tolist() == selector.select(aimed_at(blocks, target), 12).indices.tolist()


@pytest.mark.parametrize("name", [*DESIGNS, "rds_plus"])
def test_the_order_of_the_pool_changes_no_pick(name):
    blocks, target = random_blocks(30, 5, 5), random_blocks(5, 5, 15)
    turned = np.random.default_rng(1).permutation(30)
    selector = make_selector(name)
    picks = selector.select(aimed_at([blocks[i] for i in turned], target), 12).indices
    assert turned[picks].tolist() == selector.select(aimed_at(blocks, target), 12).indices.tolist()


@pytest.mark.parametrize("name", [*DESIGNS, "rds_plus", "knn_kde"])
def test_what_looks_like_the_target_is_taken_first(name):
    rng = np.random.default_rng(0)
    here = [np.abs(rng.normal(size=(4, 6))) * [1, 1, 1, 0.01, 0.01, 0.01] for _ in range(20)]
    there = [np.abs(rng.normal(size=(4, 6))) * [0.01, 0.01, 0.01, 1, 1, 1] for _ in range(20)]
    wish = [np.abs(rng.normal(size=(4, 6))) * [0.01, 0.01, 0.01, 1, 1, 1] for _ in range(4)]
    settings = {"neighbours": 5} if name == "knn_kde" else {}
    picks = make_selector(name, settings).select(aimed_at(here + there, wish), 8).indices
    assert (picks >= 20).all()


def test_dsir_prefers_the_targets_words():
    texts = ["the cat sat on the mat"] * 30 + ["add seven and five"] * 10
    pool = aimed_at([np.ones((2, 2))] * 40, [np.ones((2, 2))] * 2, texts, ["add two and nine", "add six and four"])
    drawn = np.concatenate([make_selector("dsir").select(pool, 5, seed=s).indices for s in range(20)])
    assert (drawn >= 30).mean() > 0.9


def test_dsir_draws_in_proportion_to_the_likelihood_ratio():
    texts, wish = ["a", "b"], ["a a a b"]
    pool = aimed_at([np.ones((1, 2))] * 2, [np.ones((1, 2))], texts, wish)
    first = np.array([make_selector("dsir", {"buckets": 2**12}).select(pool, 1, seed=s).indices[0] for s in range(2000)])
    # both words have one count in the pool; of the target's 7 (4 words, 3 pairs) three are "a" and one is "b"
    assert abs((first == 0).mean() - 4 / 6) < 0.04


def test_cross_entropy_difference_takes_what_tuning_made_easier():
    class Tuned:
        def after_tuning(self, index, target, training):
            return np.array([1.0, 0.2, 0.9])

    rows = TokenEmbeddings.of([np.ones((1, 2))] * 3)
    readings = TokenStatistics(np.array([1.0, 1.0, 2.0], np.float32), np.ones(3, np.float32), rows.offsets)
    pool = replace(aimed_at([np.ones((1, 2))] * 3, [np.ones((1, 2))]), readings=readings, costly=Tuned())
    assert make_selector("cross_entropy_difference").select(pool, 3).indices.tolist() == [2, 1, 0]


def test_ifd_takes_the_hardest_answers_and_puts_pairs_that_do_not_belong_together_last():
    class Alone:
        def without_prompts(self, index):
            return np.array([1.0, 1.0, 1.0])

    rows = TokenEmbeddings.of([np.ones((1, 2))] * 3)
    readings = TokenStatistics(np.array([0.3, 1.2, 0.9], np.float32), np.ones(3, np.float32), rows.offsets)
    pool = Pool(rows, readings=readings, costly=Alone())
    assert make_selector("ifd").select(pool, 3).indices.tolist() == [2, 0, 1]


def test_knn_kde_is_not_flooded_by_repeated_records():
    rng = np.random.default_rng(0)
    one, other = np.array([[1.0, 0.1]]), np.array([[1.0, -0.6]])
    blocks = [one] * 30 + [other] + [rng.normal(size=(1, 2)) * [0.1, 1] for _ in range(9)]
    pool = aimed_at(blocks, [np.array([[1.0, -0.2]])])
    settings = {"neighbours": 31, "bandwidth": 0.2}
    first = np.array([make_selector("knn_kde", settings).select(pool, 1, seed=s).indices[0] for s in range(400)])
    assert abs((first == 30).mean() - 0.5) < 0.08  # as often as the thirty copies together


def test_balanced_takes_as_many_of_each_value():
    topics = ["a"] * 50 + ["b"] * 5 + ["c"] * 20
    pool = Pool(TokenEmbeddings.of([np.ones((1, 2))] * 75), corpus_of([f"t {i}" for i in range(75)], topic=topics))
    picks = make_selector("balanced", {"column": "topic"}).select(pool, 15, seed=1).indices
    assert sorted(topics[i] for i in picks) == ["a"] * 5 + ["b"] * 5 + ["c"] * 5
    assert sorted(topics[i] for i in make_selector("balanced").select(pool, 30).indices).count("b") == 5
    with pytest.raises(ParameterError, match="no column 'colour'"):
        make_selector("balanced", {"column": "colour"}).select(pool, 3)


def test_facility_location_is_greedy_for_its_sum():
    blocks = random_blocks(30, 4, 7)
    means = np.array([X.mean(0) for X in blocks])
    means /= np.linalg.norm(means, axis=1)[:, None]
    similar, picks = (1 + means @ means.T) / 2, []
    for _ in range(30):
        value = [similar[[*picks, i]].max(0).sum() if i not in picks else -1 for i in range(30)]
        picks.append(int(np.argmax(np.array(value) >= max(value) - 1e-6)))
    chosen = make_selector("facility_location").select(Pool(TokenEmbeddings.of(blocks)), 30)
    assert chosen.indices[:15].tolist() == picks[:15]
    assert np.allclose(np.cumsum(chosen.gains)[-1], 30, rtol=1e-5)  # everything is its own nearest pick


def test_each_text_in_turn_takes_its_nearest_free_record():
    similarity = np.array([[0.9, 0.8], [0.9, 0.1], [0.2, 0.7], [0.1, 0.95]])
    assert list(nearest_in_turn(similarity)) == [0, 3, 1, 2]


def test_texts_of_one_kind_that_stand_together_do_not_take_all_the_first_turns():
    kinds = np.repeat([0, 1], 50)
    similarity = np.where(np.repeat([0, 1], 200)[:, None] == kinds, 0.9, 0.1) + np.random.default_rng(1).random((400, 100)) / 100
    first = list(itertools.islice(nearest_in_turn(similarity), 30))
    assert 9 <= sum(position < 200 for position in first) <= 21


def test_records_are_put_in_order_only_as_far_as_needed(monkeypatch):
    monkeypatch.setattr(targeted, "RANKED", 3)
    column = np.random.default_rng(0).integers(0, 9, 50).astype(float)
    assert list(targeted._ranked(column, np.zeros(50, dtype=bool))) == np.argsort(-column, kind="stable").tolist()


def test_later_tokens_weigh_more_and_length_does_not():
    rows = TokenEmbeddings.of([np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[3.0, 4.0]])])
    assert np.allclose(rows.position_weighted_means, [[1 / 5**0.5, 2 / 5**0.5], [0.6, 0.8]])


def test_every_target_text_weighs_the_same_long_or_short():
    one, other = np.array([[2.0, 0.0]]), np.tile([[0.0, 2.0]], (9, 1))
    assert np.allclose(target_moment(TokenEmbeddings.of([one, other]), ridge=0), 2 * np.eye(2))


def test_a_target_of_zeros_gets_a_sentence():
    with pytest.raises(DesignError, match="target is zero"):
        target_moment(TokenEmbeddings.of([np.zeros((2, 3))]))


@pytest.mark.parametrize("name", [name for name, kind in registry().items() if kind.needs_target])
def test_without_a_target_there_is_a_sentence(name):
    pool = Pool(TokenEmbeddings.of(random_blocks(5, 3, 0)))
    with pytest.raises(ParameterError, match="--target FILE or --target COLUMN=VALUE"):
        make_selector(name).select(pool, Budget(sentences=2))
