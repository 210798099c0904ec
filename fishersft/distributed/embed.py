"""Embedding on many machines: each Ray actor loads the model once and reads batches; the driver writes the rows in order.

Each worker loads the model from the same path, so its machine needs the same folder with the same content (on a shared file
system, or a copy).  Each worker has up to AHEAD batches at a time; if it dies, they are read again by others.
Knows no journal and no store: `embed_into` works the same with either kind of reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fishersft.distributed.cluster import Crew, Worker, WorkerDied, connected
from fishersft.errors import ModelError

if TYPE_CHECKING:
    from fishersft.corpus.encode import Encoded
    from fishersft.lm.folder import ModelFolder

AHEAD = 2  # batches per worker: one being read, one waiting


class Loaded(NamedTuple):
    """What the driver needs to know about the model."""

    dimension: int
    head: str
    vocabulary: int


class ModelWorker(Worker):
    """The actor around a `CausalLM`."""

    def load(self, path: str, name: str, fingerprint: str, device: str) -> Loaded:
        """Load the model from a folder on this machine.

        Raises:
            ModelError: the folder is missing here or has different content, or the model cannot be loaded.
        """
        import socket

        from fishersft.lm.folder import ModelFolder
        from fishersft.lm.model import load_model

        if not (Path(path) / "config.json").is_file():
            raise ModelError(
                f"The worker on {socket.gethostname()} has no model folder {path}; put it on a file system that all machines "
                "share, or copy it to the same path on each."
            )
        folder = ModelFolder(name, Path(path))
        if folder.fingerprint != fingerprint:
            raise ModelError(f"The model folder {path} on {socket.gethostname()} differs from the one here; copy it again.")
        self.model = load_model(folder, device=device)
        return Loaded(self.model.dimension, self.model.head, self.model.vocabulary)

    def read(self, batch: list[Encoded]) -> np.ndarray:
        """The (sum of M, d) float32 rows of one batch."""
        return self.model.rows_of(batch)


class _UnderWay(NamedTuple):
    """A batch that a worker is reading: the batch's number, the worker's seat, and the batch."""

    number: int
    seat: int
    batch: list[Encoded]


@dataclass
class RayReader:
    """A `Reader` whose batches are read by a crew of workers.

    Attributes:
        name: the model's name.
        crew: the actors.
        arguments: the arguments of `ModelWorker.load`.
    """

    name: str
    crew: Crew
    arguments: tuple[str, str, str, str]

    def __post_init__(self) -> None:
        calls = [worker.load.remote(*self.arguments) for worker in self.crew.workers]
        loaded = [self._done(seat, call) for seat, call in enumerate(calls)]
        self._loaded = loaded[0]

    @property
    def dimension(self) -> int:
        return self._loaded.dimension

    @property
    def head(self) -> str:
        return self._loaded.head

    @property
    def vocabulary(self) -> int:
        return self._loaded.vocabulary

    def read(self, batches: Iterable[list[Encoded]]) -> Iterator[np.ndarray]:
        """As `Reader.read`; holds at most AHEAD batches per worker at once."""
        ray, source = self.crew.ray, enumerate(batches)
        under_way: dict[Any, _UnderWay] = {}
        ready: dict[int, np.ndarray] = {}
        wanted, more = 0, True
        while True:
            while more and len(under_way) + len(ready) < AHEAD * len(self.crew):
                if (following := next(source, None)) is None:
                    more = False
                else:
                    self._give(under_way, *following)
            if wanted in ready:
                yield ready.pop(wanted)
                wanted += 1
            elif under_way:
                (call,), _ = ray.wait(list(under_way), num_returns=1)
                number, seat, batch = under_way.pop(call)
                try:
                    ready[number] = self.crew.result(call)
                    self.crew.did_well(seat)
                except WorkerDied:
                    lost = [c for c, u in under_way.items() if u.seat == seat]
                    again = [(number, batch), *((u.number, u.batch) for u in map(under_way.pop, lost))]
                    self._follow(seat)
                    for one in again:
                        self._give(under_way, *one)
            else:
                return

    def _give(self, under_way: dict[Any, _UnderWay], number: int, batch: list[Encoded]) -> None:
        """Give a batch to the worker with the fewest batches."""
        busy = [0] * len(self.crew)
        for u in under_way.values():
            busy[u.seat] += 1
        seat = int(np.argmin(busy))
        under_way[self.crew.workers[seat].read.remote(batch)] = _UnderWay(number, seat, batch)

    def _follow(self, seat: int) -> Loaded:
        self.crew.follow(seat)
        return self._done(seat, self.crew.workers[seat].load.remote(*self.arguments))

    def _done(self, seat: int, call: Any) -> Loaded:
        try:
            loaded: Loaded = self.crew.result(call)
            return loaded
        except WorkerDied:
            return self._follow(seat)


@contextmanager
def ray_reader(
    folder: ModelFolder, *, device: str = "auto", address: str | None = None, workers: int | None = None
) -> Iterator[RayReader]:
    """A reader whose model runs on a cluster.

    Args:
        folder: the model; every machine opens the same path.
        device: `auto` uses the cluster's GPUs, one per worker, if it has any.
        address, workers: as in `fishersft.distributed.greedy.greedy`.

    Raises:
        MissingExtra, ClusterError, ModelError: the reader cannot be started; the message is one sentence.
    """
    from fishersft.distributed.cluster import MOST_WORKERS

    with connected(address) as ray:
        gpu = device.startswith("cuda") or (device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1)
        where = "cuda" if gpu else "cpu" if device == "auto" else device
        with Crew(ray, ModelWorker, workers, most=workers or MOST_WORKERS, gpu=gpu) as crew:
            yield RayReader(folder.name, crew, (str(folder.path), folder.name, folder.fingerprint, where))
