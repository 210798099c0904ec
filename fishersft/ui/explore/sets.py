"""Sets of records on the Explore page: the table shows one, which is downloaded, or kept under a name and shown again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.errors import FisherSFTError, StoreError
from fishersft.pipeline import selections
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Pool, Selection
from fishersft.text import counted
from fishersft.ui import address, cached, components, query_widgets, targets
from fishersft.ui import downloads as files
from fishersft.ui.components import MOST_ROWS, blank_zeros, escape_markdown, one_line
from fishersft.ui.explore.view import ExploreView
from fishersft.ui.page import Embedded
from fishersft.ui.session import Session, public

LONGEST_NAME = 60
COUNTS = ("records", "tokens", "also picked")


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


def chosen_set(view: ExploreView, session: Session, matched: np.ndarray | None) -> RecordSet | None:
    """The lasso, narrowed by search and filters, or what these found; None where nothing is chosen."""
    inside = view.in_pool(view.lit(session.lasso, matched))
    if inside is None or not inside.any():
        return None
    label = (session.lasso_name or "the lasso's set") if session.lasso else "the search results"
    return RecordSet(label, np.flatnonzero(inside))


def marked(view: ExploreView, session: Session, matched: np.ndarray | None) -> None:
    """What is marked on the map, in words, and what can be done with it."""
    if not session.lasso:
        return
    found = chosen_set(view, session, matched)
    row = st.container(horizontal=True, vertical_alignment="center", key="marked")
    what = (
        f"{len(found.positions):,} records of the pool, {found.tokens(view.pool):,} trained tokens"
        if found
        else "no record of the pool"
    )
    name = escape_markdown(session.lasso_name) or "The lasso"
    row.markdown(f":material/lasso_select: **{name}** holds {what}.", width="content")
    targets.from_lasso(session, "lasso-target", row)
    row.button("Clear the lasso", icon=":material/deselect:", on_click=session.clear_set)


def _listed(view: ExploreView, session: Session, matched: np.ndarray | None) -> tuple[RecordSet | None, str]:
    """Which records the table lists and the files hold, as chosen by a control; and the choice."""
    everything, matched = np.ones(len(view.pool), dtype=bool), view.in_pool(matched)
    inside = np.isin(view.pool.index, session.lasso)
    lasso = escape_markdown(session.lasso_name) or "the lasso's"
    # by option: how the control says it, how a sentence says it, which records
    options = {
        "picks": (f"the {view.n:,} picks", f"the {view.n:,} picks", view.rank > 0),
        "all": (f"all {len(view.pool):,}", "the whole pool", everything),
    }
    if session.lasso:
        options["lasso"] = (f"{lasso} {int(inside.sum()):,}", session.lasso_name or "the lasso's set", inside)
    show = query_widgets.one_of(
        "Table of",
        list(options),
        "lasso" if session.lasso else "picks",
        key=f"show-{session.lasso}",
        help="Which records are listed, kept and downloaded.",
        format_func=lambda option: options[option][0],
    )
    _, label, keep = options[str(show)]
    positions = np.flatnonzero(keep if matched is None else keep & matched)
    positions = positions[np.argsort(np.where(view.rank[positions] > 0, view.rank[positions], len(view.pool) + 1), kind="stable")]
    if not len(positions):
        where = f" among the {view.n:,} picks" if show == "picks" else ""
        st.info(f"No record matches{where}; clear the search, the filters or the lasso.", icon=":material/search_off:")
        return None, str(show)
    narrowed = "" if matched is None else ", as searched and filtered"
    return RecordSet(label + narrowed, positions, picks=show == "picks" and matched is None), str(show)


def table_panel(view: ExploreView, session: Session, matched: np.ndarray | None) -> None:
    """Picks in order, or the lasso's set, or what search and filters found; a row opens its reasons."""
    held, show = _listed(view, session, matched)
    if held is None:
        return
    positions = held.positions
    cut = positions[:MOST_ROWS]
    rank = view.rank[cut]
    columns: dict[str, Any] = {"pick": blank_zeros(rank), "record": view.pool.index[cut]}
    if view.selector.name == DEFAULT_SELECTOR:
        columns["gain"] = np.where(rank > 0, view.gains[rank - 1], np.nan)
    components.record_table(
        view.corpus,
        {**columns, "tokens": view.pool.tokens[cut]},
        "The selected sentences in the order they were picked" if show == "picks" else "Sentences of the pool",
        visitor=session,
        key=f"table-{view.selector.name}-{view.n}-{show}-{hash(cut.tobytes())}",
    )
    st.caption(
        f"{counted(len(positions), 'row')}, {int((view.rank[positions] > 0).sum()):,} of them selected. "
        "Click the box before a row to see why." + (f" The first {MOST_ROWS:,} are shown." if len(positions) > MOST_ROWS else "")
    )


def downloads(view: ExploreView, session: Session, matched: np.ndarray | None) -> None:
    """Offer what the table lists as files, and show the calls that make the picks."""
    held, _ = _listed(view, session, matched)
    if held is not None:
        rows = view.pool.embeddings
        selection = _selection(view, held)
        row = st.container(horizontal=True, vertical_alignment="bottom")
        label = escape_markdown(held.label[:1].upper() + held.label[1:])
        row.markdown(f"{label}, {len(held.positions):,} records:", width="content")
        make = partial(selections.kept_of, view.corpus, rows, selection)
        files.selection(f"{selection.selector}-{len(selection)}", make, "explore", row, (view.corpus, rows))
    if view.selector.name != DEFAULT_SELECTOR and view.selector.gain_of:
        st.caption(
            f"Gains in the files are {view.selector.label}'s own, of {view.selector.gain_of}; this page measures every selector "
            "by TokenOD's criterion."
        )
    if "sigma2" in view.selector.changed:
        st.caption("Gains in the files use the selector's own sigma2; this page measures every selector with sigma2 = 1.")
    for name, value in view.order.notes.items():
        st.caption(escape_markdown(f"{view.selector.label}, {name}: {value}."))
    left, right = st.columns(2)
    command, python = _calls(view)
    with left:
        st.caption("The same picks on the command line")
        components.shell(command)
    with right:
        st.caption("The same picks in Python")
        st.code(python, language="python", wrap_lines=True)
    components.pictures(st)


def _selection(view: ExploreView, held: RecordSet) -> Selection:
    if held.picks:
        return view.selector.cut(view.pool, view.order, Budget(sentences=view.n), view.seed)
    return selections.by_hand(view.pool, held.positions)


def _calls(view: ExploreView) -> tuple[str, str]:
    """The command line and the Python that make the picks."""
    option, amount = ("token-budget", view.picked_tokens) if view.unit == "tokens" else ("budget", view.n)
    words = ["--selector", view.selector.name]
    words += [word for name, value in view.selector.changed.items() for word in ("--set", f"{name}={value}")]
    words += [f"--{option}", str(amount), *(["--seed", str(view.seed)] if view.seed else [])]
    more = f", parameters={view.selector.changed!r}" if view.selector.changed else ""
    for flag, name in address.PINS.items():
        if at := getattr(view.pool, name):
            records = view.pool.index[list(at)].tolist()
            words += [f"--{flag}", ",".join(map(str, records))]
            more += f", {name}={records!r}"
    return view.choice.command(*words, "--out", "picks.jsonl"), (
        "import fishersft\n\n"
        f"corpus = {view.choice.python}\n"
        f"picks = fishersft.select(corpus, {view.choice.model!r}, selector={view.selector.name!r}, "
        f"{option.replace('-', '_')}={amount}, seed={view.seed}{view.choice.aim_python}{more})\n"
        "print(picks.indices, picks.gains)"
    )


def _keep(view: ExploreView, session: Session, label: str, selection: Selection) -> None:
    """A name for the set, and a place in the store."""
    said = "The set is stored under a name; the Runs page lists it too."
    with (
        st.popover("Keep this set", icon=":material/bookmark_add:", help=said),
        st.form("keep", border=False, clear_on_submit=True),
    ):
        placeholder = f"{len(selection):,} records"
        said = "Its name here and on the Runs page."
        name = st.text_input("Name", max_chars=LONGEST_NAME, placeholder=placeholder, help=said)
        if st.form_submit_button("Keep", type="primary"):
            called = one_line(name, LONGEST_NAME) or one_line(label, LONGEST_NAME)
            run = selections.save_selection(view.corpus, view.pool.embeddings, selection, name=called)
            if set(selection.indices.tolist()) == set(session.lasso):
                session.show_set(session.lasso, called, run)  # from now on the address carries the run
            st.success(escape_markdown(f"Kept {called} as run {run}."), icon=":material/bookmark_added:")


def left_out(session: Session) -> None:
    """Say what a link to this screen leaves out."""
    said = []
    if st.session_state.get("q"):
        said.append("the search words, since they may be private")
    if session.lasso and not session.lasso_run and not address.as_ranges(session.lasso):
        keep_it = "" if public() else "; keep the set to include it in the link"
        said.append(f"the {len(session.lasso):,} records of the lasso, which are too many for an address{keep_it}")
    if len(session.choice.target) > address.LONGEST:
        said.append("the target, whose records are too many for an address")
    if said:
        st.caption(f":material/link_off: A link to this page leaves out {' and '.join(said)}.")


def kept_panel(view: ExploreView, session: Session, matched: np.ndarray | None) -> None:
    """Keep what is listed under a name; sets kept under this corpus and model, beside the picks, of which one can be shown."""
    held, _ = _listed(view, session, matched)
    if held is not None and not public():
        _keep(view, session, held.label, _selection(view, held))
    if view.band is None:
        st.caption("The random draws are still being computed.")
        return
    here = [m for m in selections.saved_selections() if m.get("embeddings") == view.pool.embeddings.key]
    if not here:
        st.info("You have kept no set from this corpus yet: use Keep this set, above.", icon=":material/inbox:")
        return
    sets = [(m, at) for m in here if (at := _positions(view.pool, m["key"])) is not None]
    rows = []
    for manifest, positions in sets:
        spent = int(view.pool.tokens[positions].sum())
        rows.append(
            {
                "name": one_line(manifest.get("name") or f"{manifest['selector']}, {manifest['sentences']}", LONGEST_NAME),
                "records": len(positions),
                "tokens": spent,
                "log det (nats)": round(float(manifest["log_det"]), 1),
                "uniform, same number": round(float(view.band.at(len(positions)).mean()), 1),
                "uniform, same tokens": round(float(view.band.at(spent, tokens=True).mean()), 1),
                "also picked": int((view.rank[positions] > 0).sum()),
                "run": manifest["key"][:12],
            }
        )
    shown = st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key=f"kept-{len(rows)}",
        on_select="rerun",
        selection_mode="single-row",
        column_config={name: st.column_config.NumberColumn(format="localized") for name in COUNTS},
        alt="Kept sets: size, log det, the log det of uniform draws of the same size, and how many are among the picks",
    )
    marked = components.marked_row(shown, len(sets))
    if marked is None:
        st.caption("Click the box before a set to highlight and list it. Delete and export sets on the Runs page.")
        return
    manifest, positions = sets[marked]
    chosen = tuple(view.pool.index[positions].tolist())
    if session.lasso != chosen and st.button(f"Show {len(chosen):,} records", icon=":material/visibility:", key="show-kept"):
        _show(session, chosen, manifest)
        st.rerun()


def reopen(embedded: Embedded, session: Session) -> None:
    """The set that a link carries: one that is not there, or not of this corpus, is named on the page."""
    pool, run = embedded.whole, session.lasso_run
    if run and not session.lasso:
        session.show_set()
        try:
            if public():
                raise StoreError("On a hosted demo nobody opens what another has kept.")
            manifest = selections.load_selection(run)[0]
        except FisherSFTError:
            session.notices.append(f"set {run[:24]} (no such set is kept on this machine)")
            return
        positions = _positions(pool, manifest["key"])
        if positions is None or manifest["corpus_fingerprint"] != embedded.corpus.fingerprint:
            session.notices.append(f"set {run[:24]} (kept from another corpus)")
        else:
            _show(session, tuple(pool.index[positions].tolist()), manifest)
    elif session.lasso and not (there := np.isin(session.lasso, pool.index)).all():
        outside = np.array(session.lasso)[~there]
        session.notices.append(f"lasso {outside[0]} ({len(outside):,} of its records are not in the pool)")
        session.show_set(np.array(session.lasso)[there].tolist(), session.lasso_name, session.lasso_run)


def _show(session: Session, records: tuple[int, ...], manifest: dict[str, Any]) -> None:
    name = one_line(manifest.get("name") or manifest["selector"], LONGEST_NAME)
    session.show_set(records, name, manifest["key"][:12])


def _positions(pool: Pool, key: str) -> np.ndarray | None:
    """Where a kept set's records are in the pool; None where some are not."""
    records = np.array(cached.kept_records(key))
    at = np.searchsorted(pool.index, records).clip(max=len(pool) - 1)
    return at if len(at) and bool((pool.index[at] == records).all()) else None
