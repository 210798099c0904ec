"""Task scores beside nats: does a model's likeliest answer say what the record's does, and which choice does it find likeliest?

    exact    1 where both answers are the same without case, punctuation, articles and white space, as SQuAD counts it
    f1       of the words that both share, likewise (Rajpurkar et al. 2016, arXiv 1606.05250)
    rouge_l  F1 of the longest common subsequence of words (Lin 2004), which are of letters and digits in any script
    nats     of each choice of a multiple-choice record as its answer, end mark included

A record with choices is scored by them alone.  Records that were cut off are left out, since their answer is not whole.  Knows no
selector and no file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fishersft.corpus.encode import Encoded, Tokenizer, encode
from fishersft.corpus.records import Example, PromptCompletion
from fishersft.errors import MissingExtra
from fishersft.lm.generate import PromptIds, last_answer, text_of, write
from fishersft.lm.hyperparameters import Sampling
from fishersft.lm.losses import nats_of
from fishersft.lm.model import CausalLM

ANSWERED = ("exact", "f1", "rouge_l")
NO_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class ScoredRecord:
    """A record that is scored: what is asked and the answer, as words and as the model reads them.

    Attributes:
        position: of the record among those that it was drawn from.
        asked: the ids up to the answer, and the answer's.
        prompt, answer: the same as text.
        choices: the words of each choice, the answer among them; () where the record has none.
        readings: the record with each choice as its answer.
    """

    position: int
    asked: PromptIds
    prompt: str
    answer: str
    choices: tuple[str, ...] = ()
    readings: tuple[Encoded, ...] = ()

    @property
    def line(self) -> dict[str, Any]:
        """What a run keeps of it, beside its number."""
        line: dict[str, Any] = {"prompt": self.prompt, "answer": self.answer}
        if self.choices:
            tokens = [len(e.rows) for e in self.readings]
            line |= {"choices": list(self.choices), "correct": self.choices.index(self.answer), "tokens": tokens}
        return line


def draw_scored(
    examples: Sequence[Example], encoded: Sequence[Encoded], tokenizer: Tokenizer, max_tokens: int, count: int, seed: int
) -> list[ScoredRecord]:
    """`count` records that have an answer to score, drawn by seed, or all that there are, in order."""
    found: list[ScoredRecord] = []
    for position in np.random.default_rng(seed).permutation(len(examples)).tolist():
        if len(found) == count:
            break
        if one := _scored(position, examples[position], encoded[position], tokenizer, max_tokens):
            found.append(one)
    return sorted(found, key=lambda one: one.position)


def _scored(position: int, example: Example, encoded: Encoded, tokenizer: Tokenizer, max_tokens: int) -> ScoredRecord | None:
    asked = last_answer(position, encoded)
    if asked is None or (isinstance(example, PromptCompletion) and not example.prompt.strip()):
        return None
    prompt, answer = text_of(tokenizer, asked.ids), text_of(tokenizer, asked.continuation)
    if not isinstance(example, PromptCompletion) or not example.choices:
        return ScoredRecord(position, asked, prompt, answer) if answer.strip() else None
    readings = encode([replace(example, completion=one, choices=()) for one in example.choices], tokenizer, max_tokens)
    if any(e.truncated or not len(e.rows) for e in readings):
        return None
    return ScoredRecord(position, asked, prompt, example.completion, example.choices, tuple(readings))


def scores_of(model: CausalLM, records: Sequence[ScoredRecord], context: int = 0) -> list[dict[str, Any]]:
    """What a model answers to each record, and the scores of that; or the nats of each of its choices as the answer.

    Answers are greedy and as long as the longest of the records' own at most.  A prompt that does not fit into `context` tokens
    with such an answer loses its first tokens.
    """
    chosen = [r for r in records if r.choices]
    nats = iter(nats_of(model, [e for r in chosen for e in r.readings]).tolist())
    written = iter(_answers(model, [r.asked for r in records if not r.choices], context))
    return [{"nats": [next(nats) for _ in r.choices]} if r.choices else _compared(next(written), r.answer) for r in records]


def _answers(model: CausalLM, asked: list[PromptIds], context: int) -> list[str]:
    if not asked:
        return []
    most = max(len(a.continuation) for a in asked)
    room = max(1, context - most) if context else max(len(a.ids) for a in asked)
    fitting = [replace(a, ids=a.ids[-room:]) for a in asked]
    return [w.text for w in write(model, fitting, Sampling(temperature=0, new_tokens=most))]


def _compared(said: str, answer: str) -> dict[str, Any]:
    return {"text": said, **dict(zip(ANSWERED, answer_scores(said, answer), strict=True))}


def answer_scores(said: str, answer: str) -> tuple[float, float, float]:
    """Exact match, token F1 and ROUGE-L of an answer against the right one, each from 0 to 1."""
    require_scoring()
    from torchmetrics.functional.text import rouge_score, squad

    found = squad({"prediction_text": said, "id": ""}, {"answers": {"answer_start": [0], "text": [answer]}, "id": ""})
    words = rouge_score(said, answer, rouge_keys="rougeL", normalizer=_words)
    return float(found["exact_match"]) / 100, float(found["f1"]) / 100, float(words["rougeL_fmeasure"])


def require_scoring() -> None:
    """MissingExtra where answers cannot be scored here."""
    try:
        import torchmetrics  # noqa: F401
    except ImportError as error:
        raise MissingExtra("Scoring answers", "tune") from error


def _words(text: str) -> str:
    return NO_WORD.sub(" ", text.lower())
