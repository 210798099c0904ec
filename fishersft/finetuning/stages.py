"""Fine-tune on every selection: selections -> tuned models -> held-out nats and texts, each model kept as it is finished.

All models of a run get the same hyperparameters.  Any number of processes may work on one folder, on one machine or on many
that share it: each takes a model that nobody else holds.  Only the order of the stages is here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from fishersft.corpus.encode import MAX_TOKENS, encode
from fishersft.corpus.load import load_corpus
from fishersft.corpus.records import Corpus
from fishersft.errors import ParameterError
from fishersft.finetuning.allocation import training_for
from fishersft.finetuning.context import RunContext
from fishersft.finetuning.learning_rate import training_of
from fishersft.finetuning.plan import make_plan, manifest_of
from fishersft.finetuning.results import FineTuneResult
from fishersft.finetuning.run import WORK, begin
from fishersft.finetuning.tuned_model import claimed, make_model, take_over, work_of
from fishersft.lm.embed import effective_max_tokens
from fishersft.lm.folder import ModelFolder, find_model
from fishersft.lm.hyperparameters import CHECKPOINT_SECONDS, Training
from fishersft.lm.model import load_tokenizer
from fishersft.pipeline import embed_and_select
from fishersft.pipeline.embed_and_select import Stage
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Selector
from fishersft.store.artifacts import Store

LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "MASTER_ADDR", "MASTER_PORT")


def finetune(
    corpus: str | Path | Corpus,
    model: str | Path | ModelFolder = "mini",
    *,
    selectors: Sequence[str | Selector] = (DEFAULT_SELECTOR, "uniform", "longest"),
    out: str | Path | None = None,
    max_tokens: int = MAX_TOKENS,
    device: str = "auto",
    store: Store | None = None,
    command: Sequence[str] = (),
    donors: Sequence[Path] = (),
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    on_stage: Stage | None = None,
    say: Callable[[str], None] | None = None,
    **parameters: Any,
) -> FineTuneResult:
    """Tune the model on every selection and measure it on the held-out texts, as `fishersft finetune` does.

    Args:
        out: the run's folder; by default in the store, under an id made of its settings. The same call resumes there.
        command: the command line, kept in run.json.
        donors: folders of runs from which identical models are taken over (runs at equal sentences and at equal tokens share
            the untuned model, the one tuned on the whole pool, and the reference's).
        checkpoint_seconds: at most so much of a training is lost when the process is killed.
        on_stage: called with (what, done, total); fine-tuning is counted in trained tokens.
        say: called with a sentence for each finished model.
        parameters: of `FineTuneSettings` (budgets, equal, seeds, ...), `Training` (learning_rate, epochs, lora, ...) and
            `Sampling` (prompts, temperature, ...).

    Raises:
        UserError: one sentence; finished models are kept.
    """
    tell: Stage = on_stage or (lambda *_: None)
    plan = make_plan([embed_and_select.as_selector(s) for s in selectors], **parameters)
    corpus = corpus if isinstance(corpus, Corpus) else load_corpus(corpus)
    folder = model if isinstance(model, ModelFolder) else find_model(model)
    store, device = store or Store.default(), _worker_device(device)
    if not corpus.held_out.any():
        raise ParameterError(f"{corpus.name} holds nothing out, so nothing can be measured; raise --holdout.")
    pool = embed_and_select.load_pool(
        corpus,
        folder,
        max_tokens=max_tokens,
        device=device,
        store=store,
        on_progress=lambda done, total: tell("embedding", done, total),
    )
    cut = effective_max_tokens(max_tokens, folder.context)
    for n in plan.budgets:
        Budget(n).check(pool)
    about = manifest_of(corpus, folder, plan, cut, pool, command)
    id = hashlib.sha256(json.dumps({k: v for k, v in about.items() if k != "command"}, sort_keys=True).encode()).hexdigest()[:12]
    target = Path(out) if out else store.path / "runs" / id
    target.mkdir(parents=True, exist_ok=True)
    with FileLock(target / ".begin.lock"):
        run = begin(target, id, about)
        encoded = encode(corpus.examples, load_tokenizer(folder), cut)
        context = RunContext(
            corpus, folder, device, pool, encoded, plan, run, store, checkpoint_seconds, tell, say or (lambda _: None)
        )
        context.write_held_out()
        training = training_of(context)
    _make_all(context, training, donors)
    return FineTuneResult(run)


def _make_all(context: RunContext, training: Training, donors: Sequence[Path]) -> None:
    """Make the models that are missing; wait for those that other processes make."""
    run, names = context.run, list(context.plan.models)
    total = sum(work_of(context, name) for name in names)
    waiting = [name for name in names if name not in run.models]
    while waiting:
        taken = False
        for name in list(waiting):
            with claimed(run.folder, name) as mine:
                if mine and name not in run.models:
                    done = sum(work_of(context, other) for other in run.models if other in names)

                    def steps(k: int, of: int, done: int = done, cost: int = work_of(context, name)) -> None:
                        context.on_stage("fine-tuning", done + cost * k // max(of, 1), total)

                    own = training_for(name, context.plan, context.chosen, training)
                    context.say(take_over(context, name, own, donors) or make_model(context, name, own, steps))
                    taken = True
            if name in run.models:
                waiting.remove(name)
        if waiting and not taken:
            time.sleep(1.0)  # others are at work on the rest
    shutil.rmtree(run.folder / WORK, ignore_errors=True)
    context.on_stage("fine-tuning", total, total)


@cache  # the environment says it only once
def _worker_device(device: str) -> str:
    """The device of this process, which under `torchrun` or `accelerate launch` is a GPU of its own.

    Several workers share the models of a run, and each makes whole ones: the launcher's request to train one model together is
    removed from the environment.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return device
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "auto" and torch.cuda.device_count() > rank:
        device = f"cuda:{rank}"
    for name in [n for n in os.environ if n in LAUNCHER or n.startswith(("ACCELERATE_", "TORCHELASTIC_"))]:
        del os.environ[name]
    return device
