"""Selectors side by side: every criterion as its definition says, beside what chance gives."""

import json
from itertools import combinations

import numpy as np
import pytest

from fishersft import Budget, Pool, TokenEmbeddings, make_selector
from fishersft.curves.criteria import bound_at, jaccard, k_center_radius, scores
from fishersft.errors import BudgetError, ParameterError
from fishersft.lm.statistics import TokenStatistics
from fishersft.runs.comparison import compare

from .conftest import command_line, random_blocks
from .test_selectors import made_by_hand


@pytest.fixture
def pool():
    return made_by_hand(random_blocks(40, 6, 1))


@pytest.mark.parametrize("d", [5, 135])
def test_every_criterion_is_what_its_definition_says(d):
    blocks = random_blocks(25, d, 3)
    rows = TokenEmbeddings.of(blocks)
    statistics = TokenStatistics(
        np.arange(len(rows.values), dtype=np.float32) / 50, np.ones(len(rows.values), np.float32), rows.offsets
    )
    topics = np.array(list("abcde" * 5))
    picks = np.array([3, 17, 8, 22])
    V = 2 * np.eye(d) + sum(blocks[i].T @ blocks[i] for i in picks)
    leverage = np.concatenate([np.einsum("ij,jk,ik->i", b, np.linalg.inv(V), b) for b in blocks])
    loss = np.concatenate([statistics.loss[slice(*rows.offsets[i : i + 2])] for i in picks])
    means = np.array([b.mean(0) for b in blocks])
    found = scores(rows, picks, sigma2=2.0, bound=1e9, statistics=statistics, topics=topics)
    assert (found.sentences, found.tokens, found.topics) == (4, len(loss), 2)
    assert found.log_det == pytest.approx(np.linalg.slogdet(V)[1] - d * np.log(2))
    assert found.worst_leverage == pytest.approx(leverage.max(), rel=1e-4)
    assert found.mean_leverage == pytest.approx(leverage.mean(), rel=1e-4)
    assert found.perplexity == pytest.approx(np.exp(loss.mean()), rel=1e-5)
    far = np.linalg.norm(means[:, None] - means[picks], axis=2).min(1).max()
    assert found.radius == pytest.approx(far, rel=1e-4) == k_center_radius(means.astype(np.float32), picks)
    assert found.share_of_optimum == pytest.approx(found.log_det / 1e9)


def test_no_selection_of_as_many_sentences_or_tokens_beats_the_bound():
    blocks = random_blocks(9, 4, 5, most=5)
    rows = TokenEmbeddings.of(blocks)

    def f(some):
        return np.linalg.slogdet(np.eye(4) + sum(blocks[i].T @ blocks[i] for i in some))[1]

    for picks in ([0, 4, 7], [1, 2, 3]):
        best = max(f(s) for s in combinations(range(9), 3))
        assert bound_at(rows, np.array(picks)) >= best - 1e-9
        limit = int(rows.tokens[picks].sum())
        affordable = [s for k in range(1, 10) for s in combinations(range(9), k) if rows.tokens[list(s)].sum() <= limit]
        assert bound_at(rows, np.array(picks), tokens=limit) >= max(map(f, affordable)) - 1e-9


def test_overlap_is_shared_over_all():
    assert jaccard(np.array([1, 2, 3]), np.array([3, 4])) == 0.25
    assert jaccard(np.array([1]), np.array([1])) == 1


def test_at_equal_sentences_all_have_as_many_and_chance_is_drawn_both_ways(pool):
    found = compare(pool, [make_selector(n) for n in ("token_od", "longest", "density")], Budget(sentences=8))
    assert [len(s) for s in found.selections.values()] == [8, 8, 8]
    spent = int(found.selections["token_od"].tokens.sum())
    same_sentences, same_tokens = found.rows[-2:]
    assert len(same_sentences.scores) == len(same_tokens.scores) == 20
    assert {s.sentences for s in same_sentences.scores} == {8}
    assert all(s.tokens <= spent for s in same_tokens.scores)
    assert max(s.tokens for s in same_tokens.scores) > spent - 9
    assert found.rows[0].scores[0].log_det == pytest.approx(found.selections["token_od"].log_det)
    assert found.rows[2].label == "DensitySampling, seed 0"


def test_at_equal_tokens_none_spends_more_than_the_reference(pool):
    chosen = [make_selector(n) for n in ("token_od", "uniform", "token_od_per_token")]
    found = compare(pool, chosen, Budget(sentences=8), equal="tokens", reference="token_od")
    spent = int(found.selections["token_od"].tokens.sum())
    assert all(s.tokens.sum() <= spent for s in found.selections.values())
    assert len(found.selections["token_od_per_token"]) > 8
    assert all(0 < row.scores[0].share_of_optimum <= 1 for row in found.rows[:3])
    assert np.isnan(found.rows[-2].scores[0].share_of_optimum)  # another budget: the bound does not speak of it


def test_overlap_and_table_name_the_selectors(pool):
    found = compare(pool, [make_selector(n) for n in ("token_od", "fisher_od")], Budget(sentences=8))
    assert found.overlap.loc["token_od", "token_od"] == 1
    assert found.overlap.loc["token_od", "fisher_od"] == found.overlap.loc["fisher_od", "token_od"] < 1
    table = found.table()
    assert table["selector"].tolist()[:2] == ["token_od", "fisher_od"]
    assert (table["log_det_least"] <= table["log_det"]).all() and (table["draws"] == [1, 1, 20, 20]).all()
    json.dumps(found.as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [
        ([], {}, "at least one selector"),
        (["uniform", "uniform"], {}, "named twice"),
        (["uniform"], {"reference": "token_od"}, "not among"),
        (["uniform"], {"equal": "words"}, "equal sentences or equal tokens"),
        (["uniform"], {"draws": 5}, "at least 20 draws"),
    ],
)
def test_what_cannot_be_compared_gets_a_sentence(pool, names, options, words):
    with pytest.raises(ParameterError, match=words):
        compare(pool, [make_selector(n) for n in names], Budget(sentences=3), **options)


def test_a_budget_above_the_pool_gets_a_sentence(pool):
    with pytest.raises(BudgetError, match="above the pool"):
        compare(pool, [make_selector("uniform")], Budget(sentences=41))


def test_a_pool_by_hand_without_losses_or_topics_is_compared_without_them():
    found = compare(Pool(TokenEmbeddings.of(random_blocks(20, 4, 0))), [make_selector("longest")], Budget(sentences=4))
    assert np.isnan(found.rows[0].scores[0].perplexity) and np.isnan(found.rows[0].scores[0].topics)


class TestCommand:
    def test_it_prints_a_table_overlaps_and_writes_the_numbers(self, jsonl, tmp_path):
        out = tmp_path / "found.csv"
        done = command_line(
            "compare", jsonl, "--holdout", 0, "--budget", 3, "--selectors", "token_od,longest", "--equal", "tokens", "--out", out
        )
        assert done.returncode == 0, done.stderr
        assert "TokenOD" in done.stdout and "Uniform, 3 sentences, 20 draws" in done.stdout
        assert "topics of 2" in done.stdout and "Overlap of the picks" in done.stdout and " %" in done.stdout
        assert out.read_text().startswith("selector,draws,sentences")

    def test_json_is_one_document(self, jsonl):
        done = command_line(
            "compare",
            jsonl,
            "--holdout",
            0,
            "--budget",
            3,
            "--selectors",
            "token_od,matched_od",
            "--set",
            "matched_od.candidates=4",
            "--json",
        )
        found = json.loads(done.stdout)
        assert [r["selector"] for r in found["rows"]] == ["token_od", "matched_od", None, None]
        assert found["rows"][1]["parameters"]["candidates"] == 4 and "candidates" in found["rows"][1]["notes"]

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--selectors", "token_od,best"], "no selector 'best'"),
            (["--set", "sigma2=2"], "SELECTOR.NAME=VALUE"),
            (["--set", "uniform.x=2", "--selectors", "token_od"], "'uniform' is not among"),
            (["--out", "/no/such/folder/a.csv"], "folder that is there"),
            (["--selectors", "ask_llm"], "--set"),
        ],
    )
    def test_a_mistake_gets_one_sentence(self, jsonl, options, words):
        done = command_line("compare", jsonl, "--budget", 2, *options)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
