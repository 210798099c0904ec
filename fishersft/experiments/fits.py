"""What is read off error curves, in numbers with intervals.

    slope     of log(mean error) on log(n), least squares; interval by a bootstrap over runs.  Theory says -1/2, the paper
              saw about -0.3
    ratio     how many times as many Uniform needs for the error that a selector has at n, read off Uniform's curve, which is
              straight between its points on log-log axes; interval by the same bootstrap
    paired    log(error / Uniform's error) run by run: the geometric mean of the ratio with a t interval, and the p value of
              Wilcoxon's signed-rank test, not corrected for there being as many tests as budgets
    growth    of a sweep: the slope of log(mean error) on log(d), or log(L); 1 is what the theorem's O(dL / sqrt n) allows
    bound     c d L / sqrt(n), the shape of the theorem's O(dL / sqrt n), with c fitted to the reference's maximum error: a
              line for comparison, not a bound

"n" is what was held equal: sentences, or trained tokens.  Source: FisherSFT (arXiv 2505.14826), section 5.1 and its theorem.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fishersft.design.trajectory import Curve
from fishersft.experiments.result import MEASURES, Point, Result, interval

GUIDES = (-0.5, -0.3)
DRAWS = 2_000
BASELINE = "uniform"
SAME = 1e-4  # of an error: two fits on the same sentences may differ by as much


@dataclass(frozen=True)
class Estimate:
    """A number with a 95% interval, NaN where there is none.  Where the curve ends before the answer, `low` is 0 or `high`
    infinite, and `side` is "at least" or "at most"."""

    value: float
    low: float = np.nan
    high: float = np.nan
    side: str = ""


@dataclass(frozen=True)
class Paired:
    """The geometric mean over runs of error / another selector's error at one budget (below 1 is better), and the two-sided p
    of Wilcoxon's signed-rank test; NaN with fewer than two runs."""

    n: int
    ratio: Estimate
    p: float


@dataclass(frozen=True)
class Fits:
    """What is read off the curves of one measure, by selector; `constant` is c of the bound's shape.

    Slopes are NaN with a single budget.  `ratios` and `paired` have a value for each budget of each selector but Uniform, and
    are empty where Uniform was not measured.
    """

    measure: str
    slopes: dict[str, Estimate]
    ratios: dict[str, list[Estimate]]
    paired: dict[str, list[Paired]]
    constant: float


def fits_of(result: Result, measure: str = "maximum", seed: int = 0) -> Fits:
    """All fits of an experiment's result (not of a sweep's); `seed` is the bootstrap's."""
    x = result.spent()
    each = {name: result.each(name, measure) for name in result.selectors}
    draws = _resampled(result.runs, seed)
    others = [name for name in each if name != BASELINE] if BASELINE in each else []
    return Fits(
        measure=measure,
        slopes={name: _slope(x, values, draws) for name, values in each.items()},
        ratios={name: _ratios(x, each[name], each[BASELINE], draws) for name in others},
        paired={name: paired(result, name, BASELINE, measure) for name in others},
        constant=_constant(result),
    )


def growth(result: Result, over: str, selector: str, measure: str = "maximum") -> Estimate:
    """The power of `dimension` or `classes` that a selector's error grows with along a sweep; NaN with a single value."""
    x = result.along(over, selector, measure).x
    return _slope(x, result.each_along(over, selector, measure), _resampled(result.runs, 0))


def guide(result: Result, selector: str, slope: float, measure: str = "maximum") -> Curve:
    """A line with this slope on log-log axes through a selector's first point."""
    x, y = result.spent(), result.each(selector, measure).mean(0)
    return Curve(f"slope {slope:g}", result.budgets, y[0] * (x / x[0]) ** slope, result.unit, MEASURES[measure])


def bound_shape(result: Result) -> Curve:
    """c d L / sqrt(n) with c fitted to the reference's maximum error."""
    d, L = result.point
    c, root = _constant(result), "√n" if result.equal == "sentences" else "√tokens"
    y = c * d * L / np.sqrt(result.spent())
    return Curve(f"the bound's shape, {c:.3g}·dL/{root}, {c:.3g} fitted", result.budgets, y, result.unit, MEASURES["maximum"])


def _constant(result: Result) -> float:
    """c with the least squares of logs."""
    d, L = result.point
    y = result.each(result.reference, "maximum").mean(0)
    return float(np.exp(np.mean(np.log(y) - np.log(d * L / np.sqrt(result.spent())))))


def _resampled(runs: int, seed: int) -> np.ndarray:
    """(draws, runs): the same resampled runs for every selector, because all saw the same problems."""
    return np.random.default_rng(seed).integers(runs, size=(DRAWS if runs > 1 else 0, runs))


def _slope(x: np.ndarray, each: np.ndarray, draws: np.ndarray) -> Estimate:
    if len(x) < 2:
        return Estimate(np.nan)
    t = np.log(x) - np.log(x).mean()
    slopes = np.log(np.concatenate([each.mean(0)[None], each[draws].mean(1)])) @ t / (t @ t)
    return Estimate(float(slopes[0]), *_percentiles(slopes[1:]))


def _ratios(x: np.ndarray, each: np.ndarray, uniform: np.ndarray, draws: np.ndarray) -> list[Estimate]:
    """For each x, the place where Uniform's curve has this error, over x."""
    value = _read_off(x, uniform.mean(0)[None], each.mean(0)[None])[0]
    drawn = _read_off(x, uniform[draws].mean(1), each[draws].mean(1))
    out = []
    for k in range(len(x)):
        side = {np.inf: "at least", 0.0: "at most"}.get(value[k], "")
        there = float(np.clip(value[k], x[0], x[-1]) / x[k])
        low, high = _percentiles(drawn[:, k])
        out.append(Estimate(there, low / x[k], high / x[k], side))
    return out


def _read_off(x: np.ndarray, curves: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(draws, k) the x at which each curve (draws, k) falls to the wanted values (draws, k): infinite where it never does, 0
    where it was there before its first point."""
    out = np.empty_like(wanted)
    log_x = np.log(x)
    for i, (curve, values) in enumerate(zip(np.log(curves), np.log(wanted), strict=True)):
        falling = np.minimum.accumulate(curve)  # over few runs it may rise in places: the first x that is good enough counts
        found = np.exp(np.interp(-values, -falling, log_x))
        out[i] = np.where(values < falling[-1] - SAME, np.inf, np.where(values > curve[0] + SAME, 0.0, found))
    return out


def paired(
    result: Result, selector: str, base: str = BASELINE, measure: str = "maximum", point: Point | None = None
) -> list[Paired]:
    """A selector's errors over those of another, run by run: one a budget; of a sweep, at a point."""
    from scipy.stats import wilcoxon  # takes a second to load, which the first page does not need

    apart = _apart(result, selector, base, measure, point)
    out = []
    for k, (n, ratio) in enumerate(zip(result.budgets, _in_ratios(apart), strict=True)):
        p = 1.0  # where all differences are zero there is nothing to test
        if len(apart) < 2 or np.abs(apart[:, k]).max() > 0:
            p = float(wilcoxon(apart[:, k]).pvalue) if len(apart) > 1 else np.nan
        out.append(Paired(int(n), ratio, p))
    return out


def ratio_to(
    result: Result, selector: str, base: str = BASELINE, measure: str = "maximum", point: Point | None = None
) -> list[Estimate]:
    """The ratios of `paired`, without its tests."""
    return _in_ratios(_apart(result, selector, base, measure, point))


def _in_ratios(apart: np.ndarray) -> list[Estimate]:
    """The mean ratio at each budget with its interval over runs, from (runs, k) logarithms."""
    mean, low, high = interval(apart)
    nothing = np.full_like(mean, np.nan)
    ends = np.exp([mean, nothing if low is None else low, nothing if high is None else high])
    return [Estimate(float(ratio), float(least), float(most)) for ratio, least, most in ends.T]


def _apart(result: Result, selector: str, base: str, measure: str, point: Point | None) -> np.ndarray:
    """(runs, k) how far the logarithms of two selectors' errors are apart."""
    apart = np.log(result.each(selector, measure, point)) - np.log(result.each(base, measure, point))
    apart[:, np.abs(apart).max(0) < SAME] = 0.0  # the same sentences in every run
    return apart


def along_over_uniform(result: Result, over: str, measure: str = "maximum") -> dict[str, list[Estimate]]:
    """Of a sweep: each selector's error over Uniform's, run by run, at each value of `dimension` or `classes`; empty where
    Uniform was not measured."""
    others = [name for name in result.selectors if name != BASELINE] if BASELINE in result.selectors else []
    points = result.points_along(over)
    return {name: [ratio_to(result, name, BASELINE, measure, point)[0] for point in points] for name in others}


def _percentiles(drawn: np.ndarray) -> tuple[float, float]:
    if not len(drawn):
        return np.nan, np.nan
    # no interpolation between two draws, because one of them may be infinite
    return float(np.percentile(drawn, 2.5, method="lower")), float(np.percentile(drawn, 97.5, method="higher"))
