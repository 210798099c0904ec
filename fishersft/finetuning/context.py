"""What all models of a run share while they are made: corpus, encoding, pool, plan, prompts, and what each is trained on.

At equal tokens every selector is cut at the tokens of the reference's first n sentences and takes as many steps as the
reference: its batches hold more or fewer sentences.  A batch is a whole number of sentences, so it may take a few steps fewer:
at eight sentences per step, at most a ninth of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fishersft.corpus.encode import Encoded
from fishersft.corpus.records import Corpus
from fishersft.design.trajectory import within_tokens
from fishersft.finetuning.plan import FineTunePlan
from fishersft.finetuning.run import ALL, HELD_OUT, PROMPTS, FineTuneRun, model_name, write_lines, write_text
from fishersft.lm.folder import ModelFolder
from fishersft.lm.generate import PromptIds, draw_prompts, text_of
from fishersft.lm.hyperparameters import Training
from fishersft.lm.model import CausalLM, load_model, load_tokenizer
from fishersft.pipeline import embed_and_select
from fishersft.pipeline.embed_and_select import Stage
from fishersft.selectors import Budget, Pool, Selector
from fishersft.store.artifacts import Store


@dataclass(frozen=True)
class RunContext:
    """What the models of a run share.

    Attributes:
        encoded: all records of the corpus.
        on_stage: called with (what, done, total).
        say: called with a sentence for each finished model.
    """

    corpus: Corpus
    folder: ModelFolder
    device: str
    pool: Pool
    encoded: list[Encoded]
    plan: FineTunePlan
    run: FineTuneRun
    store: Store
    checkpoint_seconds: float
    on_stage: Stage
    say: Callable[[str], None]

    @cached_property
    def held_out(self) -> list[int]:
        """Record numbers of the held-out texts that have at least one trained token."""
        return [int(i) for i in np.flatnonzero(self.corpus.held_out) if self.encoded[i].trained.any()]

    @cached_property
    def held_out_tokens(self) -> list[int]:
        """Trained tokens of each held-out text."""
        return [len(self.encoded[i].rows) for i in self.held_out]

    @cached_property
    def prompts(self) -> list[PromptIds]:
        return draw_prompts([self.encoded[i] for i in self.held_out], self.plan.sampling, self.folder.context)

    @cached_property
    def chosen(self) -> dict[str, np.ndarray]:
        """Positions in the pool that each model is tuned on, by the model's name."""
        plan, tokens = self.plan, self.pool.tokens
        largest = Budget(max(plan.budgets))
        out = {name: np.arange(len(tokens)) for name, (selector, _, _) in plan.models.items() if selector == ALL}
        for seed in range(plan.seeds):
            anchor = self._order(plan.anchor, largest, seed)
            limits = np.array([int(tokens[anchor[:n]].sum()) for n in plan.budgets])
            for selector in plan.selectors:
                ends = np.array(plan.budgets)
                if selector.name == plan.anchor.name:
                    positions = anchor
                elif plan.equal == "sentences":
                    positions = self._order(selector, largest, seed)
                else:
                    positions = self._order(selector, Budget(tokens=int(limits.max())), seed)
                    ends = np.maximum(1, within_tokens(tokens[positions], limits))
                out |= {model_name(selector.name, n, seed): positions[:end] for n, end in zip(plan.budgets, ends, strict=True)}
        return out

    def _order(self, selector: Selector, budget: Budget, seed: int) -> np.ndarray:
        return embed_and_select.order(
            self.pool,
            selector,
            budget,
            seed if selector.random else 0,
            store=self.store,
            on_progress=lambda k, of: self.on_stage(f"{selector.label}: choosing", k, of),
            on_stage=self.on_stage,
        ).positions

    def training_for(self, name: str, training: Training) -> Training:
        """The hyperparameters of one model: at equal tokens, with the batch that makes the reference's number of steps."""
        _, budget, seed = self.plan.models[name]
        if self.plan.equal != "tokens" or budget is None:
            return training
        reference = self.chosen[model_name(self.plan.anchor.name, budget, seed)]
        steps = math.ceil(len(reference) / training.batch)
        return replace(training, batch=math.ceil(len(self.chosen[name]) / steps))

    def model(self) -> CausalLM:
        """The untuned model, freshly loaded."""
        return load_model(self.folder, device=self.device)

    def write_held_out(self) -> None:
        """Write what every model will be measured on, and the prompts, unless they are there."""
        run, corpus = self.run, self.corpus
        if (run.folder / HELD_OUT).exists() and (run.folder / PROMPTS).exists():
            return
        column = corpus.categories[0] if corpus.categories else None
        topics = [str(t) for t in corpus.fields[column].map(str).to_numpy()[self.held_out]] if column else None
        tokenizer = load_tokenizer(self.folder)
        lines = [
            {
                "prompt": k,
                "index": self.held_out[p.position],
                "ids": list(p.ids),
                "text": text_of(tokenizer, p.ids),
                "continuation": text_of(tokenizer, p.continuation),
                "cut": p.cut,
            }
            for k, p in enumerate(self.prompts)
        ]
        write_lines(run.folder / PROMPTS, lines)
        content = {"index": self.held_out, "tokens": self.held_out_tokens, "topic": topics, "column": column}
        write_text(run.folder / HELD_OUT, json.dumps(content))
