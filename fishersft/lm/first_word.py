"""`FirstWord`: which of two words a local model would say first in answer to a question with texts in it.

    P(one) = p(tokens of one) / (p(tokens of one) + p(tokens of other))      whatever case and space

The question comes in parts, and a text stands between each two.  The chat template goes around it, with the mark of the model's
turn at its end.  Texts are read letter by letter, never as special tokens.  Knows no question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from fishersft.errors import ModelError
from fishersft.lm.folder import ModelFolder
from fishersft.lm.model import CausalLM, load_model, load_tokenizer

CUE = "\nAnswer:"  # where no chat template says that it is the model's turn
LEAST_ROOM = 16  # tokens of a text that must fit beside the question


def word_of(token: str, words: Sequence[str]) -> str | None:
    """The word that a token spells, apart from case, spaces (also a tokenizer's own marks for them) and points."""
    word = re.sub(r"^[\W_ĠĊ]+|[\W_]+$", "", token).lower()
    return word if word in words else None


@dataclass(frozen=True)
class FirstWord:
    """A model's files, and two words; the weights are loaded with the first question.

    Attributes:
        device: as `load_model` takes it.
        choices: the two words.
    """

    folder: ModelFolder
    device: str = "auto"

    choices: ClassVar[tuple[str, str]]

    @property
    def has_template(self) -> bool:
        """Whether the tokenizer says how a chat looks; without that the model is hardly instruction-tuned."""
        return bool(getattr(load_tokenizer(self.folder), "chat_template", None))

    @cached_property
    def model(self) -> CausalLM:
        return load_model(self.folder, device=self.device)

    def framed(self, *parts: str) -> tuple[list[int], ...]:
        """Ids of a question's parts; a text goes between each two.

        The chat template, with the mark of the model's turn at its end (and thinking off, where it knows of that); or
        [bos], the question and a cue.
        """
        tokenizer = load_tokenizer(self.folder)
        if not self.has_template:
            bos = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
            first, *between, last = parts
            return bos + self._ids(first), *(self._ids(part) for part in between), self._ids(last + CUE)
        gap = "the-Text-stands-Here"
        try:
            whole = str(
                tokenizer.apply_chat_template(
                    [{"role": "user", "content": gap.join(parts)}],
                    add_generation_prompt=True,
                    tokenize=False,
                    enable_thinking=False,
                )
            )
        except Exception as error:  # a template is a program of its author's; whatever it raises gets a sentence
            raise ModelError(f"The chat template of {self.folder.name} refused the question: {str(error)[:200]}.") from error
        if whole.count(gap) != len(parts) - 1:
            raise ModelError(f"The chat template of {self.folder.name} does not keep a user's message as it is; choose another.")
        return tuple(self._ids(piece) for piece in whole.split(gap))

    def room_beside(self, frame: Sequence[list[int]]) -> int | None:
        """Tokens that each text may have; None where the model states no limit.

        Raises:
            ModelError: hardly any.
        """
        if not self.folder.context:
            return None
        alone = sum(map(len, frame))
        room = (self.folder.context - alone) // (len(frame) - 1)
        if room < LEAST_ROOM:
            raise ModelError(
                f"The model {self.folder.name} reads {self.folder.context:,} tokens at once, and the question alone takes "
                f"{alone:,} of them; choose a model with a longer context."
            )
        return room

    @cached_property
    def words(self) -> tuple[list[int], list[int]]:
        """Ids that spell the one word, and ids that spell the other.

        Where a vocabulary has no whole word for one of them: the first tokens of the spelled out words, without those
        that both begin with (our reading).
        """
        one, other = self.choices
        tokenizer = load_tokenizer(self.folder)
        whole: dict[str, set[int]] = {word: set() for word in self.choices}
        for token, id in tokenizer.get_vocab().items():
            if word := word_of(token, self.choices):
                whole[word].add(id)
        if not all(whole.values()):
            for word in self.choices:
                forms = [space + form for space in ("", " ") for form in (word, word.capitalize(), word.upper())]
                whole[word] = {ids[0] for form in forms if (ids := self._ids(form))}
            shared = whole[one] & whole[other]
            whole = {word: ids - shared for word, ids in whole.items()}
        if not all(whole.values()):
            raise ModelError(
                f"The tokenizer of {self.folder.name} has no tokens that tell {one} from {other}; choose another model."
            )
        return sorted(whole[one]), sorted(whole[other])

    def _probabilities(self, batch: list[list[int]]) -> list[tuple[float, float]]:
        """P(one) among the two, and p(one) + p(other), after each of B prompts."""
        import torch

        ids = torch.zeros((len(batch), max(map(len, batch))), dtype=torch.long)
        for row, prompt in zip(ids, batch, strict=True):
            row[: len(prompt)] = torch.tensor(prompt)  # padded on the right, which changes nothing before it
        last = torch.tensor([len(prompt) - 1 for prompt in batch], device=self.model.device)
        rows = self.model.rows(ids)[torch.arange(len(batch), device=self.model.device), last]
        log_p = torch.log_softmax(self.model.logits(rows).cpu().double(), dim=-1)
        one, other = (log_p[:, word].logsumexp(-1) for word in self.words)
        return list(zip(torch.sigmoid(one - other).tolist(), torch.logaddexp(one, other).exp().tolist(), strict=True))

    def _ids(self, text: str, *, as_letters: bool = False) -> list[int]:
        """Ids of a text; `as_letters` reads special tokens in it as the characters they are spelled with."""
        tokenizer = load_tokenizer(self.folder)
        out: Any = tokenizer(text, add_special_tokens=False, split_special_tokens=as_letters, verbose=False)
        return list(out["input_ids"])
