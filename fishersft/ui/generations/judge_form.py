"""The form that asks a judge: which, what it will read, what that costs, and the job that does it.

A server's key comes from the environment, from the app's secrets or from a password field; it goes into the environment of the
job's process and nowhere else: no argument, no address, no log, no store.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from fishersft.errors import FisherSFTError, JudgeError
from fishersft.judge import judging
from fishersft.judge.base import Judge
from fishersft.judge.llm import LLMJudge, Prices, is_here
from fishersft.lm.chat import OPENAI, needs_key
from fishersft.store import jobs
from fishersft.text import visible
from fishersft.ui import components
from fishersft.ui.generations.loaded_run import LoadedRun, damage_reported
from fishersft.ui.generations.page_state import JUDGE, page_state
from fishersft.ui.session import public

REFERENCE, LLM, LOCAL = "reference model", "a server", "a local model"
KEY, BASE_URL = "OPENAI_API_KEY", "OPENAI_BASE_URL"
EVERYONE = "every pair"


@dataclass(frozen=True)
class Asked:
    """What the form holds.  The key is not in it: it stays in its field until the job starts."""

    kind: str
    against: str = EVERYONE
    prompts: int = 0
    base_url: str = ""
    model: str = ""
    domain: str = ""
    price_in: float | None = None
    price_out: float | None = None
    most: float | None = None

    def arguments(self, of: LoadedRun) -> list[str]:
        """Of the command line, after `judge RUN`."""
        options: list[tuple[str, Any]] = [("--against", "" if self.against == EVERYONE else self.against)]
        options.append(("--prompts", self.prompts or ""))
        if self.kind == LLM:
            options += [("--base-url", self.base_url), ("--model", self.model), ("--domain", self.domain)]
            options += [("--price-in", self.price_in), ("--price-out", self.price_out), ("--max-cost", self.most)]
        elif self.kind == LOCAL:
            options.append(("--domain", self.domain))
        spec = {REFERENCE: "reference", LLM: "llm"}.get(self.kind, self.model)
        given = [part for name, value in options if value not in ("", None) for part in (name, f"{value}")]
        return ["judge", str(of.run.folder), "--judge", spec, *given, *(["--yes"] if self.kind == LLM else [])]

    @property
    def prices(self) -> Prices:
        return Prices(self.price_in, self.price_out, self.most)


def panel(of: LoadedRun, *, empty: bool) -> None:
    """Ask a judge; nothing is asked on a hosted demo."""
    if public():
        st.caption("This hosted demo shows verdicts and asks no judge; install fishersft to judge on your own machine.")
        return
    if not of.every:
        return
    with st.expander("Ask a judge", icon=":material/gavel:", expanded=empty):
        kind = st.segmented_control(
            "Judge",
            [REFERENCE, LLM, LOCAL],
            default=REFERENCE,
            required=True,
            key="judge-kind",
            help="Reference: the model tuned on the whole pool, ours, no key. A server: any OpenAI-compatible one. A local "
            "model: an instruction-tuned one of a folder or the hub.",
        )
        asked = _form(of, str(kind))
        try:
            _offer(of, asked)
        except FisherSFTError as error:
            components.problem(str(error))


def _form(of: LoadedRun, kind: str) -> Asked:
    """Widgets and the values they hold."""
    there = list(dict.fromkeys(c.selector for c in of.models.values()))
    values: dict[str, Any] = {}
    a, b = st.columns(2)
    values["against"] = a.selectbox(
        "Compare",
        [EVERYONE, *there],
        key="judge-against",
        help="Each selector against each other, or one against all.",
        format_func=lambda x: x if x == EVERYONE else f"all against {visible(of.labels.get(str(x), str(x)))}",
    )
    values["prompts"] = b.number_input(
        "Prompts", 0, len(of.run.prompts), 0, key="judge-prompts", help="The first so many; 0: all."
    )
    if kind == LOCAL:
        values["model"] = st.text_input(
            "Model",
            "",
            key="judge-local",
            max_chars=300,
            placeholder="hf:owner/name, or a folder with safetensors",
            help="An instruction-tuned model; safetensors only.",
        ).strip()
    if kind == LLM:
        a, b = st.columns(2)
        usual = os.environ.get(BASE_URL) or OPENAI
        values["base_url"] = a.text_input(
            "Server", usual, key="judge-server", max_chars=300, help="The address of an OpenAI-compatible server."
        ).strip()
        values["model"] = b.text_input(
            "Model", "", key="judge-model", max_chars=200, placeholder="the server's name for it", help="As the server lists it."
        ).strip()
        st.text_input(
            "Key",
            type="password",
            key="judge-key",
            max_chars=400,
            autocomplete="off",
            help=f"Only for this server and this job; held in memory. Empty: {KEY} of the environment or the app's secrets.",
        )
        a, b, c = st.columns(3)
        values["price_in"] = a.number_input(
            "$ a million tokens in", 0.0, 1e4, None, key="judge-in", help="To estimate and to cap."
        )
        values["price_out"] = b.number_input(
            "$ a million tokens out", 0.0, 1e4, None, key="judge-out", help="To estimate and to cap."
        )
        values["most"] = c.number_input(
            "Spend at most, $", 0.0, 1e6, None, key="judge-most", help="The job stops before it would cost more."
        )
    if kind in (LLM, LOCAL):
        values["domain"] = st.text_input(
            "A judge of",
            "",
            key="judge-domain",
            max_chars=60,
            placeholder=f"{judging.domain_of_run(of.run)[:40]} (text)",
            help="What the judge is told that the texts are.",
        ).strip()
    return Asked(kind, **values)


def _offer(of: LoadedRun, asked: Asked) -> None:
    """What it will read and cost, and the button."""
    if asked.kind == LOCAL and not asked.model:
        st.caption("Name a model to go on.")
        return
    if asked.kind == LLM and not (asked.base_url and asked.model):
        st.caption("Name the server and its model to go on.")
        return
    if asked.kind == REFERENCE and of.run.reference_model is None:
        st.info(
            "The reference judge reads with the model tuned on the whole pool, and this run came without its weights. Take a "
            "server or a local model, or fine-tune again with the whole pool.",
            icon=":material/info:",
        )
        return
    if asked.kind == LOCAL and asked.model in ("reference", "llm"):
        raise JudgeError(f"'{asked.model}' is not a model's folder or hub id; choose that judge above.")
    with damage_reported(of.run):
        matches = judging.matches_of(of.run, against=None if asked.against == EVERYONE else asked.against)
        comparisons = judging.comparisons_of(of.run, matches, asked.prompts or None)
    if asked.kind == LLM and needs_key(asked.base_url) and not secrets_for(asked):
        raise JudgeError(f"The server at {asked.base_url[:100]} wants a key: type it above, or put it into {KEY}.")
    sure = _estimate(of, asked, comparisons)
    arguments = asked.arguments(of)
    components.shell(shlex.join(["fishersft", *arguments]))
    going = any(j.kind == JUDGE and j.out == of.run.folder and not j.ended for j in jobs.jobs())
    if going:
        st.info("A judge is at work on this run; it is shown above.", icon=":material/play_circle:")
        return
    if st.button("Ask as a job", type="primary", icon=":material/play_arrow:", key="judge-run", disabled=not sure):
        title = f"Judge {components.one_line(of.name, 40)}: {asked.model or asked.kind}"
        job = jobs.start(arguments, kind=JUDGE, title=title, out=of.run.folder, secrets_for_it=secrets_for(asked))
        page_state().job[JUDGE] = job.id
        st.session_state.pop("judge-key", None)
        st.rerun()


def _estimate(of: LoadedRun, asked: Asked, comparisons: list[judging.Comparison]) -> bool:
    """Say what is left to read; whether it may start."""
    if asked.kind == LOCAL:
        st.markdown(f"{len(comparisons):,} comparisons, each read in both orders unless it is kept already.")
        return True
    judge: Judge
    if asked.kind == REFERENCE:
        judge = judging.reference_judge(of.run)
    else:
        judge = LLMJudge.at(asked.base_url, asked.model, asked.domain or judging.domain_of_run(of.run), prices=asked.prices)
    left = judging.missing(of.run, judge, comparisons)
    if not left:
        st.markdown(f"All {len(comparisons):,} comparisons are judged already; nothing is left to ask.")
        return False
    if not isinstance(judge, LLMJudge):
        st.markdown(f"{len(comparisons):,} comparisons; {len(left):,} readings are left. It runs in the background.")
        return True
    cost = judge.estimate(left)
    price = f"about {cost.dollars:.2f} dollars" if cost.dollars is not None else "at prices that were not stated"
    st.markdown(
        components.escape_markdown(
            f"{cost.readings:,} questions to {judge.label}, about {cost.tokens_in:,} tokens in and {cost.tokens_out:,} out (four "
            f"characters a token), {price}."
        )
    )
    if cost.dollars is not None and asked.most is not None and cost.dollars > asked.most:
        components.problem(f"That is above the cap of {asked.most:g} dollars; raise it, or take fewer prompts.")
        return False
    free = is_here(asked.base_url) and not judge.prices.known
    return free or st.checkbox("Ask it, and pay what it costs", key="judge-sure", help="The estimate above is of this job alone.")


def secrets_for(asked: Asked) -> Mapping[str, str]:
    """The environment of the job's process.

    A key that was typed beside an address is meant for that address; one of the app goes only where `lm.chat` lets it.
    """
    if asked.kind != LLM:
        return {}
    typed = str(st.session_state.get("judge-key") or "").strip()
    if typed:
        return {KEY: typed, BASE_URL: asked.base_url}
    if os.environ.get(KEY):
        return {}
    try:
        kept = str(st.secrets.get(KEY) or "")
    except (FileNotFoundError, KeyError):
        kept = ""
    return {KEY: kept} if kept else {}
