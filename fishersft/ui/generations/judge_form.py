"""The form that asks a judge: which one, what it will read, what that costs, and the job that does it.

A server's key comes from the environment, from the app's secrets or from a password field.  It goes into the environment of the
job's process and nowhere else: into no argument, no address, no log and no store.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import streamlit as st

from fishersft import fields
from fishersft.errors import FisherSFTError, JudgeError
from fishersft.judge import judging
from fishersft.judge.form import LLM, REFERENCE, JudgeForm
from fishersft.judge.judges import LLMJudge
from fishersft.lm.chat_server import needs_key
from fishersft.ui import components, job_panel, query_widgets
from fishersft.ui.generations.page_state import JUDGE, LoadedRun, damage_reported, page_state
from fishersft.ui.parameters import widget
from fishersft.ui.session import public

LOCAL = "local"
KINDS = {REFERENCE: "reference model", LLM: "a server", LOCAL: "a local model"}
KEY, BASE_URL = "OPENAI_API_KEY", "OPENAI_BASE_URL"
EVERYONE = ""  # `against` nobody in particular


def panel(of: LoadedRun, *, empty: bool) -> None:
    if public():
        st.caption("This hosted demo shows verdicts and asks no judge; install fishersft to judge on your own machine.")
        return
    if not of.every:
        return
    with st.expander("Ask a judge", icon=":material/gavel:", expanded=empty):
        help = (
            "Reference: the untuned model against the one tuned on the whole pool, ours, no key. A server: any OpenAI-compatible "
            "one. A local model: an instruction-tuned one from a folder or the hub."
        )
        look: dict[str, Any] = {"key": "judge-kind", "format_func": KINDS.__getitem__, "help": help}
        kind = query_widgets.one_of("Judge", list(KINDS), REFERENCE, **look)
        values = _widgets(of, kind)
        try:
            _offer(of, kind, values)
        except FisherSFTError as error:
            components.problem(str(error))


def _widgets(of: LoadedRun, kind: str) -> dict[str, Any]:
    values: dict[str, Any] = {"judge": kind}

    def draw(name: str, place: Any = st, **overrides: Any) -> None:
        values[name] = widget(JudgeForm, name, place, key=f"judge-{name}", **overrides)

    a, b = st.columns(2)
    there = [EVERYONE, *dict.fromkeys(c.selector for c in of.models.values())]
    look: dict[str, Any] = {"key": "judge-against", "help": fields.declared(JudgeForm)["against"].about.help}
    look["format_func"] = lambda x: f"all against {of.label(x)}" if x else "every pair"
    values["against"] = a.selectbox("Compare", there, **look)
    draw("prompts", b, placeholder="all")
    if kind == LOCAL:
        draw("judge", label="Model", value="", placeholder="hf:owner/name, or a folder with safetensors")
    if kind == LLM:
        a, b = st.columns(2)
        draw("base_url", a, value=judging.usual_server())
        draw("model", b, placeholder="the server's name for it")
        help = f"Only for this server and this job; held in memory. Empty: {KEY} of the environment or the app's secrets."
        st.text_input("Key", type="password", key="judge-key", max_chars=400, autocomplete="off", help=help)
        for name, place in zip(("price_in", "price_out", "max_cost"), st.columns(3), strict=True):
            draw(name, place)
    if kind in (LLM, LOCAL):
        a, b = st.columns(2)
        draw("protocol", a)
        draw("domain", b, placeholder=f"{judging.domain_of_run(of.run)[:40]} (text)")
    return values


def _offer(of: LoadedRun, kind: str, values: dict[str, Any]) -> None:
    if kind == LOCAL and not values["judge"]:
        st.caption("Name a model to continue.")
        return
    if kind == LLM and not (values["base_url"] and values["model"]):
        st.caption("Name the server and its model to continue.")
        return
    if kind == REFERENCE and of.run.reference_model is None:
        st.info(
            "The reference judge reads with the model tuned on the whole pool, and this run came without its weights. Use a "
            "server or a local model, or fine-tune again with the whole pool.",
            icon=":material/info:",
        )
        return
    if kind == LOCAL and values["judge"] in (REFERENCE, LLM):
        raise JudgeError(f"'{values['judge']}' is not a model's folder or hub id; choose that judge above.")
    form = JudgeForm(**values)
    secrets = secrets_for(form)
    with damage_reported(of.run):
        comparisons = judging.asked_for(of.run, form)
    if kind == LLM and needs_key(form.base_url) and not secrets:
        raise JudgeError(f"The server at {form.base_url[:100]} needs a key: type it above, or put it into {KEY}.")
    ready = _estimate(of, form, comparisons)
    arguments = ["judge", str(of.run.folder), *fields.arguments(form), *(["--yes"] if kind == LLM else [])]
    who = form.model or (form.judge if kind == LOCAL else KINDS[kind])
    title = f"Judge {components.one_line(of.name, 40)}: {who}"
    folder = of.run.folder
    job = job_panel.offer(arguments, kind=JUDGE, title=title, out=folder, key="judge-run", can=ready, secrets_for_it=secrets)
    if job is not None and page_state().job.get(JUDGE) != job.id:
        page_state().job[JUDGE] = job.id
        st.session_state.pop("judge-key", None)
        st.rerun()


def _estimate(of: LoadedRun, form: JudgeForm, comparisons: list[judging.PairwiseComparison]) -> bool:
    """Say what is left to read; whether it may start."""
    every = f"{len(comparisons):,} comparisons"
    if form.judge not in (REFERENCE, LLM):  # its files may have to be downloaded, so only the job opens them
        st.markdown(f"{every}, each read in both orders unless it is stored already.")
        return True
    judge = judging.judge_of(of.run, form)
    left, texts = judging.missing(of.run, judge, comparisons)
    if not (left or texts):
        st.markdown(f"All {every} are judged already; nothing is left to ask.")
        return False
    if not isinstance(judge, LLMJudge):
        st.markdown(f"{every}; {len(left):,} readings are left. It runs in the background.")
        return True
    cost = judge.estimate(left, texts)
    st.markdown(components.escape_markdown(f"{judge.in_words(cost)}."))
    if judge.above_cap(cost):
        components.problem(f"That is above the cap of {form.max_cost:g} dollars; raise it, or take fewer prompts.")
        return False
    return judge.free or st.checkbox(
        "Ask it, and pay what it costs", key="judge-sure", help="The estimate above is for this job alone."
    )


def secrets_for(form: JudgeForm) -> Mapping[str, str]:
    """The environment of the job's process.

    A key that was typed beside an address is meant for that address; the app's own key goes only where `lm.chat_server` lets it.
    """
    if form.judge != LLM:
        return {}
    if typed := str(st.session_state.get("judge-key") or "").strip():
        return {KEY: typed, BASE_URL: form.base_url}
    if os.environ.get(KEY):
        return {}
    try:
        kept = str(st.secrets.get(KEY) or "")
    except (FileNotFoundError, KeyError):
        kept = ""
    return {KEY: kept} if kept else {}
