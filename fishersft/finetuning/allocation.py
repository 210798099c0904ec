"""What every model of a run is trained on, and in how many steps: equal sentences, or equal tokens and equal steps.

At equal tokens everyone is cut at the tokens of the reference's first n, and takes as many steps as it does: others' batches
hold more or fewer sentences.  A batch is a whole number of sentences, so others may take a few steps fewer: of eight sentences
a step at most a ninth of them.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fishersft.design.gain_curve import within_tokens
from fishersft.finetuning.context import RunContext
from fishersft.finetuning.run import ALL, BASE, model_name
from fishersft.lm.training import Training
from fishersft.pipeline import embed_and_select
from fishersft.pipeline.embed_and_select import Stage
from fishersft.selectors import Budget, Selector

Chosen = dict[str, np.ndarray]  # positions in the pool, by cell


def choose(context: RunContext, tell: Stage) -> Chosen:
    """Positions in the pool of every cell that is tuned."""
    plan, pool = context.plan, context.pool
    out: Chosen = {}
    if ALL in plan.reference_rows:
        out[model_name(ALL, None, plan.seeds[0])] = np.arange(len(pool))

    def order(selector: Selector, budget: Budget, seed: int) -> np.ndarray:
        taken = embed_and_select.order(
            pool,
            selector,
            budget,
            seed if selector.random else 0,
            store=context.store,
            on_progress=lambda k, of: tell(f"{selector.label}: choosing", k, of),
            on_stage=tell,
        )
        return taken.positions

    for seed in plan.seeds:
        anchor = order(plan.anchor, Budget(max(plan.budgets)), seed)
        limits = {n: int(pool.tokens[anchor[:n]].sum()) for n in plan.budgets}
        for selector in plan.selectors:
            if selector.name == plan.anchor.name:
                for n in plan.budgets:
                    out[model_name(selector.name, n, seed)] = anchor[:n]
            elif plan.equal == "sentences":
                positions = order(selector, Budget(max(plan.budgets)), seed)
                for n in plan.budgets:
                    out[model_name(selector.name, n, seed)] = positions[:n]
            else:
                positions = order(selector, Budget(tokens=max(limits.values())), seed)
                ends = within_tokens(pool.tokens[positions], np.array([limits[n] for n in plan.budgets]))
                for n, end in zip(plan.budgets, ends, strict=True):
                    out[model_name(selector.name, n, seed)] = positions[: max(1, int(end))]
    return out


def tuning_of(context: RunContext, name: str, chosen: Chosen, training: Training) -> Training:
    """The hyperparameters of one cell: at equal tokens, the batch that makes the reference's number of steps."""
    selector, budget, seed = next(cell for cell in context.plan.cells if model_name(*cell) == name)
    if context.plan.equal != "tokens" or selector in (BASE, ALL):
        return training
    reference = chosen[model_name(context.plan.anchor.name, budget, seed)]
    steps = math.ceil(len(reference) / training.batch)
    return replace(training, batch=math.ceil(len(chosen[name]) / steps))
