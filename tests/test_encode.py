"""The encoding contract, on the real tokenizers."""

import copy
import json

import numpy as np
import pytest

from fishersft import Chat, Message, PromptCompletion, Text, load_corpus
from fishersft.corpus.encode import encode, token_texts, untrained_words, why_untrained
from fishersft.corpus.records import canonical
from fishersft.lm.folder import find_model
from fishersft.lm.model import load_tokenizer
from tests.conftest import command_line


@pytest.fixture
def mini():
    return load_tokenizer(find_model("mini"))


def test_plain_text_is_bos_ids_eos_and_all_but_bos_is_trained(mini):
    (e,) = encode([Text("Hello there")], mini)
    body = mini("Hello there", add_special_tokens=False)["input_ids"]
    assert e.ids.tolist() == [0, *body, 0]
    assert e.trained.tolist() == [False] + [True] * (len(body) + 1)
    assert e.rows.tolist() == list(range(len(body) + 1))
    assert e.labels.tolist() == [-100, *body, 0]


def test_only_the_completion_and_eos_are_trained(mini):
    (e,) = encode([PromptCompletion("Question: why? ", "Because.")], mini)
    p = len(mini("Question: why? ", add_special_tokens=False)["input_ids"])
    c = len(mini("Because.", add_special_tokens=False)["input_ids"])
    assert e.trained.tolist() == [False] * (1 + p) + [True] * (c + 1)
    assert e.rows.tolist() == list(range(p, p + c + 1))


def test_only_assistant_turns_are_trained_in_the_plain_form(mini):
    chat = Chat((Message("user", "Hi"), Message("assistant", "Ho"), Message("user", "Again"), Message("assistant", "Hey")))
    (e,) = encode([chat], mini)
    trained = mini.decode(e.ids[e.trained])
    assert trained == "Ho<|endoftext|>Hey<|endoftext|>"
    assert "User: Hi" in mini.decode(e.ids)


def test_a_chat_template_is_followed_and_its_assistant_turns_are_trained(mini):
    tokenizer = copy.copy(mini)
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }} ;\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
    (e,) = encode([Chat((Message("user", "Hi"), Message("assistant", "Ho")))], tokenizer)
    assert mini.decode(e.ids) == "[user] Hi ;\n[assistant] Ho ;\n"
    assert mini.decode(e.ids[e.trained]) == " Ho ;"  # the space before it is part of its first token


def test_a_tokenizer_without_special_tokens_gets_none(shared):
    tokenizer = load_tokenizer(find_model(shared / "models/slm4096-gpt2"))
    (e,) = encode([Text("hello")], tokenizer)
    assert e.ids.tolist() == tokenizer("hello", add_special_tokens=False)["input_ids"]
    assert not e.trained[0]  # nothing comes before it
    assert e.trained[1:].all()


@pytest.mark.parametrize("text", ["a <|endoftext|> b", "a </s> b", "<s><s>"])
@pytest.mark.parametrize("model", ["mini", "stories260K"])
def test_no_text_can_forge_a_special_token(shared, model, text):
    tokenizer = load_tokenizer(find_model("mini" if model == "mini" else shared / "models" / model))
    (e,) = encode([Text(text)], tokenizer)
    special = [i for i in e.ids.tolist() if i in tokenizer.all_special_ids and i != tokenizer.unk_token_id]
    assert special == [tokenizer.bos_token_id, tokenizer.eos_token_id]


@pytest.mark.parametrize("example", [Text("  \n"), PromptCompletion("why?", " "), Chat((Message("user", "alone"),)), Chat(())])
def test_blank_examples_train_nothing(mini, example):
    assert len(encode([example], mini)[0].rows) == 0


def test_truncation_keeps_the_beginning_and_is_counted(mini):
    (e,) = encode([Text("word " * 100)], mini, max_tokens=10)
    assert (len(e.ids), e.truncated, len(e.rows)) == (10, True, 9)


def test_token_texts_join_to_the_whole_text_even_inside_characters(mini):
    text = "naïve 你好 – done\n"
    ids = mini(text, add_special_tokens=False)["input_ids"]
    pieces = token_texts(mini, ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == text


def test_a_lone_surrogate_does_not_stop_the_batch(mini):
    good, bad = encode([Text("fine"), Text("half \ud800 pair")], mini)
    assert len(good.rows) and len(bad.rows)
    assert good.ids.dtype == np.int32


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (Text("\u200b\ufeff \u2060"), "blank"),
        (PromptCompletion("why?", "\u200b"), "blank"),
        (PromptCompletion("word " * 50, "Because."), "cut off before the answer"),
        (Chat((Message("user", "alone"),)), "no assistant turn"),
        (Chat((Message("user", "a"), Message("narrator", "b"))), "unknown role 'narrator'"),
        (Chat((Message("user", "a"), Message("assistant", "b", trained=False))), "answers of weight 0"),
        (Chat((Message("user", "a"), Message("assistant", " "))), "blank"),
        (Chat((Message("user", "word " * 50), Message("assistant", "b"))), "cut off before the answer"),
    ],
)
def test_a_record_without_a_trained_token_says_why(mini, example, reason):
    (e,) = encode([example], mini, max_tokens=20)
    assert (len(e.rows), e.untrained) == (0, reason)


def test_reasons_are_counted_and_name_their_records(mini):
    encoded = encode([Text("fine"), *[Text("")] * 7], mini)
    assert why_untrained(encoded) == {"blank": {"records": 7, "first": [1, 2, 3, 4, 5]}}
    assert untrained_words(why_untrained(encoded)) == "7 blank (records 1, 2, 3, 4, 5 and 2 more)"
    assert untrained_words(why_untrained(encoded[:2], index=[30, 41])) == "1 blank (record 41)"
    assert untrained_words(why_untrained(encoded[:1])) == ""


def test_a_record_that_the_template_refuses_is_left_out_with_the_template_s_words(mini):
    tokenizer = copy.copy(mini)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
        "[{{ m.role }}] {{ m.content }} ;\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    turns = Message("user", "Hi"), Message("assistant", "Ho")
    refused, read = encode([Chat((Message("system", "Be brief."), *turns)), Chat(turns)], tokenizer)
    assert refused.untrained == "refused by the chat template: no system here"
    assert (len(refused.ids), len(refused.rows), read.untrained) == (0, 0, "")


def test_a_chat_of_words_alone_keeps_its_line_and_what_it_has_more_changes_it():
    said = Chat((Message("user", "Hi"), Message("assistant", "Ho")))
    assert canonical(said) == '{"messages": [["user", "Hi"], ["assistant", "Ho"]]}'
    call = {"type": "function", "function": {"name": "rain", "arguments": {"at": "Oslo"}}}
    more = [
        Message("assistant", "Ho", reasoning="Hm."),
        Message("assistant", "Ho", tool_calls=(call,)),
        Message("assistant", "Ho", trained=False),
    ]
    others = [Chat((Message("user", "Hi"), m)) for m in more] + [Chat(said.messages, tools=(call,))]
    assert len({canonical(c) for c in [said, *others]}) == 5
    assert canonical(PromptCompletion("p", "c", asked="q")) == canonical(PromptCompletion("p", "c"))


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def with_template(tokenizer, template):
    tokenizer = copy.copy(tokenizer)
    tokenizer.chat_template = template
    return tokenizer


def test_a_model_with_a_chat_template_reads_prompts_as_questions_of_a_user(mini):
    tokenizer = with_template(mini, CHATML)
    asked = PromptCompletion("### Instruction:\nWhy?\n\n### Response:\n", "Because.", asked="Why?")
    (e,) = encode([asked], tokenizer)
    assert mini.decode(e.ids) == "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nBecause.<|im_end|>\n"
    assert mini.decode(e.ids[e.trained]) == "Because.<|im_end|>"
    (same,) = encode([Chat((Message("user", "Why?"), Message("assistant", "Because.")))], tokenizer)
    assert same.ids.tolist() == e.ids.tolist()
    (bare,) = encode([PromptCompletion("Why?", "Because.")], tokenizer)
    assert bare.ids.tolist() == e.ids.tolist()


def test_no_chat_and_models_without_a_template_keep_the_plain_form(mini, tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text('{"instruction": "Why?", "output": "Because."}\n')
    asked, plain = (load_corpus(path, holdout=0, no_chat=no_chat) for no_chat in (False, True))
    (by_mini,) = encode(asked.examples, mini)
    (by_template,) = encode(asked.examples, with_template(mini, CHATML))
    (plainly,) = encode(plain.examples, with_template(mini, CHATML))
    assert plainly.ids.tolist() == by_mini.ids.tolist()
    assert plainly.ids.tolist() != by_template.ids.tolist()
    assert plain.fingerprint != asked.fingerprint  # they train other tokens
    assert ("no_chat", "") in plain.options


def test_the_command_line_says_what_writes_the_records_and_what_is_left_out(mini, tmp_path):
    model = tmp_path / "model"
    with_template(mini, CHATML).save_pretrained(model)
    for file in ("config.json", "model.safetensors"):
        (model / file).symlink_to(find_model("mini").path / file)
    path = tmp_path / "c.jsonl"
    rows = [
        {"instruction": "Why?", "output": "Because."},
        {"instruction": "So?", "output": ""},
        {"instruction": "Who?", "output": "I."},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = command_line("embed", path, "--model", model, "--holdout", "0")
    assert f"Records are written by the chat template of {model}; --no-chat writes them in our plain form." in told.stdout
    assert "Left out, since no token of theirs is trained: 1 blank (record 1)." in told.stdout
    chosen = command_line(
        "select", path, "--model", model, "--holdout", "0", "--budget", 2, "--out", tmp_path / "p.jsonl", "--json"
    )
    facts = json.loads(chosen.stdout)
    assert (facts["written_by"], facts["untrained"]) == ("chat template", {"blank": {"records": 1, "first": [1]}})
    assert "chat template" in chosen.stderr
    plain = command_line("embed", path, "--model", model, "--holdout", "0", "--no-chat")
    assert "chat template" not in plain.stdout
    chats = tmp_path / "chats.jsonl"
    call = {"type": "function", "function": {"name": "rain", "arguments": {}}}
    turns = [{"role": "user", "content": "Rain?"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    chats.write_text(
        "".join(json.dumps({"messages": m}) + "\n" for m in (turns, [turns[0], {"role": "assistant", "content": "No."}]))
    )
    told = command_line("embed", chats, "--holdout", "0")
    assert "so that mini does not read it: tool calls (1 record)" in told.stdout
    assert "1 the model is not shown what the answer is made of: tool calls (record 0)" in told.stdout


def test_a_text_of_one_token_with_nothing_before_it_trains_nothing_and_says_so(shared):
    tokenizer = load_tokenizer(find_model(shared / "models/slm4096-gpt2"))
    (e,) = encode([Text("a")], tokenizer)
    assert (len(e.ids), len(e.rows), e.untrained) == (1, 0, "a single token, which nothing comes before")
