"""Greedy over shards on many machines: exactly the picks of `greedy.py`, with Ray between driver and workers.

Each worker holds a `Shard`: a range of blocks, balanced by rows, their bounds, and a copy of V and its factor.  A round is one
round trip: the driver broadcasts the winner's block X_i, in the precision it is stored in; every worker accepts it and answers
with the contenders of its shard and its n largest bounds.  The driver takes the winner and proves the bound.  V never travels.
Rows travel only where they are not in a file that the worker can open.  A worker that dies is followed by another, which gets
the shard, is told the picks so far and goes on.  Workers evaluate more than one process would (each proves its own best), so
evaluations differ, and the proven bound is a little tighter; picks and gains are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from fishersft.design.factor import suited_to
from fishersft.design.greedy import Contender, Pick, Shard, check_measurable, winner_of
from fishersft.design.information import check_sigma2, optimum_bound
from fishersft.design.rows import MappedRows, TokenEmbeddings, check_finite, open_mapped, where_mapped
from fishersft.distributed.cluster import Crew, Worker, WorkerDied, connected
from fishersft.errors import DesignError, ParameterError

INLINE = 100_000  # bytes; up to here Ray sends an argument with the call, which is quicker than its object store


@dataclass
class Traffic:
    """What a run has exchanged so far, in bytes; Ray's envelopes come on top, about 1 kB a call."""

    workers: list[tuple[str, int]] = field(default_factory=list)  # (host, process id) of each
    shipped: int = 0  # rows, weights and costs sent before the first pick, and again to followers
    rounds: int = 0  # round trips, one per pick
    sent: int = 0  # winners' blocks, to each worker
    received: int = 0  # contenders and bounds
    replaced: int = 0  # workers that died and were followed


def cut(offsets: np.ndarray, parts: int) -> list[tuple[int, int]]:
    """`parts` ranges of blocks with about equally many rows, none empty; at most one a block."""
    N, T = len(offsets) - 1, int(offsets[-1])
    parts = min(parts, N)
    at = [0]
    for k in range(1, parts):
        nearest = int(np.abs(offsets - T * k / parts).argmin())
        at.append(min(max(nearest, at[-1] + 1), N - (parts - k)))
    return list(zip(at, [*at[1:], N], strict=True))


def greedy(
    rows: TokenEmbeddings,
    sigma2: float = 1.0,
    *,
    costs: np.ndarray | None = None,
    pinned: Sequence[int] = (),
    excluded: Sequence[int] = (),
    address: str | None = None,
    workers: int | None = None,
    traffic: Traffic | None = None,
) -> Iterator[Pick]:
    """Picks of Algorithm 1, one at a time, until the pool is empty; the same picks as `fishersft.design.greedy.greedy`.

    Each worker computes on the device of `rows`, with "cuda" on a GPU of its own.  `address` is the cluster's (see `connected`),
    `workers` the number of shards, by default one per processor, at most 64; `traffic` records what is exchanged.
    DesignError as there, ParameterError for pinned or excluded records, which only one machine takes, MissingExtra or
    ClusterError where there is no ray or no cluster, or workers die again and again.
    """
    if pinned or excluded:
        raise ParameterError("Pinned and excluded records are chosen around on one machine only; leave out --engine ray.")
    check_sigma2(sigma2)
    gpu = rows.device.startswith("cuda")
    with connected(address) as ray, Crew(ray, ShardWorker, workers, most=len(rows), gpu=gpu) as crew:
        told = traffic if traffic is not None else Traffic()
        shards = _Shards(crew, rows, costs, (sigma2, "cuda" if gpu else rows.device), told)
        check_measurable(max(shards.begin()), sigma2)
        f = 0.0
        while contenders := [c for reply in shards.replies for c in reply.contenders]:
            winner = winner_of(contenders)
            f += winner.gain
            shards.accept(winner.position)
            n, largest = len(shards.picked), [reply.largest for reply in shards.replies]
            bound = optimum_bound(f, np.concatenate(largest), n) if costs is None else np.nan
            yield Pick(winner.position, winner.gain, shards.evaluations, bound)


class _Shards:
    """The driver's side: who holds what, what was picked, what each worker answered last."""

    def __init__(
        self, crew: Crew, rows: TokenEmbeddings, costs: np.ndarray | None, settings: tuple[float, str], traffic: Traffic
    ) -> None:
        self.crew, self.rows, self.settings, self.traffic = crew, rows, settings, traffic
        self.proves = costs is None
        self.picked: list[int] = []
        self.replies: list[ShardReply] = []
        self.lost = 0  # evaluations of workers that died
        w, o = rows.weights, rows.offsets
        self.parts = [
            Part(
                first=a,
                last=b,
                offsets=o[a : b + 1] - o[a],
                weights=None if w is None else w[o[a] : o[b]],
                costs=None if costs is None else costs[a:b],
                mapped=where_mapped(rows.values[o[a] : o[b]]),
            )
            for a, b in cut(o, len(crew))
        ]
        traffic.workers = crew.where

    @property
    def bounded(self) -> int:
        """How many of its largest bounds each worker sends: as many as the proof needs."""
        return len(self.picked) if self.proves else 0

    @property
    def evaluations(self) -> int:
        return self.lost + sum(reply.evaluations for reply in self.replies)

    def begin(self) -> list[float]:
        """Build all shards at once; the largest first gain of each."""
        calls = [self._begin(k) for k in range(len(self.parts))]
        begun = [self._begun(k, call) for k, call in enumerate(calls)]
        self._refuse(begun)
        self.replies = [b.reply for b in begun if b.reply]
        return [b.most for b in begun]

    def accept(self, position: int) -> None:
        """Send the pick to all workers and collect what they propose next."""
        self.picked.append(position)
        block = self._picked([position])
        here = self.crew.ray.put(block) if block.bytes > INLINE else block
        calls = [worker.go_on.remote(here, self.bounded) for worker in self.crew.workers]
        for k, call in enumerate(calls):
            try:
                self.replies[k] = self.crew.result(call)
                self.crew.did_well(k)
            except WorkerDied:
                self.lost += self.replies[k].evaluations
                begun = self._begun(k, self._follow(k))
                self._refuse([begun])
                assert begun.reply is not None
                self.replies[k] = begun.reply
        self.traffic.rounds += 1
        self.traffic.sent += block.bytes * len(calls)
        self.traffic.received += sum(reply.bytes for reply in self.replies)

    def _picked(self, positions: list[int]) -> Picked:
        o, w = self.rows.offsets, self.rows.weights
        spans = [slice(int(o[p]), int(o[p + 1])) for p in positions]
        values, d = self.rows.values, self.rows.dimension
        return Picked(
            positions,
            np.concatenate([values[s] for s in spans]) if spans else np.empty((0, d), values.dtype),
            [s.stop - s.start for s in spans],
            None if w is None else np.concatenate([w[s] for s in spans] or [w[:0]]),
        )

    def _begin(self, k: int, *, shipped: bool = False) -> Any:
        """Ask the worker in seat k to begin at the current pick; its rows are sent if they have to be."""
        part, so_far = self.parts[k], self._picked(self.picked)
        values = put = None
        if shipped or part.mapped is None:
            o = self.rows.offsets
            values = np.ascontiguousarray(self.rows.values[o[part.first] : o[part.last]])
            put = self.crew.ray.put(values)
        arrays = (values, part.weights, part.costs)
        self.traffic.shipped += sum(a.nbytes for a in arrays if a is not None) + so_far.bytes
        return self.crew.workers[k].begin.remote(part, put, *self.settings, so_far, self.bounded)

    def _begun(self, k: int, call: Any) -> Begun:
        while True:
            try:
                begun: Begun | None = self.crew.result(call)
                if begun is not None:
                    return begun
                call = self._begin(k, shipped=True)  # the file is not within the worker's reach
            except WorkerDied:
                call = self._follow(k)

    def _follow(self, k: int) -> Any:
        self.crew.follow(k)
        self.traffic.replaced = self.crew.replaced
        return self._begin(k)

    def _refuse(self, begun: Sequence[Begun]) -> None:
        """Raise the DesignError that one machine would raise: it names the first bad record of the whole pool."""
        records = [b.record for b in begun if b.record is not None]
        if records:
            gains = np.zeros(len(self.rows))
            gains[min(records)] = np.nan
            check_finite(gains)
        for b in begun:
            if b.refused:
                raise DesignError(b.refused)


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


class ShardReply(NamedTuple):
    """A worker's answer: contenders rising in position and score, its largest bounds, and its evaluations so far."""

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
    """How building a shard went: the first answer and the largest first gain, or why the rows were refused (a sentence that
    counts within the shard) and the number in the pool of the first bad block."""

    reply: ShardReply | None = None
    most: float = 0.0
    refused: str = ""
    record: int | None = None


class ShardWorker(Worker):
    """The actor around a `Shard`."""

    def begin(self, part: Part, values: np.ndarray | None, sigma2: float, device: str, so_far: Picked, n: int) -> Begun | None:
        """Build the shard, accept the picks so far, propose; None if `values` is None and the file cannot be opened here."""
        if values is None and (part.mapped is None or (values := open_mapped(part.mapped)) is None):
            return None
        rows = TokenEmbeddings(values, part.offsets, weights=part.weights, device=device)
        with suited_to(rows.dimension):
            try:
                self.shard = Shard(rows, sigma2, costs=part.costs, first=part.first)
            except DesignError as error:
                # the first block with a row that is not finite, or too large to square
                sizes = (float(rows.stacked([i], torch.float64)[0].square().sum()) for i in range(len(rows)))
                record = next((part.first + i for i, size in enumerate(sizes) if not np.isfinite(size)), None)
                return Begun(refused=str(error), record=record)
            most = float(self.shard.bounds.max())
            return Begun(self.go_on(so_far, n), most)

    def go_on(self, picked: Picked, n: int) -> ShardReply:
        """Accept what was picked and propose, with the n largest bounds after it."""
        with suited_to(picked.values.shape[1]):
            for position, rows in picked.blocks():
                self.shard.accept(position, rows)
            contenders = rising(self.shard.propose())
            return ShardReply(contenders, self.shard.largest(n) if n else np.empty(0), self.shard.evaluations)


def rising(contenders: Sequence[Contender]) -> list[Contender]:
    """Those that may win: one at a lower position whose score is no lower beats another whatever else is proposed."""
    out: list[Contender] = []
    for c in sorted(contenders, key=lambda c: c.position):
        if not out or c.score > out[-1].score:
            out.append(c)
    return out
