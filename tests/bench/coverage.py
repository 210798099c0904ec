"""How often 95 % intervals of fine-tuning hold the truth, in simulated runs whose truth is known.

    difference    of two selections that are equally good, beside a bootstrap that draws texts and seeds
    tokens saved  of a selection that is as good as a known number of tokens of a random draw

A simulated loss of a text is L(T) of a power law, slower or faster by text, plus how hard the text is, what suits it in a selection,
the luck of a draw and noise of each model on each text; their sizes are about those of the shipped run, or the draws' luck larger.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from fishersft.finetuning.intervals import DRAWS, HeldOut, Interval, difference
from fishersft.finetuning.tokens_saved import RandomCurve
from fishersft.text import markdown_table

SPENT, EQUAL, WHOLE = 8_000.0, 12_000.0, 64_000.0  # tokens of the selection, of a draw as good, and of the pool
BUDGETS = {2: (4_000.0, 16_000.0), 4: (2_000.0, 4_000.0, 8_000.0, 16_000.0)}
LUCK = {"as measured": 0.005, "larger": 0.02}  # nats per token between draws
TEXT, FIT, NOISE, SHARED = 0.5, 0.06, 0.05, 0.7


def loss(tokens: float) -> float:
    """L(T), nats per token."""
    return 3.0 + 1.7 * (1 + tokens / 1_500) ** -0.35


class World:
    """Held-out texts, and models that are measured on them."""

    def __init__(self, rng: np.random.Generator, texts: int, luck: float) -> None:
        self.rng, self.H, self.luck = rng, texts, luck
        self.tokens = 1 + rng.poisson(rng.lognormal(3.3, 0.5, texts))
        self.hard, self.pace = rng.normal(0, TEXT, texts), rng.normal(1, 0.3, texts)

    def models(self, tokens: float, seeds: np.ndarray | None = None, *, fit: float = 0.0) -> HeldOut:
        """Models of so many tokens; `seeds` (S,) are what is common to the luck of one seed's draws, None for one without luck."""
        S = 1 if seeds is None else len(seeds)
        luck = np.zeros(S)
        if seeds is not None:
            luck = self.luck * (SHARED * seeds + np.sqrt(1 - SHARED**2) * self.rng.normal(size=S))
        suits = self.rng.normal(0, fit, self.H)
        noise = self.rng.normal(0, NOISE if tokens else 0.0, (S, self.H))
        nats = loss(0) - self.pace * (loss(0) - loss(tokens)) + self.hard + suits + luck[:, None] + noise
        return HeldOut(nats * self.tokens, self.tokens)


def holds(found: Interval, truth: float) -> bool:
    return found.low <= truth <= found.high


def drawn_seeds(a: HeldOut, b: HeldOut) -> Interval:
    """The interval of a bootstrap that draws texts and seeds."""
    apart = HeldOut(a.nats - b.nats, a.tokens).sampled("mean")
    S = len(apart.seeds)
    draws = (apart.draws * _seed_counts(S)).sum(axis=1) / S
    return Interval(0.0, *(float(q) for q in np.quantile(draws, [0.025, 0.975])))


@cache
def _seed_counts(S: int) -> np.ndarray:
    return np.random.default_rng(1).multinomial(S, np.full(S, 1 / S), DRAWS)


TEXTS = 100
WIDTHS = 40  # simulations whose whole interval is computed


def differences(simulations: int, seed: int, on_progress: Callable[[int, int], None]) -> str:
    """Coverage of the difference of two selections that are equally good, as a Markdown table."""
    rng, rows = np.random.default_rng(seed), []
    settings = [(size, S) for size in LUCK for S in (1, 2, 3, 5)]
    for done, (size, S) in enumerate(settings):
        hits = np.zeros(2)
        for k in range(simulations):
            world = World(rng, TEXTS, LUCK[size])
            a, b = (world.models(SPENT, rng.normal(size=S), fit=fit) for fit in (FIT, 0.0))
            hits += holds(difference(a, b, "mean"), 0.0), holds(drawn_seeds(a, b), 0.0)
            on_progress(done * simulations + k + 1, len(settings) * simulations)
        rows.append([size, str(S), *(f"{share:.1%}" for share in hits / simulations)])
    return markdown_table(["luck of a draw", "seeds", "difference", "with seeds drawn instead"], rows)


def tokens(simulations: int, seed: int, on_progress: Callable[[int, int], None]) -> str:
    """Coverage of the tokens of a random draw that are as good as a selection, as a Markdown table."""
    rng, rows = np.random.default_rng(seed), []
    settings = [(size, budgets, S) for size in LUCK for budgets in BUDGETS for S in (1, 3, 5)]
    for done, (size, budgets, S) in enumerate(settings):
        hits, wide = 0, []
        for k in range(simulations):
            world, seeds = World(rng, TEXTS, LUCK[size]), rng.normal(size=S)
            draws = [(n, world.models(n, seeds)) for n in BUDGETS[budgets]]
            points = [(0.0, world.models(0.0)), *draws, (WHOLE, world.models(WHOLE))]
            curve = RandomCurve.of([(n, of.sampled("mean")) for n, of in points])
            selection = world.models(EQUAL, rng.normal(size=S), fit=FIT).sampled("mean")
            hits += holds(curve.difference(selection, EQUAL), 0.0)  # exactly then the interval of tokens holds the truth
            if k < WIDTHS:
                found = curve.equal(selection)
                wide.append((found.high - found.low) / EQUAL)
            on_progress(done * simulations + k + 1, len(settings) * simulations)
        rows.append([size, str(budgets), str(S), f"{hits / simulations:.1%}", f"{np.median(wide):.2f}"])
    return markdown_table(["luck of a draw", "budgets", "seeds", "tokens", "median width, in the truth"], rows)
