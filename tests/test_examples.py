"""Rows as examples: which turns of a pair are trained, one kind a corpus, threads from parents."""

import pandas as pd
import pytest

from fishersft import Chat, PromptCompletion
from fishersft.corpus import examples
from fishersft.corpus.examples import instruction_prompt
from fishersft.corpus.turns import RecordReader

USER, HELPER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


def made(make, *rows):
    return make(list(rows), RecordReader("t"))


def turns(chat):
    return [(m.role, m.content, m.trained) for m in chat.messages]


def test_an_instruction_has_our_plain_form_and_the_bare_question_for_templates():
    plain, with_input = made(
        examples.instructions,
        {"prompt": "Translate.", "completion": "Haus", "context": None},
        {"prompt": "Translate.", "completion": "Haus", "context": "house"},
    )
    assert plain == PromptCompletion(instruction_prompt("Translate."), "Haus", "Translate.")
    assert with_input == PromptCompletion(instruction_prompt("Translate.", "house"), "Haus", "Translate.\n\nhouse")


def test_a_pair_stands_as_it_is_and_its_context_below_the_question():
    assert made(examples.pairs, {"prompt": "q", "completion": 7}) == [PromptCompletion("q", "7")]
    assert made(examples.pairs, {"prompt": "q", "completion": "a", "context": "c"}) == [PromptCompletion("q\n\nc", "a")]


@pytest.mark.parametrize(
    ("prompt", "completion"), [([USER], [HELPER]), ([USER], "a"), ("q", [HELPER]), ('[{"role": "user", "content": "q"}]', "a")]
)
def test_turns_and_texts_may_be_mixed(prompt, completion):
    (chat,) = made(examples.pairs, {"prompt": prompt, "completion": completion})
    assert turns(chat) == [("user", "q", True), ("assistant", "a", True)]


def test_what_the_assistant_said_in_a_prompt_is_read_and_not_trained():
    (chat,) = made(examples.pairs, {"prompt": [USER, HELPER, USER], "completion": [HELPER]})
    assert [trained for role, _, trained in turns(chat) if role == "assistant"] == [False, True]


def test_one_record_with_more_than_a_pair_makes_all_of_them_chats():
    rows = [{"prompt": "q", "completion": "a", "system": None}, {"prompt": "r", "completion": "b", "system": "s"}]
    plain, more = made(examples.pairs, *rows)
    assert turns(plain) == [("user", "q", True), ("assistant", "a", True)]
    assert turns(more)[0] == ("system", "s", True)


def test_the_system_prompt_of_a_row_opens_a_chat_that_has_none():
    rows = [
        {"messages": [USER, HELPER], "system": "s"},
        {"messages": [{"role": "system", "content": "own"}, USER], "system": "s"},
    ]
    rows.append({"messages": [USER, HELPER], "system": {"parts": [{"text": "t"}]}})
    assert [chat.messages[0].content for chat in made(examples.chats, *rows)] == ["s", "own", "t"]


def test_a_history_comes_before_the_question():
    (chat,) = made(examples.instructions, {"prompt": "q2", "completion": "a2", "history": [["q1", "a1"]]})
    assert [content for _, content, _ in turns(chat)] == ["q1", "a1", "q2", "a2"]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"prompt": "q ", "chosen": "q a", "rejected": "q b"},
        {"chosen": "q a", "rejected": "q b"},
    ],
    ids=["prompt", "prompt twice", "in common"],
)
def test_the_chosen_text_is_trained_behind_the_prompt(row):
    (example,) = made(examples.preferences, row)
    assert isinstance(example, PromptCompletion)
    assert example.completion.endswith("a")
    assert "b" not in example.prompt + example.completion


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": [USER, HELPER], "rejected": [USER, {**HELPER, "content": "b"}]},
        {"prompt": "q", "chosen": [USER, HELPER], "rejected": [USER, {**HELPER, "content": "b"}]},
        {"prompt": [USER], "chosen": [HELPER], "rejected": [{**HELPER, "content": "b"}]},
        {"prompt": "q", "chosen": [HELPER], "rejected": [{**HELPER, "content": "b"}]},
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
        {"prompt": "\n\nHuman: q\n\nAssistant:", "chosen": " a", "rejected": " b"},
    ],
    ids=["whole chats", "chats with their prompt", "turns", "one turn", "transcripts", "rest of a transcript"],
)
def test_the_chosen_turns_are_trained(row):
    assert [turns(chat) for chat in made(examples.preferences, row)] == [[("user", "q", True), ("assistant", "a", True)]]


def test_of_a_chosen_chat_only_the_last_answer_is_trained():
    (chat,) = made(examples.preferences, {"chosen": [USER, HELPER, USER, HELPER], "rejected": [USER, HELPER, USER]})
    assert [trained for role, _, trained in turns(chat) if role == "assistant"] == [False, True]


def test_threads_go_from_the_root_to_each_last_answer():
    rows = [
        ("1", None, "prompter"),
        ("2", "1", "assistant"),
        ("3", "1", "assistant"),
        ("4", "2", "prompter"),
        ("5", "4", "assistant"),
        ("6", "3", "prompter"),  # nobody answered this one
        ("7", None, "prompter"),  # nor that
        ("8", "gone", "assistant"),  # its parent is in another file
    ]
    table = pd.DataFrame(rows, columns=["message_id", "parent_id", "role"], dtype=object)
    table["text"] = table["message_id"]
    columns = {"id": "message_id", "parent": "parent_id", "role": "role", "text": "text"}
    paths = [[turn["content"] for turn in thread] for thread in examples.threads(table, columns)["messages"]]
    assert paths == [["1", "3"], ["1", "2", "4", "5"], ["7"], ["8"]]
    table["parent_id"] = ["2", "1", "3", "5", "4", "6", "7", "8"]  # circles end
    assert isinstance(examples.threads(table, columns), pd.DataFrame)


def test_every_instance_of_an_instruction_is_a_record_with_its_own_fields():
    table = pd.DataFrame(
        {"instruction": ["i", "j"], "instances": [[{"input": "x", "output": "1"}, {"output": "2"}], []], "id": [7, 8]}
    )
    out = examples.explode(table, {"instances": "instances"})
    assert out["id"].tolist() == [7, 7, 8]
    rows = [{"prompt": p, "instances": i} for p, i in zip(out["instruction"], out["instances"], strict=True)]
    found = made(examples.instances, *rows)
    assert [(e.asked, e.completion) for e in found] == [("i\n\nx", "1"), ("i", "2"), ("j", "")]


def test_a_missing_conversation_is_a_chat_without_messages():
    assert made(examples.chats, {"messages": None}) == [Chat(())]
