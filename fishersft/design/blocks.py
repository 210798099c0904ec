"""A pool's rows as blocks, and the gains of some of them as one batch of algebra.

Blocks of like length are padded to one size; a padding row is zero and adds nothing.  Nothing is copied: rows are read where
they lie (memory, or a file mapped into it) in the precision they have, and turned into float64 or float32 a batch at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fishersft.errors import DesignError

if TYPE_CHECKING:
    import torch

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

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    def rows(self, some: list[int], dtype: torch.dtype) -> torch.Tensor:
        """(sum of M, d): the rows of some blocks, one block after another."""
        import torch

        spans = [slice(self.offsets[i], self.offsets[i + 1]) for i in some]
        kind = np.float64 if dtype == torch.float64 else np.float32
        X = torch.from_numpy(np.concatenate([self.values[s] for s in spans]).astype(kind)).to(self.device)
        if self.weights is not None:
            X *= torch.from_numpy(np.concatenate([self.weights[s] for s in spans])).to(X)[:, None]
        return X

    def sweep(self) -> Iterator[np.ndarray]:
        """Every block once, in batches of like length."""
        order = np.argsort(self.lengths, kind="stable")
        start = 0
        while start < len(order):
            size = max(1, SWEEP_ROWS // int(self.lengths[order[min(start + SWEEP_ROWS, len(order) - 1)]]))
            yield order[start : start + size]
            start += size

    def check_finite(self, gains: np.ndarray) -> None:
        """DesignError that names the first block without a finite gain."""
        if not np.isfinite(gains).all():
            raise DesignError(
                f"The rows of record {int(np.flatnonzero(~np.isfinite(gains))[0]):,} of the pool are not finite numbers "
                "(or too large to square); remove it or choose another model."
            )


def padded(Z: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """(sum of M, d) -> (k, longest, d), zeros below each block's last row."""
    import torch

    side, k = max(lengths), len(lengths)
    if k == 1:
        return Z[None]
    out = Z.new_zeros(k * side, Z.shape[1])
    starts = np.cumsum([0, *lengths[:-1]])
    place = np.arange(len(Z)) + np.repeat(np.arange(k) * side - starts, lengths)
    out[torch.from_numpy(place).to(Z.device)] = Z
    return out.view(k, side, Z.shape[1])


def log_det_1p(gram: torch.Tensor) -> np.ndarray:
    """(k,) log det(I + G) of positive semidefinite G, (k, M, M); overwrites it; NaN where it is not."""
    import torch

    gram.diagonal(dim1=-2, dim2=-1).add_(1.0)
    factor, failed = torch.linalg.cholesky_ex(gram)
    out = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    out[failed > 0] = float("nan")
    return out.double().cpu().numpy()
