"""The Win rates section: who can judge, what they say with intervals, their biases, and the paper's own numbers."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from fishersft.finetuning.results import BASELINE
from fishersft.judge.report import CHANCE, PAPER_BUDGETS, PAPER_RATES, PAPER_SOURCE, Report, in_percent
from fishersft.plots import generations as generation_plots
from fishersft.selectors import DEFAULT_SELECTOR, registry
from fishersft.text import UNDECIDED, listed, visible_text
from fishersft.ui import components, downloads
from fishersft.ui.components import chart, dark, escape_markdown
from fishersft.ui.generations import judge_form
from fishersft.ui.generations.page_state import JUDGE, PEOPLE, LoadedRun, choose, headline, judge_reports, label, watched_job
from fishersft.ui.generations.vote import agreement
from fishersft.ui.session import Session

KNOWN = "Pairs of the same held-out prompts whose answer is known; right is who names the better text."
JUDGES = 300  # pixels of the box that names a judge
MOST_SAID = 15  # pairs in the words that stand for a picture
SHOWN = 3  # contradictions
MOST_ASIDE = 200  # pairs
PYTHON = """import fishersft

for report in fishersft.judge_reports({name!r}):
    print(report.label, report.markdown(), sep="\\n\\n")
"""


def section(of: LoadedRun, row: Any, visitor: Session) -> None:
    """Who can judge these texts comes first, then what they say; `row` takes the controls."""
    watched_job(JUDGE, of)
    every = judge_reports(of)
    if not every:
        st.info("No judge has read this run yet, and nobody has voted. The form below asks a judge.", icon=":material/balance:")
        headline(of)
    else:
        names = {report.id: _named(report) for report in every}
        help = "People are the votes on this run. A judge reads both orders; a verdict that changes with the order is a tie."
        usual = next((report for report in every if not report.refusal), every[0])
        look: dict[str, Any] = {"format_func": names.__getitem__, "help": help, "width": JUDGES}
        id = choose("judge", "Judge", list(names), usual.id, visitor, place=row, **look)
        _report(of, next(report for report in every if report.id == id), every)
    _paper(of)
    judge_form.panel(of, empty=not every)


def _named(report: Report) -> str:
    able = "cannot judge: " if report.refusal else ""
    how = "" if report.id == PEOPLE else f", {report.protocol}"
    return f"{able}{label(report.label)}{how}, {len(report.judged):,} {'votes' if report.id == PEOPLE else 'verdicts'}"


def _report(of: LoadedRun, report: Report, every: list[Report]) -> None:
    name = f"{of.name}-{report.id}"
    components.verdict(escape_markdown(_verdict(report, every)), help=KNOWN)
    headline(of)
    if report.planned > len(report.judged):
        st.info(
            f"This judge has read {len(report.judged):,} of {report.planned:,} comparisons so far; the job goes on from there.",
            icon=":material/hourglass_top:",
        )
    if report.lines and not report.refusal:
        _ranking(report, name)
        _against(report, name)
        _table(report)
    _competence(report)
    for sentence in report.contradictions[:SHOWN]:
        st.warning(escape_markdown(sentence), icon=":material/compare_arrows:")
    if (more := len(report.contradictions) - SHOWN) > 0:
        st.caption(f"{more:,} more of its preferences contradict the held-out losses; the download has them all.")
    _set_aside(of, report)
    voted = f"{len(report.judged):,} votes; the sides were drawn, so a habit of voting left favours nobody."
    st.markdown(escape_markdown(f"{voted if report.id == PEOPLE else report.biases} {report.power}"))
    people = next((other for other in every if other.id == PEOPLE), None)
    if people is not None:
        for judge in (other for other in every if other.id != PEOPLE and report.id in (PEOPLE, other.id)):
            st.markdown(escape_markdown(agreement(people, judge)))
    content: dict[str, Any] = {"run": report.run, "judge": report.label, **report.as_dict(), "paper": report.paper}
    downloads.files(
        f"win-rates-{of.name}",
        f"{of.name}-{report.id}",
        ("json", "json", partial(json.dumps, content, indent=1), None),
        ("md", "md", lambda: report.markdown() + "\n", None),
    )
    components.footer(f"fishersft judge {of.name}", PYTHON.format(name=of.name))


def _verdict(report: Report, every: list[Report]) -> str:
    """Whether this judge can judge, and if so whose texts it prefers; who else can, where it cannot."""
    who = "People" if report.id == PEOPLE else f"The judge {label(report.label)}"
    if report.refusal:
        able = [other for other in every if not other.refusal]
        others = listed(["people" if other.id == PEOPLE else label(other.label) for other in able]) if able else ""
        rest = f" Of those who read this run, {others} can." if able else " Nobody who read this run can."
        return f"No ranking is drawn. {report.refusal}{rest}"
    told = report.examined
    said = (
        f"{who} can judge these texts: {told.summary.removeprefix('Yes: ')}"
        if told and told.right
        else f"{who} was not examined."
    )
    rate = report.matrix.get(DEFAULT_SELECTOR, {}).get(BASELINE)
    if rate is None:
        return said
    side = "better than" if rate.low > 0.5 else "worse than" if rate.high < 0.5 else UNDECIDED
    mine = label(report.labels.get(DEFAULT_SELECTOR, DEFAULT_SELECTOR))
    return f"{said} It finds {mine}'s texts {side} those of a random draw: they win {in_percent(rate)} of comparisons."


def _competence(report: Report) -> None:
    """What the judge was found to be able to do, kind by kind."""
    examined = report.examined
    if examined is None or not examined.right:
        if report.id != PEOPLE:
            st.caption(
                escape_markdown(f"How it was asked: {report.protocol}. The form below asks this judge again, and examines it.")
            )
        return
    st.header("Can people judge these texts?" if report.id == PEOPLE else "Can this judge judge these texts?", anchor=False)
    st.markdown(escape_markdown(examined.summary))
    components.table(examined.table(), "Pairs with a known answer, by kind", height="content")
    if report.id == PEOPLE:
        st.caption(f"{KNOWN} They are hidden among the pairs to vote on.")
    else:
        st.caption(escape_markdown(f"{KNOWN} A judge reads both orders. How it was asked: {report.protocol}. {examined.canary}"))


def _ranking(report: Report, name: str) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        st.header("Who wins against whom", anchor=False)
        fig = generation_plots.matrix_figure(report.matrix, report.labels, dark=dark())
        wins = [
            f"{label(report.labels.get(a, a))} wins {100 * rate.value:.0f}% against {label(report.labels.get(b, b))}"
            for a, row in report.matrix.items()
            for b, rate in row.items()
            if rate.value > 0.5
        ]
        chart(fig, f"matrix-{name}", f"Win rates by pair: {'; '.join(wins[:MOST_SAID])}.", file=f"win-rates-{name}", always=False)
        st.caption(
            "How often the row wins, over all budgets and seeds, ties as halves, with 95% intervals; blue wins, orange loses."
        )
    with right:
        st.header("Ranking", anchor=False)
        if report.ranking:
            fig = generation_plots.ranking_figure(report.ranking, report.labels, dark=dark())
            order = ", ".join(label(report.labels.get(one.name, one.name)) for one in report.ranking)
            chart(fig, f"ranking-{name}", f"Bradley-Terry strengths with intervals, the strongest first: {order}")
            st.caption(
                "Bradley-Terry over all comparisons; a lead of 1 wins 73% of the time. 95% intervals by resampling prompts."
            )
        else:
            st.caption("Two selectors need no ranking; it takes at least three.")


def _set_aside(of: LoadedRun, report: Report) -> None:
    """The pairs in which a text speaks to its judge: counted, shown, and no part of any rate."""
    if not report.set_aside:
        return
    pairs = {(c.match.a, c.match.b, c.match.budget, c.match.seed, c.prompt): c.pair for c in of.every}
    rows = []
    for one in report.set_aside[:MOST_ASIDE]:
        pair, verdict = pairs[one.subject], one.verdict
        for side, selector, text in (("a", one.a, pair.first), ("b", one.b, pair.second)):
            by = [who for who, sides in (("the list", verdict.addressed), ("the judge", verdict.noticed)) if side in sides]
            if by:
                said = visible_text(components.one_line(text, 300))
                rows.append({"model": of.label(selector), "prompt": one.prompt + 1, "found by": ", ".join(by), "text": said})
    pairs_of = f"{len(report.set_aside):,} {'pair' if len(report.set_aside) == 1 else 'pairs'}"
    with st.expander(f"Set aside: {pairs_of} in which a text speaks to its judge", icon=":material/report:"):
        st.caption("By a list of suspicious words, or by the judge's own answer. These pairs count for nobody.")
        wide = {"text": st.column_config.TextColumn("text", width="large")}
        table = pd.DataFrame(rows).drop_duplicates()
        st.dataframe(table, hide_index=True, alt="Texts that speak to their judge", column_config=wide)


def _against(report: Report, name: str) -> None:
    players = list(report.matrix)
    if not any(line.budget is not None for line in report.lines):
        return
    with st.expander("Win rate by budget", icon=":material/show_chart:"):
        usual = players.index(DEFAULT_SELECTOR) if DEFAULT_SELECTOR in players else 0
        look: dict[str, Any] = {"key": f"against-{name}", "help": "The selector whose wins are drawn."}
        who = str(st.selectbox("Of", players, usual, format_func=lambda p: label(report.labels.get(p, p)), **look))
        paper = report.paper if who == DEFAULT_SELECTOR else {}
        fig = generation_plots.win_figure(report.lines, who, _selectors() | dict(report.labels), paper, dark=dark())
        chart(fig, f"wins-{name}-{who}", f"Win rate of {label(report.labels.get(who, who))} against the budget")
        told = " Hollow and dotted: the paper's, not ours." if paper else ""
        st.caption(f"Ties as halves; 95% intervals, clustered by prompt.{told}")


def _selectors() -> dict[str, str]:
    """Labels of all selectors that are installed: the paper compares some that a run may lack."""
    return {name: str(kind.label) for name, kind in registry().items()}


def _table(report: Report) -> None:
    rows = [row | {name: label(row[name]) for name in ("a", "b")} for row in report.table(needed=True)]
    if components.touch():  # the head of a card names both
        rows = [
            {"pair": f"{row['a']} against {row['b']}", **{k: v for k, v in row.items() if k not in ("a", "b")}} for row in rows
        ]
        rows = [{name.replace("a wins", "the first wins"): value for name, value in row.items()} for row in rows]
    look: dict[str, Any] = {"height": "content" if len(rows) < 16 else 480}
    st.header("Every comparison", anchor=False)
    components.table(rows, "Every comparison at every budget", **look)
    st.caption(
        escape_markdown(
            f"{CHANCE} p: exact sign test over prompts. At equal length: from a logistic regression on how much longer a is. "
            f"Prompts for 5 points: how many it takes to tell 55% from 50% if verdicts vary as they do here. {report.paper_note}"
        )
    )


def _paper(of: LoadedRun) -> None:
    rates_of = PAPER_RATES.get(of.run.source.lower())
    if not rates_of:
        return
    names = _selectors()
    with st.expander("The paper's table (not ours)", icon=":material/menu_book:"):
        told = {names.get(other, other): [f"{100 * v:.0f}%" for v in rates] for other, rates in rates_of.items()}
        columns = [f"n = {n:,}" for n in PAPER_BUDGETS]
        table = pd.DataFrame.from_dict(told, orient="index", columns=columns).rename_axis("TokenOD against").reset_index()
        st.dataframe(table, hide_index=True, alt="The paper's win rates of TokenOD")
        st.caption(
            escape_markdown(
                f"Source: {PAPER_SOURCE}: GPT-2, GPT-4o as the judge. It gives no intervals, seeds or number of comparisons; "
                "with 100 prompts one standard error is 5 points."
            )
        )
