"""The encoding that embedding and fine-tuning share: the token ids of an example, and which of them are trained.

    plain text           [bos] ids(text) [eos]                     all ids but bos are trained
    prompt, completion   [bos] ids(prompt) ids(completion) [eos]   the completion and eos are trained
    chat                 the tokenizer's template; without one, [bos], then "Role: " ids(content) for each turn, where
                         [eos] ends an assistant turn and a line break any other; only assistant turns are trained

We add bos and eos ourselves if the tokenizer defines them; the tokenizer never does.  A text that spells a special token is
split into ordinary tokens, so no record can forge one.  A blank text or completion trains nothing.  Examples are cut at
`max_tokens`.  A trained token is a *target*: its row of the design matrix is the position before it.  Knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fishersft.corpus.records import MAX_TOKENS as MAX_TOKENS
from fishersft.corpus.records import Chat, Example, Message, PromptCompletion, Text
from fishersft.text import encodable, is_blank, listed, shortened

BLANK, NO_ANSWER, UNKNOWN_ROLE = "blank", "no assistant turn", "unknown role"
WEIGHT_0, CUT, REFUSED = "answers of weight 0", "cut off before the answer", "refused by the chat template"
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
IGNORED = -100  # the label that Hugging Face losses ignore
Tokenizer = Any  # transformers' Tokenizer, a library that takes seconds to import


@dataclass(frozen=True)
class Encoded:
    """One example as the ids that the model reads."""

    ids: np.ndarray  # (n,) int32 token ids, at most `max_tokens`
    trained: np.ndarray  # (n,) bool: the token is a training target; never at position 0, which nothing predicts
    full_length: int  # the number of ids before the cut
    untrained: str = ""  # why no token is trained, in a few words; "" if any is

    @property
    def truncated(self) -> bool:
        return self.full_length > len(self.ids)

    @property
    def rows(self) -> np.ndarray:
        """(M,) positions whose *next* token is trained: the rows of X_i.  M is the number of trained tokens."""
        return np.flatnonzero(self.trained[1:])

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64 labels for a causal-LM loss: the ids where trained, -100 elsewhere."""
        return np.where(self.trained, self.ids, IGNORED).astype(np.int64)


def encode(examples: Sequence[Example], tokenizer: Tokenizer, max_tokens: int = MAX_TOKENS) -> list[Encoded]:
    """Encode the examples, in order; the tokenizer is called in batches."""
    if not examples:
        return []
    match examples[0]:
        case Text():
            bodies = _ids(tokenizer, [e.text for e in examples if isinstance(e, Text)])
            parts = [[(ids, not is_blank(e.display()))] for e, ids in zip(examples, bodies, strict=True)]
        case PromptCompletion():
            pairs = [e for e in examples if isinstance(e, PromptCompletion)]
            prompts = _ids(tokenizer, [e.prompt for e in pairs])
            completions = _ids(tokenizer, [e.completion for e in pairs])
            parts = [[(p, False), (c, not is_blank(e.completion))] for e, p, c in zip(pairs, prompts, completions, strict=True)]
        case _:
            chats = [e for e in examples if isinstance(e, Chat)]
            if getattr(tokenizer, "chat_template", None):
                out = [_by_template(e, tokenizer, max_tokens) for e in chats]
            else:
                out = [_join(p, tokenizer, max_tokens, close=False) for p in _plain_chats(chats, tokenizer)]
            return [_explained(e, x) for e, x in zip(chats, out, strict=True)]
    return [_explained(e, _join(p, tokenizer, max_tokens, close=True)) for e, p in zip(examples, parts, strict=True)]


def why_untrained(encoded: Sequence[Encoded], index: Sequence[int] | None = None) -> dict[str, dict[str, Any]]:
    """The records that have no trained token, by reason: {reason: {"records": how many, "first": their first five numbers}}.

    `index` holds the records' numbers, by default their positions; the most frequent reason comes first, {} if all are trained.
    """
    found: dict[str, list[int]] = {}
    for position, e in enumerate(encoded):
        if e.untrained:
            found.setdefault(e.untrained, []).append(int(index[position]) if index is not None else position)
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return {reason: {"records": len(numbers), "first": numbers[:5]} for reason, numbers in ordered}


def untrained_words(untrained: Mapping[str, Mapping[str, Any]]) -> str:
    """What `why_untrained` found, in words: "2 blank (records 4 and 7), 1 no assistant turn (record 9)"; "" if nothing."""
    said = []
    for reason, those in untrained.items():
        first, more = [f"{i:,}" for i in those["first"]], those["records"] - len(those["first"])
        named = listed([*first, f"{more:,} more"] if more else first)
        said.append(f"{those['records']:,} {reason} (record{'s' if those['records'] > 1 else ''} {named})")
    return ", ".join(said)


def _explained(example: Example, encoded: Encoded) -> Encoded:
    """The same with the reason why it has no trained token, where it has none."""
    if encoded.untrained or encoded.trained.any():
        return encoded
    match example:
        case Text(text):
            reason = BLANK if is_blank(text) else CUT
        case PromptCompletion(_, completion):
            reason = BLANK if is_blank(completion) else CUT
        case Chat(messages):
            answers = [m for m in messages if m.role == "assistant"]
            if not answers:
                unknown = sorted({m.role for m in messages} - ROLES)
                reason = f"{UNKNOWN_ROLE} {shortened(unknown[0], 40)!r}" if unknown else NO_ANSWER if messages else BLANK
            elif all(is_blank(m.content) for m in answers):
                reason = BLANK
            else:
                reason = CUT if any(m.trained for m in answers) else WEIGHT_0
    return replace(encoded, untrained=reason)


Part = tuple[Sequence[int], bool]


def _ids(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    out: Any = tokenizer([encodable(t) for t in texts], add_special_tokens=False, split_special_tokens=True, verbose=False)
    return list(out["input_ids"])


def _join(parts: Sequence[Part], tokenizer: Tokenizer, max_tokens: int, *, close: bool) -> Encoded:
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


def _plain_chats(chats: Sequence[Chat], tokenizer: Tokenizer) -> list[list[Part]]:
    eos, breaks = tokenizer.eos_token_id, _ids(tokenizer, ["\n"])[0]
    out = []
    for chat in chats:
        parts: list[Part] = []
        roles = _ids(tokenizer, [f"{m.role[:1].upper()}{m.role[1:]}: " for m in chat.messages]) if chat.messages else []
        contents = _ids(tokenizer, [m.content for m in chat.messages]) if chat.messages else []
        for message, role, content in zip(chat.messages, roles, contents, strict=True):
            ours = message.role == "assistant" and message.trained and not is_blank(message.content)
            parts += [(role, False), (content, ours)]
            parts.append(([eos], True) if ours and eos is not None else (breaks, False))
        out.append(parts)
    return out


def _by_template(chat: Chat, tokenizer: Tokenizer, max_tokens: int) -> Encoded:
    """The ids of the tokenizer's template; an assistant turn is trained from its first character to the template's end mark.

    For each answer, the template renders the conversation up to the answer's opening and up to its end; the difference is the
    answer, and every token that overlaps it is trained.  The template needs no special support for this, but it must not
    rewrite earlier turns.
    """

    def written(messages: Sequence[Message], *, open_answer: bool) -> str:
        turns = [m.as_json() for m in messages]
        return str(tokenizer.apply_chat_template(turns, add_generation_prompt=open_answer, tokenize=False))

    try:
        whole = written(chat.messages, open_answer=False) if chat.messages else ""
        answers = []
        for turn, message in enumerate(chat.messages):
            if message.role != "assistant" or not message.trained or is_blank(message.content):
                continue
            before = written(chat.messages[:turn], open_answer=True) if turn else ""
            after = written(chat.messages[: turn + 1], open_answer=False)
            if not whole.startswith(after) or not after.startswith(before):
                raise ValueError("it rewrites earlier turns, so the assistant's tokens cannot be located")
            answers.append((len(before), len(after)))
    except Exception as error:  # a template is a program and may raise anything
        none = np.empty(0, np.int32)
        return Encoded(none, none.astype(bool), 0, f"{REFUSED}: {shortened(error)}")
    out: Any = tokenizer(encodable(whole), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    spans = out["offset_mapping"]
    trained = np.array([any(a < high and low < b for a, b in answers) for low, high in spans], dtype=bool)
    return _cut(np.asarray(out["input_ids"], dtype=np.int32), trained, max_tokens)


def token_texts(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """The text that each id adds to the decoded text; joined, they are the whole text.

    If one character's bytes are spread over several ids, the last of these carries the character and the others are empty.
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
