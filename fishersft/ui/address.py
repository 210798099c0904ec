"""The address bar: what it carries of a visitor's session, what each page reads from it, and how both are checked.

A link opens the same view, and a page change keeps it.  Widgets whose value belongs to the address bind themselves
(`bind="query-params"`); this module owns the rest, and names whatever a link asks for and cannot have.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import streamlit as st

from fishersft.corpus.records import ReadOptions
from fishersft.fields import declared
from fishersft.lessons import LESSONS
from fishersft.selectors import registry
from fishersft.ui.session import Choice, Session

OPTIONS = tuple(declared(ReadOptions))
PINS = {"pin": "pinned", "exclude": "excluded"}
OURS = ("corpus", "model", "target", "target_seed", "record", "lasso", "set", *PINS, *OPTIONS)
RUN = re.compile(r"[0-9a-f]{4,64}")
SEARCH = "q"  # what a visitor searches for may be confidential, so no link carries it
MOST_PINS = 50
CROSSING = 1.0  # seconds in which a browser may still send the address that it had before we wrote into it

# The parameters of each page.  A control that is drawn registers itself (`check_address`); pages do not always draw all of these.
PAGES: dict[str, frozenset[str]] = {
    page: frozenset(names.split())
    for page, names in {
        "explore": "selector seed unit sentences percent tokens view map colour filter length part log picture across up",
        "corpus": "part",
        "compare": "selectors seed equal budget maps map part rows log score picture",
        "curves": "experiment result part equal measure n logarithmic guides picture",
        "generations": "section run measured held_out minus lost against picture left right at draw prompt judge",
        "evidence": "arena aim on model n part picture unit",
        "learn": " ".join(
            ["lesson points path chart present step answers", *(name for kind in LESSONS.values() for name in declared(kind))]
        ),
        "runs": "show job run result finetuned ranked",
    }.items()
}

LONGEST = 600  # characters of a list of records; mail programs and chats cut longer links
MOST_RECORDS = 200_000  # that a short text may stand for
_RANGES = re.compile(r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,18}")  # what 64 bits hold; `int` fails at 4,301 digits, and `str.isdigit` takes ²


@dataclass
class AddressBar:
    """What was last written into the address bar or read from it, and what stood there until a moment ago: whoever clicks again
    before the browser has our writing sends that."""

    now: dict[str, str] = field(default_factory=dict)
    before: list[tuple[float, dict[str, str]]] = field(default_factory=list)  # until when, and what

    def write(self, address: dict[str, str]) -> None:
        if address != self.now:
            self.before.append((time.monotonic() + CROSSING, self.now))
            self.now = address

    def news(self, seen: dict[str, str]) -> bool:
        """Whether the browser says what it did not know from us."""
        self.before = [(until, address) for until, address in self.before if time.monotonic() < until]
        return seen != self.now and all(seen != address for _, address in self.before)


def whole(text: str, low: int = 0, high: int = 10**18 - 1) -> int | None:
    """The whole number from low to high that a text is; None where it is none."""
    return number if _WHOLE.fullmatch(text) and low <= (number := int(text)) <= high else None


def as_ranges(numbers: Sequence[int]) -> str:
    """Record numbers as an address carries them, such as "0-3,7,9-12"; "" where there are none, or too many to fit."""
    if not len(numbers):
        return ""
    there = np.unique(np.asarray(numbers, dtype=np.int64))
    breaks = np.flatnonzero(np.diff(there) > 1)
    starts, ends = there[np.append(0, breaks + 1)], there[np.append(breaks, len(there) - 1)]
    if 2 * len(starts) - 1 > LONGEST:
        return ""
    text = ",".join(f"{a}-{b}" if b > a else str(a) for a, b in zip(starts.tolist(), ends.tolist(), strict=True))
    return text if len(text) <= LONGEST else ""


def from_ranges(text: str) -> tuple[int, ...] | None:
    """The record numbers, in order; None where the text is no such list."""
    if len(text) > LONGEST or not _RANGES.fullmatch(text):
        return None
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        first, last = int(low), int(high or low)
        if not first <= last < first + MOST_RECORDS or len(found) > MOST_RECORDS:
            return None
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def begin_run(*, same_page: bool) -> None:
    """A run of a page begins; `same_page`: the run before was of this page too."""
    st.session_state["fishersft_here"] = same_page
    read_here().clear()


def current() -> Session:
    """The visitor's session, with what the address says on the first visit or after a link was followed."""
    session: Session = st.session_state.setdefault("fishersft", Session())
    seen = {k: st.query_params.get(k, "") for k in OURS if st.query_params.get(k)}
    if address_bar().news(seen):
        if _went_back(session, seen):
            _forget(session, seen)
        if seen:
            address_bar().now = dict(seen)
            _read_address(session, seen)
    return session


def address_bar() -> AddressBar:
    """What the address bar has of the session."""
    known: AddressBar = st.session_state.setdefault("fishersft_address", AddressBar())
    return known


def choose(**changes: Any) -> None:
    """Look at another corpus, model or target; what was pointed at is forgotten, and with a corpus its target."""
    session = current()
    chosen = replace(session.choice, **changes)
    if chosen.corpus != session.choice.corpus:
        chosen = replace(chosen, target="", target_seed=0)
    if chosen != session.choice:
        session.choice, session.record = chosen, None
        session.clear_set()
        session.clear_pins()
        write_address(session)


def write_address(session: Session) -> None:
    """Put the session into the address bar."""
    wanted = _values(session)
    for key in OURS:
        if key not in wanted and key in st.query_params:
            del st.query_params[key]
    if any(st.query_params.get(k) != v for k, v in wanted.items()):
        st.query_params.update(wanted)  # at once: each write is a step of the browser's Back button
    address_bar().write(wanted)


def _values(session: Session) -> dict[str, str]:
    """What the address says of a session; defaults are left out."""
    choice = session.choice
    values = {
        "corpus": choice.corpus if choice.corpus != "demo" else "",
        "model": choice.model if choice.model != "mini" else "",
        "target": choice.target if len(choice.target) <= LONGEST else "",
        "target_seed": str(choice.target_seed) if choice.target and choice.target_seed else "",
        **{key: ",".join(map(str, getattr(session, name))) for key, name in PINS.items()},
        "lasso": "" if session.lasso_run else as_ranges(session.lasso),
        "set": session.lasso_run,
        "record": "" if session.record is None else str(session.record),
        **{k: v or "1" for k, v in choice.options},
    }
    return {k: v for k, v in values.items() if v}


def _went_back(session: Session, seen: dict[str, str]) -> bool:
    """Whether the Back button took something out of the address: it is gone, and nothing else has changed since we put it
    there."""
    last = address_bar().now
    return bool(last.keys() - seen.keys()) and bool(st.session_state.get("fishersft_here")) and _values(session) == last


def _forget(session: Session, seen: dict[str, str]) -> None:
    """Drop what an earlier address of the page did not hold yet, but not the corpus: a click on the page's own name looks like
    the Back button."""
    if "record" not in seen:
        session.record = None
    for key, name in PINS.items():
        if key not in seen:
            setattr(session, name, ())
    if "target" not in seen and len(session.choice.target) <= LONGEST:
        session.choice = replace(session.choice, target="", target_seed=0)
    if not seen.keys() & {"lasso", "set"} and session.lasso:
        session.clear_set()


def _read_address(session: Session, seen: dict[str, str]) -> None:
    for key, one in declared(ReadOptions).items():
        known = one.about.choices or ("1",) * (one.type is bool)
        if known and key in seen and seen[key] not in known:
            session.notices.append(f"{key} {seen.pop(key)[:24]} ({' or '.join(known)})")
    asked = tuple((k, seen[k]) for k in OPTIONS if k in seen)
    before = session.choice
    session.choice = Choice(
        corpus=seen.get("corpus", before.corpus),
        model=seen.get("model", before.model),
        options=asked if asked or "corpus" in seen else before.options,
    )
    if "target" in seen or session.choice == replace(before, target="", target_seed=0):  # another corpus has other targets
        session.choice = replace(
            session.choice, target=seen.get("target", before.target), target_seed=_seed(session, seen, before)
        )
    if session.choice != before:
        session.show_set()
        session.clear_pins()
    for key, name in PINS.items():
        if key in seen:
            numbers = [whole(n) for n in seen[key].split(",")]
            if None not in numbers and len(numbers) <= MOST_PINS:
                setattr(session, name, tuple(dict.fromkeys(numbers)))
            else:
                session.notices.append(f"{key} {seen[key][:24]} (record numbers, separated by commas)")
    session.excluded = tuple(r for r in session.excluded if r not in session.pinned)
    if "record" in seen:
        if (record := whole(seen["record"])) is not None:
            session.turns += session.record != record
            session.record = record
        else:
            session.notices.append(f"record {seen['record'][:20]} (a whole number)")
    if "lasso" in seen and seen["lasso"] != as_ranges(session.lasso):
        records = from_ranges(seen["lasso"])
        if records is None:
            session.notices.append(f"lasso {seen['lasso'][:24]} (record numbers such as 0-3,7)")
        else:
            session.show_set(records)
    if "set" in seen and seen["set"] != session.lasso_run:
        if RUN.fullmatch(seen["set"]):
            session.show_set(run=seen["set"])  # the pages about selections open it
        else:
            session.notices.append(f"set {seen['set'][:24]} (the id of a kept set)")


def _seed(session: Session, seen: dict[str, str], before: Choice) -> int:
    asked = seen.get("target_seed", "0" if "target" in seen else str(before.target_seed))
    seed = whole(asked, 0, 999_999)
    if seed is None:
        session.notices.append(f"target_seed {asked[:24]} (0 to 999,999)")
    return seed or 0


def check_address(session: Session, key: str, fits: Callable[[str], bool], what: str) -> None:
    """Name a value that does not fit: Streamlit drops it without a word."""
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


def stray(page: str) -> dict[str, str]:
    """Parameters of the address that this page does not read: why, by name."""
    of_selectors = {f"{name}.{field.name}" for name, kind in registry().items() for field in fields(kind)}
    readers = {name: names | (of_selectors if name in ("explore", "compare") else set()) for name, names in PAGES.items()}
    known = readers[page] | set(OURS) | read_here()
    out = {}
    for key in st.query_params:
        pages = " and ".join(name.capitalize() for name, names in readers.items() if key in names)
        if key == SEARCH:
            out[key] = "links carry no search words"
        elif key not in known:
            out[key] = f"read by {pages}, not here" if pages else "no such parameter"
    return out
