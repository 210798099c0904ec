"""What every page stands in: its purpose in a sentence, what of its address was not understood, and refusals in words.

with frame.page("compare", "Which rule should choose your fine-tuning data?") as visitor:
    opened = frame.opened(visitor)      # pages about one corpus under one model
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st
from streamlit.runtime.scriptrunner import StopException

from fishersft.corpus.records import Corpus
from fishersft.errors import FisherSFTError, ParameterError
from fishersft.lm.embed import TokenEmbeddings
from fishersft.selectors import Pool
from fishersft.ui import address, cached, session
from fishersft.ui.components import escape_markdown, one_line, position_of, problem
from fishersft.ui.session import Choice, Session

ON_SCREEN = {
    "pass --skip-bad": "tick Skip broken lines under How it is read",
    "say which one holds the text with --text-column, one of": "its columns are",
    "--holdout": "The held-out share",
    "--split-on": "Where examples end",
}


@dataclass(frozen=True)
class Opened:
    """A corpus under a model, embedded."""

    choice: Choice
    corpus: Corpus
    pool: Pool


@contextmanager
def page(name: str, said: str = "") -> Iterator[Session]:
    """A page of `address.PAGES`: a refusal becomes a box with its sentence, and the rest is not drawn.

    What the address asked for in vain is told above the page, whether it was drawn to its end or not.
    """
    visitor = begin(name)
    session.write_address(visitor)
    if said:
        st.caption(said)
    top = st.container()
    try:
        yield visitor
    except FisherSFTError as error:
        problem(told(visitor.choice, error))
        if not isinstance(error, ParameterError):  # the controls above put that right
            way_back()
        with top:
            notices(visitor, name, drawn=False)
        st.stop()
    except StopException:  # an empty state; an address of a page that is not drawn is told of too
        with top:
            notices(visitor, name)
        raise
    session.write_address(visitor)
    st.session_state["fishersft_left"][name] = {key: st.query_params.get_all(key) for key in st.query_params}
    with top:
        notices(visitor, name)


def _come_back(name: str) -> bool:
    """An address without a word, as the Back button leaves from another page, shows what the visitor last saw here.

    Returns:
        whether the run before was of this page too.
    """
    left = st.session_state.setdefault("fishersft_left", {})
    came, st.session_state["fishersft_page"] = st.session_state.get("fishersft_page"), name
    if came not in (None, name) and not st.query_params and left.get(name):
        st.query_params.from_dict(left[name])
        st.session_state["fishersft_page"] = None  # the next run is the first one here
        st.rerun()  # controls read the address as a run begins
    return bool(came == name)


def begin(name: str, *, writes: bool = True) -> Session:
    """The visitor, at the start of a run of any page; `writes`: the page puts the visitor's session into the address."""
    here = _come_back(name)
    session.arrives(here=here and writes)
    session.read_here().clear()
    return session.current()


def opened(visitor: Session) -> Opened:
    """What a page about selections needs, with its headline; the page ends here where nothing is embedded yet."""
    choice = visitor.choice
    corpus = cached.corpus(choice)
    embeddings = cached.embeddings(choice)
    headline(corpus, choice, embeddings)
    if embeddings is None:
        not_embedded()
        st.stop()
    pool = cached.pool(choice, embeddings)
    _pinned_here(visitor, pool)
    return Opened(choice, corpus, pool)


def _pinned_here(visitor: Session, pool: Pool) -> None:
    """Forget pins that a link carries in vain, and name them."""
    for key, name in session.PINS.items():
        asked: tuple[int, ...] = getattr(visitor, name)
        there = tuple(record for record in asked if position_of(pool, record) is not None)
        if there != asked:
            outside = ", ".join(str(record) for record in asked if record not in there)
            visitor.notices.append(f"{key} {outside[:40]} (not in the pool: held-out and blank records cannot be chosen)")
            setattr(visitor, name, there)


def notices(visitor: Session, name: str, *, drawn: bool = True) -> None:
    """What the address asked for and could not have, until the visitor has read it; `drawn`: the page was, to its end."""
    stray = address.stray(name)
    told = [*visitor.notices, *(f"{key[:40]} {st.query_params[key][:24]} ({why})" for key, why in stray.items())]
    if not told:
        return
    sentence = f"Some of this link was not understood: {'; '.join(dict.fromkeys(told))}."
    sentence += " The usual values are shown." if drawn else " More may be wrong with what could not be drawn."
    st.warning(escape_markdown(sentence), icon=":material/link_off:")
    if st.button("Got it", key="dismiss"):
        visitor.notices.clear()
        for key in stray:
            del st.query_params[key]
        st.rerun()


def told(choice: Choice, error: FisherSFTError) -> str:
    """A refusal as the screen says it: uploads by their own names, and what the command line calls an option by its label."""
    sentence = choice.plainly(str(error))
    for option, label in ON_SCREEN.items():
        sentence = sentence.replace(option, label)
    return sentence


def way_back(*, elsewhere: bool = True) -> None:
    """Where to go from a corpus or model that cannot be opened.

    Args:
        elsewhere: from another page than that which chooses them.
    """
    row = st.container(horizontal=True, vertical_alignment="center")
    row.button(
        "Back to the demo", icon=":material/home:", on_click=lambda: session.choose(corpus="demo", model="mini", options=())
    )
    if elsewhere:
        row.page_link("pages/corpus.py", label="Choose another corpus or model", icon=":material/swap_horiz:")


def headline(corpus: Corpus, choice: Choice, embeddings: TokenEmbeddings | None) -> None:
    """Which corpus under which model, and where to change that."""
    pool = len(corpus.pool_index) if embeddings is None else len(embeddings)
    skipped = len(corpus.pool_index) - pool
    without = f", {skipped:,} without a trained token" if skipped else ""
    row = st.container(horizontal=True, vertical_alignment="center", gap="small")
    row.markdown(
        f"**{escape_markdown(one_line(corpus.name, 60))}**, {len(corpus):,} records ({pool:,} in the pool, "
        f"{int(corpus.held_out.sum()):,} held out{without}), read by **{escape_markdown(one_line(choice.model, 60))}**"
    )
    row.page_link("pages/corpus.py", label="Change corpus or model", icon=":material/swap_horiz:")


def not_embedded() -> None:
    """The empty state of pages that need embeddings."""
    st.info(
        "This corpus has no embeddings under this model yet. The Corpus page computes them once and keeps them.",
        icon=":material/hourglass_empty:",
    )
    if st.button("Go to the Corpus page", type="primary"):
        st.switch_page("pages/corpus.py")
