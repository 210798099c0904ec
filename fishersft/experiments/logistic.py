"""Theta_hat: multinomial logistic regression with a ridge, in float64, to a proven distance from the minimum.

    f(Theta) = sum_t [ log sum_a exp(theta_a^T x_t) - theta_{y_t}^T x_t ] + ridge / 2 ||Theta||_F^2      Theta (d, L)
    G        = X^T (P - Y) + ridge Theta                                                                  P = softmax(X Theta)
    H[V]     = X^T (P * (X V - <P, X V>)) + ridge V

Sums over tokens, not means: `ridge` is 1 / C of scikit-learn, and there is no intercept.  Newton's method with a line search;
each step is solved by conjugate gradients with one (d, d) preconditioning block per class.  f is strongly convex, so
||Theta - minimum||_F <= ||G||_F / ridge: the fit stops when that is below `NEAR`, and reports what it reached.  The ridge also
decides classes that were never drawn and directions that no row has, and picks the Theta whose columns sum to zero.

We have our own solver because an experiment fits a thousand heads: it takes about 7 steps and 15 products, each a pass over
the tokens.  The tests compare its predictions with scikit-learn's.

Source: Newton-CG as in Nocedal and Wright, Numerical Optimization, Algorithm 7.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fishersft.errors import DesignError, ParameterError
from fishersft.experiments.settings import RIDGE_LEAST, RIDGE_MOST, MeasureSettings

RIDGE = MeasureSettings.ridge  # ours; the paper's is not public
NEAR = 1e-6  # ||Theta_hat - minimum||_F that is good enough
ROUNDING = 1e-13  # of the sum of |x|: a gradient cannot be told from zero below this
STEPS, PRODUCTS, HALVINGS = 100, 500, 40
ENOUGH = 1e-4  # of the slope: how much of the promised decrease a step must give (Armijo)


@dataclass(frozen=True)
class Fit:
    """A fitted head (d, L), whose columns sum to zero, and a proven bound on ||theta - minimum||_F."""

    theta: np.ndarray
    distance: float


def log_probabilities(X: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """(t, L) log softmax(X theta)."""
    return torch.log_softmax(torch.from_numpy(X) @ torch.from_numpy(theta), dim=1).numpy()


def fit(X: np.ndarray, y: np.ndarray, classes: int, *, ridge: float = RIDGE, start: np.ndarray | None = None) -> Fit:
    """Minimise f on (t, d) float64 rows and (t,) labels, 0 to classes - 1, from `start` (d, classes) or from zero.

    DesignError where rows are not finite, or so large that float64 cannot reach the minimum; ParameterError where float64 cannot
    work with the ridge.
    """
    if not RIDGE_LEAST <= ridge <= RIDGE_MOST:
        raise ParameterError(f"The ridge must be from {RIDGE_LEAST:g} to {RIDGE_MOST:g}, not {ridge!r}.")
    if X.ndim != 2 or y.shape != (len(X),):
        raise ValueError(f"X must be (t, d) and y (t,), not {X.shape} and {y.shape}")
    if not np.isfinite(X).all():
        raise DesignError("A head cannot be fitted: some rows are not finite numbers.")
    rows, labels = torch.from_numpy(np.ascontiguousarray(X, dtype=np.float64)), torch.from_numpy(y.astype(np.int64))
    theta = torch.zeros(X.shape[1], classes, dtype=torch.float64) if start is None else torch.from_numpy(start).clone()
    theta = centred(theta)
    enough = max(NEAR * ridge, ROUNDING * float(rows.abs().sum()))
    value, G, P = _value(rows, labels, theta, ridge)
    for step in range(STEPS + 1):
        size = float(G.norm())
        if size <= enough:
            return Fit(theta.numpy(), size / ridge)
        if step == STEPS:
            break
        direction = _newton(rows, P, G, ridge, enough)
        slope = float((G * direction).sum())
        length = 1.0
        for _ in range(HALVINGS):
            there = theta + length * direction
            new = _value(rows, labels, there, ridge)
            # near the minimum the decrease drowns in the rounding of f: there a smaller gradient will do
            if new[0] <= value + ENOUGH * length * slope or (abs(slope) <= 1e-9 * abs(value) and float(new[1].norm()) < size):
                break
            length /= 2
        else:
            break
        theta, (value, G, P) = there, new
    raise DesignError(
        f"A head could not be fitted to {len(X):,} tokens: its gradient stays at {float(G.norm()):.1e}; raise --ridge "
        "or lower --scale."
    )


def centred(theta: Any) -> Any:
    """A head whose columns sum to zero; the same predictions.  (d, L) numpy or torch."""
    return theta - theta.mean(1)[:, None]


def _value(X: torch.Tensor, y: torch.Tensor, theta: torch.Tensor, ridge: float) -> tuple[float, torch.Tensor, torch.Tensor]:
    """f, its gradient and the probabilities (t, L)."""
    logits = X @ theta
    own = logits.gather(1, y[:, None])
    total = torch.logsumexp(logits, 1, keepdim=True)
    value = float((total - own).sum() + 0.5 * ridge * (theta * theta).sum())
    P = logits.sub_(total).exp_()
    R = P.clone()
    R.scatter_add_(1, y[:, None], torch.full_like(own, -1.0))
    return value, centred(X.T @ R + ridge * theta), P


def _newton(X: torch.Tensor, P: torch.Tensor, G: torch.Tensor, ridge: float, enough: float) -> torch.Tensor:
    """V with H V = -G nearly: to a tenth far from the minimum, ever closer near it."""
    W = P * (1 - P)
    blocks = torch.stack([(X * W[:, a, None]).T @ X for a in range(P.shape[1])])  # (L, d, d) sum of p (1 - p) x x^T
    blocks.diagonal(dim1=1, dim2=2).add_(ridge)
    factor = torch.linalg.cholesky(blocks)

    def precondition(R: torch.Tensor) -> torch.Tensor:
        return centred(torch.cholesky_solve(R.T[:, :, None], factor)[:, :, 0].T)

    def product(V: torch.Tensor) -> torch.Tensor:
        A = X @ V
        A -= (P * A).sum(1, keepdim=True)
        A *= P
        return (X.T @ A).add_(V, alpha=ridge)

    size = float(G.norm())
    target = max(0.3 * enough, min(0.1, size**0.5) * size)
    V, R = torch.zeros_like(G), -G
    Z = precondition(R)
    D, rho = Z, float((R * Z).sum())
    for _ in range(PRODUCTS):
        HD = product(D)
        alpha = rho / float((D * HD).sum())
        V, R = V + alpha * D, centred(R - alpha * HD)
        if float(R.norm()) <= target:
            break
        Z = precondition(R)
        rho, old = float((R * Z).sum()), rho
        D = Z + (rho / old) * D
    return V
