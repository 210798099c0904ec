"""Nothing is said in terms that are not explained, nor by pictures or hovering alone; a first visitor is shown the way."""

import ast
import re

import pytest

from .conftest import ROOT
from .test_pages import open_page

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
    for kind in ("metric", "header", "subheader", "markdown", "segmented_control", "number_input", "selectbox", "button_group"):
        for element in at.get(kind):
            said = getattr(element, "label", None) or getattr(element, "value", "") or ""
            yield kind, str(said), getattr(element.proto, "help", "") or ""


@pytest.mark.parametrize("page", EXPLAINED)
def test_tiles_and_headings_with_a_term_link_to_its_lesson(page):
    at = open_page(page, **({"record": "281", "sentences": "20", "part": "Numbers"} if page == "explore" else {}))
    if page == "explore":
        at.session_state["why-more-None"] = "direction"
        at.run()
    found = list(explained(at))
    for part in ("Criteria", "Lengths", "Topics") if page == "compare" else ():
        at.segmented_control(key="part").set_value(part).run()
        found += explained(at)
    heads = [(said, help) for kind, said, help in found if kind in ("metric", "header", "subheader")]
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
