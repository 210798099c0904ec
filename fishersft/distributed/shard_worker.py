"""The worker's side of distributed greedy: an actor around a `Shard`, and what it and the driver say to each other.

Knows of the pool only its own part, and no Ray: `cluster.Crew` makes it an actor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fishersft.design.greedy import Contender, Shard
from fishersft.design.mapped import MappedRows, open_mapped
from fishersft.design.threads import suited_to
from fishersft.distributed.cluster import Worker
from fishersft.errors import DesignError


class Picked(NamedTuple):
    """Blocks that were picked: positions in the pool, their rows as stored one after another, rows a block, row weights."""

    positions: list[int]
    values: np.ndarray
    lengths: list[int]
    weights: np.ndarray | None

    @property
    def bytes(self) -> int:
        return self.values.nbytes + (0 if self.weights is None else self.weights.nbytes) + 16 * len(self.positions)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Position and (M, d) float64 weighted rows: what `Shard.accept` takes."""
        ends = np.cumsum(self.lengths)
        for position, end, length in zip(self.positions, ends, self.lengths, strict=True):
            span = slice(end - length, end)
            rows = self.values[span].astype(np.float64)
            yield position, rows if self.weights is None else rows * self.weights[span].astype(np.float64)[:, None]


class Reply(NamedTuple):
    """A worker's answer.

    `contenders` rise in position and in score; `largest` are its largest bounds; `evaluations` counts since its start.
    """

    contenders: list[Contender]
    largest: np.ndarray
    evaluations: int

    @property
    def bytes(self) -> int:
        return 24 * len(self.contenders) + self.largest.nbytes + 8


class Part(NamedTuple):
    """The shard of one seat: blocks `first` to `last` of the pool with what belongs to them."""

    first: int
    last: int
    offsets: np.ndarray
    weights: np.ndarray | None
    costs: np.ndarray | None
    mapped: MappedRows | None


class Begun(NamedTuple):
    """How building a shard went.

    Attributes:
        reply: the first answer; None where the rows were refused.
        most: the largest first gain, nats.
        refused: the sentence of the refusal, which speaks of the shard's own numbers.
        record: the first bad block's number in the pool, where one is to blame.
    """

    reply: Reply | None = None
    most: float = 0.0
    refused: str = ""
    record: int | None = None


class ShardWorker(Worker):
    """The actor around a `Shard`."""

    def begin(self, part: Part, values: np.ndarray | None, sigma2: float, device: str, so_far: Picked, n: int) -> Begun | None:
        """Build the shard, accept the picks so far, propose; None where `values` is None and the file is not within reach."""
        if values is None and (part.mapped is None or (values := open_mapped(part.mapped)) is None):
            return None
        with suited_to(values.shape[1]):
            try:
                self.shard = Shard(
                    values, part.offsets, sigma2, weights=part.weights, costs=part.costs, first=part.first, device=device
                )
            except DesignError as error:
                bad = _first_bad(values, part.offsets, part.weights)
                return Begun(refused=str(error), record=None if bad is None else part.first + bad)
            most = float(self.shard.bounds.max())
            return Begun(self.go_on(so_far, n), most)

    def go_on(self, picked: Picked, n: int) -> Reply:
        """Accept what was picked and propose; with the n largest bounds as they are then."""
        with suited_to(picked.values.shape[1]):
            for position, rows in picked.blocks():
                self.shard.accept(position, rows)
            contenders = rising(self.shard.propose())
            return Reply(contenders, self.shard.largest(n) if n else np.empty(0), self.shard.evaluations)


def rising(contenders: Sequence[Contender]) -> list[Contender]:
    """Those that may win: whoever has a lower position and no lower score than another wins over it in every company."""
    out: list[Contender] = []
    for c in sorted(contenders, key=lambda c: c.position):
        if not out or c.score > out[-1].score:
            out.append(c)
    return out


def _first_bad(values: np.ndarray, offsets: np.ndarray, weights: np.ndarray | None) -> int | None:
    """The first block with a row that is not finite, or too large to square."""
    for i in range(len(offsets) - 1):
        span = slice(int(offsets[i]), int(offsets[i + 1]))
        rows = values[span].astype(np.float64)
        if weights is not None:
            rows = rows * weights[span, None]
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.isfinite(np.square(rows).sum()):
                return i
    return None
