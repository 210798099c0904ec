"""Every view reopens from its address, and what an address asks for in vain is named on the page."""

import json

import pytest

from .test_pages import open_page, tiles

BAD = [
    *[("explore", bad) for bad in (
        {"selector": "magic"}, {"unit": "miles"}, {"sentences": "5000"}, {"seed": "-1"}, {"colour": "mood"}, {"map": "globe"},
        {"record": "x1"}, {"token_od.sigma2": "much"},
    )],
    *[("corpus", bad) for bad in ({"record": "x1"}, {"split_on": "comma"}, {"holdout": "lots"}, {"text_column": "nope"}, {"skip_bad": "maybe"})],
    *[("compare", bad) for bad in (
        {"selectors": "magic,uniform"}, {"equal": "miles"}, {"seed": "-1"}, {"budget": "5000"}, {"token_od.sigma2": "much"},
    )],
    *[("curves", bad) for bad in (
        {"experiment": "Magic"}, {"result": "nothing"}, {"equal": "miles"}, {"measure": "mood"}, {"n": "7"}, {"picture": "gif"},
        {"logarithmic": "maybe"}, {"guides": "maybe"},
    )],
    *[("learn", bad) for bad in ({"lesson": "magic"}, {"lesson": "ellipse", "points": "zzz"}, {"lesson": "returns", "record": "x1"})],
    *[("generations", bad) for bad in ({"section": "Magic"}, {"run": "ffff"})],
    *[("runs", bad) for bad in (
        {"show": "magic"}, {"job": "ffff"}, {"run": "ffff"}, {"finetuned": "ffff"}, {"result": "nothing"},
    )],
]  # fmt: skip


@pytest.mark.parametrize(("page", "bad"), BAD, ids=lambda v: v if isinstance(v, str) else "-".join(v))
def test_a_bad_or_stale_parameter_is_named_on_its_page(page, bad):
    at = open_page(page, **bad)
    said = " ".join(e.value for e in [*at.warning, *at.error, *at.caption]).replace("\\", "")
    assert list(bad.values())[-1] in said


def test_how_the_demo_is_read_reopens_from_its_address():
    at = open_page("corpus", holdout="0.2")
    assert "278 held out" in " ".join(m.delta for m in at.metric)
    assert at.query_params["holdout"] == ["0.2"] or at.query_params["holdout"] == "0.2"


def test_a_link_with_a_bad_parameter_keeps_its_good_ones():
    at = open_page(sentences="33", unit="sentences", colour="mood")
    assert tiles(at)["Selected"] == "33 of 1,250"


def test_the_camera_of_every_page_saves_what_was_chosen_once():
    def cameras(at):
        configs = [json.loads(c.proto.config) for c in at.get("plotly_chart")]
        return {c["toImageButtonOptions"]["format"] for c in configs if "toImageButtonOptions" in c}

    at = open_page("curves", picture="svg")
    assert cameras(at) == {"svg"}
    at.switch_page("pages/compare.py").run()
    assert cameras(at) == {"svg"}
    assert cameras(open_page("compare")) == {"png"}
