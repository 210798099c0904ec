"""Random draws, and the whole pool, under every criterion; scored once and kept in the store.  Knows no selector."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace

import numpy as np

from fishersft.design.trajectory import draw_orders, within_tokens
from fishersft.scoring.criteria import TARGET_CRITERIA, Scorer, Scores
from fishersft.store.artifacts import ArtifactKey, Store, cached_arrays

CHANCE = "chance"
DEPENDS = ("share_of_optimum", *TARGET_CRITERIA)  # on the bound, and on whether there is a target
KEPT = tuple(f.name for f in fields(Scores) if f.name not in DEPENDS)
Tell = Callable[[int, int], None]


def drawn(tokens: np.ndarray, equal: str, amount: int, draws: int, seed: int) -> list[np.ndarray]:
    """The draws: positions, `amount` sentences each or the longest prefix of at most `amount` tokens, but at least one record."""
    orders = draw_orders(len(tokens), draws, seed)
    if equal == "sentences":
        return [o[:amount] for o in orders]
    return [o[: max(1, int(within_tokens(tokens[o], np.array([amount]))[0]))] for o in orders]


def shared_by(
    tokens: np.ndarray, picks: Mapping[str, np.ndarray], equal: str, amount: int, draws: int, seed: int
) -> dict[str, tuple[int, ...]]:
    """By name, how many of its picks (positions) each random draw holds too."""
    found = drawn(tokens, equal, amount, draws, seed)
    return {name: tuple(len(np.intersect1d(some, one)) for one in found) for name, some in picks.items()}


def chance(
    scorer: Scorer,
    equal: str,
    amount: int,
    *,
    draws: int,
    seed: int,
    bound: float = np.nan,
    store: Store | None = None,
    on_progress: Tell | None = None,
) -> tuple[Scores, ...]:
    """The scores of each draw; see `drawn` for the arguments and `bound_at` for the bound."""

    sets = drawn(scorer.embeddings.tokens, equal, amount, draws, seed)
    return _kept(scorer, _about(equal, amount, draws, seed), lambda: _scored(scorer, sets, on_progress), store, bound)


def whole_pool(scorer: Scorer, *, store: Store | None = None) -> Scores:
    """Every record selected: what no selection can go beyond, and what perplexity and lengths are measured against."""
    everything = [np.arange(len(scorer.embeddings))]
    found = _kept(scorer, {"equal": "everything"}, lambda: _scored(scorer, everything, None), store, np.nan)[0]
    return replace(found, radius=0.0)  # but for rounding


def is_kept(scorer: Scorer, equal: str, amount: int, *, draws: int, seed: int, store: Store | None = None) -> bool:
    """Whether these draws are scored already, so that asking for them costs nothing."""
    return (store or Store.default()).find(_key(scorer, _about(equal, amount, draws, seed))) is not None


def _about(equal: str, amount: int, draws: int, seed: int) -> dict[str, object]:
    return {"equal": equal, "amount": amount, "draws": draws, "seed": seed}


def _scored(scorer: Scorer, sets: list[np.ndarray], tell: Tell | None) -> dict[str, np.ndarray]:
    found = []
    for positions in sets:
        found.append(scorer(positions))
        if tell:
            tell(len(found), len(sets))
    return {name: np.array([getattr(s, name) for s in found], dtype=np.float64) for name in kept_of(scorer)}


def kept_of(scorer: Scorer) -> tuple[str, ...]:
    """The criteria that are kept of a draw."""
    return KEPT if scorer.aim is None else (*KEPT, *TARGET_CRITERIA)


def _kept(
    scorer: Scorer,
    about: dict[str, object],
    compute: Callable[[], dict[str, np.ndarray]],
    store: Store | None,
    bound: float,
) -> tuple[Scores, ...]:
    named = scorer.embeddings.key  # rows made by hand have no name to keep the scores under
    arrays = cached_arrays(store or Store.default(), _key(scorer, about), compute) if named else compute()
    found = []
    names = kept_of(scorer)
    for values in zip(*(arrays[name] for name in names), strict=True):
        line = dict(zip(names, map(float, values), strict=True))
        share = min(1.0, line["log_det"] / bound) if bound > 0 else np.nan
        sentences, tokens = (int(line.pop(name)) for name in ("sentences", "tokens"))
        found.append(Scores(sentences, tokens, **line, share_of_optimum=share))
    return tuple(found)


def _key(scorer: Scorer, about: dict[str, object]) -> ArtifactKey:
    topics = "" if scorer.topics is None else hashlib.sha256("\x00".join(map(str, scorer.topics)).encode()).hexdigest()
    parameters = {
        **about,
        "sigma2": scorer.sigma2,
        "criteria": list(kept_of(scorer)),
        "statistics": scorer.statistics is not None,
    }
    return ArtifactKey(CHANCE, 1, parameters, {"embeddings": scorer.embeddings.key, "topics": topics})
