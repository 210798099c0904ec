"""A comparison at any budget, interpolated between budgets that were scored: for a screen that follows the budget as it moves.

Every random draw, and every selector's order, is scored at the budgets of `grid` and kept in the store.  Sentences, tokens,
perplexity, topics and overlaps are exact at any budget; the other criteria are read off a monotone curve through the scored
budgets.  `comparison.compare` scores one budget exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator

from fishersft.design.trajectory import draw_orders, grid, within_tokens
from fishersft.pipeline.embed_and_select import order_key
from fishersft.scoring.comparison import LEAST_DRAWS, Comparison, Row, found_between, label_of, random_row
from fishersft.scoring.criteria import Scorer, Scores
from fishersft.scoring.random_baseline import whole_pool
from fishersft.selectors import Budget, Order, Pool, Selector
from fishersft.store.artifacts import ArtifactKey, Store, cached_arrays

ALONG = "along"
POINTS = 40  # budgets that are scored; a pool of as many records has no budget in between
READ_OFF = ("log_det", "worst_leverage", "mean_leverage", "radius", "sentence_log_det", "fisher_log_det", "stein_loss")
READ_OFF_AIMED = (*READ_OFF, "target_variance", "target_stein_loss")  # with a target
# over orders of magnitude: their logarithms are read off
FALLING = ("worst_leverage", "mean_leverage", "stein_loss", "target_variance", "target_stein_loss")
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class ScoredOrder:
    """An order (positions) under every criterion at the budgets `at`, (k,) in sentences; `scored` holds (k,) values of each."""

    scorer: Scorer
    order: np.ndarray
    at: np.ndarray
    scored: dict[str, np.ndarray] = field(repr=False)

    @cached_property
    def tokens(self) -> np.ndarray:
        """(N,) trained tokens of the first 1, 2, ... picks."""
        return np.cumsum(self.scorer.embeddings.tokens[self.order])

    @cached_property
    def _losses(self) -> np.ndarray | None:
        s = self.scorer.statistics
        each = self.scorer.embeddings.tokens[self.order]
        return None if s is None else np.cumsum(s.mean_losses[self.order].astype(np.float64) * each)

    @cached_property
    def new_topics(self) -> np.ndarray:
        """The picks, counted from 0, that are the first of their topic."""
        topics = self.scorer.topics
        return np.empty(0) if topics is None else np.sort(np.unique(topics[self.order], return_index=True)[1])

    @cached_property
    def _curve(self) -> Any:
        names = read_off_of(self.scorer)
        lines = [np.log(np.maximum(self.scored[n], 1e-300)) if n in FALLING else self.scored[n] for n in names]
        known = np.stack([np.where(np.isfinite(line), line, 0.0) for line in lines], axis=1)
        return PchipInterpolator(np.log(self.at), known) if len(self.at) > 1 else lambda _: known[0]

    def within(self, tokens: int) -> int:
        """How many picks fit into so many tokens: at least one, at most those scored."""
        return max(1, min(int(self.at[-1]), int(within_tokens(self.scorer.embeddings.tokens[self.order], np.array([tokens]))[0])))

    def read(self, n: int, bound: float = np.nan) -> Scores:
        """The scores of the first n picks; `bound` as for `Scorer`."""
        read = dict(zip(read_off_of(self.scorer), np.atleast_1d(self._curve(np.log(n))).tolist(), strict=True))
        read = {name: float(np.exp(value)) if name in FALLING else value for name, value in read.items()}
        read = {name: value if np.isfinite(self.scored[name]).all() else np.nan for name, value in read.items()}
        tokens = int(self.tokens[n - 1])
        return Scores(
            sentences=n,
            tokens=tokens,
            share_of_optimum=min(1.0, read["log_det"] / bound) if bound > 0 else np.nan,
            perplexity=np.nan if self._losses is None else float(np.exp(self._losses[n - 1] / tokens)),
            topics=np.nan if self.scorer.topics is None else float(np.searchsorted(self.new_topics, n)),
            **read,
            **({} if self.scorer.aim is None else self.scorer.aim.shares(self.order[:n])),
        )


def read_off_of(scorer: Scorer) -> tuple[str, ...]:
    """The criteria that are read off a curve."""
    return READ_OFF if scorer.aim is None else READ_OFF_AIMED


def pick_path(scorer: Scorer, selector: Selector, seed: int, order: Order, *, store: Store | None = None) -> ScoredOrder:
    """The path of a selector's order, scored unless it is in the store."""
    made = {"order": order_key(scorer.embeddings, selector, seed).digest}
    return _path(scorer, order.positions, len(order), _key(scorer, {"top": len(order)}, made), store)


def draw_paths(
    scorer: Scorer,
    seed: int,
    *,
    picks: int | None = None,
    draws: int = LEAST_DRAWS,
    store: Store | None = None,
    on_progress: Tell | None = None,
) -> tuple[ScoredOrder, ...]:
    """The paths of the random draws that `chance` scores too, each kept in the store.

    `picks`: the most sentences that a selection compared with them has; by default the whole pool.
    """
    found = []
    orders = draw_orders(len(scorer.embeddings), draws, seed)
    top = _reach(scorer, orders, picks)
    for k, order in enumerate(orders):
        found.append(_path(scorer, order, top, _draw_key(scorer, k, seed, top), store))
        if on_progress:
            on_progress(k + 1, draws)
    return tuple(found)


def are_kept(
    scorer: Scorer, seed: int, *, picks: int | None = None, draws: int = LEAST_DRAWS, store: Store | None = None
) -> bool:
    """Whether the paths of all draws are in the store, so that asking for them costs nothing."""
    store = store or Store.default()
    top = _reach(scorer, draw_orders(len(scorer.embeddings), draws, seed), picks)
    return all(store.find(_draw_key(scorer, k, seed, top)) is not None for k in reversed(range(draws)))


def _reach(scorer: Scorer, orders: np.ndarray, picks: int | None) -> int:
    """How many records every draw needs to hold as many tokens as any selection of `picks` sentences."""
    tokens, N = scorer.embeddings.tokens, len(scorer.embeddings)
    if picks is None or picks >= N:
        return N
    most = np.array([np.sort(tokens)[N - picks :].sum()])
    return min(N, max(picks, *(int(within_tokens(tokens[order], most)[0]) for order in orders)))


def read_off(
    pool: Pool,
    selectors: Sequence[tuple[Selector, Order, ScoredOrder]],
    n: int,
    draws: Sequence[ScoredOrder],
    *,
    equal: str = "sentences",
    seed: int = 0,
    bounds: np.ndarray | None = None,
    whole: Scores | None = None,
) -> Comparison:
    """What `compare` gives at a budget of n sentences of the first selector, read off.

    Args:
        selectors: each with its order and the path of that order.
        bounds: (k,) no selection of 1, 2, ... sentences gains more (TokenOD's); without them nothing is proven.
        whole: the scores of the whole pool, if they are at hand.
    """
    scorer = draws[0].scorer
    first, order, _ = selectors[0]
    spent = int(first.cut(pool, order, Budget(sentences=n), seed).tokens.sum())
    bound = float(bounds[n - 1]) if bounds is not None and equal == "sentences" and n <= len(bounds) else np.nan
    model = str(pool.embeddings.facts.get("model", ""))
    chosen, baselines = {}, {}
    for selector, order, scored in selectors:
        at = n if equal == "sentences" else min(len(order), scored.within(spent))
        taken = selector.cut(pool, order, Budget(sentences=at), seed if selector.random else 0)
        chosen[selector.name] = Row(selector.name, label_of(selector, seed), (scored.read(at, bound),), model, selection=taken)
    amounts = {"sentences": n, "tokens": spent}
    for kind, amount in amounts.items():
        proven = bound if kind == equal else np.nan
        scores = tuple(d.read(n if kind == "sentences" else d.within(spent), proven) for d in draws)
        baselines[kind] = random_row(kind, amount, scores)
    return found_between(
        pool,
        pool,
        chosen,
        baselines,
        equal=equal,
        amount=amounts[equal],
        reference=first.name,
        seed=seed,
        sigma2=scorer.sigma2,
        whole=whole or whole_pool(scorer),
        read_off=len(draws[0].at),
    )


def _path(scorer: Scorer, order: np.ndarray, top: int, key: ArtifactKey, store: Store | None) -> ScoredOrder:
    at = grid(top, POINTS)

    def compute() -> dict[str, np.ndarray]:
        found = list(scorer.along(order, at))
        return {name: np.array([getattr(s, name) for s in found], dtype=np.float64) for name in read_off_of(scorer)}

    scored = cached_arrays(store or Store.default(), key, compute) if scorer.embeddings.key else compute()
    return ScoredOrder(scorer, order, at, scored)


def _draw_key(scorer: Scorer, number: int, seed: int, top: int) -> ArtifactKey:
    whole = top == len(scorer.embeddings)
    return _key(scorer, {"draw": number, "seed": seed, **({} if whole else {"top": top})}, {})


def _key(scorer: Scorer, about: dict[str, Any], made: dict[str, str]) -> ArtifactKey:
    parameters = {**about, "points": POINTS, "sigma2": scorer.sigma2, "statistics": scorer.statistics is not None}
    return ArtifactKey(ALONG, 1, parameters, {"embeddings": scorer.embeddings.key, **made})
