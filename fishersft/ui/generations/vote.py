"""The Vote section: blind pairs from a seeded queue, keys 1, 2 and 0, each vote locked before names appear."""

from __future__ import annotations

from typing import Any

import streamlit as st

from fishersft.errors import FisherSFTError
from fishersft.judge import votes
from fishersft.judge.competence import OTHER, SHUFFLED, UNTUNED
from fishersft.judge.report import Report
from fishersft.judge.votes import VOTER, Ballot, Cast
from fishersft.ui import components
from fishersft.ui.components import escape_markdown
from fishersft.ui.generations.page_state import PEOPLE, LoadedRun, damage_reported, judge_reports, label, page_state
from fishersft.ui.generations.side_by_side import boxed
from fishersft.ui.session import public

FEW = 8  # votes; an interval from fewer would say nothing
CHOICES = {"1": "left", "2": "right", "0": "neither"}
CHECKED = {
    votes.OWN: "the record's own text",
    UNTUNED: "the untuned model",
    SHUFFLED: "its words shuffled",
    OTHER: "another record's text",
}  # who wrote the texts of a pair with a known answer
BUTTONS = (("1", "Left is better"), ("0", "Tie"), ("2", "Right is better"))


def section(of: LoadedRun, row: Any) -> None:
    """One pair at a time; `row` takes the controls."""
    if public():
        st.info(
            "This hosted demo takes no votes: visitors' votes are not mixed. Install fishersft to vote on your own machine.",
            icon=":material/how_to_vote:",
        )
        return
    if not of.between:
        st.info("There is nothing to vote on yet: it takes texts of two finished selectors.", icon=":material/how_to_vote:")
        return
    components.verdict(
        "Which text continues the prompt better? You see no names until your vote is stored.",
        help="Pairs come from a queue that a seed shuffles, with the sides drawn: nobody picks them. Of every "
        f"{votes.BATCH}, {votes.CHECKS} have a known answer and show whether voting works here. A vote is stored at once and "
        "cannot be changed; only then are the names shown.",
    )
    st.caption("Keys: 1 left, 2 right, 0 tie; N for the next pair.")
    voter, seed = _who(row)
    with damage_reported(of.run):
        queue = votes.vote_queue(of.run, seed, of.between)
        offered, waiting = _offered(of, queue, voter)
    if locked := page_state().cast.get(of.run.id):
        ballot, choice, cast = locked
        _names(of, ballot, choice, cast, offered - len(waiting), offered)
    elif waiting:
        _ballot(of, waiting[0], voter, offered - len(waiting), offered)
    else:
        _done(of, offered, len(queue))
    reports = {report.id: report for report in judge_reports(of)}
    people = reports.pop(PEOPLE, None)
    if people is None:
        st.caption("No vote is stored for this run yet.")
        return
    count = len(people.judged)
    st.caption(f"{_votes(count)} {'is' if count == 1 else 'are'} stored for this run.")
    for judge in reports.values():
        st.markdown(escape_markdown(agreement(people, judge)))


def _offered(of: LoadedRun, queue: list[Ballot], voter: str) -> tuple[int, list[Ballot]]:
    """How many pairs of the queue are offered so far, 20 and then as many more as were asked for; and those without a vote."""
    waiting = {ballot.id for ballot in votes.open_ballots(of.run, queue, voter)}
    batches = page_state().chosen.setdefault("batches", {}).get(of.run.id, 1)
    offered = min(len(queue), votes.BATCH * batches)
    return offered, [ballot for ballot in queue[:offered] if ballot.id in waiting]


def _done(of: LoadedRun, offered: int, every: int) -> None:
    if offered == every:
        st.success("You have voted on every pair of this run. Thank you.", icon=":material/done_all:")
        return
    st.success(
        f"You have voted on {offered:,} pairs, which is enough to begin with; Win rates shows what they say. There are "
        f"{every - offered:,} more, and more votes narrow the intervals.",
        icon=":material/done_all:",
    )

    def more() -> None:
        page_state().chosen["batches"][of.run.id] = offered // votes.BATCH + 1

    label = f"{min(votes.BATCH, every - offered)} more pairs"
    st.button(label, icon=":material/add:", type="primary", key="vote-more", on_click=more)


def _who(row: Any) -> tuple[str, int]:
    chosen = page_state().chosen
    with row.popover("Voter", icon=":material/tune:", help="Who votes, and in which order the pairs come."):
        name = st.text_input("Voter", chosen.get("voter", VOTER), max_chars=40, key="voter", help="Any name.")
        order = "The order of the pairs; the same seed gives the same queue."
        seed = st.number_input("Seed of the queue", 0, 10**6 - 1, chosen.get("queue", 0), key="queue", help=order)
    chosen.update(voter=name, queue=int(seed))
    return (" ".join(str(name).split()) or VOTER), int(seed)


def _ballot(of: LoadedRun, ballot: Ballot, voter: str, done: int, every: int) -> None:
    mine = page_state()

    def cast(choice: str) -> None:
        """Store the vote; names are known only after that."""
        try:
            mine.cast[of.run.id] = (ballot, choice, votes.cast(of.run, ballot, choice, voter=voter, comparisons=of.between))
        except FisherSFTError as error:
            mine.chosen["refused"] = str(error)

    st.progress(done / every, text=f"Pair {done + 1:,} of {every:,}")
    _sides(ballot, "**Left**", "**Right**")
    row = st.container(horizontal=True, horizontal_alignment="center", key="vote-buttons")
    for choice, says in BUTTONS:
        row.button(says, key=f"vote-{choice}-{ballot.id}", shortcut=choice, on_click=cast, args=(choice,))
    if refused := mine.chosen.pop("refused", ""):
        components.problem(refused)


def _sides(ballot: Ballot, *headings: str) -> None:
    st.caption("Prompt")
    boxed(ballot.prompt)
    for column, heading, text in zip(st.columns(2, gap="medium"), headings, (ballot.left, ballot.right), strict=True):
        with column:
            st.markdown(heading)
            boxed(text)


def _names(of: LoadedRun, ballot: Ballot, choice: str, cast: Cast, done: int, every: int) -> None:
    st.progress(done / every, text=f"{done:,} of {every:,} pairs have your vote")
    st.success(f"Your vote is stored: {CHOICES[choice]}.", icon=":material/lock:")
    names, mark = (("Left", cast.left, "1"), ("Right", cast.right, "2")), " :material/check:"
    who = {name: CHECKED.get(name, of.label(name)) if ballot.check else of.label(name) for _, name, _ in names}
    _sides(ballot, *(f"**{at}: {escape_markdown(who[name])}**{mark if key == choice else ''}" for at, name, key in names))
    one, told = cast.judged, []
    for report in (report for report in judge_reports(of) if report.id != PEOPLE):
        if same := next((j for j in report.judged if j.subject == one.subject), None):
            winner = {"a": same.a, "b": same.b}.get(same.verdict.winner)
            told.append(f"{report.label}: {'tie' if winner is None else of.label(winner)}")
    n = f"n = {one.budget:,}, " if one.budget is not None else ""
    about = (
        f"{n}seed {one.seed}. " if not ballot.check else "This was a pair with a known answer: the record's own text is better. "
    )
    st.caption(escape_markdown(about + (f"Judges of the same pair: {'; '.join(told)}." if told else "")))
    row = st.container(horizontal=True, horizontal_alignment="center", key="vote-next")
    look: dict[str, Any] = {"icon": ":material/arrow_forward:", "type": "primary", "key": "vote-on", "shortcut": "N"}
    row.button("Next pair", on_click=page_state().cast.clear, **look)


def agreement(people: Report, judge: Report) -> str:
    """Kappa with its interval, in a sentence."""
    found = votes.agreement(people.judged, judge.judged)
    who = f"People and {label(judge.label)}"
    if found.n == 0:
        return f"{who}: no pair that both have judged."
    if found.n < FEW:
        agreed = round(found.observed * found.n)
        return f"{who}: the same verdict in {agreed} of {_votes(found.n)}; kappa is reported from {FEW} votes on."
    same = f"the same verdict in {100 * found.observed:.0f}% of {_votes(found.n)}"
    if found.kappa != found.kappa:
        return f"{who}: {same}; kappa is undefined: both always gave the same answer."
    return (
        f"{who}: kappa {found.kappa:.2f} ({found.low:.2f} to {found.high:.2f}), {same}. "
        "0 is chance, 1 is full agreement; ties count as a third verdict."
    )


def _votes(n: int) -> str:
    return f"{n:,} {'vote' if n == 1 else 'votes'}"
