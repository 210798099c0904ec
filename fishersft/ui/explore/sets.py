"""Sets of records on the Explore page: the table shows one, which can be downloaded and kept under a name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.pipeline import selections
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Pool, Selection
from fishersft.ui import cached, components
from fishersft.ui import downloads as files
from fishersft.ui.components import escape_markdown
from fishersft.ui.explore import kept_sets
from fishersft.ui.explore.view import ExploreView
from fishersft.ui.session import Session

MOST_ROWS = 2_000
TEXT_WIDTH = 400
_LASSO = "the lasso's"


@dataclass(frozen=True)
class RecordSet:
    """Some records of the pool.

    Attributes:
        label: in words; may hold what a visitor typed.
        positions: (k,) in the pool, in the order of the table.
        picks: whether these are exactly the selector's picks, in pick order.
    """

    label: str
    positions: np.ndarray
    picks: bool = False

    def log_det(self, pool: Pool) -> float:
        """f of the set, nats, by TokenOD's criterion."""
        return cached.log_det_of(pool.embeddings, np.sort(self.positions))

    def tokens(self, pool: Pool) -> int:
        return int(pool.tokens[self.positions].sum())


def chosen_set(view: ExploreView, session: Session, matched: np.ndarray | None) -> list[RecordSet]:
    """The lasso, narrowed by search and filters, or what these found; none where nothing is chosen."""
    inside = np.isin(view.pool.index, session.lasso) if session.lasso else np.ones(len(view.pool), dtype=bool)
    if matched is None and not session.lasso:
        return []
    positions = np.flatnonzero(inside if matched is None else inside & matched)
    label = (session.lasso_name or "the lasso's set") if session.lasso else "the search results"
    return [RecordSet(label, positions)] if len(positions) else []


def table_panel(view: ExploreView, session: Session, matched: np.ndarray | None, *, beside: bool = False) -> RecordSet | None:
    """Picks in order, or the lasso's set, or what search and filters found; a row opens its reasons.

    Args:
        beside: the table stands in a column beside something else.
    """
    inside = np.isin(view.pool.index, session.lasso)
    options = ["picks", "all"] + (["lasso"] if session.lasso else [])
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    show = left.segmented_control(
        "Table of",
        options,
        default="lasso" if session.lasso else "picks",
        required=True,
        key=f"show-{session.lasso}",
        help="Which records are listed and downloaded.",
        format_func=lambda o: {
            "picks": f"the {view.n:,} picks",
            "all": f"all {len(view.pool):,}",
            "lasso": f"{escape_markdown(session.lasso_name) or _LASSO} {int(inside.sum()):,}",
        }[o],
    )
    if session.lasso and right.button("Clear the lasso", icon=":material/deselect:"):
        session.clear_set()
        st.rerun()
    keep = {"picks": view.rank > 0, "all": np.ones(len(view.pool), bool), "lasso": inside}[str(show)]
    if matched is not None:
        keep = keep & matched
    positions = np.flatnonzero(keep)
    positions = positions[np.argsort(np.where(view.rank[positions] > 0, view.rank[positions], len(view.pool) + 1), kind="stable")]
    if not len(positions):
        where = f" among the {view.n:,} picks" if show == "picks" else ""
        st.info(f"No record matches{where}; clear the search, the filters or the lasso.", icon=":material/search_off:")
        return None
    cut = positions[:MOST_ROWS]
    names = {"picks": f"the {view.n:,} picks", "all": "the whole pool", "lasso": session.lasso_name or "the lasso's set"}
    label = names[str(show)] + (", as searched and filtered" if matched is not None else "")
    held = RecordSet(label, positions, picks=show == "picks" and matched is None)
    table = components.text_early(_table(view, cut))
    key = f"table-{view.selector.name}-{view.n}-{show}-{hash(cut.tobytes())}"

    st.dataframe(
        table,
        hide_index=True,
        height=380,
        key=key,
        on_select=partial(components.open_row, session, key, view.pool.index[cut]),
        selection_mode="single-row",
        row_height=34,
        placeholder="",
        alt="The selected sentences in the order they were picked" if show == "picks" else "Sentences of the pool",
        column_config=_columns(view, beside),
    )
    picked = int((view.rank[positions] > 0).sum())
    st.caption(
        f"{len(positions):,} rows, {picked:,} of them selected. Click the box before a row to see why."
        + (f" The first {MOST_ROWS:,} are shown." if len(positions) > MOST_ROWS else "")
    )
    return held


def _columns(view: ExploreView, beside: bool) -> dict[str, Any]:
    """Numbers as narrow as they are, the rest for the text."""
    narrow = components.NARROW
    categories = [f" {column}" for column in view.corpus.categories[:2]]
    others = [
        "pick",
        "record",
        "tokens",
        *(["gain"] if view.selector.name == DEFAULT_SELECTOR else []),
        *["category"] * len(categories),
    ]
    number = st.column_config.NumberColumn
    return {
        "pick": number("pick", width=narrow["pick"], help="Place in the order; blank if not selected."),
        "record": number("record", width=narrow["record"], help="Number in the corpus, from 0."),
        "gain": number(
            "gain (nats)",
            width=narrow["gain"],
            format="%.2f",
            help="log det gained when it was picked, with sigma2 = 1 as everywhere on this page.",
        ),
        "tokens": number("tokens", width=narrow["tokens"], help="Trained tokens."),
        **{name: st.column_config.TextColumn(width=narrow["category"]) for name in categories},
        "text": st.column_config.TextColumn("text", width=components.text_width(*others, beside=beside)),
    }


def _table(view: ExploreView, positions: np.ndarray) -> pd.DataFrame:
    rank = view.rank[positions]
    gains = np.full(len(positions), np.nan)
    if view.selector.name == DEFAULT_SELECTOR:
        gains[rank > 0] = view.gains[rank[rank > 0] - 1]
    records = view.pool.index[positions]
    table = pd.DataFrame({"pick": pd.array([int(r) if r else None for r in rank], dtype="Int64"), "record": records})
    if view.selector.name == DEFAULT_SELECTOR:
        table["gain"] = gains
    table["tokens"] = view.pool.tokens[positions]
    for column in view.corpus.categories[:2]:
        table[f" {column}"] = components.cells(view.corpus.fields[column].iloc[records])
    table["text"] = [components.one_line(view.corpus.texts[r], TEXT_WIDTH) for r in records]
    return table


def downloads(view: ExploreView, session: Session, held: RecordSet | None) -> None:
    """Offer what the table shows as files and under a name, and show the calls that make the picks."""
    if held is not None:
        selection = _selection(view, held)
        rows = view.pool.embeddings
        row = st.container(horizontal=True, vertical_alignment="bottom")
        row.markdown(f"{escape_markdown(_capital(held.label))}, {len(held.positions):,} records:", width="content")
        make = partial(selections.kept_of, view.corpus, rows, selection)
        files.on_screen(f"{selection.selector}-{len(selection)}", make, "explore", (view.corpus, rows), row)
    if "sigma2" in view.selector.changed:
        st.caption("Gains in the files use the selector's own sigma2; this page measures every selector with sigma2 = 1.")
    for name, value in view.order.notes.items():
        st.caption(escape_markdown(f"{view.selector.label}, {name}: {value}."))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if held is not None:
            kept_sets.keep(view, session, held.label, selection)
        components.footer(*_calls(view))
        components.pictures(st)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _selection(view: ExploreView, held: RecordSet) -> Selection:
    if held.picks:
        return view.selector.cut(view.pool, view.order, Budget(sentences=view.n), view.seed)
    return selections.by_hand(view.pool, held.positions)


def _calls(view: ExploreView) -> tuple[str, str]:
    """The command line and the Python that make the picks."""
    amount = ("--token-budget", str(view.picked_tokens)) if view.unit == "tokens" else ("--budget", str(view.n))
    seed = ("--seed", str(view.seed)) if view.seed else ()
    changed = view.selector.changed
    settings = [word for name, value in changed.items() for word in ("--set", f"{name}={value}")]
    pins = {"pinned": view.pool.pinned, "excluded": view.pool.excluded}
    records = {name: view.pool.index[list(at)].tolist() for name, at in pins.items() if at}
    forced = [
        w for name, r in records.items() for w in (f"--{name.removesuffix('ned').removesuffix('d')}", ",".join(map(str, r)))
    ]
    command = view.choice.command("--selector", view.selector.name, *settings, *amount, *seed, *forced, "--out", "picks.jsonl")
    source = view.choice.title if view.choice.corpus.startswith("upload:") and view.choice.title else view.choice.corpus
    keywords = "".join(f", {k}={v!r}" for k, v in view.choice.load_options.items())
    what = f"{amount[0].removeprefix('--').replace('-', '_')}={amount[1]}"
    more = f", parameters={changed!r}" if changed else ""
    more += "".join(f", {name}={r!r}" for name, r in records.items())
    return command, (
        "import fishersft\n\n"
        f"corpus = fishersft.load_corpus({source!r}{keywords})\n"
        f"picks = fishersft.select(corpus, {view.choice.model!r}, selector={view.selector.name!r}, {what}, "
        f"seed={view.seed}{more})\n"
        "print(picks.indices, picks.gains)"
    )
