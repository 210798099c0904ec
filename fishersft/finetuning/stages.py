"""Fine-tune on every selection: selections -> tuned models -> held-out nats and texts, each model kept as it is finished.

All models of a run get the same hyperparameters.  Any number of processes may work on one folder, on one machine or on many
that share it: each takes a model that nobody else holds.  A learning rate that is not given is found on a uniform draw of the
pool and measured on other records of it, so that neither a selector under test nor the held-out texts influence it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from fishersft.corpus.encode import MAX_TOKENS, Encoded, encode
from fishersft.corpus.load import load_corpus
from fishersft.corpus.records import Corpus
from fishersft.errors import ParameterError, TrainingError
from fishersft.finetuning.models import RunContext, claimed, make_model, take_over, work_of
from fishersft.finetuning.plan import SEARCH_EXAMPLES, make_plan, manifest_of
from fishersft.finetuning.results import FineTuneResult
from fishersft.finetuning.run import RATE, TRIED, WORK, begin, write_text
from fishersft.finetuning.schema import RateFile, TriedFile
from fishersft.finetuning.scores import require_scoring
from fishersft.lm.finetune import finetune as tune
from fishersft.lm.folder import ModelFolder, effective_max_tokens, find_model
from fishersft.lm.hyperparameters import CHECKPOINT_SECONDS, RATES, Training
from fishersft.lm.losses import nats_of
from fishersft.lm.model import CausalLM, load_tokenizer
from fishersft.paths import writing
from fishersft.pipeline import embed_and_select
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Selector
from fishersft.selectors.base import Stage
from fishersft.store.artifacts import Store
from fishersft.store.checked import read_json

SEED = 97  # of the draw that a learning rate is found on
LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "MASTER_ADDR", "MASTER_PORT")


def finetune(
    corpus: str | Path | Corpus,
    model: str | Path | ModelFolder = "mini",
    *,
    selectors: Sequence[str | Selector] = (DEFAULT_SELECTOR, "uniform", "longest"),
    target: str | None = None,
    target_seed: int = 0,
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
        target, target_seed: as in `load_pool`; models are then measured on its measuring half, and on the held-out texts to see
            what was lost elsewhere.
        out: the run's folder; by default in the store, under an id made of its settings. The same call resumes there.
        command: the command line, kept in run.json.
        donors: folders of runs from which identical models are taken over: runs at equal sentences and at equal tokens share
            the untuned model and the one tuned on the whole pool.
        checkpoint_seconds: at most so much of a training is lost when the process is killed.
        on_stage: called with (what, done, total); fine-tuning is counted in trained tokens.
        say: called with a sentence for each finished model.
        parameters: of `FineTuneSettings`, `Training` and `Sampling`.

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
        target=target,
        target_seed=target_seed,
        max_tokens=max_tokens,
        device=device,
        store=store,
        on_progress=partial(tell, "embedding"),
    )
    if pool.target and pool.target.measuring is None:
        raise ParameterError(f"The target {pool.target.name} has one text, so none is left to measure on; name at least two.")
    cut = effective_max_tokens(max_tokens, folder.context)
    for n in (*plan.budgets, *plan.curve):
        Budget(n).check(pool)
    about = manifest_of(corpus, folder, plan, cut, pool, command)
    if "score_prompts" in about:
        require_scoring()
    id = hashlib.sha256(json.dumps({k: v for k, v in about.items() if k != "command"}, sort_keys=True).encode()).hexdigest()[:12]
    place = Path(out) if out else store.path / "runs" / id
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place / ".begin.lock").acquire()
    with lock:
        run = begin(place, id, about)
        encoded = encode(corpus.examples, load_tokenizer(folder), cut)
        context = RunContext(
            corpus, folder, device, pool, encoded, plan, run, store, checkpoint_seconds, tell, say or (lambda _: None)
        )
        context.write_held_out()
        training = _training_of(context)
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

                    own = context.training_for(name, training)
                    context.say(take_over(context, name, own, donors) or make_model(context, name, own, steps))
                    taken = True
            if name in run.models:
                waiting.remove(name)
        if waiting and not taken:
            time.sleep(1.0)  # others are at work on the rest
    shutil.rmtree(run.folder / WORK, ignore_errors=True)
    context.on_stage("fine-tuning", total, total)


def _training_of(context: RunContext) -> Training:
    """The hyperparameters of every model; their learning rate is found first where it is not given."""
    plan = context.plan
    if plan.training.learning_rate is not None:
        return plan.training
    path = context.run.folder / RATE
    if known := read_json(path, RateFile, "delete it and resume the run"):
        return replace(plan.training, learning_rate=float(known["chosen"]))
    pool_index = context.pool.index
    order = np.random.default_rng(SEED).permutation(len(pool_index))
    n = plan.search_size(len(order))
    if n < 1:
        raise ParameterError("The pool is too small to find a learning rate on; give --learning-rate.")
    train = [context.encoded[i] for i in pool_index[order[:n]]]
    test = [context.encoded[i] for i in pool_index[order[n : n + SEARCH_EXAMPLES]]]
    found = _tried(context, train, test)
    finite = {rate: nats for rate, nats in found.items() if nats is not None}
    if not finite:
        raise TrainingError("Fine-tuning diverged at every learning rate tried; give a smaller one with --learning-rate.")
    chosen = min(finite, key=lambda r: finite[r])
    untuned = _mean_nats(context.model(), test)
    content = {"chosen": float(chosen), "nats": found, "base": untuned, "trained_on": n, "measured_on": len(test)}
    write_text(path, json.dumps(content))
    context.say(
        f"learning rate {chosen}: {finite[chosen]:.3f} nats per token on {len(test)} pool records after training on {n} others "
        f"(untuned {untuned:.3f}).{edge_warning(float(chosen), found)}"
    )
    return replace(plan.training, learning_rate=float(chosen))


def _tried(context: RunContext, train: Sequence[Encoded], test: Sequence[Encoded]) -> dict[str, float | None]:
    """{learning rate: nats per token on `test` of a model trained on `train`, None where it diverged}, of all `RATES`.

    Each is kept as soon as it is found, and a training that was stopped resumes from its checkpoint, so a run that is started
    again goes on where the search was.
    """
    work = context.run.folder / WORK
    kept = read_json(work / TRIED, TriedFile, "delete it and resume the run")
    found = dict(kept["nats"]) if kept and kept["trained_on"] == len(train) else {}
    for k, rate in enumerate(RATES):
        name = f"{rate:g}"
        if name in found:
            continue

        def steps(done: int, of: int, k: int = k) -> None:
            context.on_stage("finding the learning rate", k * of + done, len(RATES) * of)

        trial, workspace = replace(context.plan.training, learning_rate=rate), work / f"rate-{name}-{len(train)}"
        every = context.checkpoint_seconds
        try:
            tuned = tune(context.model(), train, trial, workspace=workspace, checkpoint_seconds=every, on_progress=steps)
            nats = _mean_nats(tuned.model, test)
            found[name] = nats if np.isfinite(nats) else None
        except TrainingError:
            found[name] = None
        write_text(work / TRIED, json.dumps({"trained_on": len(train), "nats": found}))
        shutil.rmtree(workspace, ignore_errors=True)
    return found


def _mean_nats(model: CausalLM, texts: Sequence[Encoded]) -> float:
    """Nats per trained token."""
    return float(nats_of(model, texts).sum() / sum(len(e.rows) for e in texts))


def edge_warning(chosen: float, tried: Mapping[str, float | None]) -> str:
    """A sentence where the best rate is the smallest or the largest that was tried, since the best of all may lie beyond."""
    rates = [float(rate) for rate in tried]
    if chosen not in (min(rates), max(rates)):
        return ""
    end, beyond = ("largest", "higher") if chosen == max(rates) else ("smallest", "lower")
    return f" It is the {end} that was tried; a {beyond} one may be better, and --learning-rate takes it."


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
