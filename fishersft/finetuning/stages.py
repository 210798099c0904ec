"""Fine-tune on every selection: selections -> tuned models -> held-out nats and texts, a cell each, kept as they come.

A cell is one model.  All cells of a run get the same hyperparameters.  Any number of processes may work on one folder, on one
machine or on many that share it: each takes a cell that nobody else holds.
Only the order of the stages is here; beside it are the plan (`plan`), the folder (`run`), opening it again (`settings`), what
all share (`workbench`), the learning rate (`learning_rate`), what each is trained on (`choosing`) and one model (`cell`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from fishersft.corpus.encode import MAX_TOKENS, encode
from fishersft.corpus.load import load_corpus
from fishersft.corpus.records import Corpus
from fishersft.errors import ParameterError
from fishersft.finetuning.allocation import choose, tuning_of
from fishersft.finetuning.context import RunContext, Say, write_held_out
from fishersft.finetuning.learning_rate import training_of
from fishersft.finetuning.plan import Plan
from fishersft.finetuning.run import WORK, FineTuneRun
from fishersft.finetuning.settings import begin, settings_of
from fishersft.finetuning.tuned_model import adopt_cell, claimed, cost_of_cell, make_cell
from fishersft.lm.embed import effective_max_tokens
from fishersft.lm.finetune import CHECKPOINT_SECONDS
from fishersft.lm.folder import ModelFolder, find_model
from fishersft.lm.model import load_tokenizer
from fishersft.lm.training import Training
from fishersft.pipeline import embed_and_select
from fishersft.pipeline.embed_and_select import Stage
from fishersft.selectors import Budget, Selector
from fishersft.store.artifacts import Store

if TYPE_CHECKING:
    from fishersft.finetuning.results import FineTuneResult


def finetune_run(
    corpus: Corpus,
    folder: ModelFolder,
    plan: Plan,
    out: Path | None = None,
    *,
    max_tokens: int = MAX_TOKENS,
    device: str = "auto",
    store: Store | None = None,
    command: Sequence[str] = (),
    donors: Sequence[Path] = (),
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    on_stage: Stage | None = None,
    say: Say | None = None,
) -> FineTuneRun:
    """Do a run, or what is left of it.

    Args:
        out: the run's folder; in the store, under an id made of its settings, where not given.
        command: the command line that made it, kept in run.json.
        donors: folders of runs whose cells are taken over where they are the very same model (equal sentences and equal tokens
            share the untuned one, the whole pool's and the reference's).
        checkpoint_seconds: a kill in the middle of a training loses at most as much.
        on_stage: told (what, done, total); fine-tuning in trained tokens.
        say: told a sentence a finished cell.

    Raises:
        UserError: one sentence; finished cells are kept.
    """
    store, tell, say = store or Store.default(), on_stage or (lambda *_: None), say or (lambda _: None)

    def embedding(done: int, total: int) -> None:
        tell("embedding", done, total)

    if not corpus.held_out.any():
        raise ParameterError(f"{corpus.name} holds nothing out, so nothing can be measured; raise --holdout.")
    pool = embed_and_select.load_pool(corpus, folder, max_tokens=max_tokens, device=device, store=store, on_progress=embedding)
    cut = effective_max_tokens(max_tokens, folder.context)
    for n in plan.budgets:
        Budget(n).check(pool)
    about = settings_of(corpus, folder, plan, cut, pool, command)
    id = hashlib.sha256(json.dumps({k: v for k, v in about.items() if k != "command"}, sort_keys=True).encode()).hexdigest()[:12]
    target = out or store.path / "runs" / id
    target.mkdir(parents=True, exist_ok=True)
    with FileLock(target / ".begin.lock"):
        run = begin(target, id, about)
        context = RunContext(
            corpus,
            folder,
            device,
            pool,
            encode(corpus.examples, load_tokenizer(folder), cut),
            plan,
            run,
            store,
            checkpoint_seconds,
        )
        write_held_out(context)
        training = training_of(context, tell, say)
    chosen = choose(context, tell)
    total = sum(cost_of_cell(context, name, chosen) for name in about["cells"])
    waiting = [name for name in about["cells"] if name not in run.models]
    while waiting:
        taken = False
        for name in list(waiting):
            with claimed(target, name) as mine:
                if mine and name not in run.models:
                    done = sum(cost_of_cell(context, n, chosen) for n in run.models)

                    def steps(k: int, of: int, done: int = done, cost: int = cost_of_cell(context, name, chosen)) -> None:
                        tell("fine-tuning", done + cost * k // max(of, 1), total)

                    tuning = tuning_of(context, name, chosen, training)
                    say(adopt_cell(context, name, chosen, tuning, donors) or make_cell(context, name, chosen, tuning, steps))
                    taken = True
            if name in run.models:
                waiting.remove(name)
        if waiting and not taken:
            time.sleep(1.0)  # others are at work on the rest
    shutil.rmtree(target / WORK, ignore_errors=True)
    tell("fine-tuning", total, total)
    return run


def finetune_all(
    corpus: str | Path | Corpus,
    model: str | Path | ModelFolder = "mini",
    *,
    selectors: Sequence[str | Selector] = ("token_od", "uniform", "longest"),
    budgets: Sequence[int] = (100, 200, 500),
    equal: str = "sentences",
    seeds: int = 1,
    learning_rate: float | None = None,
    out: str | Path | None = None,
    on_stage: Stage | None = None,
    **training: Any,
) -> FineTuneResult:
    """`fishersft finetune` from Python: tune the model on every selection and measure it on the held-out texts.

    Args:
        learning_rate: found on a uniform draw where not given.
        out: the run's folder; in the store where not given. The same call goes on where it was stopped.
        training: fields of `Training` (epochs, batch, lora, ...).

    Raises:
        UserError: one sentence.
    """
    from fishersft.finetuning.results import FineTuneResult

    if learning_rate is not None:
        training["learning_rate"] = learning_rate
    plan = Plan(
        selectors=tuple(embed_and_select.as_selector(s) for s in selectors),
        budgets=tuple(budgets),
        equal=equal,
        seeds=tuple(range(seeds)),
        training=Training(**training),
        sweep=learning_rate is None,
    )
    text = corpus if isinstance(corpus, Corpus) else load_corpus(corpus)
    folder = model if isinstance(model, ModelFolder) else find_model(model)
    return FineTuneResult(finetune_run(text, folder, plan, Path(out) if out else None, on_stage=on_stage))
