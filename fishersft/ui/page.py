"""The frame that every page shares: its name and its question, what was not understood of its address, and refusals in words.

with page.page("compare", "Which rule should choose your fine-tuning data?") as visitor:
    embedded = page.embedded(visitor)      # on pages about one corpus under one model

Below its head a page says in one sentence what it found (`components.verdict`), shows it in one picture, and keeps the rest
behind tabs (`components.tabs`): the first screen answers the question.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import StopException

from fishersft.corpus.records import Corpus, ReadOptions
from fishersft.corpus.shapes import HOW_TO_NAME
from fishersft.errors import FisherSFTError, ParameterError
from fishersft.fields import declared
from fishersft.selectors import Pool
from fishersft.ui import address, behind, cached, targets
from fishersft.ui.components import escape_markdown, one_line, position_of, problem, without_places
from fishersft.ui.session import Choice, Session

ON_SCREEN = {
    "pass --skip-bad": "tick Skip broken lines under How it is read",
    "pass --header none": "choose nowhere for Column names under How it is read",
    HOW_TO_NAME: "choose the columns under How it is read",
    **{one.option: one.label for one in sorted(declared(ReadOptions).values(), key=lambda one: -len(one.option))},
}
_went_through_app = False
_head: ContextVar[Any] = ContextVar("head")  # the row that holds the page's name, while the page is drawn


@dataclass(frozen=True)
class Embedded:
    """A corpus and its embeddings under a model.

    Attributes:
        whole: every record that is embedded, as the maps show them.
        pool: what selectors see: `whole`, or with a target what may be picked for it.
    """

    choice: Choice
    corpus: Corpus
    whole: Pool
    pool: Pool


@contextmanager
def page(name: str, asks: str = "") -> Iterator[Session]:
    """Draw a page of `address.PAGES`, which answers a question: a refusal becomes a box, and the rest of the page is left out.

    Notices of what the address asked for in vain stand above the page, whether it was drawn to its end or not.
    """
    visitor = begin(name)
    address.write_address(visitor)
    head(name, asks)
    behind.begin()
    top = st.container()
    try:
        yield visitor
    except FisherSFTError as error:
        problem(on_screen(visitor.choice, error))
        if not isinstance(error, ParameterError):  # the controls above correct that
            way_back()
        with top:
            notices(visitor, name, drawn=False)
        st.stop()
    except StopException:  # an empty state
        with top:
            notices(visitor, name)
        raise
    address.write_address(visitor)
    st.session_state["fishersft_left"][name] = {key: st.query_params.get_all(key) for key in st.query_params}
    with top:
        notices(visitor, name)


_help_marks = st.components.v2.component(
    "fishersft_help_marks",
    html='<button type="button">Tab to help marks too (?)</button>',
    css="""button { position: fixed; top: 4px; left: 50%; z-index: 9; padding: 0.4rem 0.8rem }
    button:not(:focus) { opacity: 0; pointer-events: none }""",
    js=(Path(__file__).parent / "help_marks.js").read_text(encoding="utf-8"),
)


def head(name: str, asks: str = "") -> None:
    """The page's name and the question that it answers; `embedded` adds which corpus and model it speaks of."""
    with st.container(key="help-marks"):
        _help_marks(key="fishersft-help-marks")
    row = st.container(horizontal=True, vertical_alignment="center", gap="small", key="head")
    row.title(name.capitalize(), anchor=False, width="content")
    if asks:
        row.caption(asks, width="content")
    _head.set(row)


def about() -> Any:
    """Where the page's first row says what it speaks of; `embedded` begins it."""
    return _head.get()


def begin(name: str, *, writes: bool = True) -> Session:
    """The visitor, at the start of a run of any page; `writes`: the page puts the visitor's session into the address."""
    _run_through_app()
    same_page = _come_back(name)
    address.begin_run(same_page=same_page and writes)
    return address.current()


def _run_through_app() -> None:
    """Run this page through app.py.

    A server whose very first visitor opens a page by its own address finds the folder `pages/` before app.py could call
    st.navigation, and would run the page bare.  Once a process is enough: from then on the server knows.
    """
    global _went_through_app
    if PagesManager.uses_pages_directory and not _went_through_app:
        PagesManager.uses_pages_directory = False
        _went_through_app = True
        st.rerun()
    _went_through_app = True


def _come_back(name: str) -> bool:
    """Show what the visitor last saw here where the address is empty, as the Back button leaves it from another page; whether
    the run before was of this page too."""
    left = st.session_state.setdefault("fishersft_left", {})
    came, st.session_state["fishersft_page"] = st.session_state.get("fishersft_page"), name
    if came not in (None, name) and not st.query_params and left.get(name):
        st.query_params.from_dict(left[name])
        st.session_state["fishersft_page"] = None  # the next run is the first one here
        st.rerun()  # controls read the address when a run begins
    return bool(came == name)


def embedded(visitor: Session) -> Embedded:
    """What a page about selections needs, below its headline; the page ends here where nothing is embedded yet."""
    choice = visitor.choice
    corpus = cached.corpus(choice)
    embeddings = cached.embeddings(choice)
    in_pool = len(corpus.pool_index) if embeddings is None else len(embeddings)
    skipped = len(corpus.pool_index) - in_pool
    without = f", {skipped:,} without a trained token" if skipped else ""
    row = _head.get().container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="right", gap="small", key="about"
    )
    row.markdown(
        f"**{escape_markdown(one_line(corpus.name, 40))}** · {in_pool:,} to choose from · embedded with "
        f"**{escape_markdown(one_line(choice.model, 40))}**",
        width="content",
        help=f"{len(corpus):,} records: {in_pool:,} in the pool that selectors choose from, "
        f"{int(corpus.held_out.sum()):,} held out{without}. Embedded with the model that is named last.",
    )
    row.page_link("pages/corpus.py", label="Change", icon=":material/swap_horiz:", help="Choose another corpus or model.")
    if embeddings is None:
        said = "This corpus has no embeddings under this model yet. The Corpus page computes them once and keeps them."
        st.info(said, icon=":material/hourglass_empty:")
        if st.button("Go to the Corpus page", type="primary"):
            st.switch_page("pages/corpus.py")
        st.stop()
    whole = cached.pool(choice, embeddings)
    pool = targets.aimed(choice, whole)
    for key, name in address.PINS.items():  # those that are not in the pool are forgotten, and named
        asked: tuple[int, ...] = getattr(visitor, name)
        there = tuple(record for record in asked if position_of(pool, record) is not None)
        if there != asked:
            outside = ", ".join(str(record) for record in asked if record not in there)
            never = "held-out and blank records" + (", and the target's," if choice.target else "") + " cannot be chosen"
            visitor.notices.append(f"{key} {outside[:40]} (not in the pool: {never})")
            setattr(visitor, name, there)
    return Embedded(choice, corpus, whole, pool)


def notices(visitor: Session, name: str, *, drawn: bool = True) -> None:
    """Name what the address asked for in vain, until the visitor has read it; `drawn`: the page was drawn to its end."""
    stray = address.stray(name)
    vain = [*visitor.notices, *(f"{key[:40]} {st.query_params[key][:24]} ({why})" for key, why in stray.items())]
    if not vain:
        return
    sentence = f"Some of this link was not understood: {'; '.join(dict.fromkeys(vain))}."
    sentence += " The defaults are shown instead." if drawn else " The rest of this link was not checked."
    st.warning(escape_markdown(sentence), icon=":material/link_off:")
    if st.button("Got it", key="dismiss"):
        visitor.notices.clear()
        for key in stray:
            del st.query_params[key]
        st.rerun()


def on_screen(choice: Choice, error: FisherSFTError | str) -> str:
    """A sentence in the screen's words: uploads by their own names, and options of the command line by their labels."""
    sentence = choice.plainly(str(error))
    for option, label in ON_SCREEN.items():
        sentence = sentence.replace(option, label)
    return without_places(sentence)


def way_back(*, elsewhere: bool = True) -> None:
    """Where to go from a corpus or model that cannot be opened; `elsewhere`: from another page than Corpus."""
    row = st.container(horizontal=True, vertical_alignment="center")
    back = partial(address.choose, corpus="demo", model="mini", options=())
    row.button("Back to the demo", icon=":material/home:", on_click=back)
    if elsewhere:
        row.page_link("pages/corpus.py", label="Choose another corpus or model", icon=":material/swap_horiz:")
