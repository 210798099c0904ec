"""The Win rates section: what judges and people say, with intervals, their biases, the ranking, and the paper's own numbers."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from fishersft.judge.paper import BUDGETS, SOURCE, WIN_RATES, paper_rates
from fishersft.judge.report import Report
from fishersft.judge.tables import CHANCE, LOPSIDED, biases, markdown, paper_rate, shown, surprised
from fishersft.plots import generations as generation_plots
from fishersft.selectors import registry
from fishersft.text import visible
from fishersft.ui import components
from fishersft.ui.components import escape_markdown, one_line
from fishersft.ui.generations import judge_form
from fishersft.ui.generations.held_out import chart_config
from fishersft.ui.generations.loaded_run import PEOPLE, JudgeSummary, LoadedRun, judge_summaries
from fishersft.ui.generations.page_state import JUDGE, keep, remembered, watched_job
from fishersft.ui.generations.vote import agreement
from fishersft.ui.session import Session
from fishersft.ui.theme import dark

PYTHON = """from fishersft.judge.report import Report
from fishersft.runs import judging
from fishersft.runs.begun import begun
from fishersft.runs.finetuning.found import find

run = find({name!r})
comparisons = judging.comparisons_of(run, judging.every_match(run))
for judge in judging.judges_of(run):
    judged, _ = begun(judging.verdicts_of(run, judge, comparisons), comparisons)
    print(judge["label"], Report(tuple(judged)).as_dict())
"""


def section(of: LoadedRun, visitor: Session) -> None:
    watched_job(JUDGE, of)
    told = judge_summaries(of)
    if not told:
        st.info("No judge has read this run yet, and nobody has voted. The form below asks a judge.", icon=":material/balance:")
    else:
        _report(of, _choose(told, visitor), told)
    _paper(of)
    judge_form.panel(of, empty=not told)


def _choose(told: list[JudgeSummary], visitor: Session) -> JudgeSummary:
    options = {t.id: t for t in told}
    remembered("judge", list(options), told[0].id, visitor)
    id = st.selectbox(
        "Judge",
        list(options),
        key="generations-judge",
        format_func=lambda id: f"{visible(one_line(options[id].label, 60))}, {len(options[id].report.judged):,} verdicts",
        help="People are the votes of this run. A judge reads both orders; a verdict that changes with the order is a tie.",
    )
    keep(judge=id)
    return options[str(id)]


def _report(of: LoadedRun, judge: JudgeSummary, every: list[JudgeSummary]) -> None:
    report = judge.report
    if judge.asked > len(report.judged):
        st.info(
            f"This judge has read {len(report.judged):,} of {judge.asked:,} comparisons so far; the same job goes on from there.",
            icon=":material/hourglass_top:",
        )
    if report.surprise:
        told, lopsided = surprised(*report.surprise), report.surprise[0].value >= LOPSIDED
        (st.warning if lopsided else st.info)(escape_markdown(told), icon=":material/balance:")
    left, right = st.columns(2, gap="medium")
    name = f"{of.name}-{judge.id}"
    with left:
        st.subheader("Who wins against whom", anchor=False)
        fig = generation_plots.matrix_figure(report.matrix, of.labels, dark=dark())
        st.plotly_chart(
            fig, theme=None, key=f"matrix-{name}", config=chart_config(f"win-rates-{name}", always=False), alt="Win rates by pair"
        )
        st.caption(
            "How often the row wins, over all budgets and seeds, ties as halves, with 95% intervals; blue wins, orange loses."
        )
    with right:
        st.subheader("Ranking", anchor=False)
        if report.ranking:
            fig = generation_plots.ranking_figure(report.ranking, of.labels, dark=dark())
            key = f"ranking-{name}"
            st.plotly_chart(fig, theme=None, key=key, config=chart_config(key), alt="Bradley-Terry strengths with intervals")
            st.caption(
                "Bradley-Terry over all comparisons; a lead of 1 wins 73% of the time. 95% intervals by resampling prompts."
            )
        else:
            st.caption("Two need no ranking; it takes at least three.")
    _against(of, report, name)
    _table(of, report)
    symmetric = judge.symmetric
    st.markdown(
        escape_markdown(f"{_voted(report) if judge.id == PEOPLE else biases(report, symmetric=symmetric)} {report.power}")
    )
    for other in (t for t in every if judge.id == PEOPLE and t.id != PEOPLE):
        st.markdown(escape_markdown(agreement(report.judged, other)))
    if judge.id != PEOPLE and (people := next((t for t in every if t.id == PEOPLE), None)):
        st.markdown(escape_markdown(agreement(people.report.judged, judge)))
    _downloads(of, judge)


def _voted(report: Report) -> str:
    return f"{len(report.judged):,} votes; the sides were drawn, so a habit of voting left favours nobody."


def _against(of: LoadedRun, report: Report, name: str) -> None:
    """One selector against the others, by budget."""
    players = list(report.matrix)
    if not any(line.budget is not None for line in report.lines):
        return
    with st.expander("Win rate by budget", icon=":material/show_chart:"):
        usual = players.index("token_od") if "token_od" in players else 0
        who = st.selectbox(
            "Of",
            players,
            usual,
            key=f"against-{name}",
            help="Whose wins are drawn.",
            format_func=lambda p: visible(one_line(of.labels.get(p, p), 60)),
        )
        labels = {n: str(kind.label) for n, kind in registry().items()} | of.labels
        paper = paper_rates(of.corpus) if who == "token_od" else {}
        fig = generation_plots.win_figure(report.lines, str(who), labels, paper, dark=dark())
        key = f"wins-{name}-{who}"
        st.plotly_chart(fig, theme=None, key=key, config=chart_config(key), alt="Win rate against the budget")
        told = " Hollow and dotted: the paper's, not ours." if paper else ""
        st.caption(f"Ties as halves; 95% intervals, clustered by prompt.{told}")


def _table(of: LoadedRun, report: Report) -> None:
    rows: list[dict[str, Any]] = []
    several = {(line.a, line.b) for line in report.lines if line.budget is not None}
    paper = False
    for line in report.lines:
        a, b = (visible(one_line(of.labels.get(x, x), 60)) for x in (line.a, line.b))
        n = f"{line.budget:,}" if line.budget is not None else "all" if (line.a, line.b) in several else "–"
        row: dict[str, Any] = {
            "a": a,
            "b": b,
            "n": n,
            "a wins (95%)": shown(line.rate),
            "won / tied / lost": f"{line.won} / {line.tied} / {line.lost}",
        }
        row |= {"p": f"{line.p_value:.2g}", "at equal length (95%)": shown(line.adjusted) if line.adjusted else "–"}
        row |= {"prompts": line.prompts, "prompts for 5 points": line.needed[0] or None}
        theirs = paper_rate(of.corpus, line)
        row["the paper's"] = f"{100 * theirs:.0f}%" if theirs is not None else "–"
        paper = paper or theirs is not None
        rows.append(row)
    frame = pd.DataFrame(rows)
    st.dataframe(
        frame if paper else frame.drop(columns="the paper's"),
        hide_index=True,
        placeholder="–",
        alt="Every comparison at every budget",
        height="content" if len(rows) < 16 else 480,
    )
    note = f" The column of the paper is not ours: {SOURCE}, GPT-4o as the judge, without intervals." if paper else ""
    st.caption(
        escape_markdown(
            f"{CHANCE} p: exact sign test over prompts. At equal length: by a logistic regression on how much longer a is. "
            f"Prompts for 5 points: how many would tell 55% from 50% with verdicts spread as here.{note}"
        )
    )


def _paper(of: LoadedRun) -> None:
    """The paper's own table, on the corpora that it has."""
    if of.corpus not in WIN_RATES:
        return
    names = {n: str(kind.label) for n, kind in registry().items()}
    with st.expander("The paper's table (not ours)", icon=":material/menu_book:"):
        rows = [
            {
                "TokenOD against": names.get(other, other),
                **{f"n = {n:,}": f"{100 * v:.0f}%" for n, v in zip(BUDGETS, rates, strict=True)},
            }
            for other, rates in WIN_RATES[of.corpus].items()
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt="The paper's win rates of TokenOD")
        st.caption(
            escape_markdown(
                f"Source: {SOURCE}: GPT-2, GPT-4o as the judge. No intervals, seeds or number of comparisons were given; with "
                "100 prompts one standard error is 5 points."
            )
        )


def _downloads(of: LoadedRun, judge: JudgeSummary) -> None:
    row = st.container(horizontal=True, vertical_alignment="center")
    row.markdown("Download:")
    for ending, make in (("json", _json), ("md", _markdown)):
        name = f"win-rates-{of.name}.{ending}"
        data = partial(make, of, judge)
        row.download_button(ending, data, name, key=f"{ending}-{of.name}-{judge.id}", on_click="ignore")
    components.footer(f"fishersft judge {of.name}", PYTHON.format(name=of.name))


def _json(of: LoadedRun, judge: JudgeSummary) -> str:
    return json.dumps(
        {"run": of.run.id, "judge": judge.label, **judge.report.as_dict(), "paper": paper_rates(of.corpus)}, indent=1
    )


def _markdown(of: LoadedRun, judge: JudgeSummary) -> str:
    return markdown(judge.report, of.corpus, of.labels, symmetric=judge.symmetric) + "\n"
