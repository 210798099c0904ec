"""Which selector should I use?  What each is for, what it costs, and what was measured of it, with the commands."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from fishersft.runs.evidence import Finding, purpose
from fishersft.selectors import registry
from fishersft.ui import cached
from fishersft.ui.components import escape_markdown, number

DEMO = "demo"


def panel() -> None:
    """The table; numbers come from the evidence that ships, and are named as missing where there is none."""
    st.subheader("Which selector should I use?", anchor="which")
    known = cached.evidence()
    rows = []
    for name, kind in registry().items():
        cost = known.costs.get(name)
        findings = known.of(name)
        rows.append(
            {
                "Selector": f"**{escape_markdown(kind.label)}**",
                "What it is for": escape_markdown(purpose(name)),
                "Time to order the demo": f"{number(cost.seconds)} s" if cost else "not measured",
                "On the demo, equal tokens": _listed([f for f in findings if f.where.startswith(DEMO)]),
                "Against a known truth": _listed([f for f in findings if not f.where.startswith(DEMO)], where=True),
            }
        )
    table = pd.DataFrame(rows)
    if not table["Against a known truth"].ne("not measured").any():
        table = table.drop(columns="Against a known truth")
    st.table(
        table.set_index("Selector"), border="horizontal", alt="What each selector is for, what it costs and what was measured"
    )
    st.caption(
        "▲ better and ▼ worse than chance, in brackets; no mark: like chance. On the demo chance is the range of 20 random draws "
        "of as many tokens; against a known truth it is the 95 % interval of Uniform's mean, and the selector's own stands by "
        "its mean. Times are those of the machine the numbers were made on. No line here says which fine-tuned model is better."
    )
    commands = list(dict.fromkeys(f.command for f in known.findings))
    with st.expander("The commands that made these numbers"):
        st.code("\n".join([*commands, "python assets/build_evidence.py  # the times"]), language="bash", wrap_lines=True)


def _listed(findings: list[Finding], *, where: bool = False) -> str:
    """Findings in a cell."""
    return "; ".join(_said(f, where) for f in findings) or "not measured"


def _said(finding: Finding, where: bool) -> str:
    mark = {"better": " ▲", "worse": " ▼"}.get(finding.stands, "")
    own = "" if finding.low != finding.low else f", {number(finding.low)} to {number(finding.high)}"
    low, high = number(finding.chance_low, 4), number(finding.chance_high, 4)
    chance = low if low == high else f"{low} to {high}"
    place = f", {finding.where}" if where else ""
    return escape_markdown(f"{finding.what} {number(finding.value, 4)}{own}{mark} ({chance}){place}")
