"""A budget between those that were scored: what is exact stays exact, what is read off is near, and the page says which."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from fishersft import Budget, TokenEmbeddings, compare, embed, load_corpus, load_pool, make_selector
from fishersft.design.trajectory import draw_orders, grid
from fishersft.lm.losses import TokenStatistics
from fishersft.scoring.comparison import scorer_of
from fishersft.scoring.criteria import Scorer
from fishersft.scoring.interpolation import (
    FALLING,
    POINTS,
    READ_OFF,
    READ_OFF_AIMED,
    draw_paths,
    pick_path,
    read_off,
)

from .conftest import command_line, random_blocks
from .test_compare_page import plain, shown_in
from .test_pages import open_page, text_of
from .test_selectors import made_by_hand

CHOSEN = ("token_od", "longest", "sentence_od")


@pytest.mark.parametrize("d", [5, 135])
def test_along_an_order_every_criterion_is_what_it_is_at_each_budget(d):
    rows = TokenEmbeddings.of(random_blocks(60, d, 3, most=30))
    rng = np.random.default_rng(1)
    loss, sure = rng.random((2, len(rows.values))).astype(np.float32)
    scorer = Scorer(rows, 2.0, TokenStatistics(loss, sure, rows.offsets), rng.integers(5, size=60).astype(str))
    order, at = rng.permutation(60), [1, 2, 7, 30, 31, 60]
    for n, found in zip(at, scorer.along(order, at), strict=True):
        alone = asdict(scorer(order[:n]))
        assert asdict(found) == pytest.approx(alone, rel=1e-4, abs=1e-4, nan_ok=True)


def compared(pool, n, equal):
    """(read off, exact) at one budget."""
    chosen = [make_selector(name) for name in CHOSEN]
    draws = draw_paths(scorer_of(pool), 0)
    given = []
    for selector in chosen:
        order = selector.take(pool, Budget(sentences=len(pool)), 0)
        given.append((selector, order, pick_path(draws[0].scorer, selector, 0, order)))
    bounds = given[0][1].optimum_bounds
    return read_off(pool, given, n, draws, equal=equal, bounds=bounds), compare(pool, chosen, Budget(sentences=n), equal=equal)


@pytest.mark.parametrize("equal", ["sentences", "tokens"])
def test_at_a_budget_that_was_scored_it_is_the_comparison(equal):
    pool = made_by_hand(random_blocks(90, 6, 1))
    n = int(grid(90, POINTS)[25])
    found, exact = compared(pool, n, equal)
    assert (found.read_off, exact.read_off) == (len(grid(90, POINTS)), 0)
    for name, taken in exact.selections.items():
        assert found.selections[name].indices.tolist() == taken.indices.tolist()
    assert found.shared_by_chance == exact.shared_by_chance
    assert [r.label for r in found.rows] == [r.label for r in exact.rows]
    for mine, theirs in zip(found.rows, exact.rows, strict=True):
        for a, b in zip(mine.scores, theirs.scores, strict=True):
            for name in ("sentences", "tokens", "perplexity", "topics"):
                assert getattr(a, name) == pytest.approx(getattr(b, name), nan_ok=True)
            if a.sentences == n:
                for name in READ_OFF:
                    assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-3, abs=1e-3)


@pytest.mark.slow
def test_what_is_proven_while_read_off_is_no_more_than_what_is_proven_exactly():
    found, exact = compared(made_by_hand(random_blocks(90, 6, 1)), 33, "sentences")
    assert list(found.chosen) == list(exact.chosen)
    for name, mine in found.chosen.items():
        assert 0.5 < mine.value("share_of_optimum") <= exact.row(name).value("share_of_optimum") + 0.005
    assert np.isnan(compared(made_by_hand(random_blocks(90, 6, 1)), 33, "tokens")[0].row().value("share_of_optimum"))


def test_between_the_budgets_of_the_demo_the_bands_are_within_three_percent():
    pool = load_pool(load_corpus("demo"))
    scorer, n = scorer_of(pool), 130  # between 121 and 136 of the 40
    draws = draw_paths(scorer, 0)  # ships with the demo
    assert n not in draws[0].at
    read = [d.read(n) for d in draws]
    exact = [scorer(order[:n]) for order in draw_orders(len(pool))]
    for name in READ_OFF:
        for end in (min, max):
            near, true = (end(getattr(s, name) for s in some) for some in (read, exact))
            assert near == pytest.approx(true, rel=0.03), name
    assert [s.perplexity for s in read] == pytest.approx([s.perplexity for s in exact], rel=1e-5)
    assert [s.topics for s in read] == [s.topics for s in exact]
    assert set(FALLING) < set(READ_OFF_AIMED)


@pytest.mark.slow
def test_the_page_says_what_is_read_off_and_scores_it_exactly_when_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("fishersft.scoring.interpolation.POINTS", 8)
    path = tmp_path / "sums.jsonl"
    rows = [{"text": f"{'again ' * (n % 7)}{n} plus {n} is {2 * n}.", "topic": "ab"[n % 2]} for n in range(80)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    embed(load_corpus(str(path), holdout=0))
    at = open_page("compare", corpus=str(path), holdout="0", budget="30", map="PCA", equal="sentences", part="Criteria")
    assert "This budget lies between the 8 that were scored" in plain(text_of(at)) and not at.exception
    near = shown_in(at, 0).set_index("criterion")
    at.slider(key="budget").set_value(31).run()
    at.slider(key="budget").set_value(30).run()
    at.button(key="exactly").click().run()
    assert "lies between" not in plain(text_of(at))
    exact = shown_in(at, 0).set_index("criterion")
    assert near.loc["trained tokens"].tolist() == exact.loc["trained tokens"].tolist()
    done = command_line(
        "compare", path, "--holdout", 0, "--budget", 30, "--selectors", ",".join(("token_od", "longest", "sentence_od")), "--json"
    )
    at.segmented_control(key="part").set_value("Overlap").run()
    assert all(sentence in plain(text_of(at)) for sentence in json.loads(done.stdout)["summary"])
    at = open_page("compare", corpus=str(path), holdout="0", budget="30", map="PCA", target="records=0-19")
    assert "radius, the variance on the target and Stein's loss are interpolated" in plain(text_of(at))
