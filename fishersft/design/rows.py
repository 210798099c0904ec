"""A pool's rows as blocks, read where they lie (in memory, or in a file mapped into it) a batch at a time.

Also the small algebra of one batch: blocks padded to one size (a padding row is zero and adds nothing), and log det(I + G).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fishersft.errors import DesignError

if TYPE_CHECKING:
    import torch

LONG = 48  # rows from which a block is worth a product of its own rather than padding
SWEEP_ROWS = 8_192  # rows of one batch where every block is evaluated


@dataclass(frozen=True)
class Blocks:
    """N blocks of rows.

    Attributes:
        values: (T, d), float16 to float64; may be memory-mapped.
        offsets: (N + 1,) where each block begins and ends.
        weights: (T,) that rows are multiplied by, or None.
        device: where the algebra happens.
    """

    values: np.ndarray
    offsets: np.ndarray
    weights: np.ndarray | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.weights is not None and not (np.isfinite(self.weights).all() and (self.weights >= 0).all()):
            bad = int(np.flatnonzero(~np.isfinite(self.weights) | (self.weights < 0))[0])
            raise DesignError(f"The weight of row {bad:,} of the pool is {self.weights[bad]}; weights are numbers of at least 0.")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def d(self) -> int:
        return int(self.values.shape[1])

    @cached_property
    def lengths(self) -> np.ndarray:
        """(N,) rows a block."""
        return np.diff(self.offsets)

    def rows(self, some: Sequence[int], dtype: torch.dtype, most: int | None = None) -> tuple[torch.Tensor, list[int]]:
        """Rows of some blocks, one block after another, (sum of m, d), and the m of each.

        A block with more than `most` rows (at least d) is replaced by the triangle R of X = Q R: R^T R = X^T X, and no gain
        depends on more.
        """
        import torch

        kind = np.float64 if dtype == torch.float64 else np.float32
        spans = [slice(int(self.offsets[i]), int(self.offsets[i + 1])) for i in some]
        lengths = [s.stop - s.start for s in spans]
        X = torch.from_numpy(np.concatenate([self.values[s] for s in spans]).astype(kind, copy=False)).to(self.device)
        if self.weights is not None:
            X *= torch.from_numpy(np.concatenate([self.weights[s] for s in spans])).to(X)[:, None]
        if most is None or max(lengths) <= most:
            return X, lengths
        parts = [torch.linalg.qr(x, mode="r").R if len(x) > most else x for x in X.split(lengths)]
        return torch.cat(parts), [len(x) for x in parts]

    def batches(self, some: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Some blocks (or every one), once, in batches of like length and at most SWEEP_ROWS padded rows."""
        some = np.arange(len(self)) if some is None else some
        order = some[np.argsort(self.lengths[some], kind="stable")]
        start = 0
        while start < len(order):
            size = max(1, SWEEP_ROWS // int(self.lengths[order[min(start + SWEEP_ROWS, len(order)) - 1]]))
            yield order[start : start + size]
            start += size

    def check_finite(self, gains: np.ndarray, first: int = 0) -> None:
        """DesignError that names the first block without a finite gain."""
        if not np.isfinite(gains).all():
            raise DesignError(
                f"The rows of record {first + int(np.flatnonzero(~np.isfinite(gains))[0]):,} of the pool are not finite numbers "
                "(or too large to square); remove it or choose another model."
            )


def padded(Z: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """(sum of m, c) -> (k, longest, c), zeros below each block's last row."""
    import torch

    k, side = len(lengths), max(lengths)
    if k * side == len(Z):
        return Z.reshape(k, side, Z.shape[1])
    ends = np.cumsum(lengths)
    steps = np.arange(side)
    place = np.where(steps < np.asarray(lengths)[:, None], (ends - lengths)[:, None] + steps, len(Z))
    with_zero = torch.cat([Z, Z.new_zeros(1, Z.shape[1])])
    return with_zero.index_select(0, torch.from_numpy(place.ravel()).to(Z.device)).view(k, side, Z.shape[1])


def gains_of(Z: torch.Tensor, P: torch.Tensor, lengths: Sequence[int]) -> np.ndarray:
    """(k,) float64 log det(I + Z_i Z_i^T - P_i P_i^T) of blocks of whitened rows; NaN where that is not positive definite."""
    if min(max(lengths), Z.shape[1]) <= LONG:
        return log_dets(gram_of(Z, P, lengths))[0]
    each = zip(Z.split(list(lengths)), P.split(list(lengths)), lengths, strict=True)
    return np.concatenate([log_dets(gram_of(z, p, [m]))[0] for z, p, m in each])


def gram_of(Z: torch.Tensor, P: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """(k, m, m) I + Z_i Z_i^T - P_i P_i^T, or (k, d, d) I + Z_i^T Z_i where that is smaller and there is no tail."""
    import torch

    A, B = padded(Z, lengths), padded(P, lengths)
    # det(I + Z Z^T) = det(I + Z^T Z): without a tail, the smaller of the two
    gram = A @ A.mT if B.shape[2] or A.shape[1] <= A.shape[2] else A.mT @ A
    if B.shape[2]:
        gram = torch.baddbmm(gram, B, B.mT, alpha=-1)
    gram.diagonal(dim1=-2, dim2=-1).add_(1.0)
    return gram


def log_dets(gram: torch.Tensor) -> tuple[np.ndarray, torch.Tensor]:
    """(k,) float64 log det of positive definite matrices, NaN where one is not, and their Cholesky factors."""
    import torch

    factor, failed = torch.linalg.cholesky_ex(gram)
    out = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    out[failed > 0] = float("nan")
    return out.double().cpu().numpy(), factor
