"""Prompts and texts: chosen by a seed, the same for every model, whatever stands beside them in a batch."""

import numpy as np
import pytest
import torch

from fishersft.corpus.encode import encode
from fishersft.corpus.records import PromptCompletion, Text
from fishersft.errors import ParameterError
from fishersft.lm.generate import draw_prompts, text_of, write
from fishersft.lm.hyperparameters import Sampling
from fishersft.lm.model import load_model
from tests.tiny_model import make_model

LONG = [Text(f"Number {k} came from the west with rain and snow, and nobody had closed the old gate.") for k in range(30)]
PAIRS = [
    PromptCompletion("Why?", "It rains."),
    PromptCompletion("Where is the cat that came in with the storm last night?", "Up."),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(make_model(tmp_path_factory.mktemp("tiny"))), device="cpu")


def test_a_prompt_and_its_continuation_are_the_record(model):
    encoded = encode(LONG, model.tokenizer, 64)
    prompts = draw_prompts(encoded, Sampling(prompts=5, prompt_tokens=4))
    assert len(prompts) == 5
    for p in prompts:
        assert len(p.ids) == 5  # bos, and four
        assert [*p.ids, *p.continuation] == encoded[p.position].ids.tolist()
        assert text_of(model.tokenizer, p.ids) + text_of(model.tokenizer, p.continuation) == LONG[p.position].text


def test_the_seed_alone_chooses_the_records(model):
    encoded = encode(LONG, model.tokenizer, 64)
    one, same, other = (
        [p.position for p in draw_prompts(encoded, Sampling(prompts=10, prompt_tokens=4, sampling_seed=s))] for s in (1, 1, 2)
    )
    assert one == same != other


def test_texts_too_short_for_a_prompt_and_a_continuation_are_left_out(model):
    assert draw_prompts(encode([Text("Rain."), Text("")], model.tokenizer, 64), Sampling()) == []


def test_the_prompt_of_a_pair_is_given_whole(model):
    encoded = encode(PAIRS, model.tokenizer, 64)
    prompts = draw_prompts(encoded, Sampling())
    assert [text_of(model.tokenizer, p.ids) for p in prompts] == [p.prompt for p in PAIRS]
    assert [text_of(model.tokenizer, p.continuation) for p in prompts] == [p.completion for p in PAIRS]


def test_a_prompt_longer_than_the_context_loses_its_first_tokens_and_says_how_many(model):
    encoded = encode([PromptCompletion("rain and snow " * 40, "It rains.")], model.tokenizer, 400)
    (prompt,) = draw_prompts(encoded, Sampling(new_tokens=16), context=64)
    assert len(prompt.ids) == 48
    assert prompt.cut == int(np.flatnonzero(encoded[0].trained)[0]) - 48
    (written,) = write(model, [prompt], Sampling(new_tokens=16))
    assert written.tokens <= 16


def test_padding_changes_nothing_that_is_written(model):
    prompts = draw_prompts(encode(PAIRS, model.tokenizer, 64), Sampling())
    likeliest = Sampling(temperature=0, new_tokens=12)
    together = write(model, prompts, likeliest)
    assert together == [write(model, [p], likeliest)[0] for p in prompts]


def test_the_likeliest_token_is_taken_at_temperature_0(model):
    (prompt,) = draw_prompts(encode(PAIRS[:1], model.tokenizer, 64), Sampling())
    ids = list(prompt.ids)
    for _ in range(6):
        with torch.no_grad():
            ids.append(int(model.network(torch.tensor([ids])).logits[0, -1].argmax()))
    (written,) = write(model, [prompt], Sampling(temperature=0, new_tokens=6))
    assert written.text == text_of(model.tokenizer, ids[len(prompt.ids) :])


def test_the_same_seed_writes_the_same_texts_and_leaves_everyone_elses_chance_alone(model):
    prompts = draw_prompts(encode(LONG, model.tokenizer, 64), Sampling(prompts=6, prompt_tokens=4))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = write(model, prompts, Sampling(new_tokens=10, sampling_seed=1))
    assert torch.equal(torch.rand(3), expected)
    assert one == write(model, prompts, Sampling(new_tokens=10, sampling_seed=1))
    assert one != write(model, prompts, Sampling(new_tokens=10, sampling_seed=2))


def test_settings_out_of_range_are_refused():
    for wrong in ({"prompts": -1}, {"new_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}):
        with pytest.raises(ParameterError):
            Sampling(**wrong)
