"""Every view reopens from its address, and what an address asks for in vain is named on the page."""

import ast
import json
import time

import pytest
from streamlit.testing.v1 import AppTest

from fishersft.selectors import registry
from fishersft.ui.address import CROSSING, OURS, PAGES, AddressBar, whole

from .conftest import ROOT
from .test_pages import open_page, text_of

BAD = [
    *[("explore", bad) for bad in (
        {"selector": "magic"}, {"unit": "miles"}, {"sentences": "5000"}, {"seed": "-1"}, {"colour": "mood"}, {"map": "globe"},
        {"record": "x1"}, {"token_od.sigma2": "much"}, {"log": "maybe"}, {"view": "x"}, {"view": "player", "across": "99"},
        {"view": "player", "up": "0"}, {"across": "99"}, {"up": "x"}, {"pin": "3"}, {"exclude": "99999"}, {"q": "secret"}, {"token_od.sigma3": "2"}, {"budget": "7"},
    )],
    *[("corpus", bad) for bad in ({"record": "x1"}, {"split_on": "comma"}, {"holdout": "lots"}, {"text_column": "nope"}, {"skip_bad": "maybe"})],
    *[("compare", bad) for bad in (
        {"selectors": "magic,uniform"}, {"equal": "miles"}, {"seed": "-1"}, {"budget": "5000"}, {"token_od.sigma2": "much"}, {"log": "maybe"}, {"rows": "some"}, {"maps": "x"},
    )],
    *[("curves", bad) for bad in (
        {"experiment": "Magic"}, {"result": "nothing"}, {"equal": "miles"}, {"measure": "mood"}, {"n": "7"}, {"picture": "gif"},
        {"logarithmic": "maybe"}, {"guides": "maybe"},
        # of controls that are not drawn there
        *({"result": "sweep", "n": "soon"}, {"result": "sweep", "guides": "maybe"}, {"experiment": "Synthetic", "equal": "miles"}),
        *({"experiment": "Fast against slow", key: "mood"} for key in ("n", "guides", "equal", "measure", "picture")),
    )],
    *[("learn", bad) for bad in ({"lesson": "magic"}, {"lesson": "ellipse", "points": "zzz"}, {"lesson": "returns", "record": "x1"})],
    *[("generations", bad) for bad in ({"section": "Magic"}, {"run": "ffff"})],
    *[("runs", bad) for bad in (
        {"show": "magic"}, {"job": "ffff"}, {"run": "ffff"}, {"finetuned": "ffff"}, {"result": "nothing"},
    )],
    *[(page, {"budgt": "3"}) for page in PAGES],
]  # fmt: skip


@pytest.mark.parametrize(("page", "bad"), BAD, ids=lambda v: v if isinstance(v, str) else "-".join(v))
def test_a_bad_or_stale_parameter_is_named_on_its_page(page, bad):
    at = open_page(page, **bad)
    said = " ".join(e.value for e in [*at.warning, *at.error, *at.caption]).replace("\\", "")
    assert list(bad.values())[-1] in said


NUMBERS = {  # what a page reads as whole numbers
    "explore": ("record", "pin", "exclude", "seed", "sentences", "length", "across", "up"),
    "compare": ("budget", "seed"),
    "curves": ("n",),
}


@pytest.mark.parametrize("digits", ["²", "²-²", "\u0663", "9" * 5_000], ids=["superscript", "range", "Arabic", "5,000 digits"])
@pytest.mark.parametrize("page", NUMBERS)
def test_digits_that_are_no_whole_number_are_named_on_their_page(page, digits):
    at = open_page(page, **dict.fromkeys(NUMBERS[page], digits))
    said = " ".join(w.value for w in at.warning).replace("\\", "")
    assert [key for key in NUMBERS[page] if f"{key} {digits[:20]}" not in said] == []


def test_a_whole_number_is_written_in_ascii_digits_and_fits_an_array():
    assert [whole(text) for text in ("0", "007", "9" * 18)] == [0, 7, 10**18 - 1]
    assert {whole(text) for text in ("", "-1", "+1", "1_0", " 1", "1\n", "1.0", "²", "\u0663", "1" * 19, "9" * 5_000)} == {None}
    assert [whole(text, 2, 4) for text in "12345"] == [None, 2, 3, 4, None]


def test_a_row_of_options_that_is_sent_empty_gives_the_usual_one():
    def page():
        import streamlit as st

        from fishersft.ui.query_widgets import one_of

        st.text(one_of("Letter", ["a", "b", "c"], "b", key="letter"))

    at = AppTest.from_function(page).run()
    for sent, given in (("c", "c"), (None, "b"), ("a", "a")):
        at.segmented_control(key="letter").set_value(sent).run()
        assert (at.exception, at.text[0].value) == ([], given)
    drawn = [path.stem for path in (ROOT / "fishersft").rglob("*.py") if ".segmented_control(" in path.read_text("utf-8")]
    assert sorted(drawn) == ["panels", "query_widgets"]  # the first: a lesson's pictures, whose choice the lesson holds


def test_a_parameter_of_another_page_is_named_with_that_page_and_goes_when_it_is_read():
    at = open_page(budget="7")
    assert "read by Compare, not here" in at.warning[0].value
    at.button(key="dismiss").click().run()
    assert not at.warning
    assert "budget" not in at.query_params


def test_a_click_counts_though_the_browser_has_not_our_last_writing_yet():
    at = open_page("learn", lesson="line", present="true")
    before = dict(at.query_params)
    for step in (1, 2, 3):
        for name in list(at.query_params):
            del at.query_params[name]
        for name, value in before.items():
            at.query_params[name] = value
        at.button(key="present-next").click().run()
        assert at.query_params["step"] == str(step)


def test_an_address_that_stood_a_moment_ago_is_no_news_and_later_it_is(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    known = AddressBar({"record": "1"})
    known.write({"record": "2"})
    assert [known.news({"record": one}) for one in "123"] == [False, False, True]
    now += CROSSING
    assert [known.news({"record": one}) for one in "123"] == [True, False, True]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_reads_no_parameter_that_its_list_does_not_hold(page):
    at = open_page(page)
    state = at.session_state
    read = state["fishersft_read"] if "fishersft_read" in state else set()  # noqa: SIM401, it has no get
    own = {name for name in read if name.partition(".")[0] not in registry()}
    assert own <= PAGES[page] | set(OURS)


def test_no_control_is_bound_to_the_address_without_a_check():
    bare = []
    for path in (ROOT / "fishersft" / "ui").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            binds = [call for call in calls if any(word.arg == "bind" for word in call.keywords)]
            names = {getattr(call.func, "id", getattr(call.func, "attr", "")) for call in calls}
            if binds and not names & {"check_address", "check_switch"}:
                bare.append(f"{path.name}: {function.name}")
    assert not bare


def test_how_the_demo_is_read_reopens_from_its_address():
    at = open_page("corpus", holdout="0.2")
    assert "278 held out" in " ".join(m.delta for m in at.metric)
    assert at.query_params["holdout"] == ["0.2"] or at.query_params["holdout"] == "0.2"


def test_a_link_with_a_bad_parameter_keeps_its_good_ones():
    at = open_page(sentences="33", unit="sentences", colour="mood")
    assert "the 33 picks of TokenOD" in text_of(at)


def test_the_camera_of_every_page_saves_what_was_chosen_once():
    def cameras(at):
        configs = [json.loads(c.proto.config) for c in at.get("plotly_chart")]
        return {c["toImageButtonOptions"]["format"] for c in configs if "toImageButtonOptions" in c}

    at = open_page("curves", picture="svg")
    assert cameras(at) == {"svg"}
    at.switch_page("pages/compare.py").run()
    assert cameras(at) == {"svg"}
    assert cameras(open_page("compare")) == {"png"}


@pytest.mark.slow
def test_a_link_that_pins_what_is_not_in_the_pool_keeps_the_rest():
    at = open_page(pin="3,5", exclude="902", sentences="20")  # 3 is held out
    assert "pin 3" in at.warning[0].value.replace("\\", "")
    assert at.query_params["pin"] in ("5", ["5"])
    assert not at.error
