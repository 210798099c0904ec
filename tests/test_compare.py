"""Selectors side by side: every criterion as its definition says, beside what chance gives."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from fishersft import Budget, Corpus, Pool, Text, TokenEmbeddings, load_pool, make_selector, paths, registry
from fishersft.design.matched import second_moment
from fishersft.errors import BudgetError, ParameterError
from fishersft.experiments.evidence import Evidence, OrderCost, gather
from fishersft.experiments.result import read_curves
from fishersft.lm.losses import TokenStatistics
from fishersft.scoring.comparison import Row, compare
from fishersft.scoring.criteria import RIDGE, Scorer, Scores, bound_at, jaccard, stein_loss
from fishersft.scoring.random_baseline import chance, is_kept
from fishersft.scoring.summaries import comparison_sentences, comparison_summary, number, standing, verdict

from .conftest import command_line, random_blocks
from .test_selectors import made_by_hand

ZERO = Scores(1, 1, *[0.0] * 7)


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
    found = Scorer(rows, 2.0, statistics, topics)(picks, 1e9)
    assert (found.sentences, found.tokens, found.topics) == (4, len(loss), 2)
    assert found.log_det == pytest.approx(np.linalg.slogdet(V)[1] - d * np.log(2))
    assert found.worst_leverage == pytest.approx(leverage.max(), rel=1e-4)
    assert found.mean_leverage == pytest.approx(leverage.mean(), rel=1e-4)
    assert found.perplexity == pytest.approx(np.exp(loss.mean()), rel=1e-5)
    far = np.linalg.norm(means[:, None] - means[picks], axis=2).min(1).max()
    assert found.radius == pytest.approx(far, rel=1e-4)
    assert found.share_of_optimum == pytest.approx(found.log_det / 1e9)


def test_rows_in_float16_with_a_large_mean_lose_nothing():
    blocks = [(b + 20).astype(np.float16) for b in random_blocks(40, 30, 3, most=60)]
    rows, picks = TokenEmbeddings.of(blocks), np.arange(5, 25)
    V = np.eye(30) + sum(b.astype(float).T @ b.astype(float) for b in (blocks[i] for i in picks))
    by_definition = stein_loss(V, second_moment(rows, RIDGE), int(rows.tokens[picks].sum()))
    assert Scorer(rows)(picks).stein_loss == pytest.approx(by_definition, rel=1e-9)


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
    same_sentences, same_tokens = found.baseline("sentences"), found.baseline("tokens")
    assert len(same_sentences.scores) == len(same_tokens.scores) == 20
    assert {s.sentences for s in same_sentences.scores} == {8}
    assert all(s.tokens <= spent for s in same_tokens.scores)
    assert max(s.tokens for s in same_tokens.scores) > spent - 9
    assert found.row("token_od").value("log_det") == pytest.approx(found.selections["token_od"].log_det)
    assert found.row("density").label == "DensitySampling, seed 0"


def test_at_equal_tokens_none_spends_more_than_the_reference(pool):
    chosen = [make_selector(n) for n in ("token_od", "uniform", "token_od_per_token")]
    found = compare(pool, chosen, Budget(sentences=8), equal="tokens", reference="token_od")
    spent = int(found.selections["token_od"].tokens.sum())
    assert all(s.tokens.sum() <= spent for s in found.selections.values())
    assert len(found.selections["token_od_per_token"]) > 8
    assert all(0 < row.value("share_of_optimum") <= 1 for row in found.chosen.values())
    assert np.isnan(found.baseline("sentences").scores[0].share_of_optimum)  # another budget: the bound does not speak of it


def test_overlap_and_table_name_the_selectors(pool):
    found = compare(pool, [make_selector(n) for n in ("token_od", "fisher_od")], Budget(sentences=8))
    assert found.overlap.loc["token_od", "token_od"] == 1
    assert found.overlap.loc["token_od", "fisher_od"] == found.overlap.loc["fisher_od", "token_od"] < 1
    table = found.table()
    assert table["selector"].tolist()[:2] == ["token_od", "fisher_od"]
    assert (table["log_det_least"] <= table["log_det"]).all() and (table["draws"] == [1, 1, 20, 20]).all()
    json.dumps(comparison_summary(found), allow_nan=False)


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [
        ([], {}, "at least one selector"),
        (["uniform", "uniform"], {}, "named twice"),
        (["uniform"], {"reference": "token_od"}, "not among"),
        (["uniform"], {"equal": "words"}, "equal sentences or equal tokens"),
        (["uniform"], {"draws": 5}, "from 20 to 10,000 draws, not 5"),
        (["uniform"], {"draws": 2**63}, "from 20 to 10,000 draws, not 9223372036854775808"),
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
    assert np.isnan(found.row("longest").value("perplexity")) and np.isnan(found.row("longest").value("topics"))


class TestCommand:
    def test_it_prints_a_table_overlaps_and_writes_the_numbers(self, jsonl, tmp_path):
        out = tmp_path / "found.csv"
        done = command_line(
            "compare", jsonl, "--holdout", 0, "--budget", 3, "--selectors", "token_od,longest", "--equal", "tokens", "--out", out
        )
        assert done.returncode == 0, done.stderr
        assert "TokenOD" in done.stdout and "Uniform, 3 sentences, 20 draws" in done.stdout
        assert "topics of 2" in done.stdout and "Overlap of the picks" in done.stdout and "%" in done.stdout
        assert done.stdout.endswith("- 2 records are near-duplicates, in 1 group.\n")
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
        assert found["near_duplicates"] == {
            **dict.fromkeys(("held_out", "held_out_with_one_in_the_pool", "dropped"), 0),
            "groups": 1,
            "records": 2,
        }
        assert found["rows"][1]["parameters"]["candidates"] == 4 and "candidates" in found["rows"][1]["notes"]

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--selectors", "token_od,best"], "no selector 'best'"),
            (["--set", "sigma2=2"], "SELECTOR.NAME=VALUE"),
            (["--set", "uniform.x=2", "--selectors", "token_od"], "'uniform' is not among"),
            (["--out", "/no/such/folder/a.csv"], "in an existing folder"),
            (["--selectors", "ask_llm"], "--set"),
        ],
    )
    def test_a_mistake_gets_one_sentence(self, jsonl, options, words):
        done = command_line("compare", jsonl, "--budget", 2, *options)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


class TestOwnCriteria:
    """What a selector's rule is greedy for is scored as the selector itself counts it."""

    def test_stein_loss_and_log_det_of_the_means_are_the_selectors_own(self, pool):
        found = compare(pool, [make_selector(n) for n in ("matched_od", "sentence_od", "fisher_od")], Budget(sentences=9))
        by = {name: row.scores[0] for name, row in found.chosen.items()}
        assert by["matched_od"].stein_loss == pytest.approx(-found.selections["matched_od"].objective, rel=1e-6)
        assert by["sentence_od"].sentence_log_det == pytest.approx(found.selections["sentence_od"].objective, rel=1e-5)
        assert by["fisher_od"].fisher_log_det == pytest.approx(found.selections["fisher_od"].objective, rel=1e-5)
        assert by["matched_od"].stein_loss < min(by["sentence_od"].stein_loss, by["fisher_od"].stein_loss)

    def test_everything_selected_has_no_radius_and_the_most_log_det(self, pool):
        found = compare(pool, [make_selector("token_od")], Budget(sentences=9))
        assert found.pool.radius == 0 and found.pool.sentences == 40
        assert found.pool.log_det > found.row("token_od").value("log_det")


class TestWords:
    def test_a_value_stands_better_within_or_worse_by_the_side_that_is_better(self):
        draws = tuple(replace(ZERO, log_det=float(v), radius=float(v)) for v in (2, 5))
        row = Row("", "Uniform", draws)
        assert [standing(v, row, "log_det") for v in (1, 2, 3, 6)] == ["worse than", "within", "within", "better than"]
        assert [standing(v, row, "radius") for v in (1, 6)] == ["better than", "worse than"]
        assert standing(1, row, "tokens") == ""

    def test_the_numbers_in_the_words_are_the_comparisons(self, pool):
        found = compare(pool, [make_selector(n) for n in ("token_od", "longest")], Budget(sentences=8))
        said = " ".join(comparison_sentences(found))
        a, b = (set(s.indices.tolist()) for s in found.selections.values())
        least, most = min(found.shared_by_chance["token_od"]), max(found.shared_by_chance["token_od"])
        assert f"share {len(a & b)} of their 8 picks; a random draw shares {least} to {most}" in said
        assert f"TokenOD {found.selections['token_od'].tokens.sum()}" in said
        assert said.endswith("None of these numbers is yet a better fine-tuned model.")

    @pytest.mark.parametrize(
        ("values", "draws", "words"),
        [
            (
                (90, 80, 70),
                (85, 95),
                "At equal tokens none of the three beats a random draw here: log det gained is 90 nats with A",
            ),
            ((96, 95.5, 70), (85, 95), "At equal tokens A and Longest beat every random draw here: "),
            ((95.7, 96, 70), (95, 95.5), "Longest and A beat every random draw here, but barely: "),
            ((95.7, 96, 70), (95, 95.5), "A is no better than Longest, which looks at length alone."),
            ((96, 97, 98), (95, 95.9), "all three beat every random draw here"),
            (
                (96, 80, 70),
                (60, 85),
                "only A beats every random draw here: log det gained is 96 nats with A, 80 with Longest and",
            ),
            ((96, 80, 70), (60, 85), "Take A for the most information (log det 96, draws 60 to 85)."),
            ((65, 64, 63), (60, 70), "A random draw does about as well under every criterion here."),
        ],
    )
    def test_the_verdict_says_who_beats_chance_and_by_how_much(self, pool, values, draws, words):
        found = compare(pool, [make_selector(n) for n in ("longest", "token_od")], Budget(sentences=8), equal="tokens")
        labels = zip(("token_od", "longest", "k_center"), ["A", "Longest", "C"], values, strict=True)
        chosen = {name: Row(name, label, (replace(ZERO, log_det=float(v)),)) for name, label, v in labels}
        random = Row("", "", tuple(replace(ZERO, log_det=float(v)) for v in draws))
        said = verdict(replace(found, chosen=chosen, baselines={"tokens": random, "sentences": random}))
        assert words in " ".join(said)

    def test_at_equal_sentences_the_verdict_counts_the_tokens_too(self, pool):
        found = compare(pool, [make_selector("longest")], Budget(sentences=8))
        lead, honest = (
            found.row().value("log_det") - found.baseline(kind).span("log_det")[0] for kind in ("sentences", "tokens")
        )
        said = " ".join(verdict(found))
        assert f"{number(lead)} nats at equal sentences and {number(honest)} at equal tokens" in said
        assert "If sentences are what you pay for" in said

    def test_one_selector_alone_is_described_without_a_rival(self, pool):
        assert not any("share" in s for s in comparison_sentences(compare(pool, [make_selector("longest")], Budget(sentences=3))))


class TestTransfer:
    @pytest.fixture
    def two(self):
        """One corpus read by two "models": rows in other dimensions, other token counts, one record missing in the second."""
        texts = [Text(f"record {i}") for i in range(30)]
        corpus = Corpus("c", "c", tuple(texts), pd.DataFrame({"text": [t.text for t in texts]}), np.zeros(30, bool))
        a, b = random_blocks(30, 5, 1), random_blocks(30, 4, 2)
        rows = TokenEmbeddings.of([x for i, x in enumerate(b) if i != 7])
        index = np.array([i for i in range(30) if i != 7])
        under = TokenEmbeddings(rows.values, rows.offsets, index, {"model": "/models/b"})
        facts = TokenEmbeddings.of(a)
        return Pool(replace(facts, facts={"model": "a"}), corpus), Pool(under, corpus)

    def test_picks_keep_their_records_and_count_the_other_models_tokens(self, two):
        pool, under = two
        chosen = [make_selector("token_od"), make_selector("longest")]
        found = compare(pool, chosen, Budget(sentences=10), score_pool=under)
        alone = compare(pool, chosen, Budget(sentences=11))
        for name, taken in found.selections.items():
            expected = [i for i in alone.selections[name].indices.tolist() if i != 7][:10]
            assert taken.indices.tolist() == expected
            assert taken.tokens.tolist() == [under.tokens[under.index.tolist().index(i)] for i in expected]
            assert np.isnan(taken.order.optimum_bounds).all()
        home = compare(under, chosen, Budget(sentences=10))
        assert {n: r.value("log_det") for n, r in found.home.items()} == {n: r.value("log_det") for n, r in home.chosen.items()}
        assert found.home["token_od"].value("log_det") >= found.row("token_od").value("log_det") - 1e-9
        assert [r.label for r in found.home.values()] == ["TokenOD, chosen by b", "Longest, chosen by b"]
        assert any(s.startswith("Chosen by a, scored under b: TokenOD gains") for s in comparison_sentences(found))
        json.dumps(comparison_summary(found), allow_nan=False)

    def test_equal_tokens_are_the_scoring_models(self, two):
        pool, under = two
        found = compare(
            pool, [make_selector("longest"), make_selector("uniform")], Budget(tokens=40), equal="tokens", score_pool=under
        )
        assert all(s.tokens.sum() <= 40 for s in found.selections.values())
        assert {s.tokens for r in found.chosen.values() for s in r.scores} == {
            int(s.tokens.sum()) for s in found.selections.values()
        }

    def test_another_corpus_is_refused(self, two):
        pool, under = two
        other = replace(under, corpus=replace(under.corpus, held_out=np.arange(30) == 3))
        with pytest.raises(ParameterError, match="same corpus"):
            compare(pool, [make_selector("longest")], Budget(sentences=3), score_pool=other)


class TestChance:
    def test_draws_are_scored_once_and_another_column_of_topics_is_another_answer(self, pool, monkeypatch):
        rows = replace(pool.embeddings, key="k" * 64)
        first = Scorer(rows, topics=np.array(list("ab" * 20)))
        found = chance(first, "sentences", 6, draws=20, seed=0)
        assert is_kept(first, "sentences", 6, draws=20, seed=0)
        assert not is_kept(Scorer(rows, topics=np.array(list("abcd" * 10))), "sentences", 6, draws=20, seed=0)
        with monkeypatch.context() as patched:
            patched.setattr("fishersft.scoring.random_baseline._scored", lambda *a: pytest.fail("scored again"))
            assert repr(chance(first, "sentences", 6, draws=20, seed=0)) == repr(found)  # NaN is not equal to itself

    def test_the_share_of_the_optimum_follows_the_bound_and_is_not_kept(self, pool):
        rows = replace(pool.embeddings, key="k" * 64)
        low, high = (chance(Scorer(rows), "tokens", 30, draws=20, seed=0, bound=b) for b in (50.0, 100.0))
        assert low[0].share_of_optimum == pytest.approx(2 * high[0].share_of_optimum)


class TestEvidence:
    def test_what_ships_is_what_the_command_gives(self):
        held = json.loads(paths.asset("evidence/demo.json").read_text())["comparison"]
        quick = ["token_od", "sentence_od", "uniform", "longest", "perplexity"]
        again = compare(load_pool("demo"), [make_selector(n) for n in quick], Budget(sentences=120), equal="tokens")
        rows = {r["selector"]: r["scores"][0] for r in held["rows"] if r["selector"]}
        for row in again.chosen.values():
            for name in ("tokens", "log_det", "worst_leverage", "stein_loss"):
                assert rows[row.name][name] == pytest.approx(getattr(row.scores[0], name), rel=2e-3), (row.name, name)

    def test_findings_stand_to_chance_and_carry_their_command(self):
        known = gather()
        unaimed = {name for name, kind in registry().items() if not kind.needs_target}
        assert {f.selector for f in known.findings} == unaimed - {"ask_llm", "ifd"}  # a model, and prompts
        assert all(f.command.startswith("fishersft ") for f in known.findings)
        best = next(f for f in known.of("matched_od") if f.what == "Stein's loss")
        assert best.stands == "better than" and best.value < best.chance_low
        on_demo = {f.selector: f.stands for f in known.findings if f.where.startswith("demo under mini") and "tokens" in f.where}
        assert (on_demo["sentence_od"], on_demo["longest"]) == ("better than", "worse than")  # as Curves says of the same runs

    def test_nothing_there_is_nothing_known(self, tmp_path):
        assert gather(tmp_path / "no.json", tmp_path / "none") == Evidence((), {})
        (tmp_path / "bad.json").write_text('{"comparison": 3}')
        assert gather(tmp_path / "bad.json", tmp_path).findings == ()

    @pytest.mark.slow
    def test_the_error_against_a_known_truth_is_read_from_records(self, tmp_path):
        done = command_line(
            "curves", "synthetic", "--runs", 2, "--sentences", 80, "--budgets", "10,20", "--selectors", "token_od,uniform",
            "--out", tmp_path / "w",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (found,) = gather(tmp_path / "no.json", tmp_path).findings
        table = read_curves(tmp_path / "w").table()
        mine, chance_of = (next(r for r in table if r["selector"] == s and r["n"] == 20) for s in ("token_od", "uniform"))
        assert (found.value, found.low) == (mine["maximum"], mine["maximum_low"])
        assert (found.chance_low, found.chance_high) == (chance_of["maximum_low"], chance_of["maximum_high"])
        assert "n = 20" in found.where and found.command.startswith("fishersft curves synthetic")

    def test_a_cost_elsewhere_grows_with_rows_and_the_square_of_the_dimension(self):
        cost = OrderCost(10.0, 1_000, 8)
        assert cost.elsewhere(2_000, 16) == pytest.approx(80)
        assert cost.elsewhere(9, 9, reference=OrderCost(2.0, 1_000, 8), known=3.0) == pytest.approx(15)
