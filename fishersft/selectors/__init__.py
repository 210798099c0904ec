"""The registry of selectors.

A `Selector` subclass in a module of this folder is registered by being there; another package names its class in the
entry-point group `fishersft.selectors`.  The names below are loaded when they are first used, so that commands can be
declared without torch.
"""

from __future__ import annotations

import inspect
import logging
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from fishersft.errors import ParameterError
from fishersft.fields import declared, make

if TYPE_CHECKING:
    from fishersft.design.greedy import Pick
    from fishersft.selectors.base import Selector
    from fishersft.selectors.pool import Pool
    from fishersft.selectors.selection import Budget, Doing, Note, Order, Selection

HOME = {
    "Selector": f"{__name__}.base",
    "Pool": f"{__name__}.pool",
    "Pick": "fishersft.design.greedy",
    **dict.fromkeys(("Budget", "Doing", "Note", "Order", "Selection"), f"{__name__}.selection"),
}  # the module of each name
__all__ = [
    "BASELINE",
    "DEFAULT_SELECTOR",
    "Budget",
    "Doing",
    "Note",
    "Order",
    "Pick",
    "Pool",
    "Selection",
    "Selector",
    "criterion_of",
    "find_selector",
    "make_selector",
    "make_selectors",
    "registry",
]

DEFAULT_SELECTOR = "token_od"
BASELINE = "uniform"
GROUP = "fishersft.selectors"
log = logging.getLogger(__name__)


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(HOME[name]), name)


@lru_cache(maxsize=1)
def registry() -> Mapping[str, type[Selector]]:
    """Every selector by name: ours first, in a reader's order, then those of other packages."""
    base: type[Selector] = import_module(f"{__name__}.base").Selector
    found: dict[str, type[Selector]] = {}
    for module in pkgutil.iter_modules(__path__):
        for _, kind in inspect.getmembers(import_module(f"{__name__}.{module.name}"), inspect.isclass):
            if issubclass(kind, base) and hasattr(kind, "name") and kind.__module__.endswith(f".{module.name}"):
                found[kind.name] = kind
    ours = dict(sorted(found.items(), key=lambda item: (item[1].place, item[0])))
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        try:
            kind = point.load()
            if not (inspect.isclass(kind) and issubclass(kind, base)):
                raise TypeError(f"{point.value} is not a Selector")
            if bare := {f.name for f in fields(kind)} - declared(kind).keys():
                raise TypeError(f"declare {', '.join(sorted(bare))} with fishersft.parameter(default, help)")
            ours.setdefault(kind.name, kind)
        except Exception as error:  # a stranger's broken package must not take ours down
            log.warning("the selector '%s' (%s) could not be loaded: %s", point.name, point.value, error)
    return ours


def find_selector(name: str) -> type[Selector]:
    """The class of a selector; ParameterError names those there are."""
    if name not in registry():
        raise ParameterError(f"There is no selector '{name}'; there are: {', '.join(registry())}.")
    return registry()[name]


def criterion_of(name: str) -> str | None:
    """What a selector's rule is greedy for; None for one that draws, or that is not registered."""
    return registry()[name].criterion or None if name in registry() else None


def make_selector(name: str, parameters: Mapping[str, Any] | None = None) -> Selector:
    """A selector with its parameters, given as values or as text; ParameterError if one is unknown or does not fit."""
    if not isinstance(parameters or {}, Mapping):
        raise ParameterError(f"A selector's parameters are names with values, not {parameters!r}.")
    selector: Selector = make(find_selector(name), parameters or {})
    return selector


def make_selectors(names: Sequence[str], settings: Sequence[str] = ()) -> list[Selector]:
    """Selectors by name, with parameters as texts SELECTOR.NAME=VALUE; ParameterError as `make_selector`."""
    given: dict[str, dict[str, str]] = {name: {} for name in names}
    for setting in settings:
        left, equals, value = setting.partition("=")
        selector, dot, name = left.strip().partition(".")
        if not (equals and dot and name and value):
            raise ParameterError(f"--set takes SELECTOR.NAME=VALUE, for example token_od.sigma2=1.0, not '{setting}'.")
        if selector not in given:
            raise ParameterError(f"--set {setting}: '{selector}' is not among the selectors compared: {', '.join(names)}.")
        given[selector][name] = value
    return [make_selector(name, given[name]) for name in names]
