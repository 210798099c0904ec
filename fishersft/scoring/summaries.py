"""A comparison in plain words and as JSON: what differs, with the numbers in it, each beside random draws.  Knows no screen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from fishersft.scoring.comparison import Comparison, Row, short
from fishersft.scoring.criteria import BETTER, CRITERIA, Scores
from fishersft.selectors import criterion_of
from fishersft.text import listed

TIE = 1e-6  # of the range's larger end
BARELY = 0.01  # of what the mean draw gains: a lead below it is called so
GOALS = {
    "log_det": "for the most information",
    "worst_leverage": "against the worst prediction",
    "radius": "to leave no text far from a pick",
    "stein_loss": "to resemble the pool",
}


def comparison_sentences(found: Comparison) -> tuple[str, ...]:
    """Sentences for people, most telling first; every number is one of the comparison's own."""
    gains = _gains(found) if found.target else ""
    said = [part(found) for part in (_spent, _shared, _length, _cover, _transfer)]
    return (*verdict(found), *filter(None, (gains, *said)), "None of these numbers is yet a better fine-tuned model.")


def verdict(found: Comparison) -> tuple[str, ...]:
    """Which selector to use here, in two or three sentences: who beats chance at all, and what each one is good for."""
    return _aimed(found) or (_gains(found), _advice(found))


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
    return beside(value, least, most, BETTER[criterion])


def beside(value: float, least: float, most: float, better: int) -> str:
    """How a value compares with the range of random draws: "better than", "worse than" or "within" it; `better`: 1 where more is
    better, -1 where less is.  A tie is within: two sums of the same terms may differ a little."""
    slack = TIE * max(abs(least), abs(most))
    if least - slack <= value <= most + slack:
        return "within"
    return "better than" if (value > most) == (better > 0) else "worse than"


def barely(gained: float, mean: float) -> bool:
    """Whether a lead in log det over the mean draw is so small that it is called so."""
    return gained <= (1 + BARELY) * mean


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


def _with(rows: Sequence[Row], criterion: str, unit: str = "") -> str:
    """The rows' values, as "2,319 nats with TokenOD and 2,314 with Longest"."""
    return listed([f"{number(r.value(criterion))}{'' if k else unit} with {_called(r)}" for k, r in enumerate(rows)])


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


def _gains(found: Comparison) -> str:
    """Who gains more log det than every random draw, and at equal sentences also what length alone explains of that."""
    draws, rows = found.baseline(), sorted(found.chosen.values(), key=lambda r: -r.value("log_det"))
    mean = draws.span("log_det")[0]
    winners = [r for r in rows if standing(r.value("log_det"), draws, "log_det") == "better than"]
    little = ", but barely" if winners and barely(winners[0].value("log_det"), mean) else ""
    out = (
        f"At equal {found.equal} {_beat(rows, winners)} here{little}: log det gained is {_with(rows, 'log_det', ' nats')}, "
        f"against {span(draws, 'log_det')} for {found.draws} random draws."
    )
    longest = found.chosen.get("longest")
    if idle := [_called(r) for r in winners if longest and r is not longest and r.value("log_det") <= longest.value("log_det")]:
        out += f" {listed(idle)} {'is' if len(idle) == 1 else 'are'} no better than Longest, which looks at length alone."
    if found.equal == "sentences":
        row, same = found.row(), found.baseline("tokens")
        lead, honest = (row.value("log_det") - d.span("log_det")[0] for d in (draws, same))
        out += (
            f" {_called(row)} spends {row.scores[0].tokens:,} tokens for that and a draw {span(draws, 'tokens')}; draws of as "
            f"many tokens gain {span(same, 'log_det')}, so its lead over the mean draw is {number(lead)} nats at equal sentences "
            f"and {number(honest)} at equal tokens."
        )
    return out


def _beat(rows: Sequence[Row], winners: Sequence[Row]) -> str:
    """Who beats the random draws, as the subject and verb of a sentence."""
    k = {3: "three", 4: "four"}.get(len(rows), str(len(rows)))
    if not winners:
        none = {1: f"{_called(rows[0])} does not beat", 2: "neither of the two beats"}.get(len(rows), f"none of the {k} beats")
        return f"{none} a random draw"
    if len(winners) == len(rows) > 1:
        return f"{'both' if len(rows) == 2 else f'all {k}'} beat every random draw"
    only = "only " if len(winners) == 1 < len(rows) else ""
    return f"{only}{listed([_called(r) for r in winners])} {'beats' if len(winners) == 1 else 'beat'} every random draw"


def _advice(found: Comparison) -> str:
    """Which selector to take for which goal, where it is better than every random draw; and where a draw is better."""
    draws, uses, chance = found.baseline(), dict[str, list[str]](), list[str]()
    for criterion, goal in GOALS.items():
        best = max(found.chosen.values(), key=lambda r, c=criterion: BETTER[c] * r.value(c))  # type: ignore[misc]
        value, words = best.value(criterion), standing(best.value(criterion), draws, criterion)
        name = CRITERIA[criterion].removesuffix(" gained (nats)")
        if words == "better than" and (criterion != "log_det" or not barely(value, draws.span(criterion)[0])):
            said = f"{goal} ({name} {number(value)}, draws {span(draws, criterion)})"
            uses.setdefault(_called(best), []).append(said)
        elif words == "worse than":
            chance.append(f"{goal} ({name} at best {number(value)}, draws {span(draws, criterion)})")
    advice = [f"take {called} {listed(goals)}" for called, goals in uses.items()]
    advice += [f"{listed(chance)} a random draw is better"] if chance else []
    said = "; ".join(advice) or "a random draw does about as well under every criterion here"
    if found.equal == "sentences":
        return f"If sentences are what you pay for, {said}."
    return f"{said[0].upper()}{said[1:]}."


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


def _aimed(found: Comparison) -> tuple[str, ...]:
    """Who comes closest to the target, on its half that only measures, and whether that is better than chance; () without one."""
    if not np.isfinite(found.row().value("target_variance")):
        return ()
    draws, rows = found.baseline(), sorted(found.chosen.values(), key=lambda r: r.value("target_variance"))
    stands = {r.name: standing(r.value("target_variance"), draws, "target_variance") for r in rows}
    closer = [_called(r) for r in rows if stands[r.name] == "better than"]
    luck = "closer than every random draw" if closer[:1] == [_called(rows[0])] else "but no closer than a random draw"
    others = [_called(r) for r in rows[1:] if stands[r.name] != "better than"]
    near = [f"{r.value('near_target'):.0%} of {_called(r)}'s picks" for r in rows]
    _, low, high = draws.span("near_target")
    return (
        f"At equal {found.equal} {_called(rows[0])} comes closest to {found.target}, {luck}: on the target's measuring half the "
        f"mean variance of a prediction is {_with(rows, 'target_variance')}, against {span(draws, 'target_variance')} for "
        f"{found.draws} random draws." + (f" No better than chance: {listed(others)}." if others and closer else ""),
        f"Near the target lie {listed(near)}; of random draws {low:.0%} to {high:.0%}.",
    )


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
