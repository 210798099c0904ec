"""The line through the whole, on real text and real models."""

import itertools

import numpy as np
import pytest

from fishersft import Budget, Pool, embed, load_corpus, load_model, make_selector, select
from fishersft.corpus.records import Corpus
from fishersft.design.trajectory import log_det_at
from fishersft.pipeline import embed_and_select
from fishersft.pipeline.selections import load_selection, save_selection
from fishersft.scoring import precomputed
from tests.reference import algorithm_1

from .test_embed import independent_rows


def first(corpus, n):
    """The first n records, nothing held out."""
    return Corpus(corpus.name, corpus.source, corpus.examples[:n], corpus.fields.iloc[:n], np.zeros(n, dtype=bool))


@pytest.mark.rare
@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "split", "model"),
    [
        ("data/shakespeare/input.txt", "blank-line", "stories260K"),
        ("data/sherlock/advs.txt", "blank-line", "mini"),
        ("data/instruction/instruction-data.json", "line", "mini"),
    ],
)
def test_picks_equal_algorithm_1_on_the_models_own_hidden_states(shared, path, split, model):
    corpus = first(load_corpus(shared / path, split_on=split), 100)
    lm = load_model(str(shared / "models" / model))
    n = 12 if model == "mini" else 25
    chosen = select(corpus, lm, budget=n)
    blocks = [independent_rows(lm, e) for e in corpus.examples]
    kept = [i for i, b in enumerate(blocks) if len(b)]
    picks, gains = algorithm_1([blocks[i] for i in kept], n)
    assert chosen.indices.tolist() == [kept[p] for p in picks]
    assert np.allclose(chosen.gains, gains, rtol=1e-3)


@pytest.mark.rare
@pytest.mark.slow
def test_the_shipped_order_of_the_demo_is_the_one_computed_from_fresh_rows(fresh):
    shipped = select("demo", budget=150)
    computed = select("demo", budget=150, store=fresh)
    assert np.array_equal(shipped.indices, computed.indices)
    assert np.allclose(shipped.gains, computed.gains, rtol=2e-3)


def test_a_smaller_budget_is_a_prefix_of_a_stored_order(jsonl, monkeypatch):
    whole = select(jsonl, budget=4)
    monkeypatch.setattr("fishersft.selectors.token_od.TokenOD.order", lambda *a, **k: pytest.fail("computed again"))
    assert np.array_equal(select(jsonl, budget=2).indices, whole.indices[:2])
    assert select(jsonl, token_budget=int(whole.tokens[:2].sum())).indices.tolist() == whole.indices[:2].tolist()


def test_a_larger_budget_replaces_the_stored_order(jsonl):
    few = select(jsonl, budget=1)
    more = select(jsonl, budget=4)
    assert more.indices[0] == few.indices[0]
    assert len(select(jsonl, budget=4)) == 4


def test_held_out_records_are_never_selected(jsonl):
    corpus = load_corpus(jsonl)
    chosen = select(corpus, budget=len(corpus.pool_index))
    assert not corpus.held_out[chosen.indices].any()
    assert set(chosen.indices) == set(corpus.pool_index)


def test_the_gains_sum_to_the_log_det_of_the_picks(jsonl):
    rows = embed(jsonl)
    chosen = select(jsonl, budget=3)
    assert chosen.log_det == pytest.approx(log_det_at(rows, chosen.order.positions, [3])[0])


def test_the_band_holds_uniform_draws(jsonl):
    corpus = load_corpus(jsonl, holdout=0)
    rows = embed(corpus)
    band = precomputed.band(rows, len(rows), int(rows.tokens.sum()), draws=20)
    assert band.uniform_by_sentences.shape == (20, len(rows))
    everything = log_det_at(rows, np.arange(len(rows)), [len(rows)])[0]
    assert np.allclose(band.uniform_by_sentences[:, -1], everything)
    assert np.allclose(band.uniform_by_tokens[:, -1], everything)
    order = np.random.default_rng(0).permutation(len(rows))
    assert np.allclose(band.uniform_by_sentences[0], log_det_at(rows, order, band.sentences))


def test_equal_tokens_means_the_longest_prefix_that_fits(jsonl):
    rows = embed(load_corpus(jsonl, holdout=0))
    band = precomputed.band(rows, len(rows), int(rows.tokens.sum()))
    order = np.random.default_rng(0).permutation(len(rows))
    for limit, f in itertools.islice(zip(band.tokens, band.uniform_by_tokens[0], strict=True), 0, None, 7):
        n = int((np.cumsum(rows.tokens[order]) <= limit).sum())
        assert f == pytest.approx(log_det_at(rows, order, [n])[0])


def test_the_criterion_of_another_selector_is_that_of_its_token_rows(jsonl):
    rows = embed(load_corpus(jsonl, holdout=0))
    pool = Pool(rows)
    chosen = make_selector("sentence_od")
    order = embed_and_select.order(pool, chosen, Budget(sentences=5))
    at, f = precomputed.gain_of(rows, order, chosen, 0)
    assert np.allclose(f, log_det_at(rows, order.positions, at))
    token = make_selector("token_od")
    best = embed_and_select.order(pool, token, Budget(sentences=5))
    assert np.allclose(precomputed.gain_of(rows, best, token, 0)[1], log_det_at(rows, best.positions, range(1, 6)))


def test_a_selection_is_kept_with_its_fields_and_found_by_its_id(jsonl):
    corpus = load_corpus(jsonl)
    chosen = select(corpus, budget=3)
    run = save_selection(corpus, embed(corpus), chosen)
    assert run == save_selection(corpus, embed(corpus), chosen)
    manifest, picks = load_selection(run[:6])
    assert manifest["selector"] == "token_od"
    assert picks["index"].tolist() == chosen.indices.tolist()
    assert picks["text"].tolist() == [corpus.text(i) for i in chosen.indices]
