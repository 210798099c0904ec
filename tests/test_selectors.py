"""One contract over every registered selector, and for each an obvious case."""

from dataclasses import FrozenInstanceError, dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from fishersft import Budget, Corpus, Pick, Pool, Selector, Text, TokenEmbeddings, make_selector, registry
from fishersft.errors import BudgetError, ParameterError
from fishersft.lm.losses import TokenStatistics
from fishersft.selectors.target import Target
from tests.reference import algorithm_1

from .conftest import random_blocks

NAMES = list(registry())


SETTINGS = {"ask_llm": {"model": "mini"}}  # what a selector cannot do without


def made_by_hand(blocks):
    """A pool with texts, losses and confidences, for selectors that ask for them."""
    embeddings = TokenEmbeddings.of(blocks)
    loss, confidence = np.random.default_rng(0).random((2, len(embeddings.values))).astype(np.float32)
    texts = [f"{n} plus {n} is {2 * n}." for n in range(len(blocks))]
    columns = pd.DataFrame({"text": texts, "parity": [("even", "odd")[n % 2] for n in range(len(texts))]})
    corpus = Corpus("sums", "sums", tuple(map(Text, texts)), columns, np.zeros(len(texts), bool))
    readings = TokenStatistics(loss, confidence, embeddings.offsets)
    some = np.unique([0, len(blocks) // 2])
    target = Target("some sums", corpus, embeddings.subset(some), None, column="parity", values=("even",))
    return Pool(embeddings, corpus, readings=readings, costly=Costly(), answers=ANSWERS, target=target)


class Costly:
    """Losses made by hand, in place of a pass over the texts."""

    def without_prompts(self, index):
        return 0.5 + 0.01 * index

    def after_tuning(self, index, target, training):
        return 1 / (1.0 + index)


def made(name):
    return make_selector(name, SETTINGS.get(name))


ANSWERS = {}


@pytest.fixture
def pool():
    return made_by_hand(random_blocks(40, 6, 1))


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    def test_picks_are_distinct_and_as_many_as_asked(self, name, pool):
        for n in (1, 7, 40):
            picks = made(name).select(pool, n).indices
            assert len(set(picks.tolist())) == len(picks) == n
            assert set(picks.tolist()) <= set(pool.index.tolist())

    def test_budgets_are_prefixes_of_one_order(self, name, pool):
        whole = made(name).select(pool, 40, seed=3).indices
        for n in (1, 5, 23):
            assert np.array_equal(made(name).select(pool, n, seed=3).indices, whole[:n])

    def test_a_token_budget_is_the_longest_prefix_that_fits(self, name, pool):
        whole = made(name).select(pool, 40, seed=3)
        spent = np.cumsum(whole.tokens)
        for limit in (int(spent[0]), 50, int(spent[-1])):
            some = made(name).select(pool, Budget(tokens=limit), seed=3)
            assert some.tokens.sum() <= limit
            assert np.array_equal(some.indices, whole.indices[: len(some)])
            assert len(some) == 40 or spent[len(some)] > limit

    def test_the_same_seed_gives_the_same_answer(self, name, pool):
        a, b = (made(name).select(pool, 9, seed=5) for _ in range(2))
        assert np.array_equal(a.indices, b.indices)

    def test_it_says_what_it_is(self, name, pool):
        kind = registry()[name]
        assert kind.name == name
        assert kind.label and kind.summary.endswith(".") and kind.reference
        selector = made(name)
        with pytest.raises((FrozenInstanceError, AttributeError)):
            selector.name = "other"
        chosen = selector.select(pool, 3)
        assert (chosen.selector, chosen.parameters) == (name, selector.parameters)

    def test_progress_is_told_to_the_end(self, name, pool):
        told = []
        made(name).select(pool, 8, on_progress=lambda d, t: told.append((d, t)))
        assert told == [(k, 8) for k in range(1, 9)]

    def test_a_pool_of_one_and_of_identical_sentences(self, name, pool):
        one = made_by_hand([np.ones((2, 3))])
        assert made(name).select(one, 1).indices.tolist() == [0]
        same = made_by_hand([np.ones((2, 3))] * 5)
        assert sorted(made(name).select(same, 5).indices.tolist()) == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("budget", [0, -4, 41, 2.5, True])
    def test_a_budget_that_cannot_be_met_gets_a_sentence(self, name, pool, budget):
        with pytest.raises(BudgetError):
            made(name).select(pool, budget)

    def test_a_token_budget_below_the_first_pick_gets_a_sentence(self, name):
        long = made_by_hand([np.ones((4, 2))] * 3)
        with pytest.raises(BudgetError, match="first pick"):
            made(name).select(long, Budget(tokens=3))

    def test_an_unknown_parameter_names_those_there_are(self, name, pool):
        with pytest.raises(ParameterError, match="has no parameter 'colour'"):
            make_selector(name, {"colour": "red"})


def test_token_od_is_algorithm_1(pool):
    blocks = [pool.embeddings.block(i) for i in range(40)]
    chosen = make_selector("token_od", {"sigma2": "0.5"}).select(pool, 20)
    picks, gains = algorithm_1(blocks, 20, 0.5)
    assert chosen.indices.tolist() == picks
    assert np.allclose(chosen.gains, gains)
    assert 0 < chosen.proven_share <= 1


def test_token_od_takes_the_sentence_that_points_somewhere_new():
    common, rare = np.array([[3.0, 0.0]]), np.array([[0.0, 2.0]])
    pool = Pool(TokenEmbeddings.of([common, common, common, rare]))
    assert make_selector("token_od").select(pool, 2).indices.tolist() == [0, 3]


def test_sentence_od_does_not_reward_length_and_token_od_does():
    short, long = np.array([[2.0, 0.0]]), np.tile([[0.0, 1.5]], (9, 1))
    pool = Pool(TokenEmbeddings.of([short, long]))
    assert make_selector("sentence_od").select(pool, 1).indices.tolist() == [0]
    assert make_selector("token_od").select(pool, 1).indices.tolist() == [1]


def test_sentence_od_is_algorithm_1_on_the_means(pool):
    means = [m[None] for m in pool.embeddings.means]
    assert make_selector("sentence_od").select(pool, 15).indices.tolist() == algorithm_1(means, 15)[0]


def test_token_od_per_token_prefers_one_rare_token_to_many_common_ones():
    long, short = np.tile([[2.0, 0.0]], (9, 1)), np.array([[0.0, 2.0]])
    pool = Pool(TokenEmbeddings.of([long, short]))
    assert make_selector("token_od").select(pool, 1).indices.tolist() == [0]
    assert make_selector("token_od_per_token").select(pool, 1).indices.tolist() == [1]


def test_fisher_od_passes_over_what_the_model_is_sure_of():
    known, unknown = np.array([[3.0, 0.0]]), np.array([[0.0, 2.0]])
    rows = TokenEmbeddings.of([known, unknown])
    sure_of_the_first = TokenStatistics(np.ones(2, np.float32), np.array([1.0, 0.1], np.float32), rows.offsets)
    pool = Pool(rows, readings=sure_of_the_first)
    assert make_selector("token_od").select(pool, 1).indices.tolist() == [0]
    assert make_selector("fisher_od").select(pool, 1).indices.tolist() == [1]


def test_fisher_od_is_algorithm_1_on_the_weighted_rows(pool):
    unsure = np.sqrt(1 - pool.statistics().confidence)
    blocks = [pool.embeddings.block(i) * unsure[slice(*pool.embeddings.offsets[i : i + 2])][:, None] for i in range(40)]
    assert make_selector("fisher_od").select(pool, 15).indices.tolist() == algorithm_1(blocks, 15)[0]


def test_matched_od_takes_directions_in_the_pools_own_proportion_and_token_od_buys_the_outlier():
    common, other, outlier = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([[0.0, 9.0]])
    pool = Pool(TokenEmbeddings.of([outlier, *[common] * 60, *[other] * 30]))
    assert make_selector("token_od").select(pool, 1).indices.tolist() == [0]
    picks = make_selector("matched_od", {"prior_tokens": 1}).select(pool, 30).indices
    assert 0 not in picks
    assert (picks <= 60).sum() > 0 and (picks > 60).sum() > 0


def test_matched_od_says_its_loss_and_that_it_sampled(pool):
    chosen = make_selector("matched_od").select(pool, 20)
    assert chosen.log_det is None and chosen.objective < 0 and not chosen.order.notes
    sampled = make_selector("matched_od", {"candidates": "5"}).select(pool, 20)
    assert "5 random sentences" in sampled.order.notes["candidates"]
    assert not np.array_equal(sampled.indices, chosen.indices)


@pytest.mark.parametrize("wrong", [{"prior_tokens": 0}, {"ridge": -1.0}, {"ridge": "nan"}, {"candidates": -2}])
def test_matched_od_refuses_parameters_out_of_range(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        make_selector("matched_od", wrong)


def test_longest_takes_the_longest_and_the_lower_index_first():
    pool = Pool(TokenEmbeddings.of([np.ones((m, 2)) for m in (3, 5, 1, 5)]))
    assert make_selector("longest").select(pool, 4).indices.tolist() == [1, 3, 0, 2]


def test_uniform_draws_every_sentence_equally_often():
    pool = Pool(TokenEmbeddings.of([np.ones((1, 2))] * 10))
    first = [make_selector("uniform").select(pool, 1, seed=s).indices[0] for s in range(2000)]
    counts = np.bincount(first, minlength=10)
    assert (np.abs(counts - 200) < 5 * np.sqrt(180)).all()


def test_index_counts_in_the_corpus_not_in_the_pool():
    blocks = random_blocks(5, 3, 0)
    e = TokenEmbeddings.of(blocks)
    shifted = Pool(TokenEmbeddings(e.values, e.offsets, np.array([2, 3, 5, 8, 13]), {}))
    chosen = make_selector("token_od").select(shifted, 5)
    assert np.array_equal(chosen.indices, shifted.index[chosen.order.positions])


def test_parameters_from_text_are_checked():
    assert make_selector("token_od", {"sigma2": "2"}).sigma2 == 2.0
    with pytest.raises(ParameterError, match="must be a number"):
        make_selector("token_od", {"sigma2": "much"})
    with pytest.raises(ParameterError, match="sigma2"):
        make_selector("token_od", {"sigma2": "-1"})
    with pytest.raises(ParameterError, match="There is no selector 'best'"):
        make_selector("best")


def test_a_selector_that_repeats_itself_is_caught(pool):
    @dataclass(frozen=True)
    class Stuck(Selector):
        name: ClassVar[str] = "stuck"
        label = summary = reference = "Stuck."

        def order(self, pool, rng):
            while True:
                yield Pick(0)

    with pytest.raises(ValueError, match="picked position 0, which is taken"):
        Stuck().select(pool, 2)
