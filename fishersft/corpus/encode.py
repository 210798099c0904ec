"""The one contract that embedding and fine-tuning share: which ids an example becomes, and which of them are trained.

    plain text           [bos] ids(text) [eos]                     every id but bos is trained
    prompt, completion   [bos] ids(prompt) ids(completion) [eos]   the completion and eos are trained
    chat                 the tokenizer's template, or [bos] then "Role: " ids(content) a turn, assistant turns closed
                         by [eos], others by a line break          only assistant turns are trained

bos and eos are added by us, never by the tokenizer, and only where it defines them; a text that spells a special token
is read letter by letter, so no record can forge one.  A blank text or completion trains nothing.  Cut at `max_tokens`.
A token is trained when it is a *target*: the row of the design matrix is the position before it.  Knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fishersft.corpus.records import MAX_TOKENS as MAX_TOKENS
from fishersft.corpus.records import Chat, Example, Message, PromptCompletion, Text
from fishersft.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label that Hugging Face losses pass over


@dataclass(frozen=True)
class Encoded:
    """One example as the model reads it.

    Attributes:
        ids: (n,) int32 token ids, at most `max_tokens` of them.
        trained: (n,) bool; True where the token is a training target.  Never at position 0: nothing predicts it.
        full_length: how many ids there were before the cut.
    """

    ids: np.ndarray
    trained: np.ndarray
    full_length: int

    @property
    def truncated(self) -> bool:
        return self.full_length > len(self.ids)

    @property
    def rows(self) -> np.ndarray:
        """(M,) positions whose *next* token is trained: the rows of X_i; M is the number of trained tokens."""
        return np.flatnonzero(self.trained[1:])

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64: the ids where trained, -100 elsewhere; what a causal-LM loss expects."""
        return np.where(self.trained, self.ids, IGNORED).astype(np.int64)


def encode(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_tokens: int = MAX_TOKENS) -> list[Encoded]:
    """Encode examples in their order; tokenisation is batched."""
    if not examples:
        return []
    match examples[0]:
        case Text():
            bodies = _ids(tokenizer, [e.text for e in examples if isinstance(e, Text)])
            parts = [[(ids, True)] if e.display().strip() else [(ids, False)] for e, ids in zip(examples, bodies, strict=True)]
        case PromptCompletion():
            pairs = [e for e in examples if isinstance(e, PromptCompletion)]
            prompts = _ids(tokenizer, [e.prompt for e in pairs])
            completions = _ids(tokenizer, [e.completion for e in pairs])
            parts = [[(p, False), (c, bool(e.completion.strip()))] for e, p, c in zip(pairs, prompts, completions, strict=True)]
        case _:
            chats = [e for e in examples if isinstance(e, Chat)]
            if getattr(tokenizer, "chat_template", None):
                return [_by_template(e, tokenizer, max_tokens) for e in chats]
            return [_join(p, tokenizer, max_tokens, close=False) for p in _plain_chats(chats, tokenizer)]
    return [_join(p, tokenizer, max_tokens, close=True) for p in parts]


Part = tuple[Sequence[int], bool]


def _ids(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    out: Any = tokenizer([_clean(t) for t in texts], add_special_tokens=False, split_special_tokens=True, verbose=False)
    return list(out["input_ids"])


def _clean(text: str) -> str:
    """A lone surrogate (JSON may carry one) has no UTF-8 and would stop the tokenizer; it becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _join(parts: Sequence[Part], tokenizer: PreTrainedTokenizerBase, max_tokens: int, *, close: bool) -> Encoded:
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    pieces: list[Part] = [([bos], False)] if bos is not None else []
    pieces += parts
    if close and eos is not None:
        pieces.append(([eos], parts[-1][1]))
    ids = np.concatenate([np.asarray(p, dtype=np.int32) for p, _ in pieces] or [np.empty(0, np.int32)])
    trained = np.concatenate([np.full(len(p), t) for p, t in pieces] or [np.empty(0, bool)])
    return _cut(ids, trained, max_tokens)


def _cut(ids: np.ndarray, trained: np.ndarray, max_tokens: int) -> Encoded:
    if len(trained):
        trained[0] = False
    return Encoded(ids[:max_tokens], trained[:max_tokens], len(ids))


def _plain_chats(chats: Sequence[Chat], tokenizer: PreTrainedTokenizerBase) -> list[list[Part]]:
    eos = tokenizer.eos_token_id
    out = []
    for chat in chats:
        parts: list[Part] = []
        roles = _ids(tokenizer, [f"{m.role[:1].upper()}{m.role[1:]}: " for m in chat.messages]) if chat.messages else []
        contents = _ids(tokenizer, [m.content for m in chat.messages]) if chat.messages else []
        breaks = _ids(tokenizer, ["\n"])[0]
        for message, role, content in zip(chat.messages, roles, contents, strict=True):
            ours = message.role == "assistant" and bool(message.content.strip())
            parts += [(role, False), (content, ours)]
            parts.append(([eos], True) if ours and eos is not None else (breaks, False))
        out.append(parts)
    return out


def _by_template(chat: Chat, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Encoded:
    """The template's ids; a turn is trained from where its answer begins to where the template ends it.

    The template writes the conversation up to each answer's opening and up to its end; what lies between is the answer, and
    every token that touches it is trained.  This needs no support from the template, only that it never rewrites what it
    wrote for earlier turns.
    """

    def written(messages: Sequence[Message], *, open_answer: bool) -> str:
        turns = [{"role": m.role, "content": m.content} for m in messages]
        return str(tokenizer.apply_chat_template(turns, add_generation_prompt=open_answer, tokenize=False))

    try:
        whole = written(chat.messages, open_answer=False) if chat.messages else ""
        answers = []
        for turn, message in enumerate(chat.messages):
            if message.role != "assistant" or not message.content.strip():
                continue
            before = written(chat.messages[:turn], open_answer=True) if turn else ""
            after = written(chat.messages[: turn + 1], open_answer=False)
            if not whole.startswith(after) or not after.startswith(before):
                raise ModelError(
                    "The tokenizer's chat template rewrites earlier turns, so its assistant tokens cannot be told apart; "
                    "use plain prompt and completion columns instead."
                )
            answers.append((len(before), len(after)))
    except ModelError:
        raise
    except Exception as error:  # a template is a program of its author's; whatever it raises gets a sentence
        raise ModelError(f"The tokenizer's chat template refused a record: {str(error)[:200]}.") from error
    out: Any = tokenizer(_clean(whole), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    spans = out["offset_mapping"]
    trained = np.array([any(a < high and low < b for a, b in answers) for low, high in spans], dtype=bool)
    return _cut(np.asarray(out["input_ids"], dtype=np.int32), trained, max_tokens)


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """What each id adds to the decoded text; they join to the whole.

    Bytes of one character spread over several ids: the last of them carries the character, the others are empty.
    """
    pieces, done = [], ""
    for end in range(1, len(ids) + 1):
        text = str(tokenizer.decode(list(ids[:end]), clean_up_tokenization_spaces=False))
        if text.endswith("\ufffd") and end < len(ids):
            pieces.append("")
            continue
        pieces.append(text[len(done) :])
        done = text
    return pieces
