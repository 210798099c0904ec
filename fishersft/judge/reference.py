"""`ReferenceJudge`: the better text is more the corpus' than language in general, fits its prompt, and is not too surprising.

    s(t | p)      nats per token of a text t after its prompt p: s0 under the untuned model, s1 tuned on the whole pool
    typical(t)    s0(t | p) - s1(t | p), the likelihood ratio of the two models: how much more the corpus' a text is
    fitting(t)    s1(t) - s1(t | p): how much the prompt helps to predict it
    score(t)      min(typical, q75) + min(fitting, q75) - max(0, s1(t | p) - q97.5)          nats per token; the higher one wins

Each q is a quantile of the corpus' own continuations of the same held-out prompts: a text gains nothing from being more typical
than they are, and loses what it surprises more than nearly all of them.  Source: the ratio is Neyman and Pearson's test (Moore
and Lewis 2010 select data by it); the rest is ours, chosen among variants by pairs with a known answer on half of the demo's
prompts and confirmed on the other half (`tests/bench/reference_rules.py`).  It measures likeness to the corpus as two models see
it, not fluency as people do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch

from fishersft.corpus.encode import tokenized
from fishersft.errors import JudgeError
from fishersft.judge.base import FIRST, SECOND, TIE, Judge, Judgment, TextPair, digest
from fishersft.lm.folder import ModelFolder
from fishersft.lm.model import CausalLM, load_model
from fishersft.text import encodable

VERSION = 2  # of the rule; 1 was nearness to the corpus' mean surprise
ENOUGH, SURPRISING = 0.75, 0.975  # quantiles of the corpus' own continuations
DIGITS = 3  # of the nats that are stored beside a judgment


@dataclass(frozen=True)
class Measured:
    """A text as the two models read it, in nats per token."""

    typical: float
    fitting: float
    surprise: float


@dataclass(frozen=True)
class Limits:
    """The quantiles of the corpus' own continuations that a score is cut at."""

    typical: float
    fitting: float
    surprise: float

    @classmethod
    def of(cls, own: Sequence[Measured]) -> Limits:
        quantiles = {"typical": ENOUGH, "fitting": ENOUGH, "surprise": SURPRISING}
        return cls(**{name: float(np.quantile([getattr(m, name) for m in own], q)) for name, q in quantiles.items()})

    def score(self, text: Measured) -> float:
        typical, fitting = min(text.typical, self.typical), min(text.fitting, self.fitting)
        return typical + fitting - max(0.0, text.surprise - self.surprise)


@dataclass(frozen=True)
class ReferenceJudge(Judge):
    """Ours, and needs no key: two models, `untuned` and `tuned` on the whole pool, read both texts.

    Each text is read alone, so position and flip rates say nothing about this judge.  `own` are prompts and the corpus' own
    continuations of them.  `most_tokens` of a text count, 0 for all: as many as the models could write, since early tokens
    surprise more than later ones and the corpus' own continuations may be longer.
    """

    untuned: ModelFolder
    tuned: ModelFolder
    own: tuple[tuple[str, str], ...] = field(repr=False)
    device: str = "auto"
    most_tokens: int = 0
    protocol: str = "likelihood ratio"
    seen: dict[tuple[str, str], Measured | None] = field(default_factory=dict, repr=False, compare=False)

    name: ClassVar[str] = "reference"
    symmetric: ClassVar[bool] = True
    reads_words: ClassVar[bool] = False

    @property
    def label(self) -> str:
        return "reference model (ours)"

    @cached_property
    def identity(self) -> str:
        return f"{VERSION} {self.untuned.fingerprint} {self.tuned.fingerprint} {digest(*self.own)} {self.most_tokens}"

    @cached_property
    def models(self) -> tuple[CausalLM, CausalLM]:
        return load_model(self.untuned, device=self.device), load_model(self.tuned, device=self.device)

    @cached_property
    def limits(self) -> Limits:
        found = [m for prompt, text in self.own if (m := self.measured(prompt, text)) is not None]
        if not found:
            raise JudgeError("The run's prompts have no continuations of their own, so the reference judge has no measure.")
        return Limits.of(found)

    def read(self, shown: Sequence[TextPair]) -> Iterator[tuple[int, Judgment]]:
        limits, seen = self.limits, self.seen
        for number, one in enumerate(shown):
            texts = []
            for key in ((one.prompt, one.first), (one.prompt, one.second)):
                if key not in seen:
                    seen[key] = self.measured(*key)
                texts.append(seen[key])
            first, second = (float("-inf") if m is None else limits.score(m) for m in texts)
            said = TIE if first == second else FIRST if first > second else SECOND
            yield number, Judgment(said, _facts(limits, *texts))

    def measured(self, prompt: str, text: str) -> Measured | None:
        """What both models make of a text after its prompt; None where it has no token that can be predicted."""
        untuned, tuned = self.models
        before, after = self.surprise(untuned, prompt, text), self.surprise(tuned, prompt, text)
        alone = self.surprise(tuned, "", text)
        if before is None or after is None:
            return None
        return Measured(before - after, 0.0 if alone is None else alone - after, after)

    def surprise(self, model: CausalLM, prompt: str, text: str) -> float | None:
        """s(text | prompt), nats per token; None where it has no token.  Beyond the model's context the prompt is cut at its
        beginning, then the text at its end."""
        before, body = _ids(model, prompt), _ids(model, text)[: self.most_tokens or None]
        if not body:
            return None
        bos = model.tokenizer.bos_token_id
        start = [] if bos is None else [int(bos)]
        room = model.context - len(start) if model.context else len(before) + len(body)
        body = body[: max(1, room - 1)]
        before = before[max(0, len(before) - (room - len(body))) :]
        ids = torch.tensor([[*start, *before, *body]], device=model.device)
        if ids.shape[1] == len(body):  # nothing to predict the first token from
            body = body[1:]
        if not body:
            return None
        with torch.inference_mode():
            logits = model.network(input_ids=ids, use_cache=False).logits[0, -len(body) - 1 : -1].double()
        targets = torch.tensor(body, device=logits.device)
        return float(torch.nn.functional.cross_entropy(logits, targets))


def _ids(model: CausalLM, text: str) -> list[int]:
    return list(tokenized(model.tokenizer, encodable(text))["input_ids"])


def _facts(limits: Limits, first: Measured | None, second: Measured | None) -> dict[str, float]:
    """The numbers behind a judgment: each text's score and its parts."""
    found: dict[str, float] = {}
    for side, text in (("first", first), ("second", second)):
        if text is not None:
            parts = {name: getattr(text, name) for name in ("typical", "fitting", "surprise")}
            found |= {f"{name}_{side}": round(value, DIGITS) for name, value in {"score": limits.score(text), **parts}.items()}
    return found
