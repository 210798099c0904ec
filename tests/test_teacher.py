"""The user's own corpus as a world with a known truth."""

from collections import Counter

import numpy as np
import pytest

from fishersft.corpus.load import load_corpus
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import ParameterError
from fishersft.experiments.experiment import Experiment
from fishersft.experiments.measure import run
from fishersft.experiments.settings import TeacherSettings
from fishersft.experiments.worlds import Teacher, teacher_world
from fishersft.lm.model import load_model
from fishersft.pipeline import embed_and_select
from fishersft.store.artifacts import Store


def a_teacher(d=6, N=40, **changes):
    rng = np.random.default_rng(0)
    blocks = [rng.normal(size=(int(rng.integers(1, 9)), d)) * np.arange(d, 0, -1) for _ in range(N)]
    return Teacher(
        embeddings=TokenEmbeddings.of(blocks),
        head=rng.normal(size=(d, 12)),
        corpus="texts",
        model="a model",
        **{"dimension": 0, "classes": 5, **changes},
    )


def test_scaling_rows_and_head_changes_no_logit():
    world = a_teacher(sentences=40)
    made = world.problem(0)
    own = np.asarray(world.embeddings.values) @ world.head[:, :5]
    np.testing.assert_allclose(made.embeddings.values @ made.theta, own)
    assert (made.embeddings.values**2).sum(1).mean() == pytest.approx(6)


def test_leading_directions_keep_the_nearest_logits():
    world = a_teacher(d=6, sentences=40, dimension=3)
    made = world.problem(0)
    # the best rank-3 rows by the singular value decomposition, another way to the same
    U, s, Vt = np.linalg.svd(world.embeddings.values, full_matrices=False)
    near = (U[:, :3] * s[:3]) @ Vt[:3]
    np.testing.assert_allclose(made.embeddings.values @ made.theta, near @ world.head[:, :5], atol=1e-9)
    assert made.facts["kept"] == pytest.approx((s[:3] ** 2).sum() / (s**2).sum())


def test_each_run_draws_its_sentences_and_keeps_their_numbers():
    world = a_teacher(sentences=15)
    first, second = world.problem(0), world.problem(1)
    assert len(first.embeddings) == 15
    assert first.embeddings.index.tolist() != second.embeddings.index.tolist()
    i = int(first.embeddings.index[3])
    apart = np.linalg.norm(first.embeddings.block(3), axis=1) / np.linalg.norm(world.embeddings.block(i), axis=1)
    np.testing.assert_allclose(apart, apart[0])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dimension": 7}, "--dimension 7 is above the model's 6"),
        ({"sentences": 41}, "--sentences 41 is above the pool of 40"),
        ({"classes": 13}, "--classes 13 is above the 12 different tokens"),
        ({"classes": 1}, "'classes' of 'teacher' must be a whole number of at least 2"),
    ],
)
def test_a_teacher_that_cannot_be_gets_one_sentence(changes, sentence):
    with pytest.raises(ParameterError, match=sentence):
        a_teacher(**changes)


@pytest.fixture(scope="module")
def mini():
    return load_model("mini", device="cpu")


def test_the_head_of_the_mini_model_is_restricted_to_the_most_frequent_tokens(mini, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(["a a a a a a a a b", "a b c a b a", "the cat sat on the mat", "the dog"] * 4) + "\n")
    corpus = load_corpus(str(path), holdout=0.0)
    rows = embed_and_select.embed(corpus, mini, store=Store(tmp_path / "store"))
    world = teacher_world(rows, corpus, mini, TeacherSettings(dimension=8, classes=3))
    spoken = [t for text in corpus.texts for t in mini.tokenizer(text, add_special_tokens=False)["input_ids"]]
    counts = Counter([*spoken, *[mini.tokenizer.eos_token_id] * len(corpus)])  # each text ends in one
    expected = sorted(counts, key=lambda t: (-counts[t], t))[:3]
    own = mini.network.get_output_embeddings().weight.detach().numpy()
    np.testing.assert_array_equal(world.head[:, :3].T, own[expected])
    records = list(run(Experiment(world=world, selectors=("token_od", "uniform"), budgets=(4, 16), runs=1)))
    np.testing.assert_allclose(records[0]["maximum"][1], records[1]["maximum"][1], rtol=1e-4)  # all 16 by both
