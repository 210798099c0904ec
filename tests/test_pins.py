"""Pinned first, excluded never, and the greedy of Algorithm 1 for the rest."""

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from fishersft import Budget, Pool, TokenEmbeddings, make_selector, registry, select
from fishersft.design.greedy import greedy
from fishersft.design.information import TIE, gain, optimum_bound
from fishersft.distributed import greedy as distributed
from fishersft.errors import BudgetError, ParameterError
from fishersft.pipeline.selections import load_selection
from tests.reference import best_subset

from .conftest import command_line, random_blocks


def brute_force(blocks, n, pinned, excluded, sigma2):
    picks, gains, V = [], [], sigma2 * np.eye(blocks[0].shape[1])
    for k in range(n):
        rest = [pinned[k]] if k < len(pinned) else [i for i in range(len(blocks)) if i not in picks and i not in excluded]
        found = [gain(V, blocks[i]) for i in rest]
        best = next(i for i, g in zip(rest, found, strict=True) if g >= max(found) * (1 - TIE))
        picks.append(best)
        gains.append(max(found))
        V = V + blocks[best].T @ blocks[best]
    return picks, gains


def steps(blocks, n, **options):
    e = TokenEmbeddings.of(blocks)
    return list(islice(greedy(e, options.pop("sigma2", 1.0), **options), n))


@pytest.mark.parametrize(("d", "sigma2"), [(5, 1.0), (5, 0.01), (140, 1.0), (140, 30.0)])
@pytest.mark.parametrize(("pinned", "excluded"), [((), ()), ((17, 3), ()), ((), (0, 5, 9)), ((29, 0, 4), (1, 2, 28))])
def test_the_rest_is_chosen_as_brute_force_chooses_it(d, sigma2, pinned, excluded):
    blocks = random_blocks(30, d, 7)
    found = steps(blocks, 20, sigma2=sigma2, pinned=pinned, excluded=excluded)
    picks, gains = brute_force(blocks, 20, pinned, excluded, sigma2)
    assert [s.position for s in found] == picks
    assert np.allclose([s.gain for s in found], gains, rtol=1e-8)


def test_pinning_the_first_picks_changes_nothing():
    blocks = random_blocks(25, 6, 1)
    free = steps(blocks, 25)
    forced = steps(blocks, 25, pinned=[s.position for s in free[:8]])
    assert [s.position for s in forced] == [s.position for s in free]
    assert np.allclose([s.gain for s in forced], [s.gain for s in free])


def test_everything_but_the_excluded_is_taken_in_the_end():
    blocks = random_blocks(12, 4, 2)
    assert sorted(s.position for s in steps(blocks, 99, pinned=[11], excluded=[0, 7])) == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11]


def test_the_bound_holds_for_the_best_of_those_that_may_be_taken():
    blocks = random_blocks(9, 4, 3)
    bounds = [s.optimum_bound for s in steps(blocks, 3, pinned=[8], excluded=[0])]
    for n, bound in enumerate(bounds, start=1):
        assert best_subset(blocks[1:], n)[1] <= bound
    gains = np.array([gain(np.eye(4), b) for b in blocks[1:8]])
    first = gain(np.eye(4), blocks[8])
    assert bounds[0] == pytest.approx(optimum_bound(first, gains, 1))


@pytest.fixture
def pool():
    return Pool(replace(TokenEmbeddings.of(random_blocks(20, 5, 4)), index=np.arange(100, 120)))


def test_records_are_named_by_their_number_and_the_selection_says_which(pool):
    chosen = make_selector("token_od").select(pool.given([115, 103], [100]), 6)
    assert chosen.indices[:2].tolist() == [115, 103]
    assert 100 not in chosen.indices
    assert chosen.parameters == {"sigma2": 1.0, "pinned": [115, 103], "excluded": [100]}
    assert pool.given() is pool


@pytest.mark.parametrize("name", [n for n, kind in registry().items() if kind.heeds_pins])
def test_every_selector_that_says_so_heeds_pins(pool, name):
    if name == "fisher_od":
        pytest.skip("asks for a model; its greedy is the same call")
    chosen = make_selector(name).select(pool.given([119], [101]), 19)
    assert chosen.indices[0] == 119
    assert 101 not in chosen.indices


@pytest.mark.parametrize(
    ("pinned", "excluded", "sentence"),
    [([5], [], "not in the pool"), ([100, 100], [], "twice"), ([100], [100], "twice"), ([], [500], "not in the pool")],
)
def test_a_record_that_cannot_be_pinned_is_named(pool, pinned, excluded, sentence):
    with pytest.raises(ParameterError, match=sentence):
        pool.given(pinned, excluded)


def test_what_cannot_be_met_is_refused_in_a_sentence(pool):
    with pytest.raises(BudgetError, match="1 to 19"):
        make_selector("token_od").select(pool.given([], [100]), 20)
    with pytest.raises(BudgetError, match="2 pinned"):
        make_selector("token_od").select(pool.given([100, 101]), 1)
    with pytest.raises(ParameterError, match="takes no pinned"):
        make_selector("longest").select(pool.given([100]), 3)
    with pytest.raises(ParameterError, match="one machine"):
        next(distributed.greedy(pool.embeddings, pinned=[3]))


def test_the_store_keeps_the_plain_order_apart(jsonl):
    plain = select(jsonl, budget=3)
    pinned = select(jsonl, budget=3, pinned=[int(plain.indices[2])])
    assert pinned.indices[0] == plain.indices[2]
    assert select(jsonl, budget=3).indices.tolist() == plain.indices.tolist()


def test_the_command_line_pins_excludes_and_keeps_what_it_did(jsonl):
    free = json.loads(command_line("select", jsonl, "--budget", 3, "--json").stdout)
    there = load_selection(free["run"])[1]["index"].tolist()
    done = command_line("select", jsonl, "--budget", 3, "--pin", f"{there[2]}", "--exclude", f"{there[0]}", "--json")
    said = json.loads(done.stdout)
    picks = load_selection(said["run"])[1]["index"].tolist()
    assert picks[0] == there[2]
    assert there[0] not in picks
    assert said["selector_parameters"]["excluded"] == [there[0]]
    assert said["run"] != free["run"]
    assert "whole numbers" in command_line("select", jsonl, "--budget", 3, "--pin", "a").stderr


def test_a_budget_in_tokens_is_a_prefix_of_the_order_with_pins(pool):
    chosen = make_selector("token_od").select(pool.given([103]), Budget(tokens=30))
    longer = make_selector("token_od").select(pool.given([103]), 10)
    assert chosen.indices.tolist() == longer.indices[: len(chosen)].tolist()
