"""The panels of the Curves page: which result, its picture, what it says, and files of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import streamlit as st

from fishersft import catalogue
from fishersft.catalogue import CurvesRun
from fishersft.errors import StoreError
from fishersft.experiments.result import Result, label_of
from fishersft.experiments.summaries import USUAL
from fishersft.experiments.timing import read_timing
from fishersft.ui import components, learn, query_widgets
from fishersft.ui.address import current, write_value
from fishersft.ui.curves import parts
from fishersft.ui.curves.parts import CurveOptions
from fishersft.ui.session import Session

TWO_WORLDS = "Two worlds"
KINDS = {"Synthetic": "synthetic", "Word vectors": "words", "Your corpus": "teacher", "Fast against slow": "timing"}
SHOWN = {"max error": "maximum", "mean error": "mean", "G-criterion": "worst_leverage", "log det": "log_det"}
EQUAL = ("tokens", "sentences")
SWITCH = ("true", "false")
TAKEN: dict[str, tuple[Callable[[str], bool], str]] = {  # address parameters of controls that are not always drawn
    "equal": (EQUAL.__contains__, query_widgets.listed(EQUAL)),
    "measure": (SHOWN.__contains__, query_widgets.listed(SHOWN)),
    "n": (str.isdigit, "a whole number"),
    "guides": (lambda value: value.lower() in SWITCH, query_widgets.listed(SWITCH)),
    "picture": (components.PICTURES.__contains__, query_widgets.listed(components.PICTURES)),
}
WHY = {
    "imbalanced": "A few clusters contain most sentences; covering the rare directions lowers the largest error.",
    "isotropic": "All directions are alike, so there is nothing rare to cover.",
}
WORLDS = {"imbalanced": "An imbalanced world: clusters of rows", "isotropic": "A homogeneous world: isotropic rows"}


@dataclass
class CurvesState:
    """What a visitor has chosen on this page, results and jobs by kind of experiment; outlives a change of page."""

    experiment: str = ""
    result: dict[str, str] = field(default_factory=dict)
    job: dict[str, str] = field(default_factory=dict)


def state() -> CurvesState:
    mine: CurvesState = st.session_state.setdefault("curves", CurvesState())
    return mine


def choose_experiment(session: Session) -> str:
    """The experiment; a link to a result opens its kind."""
    asked = st.query_params.get("result", "")
    if asked and st.session_state.get("curves_asked") != asked:
        st.session_state["curves_asked"] = asked
        try:
            kind = catalogue.find_run(asked, catalogue.CURVES).opened.kind
            state().result[kind] = asked
            st.session_state["experiment"] = next(name for name, k in KINDS.items() if k == kind)
        except StoreError as error:
            st.warning(components.escape_markdown(str(error)), icon=":material/link_off:")
    if state().experiment and "experiment" not in st.query_params and "experiment" not in st.session_state:
        st.session_state["experiment"] = state().experiment  # back from another page
    chosen = query_widgets.segmented(
        "Experiment",
        [TWO_WORLDS, *KINDS],
        "experiment",
        help="Synthetic: rows drawn from a distribution. Word vectors: sentences drawn from real vectors. Your corpus: its own "
        "rows, labels drawn from the model's own head. Fast against slow: seconds of choosing.",
    )
    state().experiment = chosen
    if chosen == TWO_WORLDS:
        write_value("result", "")  # else the address would open that result's experiment
    return chosen


def _left_out(*drawn: str) -> None:
    """Report once what the address asks of controls that this view does not draw, and remove it."""
    for key, (fits, what) in TAKEN.items():
        value = st.query_params.get(key)
        if value is not None and key not in drawn and key not in st.session_state and not fits(value):
            current().notices.append(f"{key} {value[:24]} ({what})")
            del st.query_params[key]


def controls(result: Result, *, worlds: bool = False) -> tuple[CurveOptions, str, int]:
    """What is drawn, what selectors get as much of (two worlds), and the budget that the sentences are about (where n moves)."""
    row = st.container(horizontal=True, vertical_alignment="bottom", key="curve-controls")
    selectors, against_n = result.selectors, not result.is_sweep
    equal = "tokens"
    if worlds:
        equal = query_widgets.segmented(
            "At equal",
            EQUAL,
            "equal",
            place=row,
            help=learn.helped(
                "Tokens: every selector gets as many as TokenOD's first n sentences have. Sentences: every selector gets n.",
                "equal tokens",
            ),
        )
    shown = query_widgets.segmented(
        "Shown",
        list(SHOWN),
        "measure",
        place=row,
        help=learn.helped(
            "Error of a sentence: how far the fitted head's predictions are from the truth, summed over its tokens; the largest "
            "or the mean over all sentences. G-criterion: the worst leverage, lower is better. log det: of the design matrix.",
            "worst leverage",
            "log det",
        ),
    )
    n = _budget(result.budgets.tolist(), row) if against_n else USUAL
    log = parts.log_switch(row)
    slopes = (
        "Thin lines beside errors: how TokenOD's error would fall from its first point with the power -1/2 of theory and with "
        "the -0.3 that the paper saw, and the shape of the theorem's bound with a fitted constant."
    )
    guides = against_n and query_widgets.toggle("Guides", "guides", True, place=row, help=slopes)
    components.pictures(row)
    names = st.pills(
        "Selectors",
        selectors,
        selection_mode="multi",
        default=selectors,
        format_func=label_of,
        key=f"selectors-{'-'.join(selectors)}",
        wrap=True,
        help="Which curves are drawn; the sentences and numbers cover all of them.",
    )
    return CurveOptions(SHOWN[shown], log, guides, tuple(names or ())), equal, n


def _budget(there: list[int], row: Any) -> int:
    """The budget that the sentences are about; after a change of result, the nearest one."""
    asked = st.session_state.get("n", USUAL)
    near = min(there, key=lambda n: abs(math.log(n / asked)))
    if asked not in there and "n" in st.session_state:
        st.session_state["n"] = near
    return int(
        query_widgets.select(
            "Put into words at n",
            there,
            "n",
            place=row,
            index=there.index(near),
            width=150,
            help="The sentences and the upright line are at this budget.",
        )
    )


def two_worlds() -> None:
    """The shipped pair of worlds: one where coverage pays, one where only length does."""
    how, equal, n = controls(parts.opened(catalogue.find_run("imbalanced-tokens", catalogue.CURVES).opened), worlds=True)
    found = [catalogue.find_run(f"{world}-{equal}", catalogue.CURVES).opened for world in WORLDS]
    results = [parts.opened(one) for one in found]
    figures = parts.figures(results, how)
    for k, (column, (world, heading)) in enumerate(zip(st.columns(2, gap="medium"), WORLDS.items(), strict=True)):
        with column:
            st.subheader(heading, anchor=False, help=learn.helped(WHY[world], "coverage"))
            parts.said(results[k], how, n)
            if figures:
                parts.chart(figures[k], results[k], how, found[k].id)
            parts.downloads(results[k], found[k])
    st.caption(
        f"{parts.drawn(results[0])} {'Both charts have one y axis. ' if how.log_y else ''}Both pools have 3,000 sentences with "
        "lengths of one distribution, d = 10 and L = 20. In the imbalanced world a few clusters contain most sentences, so some "
        "directions are rare; in the homogeneous one all directions are alike."
    )
    parts.guides(results, how)
    for result, heading in zip(results, WORLDS.values(), strict=True):
        with st.expander(f"Numbers and command: {heading}"):
            parts.numbers(result, how.measure, n)
            parts.code(result)


def choose_result(kind: str) -> CurvesRun | None:
    """A shipped or an earlier result of this kind; None where there is none yet."""
    there = {found.id: found for found in catalogue.contents(catalogue.CURVES) if found.kind == kind}
    if not there:
        return None
    key, wanted = f"result-{kind}", state().result.get(kind)
    if wanted in there:
        st.session_state[key] = wanted
    elif st.session_state.get(key) not in there:
        st.session_state[key] = _last(list(there.values()))

    def chosen() -> None:  # before the next rerun draws the box from the state
        state().result[kind] = st.session_state[key]

    id = st.selectbox(
        "Result",
        list(there),
        key=key,
        format_func=lambda id: _label(there[id]),
        on_change=chosen,
        help="Results of this experiment: those that ship, and your own.",
    )
    state().result[kind] = id
    st.session_state["curves_asked"] = st.query_params["result"] = id
    return there[id]


def _last(there: list[CurvesRun]) -> str:
    """The visitor's own last result that has something to show, else the first shipped one."""
    for found in there:
        if found.shipped:
            continue
        try:
            _ = found.kind == catalogue.TIMING or parts.opened(found)
        except StoreError:
            continue
        return found.id
    return there[0].id


def _label(found: CurvesRun) -> str:
    s = found.settings
    origin = "shipped" if found.shipped else f"{pd.Timestamp(found.changed, unit='s'):%Y-%m-%d %H:%M} UTC, {found.id}"
    if found.kind == catalogue.TIMING:
        return f"{s['sentences']:,} sentences, d = {s['dimension']} ({origin})"
    w, fixed = s["world"], ""
    if "sweep" not in s:
        fixed = f"d = {w['dimension']}, L = {w['classes']}, "
    return f"{components.one_line(found.about.title, 80)}, equal {s['equal']}, {fixed}{s['runs']} runs ({origin})"


def show(found: CurvesRun) -> None:
    """One result, whatever its kind."""
    if found.kind == catalogue.TIMING:
        _left_out("picture")
        row = st.container(horizontal=True, vertical_alignment="bottom", key="curve-controls")
        how = CurveOptions("maximum", parts.log_switch(row), False, ())
        components.pictures(row)
        parts.timing(read_timing(found.folder), how, found)
        return
    try:
        result = parts.opened(found)
    except StoreError as error:
        _left_out()
        st.info(components.escape_markdown(str(error)), icon=":material/hourglass_empty:")
        return
    _left_out("measure", "picture", *(() if result.is_sweep else ("n", "guides")))
    how, _, n = controls(result)
    asked = int(result.about.settings["runs"])
    if result.runs < asked:
        st.info(
            f"{result.runs} of {asked} runs are finished by every selector so far; these are shown.", icon=":material/pending:"
        )
    if result.is_sweep:
        parts.sweep(result, how, found)
    else:
        parts.said(result, how, n)
        for fig in parts.figures([result], how, height=520):
            parts.chart(fig, result, how, found.id)
        parts.guides([result], how)
        parts.numbers(result, how.measure, n)
    st.caption(parts.drawn(result))
    parts.downloads(result, found)
    parts.code(result)
