"""Widgets for declared parameters (`fields.py`): one at a time, or all parameters of a selector.

A selector's numbers and choices live in the address too.  Free text (a model, a server) does not: a link must not send a
corpus anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from fishersft.errors import ParameterError
from fishersft.fields import Declared, declared, parse
from fishersft.lessons import TERMS
from fishersft.selectors import Selector, registry
from fishersft.ui import query_widgets
from fishersft.ui.address import check_address, current
from fishersft.ui.components import helped

MOST_SEGMENTS = 5  # choices that stand side by side; more make a list


def parameter_fields(kind: type[Selector]) -> dict[str, Any]:
    """What the visitor chose for a selector's parameters, by name, one below the other; the defaults at first."""
    return {
        name: widget(
            kind,
            name,
            key=f"{kind.name}.{name}",
            linked=one.about.in_address and (one.type is not str or one.about.choices != ()),
        )
        for name, one in declared(kind).items()
    }


def selector_help(kind: type[Selector]) -> str:
    """A selector and what it is, in Markdown, with its lesson where it has one."""
    return helped(f"**{kind.label}**: {kind.summary}", *(kind.label,) if kind.label in TERMS else ())


def widget(kind: type, name: str, place: Any = st, *, key: str | None = None, linked: bool = False, **overrides: Any) -> Any:
    """Draw the widget of one parameter.

    Args:
        kind: the dataclass that declares it.
        place: a column or container, else the page.
        key: the widget's key, and its name in the address where it is linked.
        linked: whether the value lives in the address; needs a key.
        overrides: `value` replaces the default, `choices` the declared ones; everything else goes to Streamlit's widget
            (`label`, `help`, `step`, `disabled`, `placeholder`, `format_func`, ...).

    Returns:
        The value; for a parameter of many values the text of it, which `fields.parse` and `fields.make` read.
    """
    one = declared(kind)[name]
    value = overrides.pop("value", one.default)
    choices = overrides.pop("choices", one.about.choices)
    label = overrides.pop("label", f"{one.label} ({one.about.unit})" if one.about.unit else one.label)
    look: dict[str, Any] = {"key": key, "help": helped(one.about.help, *(one.name,) if one.name in TERMS else ()), **overrides}
    if linked:
        _check_link(kind, one, str(key), choices)
        look["bind"] = "query-params"
    if choices and len(choices) <= MOST_SEGMENTS:
        return query_widgets.one_of(label, choices, value, place, **look)
    if choices:
        return place.selectbox(label, choices, index=list(choices).index(value), **look)
    if one.type is bool:
        return bool(place.toggle(label, value, **look))
    if one.type in (int, float) and not one.many:
        asked = place.number_input(label, value=value, **_range(one), **look)
        return asked if asked is None else one.type(asked)
    text = ",".join(map(str, value)) if one.many else "" if value is None else str(value)
    return place.text_input(label, text, **{"max_chars": 300, **look}).strip()


def choose_selectors(usual: Sequence[str], help: str, *, rows_only: bool = False) -> list[str]:
    """Which of the selectors that reach no other machine are compared; with `rows_only`, of those that need no more than rows."""
    names = [
        name
        for name, kind in registry().items()
        if not (kind.reaches_out or (rows_only and (kind.reads_texts or kind.needs_target)))
    ]
    return st.multiselect("Selectors", names, list(usual), format_func=lambda name: str(registry()[name].label), help=help)


def selector_settings(place: Any) -> list[str]:
    """Parameters of the compared selectors, as `--set` takes them."""
    help = "SELECTOR.NAME=VALUE, separated by spaces."
    example = "token_od.sigma2=2 matched_od.ridge=0.01"
    return str(place.text_input("Selector settings", "", placeholder=example, max_chars=300, help=help)).split()


def _range(one: Declared) -> dict[str, Any]:
    """What the number field itself refuses, and how it shows numbers; an open end is left to the check of the class."""
    about = one.about
    if one.type is int:
        low = about.least if about.above is None else about.above + 1
        high = about.most if about.below is None else about.below - 1
        return {"min_value": low if low is None else int(low), "max_value": high if high is None else int(high), "step": 1}
    low = about.least if about.least is None else float(about.least)
    high = about.most if about.most is None else float(about.most)
    return {"min_value": low, "max_value": high, "step": None, "format": "%g"}


def _check_link(kind: type, one: Declared, key: str, choices: Sequence[str]) -> None:
    """Name on the page what a link asks for and cannot have."""

    def fits(text: str) -> bool:
        try:
            return one.about.holds(parse(kind, one.name, text))
        except ParameterError:
            return False

    if choices:
        check_address(current(), key, choices.__contains__, query_widgets.listed(choices))
    elif one.type is bool:
        query_widgets.check_switch(key)
    elif one.type in (int, float):
        check_address(current(), key, fits, one.what)
