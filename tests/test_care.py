"""Every control says what it is for, and every chart and table what is to be seen."""

import ast

from .conftest import ROOT

CONTROLS = {"slider", "selectbox", "number_input", "text_input", "text_area", "segmented_control", "toggle", "checkbox", "radio"}
CONTROLS |= {"multiselect", "file_uploader", "segmented", "select"}  # the last two are of ui/bound.py
PICTURES = {"plotly_chart", "dataframe", "data_editor"}


def calls_without(names, word):
    """Where a call of one of these names lacks a keyword; one that passes on keywords of its caller's is not judged."""
    lacking = []
    for path in sorted((ROOT / "fishersft" / "ui").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = getattr(node.func, "attr", "") if isinstance(node, ast.Call) else ""
            if called not in names or any(keyword.arg in (word, None) for keyword in node.keywords):
                continue
            if word != "help" or not any(ast.unparse(keyword.value) == "'collapsed'" for keyword in node.keywords):
                lacking.append(f"{path.name}:{node.lineno} {called}")  # beside a label that is not shown no help would be either
    return lacking


def test_every_control_has_a_help_beside_it():
    assert calls_without(CONTROLS, "help") == []


def test_every_chart_and_table_has_an_alternative_text():
    assert calls_without(PICTURES, "alt") == []
