"""Tokens saved: how many tokens of a random draw reach the loss that a selection reaches?

The losses of random draws against their tokens, from the untuned model at 0, are made monotone (isotonic regression) and joined
by a monotone cubic (PCHIP; Fritsch and Carlson 1980) over log(1 + tokens / the fewest).  The curve C is homogeneous of degree 1
in the losses at its points, so C = sum_k w_k y_k with w its gradient; for every seed and every draw of texts it is that sum.

The interval holds the token counts T at which the selection's loss minus C(T) is not clearly different from 0, as Fieller's does:
it is honest where the curve is flat, and open where it ends.  Knows no run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import inf, nan
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from sklearn.isotonic import isotonic_regression

from fishersft.finetuning.intervals import Interval, Sampled, interval, together

STEP = 1e-6  # of the losses' range, for the gradient
ROOT = 1e-5  # of log(1 + tokens / scale)
FLAT = 1e-9  # nats; of a flat stretch the fewest tokens count


@dataclass(frozen=True)
class TokensSaved:
    """What a selection is worth in tokens of a random draw.

    Attributes:
        equal: tokens of a random draw with the same loss; infinite where the draws that were trained do not get there.
        reach: the most tokens of a random draw that were trained.
        spent: tokens of the selection.
        choosing: tokens that are trained in the time that choosing took; NaN where that is not known.  Neither embedding the pool
            nor what another selector had computed before, such as losses, is in that time.
    """

    equal: Interval
    reach: float
    spent: float
    choosing: float = nan

    @property
    def gross(self) -> Interval:
        """Tokens saved; below 0, a random draw needs fewer."""
        return Interval(*(end - self.spent for end in (self.equal.value, self.equal.low, self.equal.high)))

    @property
    def net(self) -> Interval:
        """The same less what choosing cost; NaN where that is not known."""
        return Interval(*(end - self.choosing for end in (self.gross.value, self.gross.low, self.gross.high)))

    @property
    def worth(self) -> str:
        """ "10,673 (7,974 to 15,204) tokens", or "more than 51,323 tokens" where the draws that were trained do not get there."""
        return f"{self._words(lambda tokens: f'{tokens:,.0f}')} tokens"

    @property
    def times(self) -> str:
        """Tokens of a random draw that each of the selection's is worth: "6.1 (5.0 to 7.5)", or "more than 20"."""
        return self._words(self._times)

    @property
    def times_alone(self) -> str:
        """The same without the interval."""
        return self._words(self._times, alone=True)

    def _times(self, tokens: float) -> str:
        """Two digits: 0.083, 6.1, 120."""
        return f"{float(f'{tokens / self.spent:.2g}'):,g}"

    def _words(self, number: Callable[[float], str], *, alone: bool = False) -> str:
        value, low, high = (
            f"more than {number(self.reach)}" if end == inf else number(end)
            for end in (self.equal.value, self.equal.low, self.equal.high)
        )
        if alone or np.isnan(self.equal.low) or self.equal.low >= self.reach:
            return value
        return f"{value} ({f'at least {low}' if self.equal.value == inf else f'{low} to {high}'})"

    @property
    def words(self) -> str:
        """ "-4,390 (-7,089 to +141) net of choosing", or "before choosing" where its seconds are not known."""
        known = not np.isnan(self.choosing)
        e, least = (self.net, self.reach - self.spent - self.choosing) if known else (self.gross, self.reach - self.spent)
        what = "net of choosing" if known else "before choosing"
        if e.value == inf:
            return f"more than {least:+,.0f} {what}"
        ends = (
            "" if np.isnan(e.low) else f" ({e.low:+,.0f} to {f'more than {least:+,.0f}' if e.high == inf else f'{e.high:+,.0f}'})"
        )
        return f"{e.value:+,.0f}{ends} {what}"

    def as_dict(self) -> dict[str, Any]:
        """All of it as numbers; `beyond` where the random draws that were trained do not get there."""
        return {**asdict(self), "gross": asdict(self.gross), "net": asdict(self.net), "beyond": self.equal.value == inf}


@dataclass(frozen=True)
class RandomCurve:
    """Losses of random draws: (K,) tokens, ascending from 0, and as many measurements under the same draws of texts."""

    tokens: np.ndarray
    losses: tuple[Sampled, ...]

    def __post_init__(self) -> None:
        if (
            len(self.tokens) < 2
            or self.tokens[0] != 0
            or (np.diff(self.tokens) <= 0).any()
            or len(self.losses) != len(self.tokens)
        ):
            raise ValueError("tokens must ascend from 0, each with its losses")

    @classmethod
    def of(cls, points: Sequence[tuple[float, Sampled]]) -> RandomCurve:
        """The curve of measured draws and of the untuned model at 0, each with its tokens, in any order."""
        ordered = sorted(points, key=lambda point: point[0])
        return cls(np.array([tokens for tokens, _ in ordered], dtype=float), tuple(one for _, one in ordered))

    @property
    def scale(self) -> float:
        return float(self.tokens[1])

    @cached_property
    def _curves(self) -> PchipInterpolator:
        """The curve, and the K curves with one loss a little higher, over log(1 + tokens / scale)."""
        y = np.array([one.seeds.mean() for one in self.losses])
        step = STEP * (np.ptp(y) or 1.0)
        all_y = y + step * np.vstack([np.zeros(len(y)), np.eye(len(y))])
        monotone = np.stack([isotonic_regression(row, increasing=False) for row in all_y], axis=1)
        return PchipInterpolator(np.log1p(self.tokens / self.scale), monotone)

    def at(self, tokens: float) -> float:
        """C(tokens): nats per token."""
        return float(self._curves(np.log1p(tokens / self.scale))[0])

    def sampled(self, tokens: float) -> list[Sampled]:
        """C(tokens) as independent terms: draws of the same seeds together, the untuned model and other single ones apart."""
        y = np.array([one.seeds.mean() for one in self.losses])
        values = self._curves(np.log1p(tokens / self.scale))
        weights = (values[1:] - values[0]) / (STEP * (np.ptp(y) or 1.0))
        return together(one.times(float(weight)) for weight, one in zip(weights, self.losses, strict=True))

    def difference(self, selection: Sampled, tokens: float) -> Interval:
        """The selection's loss minus the curve's at so many tokens; it rises with them."""
        return interval(selection, *(one.times(-1) for one in self.sampled(tokens)))

    def equal(self, selection: Sampled) -> Interval:
        """The tokens at which the curve has the selection's loss."""
        loss, end = float(selection.seeds.mean()), float(self.tokens[-1])
        value = self._root(lambda tokens: loss - self.at(tokens) + FLAT)
        if np.isnan(self.difference(selection, end).low):
            return Interval(value, nan, nan)
        low = self._root(lambda tokens: self.difference(selection, tokens).high)
        high = self._root(lambda tokens: self.difference(selection, tokens).low)
        return Interval(value, min(low, value, end), max(high, value))

    def _root(self, rising: Callable[[float], float]) -> float:
        """The tokens where a rising function of them is 0; 0 where it begins above 0, infinite where it ends below."""
        top = float(np.log1p(self.tokens[-1] / self.scale))

        def of(x: float) -> float:
            return rising(float(np.expm1(x) * self.scale))

        if of(0.0) >= 0:
            return 0.0
        return inf if of(top) < 0 else float(np.expm1(brentq(of, 0.0, top, xtol=ROOT)) * self.scale)
