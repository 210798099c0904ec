"""Controls whose value is in the address, each with its check: what a link asks for and cannot have is named on the page.

    kind = bound.segmented("Map", ("UMAP", "PCA"), "map", help="...", place=column)
    log = bound.toggle("Log axes", "log")

Streamlit drops an address value that a widget does not take without a word, so no page draws a bound widget without a check.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

import streamlit as st

from fishersft.selectors import registry
from fishersft.ui.address import check_address, current, whole
from fishersft.ui.session import public

MOST_SEED = 10**6 - 1


def listed(options: Iterable[Any]) -> str:
    """What could have been asked for."""
    words = [str(option) for option in options]
    return " or ".join(words) if len(words) == 2 else ", ".join(words)


def segmented(
    label: str, options: Sequence[str], key: str, *, default: str | None = None, place: Any = st, says: str = "", **look: Any
) -> str:
    """One of a few options in a row; the first one unless `default` says otherwise.

    Args:
        place: a column or container, else the page.
        says: what could have been asked for, where the options themselves are too many to list.
        look: what `st.segmented_control` is told besides.
    """
    check_address(current(), key, options.__contains__, says or listed(options))
    usual = options[0] if default is None else default
    return str(one_of(label, options, usual, place, key=key, bind="query-params", **look))


def one_of(label: str, options: Sequence[Any], usual: Any, place: Any = st, **look: Any) -> Any:
    """One of a few options in a row, outside the address unless bound to it; the usual one where a browser or a link sends an
    empty choice, which `required` keeps only a click from making."""
    chosen = place.segmented_control(label, options, default=usual, required=True, **look)
    return usual if chosen is None else chosen


def select(label: str, options: Sequence[Any], key: str, *, place: Any = st, says: str = "", **look: Any) -> Any:
    """One of many options; those of a selection box without `format_func`."""
    check_address(current(), key, [str(option) for option in options].__contains__, says or listed(options))
    return place.selectbox(label, options, key=key, bind="query-params", **look)


def toggle(label: str, key: str, default: bool = False, *, place: Any = st, **look: Any) -> bool:
    """On or off."""
    check_switch(key)
    return bool(place.toggle(label, default, key=key, bind="query-params", **look))


def check_switch(key: str) -> None:
    """Name what the address asks of a switch that is drawn elsewhere, or not at all."""
    check_address(current(), key, lambda v: v.lower() in ("true", "false"), "true or false")


def slide(label: str, low: int, high: int, value: int, key: str, help: str) -> int:
    """A whole number from low to high; these may be one and the same, which no slider is."""
    check_address(current(), key, lambda v: whole(v, low, high) is not None, f"{low:,} to {high:,}")
    top = max(high, low + 1)
    asked = st.slider(label, low, top, value, 1, key=key, format="localized", bind="query-params", help=help)
    return min(high, int(asked))


def seed(place: Any, help: str, disabled: bool = False) -> int:
    """The seed of what is drawn at random."""
    check_address(current(), "seed", lambda v: whole(v, 0, MOST_SEED) is not None, f"0 to {MOST_SEED:,}")
    bind: Any = "query-params" if whole(st.query_params.get("seed", "0")) is not None else None  # Streamlit fails at 1e999
    asked = place.number_input("Seed", 0, MOST_SEED, 0, key="seed", bind=bind, disabled=disabled, help=help)
    return int(asked)


def offered(*, aimed: bool = False) -> list[str]:
    """Names of the selectors that this visitor may use; `aimed`: there is a target, without which some cannot choose."""
    mine = {name: kind for name, kind in registry().items() if not (public() and kind.reaches_out)}
    return [name for name, kind in mine.items() if aimed or not kind.needs_target]


def is_number(text: str) -> bool:
    """Whether an address value is a finite number."""
    try:
        return isfinite(float(text))
    except ValueError:
        return False
