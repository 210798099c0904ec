"""Prompts cut from held-out records, and their continuation by a model.

A prompt is the first tokens of a plain text, the prompt of a pair, or a chat up to its first answer; where answers are scored,
a chat up to its last one.  Only the seed decides which records are taken.  Every model gets the same prompts, batches and random
numbers.  Knows no run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from fishersft.corpus.encode import Encoded
from fishersft.lm.hyperparameters import Sampling
from fishersft.lm.model import CausalLM, Progress, library

LEAST_CONTINUATION = 8  # trained tokens that a record must have after its prompt
BATCH = 32


@dataclass(frozen=True)
class PromptIds:
    """A prompt: its record's position, its ids, the ids that follow, and the number of ids cut from its beginning."""

    position: int
    ids: tuple[int, ...]
    continuation: tuple[int, ...]
    cut: int


@dataclass(frozen=True)
class Written:
    """A model's continuation of a prompt; `ended` if the model produced the end token."""

    text: str
    tokens: int
    ended: bool


def draw_prompts(held_out: Sequence[Encoded], sampling: Sampling, context: int = 0) -> list[PromptIds]:
    """The prompts of `sampling.prompts` examples, or of all that are long enough if these are fewer.

    A prompt that does not fit into `context` tokens (0 for no limit) with its continuation loses its first tokens.
    """
    found = [p for i, e in enumerate(held_out) if (p := _prompt(i, e, sampling, context))]
    order = np.random.default_rng(sampling.sampling_seed).permutation(len(found))[: sampling.prompts]
    return [found[i] for i in sorted(order)]


def _prompt(position: int, example: Encoded, sampling: Sampling, context: int) -> PromptIds | None:
    trained = np.flatnonzero(example.trained)
    if not len(trained):
        return None
    whole = len(trained) == len(example.ids) - int(trained[0]) and trained[0] <= 1  # a plain text: everything but bos is trained
    start = int(trained[0]) + (sampling.prompt_tokens if whole else 0)
    run = example.trained[start:]
    end = start + (int(np.argmin(run)) if not run.all() else len(run))
    if end - start < (LEAST_CONTINUATION if whole else 1) or start == 0:
        return None
    room = max(1, context - sampling.new_tokens) if context else start
    cut = max(0, start - room)
    ids = tuple(int(i) for i in example.ids[cut:start])
    return PromptIds(position, ids, tuple(int(i) for i in example.ids[start:end]), cut)


def last_answer(position: int, example: Encoded) -> PromptIds | None:
    """What comes before an example's last answer, and that answer; None for a plain text and for one that was cut off."""
    trained = np.flatnonzero(example.trained)
    if not len(trained) or example.truncated:
        return None
    before = np.flatnonzero(~example.trained[: trained[-1]])
    start, end = (int(before[-1]) + 1 if len(before) else 0), int(trained[-1]) + 1
    if start <= 1:
        return None
    return PromptIds(position, tuple(map(int, example.ids[:start])), tuple(map(int, example.ids[start:end])), 0)


def write(
    model: CausalLM, prompts: Sequence[PromptIds], sampling: Sampling, *, on_progress: Progress | None = None
) -> list[Written]:
    """The model's continuation of each prompt, in order.

    A batch holds prompts of similar length, padded on the left; its random numbers depend only on the seed and the batch.
    """
    out: list[Written | None] = [None] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].ids), i))
    tokenizer = model.tokenizer
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (tokenizer.eos_token_id or 0)
    chance = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
    settings = library().GenerationConfig(  # all settings are ours; the model's own generation_config.json is ignored
        max_new_tokens=sampling.new_tokens,
        pad_token_id=pad,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        **(chance if sampling.temperature > 0 else {"do_sample": False}),
    )
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        for first in range(0, len(order), BATCH):
            chosen = order[first : first + BATCH]
            found = [torch.tensor(prompts[i].ids) for i in chosen]
            ids = pad_sequence(found, batch_first=True, padding_value=pad, padding_side="left")
            mask = pad_sequence([torch.ones_like(one) for one in found], batch_first=True, padding_side="left")
            torch.manual_seed(sampling.sampling_seed + first)
            with torch.inference_mode():
                whole = model.network.generate(
                    input_ids=ids.to(model.device), attention_mask=mask.to(model.device), generation_config=settings
                )
            for i, new in zip(chosen, whole[:, ids.shape[1] :].cpu().tolist(), strict=True):
                ended = tokenizer.eos_token_id in new
                body = new[: new.index(tokenizer.eos_token_id)] if ended else new
                out[i] = Written(text_of(tokenizer, body), len(body) + ended, ended)
            if on_progress:
                on_progress(min(first + BATCH, len(order)), len(order))
    return [w for w in out if w is not None]


def text_of(tokenizer: Any, ids: Sequence[int]) -> str:
    """The decoded text of ids, without special tokens."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
