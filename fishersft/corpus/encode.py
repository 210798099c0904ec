"""The encoding that embedding and fine-tuning share: the token ids of an example, and which of them are trained.

    plain text           [bos] ids(text) [eos]                     all ids but bos are trained
    prompt, completion   [bos] ids(prompt) ids(completion) [eos]   the completion and eos are trained
    chat                 [bos], then "Role: " ids(content) for each turn, where [eos] ends an assistant turn and a line
                         break any other; only assistant turns are trained

Where the tokenizer has a chat template, that writes chats, and prompts with their completions as user and assistant
(`chat_template.py`).  We add bos and eos ourselves if the tokenizer defines them; the tokenizer never does.  A text that spells a
special token is split into ordinary tokens, so no record can forge one.  A blank text or completion trains nothing.  Examples are
cut at `max_tokens`.  A trained token is a *target*: its row of the design matrix is the position before it.  Knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Any

import numpy as np

from fishersft.corpus.answers import Range, TemplateRefusal
from fishersft.corpus.chat_template import ChatTemplate, Rendering
from fishersft.corpus.records import MAX_TOKENS as MAX_TOKENS
from fishersft.corpus.records import Chat, Example, Message, PromptCompletion, Text
from fishersft.errors import ModelError
from fishersft.text import encodable, is_blank, listed, shortened

BLANK, NO_ANSWER, UNKNOWN_ROLE = "blank", "no assistant turn", "unknown role"
WEIGHT_0, CUT, ALONE = "answers of weight 0", "cut off before the answer", "a single token, which nothing comes before"
REFUSED, NOT_SHOWN = "refused by the chat template", "the model is not shown what the answer is made of"
CHAT_TEMPLATE, PLAIN_FORM = "chat template", "plain form"  # what writes records that are more than texts
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
    unshown: tuple[str, ...] = ()  # what the model does not get to read of it: "tools", "tool calls", "reasoning", ...

    @property
    def truncated(self) -> bool:
        return self.full_length > len(self.ids)

    @property
    def rows(self) -> np.ndarray:
        """(M,) positions whose *next* token is trained: the rows of X_i.  M is the number of trained tokens."""
        return np.flatnonzero(self.trained[1:])

    @property
    def targets(self) -> np.ndarray:
        """(M,) int64 ids that these rows predict: the trained tokens."""
        return self.ids[self.rows + 1].astype(np.int64)

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64 labels for a causal-LM loss: the ids where trained, -100 elsewhere."""
        return np.where(self.trained, self.ids, IGNORED).astype(np.int64)


def encode(examples: Sequence[Example], tokenizer: Tokenizer, max_tokens: int = MAX_TOKENS) -> list[Encoded]:
    """Encode the examples, in order; the tokenizer is called in batches."""
    by_template = [follows_template(e, tokenizer) for e in examples]
    chats = [as_chat(e) for e, templated in zip(examples, by_template, strict=True) if templated]
    plain = [e for e, templated in zip(examples, by_template, strict=True) if not templated]
    written, joined = iter(_by_template(chats, tokenizer, max_tokens)), iter(_plainly(plain, tokenizer, max_tokens))
    out = [next(written if templated else joined) for templated in by_template]
    return [_explained(e, x) for e, x in zip(examples, out, strict=True)]


def follows_template(example: Example, tokenizer: Tokenizer) -> bool:
    """Whether the tokenizer's chat template writes the example; texts, and all that is to be plain, are joined by us."""
    return bool(getattr(tokenizer, "chat_template", None)) and not isinstance(example, Text) and not example.plain


def why_untrained(encoded: Sequence[Encoded], index: Sequence[int] | np.ndarray | None = None) -> dict[str, dict[str, Any]]:
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


def encoding_sentences(facts: Mapping[str, Any]) -> list[str]:
    """How records became tokens, in sentences, from the facts of embeddings: the model, what writes them, what is left out."""
    model, untrained, unshown = facts.get("model"), facts.get("untrained"), facts.get("unshown")
    said = [note] if (note := facts.get("model_note")) else []
    if facts.get("written_by") == CHAT_TEMPLATE:
        said.append(f"Records are written by the chat template of {model}; --no-chat writes them in our plain form.")
    if unshown:
        lost = listed([f"{what} ({count:,} record{'s' if count > 1 else ''})" for what, count in unshown.items()])
        said.append(f"What the form of the records has no place for, so that {model} does not read it: {lost}.")
    if untrained:
        said.append(f"Left out, since no token of theirs is trained: {untrained_words(untrained)}.")
    return said


def _explained(example: Example, encoded: Encoded) -> Encoded:
    """The same with the reason why it has no trained token, where it has none."""
    if encoded.untrained or encoded.trained.any():
        return encoded
    match example:
        case Text(text):
            reason = BLANK if is_blank(text) else CUT if encoded.truncated else ALONE
        case PromptCompletion():
            reason = BLANK if is_blank(example.completion) else CUT if encoded.truncated else ALONE
        case Chat(messages):
            reason = _why_silent(messages, encoded)
    return replace(encoded, untrained=reason)


def _why_silent(messages: Sequence[Message], encoded: Encoded) -> str:
    answers = [m for m in messages if m.role == "assistant"]
    if not answers:
        unknown = sorted({m.role for m in messages} - ROLES)
        return f"{UNKNOWN_ROLE} {shortened(unknown[0], 40)!r}" if unknown else NO_ANSWER if messages else BLANK
    if not any(m.says_something() for m in answers):
        return BLANK
    if not any(m.trained and m.says_something() for m in answers):
        return WEIGHT_0
    lost = [what for what in encoded.unshown if what in ("tool calls", "reasoning")]
    return CUT if encoded.truncated else f"{NOT_SHOWN}: {listed(lost)}" if lost else NOT_SHOWN


Part = tuple[Sequence[int], bool]


def _plainly(examples: Sequence[Example], tokenizer: Tokenizer, max_tokens: int) -> list[Encoded]:
    """Our own forms, without a template."""
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
            return _plain_chats([e for e in examples if isinstance(e, Chat)], tokenizer, max_tokens)
    return [_join(p, tokenizer, max_tokens, close=True) for p in parts]


def tokenized(tokenizer: Tokenizer, text: str | list[str], *, special: bool = False, **options: bool) -> Any:
    """What a tokenizer makes of a text or of several; where they spell special tokens, those are letters unless `special`.

    ModelError where it gives up, for example over a pattern that takes too many steps.
    """
    try:
        return tokenizer(text, add_special_tokens=False, split_special_tokens=not special, verbose=False, **options)
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Rust, and no Exception
            raise
        raise ModelError(f"The model's tokenizer gave up on a text: {' '.join(str(error).split())[:200]}") from error


def _ids(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return list(tokenized(tokenizer, [encodable(t) for t in texts])["input_ids"])


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


def _plain_chats(chats: Sequence[Chat], tokenizer: Tokenizer, max_tokens: int) -> list[Encoded]:
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
        lacking = {
            "tools": chat.tools,
            "tool calls": [m for m in chat.messages if m.tool_calls],
            "reasoning": [m for m in chat.messages if m.reasoning],
        }
        unshown = tuple(what for what, those in lacking.items() if those)
        out.append(replace(_join(parts, tokenizer, max_tokens, close=False), unshown=unshown))
    return out


def as_chat(example: Example) -> Chat:
    """A prompt as a user's turn and its completion as the assistant's; chats as they are."""
    if isinstance(example, PromptCompletion):
        asked = example.asked or example.prompt
        answer = Message("assistant", example.completion)
        return Chat((answer,) if is_blank(asked) else (Message("user", asked), answer))
    assert isinstance(example, Chat)
    return example


def _by_template(chats: Sequence[Chat], tokenizer: Tokenizer, max_tokens: int) -> list[Encoded]:
    """The ids of the tokenizer's template; every token that overlaps an answer or its end mark is trained."""
    template = ChatTemplate(tokenizer)
    written: list[Rendering | str] = []
    for chat in chats:
        try:
            written.append(template.write(chat))
        except TemplateRefusal as error:
            written.append(f"{REFUSED}: {error}")
    honest = [w.text for w in written if isinstance(w, Rendering) and not w.forged] if tokenizer.is_fast else []
    nothing: dict[str, list[Any]] = {"input_ids": [], "offset_mapping": []}
    whole = tokenized(tokenizer, honest, special=True, return_offsets_mapping=True) if honest else nothing
    tokens = zip(whole["input_ids"], whole["offset_mapping"], strict=True)
    out = []
    for w in written:
        if isinstance(w, str):
            out.append(Encoded(np.empty(0, np.int32), np.empty(0, bool), 0, w))
            continue
        ids, trained = _tokens_of(w, tokenizer, *(next(tokens) if tokenizer.is_fast and not w.forged else (None, [])))
        out.append(replace(_cut(ids, trained, max_tokens), unshown=w.unshown))
    return out


def _tokens_of(
    written: Rendering, tokenizer: Tokenizer, whole: list[int] | None, offsets: list[Range]
) -> tuple[np.ndarray, np.ndarray]:
    """The ids of a conversation, and which are trained.

    The tokenizer's offsets say which tokens overlap an answer, and are believed if those tokens decode to the answer: tokenizers
    that drop characters lose count.  Otherwise the text is encoded in pieces, cut where answers begin and end, which leaves no
    doubt.  That is not done at once because a tokenizer may join characters across such a border: in none of 1,100 instructions
    under four tokenizers where a line break precedes the answers, but in 68 to 97 % of them where a space does.  A token that
    straddles a border is the answer's.
    """
    if whole is not None:
        starts, ends = np.fromiter(chain.from_iterable(offsets), np.int64, 2 * len(whole)).reshape(-1, 2).T
        trained = np.zeros(len(whole), dtype=bool)
        for first, last in written.answers:
            own = np.flatnonzero((starts < last) & (ends > first))
            trained[own] = True
            meant = written.text[min([first, *starts[own[:1]]]) : max([last, *ends[own[-1:]]])]
            said = tokenizer.decode([whole[i] for i in own], clean_up_tokenization_spaces=False)
            if str(said).strip() != meant.strip():
                break
        else:
            return np.asarray(whole, dtype=np.int32), trained
    cuts = sorted({0, len(written.text), *(at for span in (*written.answers, *written.forged) for at in span)})
    ids, ours = list[int](), list[bool]()
    for low, high in pairwise(cuts):
        piece = _continued(tokenizer, written.text[low:high], low > 0, any(a <= low < b for a, b in written.forged))
        ids += piece
        ours += [any(a <= low < b for a, b in written.answers)] * len(piece)
    return np.array(ids, dtype=np.int32), np.array(ours, dtype=bool)


def _continued(tokenizer: Tokenizer, text: str, inside: bool, forged: bool) -> list[int]:
    """The ids of a piece of a longer text; a `forged` one is split where it spells a special token."""

    def ids(text: str) -> list[int]:
        return list(tokenized(tokenizer, text, special=not forged)["input_ids"])

    if inside:  # after a line break, since some tokenizers put a space before the first word of a text
        lead, out = ids("\n"), ids("\n" + text)
        if out[: len(lead)] == lead:
            return out[len(lead) :]
    return ids(text)


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
