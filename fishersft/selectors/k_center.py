"""KCenter: farthest-first on sentence means, a greedy k-center whose radius is at most twice the best one.  O(N d) a pick.

Source: Gonzalez 1985; as a way to choose training data, Sener & Savarese 2018 (core-sets).  The first pick is the point
nearest to the mean (the published form starts anywhere), then always the point farthest from those taken; ties (relative
1e-9) go to the lowest index.

One product of the centred rows with the last pick *screens* in float32: every squared distance to the nearest pick lies in
an interval from low to high, as wide as rounding is likely to be, with a margin (`design/rank_one.py` says which).  Points
whose interval reaches the farthest one are *confirmed* in float64, by differences, against the picks made since they were
last confirmed.  So the picks are those of brute force in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from fishersft.design.information import TIE
from fishersft.design.rank_one import rounding, threads_for
from fishersft.design.rows import check_finite
from fishersft.selectors import Pick, Pool, Selector

NEAR = (1 - 2 * TIE) ** 2  # squared distances this close are compared in float64
TIED = (1 - TIE) ** 2
UNCONTESTED = 1e-4  # a winner without rivals is not confirmed where its squared distance is known this well
CHUNK = 4_096  # rows turned to float64 at once


@dataclass(frozen=True)
class KCenter(Selector):
    """First the sentence nearest to the pool's mean, then always the one farthest from those taken.

    The mean of its token rows stands for a sentence: our reading.
    """

    name = "k_center"
    label = "KCenter"
    summary = "Takes the sentence farthest from those already taken, so that no sentence is far from a pick."
    purpose = "Leaves no sentence far from a pick: covers the edge of the pool, outliers included."
    colour = "#E69F00"
    marker = "hourglass"
    criterion = "radius"
    reference = "Gonzalez 1985, farthest-first; Sener & Savarese 2018 (ICLR), arXiv 1708.00489"
    place = 52

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        for position, _ in farthest_first(pool.embeddings.means, device=pool.device):
            yield Pick(position)


class PickDistances:
    """N points, the picks so far, and what is known of every point's squared distance to the nearest of them.

    DesignError if rows are not finite (which one).
    """

    def __init__(self, rows: np.ndarray, *, device: str = "cpu") -> None:
        self.source, self.device = rows, torch.device(device)
        N, d = rows.shape
        chunks = [np.arange(start, min(start + CHUNK, N)) for start in range(0, N, CHUNK)]
        mean, sizes = torch.zeros(d, dtype=torch.float64, device=self.device), np.empty(N)
        for some in chunks:
            X = self._rows(some)
            mean += X.sum(0) / N
            sizes[some] = X.square().sum(1).cpu().numpy()
        check_finite(sizes)
        self.X = torch.empty(d, N, dtype=torch.float32, device=self.device).T  # its products are quicker this way round
        self.squares = torch.empty(N, dtype=torch.float64, device=self.device)
        for some in chunks:
            X = self._rows(some) - mean
            self.squares[some[0] : some[-1] + 1] = X.square().sum(1)
            self.X[some[0] : some[-1] + 1] = X.float()
        self.width = 2 * rounding(d, torch.float32) * self.squares.sqrt()
        self.low, self.high = (torch.full_like(self.squares, torch.inf) for _ in range(2))
        self.outside = torch.ones(N, dtype=torch.bool, device=self.device)
        self.centres = torch.empty(min(N, 64), d, dtype=torch.float64, device=self.device)
        self.taken = 0
        self.exact = torch.full_like(self.squares, torch.inf)
        self.seen = np.zeros(N, dtype=np.int64)  # `exact` is the squared distance to the nearest of so many picks

    def nearest_to_mean(self) -> int:
        """The point nearest to the mean of all."""
        return int(torch.nonzero(self.squares * TIED <= self.squares.min())[0])

    def farthest(self) -> tuple[int, float] | None:
        """The point farthest from the picks, and that distance (to 1e-4 where none came near); None where none is left."""
        if not bool(self.outside.any()):
            return None
        sure = self.low[self.outside].max()
        some = torch.nonzero(self.outside & (self.high >= sure * NEAR)).flatten()
        if len(some) == 1 and float(self.high[some[0]] - sure) <= UNCONTESTED * float(sure):
            return int(some[0]), float(sure + self.high[some[0]]) ** 0.5 / 2**0.5
        unsure = some[self.high[some] - self.low[some] > 0.1 * TIE * self.high[some]]
        if len(unsure):
            self._confirm(unsure.cpu().numpy())
        values = self.high[some]
        winner = int(some[values >= values.max() * TIED][0])  # nonzero gives rising indices
        return winner, float(self.high[winner]) ** 0.5

    def accept(self, position: int) -> None:
        """A point was picked."""
        if self.taken == len(self.centres):
            self.centres = torch.cat([self.centres, torch.empty_like(self.centres)])
        self.centres[self.taken] = self._rows(np.array([position]))[0]
        self.taken += 1
        self.outside[position] = False
        squared = self.squares + self.squares[position] - 2 * (self.X @ self.X[position].contiguous()).double()
        width = self.width * self.squares[position].sqrt()
        torch.minimum(self.low, (squared - width).clamp_(min=0.0), out=self.low)
        torch.minimum(self.high, squared + width, out=self.high)

    def _confirm(self, some: np.ndarray) -> None:
        """Squared distances of some points in float64, from the picks made since they were last confirmed."""
        for since in np.unique(self.seen[some]):
            for part in np.array_split(group := some[self.seen[some] == since], -(-len(group) // CHUNK)):
                far = torch.cdist(self._rows(part), self.centres[since : self.taken], compute_mode="donot_use_mm_for_euclid_dist")
                at = torch.from_numpy(part).to(self.device)
                self.exact[at] = torch.minimum(self.exact[at], far.min(1).values.square())
                self.low[at] = self.high[at] = self.exact[at]
                self.seen[part] = self.taken

    def _rows(self, some: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(self.source[some].astype(np.float64)).to(self.device)


def farthest_first(rows: np.ndarray, *, device: str = "cpu") -> Iterator[tuple[int, float]]:
    """(position, radius) a pick until all rows, (N, d), are taken; the radius is the largest distance then left to a pick."""
    with threads_for(rows):
        points = PickDistances(rows, device=device)
        position: int | None = points.nearest_to_mean()
        while position is not None:
            points.accept(position)
            after = points.farthest()
            yield position, after[1] if after else 0.0
            position = after[0] if after else None
