"""The rows of a pool: one object for embeddings that were stored and for arrays made by hand, read a batch at a time.

Rows stay where they are, in memory or in a file mapped into it.  Another process opens the same file instead of being sent
the rows (`where_mapped`); a digest of some rows tells whether a path names the same file there.  Also here: the small algebra
of one batch, with blocks padded to one size by rows of zeros, and log det(I + G).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fishersft.errors import DesignError

LONG = 48  # rows from which a block is worth a product of its own rather than padding
SWEEP_ROWS = 8_192  # rows of one batch where every block is evaluated
LEAF = 32  # rows of a triangle that is inverted as a whole
SAMPLED = 16  # rows whose digest tells whether a mapped file holds what it should


@dataclass(frozen=True)
class TokenEmbeddings:
    """Rows of N records, one record after another.

    Attributes:
        values: (T, d), float16 to float64; memory-mapped when read from the store.
        offsets: (N + 1,) int64; the rows of record i are values[offsets[i]:offsets[i + 1]], the block X_i.
        index: (N,) int64, the records' numbers in the corpus, ascending; records without a trained token are not here.
            By default 0 to N - 1.
        facts: how the rows were made (max_tokens, truncated, skipped, seconds, ...).
        key: names them in caches; "" for arrays made by hand.
        weights: (T,) numbers of at least 0 that a design multiplies the rows by, or None.
        device: where a design does its algebra.

    Raises:
        ValueError: the shapes do not agree.
        DesignError: a weight that is negative or not finite.
    """

    values: np.ndarray
    offsets: np.ndarray
    index: np.ndarray = None  # type: ignore[assignment]
    facts: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    weights: np.ndarray | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.index is None:
            object.__setattr__(self, "index", np.arange(len(self.offsets) - 1))
        T, N = len(self.values), len(self.index)
        if self.values.ndim != 2 or self.offsets.shape != (N + 1,) or N == 0:
            raise ValueError("values must be (T, d), offsets (N + 1,) and index (N,), N at least 1")
        if self.offsets[0] != 0 or self.offsets[-1] != T or (np.diff(self.offsets) < 1).any():
            raise ValueError("offsets must rise from 0 to T, at least one row a record")
        if self.weights is not None and not (np.isfinite(self.weights).all() and (self.weights >= 0).all()):
            bad = int(np.flatnonzero(~np.isfinite(self.weights) | (self.weights < 0))[0])
            raise DesignError(f"The weight of row {bad:,} of the pool is {self.weights[bad]}; weights are numbers of at least 0.")

    @classmethod
    def of(cls, blocks: Sequence[np.ndarray]) -> TokenEmbeddings:
        """From a list of (M_i, d) arrays; for small pools, lessons and tests."""
        return cls(np.concatenate(blocks), np.concatenate([[0], np.cumsum([len(b) for b in blocks])]).astype(np.int64))

    def weighted(self, weights: np.ndarray) -> TokenEmbeddings:
        """The same rows, multiplied by `weights` (T,) in a design."""
        return replace(self, weights=weights)

    def on(self, device: str) -> TokenEmbeddings:
        """The same rows, for algebra on another device."""
        return self if device == self.device else replace(self, device=device)

    def subset(self, positions: np.ndarray) -> TokenEmbeddings:
        """Some records, in this order; their rows are copied, and the key names what was taken."""
        rows = np.concatenate([np.arange(self.offsets[p], self.offsets[p + 1]) for p in positions])
        key = self.key and hashlib.sha256(f"{self.key} {positions.tolist()}".encode()).hexdigest()
        return replace(
            self,
            values=self.values[rows],
            offsets=np.concatenate([[0], np.cumsum(self.tokens[positions])]).astype(np.int64),
            index=self.index[positions],
            key=key,
            weights=None if self.weights is None else self.weights[rows],
        )

    def __len__(self) -> int:
        return len(self.index)

    @property
    def dimension(self) -> int:
        return int(self.values.shape[1])

    @cached_property
    def tokens(self) -> np.ndarray:
        """(N,) trained tokens a record, M_i."""
        return np.diff(self.offsets)

    @cached_property
    def means(self) -> np.ndarray:
        """(N, d) float32: the mean row of each record, without weights."""
        out = np.empty((len(self), self.dimension), dtype=np.float32)
        for i, X in enumerate(self._in_single()):
            np.add.reduce(X, axis=0, out=out[i])
        out /= self.tokens[:, None].astype(np.float32)
        return out

    @cached_property
    def centre(self) -> np.ndarray:
        """(d,) float32: the mean of `means`."""
        return np.asarray(self.means.mean(0))

    @cached_property
    def position_weighted_means(self) -> np.ndarray:
        """(N, d) float32 of length 1: the mean of each record's rows with weights 1 to m, since later tokens have read more.

        Raises:
            DesignError: rows that are not finite.
        """
        out = np.empty((len(self), self.dimension), dtype=np.float32)
        weights = np.arange(1, self.tokens.max() + 1, dtype=np.float32)
        for i, X in enumerate(self._in_single()):
            np.matmul(weights[: len(X)], X, out=out[i])
        out /= np.cumsum(weights)[self.tokens - 1, None]
        norms = np.linalg.norm(out.astype(np.float64), axis=1)
        check_finite(norms)
        return (out / np.where(norms > 0, norms, 1.0)[:, None]).astype(np.float32)

    def _in_single(self) -> Iterator[np.ndarray]:
        """X_i in float32 of every record in turn; many are converted at once, which is quicker than one at a time."""
        first = 0
        while first < len(self):
            begin = self.offsets[first]
            last = max(first + 1, int(np.searchsorted(self.offsets, begin + SWEEP_ROWS, side="right")) - 1)
            rows = torch.from_numpy(np.array(self.values[begin : self.offsets[last]])).float().numpy()
            yield from np.split(rows, self.offsets[first + 1 : last] - begin)
            first = last

    def rows_of(self, position: int) -> slice:
        """Where the rows of the record at `position` (0 to N - 1) are."""
        return slice(int(self.offsets[position]), int(self.offsets[position + 1]))

    def block(self, position: int) -> np.ndarray:
        """X_i, (M_i, d), of the record at `position`, without weights."""
        return self.values[self.rows_of(position)]

    def stacked(self, some: Sequence[int], dtype: torch.dtype, most: int | None = None) -> tuple[torch.Tensor, list[int]]:
        """Weighted rows of some records, one record after another, (sum of m, d), and the m of each.

        A block with more than `most` rows (at least d) is replaced by the triangle R of X = Q R: R^T R = X^T X, and no gain
        depends on more.
        """
        spans = [self.rows_of(i) for i in some]
        lengths = [s.stop - s.start for s in spans]
        stored = torch.from_numpy(np.concatenate([self.values[s] for s in spans]))
        if stored.dtype == torch.float16:
            stored = stored.float()  # quicker than straight to float64
        X = stored.to(self.device, dtype)
        if self.weights is not None:
            X *= torch.from_numpy(np.concatenate([self.weights[s] for s in spans])).to(X)[:, None]
        if most is None or max(lengths) <= most:
            return X, lengths
        parts = [torch.linalg.qr(x, mode="r").R if len(x) > most else x for x in X.split(lengths)]
        return torch.cat(parts), [len(x) for x in parts]

    def batches(self, some: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Positions of some records (or of all), each once, in batches of like length and at most SWEEP_ROWS padded rows."""
        some = np.arange(len(self)) if some is None else some
        order = some[np.argsort(self.tokens[some], kind="stable")]
        start = 0
        while start < len(order):
            size = max(1, SWEEP_ROWS // int(self.tokens[order[min(start + SWEEP_ROWS, len(order)) - 1]]))
            yield order[start : start + size]
            start += size


def check_finite(sizes: np.ndarray, first: int = 0) -> None:
    """DesignError that names the first record whose size (a gain, a squared norm) is not finite; `first` numbers them."""
    if not np.isfinite(sizes).all():
        raise DesignError(
            f"The rows of record {first + int(np.flatnonzero(~np.isfinite(sizes))[0]):,} of the pool are not finite numbers "
            "(or too large to square); remove it or choose another model."
        )


def padded(Z: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """(sum of m, c) -> (k, longest, c), zeros below each block's last row."""
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
    return factored(Z, P, lengths)[0]


def factored(Z: torch.Tensor, P: torch.Tensor, lengths: Sequence[int]) -> tuple[np.ndarray, list[torch.Tensor]]:
    """The same, and the Cholesky factor of each of these matrices (or of I + Z_i^T Z_i, see `gram_of`)."""
    if min(max(lengths), Z.shape[1]) <= LONG:
        gains, factors = log_dets(gram_of(Z, P, lengths))
        return gains, list(factors)
    found = [
        log_dets(gram_of(z, p, [m])) for z, p, m in zip(Z.split(list(lengths)), P.split(list(lengths)), lengths, strict=True)
    ]
    return np.concatenate([gains for gains, _ in found]), [factor[0] for _, factor in found]


def gram_of(Z: torch.Tensor, P: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """(k, m, m) I + Z_i Z_i^T - P_i P_i^T, or (k, d, d) I + Z_i^T Z_i where that is smaller and there is no tail."""
    A, B = padded(Z, lengths), padded(P, lengths)
    # det(I + Z Z^T) = det(I + Z^T Z): without a tail, the smaller of the two
    gram = A @ A.mT if B.shape[2] or A.shape[1] <= A.shape[2] else A.mT @ A
    if B.shape[2]:
        gram = torch.baddbmm(gram, B, B.mT, alpha=-1)
    gram.diagonal(dim1=-2, dim2=-1).add_(1.0)
    return gram


def log_dets(gram: torch.Tensor) -> tuple[np.ndarray, torch.Tensor]:
    """(k,) float64 log det of positive definite matrices, NaN where one is not, and their Cholesky factors."""
    factor, failed = torch.linalg.cholesky_ex(gram)
    out = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    out[failed > 0] = float("nan")
    return out.double().cpu().numpy(), factor


def lower_inverse(L: torch.Tensor) -> torch.Tensor:
    """(k, m, m) inverses of lower triangular matrices, by halves: products are several times quicker than solving for each."""
    m = L.shape[-1]
    if m <= LEAF:
        return torch.linalg.solve_triangular(L, torch.eye(m, dtype=L.dtype, device=L.device).expand_as(L), upper=False)
    h, out = m // 2, torch.zeros_like(L)
    out[:, :h, :h] = lower_inverse(L[:, :h, :h])
    out[:, h:, h:] = lower_inverse(L[:, h:, h:])
    out[:, h:, :h] = -(out[:, h:, h:] @ (L[:, h:, :h] @ out[:, :h, :h]))
    return out


@dataclass(frozen=True)
class MappedRows:
    """Some rows of a file: its absolute path, the array's dtype, shape and offset in bytes, and sha256 of SAMPLED rows."""

    path: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    digest: str


def where_mapped(values: np.ndarray) -> MappedRows | None:
    """Where (M, d) rows lie in a file, or None where they are not mapped from one."""
    root = values
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not isinstance(root, np.memmap) or root.filename is None or not values.flags.c_contiguous or not values.size:
        return None
    # a view of a memmap keeps its parent's `offset`, so the view's own place is read off the addresses
    offset = root.offset + values.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    path = Path(str(root.filename)).resolve()
    return MappedRows(str(path), values.dtype.str, values.shape, int(offset), _digest(values))


def open_mapped(rows: MappedRows) -> np.ndarray | None:
    """The same rows mapped here, read-only; None where there is no such file or it holds something else."""
    try:
        values = np.memmap(rows.path, dtype=np.dtype(rows.dtype), mode="r", offset=rows.offset, shape=rows.shape)
    except (OSError, ValueError):
        return None
    return values if _digest(values) == rows.digest else None


def _digest(values: np.ndarray) -> str:
    some = np.unique(np.linspace(0, len(values) - 1, SAMPLED).astype(np.int64))
    return hashlib.sha256(np.ascontiguousarray(values[some]).tobytes()).hexdigest()
