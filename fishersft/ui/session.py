"""What a visitor is looking at: which corpus under which model, which record, which set.

One typed object a session, mirrored in the address bar, so that a link opens the same view and a page change keeps it.
Widgets whose value belongs to the address bind themselves (`bind="query-params"`); this module owns the rest.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from fishersft.corpus import builtin
from fishersft.corpus.read import SPLITS
from fishersft.errors import CorpusError, ModelError
from fishersft.store.artifacts import Store
from fishersft.ui import ranges

UPLOAD = re.compile(r"upload:[0-9a-f]{16}\.(txt|csv|tsv|jsonl|json|parquet)")
OPTIONS = ("text_column", "prompt_column", "completion_column", "messages_column", "split_on", "holdout", "skip_bad")
PINS = {"pin": "pinned", "exclude": "excluded"}
OURS = ("corpus", "model", "record", "lasso", "set", *PINS, *OPTIONS)
RUN = re.compile(r"[0-9a-f]{4,64}")

MOST_PINS = 50
CROSSING = 1.0  # seconds in which a browser may still send the address that it had before we wrote into it

_went_through_app = False


def public() -> bool:
    """A hosted demo: no local paths, no free hub ids."""
    return os.environ.get("FISHERSFT_PUBLIC") == "1"


@dataclass(frozen=True)
class Choice:
    """A corpus and a model by name, as an address can carry them.

    Attributes:
        corpus: `demo`, a classic, `upload:<digest>.<ending>`, `hf:owner/name`, or a path.
        model: `mini`, a folder, or a hub id.
        options: how the corpus is read, as on the command line.
    """

    corpus: str = "demo"
    model: str = "mini"
    options: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """What the visitor called an upload; "" for everything else."""
        if not UPLOAD.fullmatch(self.corpus):
            return ""
        digest, _, suffix = self.corpus.removeprefix("upload:").partition(".")
        store = Store.default()
        return store.upload_title(store.upload_path(digest, f".{suffix}"))

    @property
    def source(self) -> str:
        """What `load_corpus` takes."""
        if self.corpus.startswith("upload:"):
            if not UPLOAD.fullmatch(self.corpus):
                raise CorpusError("This link names an upload in a way we do not know; upload the file again.")
            digest, _, suffix = self.corpus.removeprefix("upload:").partition(".")
            path = Store.default().upload_path(digest, f".{suffix}")
            if not path.exists():
                raise CorpusError("This link opens an upload that is not on this machine; upload the file again.")
            return str(path)
        return self.corpus

    def plainly(self, sentence: str) -> str:
        """A sentence about the corpus' file, with an upload called as its visitor called it and not as the store does."""
        if not self.title:
            return sentence
        path = Path(self.source)
        return sentence.replace(str(path), self.title).replace(path.name, self.title)

    @property
    def name(self) -> str:
        return self.title or (Path(self.corpus).name if "/" in self.corpus and ":" not in self.corpus else self.corpus)

    @property
    def load_options(self) -> dict[str, Any]:
        """Keyword arguments for `load_corpus`."""
        out: dict[str, Any] = dict(self.options)
        if "holdout" in out:
            try:
                out["holdout"] = float(out["holdout"])
            except ValueError as error:
                raise CorpusError(f"The held-out share in the address is not a number: '{out['holdout'][:20]}'.") from error
        if "skip_bad" in out:
            out["skip_bad"] = True
        return out

    def check_public(self) -> None:
        """On a hosted demo only the embedded, the built-in and the uploaded may be opened."""
        if not public():
            return
        if self.corpus not in ("demo", *builtin.CLASSICS) and not UPLOAD.fullmatch(self.corpus):
            raise CorpusError("This hosted demo opens no paths and no hub data sets; upload a file instead.")
        if self.model != "mini":
            raise ModelError("This hosted demo has one model, mini; install fishersft to use others.")

    def command(self, *arguments: str, verb: str = "select") -> str:
        """The command line that does the same."""
        import shlex

        corpus = self.title if self.corpus.startswith("upload:") and self.title else self.corpus
        parts = [corpus]
        for key, value in self.options:
            parts += [f"--{key.replace('_', '-')}", *([value] if value else [])]
        return shlex.join(["fishersft", verb, *parts, "--model", self.model, *arguments])


@dataclass
class Session:
    """One visitor's state.

    Attributes:
        generation: part of the maps' keys; another one clears what was drawn on them.
        lasso, lasso_name, lasso_run: record numbers of the set that is shown; its name and its run where it is a kept one.
        pinned, excluded: record numbers of the what-if, in the order they were named.
        selectors, score_model: what Compare shows; () and "" at first.
        picture: what a chart's camera saves, png or svg.
        guide: whether a first visitor's guide was "put away" just now or "read" before; "" at first.
        turns: how often the record came from the address.
    """

    choice: Choice = field(default_factory=Choice)
    record: int | None = None
    lasso: tuple[int, ...] = ()
    lasso_name: str = ""
    lasso_run: str = ""
    generation: int = 0
    notices: list[str] = field(default_factory=list)
    pinned: tuple[int, ...] = ()
    excluded: tuple[int, ...] = ()
    selectors: tuple[str, ...] = ()
    score_model: str = ""
    picture: str = "png"
    guide: str = ""
    turns: int = 0

    def hold(self, records: Sequence[int] = (), name: str = "", run: str = "") -> None:
        """Show this set of records, by number; none where there are none."""
        self.lasso, self.lasso_name, self.lasso_run = tuple(records), name, run


def under_navigation() -> None:
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


def current() -> Session:
    """The visitor's session, with what the address says on the first visit or after a link was followed."""
    under_navigation()
    session: Session = st.session_state.setdefault("fishersft", Session())
    seen = {k: st.query_params.get(k, "") for k in OURS if st.query_params.get(k)}
    if _went_back(session, seen):
        _forget(session, seen)
    if seen and seen != st.session_state.get("fishersft_address"):
        _read_address(session, seen)
    return session


def arrives(*, here: bool) -> None:
    """A run of a page begins: `here` where the one before was of the same page."""
    st.session_state["fishersft_here"] = here


def _went_back(session: Session, seen: dict[str, str]) -> bool:
    """Whether the Back button took something out of the address: it is not there, and nothing else has changed since we put it
    there.  A message that crossed with our own writing looks like that too, for a moment."""
    last: dict[str, str] = st.session_state.get("fishersft_address", {})
    settled = time.monotonic() - st.session_state.get("fishersft_written", 0.0) > CROSSING
    gone = bool(last.keys() - seen.keys())
    return gone and settled and bool(st.session_state.get("fishersft_here")) and _values(session) == last


def _forget(session: Session, seen: dict[str, str]) -> None:
    """What an earlier address of the page did not hold yet; the corpus stays: a click on the page's own name looks like Back."""
    if "record" not in seen:
        session.record = None
    for key, name in PINS.items():
        if key not in seen:
            setattr(session, name, ())
    if not seen.keys() & {"lasso", "set"} and session.lasso:
        session.hold()
        session.generation += 1


def _read_address(session: Session, seen: dict[str, str]) -> None:
    for key, known in {"split_on": SPLITS, "skip_bad": ("1",)}.items():
        if key in seen and seen[key] not in known:
            session.notices.append(f"{key} {seen.pop(key)[:24]} ({' or '.join(known)})")
    asked = tuple((k, seen[k]) for k in OPTIONS if k in seen)
    before = session.choice
    session.choice = Choice(
        corpus=seen.get("corpus", session.choice.corpus),
        model=seen.get("model", session.choice.model),
        options=asked if asked or "corpus" in seen else session.choice.options,
    )
    if session.choice != before:
        session.hold()
        session.pinned = session.excluded = ()
    for key, name in PINS.items():
        if key in seen:
            numbers = seen[key].split(",")
            if all(n.isdigit() and n.isascii() for n in numbers) and len(numbers) <= MOST_PINS:
                setattr(session, name, tuple(dict.fromkeys(map(int, numbers))))
            else:
                session.notices.append(f"{key} {seen[key][:24]} (record numbers with commas between)")
    session.excluded = tuple(r for r in session.excluded if r not in session.pinned)
    if "record" in seen:
        if seen["record"].isdigit():
            session.turns += session.record != int(seen["record"])
            session.record = int(seen["record"])
        else:
            session.notices.append(f"record {seen['record'][:20]} (a whole number)")
    _read_set(session, seen)


def _read_set(session: Session, seen: dict[str, str]) -> None:
    """A lasso's records, or the run of a kept set, which the pages about selections open."""
    if "lasso" in seen and seen["lasso"] != ranges.written(session.lasso):
        numbers = ranges.read(seen["lasso"])
        if numbers is None:
            session.notices.append(f"lasso {seen['lasso'][:24]} (record numbers such as 0-3,7)")
        else:
            session.hold(numbers)
    if "set" in seen and seen["set"] != session.lasso_run:
        if RUN.fullmatch(seen["set"]):
            session.hold(run=seen["set"])
        else:
            session.notices.append(f"set {seen['set'][:24]} (the id of a kept set)")


def _values(session: Session) -> dict[str, str]:
    """What the address says of a session; defaults are left out."""
    choice = session.choice
    values = {
        "corpus": choice.corpus if choice.corpus != "demo" else "",
        "model": choice.model if choice.model != "mini" else "",
        **{key: ",".join(map(str, getattr(session, name))) for key, name in PINS.items()},
        "lasso": "" if session.lasso_run else ranges.written(session.lasso),
        "set": session.lasso_run,
        "record": "" if session.record is None else str(session.record),
        **{k: v or "1" for k, v in choice.options},
    }
    return {k: v for k, v in values.items() if v}


def write_address(session: Session) -> None:
    """Put the session into the address bar."""
    wanted = _values(session)
    for key in OURS:
        if key not in wanted and key in st.query_params:
            del st.query_params[key]
    if any(st.query_params.get(k) != v for k, v in wanted.items()):
        st.query_params.update(wanted)  # at once: each write is a step of the browser's Back button
        st.session_state["fishersft_written"] = time.monotonic()
    st.session_state["fishersft_address"] = wanted


def check_address(session: Session, key: str, fits: Callable[[str], bool], what: str) -> None:
    """Streamlit drops an address value that does not fit without a word; we say so."""
    read_here().add(key)
    value = st.query_params.get(key)
    if value is not None and key not in st.session_state and not fits(value):
        session.notices.append(f"{key} {value[:24]} ({what})")


def read_here() -> set[str]:
    """Names of the parameters that the page has read from its address in this run, by a check or by itself."""
    names: set[str] = st.session_state.setdefault("fishersft_read", set())
    return names


def write_value(key: str, value: str) -> None:
    """Put one value of a page's own into the address bar; "" leaves it out."""
    read_here().add(key)
    if value and st.query_params.get(key) != value:
        st.query_params[key] = value
    elif not value and key in st.query_params:
        del st.query_params[key]


def choose(**changes: Any) -> None:
    """Look at another corpus or model; what was pointed at is forgotten."""
    session = current()
    chosen = replace(session.choice, **changes)
    if chosen != session.choice:
        session.choice, session.record = chosen, None
        session.hold()
        session.pinned = session.excluded = ()
        session.generation += 1
        write_address(session)
