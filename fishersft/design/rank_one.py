"""Exact greedy for log det where every item is one row: the picks of Algorithm 1, O(N d) a pick.

With q_i = x_i^T V^-1 x_i the gain of row x_i is log(1 + q_i).  Sherman and Morrison: the pick of x turns V^-1 into
V^-1 - u u^T, u = V^-1 x / sqrt(1 + q), and every q_i into q_i - (x_i . u)^2, which is one product of the (N, d) rows with u.
That product is a *screen*: it is done in float32, and every q_i carries a bound on its rounding, its *pad*.  Items whose
interval reaches the best one are *confirmed* in float64, so the picks do not depend on the screen.

    pad     grows by 2 |x_i . u| e + e^2 a pick, e = 4 (sqrt(d) + 2) 2^-24 |x_i| |u|: four times the size that the rounding of
            a sum of d terms has with high probability (Higham & Mary 2019); not the worst case, which grows with d
    exact   q_i = |L^-1 x_i|^2 - |U x_i|^2 with V = L L^T factored now and then, and U the rows u since then
    cost    memory: the rows in float32 (in float64 where the screen is), and d^2 + (picks since the factor) d float64

Where float32 separates too little (the condition of V is beyond it) the screen goes on in float64, with pads of that size.
The recursion is the one of fast greedy MAP inference (Chen, Zhang & Zhou 2018).  Knows no text, no model, no file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch

from fishersft.design.factor import suited_to
from fishersft.design.greedy import SLACK, Pick, check_measurable
from fishersft.design.information import TIE, check_sigma2, optimum_bound, whiten
from fishersft.design.rows import check_finite
from fishersft.errors import DesignError

TAIL = 512  # rows of U at most; then V is factored afresh
LOST = 1e-11  # relative error of a confirmed q that asks for a fresh factor
CROWD = 64  # contenders a pick, on average, above which the screen separates too little
SOON = 32  # picks; a crowd this early moves the screen to float64
ALONE = 16_000_000  # numbers in the rows up to which one thread is quickest
CHUNK = 16_384  # rows turned to float64 at once


class RankOne:
    """N rows, what each would gain, and the design so far; arguments and errors are those of `rank_one_greedy`."""

    def __init__(self, rows: np.ndarray, sigma2: float = 1.0, *, device: str = "cpu") -> None:
        self.source, self.sigma2 = rows, check_sigma2(sigma2)
        self.device = torch.device(device)
        N, d = rows.shape
        self.squares = torch.cat([(X * X).sum(1) for X in self._chunks()]) if N else self._zeros(0)
        check_finite(self.squares.cpu().numpy())
        self.V = torch.eye(d, dtype=torch.float64, device=self.device) * self.sigma2
        self.L: torch.Tensor | None = None  # V as it was when factored; None while that is sigma2 I
        self.U = self._zeros(min(TAIL, max(d, 32)), d)
        self.tail = 0
        self.q = self.squares / self.sigma2
        self.pad = self._zeros(N)
        self.outside = torch.ones(N, dtype=torch.bool, device=self.device)
        self.evaluations = N
        self.crowd = 0  # contenders confirmed since q was computed afresh
        self.picks = 0  # picks since then
        self._screen_in(torch.float32)

    def best(self) -> tuple[int, float] | None:
        """The item outside the design with the largest gain, lowest index among ties, and its q; None if none is left."""
        if not bool(self.outside.any()):
            return None
        if self.crowd > CROWD * max(8, self.picks):
            self._afresh()
        upper = torch.where(self.outside, self.q + self.pad, -1.0)
        sure = float(torch.where(self.outside, self.q - self.pad, 0.0).max())
        some = torch.nonzero(upper >= _within(sure, SLACK)).flatten()
        unsure = some[self.pad[some] > 0.05 * TIE * self.q[some]]
        if len(unsure):
            self.q[unsure] = self._exact(unsure)
            self.pad[unsure] = 0.0
            self.crowd += len(unsure)
            self.evaluations += len(unsure)
        values = self.q[some]
        winner = int(some[values >= _within(float(values.max()), TIE)][0])  # nonzero gives rising indices
        return winner, float(self.q[winner])

    def accept(self, position: int, q: float) -> None:
        """Item `position`, whose q was just confirmed, was picked: V and every gain follow."""
        x = self._rows(np.array([position]))[0]
        U = self.U[: self.tail]
        whole = x / self.sigma2 if self.L is None else torch.cholesky_solve(x[:, None], self.L)[:, 0]
        u = (whole - U.T @ (U @ x)) / (1 + q) ** 0.5  # V^-1 x / sqrt(1 + q)
        self.outside[position] = False
        self.V.addr_(x, x)
        if self.tail == len(self.U):
            self._factor()
        else:
            self.U[self.tail] = u
            self.tail += 1
        c = (self.X @ u.to(self.X.dtype)).double()
        e = self.unit * float(u.norm()) * self.norms
        self.pad += (2 * c.abs() + e) * e
        self.q -= c * c
        self.q.clamp_(min=0.0)
        self.evaluations += len(self.q)
        self.picks += 1

    def _exact(self, some: torch.Tensor) -> torch.Tensor:
        """(k,) q of some items in float64, from a factor of V that is fresh enough for it."""
        out = []
        for part in some.split(CHUNK):
            X = self._rows(part)
            start = self.squares[part] / self.sigma2 if self.L is None else whiten(self.L, X).square_().sum(0)
            q = start - (self.U[: self.tail] @ X.T).square_().sum(0)
            out.append((start, q))
        start, q = (torch.cat(parts) for parts in zip(*out, strict=True))
        # a difference of large numbers; what is lost shows in their ratio
        if self.tail and float(q.max()) * LOST < float(start.max()) * 2.0**-52:
            self._factor()
            return self._exact(some)
        return q.clamp_(min=0.0)

    def _factor(self) -> None:
        L, failed = torch.linalg.cholesky_ex(self.V)
        if int(failed):
            raise DesignError(
                f"The rows are too large beside sigma2 = {self.sigma2:g} for float64: their design matrix cannot be factored; "
                "raise sigma2."
            )
        self.L, self.tail = L, 0

    def _afresh(self) -> None:
        """Every q in float64 from a fresh factor; the screen goes on in float64 where float32 lasted too short a time."""
        self._factor()
        everyone = torch.arange(len(self.q), device=self.device)
        self.q = self._exact(everyone)
        self.pad.zero_()
        self.evaluations += len(self.q)
        if self.picks < SOON and self.X.dtype == torch.float32:
            self._screen_in(torch.float64)
        self.crowd = self.picks = 0

    def _screen_in(self, dtype: torch.dtype) -> None:
        N, d = self.source.shape
        # (d, N) in memory: its transposed product is the quicker one
        self.X = torch.empty(d, N, dtype=dtype, device=self.device).T
        at = 0
        for rows in self._chunks():
            self.X[at : at + len(rows)] = rows.to(dtype)
            at += len(rows)
        self.unit = rounding(d, dtype)
        self.norms = self.squares.sqrt()

    def _rows(self, some: torch.Tensor | np.ndarray) -> torch.Tensor:
        at = some if isinstance(some, np.ndarray) else some.cpu().numpy()
        return torch.from_numpy(self.source[at].astype(np.float64)).to(self.device)

    def _chunks(self) -> Iterator[torch.Tensor]:
        for start in range(0, len(self.source), CHUNK):
            yield self._rows(np.arange(start, min(start + CHUNK, len(self.source))))

    def _zeros(self, *shape: int) -> torch.Tensor:
        return torch.zeros(*shape, dtype=torch.float64, device=self.device)


def rank_one_greedy(rows: np.ndarray, sigma2: float = 1.0, *, device: str = "cpu") -> Iterator[Pick]:
    """Picks of Algorithm 1 on items of one row each, (N, d) of float16 to float64, until all are taken.

    DesignError if rows are not finite (which one), if none gains anything, or if sigma2 is not positive.
    """
    with threads_for(rows):
        design = RankOne(rows, sigma2, device=device)
        check_measurable(float(design.q.log1p().max()), sigma2)
        f, picked = 0.0, 0
        while found := design.best():
            position, q = found
            design.accept(position, q)
            gain = float(np.log1p(q))
            f, picked = f + gain, picked + 1
            upper = (design.q + design.pad)[design.outside].log1p().cpu().numpy()
            yield Pick(position, gain, design.evaluations, optimum_bound(f, upper, picked))


def threads_for(rows: np.ndarray) -> AbstractContextManager[None]:
    """One thread where a product of the rows with a vector takes about a millisecond: more threads mostly wait."""
    return suited_to(rows.shape[1] if rows.size > ALONE else 0)


def rounding(d: int, dtype: torch.dtype) -> float:
    """How far a computed x . u of d terms may be from the true one, as a share of |x| |u|; four times the likely size."""
    return float(4 * (d**0.5 + 2) * torch.finfo(dtype).eps / 2)


def _within(q: float, share: float) -> float:
    """The q whose gain is smaller than that of `q` by this share."""
    return float(np.expm1(np.log1p(q) * (1 - share)))
