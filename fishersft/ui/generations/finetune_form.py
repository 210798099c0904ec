"""The Set up section: what to fine-tune on, an estimate of what that takes, and the job that does it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import streamlit as st
import torch

from fishersft import catalogue
from fishersft.corpus.encode import MAX_TOKENS, encode
from fishersft.corpus.records import Corpus, TargetOptions
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import FisherSFTError, ParameterError
from fishersft.fields import arguments
from fishersft.finetuning import AIMED, FineTuneSettings
from fishersft.finetuning.plan import Speed, cost_of, make_plan
from fishersft.lm.embed import Plan
from fishersft.lm.embed import plan as lay_out
from fishersft.lm.folder import ModelFolder, effective_max_tokens
from fishersft.lm.generate import BATCH
from fishersft.lm.hyperparameters import Sampling, Training
from fishersft.lm.model import CausalLM, load_tokenizer
from fishersft.pipeline.aim import aim
from fishersft.selectors import DEFAULT_SELECTOR, Pool, make_selectors
from fishersft.text import duration
from fishersft.ui import cached, components, job_panel, uploads
from fishersft.ui.generations.page_state import FINETUNE, RESULTS, page_state, watched_job
from fishersft.ui.parameters import choose_selectors, selector_settings, widget
from fishersft.ui.session import Choice, Session, public

SELECTORS = (DEFAULT_SELECTOR, "uniform", "longest", "matched_od")
TIMED = 4  # times that a batch is timed; the first is slow
ROWS: tuple[tuple[type, dict[str, float]], ...] = (  # (class, {parameter: width})
    (FineTuneSettings, {"budgets": 2, "seeds": 1, "equal": 2}),
    (Training, {"learning_rate": 2, "epochs": 1, "batch": 1, "lora": 1}),
    (Sampling, {"prompts": 1, "prompt_tokens": 1, "new_tokens": 1, "temperature": 1, "sampling_seed": 1, "score_prompts": 1}),
)
DIFFERS: dict[str, dict[str, Any]] = {  # from what is declared
    "budgets": {"value": (50, 100, 200), "max_chars": 100},
    "seeds": {"value": 3},
    "equal": {"value": "tokens"},
    "learning_rate": {"placeholder": "found on a uniform draw"},
}
Values = dict[str, Any]


def section(visitor: Session) -> None:
    if public():
        st.caption("This hosted demo shows results and trains nothing; install fishersft to run your own.")
        return
    mine, job = page_state(), watched_job(FINETUNE)
    if job is not None and job.out and job.state == "done":

        def opened(name: str = job.out.name) -> None:
            mine.run = name
            st.session_state["section"] = RESULTS

        row = st.container(horizontal=True)
        row.button("Open its results", icon=":material/insights:", key="open-finished", on_click=opened)
    corpus, model = cached.corpus(visitor.choice), visitor.choice.model
    name, read_by = (components.escape_markdown(components.one_line(x, 60)) for x in (corpus.name, model))
    row = st.container(horizontal=True, vertical_alignment="center")
    held_out = int(corpus.held_out.sum())
    row.markdown(f"**{name}**, {len(corpus.pool_index):,} records to choose from, {held_out:,} held out; **{read_by}** is tuned")
    row.page_link("pages/corpus.py", label="Change corpus or model", icon=":material/swap_horiz:")
    aimed = _target(corpus)
    with st.form("form-finetune", border=True):
        help = "Uniform is the baseline. At equal tokens, every selector gets as many tokens as the first one."
        values: Values = {"selectors": choose_selectors(AIMED if aimed.target else SELECTORS, help)}
        for kind, widths in ROWS:
            for column, name in zip(st.columns(list(widths.values()), vertical_alignment="bottom"), widths, strict=True):
                values[name] = widget(kind, name, column, **DIFFERS.get(name, {}))
        a, b, c = st.columns([3, 1, 1], vertical_alignment="bottom")
        values["settings"] = selector_settings(a)
        values["all"], values["keep_models"] = widget(FineTuneSettings, "all", b), widget(FineTuneSettings, "keep_models", c)
        if st.form_submit_button("Check and estimate", icon=":material/timer:"):
            mine.chosen["asked"], mine.chosen["target"] = values, aimed
    if "asked" not in mine.chosen or mine.chosen.get("target") != aimed:
        st.caption("Nothing runs yet: check the plan first, and see how long it takes.")
        return
    try:
        _offer(visitor, dict(mine.chosen["asked"]), aimed)
    except FisherSFTError as error:
        components.problem(str(error))


def _target(corpus: Corpus) -> TargetOptions:
    """What the models should get good at, before the form, since it says which selectors are proposed."""
    a, b = st.columns([4, 1], vertical_alignment="bottom")
    column = next(iter(corpus.categories), "")
    value = corpus.fields[column].dropna().astype(str).min() if column else ""
    example = f"{components.one_line(column, 30)}={components.one_line(value, 30)} or " if column else ""
    target = widget(TargetOptions, "target", a, key="finetune-target", placeholder=f"none; for example {example}wanted.jsonl")
    seed = widget(TargetOptions, "target_seed", b, key="finetune-target-seed", disabled=not target)
    return TargetOptions(target or None, int(seed or 0) if target else 0)


def _offer(visitor: Session, values: Values, aimed: TargetOptions) -> None:
    choice, settings = visitor.choice, values.pop("settings")
    plan = make_plan(make_selectors(values.pop("selectors"), settings), **values)
    corpus, folder = cached.corpus(choice), cached.folder(choice)
    lm = cached.model(choice)
    pool, measured = np.diff(cached.layout(choice).offsets), _held_out(corpus.fingerprint, folder.fingerprint, corpus, folder)
    left = None
    if aimed.target:
        left = _aimed(choice, aimed)
        assert left.target is not None
        st.markdown(f"{components.escape_markdown(left.target.sentence)} {len(left):,} records are left to choose from.")
        if left.target.measuring is None:
            raise ParameterError("One target text cannot choose and measure; name at least two.")
        pool, measured = left.tokens, np.concatenate([measured, left.target.measuring.tokens])
    elif lost := [s.label for s in plan.selectors if s.needs_target]:
        raise ParameterError(f"{' and '.join(lost)} can only choose for a target; name one, or leave it out.")
    if (most := max(plan.budgets)) > len(pool):
        raise ParameterError(f"A budget of {most:,} sentences is more than the {len(pool):,} that can be chosen; lower it.")
    if not corpus.held_out.any():
        raise ParameterError(f"{corpus.name} holds nothing out, so nothing can be measured; raise the held-out share.")
    answers = (left.target.corpus if left and left.target else corpus).shape != "text"
    speed = _speed(lm.fingerprint, max(8, int(pool.mean())), lm)
    cost = cost_of(plan, pool, measured, speed, answers=answers)
    low, high = (duration(s) for s in cost.seconds)
    st.markdown(
        f"{cost.models:,} models, {cost.least:,} to {cost.most:,} trained tokens over all epochs: roughly "
        f"**{low if low == high else f'{low} to {high}'}**. This is estimated from tokens: this machine reads "
        f"{speed.tokens:,.0f} per second (timed just now), a training step is counted as three readings, and writing as "
        f"{speed.step * 1000:.0f} ms per token and batch; the range is from random draws to the longest sentences. It takes "
        "longer when the machine is busy, and embedding and choosing are added where they are not stored. The job runs in the "
        "background and resumes where it was stopped."
    )
    words = [  # they name the run's folder, so equal plans have to give equal words
        *("finetune", choice.source, "--model", choice.model, *choice.flags, *arguments(aimed)),
        *("--selectors", ",".join(s.name for s in plan.selectors), "--budgets", ",".join(map(str, plan.budgets))),
        *(part for setting in settings for part in ("--set", setting)),
        *("--equal", plan.equal, "--seeds", str(plan.seeds), *arguments(plan.training), *arguments(plan.sampling)),
        *arguments(plan, without=("budgets", "equal", "seeds")),
    ]
    out = catalogue.folder_for(catalogue.FINETUNED, words, (corpus.fingerprint, folder.fingerprint))
    n = ", ".join(f"{n:,}" for n in plan.budgets)
    wanted = f" for {components.one_line(aimed.target, 40)}" if aimed.target else ""
    title = f"Fine-tune {components.one_line(choice.name, 50)}{wanted}: {len(plan.selectors)} selectors, n = {n}"
    job = job_panel.offer(
        [*words, "--out", str(out)], kind=FINETUNE, title=title, out=out, key="run-finetune", device=str(lm.device)
    )
    mine = page_state()
    if job is not None and mine.job.get(FINETUNE) != job.id:
        mine.job[FINETUNE], mine.run = job.id, out.name
        mine.hidden.discard(job.id)
        st.rerun()


def _aimed(choice: Choice, aimed: TargetOptions) -> Pool:
    """The pool with its target, on blank rows: neither the halves nor what leaves the pool depends on the model's."""
    folder = cached.folder(choice)

    def blank(layout: Plan) -> TokenEmbeddings:
        return TokenEmbeddings(np.zeros((layout.rows, 1), dtype=np.float32), layout.offsets, layout.index)

    def embed(theirs: Corpus) -> TokenEmbeddings:
        return blank(lay_out(theirs, load_tokenizer(folder), effective_max_tokens(MAX_TOKENS, folder.context)))

    pool = Pool(blank(cached.layout(choice)), cached.corpus(choice))
    return aim(pool, str(aimed.target), embed, aimed.target_seed, load=uploads.read)


@st.cache_data(max_entries=4, show_spinner="Counting tokens …")
def _held_out(corpus_print: str, model_print: str, _corpus: Corpus, _folder: ModelFolder) -> np.ndarray:
    """(H,) trained tokens of the held-out texts."""
    texts = [_corpus.examples[i] for i in np.flatnonzero(_corpus.held_out)]
    encoded = encode(texts, load_tokenizer(_folder), effective_max_tokens(MAX_TOKENS, _folder.context))
    return np.array([len(e.rows) for e in encoded], dtype=np.int64)


@st.cache_resource(max_entries=4, show_spinner="Timing the model on one batch …")
def _speed(fingerprint: str, length: int, _model: CausalLM) -> Speed:
    """Times one batch of typical length and one step of writing; takes the fastest of a few, since other work disturbs."""

    def fastest(*shape: int) -> float:
        ids, taken = torch.zeros(shape, dtype=torch.long), []
        for _ in range(TIMED):
            started = time.perf_counter()
            _model.rows(ids)
            taken.append(time.perf_counter() - started)
        return max(min(taken), 1e-6)

    texts = Training().batch
    return Speed(texts * length / fastest(texts, length), fastest(BATCH, 1))
