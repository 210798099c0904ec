"""The panels of the Compare page: maps that share axes and brush, what differs in words, overlaps, the records."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from fishersft.plots import compare as compare_plots
from fishersft.plots.sentence_map import Points, window_of
from fishersft.scoring.comparison import Row
from fishersft.scoring.summaries import comparison_sentences, comparison_summary
from fishersft.ui import cached, components, maps, query_widgets
from fishersft.ui.compare.view import CompareView
from fishersft.ui.components import MEANS, MOST_ROWS, dark, escape_markdown, helped
from fishersft.ui.session import Session

MAPS = ("one each", "first two together")
SETS = ("all picks", "in both", "only the first", "only the second", "the lasso")
SECTIONS = {
    "differs": "what differs",
    "overlap": "overlap",
    "criteria": "every criterion",
    "gain": "gain against length",
    "picks": "what the picks are like",
    "records": "the records",
    "transfer": "transfer to another model",
    "which": "which selector should I use?",
}
_linked = st.components.v2.component(  # charts whose keys begin with a prefix follow each other
    "fishersft_linked_maps",
    html="<span hidden></span>",
    js=(Path(__file__).parent / "linked_maps.js").read_text(encoding="utf-8"),
)


def contents() -> None:
    """Links to the sections of this long page."""
    st.caption("Below the maps: " + " · ".join(f"[{said}](#{anchor})" for anchor, said in SECTIONS.items()))


def maps_panel(view: CompareView, session: Session) -> None:
    """The selections on maps with the same axes, that move together; a lasso on one lights the same records on all."""
    left, middle, right = st.columns([3, 2, 4], vertical_alignment="bottom")
    said = "One map per selector, side by side, or the first two selectors on one large map."
    together = query_widgets.segmented("Maps", MAPS, "maps", place=left, help=said) == MAPS[1]
    kind = maps.kind(view.everything, middle)
    xy = cached.map_of(view.everything.embeddings, kind.lower())
    lit = np.isin(view.everything.index, session.lasso)
    zoom = False
    with right.container(horizontal=True, vertical_alignment="bottom"):
        if lit.any():
            zoom = st.toggle("Zoom to the lasso", key="zoom", help="All maps show only the neighbourhood of the set.")
            st.button("Clear the lasso", icon=":material/deselect:", on_click=session.clear_set)
    focus, window = components.position_of(view.everything, session.record), window_of(xy[lit] if zoom else xy)
    look: dict[str, Any] = {"focus": focus, "window": window, "equal_axes": kind == "PCA", "dark": dark()}
    # marked on a selector's map: the first one's picks, on that one's own map the second's
    pairs = [(row, view.rows[0 if k else 1]) for k, row in enumerate(view.rows)]
    shown = [view.rows[:2]] if together else pairs
    each_row = 1 if together else (2 if len(shown) in (2, 4) else 3)
    for start in range(0, len(shown), each_row):
        for column, (selector, other) in zip(st.columns(each_row, gap="medium"), shown[start : start + each_row], strict=False):
            mine, theirs = view.on_maps[selector.name] > 0, view.on_maps[other.name] > 0
            either = np.where(mine | (not together), view.on_maps[selector.name], view.on_maps[other.name])
            points = Points(xy, view.everything.index, either, lit, view.target_texts)
            shared, scores = int((mine & theirs).sum()), selector.scores[0]
            with column:
                if together:
                    fig = compare_plots.pair_map(points, compare_plots.classes(mine, theirs), (selector, other), **look)
                    said = f"The picks of {selector.label} and {other.label} on one map; {shared:,} are in both."
                else:
                    fig = compare_plots.selection_map(points, theirs, selector, other, **look)
                    st.markdown(f"**{selector.label}**: {scores.sentences:,} sentences, {scores.tokens:,} tokens")
                    picks = f"{scores.sentences:,} picks of {selector.label}"
                    said = f"{kind} map: {picks}, {shared:,} of them picked by {other.label} too."
                said += f" {int(lit.sum()):,} records of the lasso are highlighted." if lit.any() else ""
                key = _map_key(session, selector, "pair" if together else selector.name)
                maps.chart(fig, key, said, "compare-map", partial(_brushed, session, key, selector, view.rows))
    if not together:
        _linked(key="linked-compare-map-", data={"prefix": "compare-map-"}, height=1)
    moving = "" if together else ": zoom or move one and all follow"
    one, two = (s.label for s in view.rows[:2])
    stars = "both selectors share" if together else f"{one} shares (on its own map: that {two} shares)"
    st.caption(
        f"{kind} of {len(view.everything):,} sentence means, with the same axes on every map{moving}. "
        f"{'Filled stars' if view.target_texts.any() else 'Stars'} are picks that {stars}. "
        "Click a point to find it on every map and below; draw a lasso to show a set on all maps and in the table."
        + maps.sampled(view.everything)
    )


def _map_key(session: Session, selector: Row, name: str) -> str:
    """The key of a selector's map; another turn of it clears what was drawn there."""
    return f"compare-map-{name}-{session.generation}-{st.session_state.get(f'turn-{selector.name}', 0)}"


def _brushed(session: Session, key: str, source: Row, others: tuple[Row, ...]) -> None:
    """A gesture on one map: the set is shown on all, and what was drawn on the other maps is cleared."""
    maps.point_or_lasso(session, key)
    for other in others:
        old = st.session_state.get(_map_key(session, other, other.name)) or {}
        if other.name != source.name and old.get("selection", {}).get("points"):
            turn = f"turn-{other.name}"
            st.session_state[turn] = st.session_state.get(turn, 0) + 1


def words_panel(view: CompareView) -> None:
    """What differs, with the numbers."""
    said = "Numbers that are outside the range of random draws are said to differ from chance."
    st.subheader("What differs", anchor="differs", help=helped(said, "random draws", "equal tokens"))
    st.markdown("\n".join(f"- {escape_markdown(sentence)}" for sentence in comparison_sentences(view.found)))


def overlap_panel(view: CompareView) -> None:
    """How many picks every two share, beside what a random draw shares."""
    st.subheader("Overlap of the picks", anchor="overlap", help=helped("Compared with a random draw.", "random draws"))
    found, rows = view.found, view.rows
    shared = np.array([[found.shared(a, b) for b in found.chosen] for a in found.chosen])
    pairs = "; ".join(f"{rows[i].label} and {rows[j].label}: {shared[i, j]:,}" for i in range(len(rows)) for j in range(i))
    fig = compare_plots.overlap_matrix(rows, shared, found.overlap.to_numpy(), dark=dark(), height=130 + 50 * len(rows))
    components.still_chart(fig, "overlap-chart", f"Picks that every two selectors share. {pairs}.", "compare-overlap")
    by_chance = "; ".join(f"{s.label} {components.spread(found.shared_by_chance[s.name])}" for s in rows)
    st.caption(
        f"Shared picks, and below them the Jaccard index: shared over all that either picked, 0 to 1. "
        f"Range of picks shared with a random draw, over {found.draws} draws: {by_chance}."
    )


def records_panel(view: CompareView, session: Session) -> None:
    """The records picked: by either of the first two, both, one of them, or the lasso's."""
    st.subheader("The records", anchor="records")
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


def downloads(view: CompareView, score_model: str) -> None:
    """The numbers as files, and the calls that make the same."""
    names = [s.name for s in view.selectors]
    row = st.container(horizontal=True, vertical_alignment="bottom")
    components.pictures(row)
    row.markdown("Download the numbers:")
    files = {
        "csv": lambda: view.found.table().to_csv(index=False).encode(),
        "json": lambda: json.dumps(comparison_summary(view.found), ensure_ascii=False, indent=1).encode(),
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
    for name, taken in view.found.selections.items():
        for key, value in taken.order.notes.items():
            st.caption(escape_markdown(f"{name}, {key}: {value}."))
    components.footer(*_calls(view, names, score_model))


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
