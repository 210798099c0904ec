"""Nothing is said in terms that are not explained, nor by pictures or hovering alone; a first visitor is shown the way."""

import ast
import re

import pytest

from .conftest import ROOT
from .test_explore_page import button
from .test_pages import open_page, text_of

TERM = re.compile(r"log det|\bgain|leverage|best possible|criterion|covered|standard error|\blength\b|overlap|differs", re.I)
EXPLAINED = {
    "explore": {"ellipse", "returns", "sentences", "greedy", "imbalance", "criteria"},
    "compare": {"ellipse", "criteria", "greedy", "imbalance", "outlier", "sentences"},
    "curves": {"ellipse", "criteria", "imbalance", "sentences"},
    "corpus": {"ellipse", "sentences"},
    "generations": {"sentences", "imbalance"},
}


def explained(at):
    """(what is said, its help) of every tile, heading and control."""
    for kind in ("metric", "subheader", "markdown", "segmented_control", "number_input", "selectbox", "button_group"):
        for element in at.get(kind):
            said = getattr(element, "label", None) or getattr(element, "value", "") or ""
            yield kind, str(said), getattr(element.proto, "help", "") or ""


@pytest.mark.parametrize("page", EXPLAINED)
def test_tiles_and_headings_with_a_term_link_to_its_lesson(page):
    at = open_page(page, **({"record": "281", "sentences": "20"} if page == "explore" else {}))
    if page == "explore":
        at.session_state["why-more"] = "direction"
        at.run()
    found = list(explained(at))
    heads = [(said, help) for kind, said, help in found if kind in ("metric", "subheader")]
    assert not [said for said, help in heads if TERM.search(said) and "learn?" not in help]
    assert {name for _, _, help in found for name in re.findall(r"learn\?lesson=(\w+)", help)} >= EXPLAINED[page]


def test_every_chart_and_table_has_alternative_text():
    bare = []
    for path in (ROOT / "fishersft" / "ui").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(getattr(node, "func", None), "attr", "")
            charts = ("plotly_chart", "dataframe", "data_editor", "table", "line_chart", "bar_chart", "scatter_chart")
            owner = getattr(getattr(getattr(node, "func", None), "value", None), "id", "")
            if (
                name in charts
                and owner in ("st", "row", "place", "left", "right")
                and "alt" not in {k.arg for k in node.keywords}
            ):
                bare.append(f"{path.name}:{node.lineno} {name}")
    assert not bare


class TestGuide:
    def test_a_first_visitor_sees_three_steps_until_they_are_put_away(self):
        at = open_page()
        assert "New here?" in text_of(at)
        button(at, "Got it").click().run()
        assert "New here?" not in text_of(at)
        scripts = [e.proto.body for e in at.get("html") if "<script" in e.proto.body]
        assert len(scripts) == 1 and "fishersft_guide=read" in scripts[0]
        at.run()
        assert "New here?" not in text_of(at)
        assert not [e for e in at.get("html") if "<script" in e.proto.body]

    def test_who_looks_at_a_sentence_has_found_the_way(self):
        at = open_page(record="281")
        assert "New here?" not in text_of(at)
        at.session_state["fishersft"].record = None
        at.run()
        assert "New here?" not in text_of(at)
