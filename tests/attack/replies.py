"""Hostile replies of judges: texts in which a verdict is looked for, and whatever else a server may send."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tests.attack.files import ODD, value

PIECES = (
    *(
        "1",
        "2",
        "Text 1",
        "Text 2",
        "Answer: 1",
        "final answer 2",
        "KIVO",
        "RANU",
        "I prefer text 1",
        "because",
        "is better than",
    ),
    *(
        "not",
        "neither",
        "<think>",
        "</think>",
        '{"better": "KIVO"}',
        '{"answer": "1"}',
        "```json",
        "```",
        "\\boxed{2}",
        "1/2",
        "10",
    ),
    *("text 1 is better ", "text 2 is not much much worse, ", "i'd go with ", "so the it is ", "a:"),
    *("<tag1>", "</tag2>", "\n", "\n\n", ". ", ": ", "=", "The second one", "回答：1", "¹", "２", "so therefore thus ", "1."),
)


def reply(rng: random.Random) -> str:
    """A reply made of pieces, some of it repeated without end."""
    kind = rng.random()
    if kind < 0.1:
        return rng.choice(PIECES) * rng.choice([1_000, 30_000])
    if kind < 0.15:
        return rng.choice(["[", "{", '{"better": ', "<think>", "(", "\\boxed{", "I'd "]) * rng.choice([500, 50_000])
    if kind < 0.2:
        return json.dumps(value(rng))
    if kind < 0.25:
        return "".join(chr(rng.choice([rng.randrange(0x20, 0x7F), rng.randrange(0xD7FF), 0x202E])) for _ in range(200))
    return rng.choice([" ", "", "\n"]).join(rng.choices([*PIECES, *ODD], k=rng.randrange(12)))


def _message(rng: random.Random) -> Any:
    """What a server sends: a message, an error, a body that is none of the protocol, or a cut line."""
    from tests.scripted_chat import fails

    kind = rng.random()
    if kind < 0.5:
        return {"content": reply(rng).encode("utf-8", "replace").decode()}
    if kind < 0.6:
        return {"content": value(rng), "refusal": value(rng), "reasoning_content": value(rng)}
    if kind < 0.7:
        top = [{"token": value(rng), "logprob": rng.choice([0.0, -1e308, 5, None, "x"]), "top_logprobs": value(rng)}]
        return {"content": "KIVO", "logprobs": rng.choice([{"content": top}, value(rng)]), "usage": value(rng)}
    if kind < 0.8:
        return fails(rng.choice([400, 401, 403, 404, 418, 422, 429, 500]), str(value(rng)))
    if kind < 0.85:
        return None
    body = rng.choice(
        [b"", b"null", b"[]", b"{}", b"[" * 100_000, b"\xff\xfe", b"<html>", b"x" * 3_000_000, json.dumps(value(rng)).encode()]
    )
    if rng.random() < 0.5:
        choices = rng.choice([[], None, [None], [{}], [{"message": value(rng)}], value(rng)])
        body = json.dumps({"id": value(rng), "choices": choices, "usage": value(rng), "model": value(rng)}).encode()
    return rng.choice([200, 200, 200, 302]), body


def judge_reply(rng: random.Random, folder: Path) -> None:
    """A reply is read alone; one in four also comes from a real server on this machine."""
    from fishersft.judge.base import FIRST, SECOND
    from fishersft.judge.replies import verdict_in

    text = reply(rng)
    assert verdict_in(text) in (FIRST, SECOND, None)
    assert verdict_in(text, ("KIVO", "RANU")) in (FIRST, SECOND, None)
    if rng.random() < 0.25:
        said = _message(rng)
        ask((302, {"to": "http://127.0.0.1:9/"}) if isinstance(said, tuple) and said[0] == 302 else said)


def ask(said: Any) -> None:
    """Put one question to a server that answers so."""
    from fishersft.judge.base import TextPair
    from fishersft.judge.judges import LLMJudge
    from tests.scripted_chat import ScriptedChat

    server = ScriptedChat(lambda request, count: said)
    try:
        judge = LLMJudge.at(server.base_url, "scripted", "story", retries=0, seconds=5.0)
        for _, verdict in judge.compare_all([TextPair("A storm", " came.", " went.")]):
            json.dumps([one.said for one in verdict.judgments])
    finally:
        server.close()
