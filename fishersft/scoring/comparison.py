"""Selectors side by side: each one's selection under every criterion, at equal sentences or at equal tokens.

With them, always, what chance gives: random draws of as many sentences, and of as many tokens as the reference selector spends.
One model may choose and another score (`score_pool`).  What the numbers say in words is `differences.describe`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from fishersft.errors import ParameterError
from fishersft.pipeline import embed_and_select
from fishersft.scoring.criteria import CRITERIA, Scorer, Scores, bound_at, jaccard
from fishersft.scoring.cross_model import check_same_corpus, order_under
from fishersft.scoring.random_baseline import chance, shared_by, whole_pool
from fishersft.scoring.summaries import describe, short
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Pool, Selection, Selector, criterion_of
from fishersft.store.artifacts import Store

LEAST_DRAWS = 20
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Row:
    """One selector's selection, or many random draws, under every criterion.

    Attributes:
        name: the selector's, or "" for random draws.
        label: for people.
        scores: one; or one a draw.
        model: the one that chose; "" for random draws.
    """

    name: str
    label: str
    scores: tuple[Scores, ...]
    model: str = ""

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
        model, score_model: the one that chose, and the one that scored where that is another; "" where it is not.
        rows: the selectors' in the order asked for (chosen by `model`, then by `score_model` too), then the random draws.
        pool: everything selected.
        selections: by selector name.
        at_home: chosen by `score_model` itself, where there is one.
        shared_by_chance: by selector name, how many of its picks each random draw holds too, at the budget that is equal.
        topic: the column that topics are counted in, with how many values the pool has; ("", 0) without one.
        read_off: 0 where this budget was scored; else at how many others, between which it is read off (`read_off`).
    """

    corpus: str
    model: str
    score_model: str
    equal: str
    reference: str
    seed: int
    draws: int
    sigma2: float
    rows: tuple[Row, ...]
    pool: Scores
    selections: dict[str, Selection]
    at_home: dict[str, Selection]
    shared_by_chance: dict[str, tuple[int, ...]]
    topic: tuple[str, int]
    read_off: int = 0

    @property
    def chosen(self) -> tuple[Row, ...]:
        """The selectors' rows, chosen by `model`."""
        return self.rows[: len(self.selections)]

    @property
    def home(self) -> tuple[Row, ...]:
        """The selectors' rows, chosen by `score_model` itself; () where one model chose and scored."""
        return self.rows[len(self.selections) : -2] if self.score_model else ()

    @property
    def chance(self) -> tuple[Row, Row]:
        """The random draws: of as many sentences, of as many tokens."""
        return self.rows[-2], self.rows[-1]

    def shared(self, a: str, b: str) -> int:
        """How many picks two selectors have in common."""
        return len(np.intersect1d(self.selections[a].indices, self.selections[b].indices))

    @property
    def overlap(self) -> pd.DataFrame:
        """Jaccard index of every two selectors' picks."""
        names = list(self.selections)
        sets = [self.selections[n].order.positions for n in names]
        return pd.DataFrame([[jaccard(a, b) for b in sets] for a in sets], index=names, columns=names)

    def table(self) -> pd.DataFrame:
        """One line a selector and a criterion a column: numbers; random draws as mean, with `_least` and `_most` beside."""
        lines = []
        for row in self.rows:
            line: dict[str, Any] = {"selector": row.name or row.label, "chosen_by": row.model, "draws": len(row.scores)}
            if not self.score_model:
                del line["chosen_by"]
            for criterion in CRITERIA:
                mean, least, most = row.span(criterion)
                line |= {criterion: mean, f"{criterion}_least": least, f"{criterion}_most": most}
            lines.append(line)
        return pd.DataFrame(lines)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; a criterion that cannot be had is null."""

        def plain(found: Scores) -> dict[str, Any]:
            return {k: None if np.isnan(v) else v for k, v in asdict(found).items()}

        rows = []
        for k, row in enumerate(self.rows):
            line: dict[str, Any] = {"selector": row.name or None, "label": row.label, "chosen_by": row.model or None}
            if row.name:
                taken = (self.selections if k < len(self.selections) else self.at_home)[row.name]
                line |= {"parameters": taken.parameters, "notes": taken.order.notes}
                line |= {"criterion": criterion_of(row.name), "seconds": round(float(taken.order.seconds[-1]), 3)}
            rows.append({**line, "scores": [plain(s) for s in row.scores]})
        return {
            "corpus": self.corpus,
            "model": self.model,
            "score_model": self.score_model or None,
            "equal": self.equal,
            "reference": self.reference,
            "seed": self.seed,
            "draws": self.draws,
            "sigma2": self.sigma2,
            "topic_column": self.topic[0] or None,
            "topics_in_pool": self.topic[1] or None,
            "rows": rows,
            "pool": plain(self.pool),
            "overlap": self.overlap.to_dict(),
            "shared_by_chance": {name: list(counts) for name, counts in self.shared_by_chance.items()},
            "summary": list(describe(self)),
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
    score_pool: Pool | None = None,
    store: Store | None = None,
    on_progress: Report | None = None,
) -> Comparison:
    """Put selectors side by side on one pool.

    Args:
        budget: the reference selector's; the others get as many sentences, or with equal="tokens" as many tokens.
        reference: a selector's name; the first where not given.
        draws: random draws, at least 20.
        sigma2: of the design that everyone is scored under.
        score_pool: the same corpus under the model that scores and whose tokens count, where it is not the one that chooses;
            then every selector also chooses with that model, to show what the other one's choice costs.
        on_progress: told (what, done, total).

    Raises:
        ParameterError: no selector, the same one twice, fewer draws, an unknown reference or `equal`, another corpus.
        BudgetError: the pool cannot meet the budget.
    """
    names = [s.name for s in selectors]
    reference = reference or (names[0] if names else "")
    _check(names, reference, equal, draws)
    tell = on_progress or (lambda *_: None)
    under = score_pool or pool
    if score_pool:
        check_same_corpus(pool, score_pool)

    def chosen(selector: Selector, wanted: Budget, by: Pool) -> Selection:
        def picks(done: int, total: int) -> None:
            tell(f"{selector.label}: choosing", done, total)

        ways: dict[str, Any] = {"store": store, "on_progress": picks, "on_stage": tell}
        own = seed if selector.random else 0  # the others' orders are kept once
        if by is under:
            order = embed_and_select.order(by, selector, wanted, own, **ways)
        else:
            order = order_under(by, under, selector, wanted, own, **ways)
        return selector.cut(under, order, wanted, own)

    first = chosen(selectors[names.index(reference)], budget, pool)
    spent = int(first.tokens.sum())
    wanted = Budget(tokens=spent) if equal == "tokens" else Budget(sentences=len(first))
    selections = {s.name: first if s.name == reference else chosen(s, wanted, pool) for s in selectors}
    at_home = {s.name: chosen(s, wanted, under) for s in selectors} if score_pool else {}

    best = at_home.get(DEFAULT_SELECTOR, selections.get(DEFAULT_SELECTOR, first)).order.positions
    limit = spent if equal == "tokens" else None
    bound = bound_at(under.embeddings, best, sigma2=sigma2, tokens=limit)
    scorer = scorer_of(under, sigma2)
    column, topics = topics_of(under)
    model, score_model = (str(p.embeddings.facts.get("model", "")) for p in (pool, under))

    def row(selector: Selector, taken: Selection, by: str, note: str = "") -> Row:
        return Row(selector.name, label_of(selector, seed) + note, (scorer(taken.order.positions, bound),), by)

    lines = [row(s, selections[s.name], model) for s in selectors]
    lines += [row(s, at_home[s.name], score_model, f", chosen by {short(score_model)}") for s in selectors if score_pool]
    for kind, amount in (("sentences", len(first)), ("tokens", spent)):
        found = chance(
            scorer,
            kind,
            amount,
            draws=draws,
            seed=seed,
            bound=bound if kind == equal else np.nan,  # what is proven is proven for one budget
            store=store,
            on_progress=lambda done, total: tell("scoring random draws", done, total),
        )
        lines.append(Row("", f"Uniform, {amount:,} {kind}, {draws} draws", found))
    return Comparison(
        corpus=pool.corpus.name if pool.corpus else "",
        model=model,
        score_model=score_model if score_pool else "",
        equal=equal,
        reference=reference,
        seed=seed,
        draws=draws,
        sigma2=sigma2,
        rows=tuple(lines),
        pool=whole_pool(scorer, store=store),
        selections=selections,
        at_home=at_home,
        shared_by_chance=shared_by(
            under.tokens, positions_of(selections), equal, spent if equal == "tokens" else len(first), draws, seed
        ),
        topic=(column, 0 if topics is None else len(set(topics.tolist()))),
    )


def scorer_of(pool: Pool, sigma2: float = 1.0) -> Scorer:
    """What scores selections from a pool, with losses and topics where they can be had."""
    statistics = pool.statistics() if pool.readings or pool.model else None
    return Scorer(pool.embeddings, sigma2, statistics, topics_of(pool)[1])


def topics_of(pool: Pool) -> tuple[str, np.ndarray | None]:
    """The column that topics are counted in, and its (N,) values in the pool; ("", None) where no column will do."""
    if pool.corpus is None or not pool.corpus.categories:
        return "", None
    column = pool.corpus.categories[0]
    return column, pool.corpus.fields[column].map(str).to_numpy()[pool.index]


def positions_of(selections: Mapping[str, Selection]) -> dict[str, np.ndarray]:
    """The picks of selections by name."""
    return {name: taken.order.positions for name, taken in selections.items()}


def label_of(selector: Selector, seed: int) -> str:
    """A selector as a table names it: with the seed where it draws."""
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
