"""`ReferenceJudge`, ours: a model tuned on the whole pool reads both texts; the better one is as surprising as real texts.

    s(text) = mean nats per token of the text after its prompt, under the reference model
    s*      = the mean of s over the corpus' own continuations of the same held-out prompts
    a wins where |s(a) - s*| < |s(b) - s*|

A text that is too surprising loses, and so does one that repeats itself and is hardly surprising at all.  Each text is read
alone, so position and flip rates say nothing about this judge.  It measures likeness to the corpus as one model sees it, not
fluency as people do; compare it with people's votes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch

from fishersft.errors import JudgeError
from fishersft.judge.base import FIRST, SECOND, TIE, Judge, Judgment, TextPair, digest
from fishersft.lm.folder import ModelFolder
from fishersft.lm.model import CausalLM, load_model


@dataclass(frozen=True)
class ReferenceJudge(Judge):
    """Judges by nearness to the surprise of the corpus' own continuations.

    Attributes:
        own: prompts and the corpus' own continuations of them.
        most_tokens: how many tokens of a text count, 0 for all; as many as the models could write, since early tokens surprise
            more than later ones and the corpus' own continuations may be longer.
    """

    folder: ModelFolder
    own: tuple[tuple[str, str], ...] = field(repr=False)
    device: str = "auto"
    most_tokens: int = 0

    name: ClassVar[str] = "reference"
    symmetric: ClassVar[bool] = True
    reads_words: ClassVar[bool] = False

    @property
    def label(self) -> str:
        return "reference model (ours)"

    @cached_property
    def identity(self) -> str:
        return f"{self.folder.fingerprint} {digest(*self.own)} {self.most_tokens}"

    @cached_property
    def model(self) -> CausalLM:
        return load_model(self.folder, device=self.device)

    @cached_property
    def target(self) -> float:
        """s*, nats per token."""
        found = [s for prompt, text in self.own if (s := self.surprise(prompt, text)) is not None]
        if not found:
            raise JudgeError("The run's prompts have no continuations of their own, so the reference judge has no measure.")
        return sum(found) / len(found)

    def read(self, shown: Sequence[TextPair]) -> Iterator[tuple[int, Judgment]]:
        target, seen = self.target, dict[tuple[str, str], float | None]()
        for number, one in enumerate(shown):
            nats = []
            for key in ((one.prompt, one.first), (one.prompt, one.second)):
                if key not in seen:
                    seen[key] = self.surprise(*key)
                nats.append(seen[key])
            first, second = (math.inf if s is None else abs(s - target) for s in nats)
            said = TIE if first == second else FIRST if first < second else SECOND
            yield number, Judgment(said, {"nats_first": nats[0], "nats_second": nats[1], "target": target})

    def surprise(self, prompt: str, text: str) -> float | None:
        """s(text) after its prompt, nats per token; None where it has no token.

        Beyond the model's context the prompt is cut at its beginning, then the text at its end.
        """
        before, body = self._ids(prompt), self._ids(text)[: self.most_tokens or None]
        if not body:
            return None
        bos = self.model.tokenizer.bos_token_id
        start = [] if bos is None else [int(bos)]
        room = self.model.context - len(start) if self.model.context else len(before) + len(body)
        body = body[: max(1, room - 1)]
        before = before[max(0, len(before) - (room - len(body))) :]
        ids = torch.tensor([[*start, *before, *body]], device=self.model.device)
        if ids.shape[1] == len(body):  # nothing to predict the first token from
            body = body[1:]
        if not body:
            return None
        with torch.inference_mode():
            logits = self.model.network(input_ids=ids, use_cache=False).logits[0, -len(body) - 1 : -1].double()
        targets = torch.tensor(body, device=logits.device)
        return float(torch.nn.functional.cross_entropy(logits, targets))

    def _ids(self, text: str) -> list[int]:
        clean = text.encode("utf-8", "replace").decode("utf-8")
        out = self.model.tokenizer(clean, add_special_tokens=False, split_special_tokens=True, verbose=False)
        return list(out["input_ids"])
