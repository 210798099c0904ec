"""The design matrix V = prior + sum of X^T X, ready to whiten rows by: X V^-1 X^T = Z Z^T - P P^T.

Factoring V afresh costs d^3.  So rows that came since the last Cholesky factor L (V_0 = L L^T) are kept as a low-rank tail:
with A = X_tail L^-T and W = chol(I + A A^T)^-1 A,

    V^-1 = L^-T (I - W^T W) L^-1,    hence Z = X L^-T and P = Z W^T.

W grows by blocks, its older rows never change.  V is factored again when the tail has cost as much as that would (rent or
buy), from sums kept in float64, so nothing drifts.  float64 solves with L; float32, for screening, multiplies by L^-1.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from fishersft.design.information import PANEL, add_gram, check_sigma2
from fishersft.errors import DesignError

SMALL = 128  # dimensions up to which greedy is quickest on one thread
REFACTOR = 6.0  # times d^3 float32 multiply-adds: what a Cholesky factor and its inverse cost on the machines we measured
BEYOND = (
    "The design matrix is too uneven for double precision (its condition number is beyond 1e15); raise sigma2, or choose a "
    "model with smaller rows."
)


class Factor:
    """V and its factors; it starts from sigma2 I or from a (d, d) `prior`.

    DesignError if sigma2 is not positive, or the prior is not positive definite in float64.
    """

    def __init__(self, d: int, prior: float | np.ndarray = 1.0, device: str = "cpu") -> None:
        self.d = d
        self.scale = None if isinstance(prior, np.ndarray) else float(check_sigma2(prior)) ** 0.5
        start = torch.eye(d, dtype=torch.float64) * check_sigma2(prior) if not isinstance(prior, np.ndarray) else prior
        self.V = torch.as_tensor(start, dtype=torch.float64).clone().to(device)
        self.r = 0
        self._pending: list[torch.Tensor] = []
        self._inverse: torch.Tensor | None = None
        self._factor()

    def whiten(self, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Z (m, d) and P (m, r) of rows X (m, d), in float64."""
        Z = X / self.scale if self.scale else torch.linalg.solve_triangular(self.L, X.T, upper=False).T
        return Z, Z @ self._W[: self.r].T

    def screen(self, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same in float32, after factoring a tail that has cost as much as that."""
        if self.r and self._spent > REFACTOR * self.d**3:
            self._factor()
        if self.scale:  # no solve at all: a longer tail is still the cheaper way
            self._spent += len(X) * max(0, self.r - self.d // 2) * self.d
            Z = X / self.scale
            return Z, Z @ self._W32[: self.r].T
        if self._inverse is None:
            eye = torch.eye(self.d, dtype=torch.float32, device=self.V.device)
            self._inverse = torch.linalg.solve_triangular(self.L.float(), eye, upper=False).T.contiguous()
        Z = torch.empty_like(X)
        for a in range(0, self.d, PANEL):
            b = min(a + PANEL, self.d)
            torch.mm(X[:, :b], self._inverse[:b, a:b], out=Z[:, a:b])
        self._spent += len(X) * self.r * self.d
        return Z, Z @ self._W32[: self.r].T

    def add(self, X: torch.Tensor, whitened: tuple[torch.Tensor, torch.Tensor] | None = None) -> None:
        """V <- V + X^T X for float64 rows X, (m, d); `whitened` is what `whiten` made of them, where it is at hand."""
        self._pending.append(X)
        if self.d <= SMALL or self.r + len(X) > self.d or self._spent > REFACTOR * self.d**3:
            self._factor()
            return
        new = self._reduced(whitened or self.whiten(X))
        self._W[self.r : self.r + len(X)] = new
        self._W32[self.r : self.r + len(X)] = new
        self.r += len(X)

    def change(self, X: torch.Tensor) -> torch.Tensor:
        """Y (d, m) such that adding float64 rows X (m, d) turns V^-1 into V^-1 - Y Y^T."""
        return self._back(self._reduced(self.whiten(X)))

    def solve(self, B: torch.Tensor) -> torch.Tensor:
        """V^-1 B, (d, k), of float64 columns B (d, k)."""
        return self._back(self._less_tail(*self.whiten(B.T)))

    def _back(self, rows: torch.Tensor) -> torch.Tensor:
        """L^-T times the transpose of rows (m, d): (d, m)."""
        return rows.T / self.scale if self.scale else torch.linalg.solve_triangular(self.L.T, rows.T, upper=True)

    def _less_tail(self, Z: torch.Tensor, P: torch.Tensor) -> torch.Tensor:
        """Z - P W, (m, d)."""
        return Z - P @ self._W[: P.shape[1]]

    def _reduced(self, whitened: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """chol(I + X V^-1 X^T)^-1 (Z - P W), (m, d): the rows that W grows by."""
        Z, P = whitened
        small = Z @ Z.T - P @ P.T
        small.diagonal().add_(1.0)
        root, failed = torch.linalg.cholesky_ex(small)
        if failed:
            raise DesignError(BEYOND)
        return torch.linalg.solve_triangular(root, self._less_tail(Z, P), upper=False)

    def _factor(self) -> None:
        if self._pending:
            self.scale = None
            rows = torch.cat(self._pending)
            add_gram(self.V, rows)
            self._pending = []
        self.L, failed = torch.linalg.cholesky_ex(self.V)
        if failed:
            raise DesignError(BEYOND)
        self._W = self.V.new_empty((self.d, self.d) if self.d > SMALL else (0, self.d))
        self._W32 = self._W.float()
        self.r, self._spent = 0, 0
        self._inverse = None


_lock = threading.Lock()
_inside = 0
_before = 1


@contextmanager
def suited_to(d: int) -> Iterator[None]:
    """Run with one thread where d is at most SMALL; the number of threads is restored when the last such run ends.

    Below a few million multiplications a call, waking the other threads costs more than they bring, and on a busy machine
    each call waits for the slowest of them (measured: 4 to 8 times slower beside other work).  Runs that overlap are counted.
    """
    global _inside, _before
    if d > SMALL:
        yield
        return
    with _lock:
        if _inside == 0:
            _before = torch.get_num_threads()
        _inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                torch.set_num_threads(_before)
