"""Replies of judges: the verdict is read where it stands; a digit that happens to be there decides nothing."""

import json
import time

import pytest

from fishersft.judge.replies import verdict_in

from .conftest import ROOT

CASES = [json.loads(line) for line in (ROOT / "tests/cases/judge_replies.jsonl").read_text(encoding="utf-8").splitlines()]
FIRST, SECOND = "first", "second"
ENDLESS = (
    "text 1 is better ",
    "1. ",
    "answer is ",
    "\\boxed{",
    "a:",
    ": ",
    "i'd go with ",
    "so the it is ",
    "{",
    " ",
    "tag 1 ",
    "<think>",
)
MORE = [
    ("It scans: 1", FIRST),
    ("Mistakes in the first text: 2", None),
    ("1", FIRST),
    ("1.", FIRST),
    (" 2\n", SECOND),
    ("(1)", FIRST),
    ("[2]", SECOND),
    ("'1'", FIRST),
    ('"2"', SECOND),
    ("Answer: 1", FIRST),
    ("The answer is 2.", SECOND),
    ("My answer is text 1.", FIRST),
    ("Final answer: 2\n\nText 1 was stiff.", SECOND),
    ("I prefer text 1 because text 2 rambles.", FIRST),
    ("I would choose the second text.", SECOND),
    ("I'd pick text 2; text 1 has 3 errors.", SECOND),
    ('{"verdict": "1"}', FIRST),
    ('{"winner": "text 2", "reason": "text 1 repeats"}', SECOND),
    ('```json\n{"answer": "1"}\n```', FIRST),
    ('{"answer": null}', None),
    ('{"answer": 3}', None),
    ("<think>1 is good. So 1.</think>\n\n2", SECOND),
    ("<think>I think 1", None),
    ("Text 1 has 2 mistakes.", None),
    ("Both are fine.", None),
    ("It's a tie.", None),
    ("1 and 2 are equal", None),
    ("1 or 2", None),
    ("Text 2 is better than text 1.", SECOND),
    ("Text 1 is clearly more fluent than Text 2.", FIRST),
    ("The second one is less fluent.", FIRST),
    ("Text 1 is not better than text 2.", SECOND),
    ("Neither text 1 nor text 2 is better.", None),
    ("Therefore, I respond 1.", FIRST),
    ("Thus the answer is 2", SECOND),
    ("After comparing text 1 and text 2, my verdict: 2", SECOND),
    ("Verdict: 1\nVerdict: 2", None),
    ("First verdict: 1. Final verdict: 2.", SECOND),
    ("1: it flows; 2 does not", FIRST),
    ("2, because 1 stops mid-sentence", SECOND),
    ("1\n2", None),
    ("1. Text one flows.\n2. Text two does not.\n\n1", FIRST),
    ("1. Text one flows.\n2. Text two does not.", None),
    ("10", None),
    ("12", None),
    ("1.5", None),
    ("1-2", None),
    ("In 1999, version 2.1 scored 10/12 on page 1-2", None),
    ("I'd rate it 2/10", None),
    ("Text 1: 7/10\nText 2: 8/10", None),
    ("As an AI language model, I cannot judge text 1.", None),
    ("Respond: 2", SECOND),
    ("**Answer:** 1", FIRST),
    ("Answer\n2", SECOND),
    ("### 2", SECOND),
    ("Option 2: it reads on", SECOND),
    ("Passage 1", FIRST),
    ("The first one.", FIRST),
    ("the second", SECOND),
    ("Réponse : 2", SECOND),
    ("Antwort: 1", FIRST),
    ("Respuesta: 2", SECOND),
    ("答え：1", FIRST),
    ("Ответ: 2", SECOND),
    ("２", SECOND),
    ("①", FIRST),
    ("The better text is 2.", SECOND),
    ("The more fluent text is text 1.", FIRST),
    ("Winner: Text 2", SECOND),
    ("I choose 1<|eot_id|>", FIRST),
    ("\\boxed{1}", FIRST),
    ("$\\boxed{2}$", SECOND),
    ("The text inside tag 2 is more fluent.", SECOND),
    ("Choice: 2 (not 1)", SECOND),
    ("Tag 1 it is.", FIRST),
    ("Text 1 wins.", FIRST),
    ("2 is the better one.", SECOND),
    ("The verdict is: tag2", SECOND),
    ("No", None),
    ("Yes", None),
    ("Answer: Text 1 is better than text 2", FIRST),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["reply"][:40])
def test_a_reply_that_was_met_is_read_right(case):
    assert verdict_in(case["reply"]) == case["right"]


@pytest.mark.parametrize(("reply", "right"), MORE, ids=lambda value: str(value)[:40])
def test_a_reply_is_read_as_a_person_reads_it(reply, right):
    assert verdict_in(reply) == right


@pytest.mark.parametrize("best", [1, 2])
def test_one_verdict_in_five_forms_is_one_verdict(best):
    other = 3 - best
    forms = (
        f"{best}",
        f"{best}\n\nThe text inside tag {other} repeats itself, so it is less fluent.",
        f"{best}. It reads on smoothly; text {other} breaks off in the middle.",
        f"Text {other} breaks off in the middle.\n\nAnswer: {best}.",
        f"{best}\n\nReasons:\n1. It flows.\n2. It has no slips.",
    )
    assert {verdict_in(form) for form in forms} == {FIRST if best == 1 else SECOND}


LONG = ["1" * 100_000, "1 " * 50_000, "so " * 50_000, "text " * 50_000 + "1", "{" * 50_000, "answer " * 50_000]


@pytest.mark.parametrize("reply", LONG, ids=lambda text: text[:6])
@pytest.mark.timeout(10)
def test_a_long_reply_is_read_quickly(reply):
    verdict_in(reply)


@pytest.mark.parametrize("piece", ENDLESS)
def test_a_reply_without_end_is_read_in_a_moment(piece):
    started = time.process_time()
    verdict_in(piece * 100_000)
    verdict_in(piece * 100_000, ("KIVO", "RANU"))
    assert time.process_time() - started < 4


def test_a_long_reply_is_read_at_its_beginning_and_its_end():
    reason = "It flows well and has a rhythm of its own. " * 2_000
    assert verdict_in(f"{reason}\n\nAnswer: 2") == SECOND
    assert verdict_in(f"<think>{reason} text 1 is better</think>\n2") == SECOND
