"""Sets with names: kept in the store, compared with the picks, shown on the map again, and opened from a link."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.errors import FisherSFTError
from fishersft.pipeline import selections
from fishersft.selectors import Pool, Selection
from fishersft.ui import address, cached
from fishersft.ui.components import escape_markdown, one_line
from fishersft.ui.explore.view import ExploreView
from fishersft.ui.page import Embedded
from fishersft.ui.session import Session, public

LONGEST_NAME = 60
COUNTS = ("records", "tokens", "also picked")


def keep(view: ExploreView, session: Session, label: str, selection: Selection) -> None:
    """A name for the set, and a place in the store."""
    if public():
        return
    with (
        st.popover(
            "Keep this set", icon=":material/bookmark_add:", help="The set is stored under a name; the Runs page lists it too."
        ),
        st.form("keep", border=False, clear_on_submit=True),
    ):
        name = st.text_input(
            "Name",
            max_chars=LONGEST_NAME,
            placeholder=f"{len(selection):,} records",
            help="Its name here and on the Runs page.",
        )
        if st.form_submit_button("Keep", type="primary"):
            called = one_line(name, LONGEST_NAME) or one_line(label, LONGEST_NAME)
            run = selections.save_selection(view.corpus, view.pool.embeddings, selection, name=called)
            if set(selection.indices.tolist()) == set(session.lasso):
                session.show_set(session.lasso, called, run)  # from now on the address carries the run
            st.success(escape_markdown(f"Kept {called} as run {run}."), icon=":material/bookmark_added:")


def kept_panel(view: ExploreView, session: Session) -> None:
    """Sets kept under this corpus and model, beside the picks; one can be shown on the map."""
    if not st.toggle("Kept sets", key="kept", help="Sets kept from this corpus under this model, compared with the picks."):
        return
    here = [m for m in selections.saved_selections() if m.get("embeddings") == view.pool.embeddings.key]
    if not here:
        st.info("You have kept no set from this corpus yet: use Keep this set, below the table.", icon=":material/inbox:")
        return
    rows, sets = [], []
    b = view.band
    for manifest in here:
        positions = _positions(view.pool, manifest["key"])
        if positions is None:
            continue
        spent = int(view.pool.tokens[positions].sum())
        by_number, by_tokens = (float(b.at(k, tokens=t).mean()) for k, t in ((len(positions), False), (spent, True)))
        sets.append((manifest, positions))
        rows.append(
            {
                "name": one_line(manifest.get("name") or f"{manifest['selector']}, {manifest['sentences']}", LONGEST_NAME),
                "records": len(positions),
                "tokens": spent,
                "log det (nats)": round(float(manifest["log_det"]), 1),
                "uniform, same number": round(by_number, 1),
                "uniform, same tokens": round(by_tokens, 1),
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
    marked = shown["selection"]["rows"]
    if not marked or marked[0] >= len(sets):
        st.caption("Click the box before a set to highlight and list it. Delete and export sets on the Runs page.")
        return
    manifest, positions = sets[marked[0]]
    chosen = tuple(view.pool.index[positions].tolist())
    if session.lasso != chosen and st.button(f"Show {len(chosen):,} records", icon=":material/visibility:", key="show-kept"):
        session.show_set(chosen, _name(manifest), manifest["key"][:12])
        session.generation += 1
        st.rerun()


def reopen(embedded: Embedded, session: Session) -> None:
    """The set that a link carries: one that is not there, or not of this corpus, is named on the page."""
    run = session.lasso_run
    if run and not session.lasso:
        try:
            manifest = selections.load_selection(run)[0]
        except FisherSFTError:
            session.show_set()
            session.notices.append(f"set {run[:24]} (no such set is kept on this machine)")
            return
        positions = _positions(embedded.pool, manifest["key"])
        if positions is None or manifest["corpus_fingerprint"] != embedded.corpus.fingerprint:
            session.show_set()
            session.notices.append(f"set {run[:24]} (kept from another corpus)")
            return
        session.show_set(embedded.pool.index[positions].tolist(), _name(manifest), manifest["key"][:12])
    elif session.lasso:
        there = np.isin(session.lasso, embedded.pool.index)
        if not there.all():
            outside = np.array(session.lasso)[~there]
            session.notices.append(f"lasso {outside[0]} ({len(outside):,} of its records are not in the pool)")
            session.show_set(np.array(session.lasso)[there].tolist(), session.lasso_name, session.lasso_run)


def _name(manifest: dict[str, Any]) -> str:
    return one_line(manifest.get("name") or manifest["selector"], LONGEST_NAME)


def left_out(session: Session) -> None:
    """Say what a link to this screen leaves out."""
    said = []
    if st.session_state.get("q"):
        said.append("the search words, since they may be private")
    if session.lasso and not session.lasso_run and not address.as_ranges(session.lasso):
        keep_it = "" if public() else "; keep the set to include it in the link"
        said.append(f"the {len(session.lasso):,} records of the lasso, which are too many for an address{keep_it}")
    if said:
        st.caption(f":material/link_off: A link to this page leaves out {' and '.join(said)}.")


def _positions(pool: Pool, key: str) -> np.ndarray | None:
    """Where a kept set's records are in the pool; None where some are not."""
    records = np.array(cached.kept_records(key))
    at = np.searchsorted(pool.index, records).clip(max=len(pool) - 1)
    return at if len(at) and bool((pool.index[at] == records).all()) else None
