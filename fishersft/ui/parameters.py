"""A form for a selector's parameters, made from the fields of its class: a new selector needs no edit here.

Numbers and choices live in the address too.  Free text (a model, a server) does not: a link must not send a corpus anywhere.
"""

from __future__ import annotations

import re
from dataclasses import Field, fields
from typing import Any

import streamlit as st

from fishersft.lessons.catalogue import TERMS
from fishersft.selectors import Selector
from fishersft.ui import learn, query_widgets
from fishersft.ui.session import check_address, current


def parameters(kind: type[Selector], title: str = "Parameters") -> dict[str, Any]:
    """What the visitor chose, by name; the defaults at first."""
    known = fields(kind)
    if not known:
        return {}
    explained = explanations(kind)
    with st.popover(title, icon=":material/tune:", help=f"What {kind.label} can be told.", width="stretch"):
        return {field.name: _widget(kind, field, explained.get(field.name, "")) for field in known}


def explanations(kind: type[Selector]) -> dict[str, str]:
    """What the class' docstring says of each attribute."""
    _, _, listed = (kind.__doc__ or "").partition("Attributes:")
    found = re.findall(r"^ {8}([\w, ]+): (.*(?:\n {10,}.*)*)", listed, re.M)
    said = {names: " ".join(text.split()) for names, text in found}
    return {name: text[:1].upper() + text[1:] for names, text in said.items() for name in names.split(", ")}


def _widget(kind: type[Selector], field: Field[Any], help: str) -> Any:
    label, key, default = field.name.replace("_", " "), f"{kind.name}.{field.name}", field.default
    said = learn.helped(help, field.name) if field.name in TERMS else help
    options: dict[str, Any] = {"key": key, "help": said or None}
    choices = field.metadata.get("choices")
    if choices:
        return query_widgets.segmented(label, choices, key, default=str(default), help=said or None)
    if isinstance(default, bool):
        query_widgets.check_switch(key)
        return st.checkbox(label, default, bind="query-params", **options)
    if isinstance(default, int):
        check_address(current(), key, str.isdigit, "a whole number")
        return int(st.number_input(label, 0, None, default, 1, bind="query-params", **options))
    if isinstance(default, float):
        check_address(current(), key, query_widgets.is_number, "a number")
        return float(st.number_input(label, value=default, step=None, format="%g", bind="query-params", **options))
    return st.text_input(label, str(default), max_chars=300, **options)
