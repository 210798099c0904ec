"""`FirstWord`: which of two words a local model would answer first to a question that contains texts.

    P(one) = p(tokens of one) / (p(tokens of one) + p(tokens of other))      ignoring case and spaces

The question is given in parts, with a text between each two.  The chat template wraps it and ends with the mark that opens the
model's turn.  Special tokens in a text are split into ordinary ones.  The question itself is the caller's.
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

CUE = "\nAnswer:"  # opens the model's turn if there is no chat template
LEAST_ROOM = 16  # tokens of a text that must fit into the context with the question


def word_of(token: str, words: Sequence[str]) -> str | None:
    """The word that a token spells, ignoring case, spaces (and a tokenizer's marks for them) and punctuation; None if neither."""
    word = re.sub(r"^[\W_ĠĊ]+|[\W_]+$", "", token).lower()
    return word if word in words else None


@dataclass(frozen=True)
class FirstWord:
    """A model's files and two words; the first question loads the weights.

    Attributes:
        device: as in `load_model`.
        choices: the two words.
    """

    folder: ModelFolder
    device: str = "auto"

    choices: ClassVar[tuple[str, str]]

    @property
    def has_template(self) -> bool:
        """Whether the tokenizer has a chat template; a model without one is hardly instruction-tuned."""
        return bool(getattr(load_tokenizer(self.folder), "chat_template", None))

    @cached_property
    def model(self) -> CausalLM:
        return load_model(self.folder, device=self.device)

    def framed(self, *parts: str) -> tuple[list[int], ...]:
        """The ids of a question's parts, between each two of which a text is inserted.

        They are wrapped in the chat template, which opens the model's turn at the end (with thinking turned off, if the
        template supports that); without a template, in [bos] and a cue.
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
        except Exception as error:  # a template is a program and may raise anything
            raise ModelError(f"The chat template of {self.folder.name} refused the question: {str(error)[:200]}.") from error
        if whole.count(gap) != len(parts) - 1:
            raise ModelError(f"The chat template of {self.folder.name} changes the user's message; choose another model.")
        return tuple(self._ids(piece) for piece in whole.split(gap))

    def room_beside(self, frame: Sequence[list[int]]) -> int | None:
        """The number of tokens that each text may have; None if the model states no limit.

        Raises:
            ModelError: there is hardly any room.
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
        """The ids that spell the one word, and those that spell the other.

        If the vocabulary has no single token for one of them, the first tokens of both words are used, without those that
        both words begin with (our choice).
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
                f"The tokenizer of {self.folder.name} has no tokens that distinguish {one} from {other}; choose another model."
            )
        return sorted(whole[one]), sorted(whole[other])

    def _probabilities(self, batch: list[list[int]]) -> list[tuple[float, float]]:
        """(P(one) of the two, p(one) + p(other)) after each of B prompts."""
        import torch

        ids = torch.zeros((len(batch), max(map(len, batch))), dtype=torch.long)
        for row, prompt in zip(ids, batch, strict=True):
            row[: len(prompt)] = torch.tensor(prompt)  # padded on the right, which does not affect what precedes it
        last = torch.tensor([len(prompt) - 1 for prompt in batch], device=self.model.device)
        rows = self.model.rows(ids)[torch.arange(len(batch), device=self.model.device), last]
        log_p = torch.log_softmax(self.model.logits(rows).cpu().double(), dim=-1)
        one, other = (log_p[:, word].logsumexp(-1) for word in self.words)
        return list(zip(torch.sigmoid(one - other).tolist(), torch.logaddexp(one, other).exp().tolist(), strict=True))

    def _ids(self, text: str, *, as_letters: bool = False) -> list[int]:
        """The ids of a text; with `as_letters`, special tokens in it are split into ordinary ones."""
        tokenizer = load_tokenizer(self.folder)
        out: Any = tokenizer(text, add_special_tokens=False, split_special_tokens=as_letters, verbose=False)
        return list(out["input_ids"])
