"""What was measured before any fine-tuning: the evidence that ships, in tables that hold only what was measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.experiments.evidence import Evidence, Finding
from fishersft.scoring.summaries import number
from fishersft.selectors import registry
from fishersft.ui import cached, components
from fishersft.ui.components import escape_markdown, helped

COMPARED = "demo, equal tokens"
WORLDS = {"imbalanced world": "imbalanced clusters", "homogeneous world": "isotropic rows", "demo": "demo under mini"}
EQUAL = "all at its tokens"
SELECTOR, PURPOSE = "Selector", "What it is for"
SAID = {"better than": " ▲", "worse than": " ▼"}


def panel() -> None:
    """What each selector is for, what it cost and how it stood to chance on the demo, and its error where the truth is known."""
    said = "These lessons explain optimal design, coverage, and matching the pool."
    st.header("Before any fine-tuning", anchor=False, help=helped(said, "log det", "coverage", "MatchedOD"))
    known = cached.evidence()
    demo, errors, rest = _tables(known)
    places = "; ".join(dict.fromkeys(f.where for f in known.findings if f.where.startswith(COMPARED)))
    if demo:
        st.subheader("On the demo, at equal tokens", anchor=False)
        _table(demo, "What each selector is for, what it took, and how its picks from the demo stand to chance")
        st.caption(
            f"▲ better and ▼ worse than the range of random draws of as many tokens; no mark: like chance. {places}. Time: to "
            "order the whole demo once its rows and losses are there, on the machine that made the numbers."
        )
    left, right = st.columns(2, gap="large")
    with left:
        if errors:
            st.subheader("Where the truth is known", anchor=False)
            _table(errors, "The prediction error of each selector in worlds whose truth is known")
            st.caption(
                "The largest prediction error in the two worlds of Curves and on the demo, at the tokens of TokenOD's first 200 "
                "sentences, with its 95% interval. ▲ better and ▼ worse than Uniform, run by run: the 95% interval of their "
                "ratio leaves out 1. None of these numbers says which fine-tuned model is better; Generations does."
            )
    with right:
        if rest:
            st.subheader("Also offered, without a number yet", anchor=False)
            _table(rest, "What each of the other selectors is for")
    commands = list(dict.fromkeys(f.command for f in known.findings))
    with st.expander("The commands that made these numbers"):
        st.code("\n".join([*commands, "python assets/build_evidence.py  # the times"]), language="bash", wrap_lines=True)


def _table(rows: list[dict[str, str]], alt: str) -> None:
    if components.touch():
        components.cards(rows, PURPOSE)
        return
    shown = pd.DataFrame(rows).map(escape_markdown)
    shown[SELECTOR] = "**" + shown[SELECTOR] + "**"
    st.table(shown.set_index(SELECTOR), border="horizontal", alt=alt)


@st.cache_data(max_entries=1, show_spinner=False)
def _tables(_known: Evidence) -> tuple[list[dict[str, str]], ...]:
    """Selectors measured on the demo, those measured against a known truth, and those of which nothing was measured."""
    here, worlds = dict[str, tuple[str, str]](), dict[str, tuple[str, str]]()  # {heading: what was measured and where}
    for f in _known.findings:
        if f.where.startswith(COMPARED):
            here.setdefault(f"{f.what}; chance {number(f.chance_low)} to {number(f.chance_high)}", (f.what, COMPARED))
    for world, sign in WORLDS.items():
        if first := next((f for f in _known.findings if sign in f.where and EQUAL in f.where), None):
            uniform = f"Uniform {number(first.chance_low)} to {number(first.chance_high)}"
            worlds[f"{world}; {uniform}"] = (first.what, first.where)
    rows: tuple[list[dict[str, str]], ...] = [], [], []
    for name, kind in registry().items():
        told = {SELECTOR: kind.label, PURPOSE: kind.purpose or kind.summary}
        on_demo, errors = _measured(_known, name, here), _measured(_known, name, worlds)
        cost = _known.costs.get(name)
        if here and cost and len(on_demo) == len(here):
            rows[0].append({**told, "Time": f"{number(cost.seconds)} s", **on_demo})
        if worlds and len(errors) == len(worlds):
            rows[1].append({SELECTOR: kind.label, **errors})
        if not (on_demo or errors):
            rows[2].append(told)
    return rows


def _measured(known: Evidence, name: str, columns: dict[str, tuple[str, str]]) -> dict[str, str]:
    """{heading: the selector's number there} for the headings under which it was measured."""
    found = {}
    for heading, (what, where) in columns.items():
        if f := next((f for f in known.of(name) if f.what == what and f.where.startswith(where)), None):
            found[heading] = _finding(f)
    return found


def _finding(finding: Finding) -> str:
    """A number, with where it stands to chance."""
    own = "" if np.isnan(finding.low) else f" ({number(finding.low)} to {number(finding.high)})"
    return f"{number(finding.value)}{own}{SAID.get(finding.stands, '')}"
