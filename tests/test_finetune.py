"""Fine-tuning: it trains what the design counts, resumes exactly, and says plainly when it cannot go on."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from fishersft.corpus.encode import encode
from fishersft.corpus.load import load_corpus
from fishersft.corpus.records import PromptCompletion, Text
from fishersft.errors import ParameterError, TrainingError
from fishersft.lm import finetune as lm_finetune
from fishersft.lm import losses
from fishersft.lm.finetune import EqualParts, add_gradients, finetune, save_model
from fishersft.lm.generate import draw_prompts, write
from fishersft.lm.hyperparameters import Sampling, Training
from fishersft.lm.losses import nats_of
from fishersft.lm.model import load_model
from tests.tiny_model import make_model

TEXTS = [
    Text(f"The {animal} sat on the {place} and waited for rain.") for animal in ("cat", "dog", "owl", "fox") for place in "abcd"
]
QUICK = Training(learning_rate=1e-2, epochs=2, batch=4, precision="float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def model(folder):
    return load_model(str(folder), device="cpu")


@pytest.fixture
def examples(model):
    return encode(TEXTS, model.tokenizer, 64)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.network.parameters()]).numpy()


def test_the_texts_trained_on_are_predicted_better_and_the_loss_says_so(model, examples, tmp_path):
    before = nats_of(model, examples).sum()
    tuned = finetune(model, examples, QUICK, workspace=tmp_path)
    assert nats_of(tuned.model, examples).sum() < 0.9 * before
    assert tuned.losses[-1][1] < tuned.losses[0][1]
    assert tuned.steps == QUICK.steps(len(examples)) == 8


PAIRS = [PromptCompletion("Say where the cat is.", "On the mat."), PromptCompletion("Why?", "It is warm there, and dry.")]


def gradients(model):
    return torch.cat([p.grad.flatten() for p in model.network.parameters()])


def of_the_library(model, encoded):
    """Nats and their gradients as the library computes them from labels, one text at a time: nothing padded, nothing chunked."""
    nats = 0.0
    for e in encoded:
        ids, labels = (torch.from_numpy(a.astype(np.int64))[None] for a in (e.ids, e.labels))
        loss = model.network(input_ids=ids, labels=labels).loss * len(e.rows)
        loss.backward()
        nats += loss.item()
    return nats, gradients(model)


@pytest.mark.parametrize("chunk", [1, 3, 1_000])
@pytest.mark.parametrize("texts", [TEXTS[:5], PAIRS], ids=["texts", "pairs"])
def test_the_gradients_are_those_of_the_trained_tokens_whatever_the_chunks(folder, texts, chunk, monkeypatch):
    plain, chunked = load_model(str(folder), device="cpu"), load_model(str(folder), device="cpu")
    encoded = encode(texts, plain.tokenizer, 64)
    nats, expected = of_the_library(plain, encoded)
    monkeypatch.setattr(losses, "BATCH_LOGITS", chunk * chunked.vocabulary)
    assert add_gradients(chunked, encoded, 0.5) == pytest.approx(nats, rel=1e-5)
    assert torch.allclose(2 * gradients(chunked), expected, atol=1e-5 * float(expected.abs().max()))


def without_dropout(folder):
    model = load_model(str(folder), device="cpu")
    for part in model.network.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return model


def test_a_step_in_pieces_is_the_step_in_one(folder, examples, tmp_path, monkeypatch):
    found = []
    for most in (20, 10_000):
        monkeypatch.setattr(lm_finetune, "PIECE_TOKENS", most)
        found.append(finetune(without_dropout(folder), examples, QUICK, workspace=tmp_path / str(most)).losses)
    assert np.allclose(*found, rtol=1e-3)


def test_the_number_format_that_was_asked_for_is_what_computes(folder, examples, tmp_path):
    lost = [
        finetune(without_dropout(folder), examples, replace(QUICK, precision=p), workspace=tmp_path / p).losses[-1][1]
        for p in ("float32", "bfloat16")
    ]
    assert lost[0] != lost[1]
    assert lost[0] == pytest.approx(lost[1], rel=0.05)


def test_the_loss_of_training_is_the_nats_of_scoring(model, examples):
    assert add_gradients(model, examples) == pytest.approx(nats_of(model, examples).sum(), rel=1e-5)


def test_scores_do_not_depend_on_the_company_a_text_is_read_in(model, examples):
    alone = np.concatenate([nats_of(model, [e]) for e in examples])
    assert np.allclose(nats_of(model, examples), alone, rtol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(folder, examples, tmp_path):
    found = [
        weights(finetune(load_model(str(folder), device="cpu"), examples, QUICK, workspace=tmp_path / str(k), seed=s).model)
        for k, s in enumerate((3, 3, 4))
    ]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


class Stop(Exception):
    pass


@pytest.mark.parametrize("lora", [False, True])
def test_a_training_stopped_anywhere_ends_with_the_weights_of_an_undisturbed_one(folder, examples, tmp_path, lora):
    training = Training(learning_rate=1e-2, epochs=2, batch=4, precision="float32", lora=lora, rank=2)

    def fresh():
        return load_model(str(folder), device="cpu")

    whole = finetune(fresh(), examples, training, workspace=tmp_path / "whole", seed=1)

    def stop(done, _):
        if done == 5:
            raise Stop

    with pytest.raises(Stop):
        finetune(fresh(), examples, training, workspace=tmp_path / "cut", seed=1, checkpoint_seconds=0, on_progress=stop)
    half = tmp_path / "cut" / "checkpoint-5"  # as a kill in the middle of writing leaves it: never resumed from
    shutil.copytree(tmp_path / "cut" / "checkpoint-4", half)
    (half / "whole").unlink()
    (half / "trainer_state.json").write_text("{")
    resumed = finetune(fresh(), examples, training, workspace=tmp_path / "cut", seed=1)
    assert resumed.resumed_at == 4
    assert np.array_equal(weights(whole.model), weights(resumed.model))


def test_adapters_are_merged_so_that_the_tuned_model_is_a_plain_one(model, examples, tmp_path):
    before = weights(model)
    training = Training(learning_rate=1e-2, epochs=2, batch=4, lora=True, rank=2, precision="float32")
    tuned = finetune(model, examples, training, workspace=tmp_path / "work").model
    save_model(tuned, tmp_path / "saved")
    again = load_model(str(tmp_path / "saved"), device="cpu")
    assert len(weights(again)) == len(before)
    assert not np.array_equal(weights(again), before)
    assert np.allclose(nats_of(again, examples), nats_of(tuned, examples), rtol=1e-4)


def test_when_memory_runs_out_the_pieces_are_halved_and_the_steps_stay_the_same(folder, examples, tmp_path, monkeypatch):
    plain = finetune(without_dropout(folder), examples, QUICK, workspace=tmp_path / "a")
    model = without_dropout(folder)
    forward, longest = model.network.transformer.forward, max(len(e.ids) for e in examples)
    monkeypatch.setattr(lm_finetune, "PIECE_TOKENS", 4 * longest)

    def narrow(input_ids=None, **rest):
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return forward(input_ids=input_ids, **rest)

    model.network.transformer.forward = narrow
    halved = finetune(model, examples, QUICK, workspace=tmp_path / "b")
    assert halved.steps == plain.steps
    assert np.allclose(halved.losses, plain.losses, rtol=1e-3)
    assert halved.notes == (f"Memory ran out; each step was computed in pieces of at most {2 * longest} tokens.",)
    assert halved.losses[-1][1] < halved.losses[0][1]


def test_memory_too_small_for_one_example_is_said_in_a_sentence(model, examples, tmp_path):
    def never(**_):
        raise torch.OutOfMemoryError("out of memory")

    model.network.transformer.forward = never
    with pytest.raises(TrainingError, match="token_od-50-s0: out of memory .* even with one example"):
        finetune(model, examples, QUICK, workspace=tmp_path, what="token_od-50-s0")


def test_a_loss_that_is_no_number_stops_the_training_and_says_which(model, examples, tmp_path):
    with torch.no_grad():
        model.network.transformer.ln_f.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"uniform-50-s1 diverged: the loss at step 1 of 8 .* Lower --learning-rate"):
        finetune(model, examples, QUICK, workspace=tmp_path, what="uniform-50-s1")


def test_a_loss_far_above_that_of_guessing_stops_the_training_too(model, examples, tmp_path):
    wild = replace(QUICK, learning_rate=1.0, epochs=20, warmup=0.0)
    with pytest.raises(
        TrainingError, match=r"longest-50-s0 diverged: the loss at step \d+ of \d+ is \d\d+ nats per token\. Lower"
    ):
        finetune(model, examples, wild, workspace=tmp_path, what="longest-50-s0")


def test_nothing_to_train_on_is_said(model, tmp_path):
    with pytest.raises(TrainingError, match="no trained token"):
        finetune(model, encode([Text(" ")], model.tokenizer, 64), QUICK, workspace=tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"learning_rate": 0}, {"learning_rate": float("nan")}, {"epochs": 0}, {"batch": 1.5}, {"warmup": 1}]
)
def test_hyperparameters_out_of_range_are_refused(wrong):
    with pytest.raises(ParameterError):
        Training(**wrong)


SLOW = pytest.mark.slow
REAL = [
    pytest.param(name, lora, precision, marks=[SLOW] if precision == "bfloat16" else [])
    for name in ("stories260K", "slm4096-gpt2")
    for lora in (False, True)
    for precision in ("float32", "bfloat16")
]


@pytest.mark.parametrize(
    ("name", "lora", "precision"), [*REAL, pytest.param("mini", True, "bfloat16", marks=[SLOW, pytest.mark.rare])]
)
def test_real_checkpoints_learn_a_real_corpus_and_go_on_from_its_prompts(shared, tmp_path, name, lora, precision):
    corpus = load_corpus(shared / "data/shakespeare/input.txt", split_on="blank-line")
    model = load_model(str(shared / "models" / name), device="cpu")
    pool, held_out = (encode(corpus.examples[a:b], model.tokenizer, 64) for a, b in ((0, 64), (64, 112)))
    before = nats_of(model, held_out).sum()
    training = Training(learning_rate=1e-2 if lora else 1e-3, epochs=2, batch=8, lora=lora, precision=precision)
    save_model(finetune(model, pool, training, workspace=tmp_path / "work").model, tmp_path / "tuned")
    tuned = load_model(str(tmp_path / "tuned"), device="cpu")
    assert nats_of(tuned, held_out).sum() < before
    sampling = Sampling(prompts=3, prompt_tokens=4, new_tokens=8)
    written = write(tuned, draw_prompts(held_out, sampling, tuned.context), sampling)
    assert len(written) == 3 and all(0 < w.tokens <= 8 for w in written)


class TestEqualParts:
    def test_every_example_is_in_one_part_and_parts_have_about_equal_tokens(self):
        tokens = np.random.default_rng(0).integers(1, 80, 300)
        sampler = EqualParts(tokens, 20, 0)
        parts = list(sampler)
        assert len(parts) == len(sampler) == 20
        assert sorted(i for part in parts for i in part) == list(range(300))
        share = [tokens[part].sum() for part in parts]
        assert max(share) - min(share) <= 2 * tokens.max() and min(share) > 0.6 * tokens.sum() / 20

    @pytest.mark.parametrize("tokens", [[5], [1, 1000, 1], [1] * 4 + [500], [500] + [1] * 30])
    @pytest.mark.parametrize("parts", [1, 2, 3, 7])
    def test_no_part_is_empty_whatever_the_lengths(self, tokens, parts):
        for epoch in range(5):
            sampler = EqualParts(np.array(tokens), parts, 1)
            sampler.set_epoch(epoch)
            found = list(sampler)
            assert len(found) == min(parts, len(tokens)) and all(found)
            assert sorted(i for part in found for i in part) == list(range(len(tokens)))

    def test_each_epoch_has_an_order_of_its_own_which_the_seed_fixes(self):
        def order(seed, epoch):
            sampler = EqualParts(np.ones(50, dtype=int), 5, seed)
            sampler.set_epoch(epoch)
            return list(sampler)

        assert order(0, 0) == order(0, 0) != order(0, 1)
        assert order(0, 0) != order(1, 0)

    def test_short_and_long_selections_take_the_same_steps_and_a_killed_one_resumes(self, folder, examples, tmp_path):
        training = replace(QUICK, parts=3)
        few = finetune(load_model(str(folder), device="cpu"), examples[:4], training, workspace=tmp_path / "few")
        many = finetune(load_model(str(folder), device="cpu"), examples, training, workspace=tmp_path / "many")
        assert few.steps == many.steps == 3 * training.epochs == training.steps(len(examples))

        def killed(done, total):
            if done == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            finetune(
                load_model(str(folder), device="cpu"),
                examples,
                training,
                workspace=tmp_path / "killed",
                checkpoint_seconds=0,
                on_progress=killed,
            )
        again = finetune(load_model(str(folder), device="cpu"), examples, training, workspace=tmp_path / "killed")
        assert again.resumed_at > 0
        for name, weight in many.model.network.state_dict().items():
            assert torch.equal(weight, again.model.network.state_dict()[name]), name
