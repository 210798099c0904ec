"""Selectors side by side: each one's selection under every criterion, at equal sentences or at equal tokens.

Beside them always stand random draws of as many sentences, and of as many tokens as the reference selector spends.
One model may choose and another score (`score_pool`).  `summaries` says in words what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from fishersft.corpus.tables import results_csv
from fishersft.errors import ParameterError
from fishersft.pipeline import embed_and_select
from fishersft.scoring.criteria import CRITERIA, Aim, Scorer, Scores, bound_at, jaccard
from fishersft.scoring.random_baseline import chance, shared_by, whole_pool
from fishersft.selectors import DEFAULT_SELECTOR, Budget, Order, Pool, Selection, Selector
from fishersft.selectors.pool import target_similarity
from fishersft.selectors.selection import check_seed
from fishersft.store.artifacts import Store

LEAST_DRAWS, MOST_DRAWS = 20, 10_000
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Row:
    """One selector's selection under every criterion; or many random draws, with scores each and neither name nor model."""

    name: str
    label: str
    scores: tuple[Scores, ...] = ()
    model: str = ""
    selection: Selection | None = None

    def value(self, criterion: str) -> float:
        """A selection's value."""
        return float(getattr(self.scores[0], criterion))

    def span(self, criterion: str) -> tuple[float, float, float]:
        """Mean, least and most over the draws."""
        values = np.array([getattr(s, criterion) for s in self.scores], dtype=float)
        return float(values.mean()), float(values.min()), float(values.max())

    @property
    def positions(self) -> np.ndarray:
        """The selection's picks, as positions in the pool that is scored."""
        assert self.selection is not None, "random draws have no picks of their own"
        return self.selection.order.positions


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        model, score_model: the name of the one that chose, and of the one that scored; "" if that is the same.
        equal: "sentences" or "tokens".
        reference: the selector whose sentences or tokens set the budget, also of the random draws.
        chosen: the selectors' rows by name, chosen by `model`, in the order asked for.
        home: the same chosen by `score_model` itself; empty if one model chose and scored.
        baselines: random draws of as many "sentences" and of as many "tokens".
        pool: everything selected.
        shared_by_chance: by selector name, how many of its picks each random draw holds too, at the budget that is equal.
        topic: the column that topics are counted in, and how many values the pool has; ("", 0) without one.
        target: the name of what the selectors were asked to choose for; "" without a target.
        read_off: 0 if this budget was scored; else the number of scored budgets that it is interpolated between.
    """

    corpus: str
    model: str
    score_model: str
    equal: str
    reference: str
    seed: int
    draws: int
    sigma2: float
    chosen: dict[str, Row]
    home: dict[str, Row]
    baselines: dict[str, Row]
    pool: Scores
    shared_by_chance: dict[str, tuple[int, ...]]
    topic: tuple[str, int]
    read_off: int = 0
    target: str = ""

    def row(self, name: str = "") -> Row:
        """A selector's row; without a name, the reference's."""
        return self.chosen[name or self.reference]

    def baseline(self, kind: str = "") -> Row:
        """The random draws of as many "sentences" or "tokens"; without a kind, those of the budget that is equal."""
        return self.baselines[kind or self.equal]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row: the selectors', those that the scoring model chose itself, and the random draws."""
        return (*self.chosen.values(), *self.home.values(), *self.baselines.values())

    @property
    def selections(self) -> dict[str, Selection]:
        """By selector name, in the order asked for."""
        return {name: row.selection for name, row in self.chosen.items() if row.selection is not None}

    def shared(self, a: str, b: str) -> int:
        """How many picks two selectors have in common."""
        return len(np.intersect1d(self.row(a).positions, self.row(b).positions))

    @property
    def overlap(self) -> pd.DataFrame:
        """Jaccard index of every two selectors' picks."""
        rows = self.chosen.values()
        index = [[jaccard(a.positions, b.positions) for b in rows] for a in rows]
        return pd.DataFrame(index, index=list(self.chosen), columns=list(self.chosen))

    def table(self) -> pd.DataFrame:
        """A line a selector, a column a criterion; for random draws it is the mean, with `_least` and `_most` beside it."""
        lines = []
        for row in self.rows:
            line: dict[str, Any] = {"selector": row.name or row.label}
            if self.score_model:
                line["chosen_by"] = row.model
            line["draws"] = len(row.scores)
            for criterion in CRITERIA:
                mean, least, most = row.span(criterion)
                line |= {criterion: mean, f"{criterion}_least": least, f"{criterion}_most": most}
            lines.append(line)
        return pd.DataFrame(lines)

    def as_csv(self) -> str:
        """The table as a file."""
        return results_csv(self.table())


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
    on_progress: Tell | None = None,
) -> Comparison:
    """Put selectors side by side on one pool.

    Args:
        budget: the reference selector's; the others get as many sentences, or with equal="tokens" as many tokens.
        reference: a selector's name; by default the first selector's.
        sigma2: prior of the design that every selection is scored under.
        score_pool: the same corpus under another model that scores and whose tokens count; every selector then also chooses
            with that model, which shows what the first model's choice costs.
        on_progress: called with (what, done, total).

    Raises:
        ParameterError: no selector, the same one twice, below 20 draws, an unknown reference or `equal`, another corpus.
        BudgetError: the pool cannot meet the budget.
    """
    names = [s.name for s in selectors]
    reference = reference or (names[0] if names else "")
    _check(names, reference, equal, draws)
    check_seed(seed)
    tell = on_progress or (lambda *_: None)
    under = score_pool or pool
    if under is not pool and (pool.corpus is None or under.corpus is None or pool.corpus.fingerprint != under.corpus.fingerprint):
        raise ParameterError("The model that scores must read the same corpus, with the same split, as the one that chooses.")

    def chosen(selector: Selector, wanted: Budget, by: Pool) -> Selection:
        own = seed if selector.random else 0  # the others' orders are kept once
        take = partial(
            embed_and_select.order,
            store=store,
            on_progress=lambda done, total: tell(f"{selector.label}: choosing", done, total),
            on_stage=tell,
        )
        order = take(by, selector, wanted, own) if by is under else _order_under(by, under, selector, wanted, own, take)
        return selector.cut(under, order, wanted, own)

    first = chosen(selectors[names.index(reference)], budget, pool)
    spent = int(first.tokens.sum())
    wanted = Budget(tokens=spent) if equal == "tokens" else Budget(sentences=len(first))
    selections = {s.name: first if s.name == reference else chosen(s, wanted, pool) for s in selectors}
    at_home = {s.name: chosen(s, wanted, under) for s in selectors} if score_pool else {}

    best = at_home.get(DEFAULT_SELECTOR, selections.get(DEFAULT_SELECTOR, first)).order.positions
    bound = bound_at(under.embeddings, best, sigma2=sigma2, tokens=spent if equal == "tokens" else None)
    scorer = scorer_of(under, sigma2)
    model, score_model = (str(p.embeddings.facts.get("model", "")) for p in (pool, under))

    def row(selector: Selector, taken: Selection, by: str, note: str = "") -> Row:
        scores = scorer(taken.order.positions, bound)
        return Row(selector.name, label_of(selector, seed) + note, (scores,), by, selection=taken)

    note = f", chosen by {short(score_model)}"
    chosen_rows = {s.name: row(s, selections[s.name], model) for s in selectors}
    home_rows = {s.name: row(s, at_home[s.name], score_model, note) for s in selectors if at_home}
    amounts = {"sentences": len(first), "tokens": spent}
    baselines = {
        kind: random_row(
            kind,
            amount,
            chance(
                scorer,
                kind,
                amount,
                draws=draws,
                seed=seed,
                bound=bound if kind == equal else np.nan,  # what is proven is proven for one budget
                store=store,
                on_progress=lambda done, total: tell("scoring random draws", done, total),
            ),
        )
        for kind, amount in amounts.items()
    }
    return found_between(
        pool,
        under,
        chosen_rows,
        baselines,
        equal=equal,
        amount=amounts[equal],
        reference=reference,
        seed=seed,
        sigma2=sigma2,
        whole=whole_pool(scorer, store=store),
        home=home_rows,
    )


def _order_under(
    pool: Pool, under: Pool, selector: Selector, budget: Budget, seed: int, take: Callable[[Pool, Selector, Budget, int], Order]
) -> Order:
    """A selector's order of `pool` as positions of `under`, as far as the budget needs it there.

    The scoring model's tokens count, since that model is to be fine-tuned; a record may have trained tokens under one only.
    """
    budget.check(under)
    n = min(len(pool), budget.sentences or int(np.ceil((budget.tokens or 1) / under.tokens.mean())))
    while True:
        order = take(pool, selector, Budget(sentences=n), seed)
        records = pool.index[order.positions]
        at = np.minimum(np.searchsorted(under.index, records), len(under) - 1)
        there = under.index[at] == records
        if n == len(pool) or budget.cut(under.tokens[at[there]]) is not None:
            break
        n = min(len(pool), 2 * n)
    notes = dict(order.notes)
    if not there.all():
        notes["left out"] = f"{int((~there).sum()):,} picks without a trained token under the model that scores"
    arrays = {name: values[there] for name, values in order.arrays.items()}
    arrays["optimum_bounds"] = np.full(len(at[there]), np.nan)  # what was proven was proven under the other model
    return Order(**{**arrays, "positions": at[there]}, notes=notes)


def found_between(
    pool: Pool,
    under: Pool,
    chosen: dict[str, Row],
    baselines: dict[str, Row],
    *,
    equal: str,
    amount: int,
    reference: str,
    seed: int,
    sigma2: float,
    whole: Scores,
    home: dict[str, Row] | None = None,
    read_off: int = 0,
) -> Comparison:
    """A comparison from its rows, at `amount` sentences or tokens, whichever is equal.

    `under` is the pool that is scored: `pool` itself if one model chose and scored.
    """
    draws = len(baselines[equal].scores)
    column, topics = topics_of(under)
    picks = {name: row.positions for name, row in chosen.items()}
    return Comparison(
        corpus=pool.corpus.name if pool.corpus else "",
        model=str(pool.embeddings.facts.get("model", "")),
        score_model=str(under.embeddings.facts.get("model", "")) if home else "",
        equal=equal,
        reference=reference,
        seed=seed,
        draws=draws,
        sigma2=sigma2,
        chosen=chosen,
        home=home or {},
        baselines=baselines,
        pool=whole,
        shared_by_chance=shared_by(under.tokens, picks, equal, amount, draws, seed),
        topic=(column, 0 if topics is None else len(set(topics.tolist()))),
        read_off=read_off,
        target=pool.target.name if pool.target else "",
    )


def random_row(kind: str, amount: int, scores: tuple[Scores, ...]) -> Row:
    """The row of random draws of so many sentences or tokens."""
    return Row("", f"Uniform, {amount:,} {kind}, {len(scores)} draws", scores)


def scorer_of(pool: Pool, sigma2: float = 1.0) -> Scorer:
    """What scores selections from a pool, with losses and topics if the pool has them."""
    statistics = pool.statistics() if pool.readings or pool.model else None
    return Scorer(pool.embeddings, sigma2, statistics, topics_of(pool)[1], aim_of(pool))


def aim_of(pool: Pool) -> Aim | None:
    """What selections from an aimed pool are measured against; None without a target, or where none of its texts measures.

    Near the target is a record whose cosine with its nearest choosing text is at least that of half of the measuring texts.
    """
    target = pool.target
    if target is None or target.measured_moment is None or target.measuring is None:
        return None
    own = target.measuring.position_weighted_means @ target.choosing.position_weighted_means.T
    near = target_similarity(pool).max(1) >= np.median(own.max(1))
    on = None if pool.corpus is None else target.is_on(pool.corpus, pool.index)
    return Aim(target.measured_moment, near, on if on is not None and on.any() else None)


def topics_of(pool: Pool) -> tuple[str, np.ndarray | None]:
    """The column that topics are counted in, and its (N,) values in the pool; ("", None) without a suitable column."""
    if pool.corpus is None or not pool.corpus.categories:
        return "", None
    column = pool.corpus.categories[0]
    return column, pool.corpus.fields[column].map(str).to_numpy()[pool.index]


def label_of(selector: Selector, seed: int) -> str:
    """A selector as a table names it: with the seed if it draws."""
    return f"{selector.label}, seed {seed}" if selector.random else selector.label


def short(model: str) -> str:
    """A model's name for a sentence: the last part of a path, a hub id as it is."""
    return model.rstrip("/").rsplit("/", 1)[-1] if model.startswith((".", "/", "~")) else model


def _check(names: Sequence[str], reference: str, equal: str, draws: int) -> None:
    if not names:
        raise ParameterError("Name at least one selector to compare; fishersft select --list shows all of them.")
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise ParameterError(f"The selector '{twice}' is named twice; name it once.")
    if reference not in names:
        raise ParameterError(f"The reference '{reference}' is not among the selectors compared: {', '.join(names)}.")
    if equal not in ("sentences", "tokens"):
        raise ParameterError(f"Selectors are compared at equal sentences or equal tokens, not '{equal}'.")
    if isinstance(draws, bool) or not isinstance(draws, int) or not LEAST_DRAWS <= draws <= MOST_DRAWS:
        raise ParameterError(f"A band of random draws needs from {LEAST_DRAWS} to {MOST_DRAWS:,} draws, not {draws}.")
