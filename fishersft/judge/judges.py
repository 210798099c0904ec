"""The judges that read words: `LLMJudge` on a server and `LocalJudge` from a model's files.

What they are asked and how replies are read is in `questions`.  Knows no run and no store.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import urlsplit

from fishersft.errors import JudgeError, ServerDown
from fishersft.judge.base import Judge, Judgment, TextPair
from fishersft.judge.form import JSON, PAPER, Prices
from fishersft.judge.questions import (
    VERSIONS,
    LabelledQuestion,
    by_probability,
    domain_of,
    judgment_of,
    paper_question,
    whether_it_speaks,
    which_is_better,
)
from fishersft.lm.ask import LocalModel
from fishersft.lm.chat_server import LOOPBACK, ChatServer, Request
from fishersft.lm.folder import ModelFolder

LOCAL_VERSION = 2  # of how a local model's answer is read; 1 took its choice however little probability it had
MOST_OUT = 256  # tokens of a reply
LONGEST_LABEL = 8  # tokens
SETTINGS = {"temperature": 0, "max_tokens": MOST_OUT, "logprobs": True, "top_logprobs": 20}
CHARACTERS_A_TOKEN = 4  # for an estimate, before anything is spent
TOKENS_OUT = 8  # of a reply, for the same
FIRST_WAIT, LONGEST_WAIT = 2.0, 60.0  # seconds between two tries of a server that is down


def question_of(pair: TextPair, domain: str, protocol: str) -> LabelledQuestion:
    return paper_question(pair, domain) if protocol == PAPER else which_is_better(pair, domain)


@dataclass(frozen=True)
class JudgingCost:
    """Orders that are read, the tokens they take, and dollars where the prices are known."""

    readings: int
    tokens_in: int
    tokens_out: int
    dollars: float | None


@dataclass(frozen=True)
class LLMJudge(Judge):
    """Asks a server which of two texts is more fluent.

    The answer is a JSON object by schema where the server takes one.  A reply that was cut off has no verdict.  A server that
    is down is waited for up to `patience` seconds each time, and `on_wait` is called with a sentence when waiting begins.

    `domain` is the kind of text it judges, such as "Shakespeare".  `spent` counts readings, tokens in and tokens out in this
    process, by the server's own counts; `under_way` has the estimated tokens of the questions that are not answered yet.
    """

    server: ChatServer
    domain: str
    prices: Prices = field(default_factory=Prices)
    patience: float = 0.0
    on_wait: Callable[[str], None] | None = None
    spent: Counter[str] = field(default_factory=Counter)
    under_way: dict[int, int] = field(default_factory=dict)
    protocol: str = JSON

    name: ClassVar[str] = "llm"

    @classmethod
    def at(cls, base_url: str, model: str, domain: str, *, retries: int = 5, seconds: float = 60.0, **more: Any) -> LLMJudge:
        """The judge at an address; JudgeError where no model is named, ParameterError where `base_url` is no address."""
        if not model.strip():
            raise JudgeError("--judge llm needs the server's name for its model: --model NAME.")
        server = ChatServer(base_url, model, retries=retries, seconds=seconds, settings=SETTINGS, skip_too_long=True)
        return cls(server, domain_of(domain), **more)

    @property
    def label(self) -> str:
        return f"{self.server.model} at {urlsplit(self.server.base_url).hostname}"

    @property
    def identity(self) -> str:
        version = f"{self.protocol} {VERSIONS[self.protocol]}" if self.protocol != PAPER else VERSIONS[PAPER]
        return f"{version} {self.server.base_url} {self.server.model} {self.domain}"

    @property
    def free(self) -> bool:
        """Whether asking costs nothing: the server is this machine, and no prices were stated."""
        here = urlsplit(self.server.base_url).hostname in LOOPBACK
        return here and not self.prices.known

    def read(self, shown: Sequence[TextPair]) -> Iterator[tuple[int, Judgment]]:
        return self._answers([question_of(one, self.domain, self.protocol) for one in shown])

    def notice(self, texts: Sequence[str]) -> Iterator[tuple[int, Judgment]]:
        return self._answers([whether_it_speaks(text) for text in texts]) if self.protocol != PAPER else iter(())

    def _answers(self, questions: Sequence[LabelledQuestion]) -> Iterator[tuple[int, Judgment]]:
        todo = list(range(len(questions)))
        down_since, pause = None, FIRST_WAIT
        while todo:
            left, down = set(todo), None
            try:
                for place, reply in self.server.replies(self._asked(questions, todo)):
                    number = todo[place]
                    left.discard(number)
                    down_since, pause = None, FIRST_WAIT
                    guess = self.under_way.pop(number, 0)  # counts where the server counts nothing
                    counted = {"tokens_in": reply.tokens_in or guess, "tokens_out": reply.tokens_out or TOKENS_OUT}
                    self.spent.update({"readings": 1, **counted})
                    yield number, judgment_of(reply, questions[number])
            except ServerDown as error:
                down = error
            self.under_way.clear()
            todo = [number for number in todo if number in left]
            if down is None:
                if todo:
                    raise JudgeError(
                        f"The cap of {self.prices.most:g} dollars is reached after {self.spent['readings']:,} answers, which are "
                        "kept. Raise --max-cost and run the same command again to go on."
                    )
                return
            if not self.patience:
                raise down
            if down_since is None:
                down_since = time.monotonic()
                if self.on_wait:
                    self.on_wait(f"{down} Waiting for up to {self.patience:,.0f} s; what was answered is kept.")
            elif time.monotonic() - down_since >= self.patience:
                raise down
            time.sleep(min(pause, self.patience))
            pause = min(2 * pause, LONGEST_WAIT)

    def estimate(self, shown: Sequence[TextPair], texts: Sequence[str] = ()) -> JudgingCost:
        """The cost of reading these pairs and of noticing whether these texts speak to it, by their characters."""
        asked = [*(question_of(one, self.domain, self.protocol) for one in shown), *map(whether_it_speaks, texts)]
        tokens = sum(map(_tokens, asked)), TOKENS_OUT * len(asked)
        return JudgingCost(len(asked), *tokens, self.prices.dollars(*tokens))

    def in_words(self, cost: JudgingCost) -> str:
        """A sentence without its full stop, for people who are about to pay."""
        price = "at unknown prices" if cost.dollars is None else f"about {cost.dollars:.2f} dollars"
        tokens = f"about {cost.tokens_in:,} tokens in and {cost.tokens_out:,} out ({CHARACTERS_A_TOKEN} characters per token)"
        return f"{cost.readings:,} questions to {self.label}, {tokens}, {price}"

    def above_cap(self, cost: JudgingCost) -> bool:
        return cost.dollars is not None and self.prices.most is not None and cost.dollars > self.prices.most

    @property
    def cost(self) -> JudgingCost:
        """What was used so far."""
        tokens = self.spent["tokens_in"], self.spent["tokens_out"]
        return JudgingCost(self.spent["readings"], *tokens, self.prices.dollars(*tokens))

    def _asked(self, questions: Sequence[LabelledQuestion], numbers: Sequence[int]) -> Iterator[Request]:
        """Requests, for as long as the next one and those under way stay below the cap."""
        for number in numbers:
            self.under_way[number] = _tokens(questions[number])
            if self.prices.most is not None:
                waiting = list(self.under_way.values())
                used = self.spent["tokens_in"] + sum(waiting), self.spent["tokens_out"] + MOST_OUT * len(waiting)
                if (self.prices.dollars(*used) or 0.0) > self.prices.most:
                    return
            yield questions[number].request


def _tokens(question: LabelledQuestion) -> int:
    """About how many tokens a question has."""
    return (len(question.system) + len(question.user)) // CHARACTERS_A_TOKEN


@dataclass(frozen=True)
class LocalJudge(Judge):
    """Asks an instruction-tuned model: the first text is better where its label is the likelier answer.

    The prompt ends with the answer begun, in the model's own template, and the probability of a label is that of all its tokens.
    A judge that puts less than half on the two labels has not answered.  Each order is read alone, in no batch, so that a judging
    that was stopped ends with the same numbers.
    """

    folder: ModelFolder
    domain: str
    device: str = "auto"
    protocol: str = JSON

    name: ClassVar[str] = "local"

    @property
    def label(self) -> str:
        return self.folder.name

    @cached_property
    def identity(self) -> str:
        return f"{LOCAL_VERSION} {self.protocol} {VERSIONS[self.protocol]} {self.folder.fingerprint} {self.domain}"

    @cached_property
    def asked(self) -> LocalModel:
        return LocalModel(self.folder, self.device)

    def read(self, shown: Sequence[TextPair]) -> Iterator[tuple[int, Judgment]]:
        return ((number, self._answer(question_of(one, self.domain, self.protocol))) for number, one in enumerate(shown))

    def notice(self, texts: Sequence[str]) -> Iterator[tuple[int, Judgment]]:
        asked = texts if self.protocol != PAPER else ()
        return ((number, self._answer(whether_it_speaks(text))) for number, text in enumerate(asked))

    def _answer(self, question: LabelledQuestion) -> Judgment:
        ids, cut = self._prompt(question)
        facts = {"cut": True} if cut or question.cut else {}
        first, second = self.asked.likelihoods(ids, question.labels)
        return by_probability(first, second, facts)

    def _prompt(self, question: LabelledQuestion) -> tuple[list[int], bool]:
        """The ids of a question, and whether a text was cut at its end so that the question fits into the context."""
        frame = self.asked.framed(*question.fixed, system=question.system, begun=question.begun)
        room = self.asked.room_beside([*frame[:-1], [*frame[-1], *[0] * LONGEST_LABEL]])
        bodies, cut = [self.asked._ids(question.spelled(text), as_letters=True) for text in question.texts], False
        if room is not None:
            left = sum(max(0, room - len(body)) for body in bodies)  # by short texts, to the long ones in equal parts
            most = room + left // max(1, sum(len(body) > room for body in bodies))
            for k, text in enumerate(question.texts):
                while len(bodies[k]) > most:  # by characters, so that no escape is cut in half
                    cut, text = True, text[: min(len(text) - 1, len(text) * most // len(bodies[k]))]
                    bodies[k] = self.asked._ids(question.spelled(text), as_letters=True)
        ids = list(frame[0])
        for body, piece in zip(bodies, frame[1:], strict=True):
            ids += [*body, *piece]
        return ids, cut
