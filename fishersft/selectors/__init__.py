"""Selectors: one file each, found by themselves.

A module in this folder that defines a `Selector` subclass is registered by being there; a package of a stranger's joins
through the entry-point group `fishersft.selectors` (the entry point names the class).  Nothing else needs an edit.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

from fishersft.errors import ParameterError
from fishersft.selectors.base import Selector
from fishersft.selectors.pool import Pool
from fishersft.selectors.selection import Budget, Doing, Note, Order, Pick, Selection

__all__ = [
    "Budget",
    "Doing",
    "Note",
    "Order",
    "Pick",
    "Pool",
    "Selection",
    "Selector",
    "find_selector",
    "make_selector",
    "registry",
]

GROUP = "fishersft.selectors"
log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def registry() -> Mapping[str, type[Selector]]:
    """Every selector by name: ours first, in a reader's order, then those of other packages."""
    found: dict[str, type[Selector]] = {}
    for module in pkgutil.iter_modules(__path__):
        for _, kind in inspect.getmembers(importlib.import_module(f"{__name__}.{module.name}"), inspect.isclass):
            if issubclass(kind, Selector) and hasattr(kind, "name") and kind.__module__.endswith(f".{module.name}"):
                found[kind.name] = kind
    ours = dict(sorted(found.items(), key=lambda item: (item[1].place, item[0])))
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        try:
            kind = point.load()
            if not (inspect.isclass(kind) and issubclass(kind, Selector)):
                raise TypeError(f"{point.value} is not a Selector")
            ours.setdefault(kind.name, kind)
        except Exception as error:  # a stranger's broken package must not take ours down
            log.warning("the selector '%s' (%s) could not be loaded: %s", point.name, point.value, error)
    return ours


def find_selector(name: str) -> type[Selector]:
    """The class of a selector; ParameterError names those there are."""
    if name not in registry():
        raise ParameterError(f"There is no selector '{name}'; there are: {', '.join(registry())}.")
    return registry()[name]


def make_selector(name: str, parameters: Mapping[str, Any] | None = None) -> Selector:
    """A selector with its parameters, given as values or as text (from a command line or an address)."""
    kind = find_selector(name)
    if not isinstance(parameters or {}, Mapping):
        raise ParameterError(f"A selector's parameters are names with values, not {parameters!r}.")
    known = {f.name: f for f in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in (parameters or {}).items():
        if key not in known:
            there = f"it has {', '.join(known)}" if known else "it has none"
            raise ParameterError(f"The selector '{name}' has no parameter '{key}'; {there}.")
        values[key] = _parsed(name, key, value, known[key].default)
    return kind(**values)


def _parsed(name: str, key: str, value: Any, default: Any) -> Any:
    if not isinstance(value, str) or default is MISSING or isinstance(default, str):
        return value
    try:
        if isinstance(default, bool):
            return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
        return type(default)(value)
    except (ValueError, KeyError) as error:
        kind = {"float": "a number", "int": "a whole number", "bool": "true or false"}.get(type(default).__name__, "?")
        raise ParameterError(f"The parameter '{key}' of '{name}' must be {kind}, not '{value}'.") from error
