"""A parameter is declared once, as a dataclass field; everything that names it is made from that declaration.

    @dataclass(frozen=True)
    class Training:
        epochs: int = parameter(3, "Passes over the examples.", least=1)
        precision: str = parameter("auto", "Number format of the forward pass.", choices=("auto", "float32", "bfloat16"))

        def __post_init__(self) -> None:
            check(self)

From it come the click option (`options`), the check with its one sentence (`check`), the value of a text (`parse`), the cache
key (`values`), the shown command line (`arguments`) and the shown Python (`call`).  The Streamlit widget is made in
`ui/parameters.py`.  Knows no parameter of its own and no screen.
"""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import click

from fishersft.errors import ParameterError

F = TypeVar("F", bound=Callable[..., Any])
MOST_SEED = 2**53 - 1  # the largest whole number that every reader of JSON keeps exact, and that a number field takes
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}


@dataclass(frozen=True)
class Parameter:
    """What is declared of a parameter, beside its name, type and default."""

    help: str  # one sentence, for the help page, the form and the reader of the code
    label: str = ""  # its name on screen; by default the field's name with spaces
    unit: str = ""  # of the value, such as "tokens"
    least: float | None = None  # ends of the range that are included
    most: float | None = None
    above: float | None = None  # ends of the range that are excluded
    below: float | None = None
    step: float | None = None  # between two values of a slider
    choices: tuple[str, ...] = ()  # the texts that it may be
    group: str = ""  # the heading under which a form shows it; "" for the first group
    metavar: str | None = None  # what a help page writes for the value
    in_address: bool = True  # whether a link may carry it; free text that opens files or servers must not travel in one
    shown_default: str = ""  # what a help page says of the default if the value itself would say too little

    @property
    def range(self) -> str:
        """The range in words, such as "above 0, up to 1"; "" where there is none."""
        if self.least is not None and self.most is not None:
            return f"from {self.least:g} to {self.most:g}"
        ends = {"above": self.above, "of at least": self.least, "below": self.below, "up to": self.most}
        return ", ".join(f"{words} {end:g}" for words, end in ends.items() if end is not None)

    def holds(self, value: float) -> bool:
        """Whether a number is in the range, and no larger than a float can be."""
        return (
            abs(value) <= sys.float_info.max
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


@dataclass(frozen=True)
class Declared:
    """A parameter as it stands in its class."""

    name: str
    type: type  # int, float, bool, str or Path; of one value if there are `many`
    default: Any
    optional: bool  # whether it may be None
    many: bool  # whether it is a tuple of such values, written with commas between them
    about: Parameter

    @property
    def label(self) -> str:
        return self.about.label or self.name.replace("_", " ").capitalize()

    @property
    def option(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def what(self) -> str:
        """What a value must be, in words, such as "a whole number of at least 1"."""
        if self.about.choices:
            *most, last = self.about.choices
            return f"{', '.join(most)} or {last}" if most else last
        kind = f"{KINDS[self.type].split(' ', 1)[1]}s separated by commas" if self.many else KINDS[self.type]
        kind = kind if self.many or not self.about.range else f"{kind} {self.about.range}"
        return f"{kind} ({self.about.unit})" if self.about.unit else kind


def parameter(default: Any, help: str, **about: Any) -> Any:
    """A dataclass field that declares a parameter; `about` are the attributes of `Parameter`."""
    return dataclasses.field(default=default, metadata={"parameter": Parameter(help, **about)})


def declared(kind: type) -> Mapping[str, Declared]:
    """The parameters of a dataclass by name, in order; fields that declare nothing are left out."""
    return _declared(kind)


@cache
def _declared(kind: Any) -> Mapping[str, Declared]:
    hints = get_type_hints(kind)
    found = {}
    for field in dataclasses.fields(kind):
        about = field.metadata.get("parameter")
        if about is None:
            continue
        hint, optional = hints[field.name], False
        if get_origin(hint) in (Union, types.UnionType):
            optional = type(None) in get_args(hint)
            hint = next(h for h in get_args(hint) if h is not type(None))
        many = get_origin(hint) is tuple
        found[field.name] = Declared(field.name, get_args(hint)[0] if many else hint, field.default, optional, many, about)
    return types.MappingProxyType(found)


def check(owner: Any, name: str = "") -> None:
    """Check every declared parameter of a dataclass instance; ParameterError for the first that does not fit.

    The sentence says whose parameter it is: `name`, or the class attribute `name` if there is one.
    """
    whose = name or getattr(owner, "name", "")
    for key, one in declared(type(owner)).items():
        value = getattr(owner, key)
        if value is None and one.optional:
            continue
        if one.many != isinstance(value, tuple) or not all(_fits(one, item) for item in (value if one.many else [value])):
            raise _refusal(one, value, whose)


def _fits(one: Declared, value: Any) -> bool:
    if one.type is bool or isinstance(value, bool):
        return one.type is bool and isinstance(value, bool)
    if one.type is int:
        return hasattr(value, "__index__") and one.about.holds(int(value)) and not _too_large(value)
    if one.type is float:
        return hasattr(value, "__float__") and not isinstance(value, str) and one.about.holds(value)
    if one.type is str:
        return isinstance(value, str) and (not one.about.choices or value in one.about.choices)
    return isinstance(value, one.type)


def _too_large(value: Any) -> bool:
    """Whether a whole number is larger than what every library takes."""
    return hasattr(value, "__index__") and abs(int(value)) > MOST_SEED


def _refusal(one: Declared, value: Any, whose: str) -> ParameterError:
    of = f" of '{whose}'" if whose else ""
    end = f", up to {MOST_SEED}" if one.about.most is None and _too_large(value) else ""
    return ParameterError(f"The parameter '{one.name}'{of} must be {one.what}{end}, not {value!r}.")


def parse(kind: type, name: str, text: Any, whose: str = "") -> Any:
    """Parse the text of a parameter, or raise ParameterError; a value that is not text is returned as it is."""
    one = declared(kind)[name]
    if not isinstance(text, str) or (one.type is str and not one.many):
        return text
    try:
        if one.many:
            return _listed(one, text)
        if one.type is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.strip().lower()]
        return one.type(text)
    except (ValueError, KeyError) as error:
        raise _refusal(one, text, whose or getattr(kind, "name", "")) from error


def _listed(one: Declared, text: str) -> tuple[Any, ...]:
    return tuple(one.type(part.strip()) for part in text.split(",") if part.strip())


def make(kind: type, given: Mapping[str, Any], whose: str = "") -> Any:
    """An instance from values or texts by name; ParameterError if a name is unknown or a value does not fit."""
    known, whose = declared(kind), whose or getattr(kind, "name", "")
    for key in given:
        if key not in known:
            there = f"it has {', '.join(known)}" if known else "it has none"
            raise ParameterError(f"'{whose}' has no parameter '{key}'; {there}.")
    return kind(**{key: parse(kind, key, value, whose) for key, value in given.items()})


def values(owner: Any) -> dict[str, Any]:
    """Every declared parameter by name, as values that JSON can hold, for a cache key or a manifest."""
    return {name: _plain(getattr(owner, name)) for name in declared(type(owner))}


def changed(owner: Any) -> dict[str, Any]:
    """The declared parameters that are not at their defaults."""
    return {name: getattr(owner, name) for name, one in declared(type(owner)).items() if getattr(owner, name) != one.default}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def arguments(owner: Any, *, without: Iterable[str] = ()) -> list[str]:
    """The command-line options that make this instance; those at their defaults are left out."""
    out: list[str] = []
    for name, value in changed(owner).items():
        option = declared(type(owner))[name].option
        if name in without:
            continue
        if isinstance(value, bool):
            out.append(option if value else option.replace("--", "--no-", 1))
        elif isinstance(value, tuple):
            out += [option, ",".join(map(str, value))]
        else:
            out += [option, f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)]
    return out


def flags(options: Iterable[tuple[str, str]]) -> list[str]:
    """Options by name with their texts, as the command line takes them; an empty text is that of a switch."""
    return [word for name, value in options for word in (f"--{name.replace('_', '-')}", value) if word]


def call(owner: Any, prefix: str = "fishersft.") -> str:
    """The Python expression that makes this instance again, such as "fishersft.Training(epochs=5)"."""
    return f"{prefix}{type(owner).__name__}({', '.join(f'{name}={value!r}' for name, value in changed(owner).items())})"


def options(kind: type, *, only: Sequence[str] = (), without: Sequence[str] = (), **defaults: Any) -> Callable[[F], F]:
    """A decorator that adds a click option for every declared parameter (or `only` some, or all `without` some).

    Values arrive parsed under the parameters' names; the class checks their range.  `defaults` replace declared defaults.
    """

    def decorate(command: F) -> F:
        for name, one in reversed(list(declared(kind).items())):
            if (not only or name in only) and name not in without:
                command = _option(one, defaults.get(name, one.default))(command)
        return command

    return decorate


def _option(one: Declared, default: Any) -> Callable[[F], F]:
    about = one.about
    if one.type is bool:
        flags = f"{one.option}/--no-{one.option[2:]}" if default else one.option
        return click.option(flags, one.name, is_flag=True, default=default, help=about.help)
    kind: Any = click.Choice(about.choices) if about.choices else _Texts(one) if one.many else one.type
    if kind is Path:
        kind = click.Path(path_type=Path)
    empty = default is None or default in ("", ())
    said: bool | str = about.shown_default or (False if empty else ",".join(map(str, default)) if one.many else True)
    return click.option(
        one.option, one.name, type=kind, default=default, show_default=said, metavar=about.metavar, help=about.help
    )


class _Texts(click.ParamType):
    """Values separated by commas."""

    name = "list"

    def __init__(self, one: Declared) -> None:
        self.one = one

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return _listed(self.one, str(value))
        except ValueError:
            raise ParameterError(f"{self.one.option} takes {self.one.what}, for example 50,100,200, not '{value}'.") from None
