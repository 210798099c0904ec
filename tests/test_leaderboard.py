"""The leaderboard: worked out by hand, by brute force over the draws, and unmoved by what should not move it."""

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest

from fishersft.finetuning.intervals import Sampled
from fishersft.finetuning.leaderboard import Contest, Entry, after_tuning, leaderboard, pool_key, sentence
from fishersft.finetuning.results import HeldOut, Interval, apart, difference
from fishersft.finetuning.tokens_saved import TokensSaved

TOKENS = np.array([10, 20, 30, 40])


def contest(nats, key="one", target="", tokens=TOKENS, **facts):
    """`nats` by selector: (S, H), or the same nats a token for every text and a single seed."""
    held = {n: HeldOut(np.atleast_2d(v) if np.ndim(v) else v * tokens[None, :].astype(float), tokens) for n, v in nats.items()}
    entries = {name: Entry(name, name.title(), one, facts) for name, one in held.items()}
    return Contest(key, "demo", target, "mini", 60, "four texts", entries)


def drawn(seed, seeds=3, texts=40, **shifts):
    """Noisy nats of each selector, `shifts` below or above Uniform on average."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(5, 50, texts)
    common = rng.normal(3, 1, texts)
    nats = {n: (common + s + rng.normal(0, 0.3, (seeds, texts))) * tokens for n, s in {"uniform": 0.0, **shifts}.items()}
    return contest(nats, tokens=tokens)


def test_two_contests_worked_out_by_hand():
    one = contest({"uniform": 3.0, "a": 2.8, "b": 3.1, "base": 4.0})
    two = contest({"uniform": 5.0, "a": 5.1, "b": 4.7, "base": 6.0})
    board = leaderboard([one, two])
    assert [(s.selector, s.rank) for s in board] == [("b", 1), ("a", 2), ("base", None)]
    assert [s.minus_uniform.value for s in board] == pytest.approx([(0.1 - 0.3) / 2, (-0.2 + 0.1) / 2, 1.0])


def test_the_mean_counts_tokens_and_weighs_contests_alike():
    few = contest({"uniform": np.array([[10.0, 20, 30, 40]]), "a": np.array([[10.0, 20, 30, 60]])})
    assert few.differences["a"].value == pytest.approx(20 / 100)
    many = contest({"uniform": 3.0, "a": 2.0}, tokens=np.array([1_000, 1_000]))
    assert leaderboard([few, many])[0].minus_uniform.value == pytest.approx((0.2 - 1.0) / 2)


def test_an_interval_is_that_of_the_paired_difference():
    one = drawn(1, a=-0.2)
    expected = difference(one.entries["a"].held, one.entries["uniform"].held, "mean")
    assert leaderboard([one])[0].minus_uniform == expected
    assert expected.high < 0


def test_ranks_and_their_intervals_are_those_of_the_draws_ranked_one_by_one():
    contests = [drawn(k, a=-0.05, b=-0.04, c=0.3) for k in (1, 2)]
    names = ["a", "b", "c"]

    def lucky(name):  # the mean over contests, of each seed and under each draw of texts
        every = [c.entries[name].held.sampled("mean") for c in contests]
        return Sampled(np.mean([s.seeds for s in every], axis=0), np.mean([s.draws for s in every], axis=0), 40).with_luck

    draws = np.array([lucky(n) - lucky("uniform") for n in names])
    for name, standing in ((s.selector, s) for s in leaderboard(contests)):
        ranks = sorted(1 + sum(other < row[names.index(name)] for other in row) for row in draws.T)
        low, high = ranks[round(0.025 * (len(ranks) - 1))], ranks[round(0.975 * (len(ranks) - 1))]
        assert (standing.best, standing.worst) == (low, high)
    board = {s.selector: s for s in leaderboard(contests)}
    assert board["c"].ranked == "3"  # far behind in every draw
    assert {board["a"].worst, board["b"].best} == {2, 1}  # these two change places


def test_selectors_that_made_the_same_picks_have_the_same_rank():
    one = drawn(1, a=0.1, b=-0.2)
    twins = replace(one, entries={**one.entries, "twin": replace(one.entries["b"], selector="twin", label="Twin")})
    board = {s.selector: s.ranked for s in leaderboard([twins, twins])}
    assert board == {"b": "1", "twin": "1", "a": "3"}


def test_contests_that_share_a_random_draw_tell_no_more_of_its_luck_than_one():
    rng = np.random.default_rng(7)
    tokens, luck = rng.integers(5, 50, 400), {n: rng.normal(0, 0.1, (5, 1)) for n in ("uniform", "a")}

    def made(**luck):
        hard = rng.normal(3, 1, 400)
        return contest({n: (hard + own + rng.normal(0, 0.1, (5, 400))) * tokens for n, own in luck.items()}, tokens=tokens)

    def width(*contests):
        d = leaderboard(contests)[0].minus_uniform
        return d.high - d.low

    alone = np.mean([width(made(**luck)) for _ in range(3)])
    assert width(*(made(**luck) for _ in range(3))) > 0.9 * alone
    other = [{n: rng.permutation(own) for n, own in luck.items()} for _ in range(6)]
    assert width(*(made(**own) for own in other)) < 0.75 * alone


def test_a_selector_that_was_not_measured_everywhere_is_not_ranked():
    board = leaderboard([contest({"uniform": 3.0, "a": 2.8, "b": 2.0}), contest({"uniform": 3.0, "a": 2.8})])
    assert [(s.selector, s.rank) for s in board] == [("a", 1), ("b", None)]
    assert [s.label for s in board] == ["A", "B (in 1 of 2)"]


def test_without_a_random_draw_nothing_is_ranked():
    assert leaderboard([contest({"a": 2.8})]) == []
    assert sentence([], []) == "Nothing has been ranked yet: no selector was tuned beside a random draw."


def test_neither_the_order_of_selectors_nor_what_all_find_hard_matters():
    one = drawn(3, a=-0.1, b=0.1)
    turned = Contest(**{**vars(one), "entries": dict(reversed(one.entries.items()))})
    hard = np.linspace(0, 9, len(one.entries["a"].held.tokens))
    moved = {
        n: Entry(n, e.label, HeldOut(e.held.nats + hard * e.held.tokens, e.held.tokens), e.facts) for n, e in one.entries.items()
    }
    harder = Contest(**{**vars(one), "entries": moved})
    expected = leaderboard([one])
    for other in (turned, harder):
        found = leaderboard([other])
        assert [(s.selector, s.ranked, s.sides) for s in found] == [(s.selector, s.ranked, s.sides) for s in expected]
        assert np.allclose([s.minus_uniform.value for s in found], [s.minus_uniform.value for s in expected])


def test_the_sentence_says_who_leads_and_who_may_be_as_good():
    contests = [drawn(1, texts=300, good=-0.3, twin=-0.3, bad=0.3)]
    board = leaderboard(contests)
    told = sentence(board, contests)
    assert told.startswith(f"{board[0].label} leads in this contest: {-board[0].minus_uniform.value:.3f} nats a token better")
    assert f"{board[1].label} may be as good" in told
    assert "2 of 3 selectors are clearly better than a random draw" in told


def test_the_sentence_says_where_the_lead_is_not_clear_and_counts_all_rivals():
    rng = np.random.default_rng(2)
    tokens, hard = np.full(60, 20), rng.normal(3, 1, 60)
    noise = rng.normal(0, 0.1, (5, 60))
    noise -= noise.mean(1, keepdims=True)
    away = {**dict(zip("abcd", noise - 0.1, strict=False)), "wild": 20 * noise[4] - 0.3, "uniform": 0}
    contests = [contest({n: [(hard + own) * tokens] for n, own in away.items()}, tokens=tokens)]
    board = leaderboard(contests)
    assert board[0].selector == "wild" and board[0].minus_uniform.high > 0
    told = sentence(board, contests)
    assert "better than a random draw of as many tokens, though not clearly (-" in told
    assert f"{board[1].label}, {board[2].label}, {board[3].label} and 1 more may be as good" in told
    assert told.endswith("4 of 5 selectors are clearly better than a random draw.")


def test_the_sentence_says_where_nobody_beats_chance():
    contests = [drawn(1, bad=0.3, worse=0.6), drawn(2, bad=0.3, worse=0.6)]
    assert sentence(leaderboard(contests), contests) == (
        "No selector is clearly better than a random draw of as many tokens over these 2 contests; Bad comes closest, and is "
        "clearly worse."
    )


def worth(equal, reach=9_000.0, spent=2_000.0):
    return TokensSaved(Interval(*equal), reach, spent)


def valued(one, **saved):
    entries = {n: replace(e, saved=saved.get(n)) for n, e in one.entries.items()}
    return replace(one, entries=entries)


def test_what_a_token_is_worth_by_hand():
    nats = {"uniform": 3.0, "a": 2.8, "b": 3.1}
    one = valued(contest(nats), a=worth((5_000.0, 4_000.0, inf)), b=worth((500.0, nan, nan)))
    two = valued(contest(nats), a=worth((inf, 9_000.0, inf)))
    assert [(p.selector, p.times) for p in leaderboard([one])] == [("a", "2.5 (2 to more than 4.5)"), ("b", "0.25")]
    assert [p.times for p in leaderboard([two])] == ["more than 4.5", ""]
    assert [p.times for p in leaderboard([one, two])] == ["2.5 to more than 4.5", "0.25"]
    most = valued(contest(nats), a=worth((16_000.0, nan, nan), reach=20_000.0))
    assert leaderboard([two, most])[0].times == "more than 4.5"  # of one contest only that is known


def test_what_tuning_came_to_is_told_of_the_largest_contest_that_knows_a_selector():
    small, large = drawn(1, texts=300, a=-0.3, b=0.3), replace(drawn(2, texts=300, a=-0.2), budget=240)
    told = after_tuning([small, large], ["a", "uniform", "unknown"])
    assert told == (
        "After fine-tuning mini on as many tokens as 240 random sentences have, in nats a token: "
        f"A {apart(large.differences['a'], 'a random draw')}."
    )
    assert "better than a random draw" in told
    assert after_tuning([small, large], ["b"]).endswith(f"B {apart(small.differences['b'], 'a random draw')}.")
    assert after_tuning([small, large], ["uniform"]) == after_tuning([], ["a"]) == ""
    otherwise = {**large.entries, "a": replace(large.entries["a"], parameters={"reach": 0})}
    assert after_tuning([small, replace(large, entries=otherwise)], ["a"]) == after_tuning([small], ["a"])


def test_a_pool_is_its_corpus_and_its_target():
    assert len({pool_key("a"), pool_key("b"), pool_key("a", "x"), pool_key("a", "y")}) == 4
    assert pool_key("a", "") == pool_key("a")


def test_what_another_arena_measured_in_the_same_contest_stands_beside_and_never_instead():
    mine, theirs = contest({"uniform": 3.0, "mine": 2.5}), contest({"uniform": 9.0, "a": 2.8})
    both = mine.with_entries_of(theirs)
    assert [(s.selector, s.rank) for s in leaderboard([both])] == [("mine", 1), ("a", 2)]
    assert both.entries["uniform"] is mine.entries["uniform"]
    assert mine.with_entries_of(contest({"a": 2.8}, key="another")) is mine
    changed = replace(theirs, entries={"a": replace(theirs.entries["a"], parameters={"reach": 0})})
    assert mine.with_entries_of(changed).entries == mine.entries  # "a" elsewhere is "a" at its defaults
