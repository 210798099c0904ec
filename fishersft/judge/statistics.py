"""The statistics of verdicts: win rate, biases of the judge, exact test, agreement, ranking.  Pure functions on arrays.

    score      s_i = 1 (a won), 1/2 (tie), 0 (b won); win rate p = mean of s_i
    cluster    prompts are independent; verdicts on the same prompt (several seeds or budgets) are not
    interval   Wilson's with n_eff = n / deff verdicts, deff = the variance of p clustered by prompt over p(1-p)/n, at least 1
    exact      two-sided sign test over prompts of whether half of them are won; tied prompts do not enter
    adjusted   logit P(a wins) = b0 + b1 z, z = how much longer a is, in standard deviations; sigma(b0): at equal length
    ranking    Bradley-Terry by logistic regression (scikit-learn) with ties as half wins; intervals by resampling prompts

`scores` are always (n,) and `prompts` (n,) the prompt of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

ENDS = (0.025, 0.975)  # quantiles of a 95% interval
Z = 1.959963984540054  # of a two-sided 95% interval
Z_POWER = 0.8416212335729143  # of 80% power
DRAWS = 200  # resamples of prompts for the intervals of a ranking; each needs a fit
RESAMPLES = 2_000  # for an interval that needs no fit
RIDGE = 0.1  # prior wins that keep an unbeaten player's strength finite: 1 / C of the fit


@dataclass(frozen=True)
class Rate:
    """A share of `n` things with its 95% interval; `effective` is the number of independent ones that they are worth."""

    value: float
    low: float
    high: float
    n: int
    effective: float


@dataclass(frozen=True)
class Agreement:
    """Cohen's kappa of two raters on the same n items, and the share of items on which they agree."""

    kappa: float
    low: float
    high: float
    observed: float
    n: int


@dataclass(frozen=True)
class Strength:
    """A player's Bradley-Terry strength with its interval, in log odds against the mean of all players (0)."""

    name: str
    value: float
    low: float
    high: float


def wilson(p: float, n: float) -> tuple[float, float]:
    """Wilson's 95% interval of a share `p` of `n` trials, neither of which need be whole."""
    if n <= 0:
        return 0.0, 1.0
    middle = p + Z * Z / (2 * n)
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    low, high = (middle - half) / (1 + Z * Z / n), (middle + half) / (1 + Z * Z / n)
    return (0.0 if p == 0 else max(0.0, low)), (1.0 if p == 1 else min(1.0, high))


def win_rate(scores: np.ndarray, prompts: np.ndarray) -> Rate:
    """Mean score with Wilson's interval, clustered by prompt."""
    scores, prompts = _checked(scores, prompts)
    n = len(scores)
    if n == 0:
        return Rate(math.nan, 0.0, 1.0, 0, 0.0)
    p = float(scores.mean())
    effective = effective_number(scores, prompts)
    return Rate(p, *wilson(p, effective), n, effective)


def effective_number(scores: np.ndarray, prompts: np.ndarray) -> float:
    """The number of independent verdicts that n clustered ones are worth: never more than n.  With one prompt, or where all
    verdicts agree, the spread between prompts is unknown; then it is the number of prompts."""
    scores, prompts = _checked(scores, prompts)
    _, cluster = np.unique(prompts, return_inverse=True)
    n, k = len(scores), int(cluster.max()) + 1
    p = float(scores.mean())
    if k == n or k < 2 or np.all(scores == scores[0]):
        return float(k)
    sums = np.bincount(cluster, weights=scores - p)
    clustered = k / (k - 1) * float((sums**2).sum()) / n**2
    return float(n) if clustered == 0 else min(float(n), max(1.0, p * (1 - p) / clustered))


def exact_test(scores: np.ndarray, prompts: np.ndarray) -> float:
    """Two-sided p-value of the sign test over prompts (won as often as lost); 1 where no prompt is decided."""
    means = per_prompt(scores, prompts)
    won, lost = int((means > 0.5).sum()), int((means < 0.5).sum())
    return float(binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0


def per_prompt(scores: np.ndarray, prompts: np.ndarray) -> np.ndarray:
    """Mean score of each prompt, in the order of the prompts' numbers."""
    scores, prompts = _checked(scores, prompts)
    _, cluster = np.unique(prompts, return_inverse=True)
    return np.asarray(np.bincount(cluster, weights=scores) / np.bincount(cluster)) if len(scores) else np.empty(0)


def prompts_needed(scores: np.ndarray, prompts: np.ndarray, points: float = 0.05) -> tuple[int, int]:
    """Prompts that show a rate of 0.5 + `points` (two-sided 5%, power 80%): at this spread of verdicts, and without ties."""
    means = per_prompt(scores, prompts)
    spread = float(means.var()) if len(means) > 1 else 0.25
    factor = (Z + Z_POWER) ** 2 / points**2
    return math.ceil(factor * spread), math.ceil(factor * 0.25)


def length_adjusted(scores: np.ndarray, longer: np.ndarray, prompts: np.ndarray) -> Rate | None:
    """The win rate at equal length, from a logistic regression on `longer`, (n,) tokens of a minus tokens of b.  The interval
    is that of the sandwich estimate, clustered by prompt; None where the rate is undefined."""
    scores, prompts = _checked(scores, prompts)
    spread = float(np.std(longer)) if len(scores) else 0.0
    if len(scores) < 3 or len(np.unique(prompts)) < 3 or np.all(scores == scores[0]):
        return None
    if spread == 0.0:
        rate = win_rate(scores, prompts)
        return rate if longer[0] == 0 else None  # always longer by the same: length and text cannot be told apart
    x = np.column_stack([np.ones(len(scores)), np.asarray(longer, float) / spread])
    b = _coefficients(np.vstack([x, x]), np.r_[scores, 1 - scores])
    p = 1 / (1 + np.exp(-x @ b))
    bread = np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x + 0.1 * np.eye(2))
    _, cluster = np.unique(prompts, return_inverse=True)
    pull = np.zeros((int(cluster.max()) + 1, 2))
    np.add.at(pull, cluster, x * (scores - p)[:, None])
    half = Z * math.sqrt(float((bread @ (pull.T @ pull) @ bread)[0, 0]) * len(pull) / (len(pull) - 1))
    low, value, high = (1 / (1 + math.exp(-v)) for v in (b[0] - half, b[0], b[0] + half))
    return Rate(value, low, high, len(scores), effective_number(scores, prompts))


def kappa(one: Sequence[str], other: Sequence[str], prompts: Sequence[int], seed: int = 0) -> Agreement:
    """Cohen's kappa of two raters who said a, b or tie for the same items; the interval comes from resampling prompts."""
    if len(one) != len(other) or len(one) != len(prompts):
        raise ValueError("two raters must have rated the same items")
    if not one:
        return Agreement(math.nan, -1.0, 1.0, math.nan, 0)
    labels = sorted({*one, *other})
    i, j = (np.array([labels.index(x) for x in said]) for said in (one, other))
    value = _kappa(i, j, len(labels))
    drawn = [_kappa(i[rows], j[rows], len(labels)) for rows in _resampled(np.asarray(prompts), RESAMPLES, seed)]
    known = [v for v in drawn if not math.isnan(v)]
    few = len({*prompts}) < 2 or not known or math.isnan(value)
    low, high = (-1.0, 1.0) if few else np.quantile(known, ENDS)
    return Agreement(value, float(low), float(high), float(np.mean(i == j)), len(one))


def _kappa(i: np.ndarray, j: np.ndarray, k: int) -> float:
    """(observed - expected) / (1 - expected); nan where both always gave the same answer."""
    table = np.bincount(i * k + j, minlength=k * k).reshape(k, k) / len(i)
    expected = float(table.sum(1) @ table.sum(0))
    return math.nan if expected >= 1 - 1e-12 else (float(np.trace(table)) - expected) / (1 - expected)


def bradley_terry(
    a: Sequence[str], b: Sequence[str], scores: np.ndarray, prompts: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> list[Strength]:
    """Strengths of all players, the strongest first; a beats b with log odds strength(a) - strength(b).  A light ridge keeps
    the strength of an unbeaten player finite, and puts players without comparisons at the mean."""
    scores, prompts = _checked(scores, prompts)
    names = sorted({*a, *b})
    if len(names) < 2:
        return []
    i, j = (np.array([names.index(x) for x in side]) for side in (a, b))
    value = _strengths(i, j, scores, np.ones(len(scores)), len(names))
    weights = (np.bincount(rows, minlength=len(scores)).astype(float) for rows in _resampled(prompts, draws, seed))
    drawn = [_strengths(i, j, scores, weight, len(names)) for weight in weights]
    low, high = np.quantile(drawn, ENDS, axis=0) if drawn else (value, value)
    found = [Strength(n, float(v), float(x), float(y)) for n, v, x, y in zip(names, value, low, high, strict=True)]
    return sorted(found, key=lambda s: (-s.value, s.name))


def _strengths(i: np.ndarray, j: np.ndarray, scores: np.ndarray, weight: np.ndarray, k: int) -> np.ndarray:
    """(k,) log odds about their mean, fitted on wins and losses added up by pair."""
    wins = np.bincount(i * k + j, weights=weight * scores, minlength=k * k)
    wins += np.bincount(j * k + i, weights=weight * (1 - scores), minlength=k * k)
    winner, loser = np.divmod(np.flatnonzero(wins), k)
    x = np.zeros((len(winner), k))
    x[np.arange(len(winner)), winner], x[np.arange(len(winner)), loser] = 1.0, -1.0
    # Every win is also a loss turned around: the fit wants both classes.
    strengths = _coefficients(np.vstack([x, -x]), np.tile(wins[np.flatnonzero(wins)], 2) / 2)
    return strengths - strengths.mean()


def _coefficients(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Those of a logistic regression on rows whose first half was won and whose second half was lost."""
    fit = LogisticRegression(C=1 / RIDGE, fit_intercept=False, tol=1e-8, max_iter=1000)
    fit.fit(x, np.repeat([1.0, 0.0], len(x) // 2), sample_weight=weights)
    return np.asarray(fit.coef_[0])


def _resampled(prompts: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Row numbers when as many prompts are drawn with replacement, each with all of its rows; `draws` times."""
    _, cluster = np.unique(prompts, return_inverse=True)
    order = np.argsort(cluster, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(cluster))[:-1])
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.concatenate([groups[g] for g in rng.integers(len(groups), size=len(groups))])


def _checked(scores: np.ndarray, prompts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, prompts = np.asarray(scores, float), np.asarray(prompts)
    if scores.shape != prompts.shape or scores.ndim != 1:
        raise ValueError("scores and prompts must have one entry a verdict")
    if scores.size and (scores.min() < 0 or scores.max() > 1):
        raise ValueError("a score lies between 0 and 1")
    return scores, prompts
