"""TokenOD, approximately, for pools where exact picks would take too long; and what that costs.

projection   rows times a Gaussian (d, k) matrix / sqrt(k): inner products survive on average (Johnson & Lindenstrauss 1984)
candidates   each pick is the best of a random subset: stochastic greedy (Mirzasoleiman et al. 2015)
regret       (f_exact - f) / (f_exact - f_random), log dets of the true rows: 0 is exact greedy, 1 is a random draw
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch

from fishersft.design.factor import suited_to
from fishersft.design.greedy import Shard, check_measurable, greedy, winners
from fishersft.design.information import design_matrix, log_det
from fishersft.design.rows import TokenEmbeddings
from fishersft.fields import parameter
from fishersft.selectors import Note, Pick, Pool
from fishersft.selectors.base import DesignSelector

CHUNK = 65_536  # rows projected at once
SAMPLE, SHARE, DRAWS = 400, 10, 5  # sentences, one pick in so many of them, and random draws that regret is measured on


@dataclass(frozen=True)
class ApproximateTokenOD(DesignSelector):
    """TokenOD on randomly projected rows, or with random candidates a pick, or both; says its regret on a sample of the pool."""

    projection: int = parameter(256, "Dimensions that rows are projected to; 0 keeps all.", least=0)
    candidates: int = parameter(0, "Random sentences considered for each pick; 0 considers all.", least=0)

    name = "token_od_approximate"
    label = "TokenOD, approximate"
    summary = "TokenOD in fewer dimensions or with random candidates, for large pools; reports what it loses."
    purpose = "TokenOD on a pool too large for the exact rule."
    colour = "#0072B2"
    marker = "pentagon"
    criterion = "log_det"
    reference = "ours; Johnson & Lindenstrauss 1984; Mirzasoleiman et al. 2015, stochastic greedy"
    place = 4
    random = True
    gain_of = "log det of the projected rows"

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


def projected(rows: TokenEmbeddings, k: int, rng: np.random.Generator) -> TokenEmbeddings:
    """The rows in k random directions, float32; the rows themselves where k is d or more."""
    values, d = rows.values, rows.dimension
    if k >= d:
        return rows
    directions = torch.from_numpy((rng.standard_normal((d, k)) / np.sqrt(k)).astype(np.float32))
    out = np.empty((len(values), k), dtype=np.float32)
    for start in range(0, len(values), CHUNK):
        part = torch.from_numpy(np.array(values[start : start + CHUNK], dtype=np.float32))
        out[start : start + CHUNK] = (part @ directions).numpy()
    return replace(rows, values=out)


def approximately(
    rows: TokenEmbeddings, sigma2: float, projection: int, candidates: int, rng: np.random.Generator
) -> Iterator[Pick]:
    """Both modes together, 0 turning one off.  Gains are those of the projected rows; candidates leave the optimum unbounded."""
    rows = projected(rows, projection, rng) if projection else rows
    if not candidates:
        yield from greedy(rows, sigma2)
        return
    with suited_to(rows.dimension):
        shard = Shard(rows, sigma2)
        check_measurable(float(shard.gains.max()), sigma2)
        for winner in winners(shard, candidates, rng):
            yield Pick(winner.position, winner.gain, shard.evaluations)


def measured_regret(rows: TokenEmbeddings, sigma2: float, projection: int, candidates: int) -> tuple[float, int, int]:
    """The regret on a sample of the pool, its sentences, and the picks; 0 if nothing separates exact greedy from chance.

    Candidates are scaled with the sample, so that each pick sees the same share of it.
    """
    rng = np.random.default_rng(0)
    N = len(rows)
    some = np.sort(rng.choice(N, min(SAMPLE, N), replace=False))
    n = max(1, len(some) // SHARE)
    sample = TokenEmbeddings.of([np.asarray(rows.block(int(i)), dtype=np.float64) for i in some])
    of_sample = max(1, round(candidates * len(some) / N)) if candidates else 0

    def f(picks: list[int]) -> float:
        return log_det(design_matrix([sample.block(i) for i in picks], sample.dimension, sigma2))

    exact = f([s.position for s in islice(greedy(sample, sigma2), n)])
    ours = f([s.position for s in islice(approximately(sample, sigma2, projection, of_sample, rng), n)])
    chance = np.mean([f(rng.permutation(len(some))[:n].tolist()) for _ in range(DRAWS)])
    gap = float(exact - chance)
    return (float(exact - ours) / gap if gap > 0 else 0.0), len(some), n
