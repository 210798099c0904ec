"""The parts of the Compare page about the picks themselves: the answer, overlaps, the records, and what saves it all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import streamlit as st

from fishersft import catalogue
from fishersft.finetuning.leaderboard import after_tuning, pool_key
from fishersft.plots import compare as compare_plots
from fishersft.scoring.comparison import Comparison
from fishersft.scoring.summaries import comparison_sentences, comparison_summary, verdict
from fishersft.ui import components, query_widgets
from fishersft.ui.compare import numbers, transfer
from fishersft.ui.compare.view import CompareView
from fishersft.ui.components import MEANS, MOST_ROWS, dark, escape_markdown, helped
from fishersft.ui.session import Session, public

PARTS = ("Overlap", "Criteria", "Lengths", "Topics", "Records", "Transfer", "Save")
READS = {"rows": "Records", "log": "Lengths", "score": "Transfer"}  # what else of an address only one part reads
SETS = ("all picks", "in both", "only the first", "only the second", "the lasso")


def choose_part(view: CompareView) -> str:
    """Which part is shown below the maps."""
    corpus = view.pool.corpus
    left_out = {*([] if corpus and corpus.categories else ["Topics"]), *(["Transfer"] if public() else [])}
    names = [name for name in PARTS if name not in left_out]
    old = [part for key, part in READS.items() if key in st.query_params]  # a link from before there were parts
    if old and "part" not in st.query_params and "part" not in st.session_state:
        st.session_state["part"] = old[0]
    return components.tabs(names, "part", "More about these selections")


def show(part: str, view: CompareView, found: Comparison | None, visitor: Session) -> None:
    """One part; some say nothing before the random draws are scored."""
    if part in UNSCORED:
        UNSCORED[part](view, visitor)
    elif found is not None:
        SCORED[part](view, found, visitor)
    else:
        st.info("This part needs the random draws; the button above the maps scores them.", icon=":material/casino:")


def answer(view: CompareView, found: Comparison) -> None:
    """Which of these selectors to use here, and what fine-tuning on such picks came to where an arena has measured it."""
    said = (
        "log det gained, in nats, is TokenOD's own criterion. Better or worse than chance is what lies outside the range of all "
        "random draws. None of these numbers is yet a better fine-tuned model: Generations measures that."
    )
    sentence = escape_markdown(" ".join(verdict(found)))
    components.verdict(sentence, help=helped(said, "log det", "random draws", "equal tokens", "worst leverage"))
    target = view.pool.target.key if view.pool.target else ""
    plain = tuple(s.name for s in view.selectors if not s.changed)
    if told := _after_tuning(pool_key(view.corpus.fingerprint, target), Path(view.choice.model).name, plain, public()):
        row = st.container(horizontal=True, vertical_alignment="center", key="after-tuning")
        row.markdown(escape_markdown(told))
        row.page_link("pages/evidence.py", label="Evidence", icon=":material/arrow_forward:")


@st.cache_data(ttl=60, max_entries=64, show_spinner=False)
def _after_tuning(pool: str, model: str, selectors: tuple[str, ...], shipped_only: bool) -> str:
    found = catalogue.contents(catalogue.ARENA, shipped_only=shipped_only)
    here = [contest for arena in found for contest in arena.contests if contest.pool == pool]
    return after_tuning([c for c in here if c.model == model] or here, selectors)


def overlap(view: CompareView, found: Comparison, _visitor: Session) -> None:
    """How many picks every two share, beside what a random draw shares, and in words what else differs."""
    said = "Picks in common, beside what a random draw shares. Numbers outside the range of the draws differ from chance."
    st.header("What the selectors share, and what differs", anchor=False, help=helped(said, "random draws", "equal tokens"))
    rows = view.rows
    shared = np.array([[found.shared(a, b) for b in found.chosen] for a in found.chosen])
    pairs = "; ".join(f"{rows[i].label} and {rows[j].label}: {shared[i, j]:,}" for i in range(len(rows)) for j in range(i))
    by_chance = "; ".join(f"{s.label} {components.spread(found.shared_by_chance[s.name])}" for s in rows)
    fig = compare_plots.overlap_matrix(rows, shared, found.overlap.to_numpy(), dark=dark(), height=130 + 50 * len(rows))
    left, right = st.columns([2, 3], gap="large")
    with left:
        components.still_chart(fig, "overlap-chart", f"Picks that every two selectors share. {pairs}.", "compare-overlap")
        st.caption(
            "Shared picks, and below them the Jaccard index: shared over all that either picked, 0 to 1. A random draw shares "
            f"with each, over {found.draws} draws: {by_chance}."
        )
    told = comparison_sentences(found)[len(verdict(found)) :]
    right.markdown("\n".join(f"- {escape_markdown(sentence)}" for sentence in told))


def records(view: CompareView, session: Session) -> None:
    """The records picked: by either of the first two, both, one of them, or the lasso's."""
    st.header("The records", anchor=False)
    pool, lit = view.pool, np.isin(view.pool.index, session.lasso)
    kind = compare_plots.classes(*(view.ranks[s.name] > 0 for s in view.rows[:2]))
    ranks = np.stack([view.ranks[s.name] for s in view.rows])
    keep = dict(zip(SETS, ((ranks > 0).any(0), kind == 3, kind == 1, kind == 2, lit), strict=True))
    said = f"The first is {view.rows[0].label}, the second {view.rows[1].label}. A lasso narrows every choice to its set."
    show = query_widgets.segmented("Show", SETS, "rows", help=said)
    narrowed = bool(session.lasso) and show != SETS[4]
    positions = np.flatnonzero(keep[show] & lit if narrowed else keep[show])
    if not len(positions):
        hint = "draw one on a map" if show == SETS[4] else "choose another set" + (" or clear the lasso" if session.lasso else "")
        st.info(f"No record is in this set; {hint}.", icon=":material/search_off:")
        return
    places = np.where(ranks > 0, ranks, len(pool) + 1)[::-1, positions]  # by the first selector's order, then the second's ...
    positions = positions[np.lexsort(places)]
    cut = positions[:MOST_ROWS]
    components.record_table(
        view.corpus,
        {
            "record": pool.index[cut],
            **{s.label: components.blank_zeros(view.ranks[s.name][cut]) for s in view.rows},
            "tokens": pool.tokens[cut],
        },
        f"Records picked: {show}",
        visitor=session,
        key=f"records-{show}-{hash(cut.tobytes())}",
        helps=MEANS | {s.label: f"Place in the order of {s.label}, from 1; blank if not picked." for s in view.rows},
        height=340,
    )
    row = st.container(horizontal=True, vertical_alignment="center")
    row.caption(
        f"{len(positions):,} rows. A number under a selector is the place in its order; a blank means not picked."
        + (f" The first {MOST_ROWS:,} are shown." if len(positions) > MOST_ROWS else "")
        + (" Only the lasso's are shown." if narrowed else "")
    )
    if session.record is not None and components.position_of(pool, session.record) is not None:
        row.page_link("pages/explore.py", label=f"Why record {session.record:,}?", icon=":material/help:")


def save(view: CompareView, found: Comparison, visitor: Session) -> None:
    """The numbers as files, and the calls that make the same."""
    st.header("Save and repeat", anchor=False)
    names = [s.name for s in view.selectors]
    row = st.container(horizontal=True, vertical_alignment="bottom")
    components.pictures(row)
    row.markdown("Download the numbers:")
    files = {
        "csv": lambda: found.as_csv().encode(),
        "json": lambda: json.dumps(comparison_summary(found), ensure_ascii=False, indent=1).encode(),
    }
    for format, made in files.items():
        row.download_button(
            format,
            data=made,
            file_name=f"compare-{'-'.join(names)}-{view.n}.{format}",
            key=f"download-{format}",
            on_click="ignore",
            help=f"Every selection, and the random draws, under every criterion, as {format}.",
        )
    for name, taken in found.selections.items():
        for key, value in taken.order.notes.items():
            st.caption(escape_markdown(f"{name}, {key}: {value}."))
    command, python = _calls(view, names, visitor.score_model)
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Command line", anchor=False)
        components.shell(command)
    with right:
        st.subheader("Python", anchor=False)
        st.code(python, language="python", wrap_lines=True)


def _calls(view: CompareView, names: list[str], score_model: str) -> tuple[str, str]:
    """The command line and the Python that make the comparison."""
    settings = [w for s in view.selectors for k, v in s.changed.items() for w in ("--set", f"{s.name}.{k}={v}")]
    words = ["--selectors", ",".join(names), *settings, "--budget", str(view.n), "--equal", view.equal]
    words += [*(["--seed", str(view.seed)] if view.seed else []), *(["--score-model", score_model] if score_model else [])]
    under = f", score_pool=fishersft.load_pool(corpus, {score_model!r})" if score_model else ""
    made_of = ", ".join(f"fishersft.make_selector({s.name!r}{f', {s.changed!r}' if s.changed else ''})" for s in view.selectors)
    return view.choice.command(*words, verb="compare"), (
        "import fishersft\n\n"
        f"corpus = {view.choice.python}\n"
        f"pool = fishersft.load_pool(corpus, {view.choice.model!r}{view.choice.aim_python})\n"
        f"selectors = [{made_of}]\n"
        f"budget = fishersft.Budget(sentences={view.n})\n"
        f"found = fishersft.compare(pool, selectors, budget, equal={view.equal!r}, seed={view.seed}{under})\n"
        "print(found.table())"
    )


UNSCORED: dict[str, Callable[[CompareView, Session], None]] = {
    "Lengths": lambda view, _: numbers.lengths(view),
    "Topics": lambda view, _: numbers.topics(view),
    "Records": records,
    "Transfer": transfer.panel,
}
SCORED: dict[str, Callable[[CompareView, Comparison, Session], None]] = {
    "Overlap": overlap,
    "Criteria": lambda _, found, __: numbers.criteria(found),
    "Save": save,
}
