"""What all models of a run share while they are made: corpus, encoding, pool, plan; the held-out texts and the prompts.

Writes held_out.json and prompts.jsonl once: what every model is measured on does not depend on any of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fishersft.corpus.encode import Encoded
from fishersft.corpus.records import Corpus
from fishersft.finetuning.plan import Plan
from fishersft.finetuning.run import HELD_OUT, PROMPTS, FineTuneRun, write_lines, write_text
from fishersft.lm.folder import ModelFolder
from fishersft.lm.generate import PromptIds, draw_prompts, text_of
from fishersft.lm.model import CausalLM, load_model, load_tokenizer
from fishersft.selectors import Pool
from fishersft.store.artifacts import Store

Say = Callable[[str], None]  # told a sentence


@dataclass(frozen=True)
class RunContext:
    """What all cells of a run share while they are made."""

    corpus: Corpus
    folder: ModelFolder
    device: str
    pool: Pool
    encoded: list[Encoded]
    plan: Plan
    run: FineTuneRun
    store: Store
    checkpoint_seconds: float

    @cached_property
    def held_out(self) -> list[int]:
        """Record numbers of the held-out texts that train at least one token."""
        return [int(i) for i in np.flatnonzero(self.corpus.held_out) if self.encoded[i].trained.any()]

    def model(self) -> CausalLM:
        return load_model(self.folder, device=self.device)

    @property
    def context(self) -> int:
        return self.folder.context


def write_held_out(context: RunContext) -> None:
    """What every model will be measured on, and the prompts; once a run."""
    run, corpus = context.run, context.corpus
    if (run.folder / HELD_OUT).exists() and (run.folder / PROMPTS).exists():
        return
    column = corpus.categories[0] if corpus.categories else None
    topics = [str(t) for t in corpus.fields[column].map(str).to_numpy()[context.held_out]] if column else None
    tokens = [len(context.encoded[i].rows) for i in context.held_out]
    tokenizer = load_tokenizer(context.folder)
    lines = [
        {
            "prompt": k,
            "index": context.held_out[p.position],
            "ids": list(p.ids),
            "text": text_of(tokenizer, p.ids),
            "continuation": text_of(tokenizer, p.continuation),
            "cut": p.cut,
        }
        for k, p in enumerate(prompts_of(context))
    ]
    write_lines(run.folder / PROMPTS, lines)
    content = {"index": context.held_out, "tokens": tokens, "topic": topics, "column": column}
    write_text(run.folder / HELD_OUT, json.dumps(content))


def prompts_of(context: RunContext) -> list[PromptIds]:
    return draw_prompts([context.encoded[i] for i in context.held_out], context.plan.sampling, context.context)
