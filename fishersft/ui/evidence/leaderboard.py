"""The panels of the Evidence page: which arena, who leads it, contest by contest, and an arena of the visitor's own corpus."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import streamlit as st

from fishersft import catalogue
from fishersft.catalogue import ARENA
from fishersft.finetuning.arena import Arena
from fishersft.finetuning.leaderboard import Contest, Entry, Placing, leaderboard, sentence
from fishersft.finetuning.results import SCORES, with_interval
from fishersft.finetuning.run import ALL, BASE
from fishersft.plots import leaderboard as plots
from fishersft.selectors import registry
from fishersft.store import jobs
from fishersft.text import counted
from fishersft.ui import cached, components, job_panel, query_widgets
from fishersft.ui.components import dark, escape_markdown, helped
from fishersft.ui.evidence import before_tuning
from fishersft.ui.session import Session, public

EVERYTHING = "all of these"
CONTESTS, TABLE, BEFORE, OWN = "Contest by contest", "Table", "Before fine-tuning", "Rank your own"
FEW = 4  # contests side by side on a narrow screen; more scroll sideways
UNITS = NATS, WORTH = ("Nats a token", "Tokens of a random draw")
MEANING = (
    "Every selector gets the tokens of a random draw's first n sentences and as many training steps; the tuned models are "
    "measured on texts that no selector saw. Shown is the mean over contests of nats a token, minus those after a random draw. "
    "Intervals are 95%, over texts, and over seeds where there are several; a rank's interval is where it lies in 95% of the "
    "draws."
)


def choose(visitor: Session) -> Arena | None:
    """The arena that is shown, with what other arenas measured in the same contests; a choice where there are several.

    One's own stand first, the newest before all, then the shipped ones, the largest before all.
    """
    every = [run for run in catalogue.runs(ARENA, shipped_only=public()) if not run.problem and run.content.contests]
    every.sort(key=lambda run: (run.shipped, -run.shipped * len(run.content.contests)))
    found: dict[str, Arena] = {run.id: run.content for run in every}
    if not found:
        return None
    id = next(iter(found))
    if len(found) > 1:
        id = query_widgets.select(
            "Result",
            list(found),
            "arena",
            format_func=lambda one: components.one_line(found[one].title, 90),
            width=420,
            help="Arenas of yours and shipped ones.",
        )
    return found[id].with_contests_of([other for name, other in found.items() if name != id])


def narrow(arena: Arena, row: st.delta_generator.DeltaGenerator) -> list[Contest]:
    """The contests that are ranked together: those for a target or those without, then all of them or those of one kind."""
    groups = arena.groups
    name = next(iter(groups))
    if len(groups) > 1:
        said = "Selectors that choose for a target are ranked where there is one; the others stand beside them."
        name = query_widgets.segmented("Choosing", list(groups), "aim", place=row, help=said)
    contests = groups[name]
    for key, heading, of in (("on", "Corpus or target", _place), ("model", "Model", _model), ("n", "Budget n", _budget)):
        kinds = list(dict.fromkeys(of(c) for c in contests))
        if len(kinds) > 1:
            wanted = query_widgets.select(heading, [EVERYTHING, *kinds], key, place=row, width=230, help="Rank over these only.")
            contests = [c for c in contests if wanted in (EVERYTHING, of(c))]
    return contests


def _place(contest: Contest) -> str:
    return components.one_line(contest.target or contest.corpus, 60)


def _model(contest: Contest) -> str:
    return components.one_line(contest.model, 60)


def _budget(contest: Contest) -> str:
    return f"{contest.budget:,}"


def show(arena: Arena, contests: Sequence[Contest], visitor: Session) -> None:
    """Who leads in a sentence and in a picture, then the rest behind tabs."""
    placings = leaderboard(contests)
    components.verdict(escape_markdown(sentence(placings, contests)), help=helped(MEANING, "equal tokens", "random draws"))
    if not placings:
        return
    alt = "; ".join(f"{s.label} {s.minus_uniform.value:+.3f}" for s in placings)
    components.still_chart(
        plots.placings_figure(placings, dark=dark()), "placings", f"Nats a token minus a random draw's. {alt}.", "leaderboard"
    )
    measured = "; ".join(dict.fromkeys(c.measured_on for c in contests))
    seeds = {len(e.held.nats) for c in contests for name, e in c.entries.items() if name not in (BASE, ALL)}
    span = counted(max(seeds), "seed") if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)} seeds"
    st.caption(f"{counted(len(contests), 'contest')}, {span} a selector. Measured on {escape_markdown(measured)}.")
    part = components.tabs((CONTESTS, TABLE, BEFORE, OWN), "part", "More evidence")
    if part == CONTESTS:
        _contests(contests, placings)
    elif part == TABLE:
        _table(arena, contests, placings)
    elif part == OWN:
        own(visitor)
    else:
        before_tuning.panel()


def _contests(contests: Sequence[Contest], placings: Sequence[Placing]) -> None:
    said = "Bold: the interval leaves out a random draw. Green is better than a random draw."
    st.header("Contest by contest", anchor=False, help=said)
    worth = False
    if any(s.saved for s in placings):
        said = "How far below a random draw's nats, or how many tokens of a random draw each token of the selection is worth."
        worth = query_widgets.segmented("Measured in", UNITS, "unit", help=said) == WORTH
    if components.touch():
        for s in placings:
            components.cards([{"selector": s.label, **{c.title: _cell(c, s.selector, worth=worth) for c in contests}}])
        return
    each = [f"{s.label} {', '.join(_cell(c, s.selector, worth=worth) for c in contests)}" for s in placings]
    alt = f"{'; '.join(c.title for c in contests)}: {'; '.join(each)}."
    figure = plots.worth_figure if worth else plots.contests_figure
    key = "contests" if len(contests) <= FEW else "many-contests"
    components.still_chart(figure(contests, placings, dark=dark()), key, alt, "contests")


def _cell(contest: Contest, selector: str, *, worth: bool) -> str:
    if worth:
        entry = contest.entries.get(selector)
        return entry.saved.times if entry and entry.saved else "–"
    d = contest.differences.get(selector)
    return with_interval(d, signed=True) if d else "–"


def _table(arena: Arena, contests: Sequence[Contest], placings: Sequence[Placing]) -> None:
    st.header("The numbers", anchor=False)
    alone = contests[0].entries if len(contests) == 1 else {}
    rows = [
        {
            "rank": s.ranked,
            "selector": s.label,
            "nats a token, minus a random draw": with_interval(s.minus_uniform, signed=True),
            "a token is worth": s.times or "–",
            **_alone(alone.get(s.selector)),
            "better": s.sides[0],
            "undecided": s.sides[1],
            "worse": s.sides[2],
            "seconds of choosing": components.number(s.choosing),
        }
        for s in placings
    ]
    components.table(rows, "The leaderboard in numbers", key="leaderboard-table", height="content")
    st.caption(
        "A token is worth so many tokens of a random draw: that many reach the same loss"
        f"{'' if alone else ', from the fewest of a contest to the most of one'}. Better, undecided, worse: in "
        "how many contests the interval lies below 0, around it, above it. Choosing leaves out what selectors share: embedding "
        "the pool, and losses that another had computed."
    )
    if arena.command and not public():
        components.shell(shlex.join(arena.command))


def _alone(entry: Entry | None) -> dict[str, str]:
    """What is only known of one contest: tokens saved net of choosing, and the score of the answers."""
    if entry is None:
        return {}
    told = {"tokens saved": entry.saved.words if entry.saved else "–"}
    if (score := entry.score) is not None:
        minus = with_interval(score.minus_uniform, signed=True) if score.minus_uniform else "–"
        told |= {SCORES[score.name]: with_interval(score.value), f"{SCORES[score.name]}, minus a random draw": minus}
    return told


def own(visitor: Session) -> None:
    """Start an arena on the visitor's corpus, for their target, under their model."""
    st.header("Rank selectors on your corpus", anchor=False)
    choice = visitor.choice
    if public():
        st.info("A hosted demo does not fine-tune; run fishersft on your own machine.", icon=":material/computer:")
        return
    for job in (job for job in jobs.jobs() if job.kind == ARENA and not job.ended):
        job_panel.watch(job.id)
    aimed = bool(choice.target)
    offered = query_widgets.offered(aimed=aimed)
    usual = [name for name in ("token_od", "target_matched", "rds_plus", "longest", "matched_od") if name in offered]
    kinds = registry()
    left, middle, right = st.columns([3, 1, 1])
    said = "Those to rank; Uniform, the random draw, is always there."
    look: dict[str, Any] = {"format_func": lambda name: kinds[name].label, "key": "arena-selectors"}
    names = left.multiselect("Selectors", offered, usual, help=said, **look)
    n = middle.number_input("Sentences n", 1, 100_000, 60, key="arena-n", help="All get the tokens of a random draw of n.")
    seeds = right.number_input("Seeds", 1, 50, 3, key="arena-seeds", help="Draws and trainings per selector.")
    if not names:
        st.info("Choose at least one selector.", icon=":material/checklist:")
        return
    place = f"{choice.source}@{choice.target}" if aimed else choice.source
    words = ["arena", place, "--models", choice.model, *choice.flags, "--selectors", ",".join(names), "--seeds", str(seeds)]
    words += ["--budgets", str(n), "--curve", f"{max(1, n // 4)},{max(2, n // 2)},{2 * n}", "--prompts", "0", "--no-all"]
    out = catalogue.folder_for(ARENA, words, (cached.corpus(choice).fingerprint,))
    title = f"Rank {len(names)} selectors on {components.one_line(choice.name, 50)}"
    if job_panel.offer([*words, "--out", str(out)], kind=ARENA, title=title, out=out, key="run-arena"):
        st.rerun()
