"""What should the model get good at?  The control for a target on Explore and Compare, and the box where one cannot be used.

Four ways to say it: a value of a column, the lasso of the map, pasted texts, an uploaded file.  Texts are kept in the store as
uploads are, and the address carries the target as it carries the corpus.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from fishersft.errors import CorpusError, FisherSFTError, ParameterError
from fishersft.pipeline.aim import written
from fishersft.selectors import DEFAULT_SELECTOR, Pool, find_selector
from fishersft.selectors.target import MOST_TEXTS
from fishersft.text import visible_text
from fishersft.ui import address, cached_target, components, query_widgets, uploads
from fishersft.ui.components import escape_markdown, one_line
from fishersft.ui.session import Choice, Session

ASKS = "What should the model get good at?"
AIMED = "target_matched"  # the selector that a target begins with
COMPARED = (AIMED, "rds_plus", DEFAULT_SELECTOR, "longest")
EXAMPLE = ("topic", "law")  # of the demo: a rare topic, of which half of the texts stay in the pool
MOST_PASTED = 100_000  # characters
PASTED = "pasted.jsonl"
NOTHING, VALUE, LASSO, PASTE, FILE = "none", "a value of a column", "the lasso", "pasted texts", "a file"


def needs_target(names: tuple[str, ...] | list[str]) -> bool:
    """Whether one of these selectors chooses for a target."""
    return any(find_selector(name).needs_target for name in names)


def aimed(choice: Choice, whole: Pool) -> Pool:
    """The pool for the choice's target; the page ends here with a box where the target cannot be used."""
    try:
        return cached_target.aimed(choice, whole)
    except (ParameterError, CorpusError) as error:
        components.problem(f"This target cannot be used. {_plainly(choice, error)}")
        st.button("Drop the target", icon=":material/close:", key="drop-bad-target", on_click=drop)
        st.stop()


def aim_at(target: str, seed: int = 0) -> None:
    """Choose for a target; selectors that choose for none make room for one that does."""
    address.choose(target=target, target_seed=seed)
    _suit_selectors(aimed=True)


def drop() -> None:
    """Choose for no target."""
    address.choose(target="", target_seed=0)
    _suit_selectors(aimed=False)


def _suit_selectors(*, aimed: bool) -> None:
    """Where no chosen selector fits, begin again with those that do: some choose for a target, the others for none."""
    visitor = address.current()
    if needs_target([str(st.session_state.get("selector", DEFAULT_SELECTOR))]) != aimed:
        st.session_state["selector"] = AIMED if aimed else DEFAULT_SELECTOR
    if needs_target(visitor.selectors) != aimed:
        visitor.selectors = ()
        st.session_state.pop("compare-selectors", None)
        address.write_value("selectors", "")


def control(whole: Pool, pool: Pool, visitor: Session, *, lasso: bool, place: Any = st) -> None:
    """The question, what is set, and what that means in a sentence; `lasso`: the page has a map to draw around texts on."""
    choice = visitor.choice
    now = one_line(pool.target.name, 40) if pool.target else NOTHING
    row = place.container(horizontal=True, vertical_alignment="center", key="target", width="content", gap="small")
    said = "Texts that the model should get good at. Half of them choose and the other half only measures, so none judges itself."
    with row.popover(f"Target: {escape_markdown(now)}", icon=":material/target:", help=said, width="content"):
        st.markdown(f"**{ASKS}**")
        if pool.target:
            st.caption(escape_markdown(pool.target.sentence))
        _form(whole, visitor, lasso=lasso)
    if pool.target:
        row.button("Drop", icon=":material/close:", key="drop-target", help="Remove the target.", on_click=drop)
    elif choice.corpus == "demo":
        said = "An example: a quarter of the demo's 48 texts about law choose, a quarter measures, and the rest can be picked."
        look: dict[str, Any] = {"icon": ":material/gavel:", "key": "example-target", "help": said, "type": "tertiary"}
        row.button("Try it: good at law", on_click=partial(aim_at, _example(whole)), **look)


def from_lasso(visitor: Session, key: str, place: Any = st) -> None:
    """A button that makes the set that is shown the target."""
    if visitor.lasso:
        said = "Choose for these records: half of them become target texts, and the other half can still be picked."
        make = partial(aim_at, "records=" + written(np.array(visitor.lasso)))
        place.button("Use as target", icon=":material/target:", key=key, type="primary", help=said, on_click=make)


def _example(whole: Pool) -> str:
    """Records of one rare topic of the demo."""
    assert whole.corpus is not None
    column, value = EXAMPLE
    return "records=" + written(whole.index[whole.corpus.fields[column].to_numpy()[whole.index] == value])


def _form(whole: Pool, visitor: Session, *, lasso: bool) -> None:
    """One of the ways to name a target."""
    assert whole.corpus is not None
    ways = [*([VALUE] if whole.corpus.categories else []), *([LASSO] if lasso else []), PASTE, FILE]
    way = query_widgets.one_of("Texts named by", ways, ways[0], key="target-way", help="How to name them.")
    if way == VALUE:
        _by_value(whole)
    elif way == LASSO:
        if visitor.lasso:
            st.caption(f"{len(visitor.lasso):,} records are marked.")
            from_lasso(visitor, "form-lasso-target")
        else:
            st.caption("Draw around a region with the lasso above the map; a button there makes it the target.")
    elif way == PASTE:
        _by_paste(whole, visitor)
    else:
        _by_file(whole, visitor)


def _by_value(whole: Pool) -> None:
    assert whole.corpus is not None
    columns = whole.corpus.categories
    column = columns[0]
    if len(columns) > 1:
        column = st.selectbox(
            "Column",
            columns,
            key="target-column",
            format_func=lambda c: visible_text(one_line(c, 40)),
            help="The column whose value says what the model should get good at.",
        )
    values, codes = whole.corpus.column(column)
    found = np.bincount(codes[whole.index], minlength=len(values))
    counts = {values[k]: int(found[k]) for k in np.argsort(-found, kind="stable") if found[k]}
    value = st.selectbox(
        escape_markdown(one_line(column, 24)),
        list(counts),
        index=None,
        key=f"target-value-{column}",
        placeholder="choose a value",
        format_func=lambda v: visible_text(f"{one_line(v, 60)} ({counts[v]:,})"),
        help="All its records are target texts, at most 200; none of them can be picked.",
    )
    ready = value is not None
    make = partial(aim_at, f"{column}={value}")
    st.button("Choose for it", type="primary", key="aim-value", disabled=not ready, on_click=make)


def _by_paste(whole: Pool, visitor: Session) -> None:
    with st.form("target-texts", border=False):
        text = st.text_area(
            "Target texts, one a line",
            max_chars=MOST_PASTED,
            height=160,
            key="target-pasted",
            placeholder="Texts of the kind that the model should get good at; 8 or more are better than one.",
            help="They are kept in the store of this machine, so that a link can open them again.",
        )
        go = st.form_submit_button("Choose for them", type="primary")
    if go:
        if not (texts := text.splitlines()):
            st.caption("Paste a text first.")
            return
        _take(whole, visitor, keep_texts(texts))


def _by_file(whole: Pool, visitor: Session) -> None:
    said = f"Of any kind that a corpus may have; at most {MOST_TEXTS} of its texts are used."
    if target := uploads.upload("A file of target texts", "target-file", said, uploads.MOST_TARGET_MB):
        _take(whole, visitor, target)


def keep_texts(texts: list[str]) -> str:
    """Texts kept in the store as a small file; how an address names them."""
    some = [text.strip() for text in texts if text.strip()][:MOST_TEXTS]
    data = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in some).encode("utf-8", "replace")
    return uploads.keep(data, ".jsonl", PASTED)


def _take(whole: Pool, visitor: Session, target: str) -> None:
    """Choose for kept texts, if that can be done."""
    wanted = replace(visitor.choice, target=target, target_seed=0)
    try:
        cached_target.aimed(wanted, whole)
    except FisherSFTError as error:
        components.problem(_plainly(wanted, error))
        return
    st.session_state["aim-next"] = target  # widgets above are drawn already, so the next run aims
    st.rerun()


def take_over() -> None:
    """Aim at what was pasted or uploaded in the run before."""
    if target := st.session_state.pop("aim-next", ""):
        aim_at(target)


def _plainly(choice: Choice, error: FisherSFTError) -> str:
    """A refusal with an upload called as its visitor called it."""
    path, said = choice.target_upload, choice.target_said
    sentence = str(error)
    return sentence.replace(str(path), said).replace(path.name, said) if path else sentence
