"""Task scores: answers as SQuAD and ROUGE count them, choices by likelihood, and what a run's folder keeps of both."""

import json

import numpy as np
import pytest
import torch

from fishersft.corpus.encode import encode
from fishersft.corpus.records import Chat, Message, PromptCompletion, Text, canonical
from fishersft.corpus.turns import chosen
from fishersft.errors import StoreError
from fishersft.finetuning.run import read_run
from fishersft.finetuning.scores import answer_scores, draw_scored, scores_of
from fishersft.finetuning.stages import finetune
from fishersft.lm.generate import last_answer, text_of
from fishersft.lm.model import load_model
from fishersft.store.artifacts import Store
from tests.tiny_model import make_model
from tests.tuned_run import tuned_run

PAIRS = [PromptCompletion(f"Who is at gate {k}?", f"The knight of gate {k}.") for k in range(30)]
QUIZ = [PromptCompletion(f"What is {k} and {k}?", str(2 * k), choices=(str(k), f"{2 * k}", "a long story")) for k in range(30)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(make_model(tmp_path_factory.mktemp("tiny"))), device="cpu")


def drawn(examples, model, count=100, seed=0, cut=64):
    return draw_scored(examples, encode(examples, model.tokenizer, cut), model.tokenizer, cut, count, seed)


@pytest.mark.parametrize(
    ("said", "answer", "exact", "f1", "rouge"),
    [
        ("The Cat!", "a cat", 1, 1, 1 / 2),  # ROUGE keeps articles
        ("the cat sat on a mat", "a mat", 0, 2 * 1 * 0.25 / 1.25, 2 * 2 / 8),  # of 4 words and 1; of 6 words and 2, in order
        ("mat cat", "cat mat", 0, 1, 1 / 2),  # the order counts for ROUGE-L alone
        ("", "Paris", 0, 0, 0),
        ("dog", "cat", 0, 0, 0),
        ("Это кот.", "это кот", 1, 1, 1),  # any script
    ],
)
def test_scores_of_an_answer_by_hand(said, answer, exact, f1, rouge):
    assert answer_scores(said, answer) == pytest.approx((exact, f1, rouge))


def test_a_chat_counts_by_its_last_answer(model):
    turns = [Message("user", "Who?"), Message("assistant", "Me."), Message("user", "Where?"), Message("assistant", "Here.")]
    (one,) = drawn([Chat(tuple(turns))], model)
    assert one.answer.strip() == "Here."
    assert "Me." in one.prompt
    assert "Here." not in one.prompt


def test_texts_and_answers_that_were_cut_off_are_left_out(model):
    for example in (Text("Rain and snow."), PromptCompletion("Why?", "rain " * 90)):
        assert last_answer(0, encode([example], model.tokenizer, 64)[0]) is None
    assert drawn([PromptCompletion("", "It rains.")], model) == []


def test_the_seed_draws_and_a_larger_count_keeps_what_a_smaller_one_drew(model):
    few, many, other = ({r.position for r in drawn(PAIRS, model, count, seed)} for count, seed in ((5, 0), (12, 0), (5, 1)))
    assert (len(few), len(many)) == (5, 12)
    assert few < many
    assert few != other


def test_answers_are_the_likeliest_tokens_up_to_the_longest_answer(model):
    records = drawn(PAIRS, model, 7)
    most = max(len(r.asked.continuation) for r in records)
    for line, record in zip(scores_of(model, records), records, strict=True):
        ids = list(record.asked.ids)
        for _ in range(most):
            with torch.no_grad():
                ids.append(int(model.network(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == model.tokenizer.eos_token_id:
                break
        said = text_of(model.tokenizer, ids[len(record.asked.ids) :])
        assert line["text"] == said
        assert (line["exact"], line["f1"], line["rouge_l"]) == pytest.approx(answer_scores(said, record.answer))


def test_a_long_prompt_leaves_room_for_its_answer(model):
    records = drawn([PromptCompletion("rain and snow " * 14, "It rains. " * 4)], model)
    assert len(records[0].asked.ids) + len(records[0].asked.continuation) < 64
    (line,) = scores_of(model, records, context=32)
    assert line["text"]


def test_each_choice_has_the_nats_of_the_record_with_it_as_the_answer(model):
    records = drawn(QUIZ, model)
    assert len(records) == len(QUIZ)
    for line, record in zip(scores_of(model, records), records, strict=True):
        for nats, choice in zip(line["nats"], record.choices, strict=True):
            (whole,) = encode([PromptCompletion(record.prompt, choice)], model.tokenizer, 64)
            with torch.no_grad():
                log_p = torch.log_softmax(model.network(torch.tensor(whole.ids[None].astype(np.int64))).logits[0], -1)
            by_hand = -sum(float(log_p[i - 1, whole.ids[i]]) for i in np.flatnonzero(whole.trained))
            assert nats == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize(
    ("answer", "texts", "labels", "at"),
    [
        (2, "wxyz", (), 2),  # MMLU: a number from 0
        (2.0, "wxyz", (), 2),  # the same from a column with holes
        ("C", "wxyz", (), 2),  # RACE: a letter
        ("3", "wxyz", ("1", "2", "3", "4"), 2),  # ARC: a label
        (3, "wxyz", ("1", "2", "3", "4"), 2),
        ("3", "wxyz", (), 3),  # HellaSwag: a number as text
        ("7", ("7", "3"), (), 0),  # its own words
        ("C", ("A", "C", "D"), (), 2),  # a letter before the words
        ("E", "wxyz", (), None),
        (None, "wxyz", (), None),
        (-1, "wxyz", (), None),
    ],
)
def test_which_choice_an_answer_names(answer, texts, labels, at):
    assert chosen(answer, tuple(texts), labels) == at


def test_other_choices_are_another_corpus():
    one, other = PromptCompletion("Who?", "Me", choices=("Me", "you")), PromptCompletion("Who?", "Me", choices=("Me", "they"))
    assert canonical(one) != canonical(other)
    assert "choices" not in canonical(PromptCompletion("Who?", "Me"))


TUNED = {"selectors": ("uniform", "longest"), "budgets": (4, 8), "learning_rate": 1e-3, "epochs": 1, "batch": 4, "prompts": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module", params=["answers", "choices"])
def run(request, store, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    rows = [{"question": e.prompt, "answer": e.completion} for e in PAIRS]
    if request.param == "choices":
        rows = [{"question": e.prompt, "choices": list(e.choices), "answer": 1} for e in QUIZ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = make_model(folder / "model")
    more = {"store": store, "device": "cpu", "score_prompts": 5, **TUNED}
    return finetune(folder / "corpus.jsonl", str(model), out=folder / "run", **more).run


def test_a_run_keeps_the_scores_of_every_model_and_what_choosing_cost(run):
    assert len(run.scored) == 5
    assert {record["index"] for record in run.scored} <= set(run.held_out["index"])
    for name, model in run.models.items():
        scores = run.scores(name)
        assert set(scores) in ({"exact", "f1", "rouge_l"}, {"accuracy", "accuracy_total"})
        assert all(values.shape == (5,) and ((values >= 0) & (values <= 1)).all() for values in scores.values())
        assert (model.facts.get("choosing_seconds") is not None) == (model.selector in TUNED["selectors"])
        if model.selector != "base":
            assert model.facts["tokens_per_second"] is None or model.facts["tokens_per_second"] > 0


def test_choosing_from_the_store_has_the_seconds_of_the_first_time(run, store, tmp_path):
    more = {"store": store, "device": "cpu", "score_prompts": 0, **TUNED}
    again = finetune(run.source, str(run.folder.parent / "model"), out=tmp_path / "again", **more).run
    seconds = [{name: m.facts.get("choosing_seconds") for name, m in r.models.items()} for r in (run, again)]
    assert seconds[0] == seconds[1]
    assert again.scored == []
    assert again.scores("base") == {}


def test_an_old_run_has_no_scores(tmp_path):
    old = read_run(tuned_run(tmp_path / "old"))
    assert old.scored == []
    assert old.scores("base") == {}


@pytest.mark.parametrize("damage", ['{"text": "x", "exact": 2}\n' * 5, "{}\n" * 5, "", '{"nats": [1.0]}\n' * 5])
def test_damaged_scores_are_said_in_a_sentence(run, damage):
    path = run.folder / "cells" / "base" / "scores.jsonl"
    whole = path.read_text()
    try:
        path.write_text(damage)
        with pytest.raises(StoreError, match="damaged"):
            run.scores("base")
    finally:
        path.write_text(whole)
