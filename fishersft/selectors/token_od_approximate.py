"""TokenOD, approximately: for pools where exact picks would take too long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishersft.design.approximate import approximately, measured_regret
from fishersft.design.greedy import Pick
from fishersft.fields import parameter
from fishersft.selectors.base import DesignSelector
from fishersft.selectors.pool import Pool
from fishersft.selectors.selection import Note


@dataclass(frozen=True)
class ApproximateTokenOD(DesignSelector):
    """TokenOD on randomly projected rows, or with random candidates a pick, or both; says its regret on a sample of the pool."""

    projection: int = parameter(256, "Dimensions that rows are projected to; 0 keeps all.", least=0)
    candidates: int = parameter(0, "Random sentences considered for each pick; 0 considers all.", least=0)

    name: ClassVar[str] = "token_od_approximate"
    label: ClassVar[str] = "TokenOD, approximate"
    summary: ClassVar[str] = "TokenOD in fewer dimensions or with random candidates, for large pools; reports what it loses."
    purpose: ClassVar[str] = "TokenOD on a pool too large for the exact rule."
    colour: ClassVar[str] = "#0072B2"
    marker: ClassVar[str] = "pentagon"
    criterion: ClassVar[str] = "log_det"
    reference: ClassVar[str] = "ours; Johnson & Lindenstrauss 1984; Mirzasoleiman et al. 2015, stochastic greedy"
    place: ClassVar[int] = 4
    random: ClassVar[bool] = True
    gain_of: ClassVar[str] = "log det of the projected rows"

    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick | Note]:
        rows = pool.embeddings
        modes = self.sigma2, self.projection, self.candidates
        regret, sentences, picks = measured_regret(rows, *modes)
        yield Note("regret", f"{regret:.1%} of the gap between exact and random picks, on {sentences} sentences, {picks} picks")
        if 0 < self.projection < rows.dimension:
            yield Note("projection", f"{rows.dimension} to {self.projection} dimensions")
        if self.candidates:
            yield Note("candidates", f"each pick is the best of {min(self.candidates, len(pool)):,} random sentences")
        for pick in approximately(rows, *modes, rng):
            yield pick._replace(optimum_bound=np.nan)  # it would hold for the projected rows
