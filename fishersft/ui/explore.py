"""The panels of the Explore page: map, curve, tiles, table, downloads."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from fishersft import explain, plots, sentence_map
from fishersft.corpus import export
from fishersft.corpus.records import Corpus
from fishersft.curves.gain import Curve, band_curve, draw_orders, within_tokens
from fishersft.design.certificate import share_of_optimum
from fishersft.runs.selections import selection_table
from fishersft.selectors import Budget, Selection, make_selector
from fishersft.ui import cached, components
from fishersft.ui.components import number, spread, tile
from fishersft.ui.session import Session
from fishersft.ui.theme import dark
from fishersft.ui.view import View

MOST_ROWS = 2_000
TEXT_WIDTH = 400


def map_panel(view: View, session: Session, kind: str, colour: str, matched: np.ndarray | None) -> None:
    """The map: click a point for its reasons, draw a lasso for a set."""
    position = view.position_of(session.record)
    nearest = None
    if position is not None:
        nearest = explain.nearest_of(view.pool.embeddings.means, position, view.order.positions[: view.n])[0]
    xy = cached.map_of(view.pool.embeddings.key, kind.lower(), view.pool.embeddings)
    values = None
    if colour == "tokens":
        values = view.pool.tokens
    elif colour in view.fields.columns:
        values = view.fields[colour].to_numpy(dtype=object)[view.pool.index]
    points = sentence_map.Points(xy, view.pool.index, view.rank, np.zeros(len(xy), bool) if matched is None else matched)
    drawn = sentence_map.sentence_map(
        points,
        colour_by=colour,
        values=values,
        selector=view.selector.name,
        focus=position,
        neighbour=nearest,
        equal_axes=kind == "PCA",
        dark=dark(),
    )
    key = f"map-{session.generation}"

    st.plotly_chart(
        drawn,
        theme=None,
        key=key,
        on_select=partial(components.picked_on_map, session, key),
        selection_mode=("points", "lasso", "box"),
        config=components.MAP,
        alt=f"{kind} map of {len(view.pool):,} sentences; the {view.n:,} picks of {view.selector.label} are larger and on top.",
    )
    sampled = len(view.pool) > sentence_map.MOST_POINTS
    st.caption(
        f"{kind} of {len(view.pool):,} sentence means in {view.pool.embeddings.dimension} dimensions, for the eye only: "
        "the choice happens on token rows. Click a point to see why; drag with the lasso for a set."
        + (f" {sentence_map.MOST_POINTS:,} points are drawn: every pick and an even sample of the rest." if sampled else "")
    )


def gain_panel(view: View) -> None:
    """What the picks gain, beside chance and sheer length."""
    tokens = view.unit == "tokens"
    unit = "trained tokens" if tokens else "sentences"
    at, f = view.gain
    spent = np.cumsum(view.pool.tokens[view.order.positions])
    b = view.band
    x = b.tokens if tokens else b.sentences
    reach = int(spent[-1]) if tokens else len(view.order)
    inside = x <= reach
    draws = (b.uniform_by_tokens if tokens else b.uniform_by_sentences)[:, inside]
    long_at, long_f = view.longest_gain
    long_x = np.cumsum(view.pool.tokens[view.longest.positions])[long_at - 1] if tokens else long_at
    curves = [("uniform", band_curve("Uniform", x[inside], draws, unit))]
    known = view.reference
    steps = np.cumsum(view.pool.tokens[known.positions]) if tokens else np.arange(1, len(known) + 1)
    within = steps <= reach
    curves.append(("token_od", Curve("TokenOD", steps[within], np.cumsum(known.gains)[within], unit)))
    if view.selector not in (make_selector("longest"), make_selector("token_od")):
        curves.append((view.selector.name, Curve(_own_label(view), spent[at - 1] if tokens else at, f, unit)))
    curves.append(
        ("longest", Curve("Longest", long_x[long_x <= reach], long_f[long_x <= reach], unit))
    )  # last: it hides under TokenOD otherwise
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    left.markdown(f"**log det gained, by {unit}**")
    log = right.toggle("Log axes", key="log", bind="query-params")
    drawn = plots.gain_curves(curves, budget=view.picked_tokens if tokens else view.n, log=log, dark=dark())
    st.plotly_chart(
        drawn,
        theme=None,
        config=components.STILL,
        key="gain-chart",
        alt=f"log det gained in nats against {unit}: {view.selector.label}, 20 uniform draws as a band, and the longest first.",
    )
    st.markdown(_in_words(view))
    st.caption(
        f"Grey: mean and full range of {len(draws)} uniform draws, read off between the {len(b.sentences)} budgets they were "
        "computed at; dashed: the longest first; dotted: your budget."
    )


def _own_label(view: View) -> str:
    changed = [f"{name}={value}" for name, value in view.selector.changed.items()]
    seed = [f"seed {view.seed}"] if view.selector.random else []
    return ", ".join([view.selector.label, *changed, *seed])


def _in_words(view: View) -> str:
    """The comparison at the current budget: equal sentences and equal tokens, with the longest-first control."""
    b, n, spent = view.band, view.n, view.picked_tokens
    same_n = [float(np.interp(n, b.sentences, draw)) for draw in b.uniform_by_sentences]
    same_tokens = [float(np.interp(spent, b.tokens, draw)) for draw in b.uniform_by_tokens]
    words = (
        f"At your budget {view.selector.label} gains {number(view.f, 4)} nats. With as many sentences ({n:,}), Uniform gains "
        f"{spread(same_n)}{{}}. With as many trained tokens ({spent:,}), Uniform gains {spread(same_tokens)}{{}}. "
        "A larger log det is not yet a better fine-tuned model."
    )
    if view.selector.name == "longest":
        return words.format("", "")
    at, f = view.longest_gain
    fits = within_tokens(view.pool.tokens[view.longest.positions], np.array([spent]))[0]
    by_number, by_tokens = (number(float(np.interp(k, at, f)), 4) for k in (n, fits))
    return words.format(f" and Longest {by_number}", f" and Longest {by_tokens}")


def tiles(view: View) -> None:
    """The selection in numbers, each with what chance would give."""
    N, n = len(view.pool), view.n
    total = int(view.pool.tokens.sum())
    orders = draw_orders(N)
    tokens = view.unit == "tokens"
    limit = np.array([view.picked_tokens])
    cuts = [o[: within_tokens(view.pool.tokens[o], limit)[0]] if tokens else o[:n] for o in orders]
    same = "same tokens" if tokens else "same number"

    def spent(cut: np.ndarray) -> int:
        return int(view.pool.tokens[cut].sum())

    b = view.band
    x, y = (b.tokens, b.uniform_by_tokens) if tokens else (b.sentences, b.uniform_by_sentences)
    at = view.picked_tokens if tokens else n
    chance = [float(np.interp(at, x, row)) for row in y]
    bound = float(view.reference.optimum_bounds[min(n, len(view.reference)) - 1])
    with st.container(horizontal=True, key="tiles"):
        tile(
            "Selected",
            f"{n:,} of {N:,}",
            "Sentences selected of the pool; held-out and blank records are not in it.",
            f"uniform, same tokens: {spread([len(c) for c in cuts])}" if tokens else f"{n / N:.1%} of the pool",
        )
        tile(
            "Trained tokens",
            f"{view.picked_tokens:,}",
            f"Tokens that fine-tuning on the selection would train on, of {total:,}.",
            f"{view.picked_tokens / total:.1%} of the pool's" if tokens else f"uniform, {same}: {spread([*map(spent, cuts)])}",
        )
        tile(
            "log det gained",
            f"{number(view.f, 4)} nats",
            "f(S) = log det V(S) - log det V(empty), under TokenOD's criterion.",
            f"uniform, {same}: {spread(chance)}",
        )
        tile(
            "Of the best possible",
            f"at least {share_of_optimum(view.f, bound):.1%}",
            f"The share of the largest log det that any {n:,} sentences could have: a proof (Minoux 1978), not an estimate.",
            "proven, not estimated",
        )
        for column in view.corpus.categories[:1]:
            values = view.fields[column].map(str).to_numpy()[view.pool.index]
            chance = [len(set(values[c])) for c in cuts]
            covered = len(set(values[view.order.positions[:n]]))
            tile(
                f"Covered: {components.escape_markdown(components.one_line(column, 24))}",
                f"{covered} of {len(set(values))}",
                "How many different values of this column the selection holds.",
                f"uniform, {same}: {spread(chance)}",
            )


def table_panel(view: View, session: Session, matched: np.ndarray | None) -> None:
    """Picks in order, or the lasso's set, or what the search found; a row opens its reasons."""
    inside = np.isin(view.pool.index, session.lasso)
    options = ["picks", "all"] + (["lasso"] if session.lasso else [])
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    show = left.segmented_control(
        "Table of",
        options,
        default="lasso" if session.lasso else "picks",
        required=True,
        key=f"show-{session.lasso}",
        format_func=lambda o: {
            "picks": f"the {view.n:,} picks",
            "all": f"all {len(view.pool):,}",
            "lasso": f"the lasso's {int(inside.sum()):,}",
        }[o],
    )
    if session.lasso and right.button("Clear the lasso", icon=":material/deselect:"):
        components.clear_lasso(session)
        st.rerun()
    keep = {"picks": view.rank > 0, "all": np.ones(len(view.pool), bool), "lasso": inside}[str(show)]
    if matched is not None:
        keep = keep & matched
    positions = np.flatnonzero(keep)
    positions = positions[np.argsort(np.where(view.rank[positions] > 0, view.rank[positions], len(view.pool) + 1), kind="stable")]
    if not len(positions):
        st.info("No record matches; clear the search or the lasso.", icon=":material/search_off:")
        return
    cut = positions[:MOST_ROWS]
    table = _table(view, cut)
    key = f"table-{view.selector.name}-{view.n}-{show}-{hash(cut.tobytes())}"

    def chosen() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        session.record = int(view.pool.index[cut[rows[0]]]) if rows else session.record

    st.dataframe(
        table,
        hide_index=True,
        height=380,
        key=key,
        on_select=chosen,
        selection_mode="single-row",
        row_height=34,
        placeholder="",
        alt="The selected sentences in the order they were picked" if show == "picks" else "Sentences of the pool",
        column_config={
            "pick": st.column_config.NumberColumn("pick", width=60, help="Place in the order; blank where not selected."),
            "record": st.column_config.NumberColumn("record", width=70, help="Number in the corpus, from 0."),
            "gain": st.column_config.NumberColumn(
                "gain (nats)", width=90, format="%.2f", help="log det gained when it was picked."
            ),
            "tokens": st.column_config.NumberColumn("tokens", width=70, help="Trained tokens."),
            "text": st.column_config.TextColumn("text", width="large"),
        },
    )
    picked = int((view.rank[positions] > 0).sum())
    st.caption(
        f"{len(positions):,} rows, {picked:,} of them selected. Click the box before a row to see why."
        + (f" The first {MOST_ROWS:,} are shown." if len(positions) > MOST_ROWS else "")
    )


def _table(view: View, positions: np.ndarray) -> pd.DataFrame:
    rank = view.rank[positions]
    gains = np.full(len(positions), np.nan)
    if view.selector.name == "token_od":
        gains[rank > 0] = view.order.gains[rank[rank > 0] - 1]
    records = view.pool.index[positions]
    table = pd.DataFrame({"pick": pd.array([int(r) if r else None for r in rank], dtype="Int64"), "record": records})
    if view.selector.name == "token_od":
        table["gain"] = gains
    table["tokens"] = view.pool.tokens[positions]
    for column in view.corpus.categories[:2]:
        table[f" {column}"] = components.cells(view.fields[column].iloc[records])
    table["text"] = [components.one_line(view.corpus.texts[r], TEXT_WIDTH) for r in records]
    return table


def _picks(corpus: Corpus, selection: Selection, format: str) -> bytes:
    return export.to_bytes(selection_table(corpus, selection), format)


def downloads(view: View) -> None:
    """The picks as files, and the calls that make the same."""
    budget = Budget(sentences=view.n)
    selection = view.selector.cut(view.pool, view.order, budget, view.seed)
    row = st.container(horizontal=True, vertical_alignment="center")
    row.markdown(f"Download the {view.n:,} picks:")
    for format in export.FORMATS:
        row.download_button(
            format,
            data=partial(_picks, view.corpus, selection, format),
            file_name=f"{view.selector.name}-{view.n}.{format}",
            key=f"download-{format}",
            on_click="ignore",
            help=f"rank, index, gain, tokens and the record's own fields, as {format}",
        )
    amount = ("--token-budget", str(view.picked_tokens)) if view.unit == "tokens" else ("--budget", str(view.n))
    seed = ("--seed", str(view.seed)) if view.seed else ()
    changed = view.selector.changed
    settings = [word for name, value in changed.items() for word in ("--set", f"{name}={value}")]
    command = view.choice.command("--selector", view.selector.name, *settings, *amount, *seed, "--out", "picks.jsonl")
    source = view.choice.title if view.choice.corpus.startswith("upload:") and view.choice.title else view.choice.corpus
    keywords = "".join(f", {k}={v!r}" for k, v in view.choice.load_options.items())
    what = f"{amount[0].removeprefix('--').replace('-', '_')}={amount[1]}"
    python = (
        "import fishersft\n\n"
        f"corpus = fishersft.load_corpus({source!r}{keywords})\n"
        f"picks = fishersft.select(corpus, {view.choice.model!r}, selector={view.selector.name!r}, {what}, seed={view.seed}"
        f"{f', parameters={changed!r}' if changed else ''})\n"
        "print(picks.indices, picks.gains)"
    )
    for name, value in view.order.notes.items():
        st.caption(components.escape_markdown(f"{view.selector.label}, {name}: {value}."))
    components.footer(command, python)
