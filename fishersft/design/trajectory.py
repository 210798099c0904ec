"""An order followed pick by pick: what it gains, beside random draws, and how the design's ellipsoid shrinks in a plane.

The ellipsoid {theta : theta^T V theta <= 1} is what is still unknown of a linear model (the first lesson).  Its shadow on the
plane of two orthonormal directions U, (d, 2), is {a : a^T C^-1 a <= 1} with C = U^T V^-1 U; a pick with rows X takes
(U^T Y)(U^T Y)^T from C, where V^-1 - Y Y^T is the new inverse.  Everything is float64.  Knows no selector: it takes orders
(positions in pick order) and rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fishersft.design.factor import Factor, suited_to
from fishersft.design.information import add_gram, check_sigma2, log_det
from fishersft.design.matched import second_moment
from fishersft.design.rows import TokenEmbeddings, gains_of

CHUNK = 2_048  # rows a product


@dataclass(frozen=True)
class Curve:
    """A line with an optional band from `low` to `high`; all arrays are (k,), and `draws` says how many the mean is over."""

    label: str
    x: np.ndarray
    mean: np.ndarray
    x_unit: str
    y_unit: str = "nats"
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    draws: int = 1

    def __post_init__(self) -> None:
        for name in ("mean", "low", "high"):
            values = getattr(self, name)
            if values is not None and values.shape != self.x.shape:
                raise ValueError(f"{name} has shape {values.shape}, x has {self.x.shape}")


def grid(top: int, points: int = 40) -> np.ndarray:
    """Budgets from 1 to `top`: every one while they are few, then evenly spread with more of them at the start."""
    if top <= points:
        return np.arange(1, top + 1)
    return np.unique(np.round(1 + (top - 1) * np.linspace(0, 1, points) ** 1.5).astype(int))


def designs_at(
    rows: TokenEmbeddings, order: np.ndarray, at: Sequence[int] | np.ndarray, sigma2: float = 1.0, *, single: bool = False
) -> Iterator[torch.Tensor]:
    """V after the first at[0], at[1], ... picks of an order, `at` ascending; one float64 tensor, which grows.

    `single` makes the products in float32 and sums them in float64, CHUNK rows at a time: where rows are stored in float16
    each product is exact, and a log det of thousands of nats is off by thousandths of one.
    """
    V = torch.eye(rows.dimension, dtype=torch.float64) * check_sigma2(sigma2)
    dtype = torch.float32 if single and rows.values.itemsize <= 4 else torch.float64
    done = 0
    for n in map(int, at):
        new = order[done:n]
        chunks = np.flatnonzero(np.diff(np.cumsum(rows.tokens[new]) // CHUNK)) + 1
        for some in filter(len, np.split(new, chunks)):
            add_gram(V, rows.stacked(some.tolist(), dtype)[0])
        done = max(done, n)
        yield V


def log_det_at(
    rows: TokenEmbeddings, order: np.ndarray, at: Sequence[int] | np.ndarray, sigma2: float = 1.0, *, single: bool = False
) -> np.ndarray:
    """f after the first `at[k]` picks of an order, nats above the empty selection; `at` ascending, (k,) float64.

    `single` as in `designs_at`.
    """
    empty = rows.dimension * np.log(sigma2)
    return np.array([log_det(V.numpy()) - empty for V in designs_at(rows, order, at, sigma2, single=single)])


def within_tokens(tokens: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """For each limit, how many picks fit: the longest prefix of at most that many tokens."""
    return np.searchsorted(np.cumsum(tokens), limits, side="right")


def draw_orders(n: int, draws: int = 20, seed: int = 0) -> np.ndarray:
    """(draws, n): the random orders that every band is made of."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(n) for _ in range(draws)])


def band_curve(label: str, x: np.ndarray, draws: np.ndarray, x_unit: str) -> Curve:
    """Mean and full range over draws, (draws, k)."""
    return Curve(label, x, draws.mean(0), x_unit, low=draws.min(0), high=draws.max(0), draws=len(draws))


@dataclass(frozen=True)
class Walk:
    """The (n,) gains of n picks, nats, and on a plane, if one was given, the (n + 1, 2, 2) shadows C before and after each."""

    gains: np.ndarray
    shadows: np.ndarray | None = None


def walk(rows: TokenEmbeddings, order: np.ndarray, *, plane: np.ndarray | None = None, sigma2: float = 1.0) -> Walk:
    """The gains of the blocks `order`, and the ellipsoid's shadows on `plane`, (d, 2) with orthonormal columns."""
    rows, gains = rows.on("cpu"), np.empty(len(order))
    shadows = np.empty((len(order) + 1, 2, 2))
    U = None if plane is None else torch.from_numpy(np.asarray(plane, dtype=np.float64))
    with suited_to(rows.dimension):
        factor = Factor(rows.dimension, sigma2)
        shadow = torch.eye(2, dtype=torch.float64) / sigma2
        shadows[0] = shadow.numpy()
        for k, position in enumerate(order):
            X, lengths = rows.stacked([int(position)], torch.float64, rows.dimension)
            whitened = factor.whiten(X)
            gains[k] = gains_of(*whitened, lengths)[0]
            if U is not None:
                seen = U.T @ factor.change(X)
                shadow = shadow - seen @ seen.T
                shadows[k + 1] = shadow.numpy()
            factor.add(X, whitened)
    return Walk(gains, None if plane is None else shadows)


def principal_directions(rows: TokenEmbeddings, k: int) -> np.ndarray:
    """(d, up to k) orthonormal: where the rows of the pool are longest together, the first one first; signs are fixed.

    Eigenvectors of the second moment about zero, as the design matrix counts it.
    """
    return leading(second_moment(rows, 0.0), k)


def leading(moment: np.ndarray, k: int) -> np.ndarray:
    """(d, up to k) the leading eigenvectors of X^T X, signs fixed so that the same rows give the same answer everywhere."""
    _, vectors = np.linalg.eigh(moment)
    top = vectors[:, ::-1][:, :k]
    largest = np.abs(top).argmax(0)
    return np.asarray(top * np.sign(top[largest, np.arange(top.shape[1])]))


def axes(shadow: np.ndarray) -> tuple[float, float, float]:
    """Half the longer and the shorter axis of {a : a^T C^-1 a <= 1}, and the angle of the longer one from the first direction."""
    sizes, vectors = np.linalg.eigh(shadow)
    short, long = np.sqrt(sizes.clip(min=0))
    return float(long), float(short), float(np.arctan2(vectors[1, 1], vectors[0, 1]))
