"""Ask-LLM: a language model says of each text whether it is worth learning from."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fishersft.errors import ParameterError
from fishersft.fields import parameter
from fishersft.lm.ask import VERSION, Answer, Asker, asker_of, quoted
from fishersft.lm.chat_server import check_base_url
from fishersft.selectors import Doing, Note, Pick, Pool, Selector


@dataclass(frozen=True)
class AskLLM(Selector):
    """Texts by P("yes") of an instruction-tuned model that is asked whether they contain informative signal.

    The model is asked about every text of the pool, whatever the budget; about identical ones once.  Each answer is kept in
    `pool.answers` at once, so that an interrupted run can be resumed.  Texts without an answer come last.
    """

    model: str = parameter("", "A folder or a hub id; with base_url, the server's name for the model.", in_address=False)
    base_url: str = parameter(
        "",
        "Address of a server that speaks the OpenAI chat protocol; the key is read from OPENAI_API_KEY.",
        label="Server (base_url)",
        in_address=False,
    )
    most_characters: int = parameter(
        4_000, "Characters of a text that the model sees; the rest is cut, and the notes say how often.", least=1
    )

    name = "ask_llm"
    label = "Ask-LLM"
    summary = "Asks an instruction-tuned model whether a text is worth learning from; takes the surest yes first."
    purpose = "Quality as a language model judges it, one text at a time; it does not see redundancy."
    colour = "#6E747D"
    marker = "star-triangle-up"
    reference = "Sachdeva et al. 2024, arXiv 2402.09668, Ask-LLM; the question's wording is ours"
    place = 90
    reads_texts = True
    reaches_out = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base_url:
            check_base_url(self.base_url)

    def asker(self, device: str) -> Asker:
        """The model to ask; ParameterError if none is named."""
        if not self.model.strip():
            raise ParameterError(
                "Ask-LLM needs an instruction-tuned model to ask: --set model=FOLDER_OR_HUB_ID, or a server that speaks the "
                "OpenAI chat protocol: --set base_url=http://127.0.0.1:8080/v1 --set model=ITS_NAME."
            )
        return asker_of(self.model, self.base_url, device)

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick | Note | Doing]:
        asker = self.asker(pool.device)
        originals = pool.texts()
        texts = [quoted(text, self.most_characters) for text in originals]
        asked_as = ["ask_llm", VERSION, asker.identity]
        keys = [hashlib.sha256(json.dumps([*asked_as, text], ensure_ascii=True).encode()).hexdigest() for text in texts]
        by_key, copies = dict(zip(keys, texts, strict=True)), Counter(keys)
        answers = {key: kept for key in by_key if (kept := _answer(pool.answers.get(key))) is not None}
        asked, from_cache = 0, sum(copies[key] for key in answers)
        done = from_cache
        yield Doing("texts asked", done, len(keys))
        for batch in _batches(by_key, asker.together):
            missing = [key for key in batch if key not in answers]
            if asker.together > 1 and missing:
                missing = batch  # the same batch as in a run that nothing interrupted, so the same last digits
            for answer in asker.ask([by_key[key] for key in missing]) if missing else ():
                key = missing[answer.number]
                if key in answers:
                    continue
                answers[key] = answer
                pool.answers[key] = {"yes": answer.yes, "how": answer.how, "mass": answer.mass, "cut": answer.cut}
                asked, done = asked + 1, done + copies[key]
                yield Doing("texts asked", done, len(keys))
        found = [answers[key] for key in keys]
        yield Note("asked", asked)
        yield Note("from_cache", from_cache)
        yield Note("repeats_of_asked", len(keys) - asked - from_cache)
        for how in ("refused", "unparsable"):
            yield Note(how, sum(a.how == how for a in found))
        yield Note("answered_by_word", sum(a.how == "word" for a in found))
        if masses := [a.mass for a in found if a.mass is not None]:
            yield Note("mean_probability_of_yes_or_no", float(np.mean(masses)))
        yield Note("cut", sum(a.cut or len(text) > self.most_characters for a, text in zip(found, originals, strict=True)))
        for position in sorted(range(len(found)), key=lambda p: (not found[p].answered, -found[p].yes, p)):
            yield Pick(position)


def _batches(texts: Mapping[str, str], together: int) -> list[list[str]]:
    """Keys in batches that depend on the texts alone, of like lengths; all at once where batches do not matter."""
    if together == 1:
        return [list(texts)]
    keys = sorted(texts, key=lambda key: (len(texts[key]), key))
    return [keys[start : start + together] for start in range(0, len(keys), together)]


def _answer(kept: Any) -> Answer | None:
    """A kept answer; None if it is not one of ours."""
    try:
        mass = None if kept["mass"] is None else float(kept["mass"])
        return Answer(0, str(kept["how"]), float(kept["yes"]), mass, bool(kept["cut"]))
    except (TypeError, KeyError, ValueError):
        return None
