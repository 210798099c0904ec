"""What a page does not wait for: computed behind it, while everything else is shown and can be used.

draws = behind.ready("20 random draws", key, partial(precomputed.band, rows, top, token_top))   # None while it is computed
picks, order = behind.grow("picks of TokenOD", key, choose)       # those that exist so far; and the whole, once it is there
drawn = behind.follow("the UMAP map", key, draw)                  # None meanwhile; `draw(report)` says how far it is, in words
...
behind.look_again()     # at the page's end: says what is still computed, and draws the page again when there is more

What is computed must not call Streamlit.  One thing at a time is computed for all visitors, and two that grow, so that pages
stay quick.  What a page does wait for, such as embedding, takes a `turn`.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import streamlit as st

from fishersft.errors import Cancelled

T = TypeVar("T")
Item = TypeVar("Item")
AT_ONCE = 0.5  # seconds that a page waits for something that may be in the store
ALREADY = 0.05  # the same once it goes without something else
EVERY = 1.0  # seconds between looks
MORE = 1.5  # times as many items make it worth to draw the page again
KEPT = 64  # results in memory
TURNS = 2  # visitors whose pages compute at once


@dataclass
class _Work:
    """One computation, and what it has given so far, or how far it is in words."""

    result: Future[Any]
    items: list[Any] = field(default_factory=list)
    began: bool = False
    stage: str = ""
    grows: bool = False
    fleeting: bool = False  # dropped where nobody looks at it any more
    dropped: bool = False


@dataclass
class _Desk:
    """The computations of all visitors, the latest last, and which one of those that can be stopped each visitor looks at in each
    place."""

    work: OrderedDict[Hashable, _Work] = field(default_factory=OrderedDict)
    looks: dict[tuple[str, str], Hashable] = field(default_factory=dict)
    line: list[object] = field(default_factory=list)  # who computes on a page, or waits for a turn to
    lock: threading.Lock = field(default_factory=threading.Lock)
    one: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1))
    two: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(2))

    def begin(self, key: Hashable, compute: Callable[[], object], place: tuple[str, str] | None = None) -> _Work:
        with self.lock:
            if place:
                self._look(place, key)
            if key not in self.work:
                self.work[key] = _Work(Future(), fleeting=place is not None)
                self._start(self.work[key], compute, self.one)
            return self._used(key)

    def grow(
        self, key: Hashable, compute: Callable[[Callable[[Any], None]], object], place: tuple[str, str], *, words: bool = False
    ) -> _Work:
        with self.lock:
            self._look(place, key)
            if key not in self.work:
                self.work[key] = work = _Work(Future(), grows=True, fleeting=True)
                self._start(work, partial(compute, self._adder(work, words=words)), self.two)
            return self._used(key)

    def leave(self, place: tuple[str, str]) -> None:
        with self.lock:
            self._look(place, None)

    def _look(self, place: tuple[str, str], key: Hashable) -> None:
        """Note what is looked at in a place, and stop what nobody looks at any more."""
        self.looks[place] = key
        for other, work in list(self.work.items()):
            if work.fleeting and not work.result.done() and other not in self.looks.values():
                work.dropped = True
                del self.work[other]

    @staticmethod
    def _start(work: _Work, compute: Callable[[], object], turn: threading.Semaphore) -> None:
        def run() -> None:
            with turn:
                if work.dropped:
                    return
                work.began = True
                try:
                    work.result.set_result(compute())
                except BaseException as error:
                    work.result.set_exception(error)

        threading.Thread(target=run, name="behind", daemon=True).start()  # no server waits for it at its end

    @staticmethod
    def _adder(work: _Work, *, words: bool) -> Callable[[Any], None]:
        def add(item: Any) -> None:
            if work.dropped:
                raise Cancelled("Nobody looks at this any more.")
            if words:
                work.stage = item
            else:
                work.items.append(item)

        return add

    def _used(self, key: Hashable) -> _Work:
        self.work.move_to_end(key)
        for old in [k for k, work in self.work.items() if work.result.done()][: max(0, len(self.work) - KEPT)]:
            del self.work[old]
        return self.work[key]

    def before(self, mine: _Work) -> int:
        """How many computations are to end before this one begins."""
        with self.lock:
            asked = [work for work in self.work.values() if work.grows == mine.grows and not work.result.done()]
            first = [work for work in asked if work.began]
            waiting = asked[: asked.index(mine)] if mine in asked else []
        return 0 if mine.began else len(first) + sum(not work.began for work in waiting)

    def forget(self, key: Hashable) -> None:
        with self.lock:
            self.work.pop(key, None)


_desk = _Desk()


def ready(said: str, key: Hashable, compute: Callable[[], T], latest: str = "") -> T | None:
    """The result, or None while it is computed behind the page; an error is raised here, and the next look tries again.

    Args:
        said: what is computed, for those who wait.
        key: names the result among all others.
        latest: names results of which a visitor wants the last one only: others that have not begun are dropped.
    """
    result: T | None = _asked(said, key, _desk.begin(key, compute, (visitor(), latest) if latest else None))
    return result


def grow(said: str, key: Hashable, compute: Callable[[Callable[[Item], None]], T]) -> tuple[list[Item], T | None]:
    """What a computation has given so far, and its result once it is there.

    `compute(add)` gives each item as it is made.  It is stopped where no visitor looks at it any more: `add` raises then.
    """
    work = _desk.grow(key, compute, (visitor(), "grow"))
    result: T | None = _asked(said, key, work)
    return list(work.items), result


def follow(said: str, key: Hashable, compute: Callable[[Callable[[str], None]], T]) -> T | None:
    """The result, or None while it is computed; `compute(report)` says in words how far it is, which the page shows.

    It is stopped where no visitor follows it any more, or each has let it go (`let_go`): `report` raises then.
    """
    result: T | None = _asked(said, key, _desk.grow(key, compute, (visitor(), "follow"), words=True))
    return result


def let_go() -> None:
    """This visitor follows nothing any more."""
    _desk.leave((visitor(), "follow"))


def _asked(said: str, key: Hashable, work: _Work) -> Any:
    try:
        return work.result.result(ALREADY if _waiting() else AT_ONCE)
    except TimeoutError:
        _waiting()[key] = said, len(work.items)
        return None
    except Exception:
        _desk.forget(key)
        raise


def visitor() -> str:
    """Whose page this is; nobody else knows it."""
    return str(st.session_state.setdefault("fishersft_visitor", uuid.uuid4().hex))


def _waiting() -> dict[Hashable, tuple[str, int]]:
    """What this run of the page went without: in words, and how many items there were."""
    waiting: dict[Hashable, tuple[str, int]] = st.session_state.setdefault("fishersft_waiting", {})
    return waiting


@contextmanager
def turn() -> Iterator[None]:
    """One of a few turns to compute on the page itself; until there is one, the page says how many are before."""
    mine = object()
    with _desk.lock:
        _desk.line.append(mine)
    try:
        place = st.empty()
        while (before := _desk.line.index(mine)) >= TURNS:
            place.caption(f":material/hourglass_top: Waiting for a turn to compute, with {before} before you.")
            time.sleep(EVERY / 2)
        place.empty()
        yield
    finally:
        with _desk.lock:
            _desk.line.remove(mine)


def begin() -> None:
    """At the beginning of a page: nothing is waited for yet."""
    _waiting().clear()


def look_again() -> None:
    """At the end of a page: name what is still computed, and draw the page again as soon as there is more of it."""
    waiting = dict(_waiting())
    if not waiting:
        return

    @st.fragment(run_every=EVERY)
    def look() -> None:
        there = [(said, items, _desk.work.get(key)) for key, (said, items) in waiting.items()]
        before = max((_desk.before(work) for _, _, work in there if work), default=0)
        words = ", ".join(dict.fromkeys(f"{said} ({work.stage})" if work and work.stage else said for said, _, work in there))
        st.caption(f":material/hourglass_top: Still computing: {words}{f', with {before} before you' if before else ''}.")
        for _, items, work in there:
            if work is None or work.result.done() or len(work.items) > MORE * items:
                st.rerun()

    look()
