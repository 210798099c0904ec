"""How far a fitted head is from the true one, sentence by sentence, and what the design promised.

    e_i = sum_j || (Theta* - Theta_hat)^T x_ij ||_2          the prediction error of sentence i, in logits

softmax(Theta^T x) does not change when one vector is added to every column of Theta, so labels say nothing of that part, and
the ridge sets it to zero in Theta_hat.  Measured as written, the error would carry that arbitrary part of Theta* for ever and
never fall.  So both heads are pinned: their columns are centred over the classes before the difference is taken (equal to the
smallest error over all such shifts).  Our reading; the paper's pinning is not public.

    worst leverage = max over all token rows x of the pool of x^T V(S)^-1 x          G-optimality
    log det        = log det V(S) - log det V(empty), nats                           D-optimality
    V(S)           = sigma2 I + sum over the tokens of S of x x^T

Source: FisherSFT (arXiv 2505.14826), sections 4 and 5.1; the sum over tokens is our reading.  Knows no selector and no fit.
"""

from __future__ import annotations

import numpy as np

from fishersft.design.information import design_matrix, leverage, log_det
from fishersft.experiments.logistic import centred
from fishersft.experiments.problem import Problem

ROWS = 65_536  # of the pool at once


def prediction_errors(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """(N,) e_i of every sentence of the pool for a fitted head (d, L)."""
    difference = centred(problem.theta) - centred(theta)
    values = problem.embeddings.values
    norms = np.empty(len(values))
    for start in range(0, len(values), ROWS):
        apart = np.asarray(values[start : start + ROWS], dtype=np.float64) @ difference
        norms[start : start + ROWS] = np.sqrt(np.einsum("tl,tl->t", apart, apart))
    return np.add.reduceat(norms, problem.embeddings.offsets[:-1])


def design_scores(problem: Problem, positions: np.ndarray, sigma2: float = 1.0) -> tuple[float, float]:
    """Worst leverage over the pool's token rows, and the log det gained in nats, of some sentences."""
    V = design_matrix([problem.rows(positions)[0]], problem.dimension, sigma2)
    values = problem.embeddings.values
    worst = max(float(leverage(V, values[start : start + ROWS]).max()) for start in range(0, len(values), ROWS))
    return worst, log_det(V) - problem.dimension * float(np.log(sigma2))
