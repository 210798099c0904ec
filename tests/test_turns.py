"""Conversations in every form that public files hold, as messages with one name a role."""

import json

import numpy as np
import pytest

from fishersft import Message
from fishersft.corpus.records import is_missing
from fishersft.corpus.turns import RecordReader, answer, any_turns, form_of, messages, string, tools, transcript
from fishersft.errors import CorpusError

SAID = [("user", "hi"), ("assistant", "ho")]


def read(value, reader=None):
    return messages(any_turns(value), reader or RecordReader("t"))


@pytest.mark.parametrize(
    "value",
    [
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
        [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}],
        [{"from": "human", "value": "hi", "role": None}, {"from": "gpt", "value": "ho", "role": None}],
        [{"role": "Prompter", "text": "hi"}, {"role": " Assistant ", "text": "ho"}],
        ["hi", "ho"],
        [["hi", "ho"]],
        [{"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"text": "ho"}]}],
        [{"human": "hi", "assistant": "ho"}],
        [{"instruction": "hi", "output": "ho"}],
        "Human: hi\n\nAssistant: ho",
        "\n\n### Human: hi\n### Assistant: ho<|endoftext|>\n",
        json.dumps([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]),
        str([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]),
        np.array([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}], dtype=object),
    ],
    ids=lambda v: f"{type(v).__name__} {str(v)[:24]}",
)
def test_one_conversation_in_every_form(value):
    assert [(m.role, m.content) for m in read(value)] == SAID


@pytest.mark.parametrize(
    "value", [3, "some words", "He said: Assistant: no", ["one", {"role": "user"}, 3], [{"content": "x"}], {"role": "user"}]
)
def test_what_is_no_conversation_is_not_taken_for_one(value):
    assert any_turns(value) is None


@pytest.mark.parametrize(
    ("names", "role"),
    [
        (("user", "human", "Human", "prompter"), "user"),
        (("assistant", "gpt", "GPT", "model", "bot", "chatbot"), "assistant"),
        (("system", "developer"), "system"),
        (("tool", "function", "observation", "ipython"), "tool"),
    ],
)
def test_roles_get_one_name(names, role):
    reader = RecordReader("t")
    assert {m.role for m in read([{"role": name, "content": "x"} for name in names], reader)} == {role}
    assert not reader.notes


def test_a_role_that_nobody_knows_stays_and_is_counted_once_a_record():
    reader = RecordReader("t")
    for reader.record in (0, 1):
        said = read([{"role": "critic", "content": "a"}, {"role": "critic", "content": "b"}], reader)
    assert [m.role for m in said] == ["critic", "critic"]
    assert reader.notes == ("unknown role 'critic' in 2 records",)


def test_parts_are_joined_and_those_that_are_not_text_are_counted():
    reader = RecordReader("t")
    parts = [
        {"type": "text", "text": "a "},
        {"type": "input_text", "input_text": "b "},
        {"type": "text", "text": {"value": "c "}},
        {"type": "text", "value": "d "},
        "e",
        {"type": "image_url", "image_url": {"url": "x"}},
    ]
    assert read([{"role": "user", "content": parts}], reader)[0].content == "a b c d e"
    assert reader.notes == ("a part that is not text (image_url) left out in 1 record",)


CALL = {"type": "function", "function": {"name": "tide", "arguments": {"day": 3}}}


@pytest.mark.parametrize(
    "turn",
    [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": "tide", "arguments": '{"day": 3}'}, "type": "function"}],
        },
        {"role": "assistant", "content": "", "tool_calls": json.dumps([{"name": "tide", "arguments": {"day": 3}}])},
        {"role": "assistant", "content": "", "function_call": {"name": "tide", "arguments": '{"day": 3}'}},
        {"from": "function_call", "value": '{"name": "tide", "arguments": {"day": 3}}'},
        {"role": "tool_call", "content": '[{"name": "tide", "arguments": {"day": 3}}]'},
    ],
)
def test_calls_of_tools_have_one_form(turn):
    assert read([turn]) == (Message("assistant", "", tool_calls=(CALL,)),)


def test_results_reasoning_and_weights_are_kept():
    turns = [
        {"role": "tool", "tool_call_id": "c1", "name": "tide", "content": {"high": "06:12"}},
        {"role": "assistant", "content": "Six.", "reasoning_content": "06:12 is six.", "weight": 0},
        {"role": "user", "content": "Thanks.", "weight": 0},
        {"from": "gpt", "value": "Bye.", "loss": False, "weight": None},
        {"from": "gpt", "value": "Bye!", "loss": True, "train": None},
    ]
    assert read(turns) == (
        Message("tool", '{"high": "06:12"}', name="tide", call_id="c1"),
        Message("assistant", "Six.", reasoning="06:12 is six.", trained=False),
        Message("user", "Thanks."),
        Message("assistant", "Bye.", trained=False),
        Message("assistant", "Bye!"),
    )


def test_schemas_of_tools_are_read_as_objects_or_text_and_wrapped():
    reader, bare = RecordReader("t"), {"name": "tide", "parameters": {"type": "object"}}
    whole = {"type": "function", "function": bare}
    for value in (bare, [bare], json.dumps([bare]), [whole], [json.dumps(whole)], np.array([whole], dtype=object)):
        assert tools(value, reader) == (whole,)
    assert tools(None, reader) == tools("[]", reader) == ()
    assert not reader.notes
    assert tools("none of them", reader) == ()
    assert "not JSON objects" in reader.notes[0]


def test_cells_as_texts():
    reader = RecordReader("t")
    assert [string(v, reader) for v in (None, float("nan"), 3, 1.5, b"caf\xc3\xa9", "x", [])] == [
        "",
        "",
        "3",
        "1.5",
        "café",
        "x",
        "",
    ]
    with pytest.raises(CorpusError, match="record 0: the value is a dict"):
        string({"a": 1}, reader)
    with pytest.raises(CorpusError, match="byte 1 of the text is not UTF-8"):
        string(b"x\xff", reader)
    assert [is_missing(v) for v in (None, float("nan"), " ", [], {}, 0, False, "x")] == [True] * 5 + [False] * 3


def test_of_several_answers_the_first_is_trained_and_that_is_said():
    reader = RecordReader("t")
    assert answer({"text": ["a"], "answer_start": [0]}, reader) == "a"
    assert answer({"text": [], "answer_start": []}, reader) == ""
    assert answer({"value": "a", "aliases": ["b"]}, reader) == "a"
    assert not reader.notes
    assert answer(["a", "b"], reader) == "a"
    assert "several answers" in reader.notes[0]


def test_a_transcript_begins_with_a_speaker_and_somebody_answers():
    assert transcript("Human: hi") is None
    assert transcript("Note. Human: hi\nAssistant: ho") is None
    long = "System: Be kind.\n\nUser: a\nb: c\n\nAssistant: d\nFUNCTION RESPONSE: {}\nassistant: e"
    assert [(m.role, m.content) for m in read(long)] == [
        ("system", "Be kind."),
        ("user", "a\nb: c"),
        ("assistant", "d"),
        ("tool", "{}"),
        ("assistant", "e"),
    ]


def test_the_forms_have_names():
    assert form_of([{"from": "human", "value": "hi"}]) == "ShareGPT chats"
    assert form_of([{"role": "user", "content": "hi"}]) == "chats"
    assert form_of(["hi", "ho"]) == "chats of alternating texts"
    assert form_of("Human: hi") == "transcripts"
