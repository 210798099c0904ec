"""A comparison in plain words: what differs, with the numbers in it, each beside what chance gives.  Knows no screen."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from fishersft.scoring.criteria import BETTER, CRITERIA

if TYPE_CHECKING:
    from fishersft.scoring.comparison import Comparison, Row


def describe(found: Comparison) -> tuple[str, ...]:
    """Sentences for people, most telling first; every number is one of the comparison's own."""
    said = [_spent(found), _shared(found), _log_det(found), _length(found), _worst(found), _cover(found), _transfer(found)]
    return (*(s for s in said if s), "None of these numbers is yet a better fine-tuned model.")


def standing(value: float, row: Row, criterion: str) -> str:
    """Where a value stands to the random draws: "better than", "worse than" or "within" all of them; "" where it has no goal."""
    _, least, most = row.span(criterion)
    if criterion not in BETTER or not np.isfinite([value, least, most]).all():
        return ""
    if least <= value <= most:
        return "within"
    return "better than" if (value > most) == (BETTER[criterion] > 0) else "worse than"


def short(model: str) -> str:
    """A model's name for a sentence: the last part of a path, a hub id as it is."""
    return model.rstrip("/").rsplit("/", 1)[-1] if model.startswith((".", "/", "~")) else model


def number(value: float) -> str:
    """At most four digits, thousands separated."""
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"


def span(row: Row, criterion: str) -> str:
    """The range over draws, as "a to b"."""
    low, high = (number(v) for v in row.span(criterion)[1:])
    return low if low == high else f"{low} to {high}"


def _value(row: Row, criterion: str) -> float:
    return float(getattr(row.scores[0], criterion))


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _same(found: Comparison) -> Row:
    """The random draws of the budget that is equal."""
    return found.chance[0 if found.equal == "sentences" else 1]


def _spent(found: Comparison) -> str:
    first = next(r for r in found.chosen if r.name == found.reference).scores[0]
    other = "tokens" if found.equal == "sentences" else "sentences"
    each = [f"{_called(r)} {number(_value(r, other))}" for r in found.chosen]
    head = (
        f"All select {first.sentences:,} sentences; in trained tokens"
        if found.equal == "sentences"
        else f"All spend at most the {first.tokens:,} trained tokens of {_named(found, found.reference)}; in sentences"
    )
    return f"{head} that is {_listed(each)}, and {span(_same(found), other)} for {found.draws} random draws."


def _shared(found: Comparison) -> str:
    names = [r.name for r in found.chosen]
    if len(names) < 2:
        return ""
    a, b = names[:2]
    chance = found.shared_by_chance[a]
    taken = [f"{len(found.selections[n]):,}" for n in (a, b)]
    of = taken[0] if taken[0] == taken[1] else " and ".join(taken)
    out = (
        f"{_named(found, a)} and {_named(found, b)} share {found.shared(a, b):,} of their {of} picks; a random draw shares "
        f"{min(chance):,} to {max(chance):,} with {_named(found, a)}."
    )
    if len(names) > 2:
        overlap = found.overlap.to_dict()
        pairs = sorted(combinations(names, 2), key=lambda p: -overlap[p[0]][p[1]])
        (c, d), (e, f) = pairs[0], pairs[-1]
        out += (
            f" Most alike are {_named(found, c)} and {_named(found, d)} ({found.shared(c, d):,} shared), "
            f"least {_named(found, e)} and {_named(found, f)} ({found.shared(e, f):,})."
        )
    return out


def _log_det(found: Comparison) -> str:
    each = [
        f"{_called(r)} {number(_value(r, 'log_det'))} ({_against(r, found)})"
        for r in sorted(found.chosen, key=lambda r: -_value(r, "log_det"))
    ]
    out = f"log det gained, in nats, at equal {found.equal}: {_listed(each)}; random draws {span(_same(found), 'log_det')}."
    if found.equal == "sentences":
        row = next(r for r in found.chosen if r.name == found.reference)
        lead, honest = (_value(row, "log_det") - c.span("log_det")[0] for c in found.chance)
        out += (
            f" Random draws of as many tokens as {_called(row)} spends gain {span(found.chance[1], 'log_det')}: its lead over "
            f"the mean draw is {number(lead)} nats at equal sentences and {number(honest)} at equal tokens."
        )
    return out


def _against(row: Row, found: Comparison) -> str:
    words = standing(_value(row, "log_det"), _same(found), "log_det")
    return {"better than": "above all draws", "worse than": "below all draws"}.get(words, "within the draws")


def _length(found: Comparison) -> str:
    pool = found.pool
    each = [f"{_called(r)} {number(round(r.scores[0].tokens / r.scores[0].sentences, 1))}" for r in found.chosen]
    out = f"Trained tokens a sentence: {_listed(each)}; the pool {number(round(pool.tokens / pool.sentences, 1))}."
    if np.isfinite(pool.perplexity):
        each = [f"{_called(r)} {number(_value(r, 'perplexity'))}" for r in found.chosen]
        out += (
            f" Perplexity of the picks before any tuning: {_listed(each)}; random draws {span(_same(found), 'perplexity')}, "
            f"the pool {number(pool.perplexity)}."
        )
    return out


def _worst(found: Comparison) -> str:
    """Who does best in the worst case, and whether chance does as well."""
    parts = []
    for criterion in ("worst_leverage", "radius"):
        best = min(found.chosen, key=lambda r, c=criterion: _value(r, c))  # type: ignore[misc]
        words = standing(_value(best, criterion), _same(found), criterion)
        parts.append(
            f"{CRITERIA[criterion]} is least with {_called(best)}, {number(_value(best, criterion))}, {words} "
            f"{'the' if words == 'within' else 'all'} random draws ({span(_same(found), criterion)})"
        )
    text = "; ".join(parts)
    return f"In the worst case: {text}."


def _cover(found: Comparison) -> str:
    column, total = found.topic
    if not column:
        return ""
    each = [f"{_called(r)} {number(_value(r, 'topics'))}" for r in found.chosen]
    return f"Of {total} values of '{column}', covered: {_listed(each)}; random draws {span(_same(found), 'topics')}."


def _transfer(found: Comparison) -> str:
    if not found.score_model:
        return ""
    model, under = short(found.model), short(found.score_model)
    parts = []
    for away, home in zip(found.chosen, found.home, strict=True):
        a, h = found.selections[away.name].indices, found.at_home[home.name].indices
        parts.append(
            f"{_called(away)} gains {number(_value(away, 'log_det'))} nats where {under} itself would have gained "
            f"{number(_value(home, 'log_det'))}, and shares {len(np.intersect1d(a, h)):,} of {len(a):,} picks with it"
        )
    return f"Chosen by {model}, scored under {under}: {'; '.join(parts)}."


def _named(found: Comparison, name: str) -> str:
    return next(_called(r) for r in found.chosen if r.name == name)


def _called(row: Row) -> str:
    """A row's label inside a sentence, where a bare number may follow it."""
    return re.sub(r", seed (\d+)", r" (seed \1)", row.label)
