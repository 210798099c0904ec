"""A comparison in plain words and as JSON: what differs, with the numbers in it, each beside random draws.  Knows no screen."""

from __future__ import annotations

import re
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from fishersft.scoring.comparison import Comparison, Row, short
from fishersft.scoring.criteria import BETTER, CRITERIA, Scores
from fishersft.selectors import criterion_of
from fishersft.text import listed


def comparison_sentences(found: Comparison) -> tuple[str, ...]:
    """Sentences for people, most telling first; every number is one of the comparison's own."""
    said = [part(found) for part in (_spent, _shared, _log_det, _length, _worst, _aimed, _cover, _transfer)]
    return (*filter(None, said), "None of these numbers is yet a better fine-tuned model.")


def comparison_summary(found: Comparison) -> dict[str, Any]:
    """A comparison for JSON; a criterion without a value is null."""
    rows = []
    for row in found.rows:
        line: dict[str, Any] = {"selector": row.name or None, "label": row.label, "chosen_by": row.model or None}
        if row.selection is not None:
            order = row.selection.order
            line |= {"parameters": row.selection.parameters, "notes": order.notes, "criterion": criterion_of(row.name)}
            line["seconds"] = round(float(order.seconds[-1]), 3)
        rows.append({**line, "scores": [_plain(s) for s in row.scores]})
    names = ("corpus", "model", "score_model", "equal", "reference", "seed", "draws", "sigma2")
    return {
        **{name: getattr(found, name) for name in names},
        "score_model": found.score_model or None,
        "target": found.target or None,
        "topic_column": found.topic[0] or None,
        "topics_in_pool": found.topic[1] or None,
        "rows": rows,
        "pool": _plain(found.pool),
        "overlap": found.overlap.to_dict(),
        "shared_by_chance": {name: list(counts) for name, counts in found.shared_by_chance.items()},
        "summary": list(comparison_sentences(found)),
    }


def _plain(scores: Scores) -> dict[str, Any]:
    return {name: None if np.isnan(value) else value for name, value in asdict(scores).items()}


def standing(value: float, row: Row, criterion: str) -> str:
    """How a value compares with the random draws: "better than", "worse than" or "within" them; "" without a goal."""
    _, least, most = row.span(criterion)
    if criterion not in BETTER or not np.isfinite([value, least, most]).all():
        return ""
    if least <= value <= most:
        return "within"
    return "better than" if (value > most) == (BETTER[criterion] > 0) else "worse than"


def number(value: float) -> str:
    """At most four digits, thousands separated."""
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"


def span(row: Row, criterion: str) -> str:
    """The range over draws, as "a to b"."""
    low, high = (number(v) for v in row.span(criterion)[1:])
    return low if low == high else f"{low} to {high}"


def _each(found: Comparison, criterion: str) -> str:
    """Every selector with its value."""
    return listed([f"{_called(r)} {number(r.value(criterion))}" for r in found.chosen.values()])


def _spent(found: Comparison) -> str:
    first = found.row().scores[0]
    other = "tokens" if found.equal == "sentences" else "sentences"
    head = (
        f"All select {first.sentences:,} sentences; in trained tokens"
        if found.equal == "sentences"
        else f"All spend at most the {first.tokens:,} trained tokens of {_called(found.row())}; in sentences"
    )
    return f"{head} that is {_each(found, other)}, and {span(found.baseline(), other)} for {found.draws} random draws."


def _shared(found: Comparison) -> str:
    names = list(found.chosen)
    if len(names) < 2:
        return ""
    a, b = names[:2]
    called = {name: _called(row) for name, row in found.chosen.items()}
    chance = found.shared_by_chance[a]
    taken = dict.fromkeys(f"{found.row(n).scores[0].sentences:,}" for n in (a, b))
    out = (
        f"{called[a]} and {called[b]} share {found.shared(a, b):,} of their {' and '.join(taken)} picks; a random draw shares "
        f"{min(chance):,} to {max(chance):,} with {called[a]}."
    )
    if len(names) > 2:
        overlap = found.overlap.to_dict()
        pairs = sorted(combinations(names, 2), key=lambda p: -overlap[p[0]][p[1]])
        (c, d), (e, f) = pairs[0], pairs[-1]
        out += (
            f" Most alike are {called[c]} and {called[d]} ({found.shared(c, d):,} shared), "
            f"least {called[e]} and {called[f]} ({found.shared(e, f):,})."
        )
    return out


def _log_det(found: Comparison) -> str:
    against = {"better than": "above all draws", "worse than": "below all draws"}
    values = sorted(((r.value("log_det"), _called(r)) for r in found.chosen.values()), key=lambda v: -v[0])
    stands = [against.get(standing(value, found.baseline(), "log_det"), "within the draws") for value, _ in values]
    each = [f"{called} {number(value)} ({words})" for (value, called), words in zip(values, stands, strict=True)]
    out = f"log det gained, in nats, at equal {found.equal}: {listed(each)}; random draws {span(found.baseline(), 'log_det')}."
    if found.equal == "sentences":
        row = found.row()
        draws = [found.baseline(kind) for kind in ("sentences", "tokens")]
        lead, honest = (row.value("log_det") - d.span("log_det")[0] for d in draws)
        out += (
            f" Random draws of as many tokens as {_called(row)} spends gain {span(draws[1], 'log_det')}: its lead over "
            f"the mean draw is {number(lead)} nats at equal sentences and {number(honest)} at equal tokens."
        )
    return out


def _length(found: Comparison) -> str:
    pool = found.pool
    each = [f"{_called(r)} {number(round(r.scores[0].tokens / r.scores[0].sentences, 1))}" for r in found.chosen.values()]
    out = f"Trained tokens a sentence: {listed(each)}; the pool {number(round(pool.tokens / pool.sentences, 1))}."
    if np.isfinite(pool.perplexity):
        out += (
            f" Perplexity of the picks before any tuning: {_each(found, 'perplexity')}; random draws "
            f"{span(found.baseline(), 'perplexity')}, the pool {number(pool.perplexity)}."
        )
    return out


def _worst(found: Comparison) -> str:
    """Who does best in the worst case, and whether chance does as well."""
    return f"In the worst case: {_least(found, 'worst_leverage', 'radius')}."


def _aimed(found: Comparison) -> str:
    """Who is closest to the target, on its half that only measures, and whether chance is as close."""
    if not np.isfinite(found.row().value("target_variance")):
        return ""
    near = [f"{_called(r)} {r.value('near_target'):.0%}" for r in found.chosen.values()]
    _, low, high = found.baseline().span("near_target")
    return (
        f"On the measuring half of {found.target}: {_least(found, 'target_variance', 'target_stein_loss')}. Near the target lie "
        f"{listed(near)} of the picks; of random draws {low:.0%} to {high:.0%}."
    )


def _least(found: Comparison, *criteria: str) -> str:
    parts = []
    for criterion in criteria:
        best = min(found.chosen.values(), key=lambda r, c=criterion: r.value(c))  # type: ignore[misc]
        words = standing(best.value(criterion), found.baseline(), criterion)
        parts.append(
            f"{CRITERIA[criterion]} is least with {_called(best)}, {number(best.value(criterion))}, {words} "
            f"{'the' if words == 'within' else 'all'} random draws ({span(found.baseline(), criterion)})"
        )
    return "; ".join(parts)


def _cover(found: Comparison) -> str:
    column, total = found.topic
    if not column:
        return ""
    return f"Of {total} values of '{column}', covered: {_each(found, 'topics')}; random draws {span(found.baseline(), 'topics')}."


def _transfer(found: Comparison) -> str:
    if not found.score_model:
        return ""
    model, under = short(found.model), short(found.score_model)
    parts = []
    for name, away in found.chosen.items():
        home = found.home[name]
        shared, of = len(np.intersect1d(away.positions, home.positions)), len(away.positions)
        parts.append(
            f"{_called(away)} gains {number(away.value('log_det'))} nats where {under} itself would have gained "
            f"{number(home.value('log_det'))}, and shares {shared:,} of {of:,} picks with it"
        )
    return f"Chosen by {model}, scored under {under}: {'; '.join(parts)}."


def _called(row: Row) -> str:
    """A row's label inside a sentence, where a bare number may follow it."""
    return re.sub(r", seed (\d+)", r" (seed \1)", row.label)
