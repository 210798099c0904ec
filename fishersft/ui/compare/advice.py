"""Which selector should I use?  What each is for, what it costs, and what was measured of it, with the commands."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.experiments.evidence import Evidence, Finding
from fishersft.selectors import registry
from fishersft.ui import cached, learn
from fishersft.ui.components import escape_markdown, number

COMPARED = "demo, equal tokens"
WORLDS = {"imbalanced world": "imbalanced clusters", "homogeneous world": "isotropic rows", "demo": "demo under mini"}
EQUAL = "all at its tokens"


def panel() -> None:
    """The table; numbers come from the evidence that ships, and are named as missing where there is none."""
    said = "What is meant by an optimal design, by coverage, and by matching the pool."
    st.subheader("Which selector should I use?", anchor="which", help=learn.helped(said, "log det", "coverage", "MatchedOD"))
    known = cached.evidence()
    table = _table(known)
    with st.container(key="advice"):
        st.table(table, border="horizontal", alt="What each selector is for, what it costs, and its evidence")
    places = "; ".join(dict.fromkeys(f.where for f in known.findings if f.where.startswith(COMPARED)))
    st.caption(
        "▲ better and ▼ worse than chance; no mark: like chance. Time: to order the whole demo, on the machine the numbers were "
        f"made on. Measured on: {places or 'nothing that is here'}; chance is the range of random draws of as many tokens. "
        "Error: the largest prediction error against a known truth in the two worlds of Curves and on the demo, at the tokens of "
        "TokenOD's first 200 sentences, with its 95% interval. No number here says which fine-tuned model is better; Generations "
        "does."
    )
    commands = list(dict.fromkeys(f.command for f in known.findings))
    with st.expander("The commands that made these numbers"):
        st.code("\n".join([*commands, "python assets/build_evidence.py  # the times"]), language="bash", wrap_lines=True)


@st.cache_data(max_entries=1, show_spinner=False)
def _table(_known: Evidence) -> pd.DataFrame:
    measured = list(dict.fromkeys((f.what, f.chance_low, f.chance_high) for f in _known.findings if f.where.startswith(COMPARED)))
    truths = {
        world: (f.where, f.chance_low, f.chance_high)
        for f in _known.findings
        for world, sign in WORLDS.items()
        if sign in f.where and EQUAL in f.where
    }
    rows = []
    for name, kind in registry().items():
        cost, findings = _known.costs.get(name), _known.of(name)
        row = {"Selector": f"**{escape_markdown(kind.label)}**", "What it is for": escape_markdown(kind.purpose or kind.summary)}
        row["Time"] = f"{number(cost.seconds)} s" if cost else "not measured"
        for what, low, high in measured:
            here = [f for f in findings if f.what == what and f.where.startswith(COMPARED)]
            row[f"{what}; chance {number(low)} to {number(high)}"] = _value(here[0]) if here else "not measured"
        for world, (where, low, high) in truths.items():
            here = [f for f in findings if f.where == where]
            row[f"error, {world}; Uniform {number(low)} to {number(high)}"] = _value(here[0]) if here else "not measured"
        rows.append(row)
    return pd.DataFrame(rows).set_index("Selector")


def _value(finding: Finding) -> str:
    """A number, with where it stands to chance."""
    own = "" if np.isnan(finding.low) else f" ({number(finding.low)} to {number(finding.high)})"
    return f"{number(finding.value)}{own}{ {'better': ' ▲', 'worse': ' ▼'}.get(finding.stands, '') }"
