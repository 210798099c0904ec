"""The Set up section: what to fine-tune on, what that takes, and the job that does it."""

from __future__ import annotations

import shlex
import time
from dataclasses import fields
from typing import Any

import numpy as np
import streamlit as st

from fishersft.commands.finetune import SAMPLING, TRAINING, plan_of
from fishersft.corpus.encode import MAX_TOKENS, encode
from fishersft.corpus.records import Corpus
from fishersft.errors import FisherSFTError, ParameterError
from fishersft.finetuning import run_list as finetune_found
from fishersft.finetuning.cost import Speed, TrainingCost, cost_of
from fishersft.finetuning.plan import Plan
from fishersft.lm.embed import effective_max_tokens
from fishersft.lm.folder import ModelFolder
from fishersft.lm.generate import BATCH, Sampling
from fishersft.lm.model import CausalLM, load_tokenizer
from fishersft.lm.training import Training
from fishersft.selectors import find_selector, registry
from fishersft.store import jobs
from fishersft.ui import cached, components, job_panel
from fishersft.ui.generations.page_state import FINETUNE, RESULTS, page_state, watched_job
from fishersft.ui.session import Session, public

SELECTORS = ("token_od", "uniform", "longest", "matched_od")
TIMED = 4  # times each; the first is slow
FOUND, GIVEN = "found on a uniform draw", "given"
Values = dict[str, Any]


def section(visitor: Session) -> None:
    """Parameters, an estimate, and one button."""
    if public():
        st.caption("This hosted demo shows results and trains nothing; install fishersft to run your own.")
        return
    job = watched_job(FINETUNE)
    if job is not None and job.out and job.state == "done":
        row = st.container(horizontal=True)
        row.button("Open its results", icon=":material/insights:", key="open-finished", on_click=_open, args=(job.out.name,))
    corpus, model = cached.corpus(visitor.choice), visitor.choice.model
    name, read_by = (components.escape_markdown(components.one_line(x, 60)) for x in (corpus.name, model))
    row = st.container(horizontal=True, vertical_alignment="center")
    held_out = int(corpus.held_out.sum())
    row.markdown(f"**{name}**, {len(corpus.pool_index):,} records to choose from, {held_out:,} held out, **{read_by}** to tune")
    row.page_link("pages/corpus.py", label="Change corpus or model", icon=":material/swap_horiz:")
    with st.form("form-finetune", border=True):
        values = _form()
        if st.form_submit_button("Check and estimate", icon=":material/timer:"):
            page_state().chosen["asked"] = values
    asked: Values | None = page_state().chosen.get("asked")
    if asked is None:
        st.caption("Nothing runs yet: check it first, and see how long it takes.")
        return
    try:
        plan = plan_from(asked)
        _offer(visitor, asked, plan)
    except FisherSFTError as error:
        components.problem(str(error))


def _open(name: str) -> None:
    """Show a run's results."""
    page_state().run = name
    st.session_state["section"] = RESULTS


def _form() -> Values:
    """Widgets and the values they hold."""
    t, s = Training(), Sampling()
    values: Values = {}
    names = [name for name, kind in registry().items() if not kind.reaches_out]
    values["selectors"] = st.multiselect(
        "Selectors", names, list(SELECTORS), format_func=lambda n: find_selector(n).label, help="Uniform is the baseline; the "
        "first one's tokens are what all get at equal tokens."
    )  # fmt: skip
    a, b, c = st.columns([2, 1, 2])
    values["budgets"] = a.text_input("Budgets n", "50,100,200", max_chars=100, help="Sentences, with commas between.")
    values["seeds"] = b.number_input(
        "Seeds", 1, 50, 2, help="Draws and trainings of each selector; one seed has no band of its own."
    )
    values["equal"] = c.segmented_control(
        "At equal",
        ["sentences", "tokens"],
        default="tokens",
        required=True,
        help="Sentences: everyone gets n. Tokens: as many as the first selector's first n sentences have, which is the fair one "
        "where texts differ in length.",
    )
    a, b, c, d, e = st.columns([2, 2, 1, 1, 1], vertical_alignment="bottom")
    values["rate"] = a.segmented_control(
        "Learning rate", [FOUND, GIVEN], default=FOUND, required=True, help="Found: the best of a few, tried on a uniform draw."
    )
    values["learning_rate"] = b.number_input(
        "If given",
        value=t.learning_rate,
        step=None,
        format="%g",
        help="At a rate too high every tuned model is worse than before.",
    )
    values["epochs"] = c.number_input("Epochs", 1, 100, t.epochs, help="Passes over the selection.")
    values["batch"] = d.number_input("Batch", 1, 512, t.batch, help="Sentences a step.")
    values["lora"] = e.toggle("LoRA", t.lora, help="Tune low-rank adapters instead of all weights.")
    a, b, c, d, e = st.columns(5)
    values["prompts"] = a.number_input("Prompts", 0, 2_000, s.prompts, help="Held-out records that are begun; 0 writes no texts.")
    values["prompt_tokens"] = b.number_input("Prompt tokens", 1, 512, s.prompt_tokens, help="Given of each plain text.")
    values["new_tokens"] = c.number_input("New tokens", 1, 1_024, s.new_tokens, help="Written at most.")
    values["temperature"] = d.number_input(
        "Temperature",
        0.0,
        5.0,
        s.temperature,
        0.1,
        help="Below 1 texts read better and surprise less than real ones; the reference judge then prefers the more surprising.",
    )
    values["sampling_seed"] = e.number_input("Seed of prompts", 0, 10**6, s.seed, help="Draws the prompts and the sampling.")
    a, b, c = st.columns([3, 1, 1], vertical_alignment="bottom")
    values["settings"] = a.text_input(
        "Selector settings", "", placeholder="token_od.sigma2=2 matched_od.ridge=0.01", max_chars=300, help="With spaces between."
    )
    values["all"] = b.toggle("Whole pool too", True, help="A model tuned on everything: the far end, and the reference judge's.")
    values["keep_models"] = c.toggle("Keep weights", False, help="Of every model, not only of the whole pool's.")
    return values


def plan_from(values: Values) -> Plan:
    """The plan of the values, as the command makes it.

    Raises:
        ParameterError, UserError: one sentence.
    """
    t, s = Training(), Sampling()
    usual: Values = {
        "warmup": t.warmup,
        "weight_decay": t.weight_decay,
        "rank": t.rank,
        "precision": t.precision,
        "top_p": s.top_p,
    }
    if len(values["selectors"]) < 1:
        raise ParameterError("Name at least one selector to fine-tune on.")
    options = {**usual, **{k: values[k] for k in (*TRAINING, *SAMPLING) if k in values}}
    options["learning_rate"] = values["learning_rate"] if values["rate"] == GIVEN else None
    return plan_of(
        {
            **options,
            "selectors": ",".join(values["selectors"]),
            "settings": tuple(str(values["settings"]).split()),
            "budgets": values["budgets"],
            "equal": values["equal"],
            "reference": "",
            "seeds": int(values["seeds"]),
            "no_all": not values["all"],
            "keep_models": bool(values["keep_models"]),
        }
    )


def arguments_of(visitor: Session, values: Values, plan: Plan) -> list[str]:
    """Of the command line, without --out; what is at its default is left out."""
    out = ["finetune", visitor.choice.source, "--model", visitor.choice.model]
    for name, value in visitor.choice.options:
        out += [f"--{name.replace('_', '-')}", *([value] if value else [])]
    out += ["--selectors", ",".join(s.name for s in plan.selectors), "--budgets", ",".join(map(str, plan.budgets))]
    out += [part for setting in str(values["settings"]).split() for part in ("--set", setting)]
    out += ["--equal", plan.equal, "--seeds", str(len(plan.seeds))]
    given = {**plan.training.parameters, **plan.sampling.parameters, "sampling_seed": plan.sampling.seed}
    usual = {f.name: f.default for f in (*fields(Training), *fields(Sampling))} | {"sampling_seed": Sampling().seed}
    if not plan.sweep:
        out += ["--learning-rate", f"{plan.training.learning_rate:g}"]
    for name in (*TRAINING, *SAMPLING):
        if name == "learning_rate" or given[name] == usual[name]:
            continue
        out += [f"--{name.replace('_', '-')}", *([] if given[name] is True else [f"{given[name]}"])]
    return [*out, *([] if values["all"] else ["--no-all"]), *(["--keep-models"] if plan.keep_models else [])]


def _offer(visitor: Session, values: Values, plan: Plan) -> None:
    """The estimate, the command and the button."""
    corpus, folder = cached.corpus(visitor.choice), cached.folder(visitor.choice)
    lm = cached.model(visitor.choice)
    pool = np.diff(cached.layout(visitor.choice).offsets)
    if (most := max(plan.budgets)) > len(pool):
        raise ParameterError(f"A budget of {most:,} sentences is more than the {len(pool):,} that can be chosen; lower it.")
    if not corpus.held_out.any():
        raise ParameterError(f"{corpus.name} holds nothing out, so nothing can be measured; raise the held-out share.")
    speed = _speed(lm.fingerprint, max(8, int(pool.mean())), lm)
    cost = cost_of(plan, pool, _held_out(corpus.fingerprint, folder.fingerprint, corpus, folder), speed)
    st.markdown(_told(cost, speed))
    arguments = arguments_of(visitor, values, plan)
    out = finetune_found.folder_for(arguments, (corpus.fingerprint, folder.fingerprint))
    arguments += ["--out", str(out)]
    components.shell(shlex.join(["fishersft", *arguments]))
    if any(j.out == out and not j.ended and j.kind == FINETUNE for j in jobs.jobs()):
        st.info("This very run is going on; it is shown above.", icon=":material/play_circle:")
        return
    if st.button("Run as a job", type="primary", icon=":material/play_arrow:", key="run-finetune"):
        n = ", ".join(f"{n:,}" for n in plan.budgets)
        title = f"Fine-tune {components.one_line(visitor.choice.name, 50)}: {len(plan.selectors)} selectors, n = {n}"
        job = jobs.start(arguments, kind=FINETUNE, title=title, device=str(lm.device), out=out)
        page_state().job[FINETUNE] = job.id
        page_state().run = out.name
        page_state().hidden.discard(job.id)
        st.rerun()


def _told(cost: TrainingCost, speed: Speed) -> str:
    low, high = (job_panel.span(s) for s in cost.seconds)
    took = low if low == high else f"{low} to {high}"
    return (
        f"{cost.models:,} models, {cost.least:,} to {cost.most:,} trained tokens over all epochs: roughly **{took}**. Estimated "
        f"from tokens: this machine reads {speed.tokens:,.0f} of them a second (timed just now), a training step is counted as "
        f"three readings, and writing as {speed.step * 1000:.0f} ms a token and batch; the range is from random draws to the "
        "longest sentences. Other work beside it makes it longer; embedding and choosing come on top where they are not kept. "
        "It runs in the background, and goes on where it was stopped."
    )


@st.cache_data(max_entries=4, show_spinner="Counting tokens …")
def _held_out(corpus_print: str, model_print: str, _corpus: Corpus, _folder: ModelFolder) -> np.ndarray:
    """(H,) trained tokens of the held-out texts."""
    texts = [_corpus.examples[i] for i in np.flatnonzero(_corpus.held_out)]
    encoded = encode(texts, load_tokenizer(_folder), effective_max_tokens(MAX_TOKENS, _folder.context))
    return np.array([len(e.rows) for e in encoded], dtype=np.int64)


@st.cache_resource(max_entries=4, show_spinner="Timing the model on one batch …")
def _speed(fingerprint: str, length: int, _model: CausalLM) -> Speed:
    """Measured on one batch of typical length and on one step of writing; the fastest of a few, as other work disturbs."""
    import torch

    def fastest(*shape: int) -> float:
        ids, taken = torch.zeros(shape, dtype=torch.long), []
        for _ in range(TIMED):
            started = time.perf_counter()
            _model.rows(ids)
            taken.append(time.perf_counter() - started)
        return max(min(taken), 1e-6)

    texts = Training().batch
    return Speed(texts * length / fastest(texts, length), fastest(BATCH, 1))
