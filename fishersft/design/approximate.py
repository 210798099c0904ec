"""TokenOD's picks, roughly and quickly: fewer dimensions, or fewer candidates a pick.  And what that costs.

    projection   rows times a Gaussian (d, k) matrix / sqrt(k): inner products survive on average (Johnson & Lindenstrauss 1984)
    candidates   each pick is the best of a random subset: stochastic greedy (Mirzasoleiman et al. 2015)

    regret       (f_exact - f) / (f_exact - f_random), log dets of the true rows: 0 is exact greedy, 1 is a random draw

Knows no text, no model.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from fishersft.design.greedy import Shard, Step, check_measurable, greedy, winner_of
from fishersft.design.information import design_matrix, log_det
from fishersft.design.threads import suited_to

CHUNK = 65_536  # rows projected at once
SAMPLE, SHARE, DRAWS = 400, 10, 5  # sentences, one pick in so many of them, and random draws that regret is measured on


def projected(values: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """(T, k) float32: rows (T, d) in k random directions; the rows themselves where k is d or more."""
    import torch

    d = values.shape[1]
    if k >= d:
        return values
    directions = torch.from_numpy((rng.standard_normal((d, k)) / np.sqrt(k)).astype(np.float32))
    out = np.empty((len(values), k), dtype=np.float32)
    for start in range(0, len(values), CHUNK):
        rows = torch.from_numpy(np.array(values[start : start + CHUNK], dtype=np.float32))
        out[start : start + CHUNK] = (rows @ directions).numpy()
    return out


def stochastic_greedy(
    values: np.ndarray,
    offsets: np.ndarray,
    sigma2: float = 1.0,
    *,
    candidates: int,
    rng: np.random.Generator,
    device: str = "cpu",
) -> Iterator[Step]:
    """Like `greedy`, but each pick is the best of `candidates` random blocks; no bound on the optimum is given."""
    with suited_to(values.shape[1]):
        shard = Shard(values, offsets, sigma2, device=device)
        check_measurable(float(shard.gains.max()), sigma2)
        left = np.ones(len(offsets) - 1, dtype=bool)
        while left.any():
            shard.outside[:] = False
            shard.outside[rng.choice(np.flatnonzero(left), min(candidates, int(left.sum())), replace=False)] = True
            winner = winner_of(shard.propose())
            left[winner.position] = False
            shard.accept(winner.position, shard.rows(winner.position))
            yield Step(winner.position, winner.gain, shard.evaluations, np.nan)


def approximately(
    values: np.ndarray,
    offsets: np.ndarray,
    sigma2: float,
    projection: int,
    candidates: int,
    rng: np.random.Generator,
    device: str = "cpu",
) -> Iterator[Step]:
    """Both modes together; 0 turns one off.  Gains are those of the projected rows."""
    rows = projected(values, projection, rng) if projection else values
    if candidates:
        yield from stochastic_greedy(rows, offsets, sigma2, candidates=candidates, rng=rng, device=device)
    else:
        yield from greedy(rows, offsets, sigma2, device=device)


def measured_regret(
    values: np.ndarray, offsets: np.ndarray, sigma2: float, projection: int, candidates: int
) -> tuple[float, int, int]:
    """Regret of the modes on a sample of the pool: (regret, sentences, picks).

    Candidates are scaled with the sample, so that each pick sees the same share of it; 0 where nothing separates exact
    greedy from chance.
    """
    rng = np.random.default_rng(0)
    N = len(offsets) - 1
    some = np.sort(rng.choice(N, min(SAMPLE, N), replace=False))
    n = max(1, len(some) // SHARE)
    blocks = [np.asarray(values[offsets[i] : offsets[i + 1]], dtype=np.float64) for i in some]
    rows, ends = np.concatenate(blocks), np.concatenate([[0], np.cumsum([len(b) for b in blocks])])
    of_sample = max(1, round(candidates * len(some) / N)) if candidates else 0

    def f(picks: list[int]) -> float:
        return log_det(design_matrix([blocks[i] for i in picks], values.shape[1], sigma2))

    exact = f([s.position for s in islice(greedy(rows, ends, sigma2), n)])
    ours = f([s.position for s in islice(approximately(rows, ends, sigma2, projection, of_sample, rng), n)])
    chance = np.mean([f(rng.permutation(len(some))[:n].tolist()) for _ in range(DRAWS)])
    gap = float(exact - chance)
    return (float(exact - ours) / gap if gap > 0 else 0.0), len(some), n
