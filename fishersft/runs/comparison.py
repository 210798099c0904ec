"""Selectors side by side: each one's selection under every criterion, at equal sentences or at equal tokens.

With them, always, what chance gives: random draws of as many sentences, and of as many tokens as the reference selector spends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fishersft.curves.criteria import CRITERIA, Scores, bound_at, jaccard, scores
from fishersft.curves.gain import draw_orders, within_tokens
from fishersft.errors import ParameterError
from fishersft.runs import pipeline
from fishersft.runs.store import Store
from fishersft.selectors import Budget, Pool, Selection, Selector

if TYPE_CHECKING:
    import pandas as pd

LEAST_DRAWS = 20
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Row:
    """One selector's selection, or many random draws, under every criterion.

    Attributes:
        name: the selector's, or "" for random draws.
        label: for people.
        scores: one; or one a draw.
    """

    name: str
    label: str
    scores: tuple[Scores, ...]

    def span(self, criterion: str) -> tuple[float, float, float]:
        """Mean, least and most over the draws."""
        values = np.array([getattr(s, criterion) for s in self.scores], dtype=float)
        return float(values.mean()), float(values.min()), float(values.max())


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        equal: "sentences" or "tokens".
        reference: the selector whose tokens the others are cut at (equal tokens), and chance is drawn at.
        rows: the selectors' in the order asked for, then the random draws.
        selections: by selector name.
        topic: the column that topics are counted in, with how many values the pool has; ("", 0) without one.
    """

    corpus: str
    model: str
    equal: str
    reference: str
    seed: int
    draws: int
    sigma2: float
    rows: tuple[Row, ...]
    selections: dict[str, Selection]
    topic: tuple[str, int]

    @property
    def overlap(self) -> pd.DataFrame:
        """Jaccard index of every two selectors' picks."""
        import pandas as pd

        names = list(self.selections)
        sets = [self.selections[n].order.positions for n in names]
        return pd.DataFrame([[jaccard(a, b) for b in sets] for a in sets], index=names, columns=names)

    def table(self) -> pd.DataFrame:
        """One line a selector and a criterion a column: numbers; random draws as mean, with `_least` and `_most` beside."""
        import pandas as pd

        lines = []
        for row in self.rows:
            line: dict[str, Any] = {"selector": row.name or row.label, "draws": len(row.scores)}
            for criterion in CRITERIA:
                mean, least, most = row.span(criterion)
                line |= {criterion: mean, f"{criterion}_least": least, f"{criterion}_most": most}
            lines.append(line)
        return pd.DataFrame(lines)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; a criterion that cannot be had is null."""
        rows = [
            {
                "selector": row.name or None,
                "label": row.label,
                "parameters": self.selections[row.name].parameters if row.name else None,
                "notes": self.selections[row.name].order.notes if row.name else {},
                "scores": [{k: None if np.isnan(v) else v for k, v in asdict(s).items()} for s in row.scores],
            }
            for row in self.rows
        ]
        return {
            "corpus": self.corpus,
            "model": self.model,
            "equal": self.equal,
            "reference": self.reference,
            "seed": self.seed,
            "draws": self.draws,
            "sigma2": self.sigma2,
            "topic_column": self.topic[0] or None,
            "topics_in_pool": self.topic[1] or None,
            "rows": rows,
            "overlap": self.overlap.to_dict(),
        }


def compare(
    pool: Pool,
    selectors: Sequence[Selector],
    budget: Budget,
    *,
    equal: str = "sentences",
    reference: str = "",
    seed: int = 0,
    draws: int = LEAST_DRAWS,
    sigma2: float = 1.0,
    store: Store | None = None,
    on_progress: Report | None = None,
) -> Comparison:
    """Put selectors side by side on one pool.

    Args:
        budget: the reference selector's; the others get as many sentences, or with equal="tokens" as many tokens.
        reference: a selector's name; the first where not given.
        draws: random draws, at least 20.
        sigma2: of the design that everyone is scored under.
        on_progress: told (what, done, total).

    Raises:
        ParameterError: no selector, the same one twice, fewer draws, an unknown reference or `equal`.
        BudgetError: the pool cannot meet the budget.
    """
    names = [s.name for s in selectors]
    reference = reference or (names[0] if names else "")
    _check(names, reference, equal, draws)
    tell = on_progress or (lambda *_: None)

    def chosen(selector: Selector, wanted: Budget) -> Selection:
        def picks(done: int, total: int) -> None:
            tell(f"{selector.label}: choosing", done, total)

        order = pipeline.order(pool, selector, wanted, seed, store=store, on_progress=picks, on_stage=tell)
        return selector.cut(pool, order, wanted, seed)

    first = chosen(selectors[names.index(reference)], budget)
    spent = int(first.tokens.sum())
    wanted = Budget(tokens=spent) if equal == "tokens" else Budget(sentences=len(first))
    selections = {s.name: first if s.name == reference else chosen(s, wanted) for s in selectors}

    rows = pool.embeddings
    best = selections.get("token_od", first).order.positions
    bound = bound_at(rows, best, sigma2=sigma2, tokens=spent if equal == "tokens" else None, device=pool.device)
    statistics = pool.statistics() if pool.readings or pool.model else None
    column, topics = topics_of(pool)
    orders = draw_orders(len(pool), draws, seed)
    jobs = [
        *((s.name, _label(s, seed), equal, [selections[s.name].order.positions]) for s in selectors),
        ("", f"Uniform, {len(first):,} sentences, {draws} draws", "sentences", [o[: len(first)] for o in orders]),
        ("", f"Uniform, {spent:,} tokens, {draws} draws", "tokens", [_cut(o, rows.tokens, spent) for o in orders]),
    ]
    total, done, lines = sum(len(sets) for *_, sets in jobs), 0, []
    for name, label, kind, sets in jobs:
        found = []
        for positions in sets:
            found.append(
                scores(
                    rows,
                    positions,
                    sigma2=sigma2,
                    bound=bound if kind == equal else np.nan,  # what is proven is proven for one budget
                    statistics=statistics,
                    topics=topics,
                    device=pool.device,
                )
            )
            done += 1
            tell("scoring", done, total)
        lines.append(Row(name, label, tuple(found)))
    return Comparison(
        corpus=pool.corpus.name if pool.corpus else "",
        model=str(rows.facts.get("model", "")),
        equal=equal,
        reference=reference,
        seed=seed,
        draws=draws,
        sigma2=sigma2,
        rows=tuple(lines),
        selections=selections,
        topic=(column, 0 if topics is None else len(set(topics.tolist()))),
    )


def topics_of(pool: Pool) -> tuple[str, np.ndarray | None]:
    """The column that topics are counted in, and its (N,) values in the pool; ("", None) where no column will do."""
    if pool.corpus is None or not pool.corpus.categories:
        return "", None
    column = pool.corpus.categories[0]
    return column, pool.corpus.fields[column].map(str).to_numpy()[pool.index]


def _cut(order: np.ndarray, tokens: np.ndarray, limit: int) -> np.ndarray:
    """The longest prefix of at most `limit` tokens, or one record where not even that fits."""
    return order[: max(1, int(within_tokens(tokens[order], np.array([limit]))[0]))]


def _label(selector: Selector, seed: int) -> str:
    return f"{selector.label}, seed {seed}" if selector.random else selector.label


def _check(names: Sequence[str], reference: str, equal: str, draws: int) -> None:
    if not names:
        raise ParameterError("Name at least one selector to compare; fishersft select --list shows those there are.")
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise ParameterError(f"The selector '{twice}' is named twice; each may be compared once.")
    if reference not in names:
        raise ParameterError(f"The reference '{reference}' is not among the selectors compared: {', '.join(names)}.")
    if equal not in ("sentences", "tokens"):
        raise ParameterError(f"Selectors are compared at equal sentences or equal tokens, not '{equal}'.")
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < LEAST_DRAWS:
        raise ParameterError(f"A band of chance needs at least {LEAST_DRAWS} draws, not {draws}.")
