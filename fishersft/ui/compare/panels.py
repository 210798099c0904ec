"""The panels of the Compare page: maps that share axes and brush, what differs in words, overlaps, the records."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.plots import compare as compare_plots
from fishersft.plots.sentence_map import MOST_POINTS, Points, Window, window_of
from fishersft.scoring.comparison import Row
from fishersft.scoring.summaries import comparison_sentences, comparison_summary
from fishersft.ui import cached, components, learn, maps, query_widgets
from fishersft.ui.compare.view import CompareView
from fishersft.ui.components import dark
from fishersft.ui.session import Session

MAPS = ("one each", "first two together")
SETS = ("all picks", "in both", "only the first", "only the second", "the lasso")
MOST_ROWS = 2_000
TEXT_WIDTH = 400
_linked = st.components.v2.component(  # charts whose keys begin with a prefix follow each other
    "fishersft_linked_maps",
    html="<span hidden></span>",
    js=(Path(__file__).parent / "linked_maps.js").read_text(encoding="utf-8"),
)


def contents() -> None:
    """Links to the sections of this long page."""
    parts = {
        "differs": "what differs",
        "overlap": "overlap",
        "criteria": "every criterion",
        "gain": "gain against length",
        "picks": "what the picks are like",
        "records": "the records",
        "transfer": "transfer to another model",
        "which": "which selector should I use?",
    }
    st.caption("Below the maps: " + " · ".join(f"[{said}](#{anchor})" for anchor, said in parts.items()))


def maps_panel(view: CompareView, session: Session) -> None:
    """The selections on maps with the same axes, that move together; a lasso on one lights the same records on all."""
    left, middle, right = st.columns([3, 2, 4], vertical_alignment="bottom")
    how = query_widgets.segmented(
        "Maps", MAPS, "maps", place=left, help="One map per selector, side by side, or the first two selectors on one large map."
    )
    kind = maps.kind(view.pool, middle)
    xy = cached.map_of(view.pool.embeddings, kind.lower())
    lit = view.within(session.lasso)
    zoom = False
    with right.container(horizontal=True, vertical_alignment="bottom"):
        if lit.any():
            zoom = st.toggle("Zoom to the lasso", key="zoom", help="All maps show only the neighbourhood of the set.")
            st.button("Clear the lasso", icon=":material/deselect:", on_click=session.clear_set)
    window = window_of(xy[lit] if zoom else xy)
    together = how == MAPS[1]
    # marked on a selector's map: the first one's picks, on that one's own map the second's
    pairs = [(row, view.rows[0 if k else 1]) for k, row in enumerate(view.rows)]
    shown = [view.rows[:2]] if together else pairs
    each_row = 1 if together else (2 if len(shown) in (2, 4) else 3)
    for start in range(0, len(shown), each_row):
        for column, (selector, other) in zip(st.columns(each_row, gap="medium"), shown[start : start + each_row], strict=False):
            with column:
                _map(view, session, selector, other, xy, lit, window, kind, together=together)
    if not together:
        _linked(key="linked-compare-map-", data={"prefix": "compare-map-"}, height=1)
    sampled = len(view.pool) > MOST_POINTS
    moving = "" if together else ": zoom or move one and all follow"
    one, two = (s.label for s in view.rows[:2])
    stars = "both selectors share" if together else f"{one} shares (on its own map: that {two} shares)"
    st.caption(
        f"{kind} of {len(view.pool):,} sentence means, with the same axes on every map{moving}. Stars are picks that {stars}. "
        "Click a point to find it on every map and below; draw a lasso to show a set on all maps and in the table."
        + (f" {MOST_POINTS:,} points are drawn: every pick and an even sample of the rest." if sampled else "")
    )


def _map(
    view: CompareView,
    session: Session,
    selector: Row,
    other: Row,
    xy: np.ndarray,
    lit: np.ndarray,
    window: Window,
    kind: str,
    *,
    together: bool,
) -> None:
    mine, theirs = view.ranks[selector.name], view.ranks[other.name]
    focus = components.position_of(view.pool, session.record)
    look: dict[str, Any] = {"focus": focus, "window": window, "equal_axes": kind == "PCA", "dark": dark()}
    shared = int(((mine > 0) & (theirs > 0)).sum())
    if together:
        either = np.where(mine > 0, mine, theirs)
        kinds = compare_plots.classes(mine > 0, theirs > 0)
        fig = compare_plots.pair_map(Points(xy, view.pool.index, either, lit), kinds, (selector, other), **look)
        said = f"The picks of {selector.label} and {other.label} on one map; {shared:,} are in both."
    else:
        fig = compare_plots.selection_map(Points(xy, view.pool.index, mine, lit), theirs > 0, selector, other, **look)
        scores = selector.scores[0]
        st.markdown(f"**{selector.label}**: {scores.sentences:,} sentences, {scores.tokens:,} tokens")
        said = f"{kind} map: {scores.sentences:,} picks of {selector.label}, {shared:,} of them picked by {other.label} too."
    drawn_at = f"{session.generation}-{st.session_state.get(_turn(selector), 0)}"
    key = f"compare-map-{'pair' if together else selector.name}-{drawn_at}"
    st.plotly_chart(
        fig,
        theme=None,
        key=key,
        on_select=partial(_brushed, session, key, selector, view.rows),
        selection_mode=("points", "lasso", "box"),
        config=maps.camera("compare-map"),
        alt=f"{said} {int(lit.sum()):,} records of the lasso are highlighted." if lit.any() else said,
    )


def _turn(selector: Row) -> str:
    return f"turn-{selector.name}"


def _brushed(session: Session, key: str, source: Row, others: tuple[Row, ...]) -> None:
    """A gesture on one map: the set is shown on all, and what was drawn on the other maps is cleared."""
    maps.point_or_lasso(session, key)
    for other in others:
        if other.name != source.name:
            old = f"compare-map-{other.name}-{session.generation}-{st.session_state.get(_turn(other), 0)}"
            if (st.session_state.get(old) or {}).get("selection", {}).get("points"):
                st.session_state[_turn(other)] = st.session_state.get(_turn(other), 0) + 1


def words_panel(view: CompareView) -> None:
    """What differs, with the numbers."""
    said = "Numbers that are outside the range of random draws are said to differ from chance."
    st.subheader("What differs", anchor="differs", help=learn.helped(said, "random draws", "equal tokens"))
    st.markdown("\n".join(f"- {components.escape_markdown(sentence)}" for sentence in comparison_sentences(view.found)))


def overlap_panel(view: CompareView) -> None:
    """How many picks every two share, beside what a random draw shares."""
    st.subheader("Overlap of the picks", anchor="overlap", help=learn.helped("Compared with a random draw.", "random draws"))
    names = list(view.found.chosen)
    shared = np.array([[view.found.shared(a, b) for b in names] for a in names])
    jaccard = view.found.overlap.to_numpy()
    pairs = "; ".join(
        f"{view.rows[i].label} and {view.rows[j].label}: {shared[i, j]:,}" for i in range(len(names)) for j in range(i)
    )
    st.plotly_chart(
        compare_plots.overlap_matrix(view.rows, shared, jaccard, dark=dark(), height=130 + 50 * len(names)),
        theme=None,
        config=components.camera("compare-overlap"),
        key="overlap-chart",
        alt=f"Picks that every two selectors share. {pairs}.",
    )
    by_chance = "; ".join(f"{s.label} {components.spread(view.found.shared_by_chance[s.name])}" for s in view.rows)
    st.caption(
        f"Shared picks, and below them the Jaccard index: shared over all that either picked, 0 to 1. "
        f"Range of picks shared with a random draw, over {view.found.draws} draws: {by_chance}."
    )


def records_panel(view: CompareView, session: Session) -> None:
    """The records picked: by either of the first two, both, one of them, or the lasso's."""
    st.subheader("The records", anchor="records")
    lit = view.within(session.lasso)
    one, two = (view.ranks[s.name] > 0 for s in view.rows[:2])
    kind = compare_plots.classes(one, two)
    anyone = np.any([r > 0 for r in view.ranks.values()], axis=0)
    keep = dict(zip(SETS, (anyone, kind == 3, kind == 1, kind == 2, lit), strict=True))
    show = query_widgets.segmented(
        "Show",
        SETS,
        "rows",
        help=f"The first is {view.rows[0].label}, the second {view.rows[1].label}. A lasso narrows every choice to its set.",
    )
    chosen = keep[show]
    if show != SETS[4] and session.lasso:
        chosen = chosen & lit
    positions = np.flatnonzero(chosen)
    ranks = np.stack([r[positions] for r in view.ranks.values()])
    positions = positions[np.lexsort(np.where(ranks > 0, ranks, len(view.pool) + 1)[::-1])] if len(positions) else positions
    if not len(positions):
        hint = "draw one on a map" if show == SETS[4] else "choose another set" + (" or clear the lasso" if session.lasso else "")
        st.info(f"No record is in this set; {hint}.", icon=":material/search_off:")
        return
    cut = positions[:MOST_ROWS]
    records = view.pool.index[cut]
    table = pd.DataFrame({"record": records})
    for selector in view.rows:
        rank = view.ranks[selector.name][cut]
        table[selector.label] = pd.array([int(r) if r else None for r in rank], dtype="Int64")
    table["tokens"] = view.pool.tokens[cut]
    for column in view.corpus.categories[:2]:
        table[f" {column}"] = components.cells(view.corpus.fields[column].iloc[records])
    table["text"] = [components.one_line(view.corpus.texts[r], TEXT_WIDTH) for r in records]
    key = f"records-{show}-{hash(cut.tobytes())}"

    st.dataframe(
        components.text_early(table),
        hide_index=True,
        height=340,
        key=key,
        on_select=partial(components.open_row, session, key, records),
        selection_mode="single-row",
        row_height=34,
        placeholder="",
        alt=f"Records picked: {show}",
        column_config=_columns(view),
    )
    row = st.container(horizontal=True, vertical_alignment="center")
    row.caption(
        f"{len(positions):,} rows. A number under a selector is the place in its order; a blank means not picked."
        + (f" The first {MOST_ROWS:,} are shown." if len(positions) > MOST_ROWS else "")
        + (" Only the lasso's are shown." if session.lasso and show != SETS[4] else "")
    )
    if session.record is not None and components.position_of(view.pool, session.record) is not None:
        row.page_link("pages/explore.py", label=f"Why record {session.record:,}?", icon=":material/help:")


def _columns(view: CompareView) -> dict[str, Any]:
    """Numbers as narrow as they are, the rest for the text."""
    narrow = components.NARROW
    ranks = {
        s.label: st.column_config.NumberColumn(
            width=narrow["category"], help=f"Place in the order of {s.label}, from 1; blank if not picked."
        )
        for s in view.rows
    }
    categories = {f" {column}": st.column_config.TextColumn(width=narrow["category"]) for column in view.corpus.categories[:2]}
    others = ["record", "tokens", *["category"] * (len(ranks) + len(categories))]
    return {
        "record": st.column_config.NumberColumn("record", width=narrow["record"], help="Number in the corpus, from 0."),
        "tokens": st.column_config.NumberColumn("tokens", width=narrow["tokens"], help="Trained tokens."),
        "text": st.column_config.TextColumn("text", width=components.text_width(*others)),
        **ranks,
        **categories,
    }


def downloads(view: CompareView, score_model: str) -> None:
    """The numbers as files, and the calls that make the same."""
    names = [s.name for s in view.selectors]
    row = st.container(horizontal=True, vertical_alignment="bottom")
    components.pictures(row)
    row.markdown("Download the numbers:")
    stem = f"compare-{'-'.join(names)}-{view.n}"
    files = {
        "csv": lambda: view.found.table().to_csv(index=False).encode(),
        "json": lambda: json.dumps(comparison_summary(view.found), ensure_ascii=False, indent=1).encode(),
    }
    for format, made in files.items():
        row.download_button(
            format,
            data=made,
            file_name=f"{stem}.{format}",
            key=f"download-{format}",
            on_click="ignore",
            help=f"Every selection, and the random draws, under every criterion, as {format}.",
        )
    settings = [w for s in view.selectors for k, v in s.changed.items() for w in ("--set", f"{s.name}.{k}={v}")]
    scored = ["--score-model", score_model] if score_model else []
    seed = ["--seed", str(view.seed)] if view.seed else []
    command = view.choice.command(
        *("--selectors", ",".join(names), *settings, "--budget", str(view.n), "--equal", view.equal, *seed, *scored),
        verb="compare",
    )
    keywords = "".join(f", {k}={v!r}" for k, v in view.choice.load_options.items())
    model = view.choice.model
    under = f", score_pool=fishersft.load_pool(corpus, {score_model!r})" if score_model else ""
    made_of = ", ".join(f"fishersft.make_selector({s.name!r}{f', {s.changed!r}' if s.changed else ''})" for s in view.selectors)
    python = (
        "import fishersft\n\n"
        f"corpus = fishersft.load_corpus({view.choice.title or view.choice.corpus!r}{keywords})\n"
        f"pool = fishersft.load_pool(corpus, {model!r})\n"
        f"selectors = [{made_of}]\n"
        f"budget = fishersft.Budget(sentences={view.n})\n"
        f"found = fishersft.compare(pool, selectors, budget, equal={view.equal!r}, seed={view.seed}{under})\n"
        "print(found.table())"
    )
    for name, taken in view.found.selections.items():
        for key, value in taken.order.notes.items():
            st.caption(components.escape_markdown(f"{name}, {key}: {value}."))
    components.footer(command, python)
