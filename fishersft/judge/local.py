"""`LocalJudge`: a local instruction-tuned model asked with the paper's prompt, by the probability of "1" against "2".

    first is better where P("1") > 1/2 at the first answer token, second where it is below

The prompt is the LLM judge's, and so is its fence; the nonce is the digest of both texts, so that a text would have to hold its
own digest to forge it, and the same question always gives the same answer.  Each order is read alone, in no batch, so a judging
that was stopped ends with the same numbers.  Knows no run and no store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from fishersft.judge.base import FIRST, SECOND, TIE, Judge, Reading, Shown
from fishersft.judge.llm import MOST_CHARACTERS, question
from fishersft.lm.ask import quoted
from fishersft.lm.first_word import FirstWord
from fishersft.lm.folder import ModelFolder

VERSION = 1  # of how the question is put together


class OneOrTwo(FirstWord):
    """Says 1 or 2."""

    choices: ClassVar[tuple[str, str]] = ("1", "2")


@dataclass(frozen=True)
class LocalJudge(Judge):
    """Asks a model's files which of two texts is more fluent.

    Attributes:
        domain: what it is a judge of, such as "Shakespeare".
        device: as `load_model` takes it.
    """

    folder: ModelFolder
    domain: str
    device: str = "auto"

    name: ClassVar[str] = "local"

    @property
    def label(self) -> str:
        return self.folder.name

    @cached_property
    def identity(self) -> str:
        return f"{VERSION} {self.folder.fingerprint} {self.domain}"

    @cached_property
    def asker(self) -> OneOrTwo:
        return OneOrTwo(self.folder, self.device)

    def read(self, shown: Sequence[Shown]) -> Iterator[tuple[int, Reading]]:
        for number, one in enumerate(shown):
            yield number, self._reading(one)

    def _reading(self, shown: Shown) -> Reading:
        texts = [shown.prompt + text for text in (shown.first, shown.second)]
        nonce = hashlib.sha256(json.dumps(texts, ensure_ascii=True).encode()).hexdigest()[:8]
        frame = self.asker.framed(*question_parts(self.domain, nonce))
        room = self.asker.room_beside(frame)
        first, second = (self.asker._ids(quoted(text, MOST_CHARACTERS), as_letters=True) for text in texts)
        ids = frame[0] + first[:room] + frame[1] + second[:room] + frame[2]
        ((p, mass),) = self.asker._probabilities([ids])
        cut = max(map(len, texts)) > MOST_CHARACTERS or (room is not None and max(len(first), len(second)) > room)
        said = TIE if p == 0.5 else FIRST if p > 0.5 else SECOND
        return Reading(said, {"p_first": p, "mass": mass, **({"cut": True} if cut else {})})


def question_parts(domain: str, nonce: str) -> tuple[str, str, str]:
    """The LLM judge's question around the places of its two texts."""
    gap = "\0"
    first, second, third = question(Shown("", gap, gap), domain, nonce).split(gap)
    return first, second, third
