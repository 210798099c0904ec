"""What a page does not wait for is computed once, shown as far as it goes, and stopped where nobody looks."""

import threading
import time

import pytest
from streamlit.testing.v1 import AppTest

from fishersft.errors import Cancelled, UserError
from fishersft.ui import behind


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(behind, "AT_ONCE", 0.05)
    monkeypatch.setattr(behind, "ALREADY", 0.0)
    monkeypatch.setattr(behind, "_desk", behind._Desk())


def until(found):
    for _ in range(400):
        if found():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


def test_a_page_goes_without_what_takes_long_and_gets_it_computed_once():
    go, calls = threading.Event(), []

    def slowly():
        calls.append(1)
        go.wait(10)
        return 42

    assert behind.ready("an answer", "a", slowly) is None
    assert behind.ready("an answer", "a", slowly) is None
    assert behind.ready("something quick", "b", lambda: 1) is None  # it stands in line
    go.set()
    until(lambda: behind.ready("an answer", "a", slowly) == 42)
    assert calls == [1]


def test_an_error_is_raised_on_the_page_and_tried_again_at_the_next_look():
    answers = iter([UserError("no such thing"), 7])

    def compute():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(UserError, match="no such thing"):
        behind.ready("it", "c", compute)
    assert behind.ready("it", "c", compute) == 7


def test_what_grows_is_shown_as_far_as_it_goes_and_ends_whole():
    more, done = threading.Event(), threading.Event()

    def compute(add):
        add("one")
        more.wait(10)
        add("two")
        done.wait(10)
        return "whole"

    until(lambda: behind.grow("words", "d", compute) == (["one"], None))
    more.set()
    until(lambda: behind.grow("words", "d", compute)[0] == ["one", "two"])
    done.set()
    until(lambda: behind.grow("words", "d", compute)[1] == "whole")


def test_what_no_visitor_looks_at_any_more_is_stopped(monkeypatch):
    stopped = threading.Event()

    def forever(add):
        try:
            while True:
                add(0)
                time.sleep(0.005)
        except Cancelled:
            stopped.set()
            raise

    monkeypatch.setattr(behind, "visitor", lambda: "one")
    behind.grow("numbers", "e", forever)
    monkeypatch.setattr(behind, "visitor", lambda: "two")
    behind.grow("numbers", "e", forever)
    behind.grow("others", "f", lambda add: 1)
    assert not stopped.wait(0.1)  # the first visitor still looks at it
    monkeypatch.setattr(behind, "visitor", lambda: "one")
    behind.grow("others", "f", lambda add: 1)
    assert stopped.wait(10)


def page():
    import threading

    import streamlit as st

    from fishersft.ui import behind

    go = st.session_state.setdefault("go", threading.Event())
    behind.begin()
    found = behind.ready("an answer", ("page", id(go)), lambda: go.wait(10) and 42)
    st.write(f"the answer is {found}")
    behind.look_again()


def test_a_page_says_what_is_still_computed_and_is_drawn_again_when_it_is_there():
    at = AppTest.from_function(page).run()
    assert at.markdown[0].value == "the answer is None"
    assert at.caption[0].value == ":material/hourglass_top: Still computing: an answer."
    at.session_state["go"].set()
    until(lambda: at.run().markdown[0].value == "the answer is 42")
    assert not at.caption


def test_of_results_that_a_visitor_leaves_behind_only_the_last_is_computed():
    go, made = threading.Event(), []

    def compute(n):
        made.append(n)
        go.wait(10)
        return n

    def look(n):
        return behind.ready("a proof", ("proof", n), lambda: compute(n), "proof")

    assert look(1) is None
    until(lambda: made == [1])
    assert look(2) is None and look(3) is None
    go.set()
    until(lambda: look(3) == 3)
    assert made == [1, 3]
    until(lambda: look(2) == 2)  # asked for again, it is computed
