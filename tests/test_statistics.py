"""Losses and confidences are those of the model itself."""

import numpy as np
import pytest
import torch

from fishersft import Pool, TokenEmbeddings, load_corpus, load_model
from fishersft.corpus.encode import encode
from fishersft.errors import ModelError, ParameterError
from fishersft.lm.losses import TokenStatistics
from fishersft.pipeline import embed_and_select, stored_answers

from .conftest import random_blocks


@pytest.fixture(scope="module")
def mini():
    return load_model("mini")


def test_losses_are_those_that_the_model_computes_from_the_text(jsonl, mini):
    corpus = load_corpus(jsonl, holdout=0)
    pool = embed_and_select.load_pool(corpus, mini)
    read = pool.statistics()
    for position, example in enumerate(encode([corpus.examples[int(i)] for i in pool.index], mini.tokenizer)):
        ids = torch.from_numpy(example.ids.astype(np.int64))[None]
        with torch.inference_mode():
            log_p = torch.log_softmax(mini.network(input_ids=ids).logits[0], -1)
        rows, span = example.rows, slice(*read.offsets[position : position + 2])
        assert np.allclose(read.loss[span], [-log_p[r, ids[0, r + 1]] for r in rows], atol=1e-4)
        assert np.allclose(read.confidence[span], (2 * log_p[rows]).exp().sum(-1), atol=1e-5)
    assert np.allclose(pool.losses(np.array([3, 1])), read.mean_losses[[3, 1]])


def test_they_are_computed_once_and_losses_of_a_few_records_need_no_others(jsonl, mini, monkeypatch):
    pool = embed_and_select.load_pool(jsonl, mini)
    asked = []
    monkeypatch.setattr("fishersft.lm.losses.encode", lambda ex, *a: asked.append(len(ex)) or encode(ex, *a))
    few = pool.losses(np.array([2, 0]))
    assert asked == [2]
    whole = pool.statistics()
    monkeypatch.setattr(stored_answers, "load_model", lambda *a, **k: pytest.fail("loaded again"))
    again = embed_and_select.load_pool(jsonl)
    assert np.array_equal(again.statistics().loss, whole.loss)
    assert np.allclose(again.losses(np.array([2, 0])), few)


def test_means_over_records_are_over_their_own_tokens():
    read = TokenStatistics(np.array([1, 3, 5], np.float32), np.ones(3, np.float32), np.array([0, 2, 3]))
    assert read.losses(np.array([0, 1])).tolist() == [2.0, 5.0]


def test_texts_that_did_not_make_the_rows_are_refused(jsonl, mini):
    corpus = load_corpus(jsonl, holdout=0)
    rows = TokenEmbeddings.of(random_blocks(len(corpus), mini.dimension, 0, most=2))
    with pytest.raises(ModelError, match="did not compute the rows from these texts"):
        Pool(rows, corpus, mini).statistics()


def test_a_pool_without_a_model_says_what_is_missing():
    with pytest.raises(ParameterError, match=r"Pool\(embeddings, corpus, model\)"):
        Pool(TokenEmbeddings.of(random_blocks(3, 2))).losses(np.array([0]))
