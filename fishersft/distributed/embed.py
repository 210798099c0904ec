"""Embedding on many machines: Ray actors that load the model once each and read batches; the driver writes them in order.

Each worker loads the model from the same folder, so the folder must be there on its machine (a shared file system, or the
same path), with the same content.  A few batches are under way with each; a batch whose worker died is read again.
Knows no journal and no store: `embed_into` keeps its contract with either kind of reader.
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

AHEAD = 2  # batches under way with each worker: one it reads, one that waits


class Loaded(NamedTuple):
    """What the driver needs to know of the model."""

    dimension: int
    head: str
    vocabulary: int


class ModelWorker(Worker):
    """The actor around a `CausalLM`."""

    def load(self, path: str, name: str, fingerprint: str, device: str) -> Loaded:
        """Load the model from a folder of this machine.

        Raises:
            ModelError: no such folder here, another content, or it cannot be loaded.
        """
        import socket

        from fishersft.lm.embed import LocalEmbedder
        from fishersft.lm.folder import ModelFolder
        from fishersft.lm.model import load_model

        if not (Path(path) / "config.json").is_file():
            raise ModelError(
                f"The worker on {socket.gethostname()} has no model folder {path}; put it on a file system that all machines "
                "share, or at the same path on each."
            )
        folder = ModelFolder(name, Path(path))
        if folder.fingerprint != fingerprint:
            raise ModelError(f"The model folder {path} on {socket.gethostname()} is not the same as here; copy it again.")
        self.reader = LocalEmbedder(load_model(folder, device=device))
        return Loaded(self.reader.dimension, self.reader.head, self.reader.vocabulary)

    def read(self, batch: list[Encoded]) -> np.ndarray:
        """(sum of M, d) float32 rows of one batch."""
        from fishersft.lm.embed import rows_of

        return rows_of(batch, self.reader.model)


class _UnderWay(NamedTuple):
    """A batch that a worker has: its number, its seat, what it is."""

    number: int
    seat: int
    batch: list[Encoded]


@dataclass
class RayReader:
    """A `Reader` whose model is loaded by a crew of workers.

    Attributes:
        name: of the model.
        crew: the actors.
        arguments: of `ModelWorker.load`.
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
        """As `Reader.read`; at most AHEAD batches a worker are held at once."""
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
        """To whoever has least to do."""
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
    """A model on a cluster.

    Args:
        folder: the model; every machine opens the same path.
        device: `auto` takes the cluster's GPUs, one a worker, where it has any.
        address, workers: as in `fishersft.distributed.greedy.greedy`.

    Raises:
        MissingExtra, ClusterError, ModelError: one sentence each.
    """
    from fishersft.distributed.cluster import MOST_WORKERS

    with connected(address) as ray:
        gpu = device.startswith("cuda") or (device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1)
        where = "cuda" if gpu else "cpu" if device == "auto" else device
        with Crew(ray, ModelWorker, workers, most=workers or MOST_WORKERS, gpu=gpu) as crew:
            yield RayReader(folder.name, crew, (str(folder.path), folder.name, folder.fingerprint, where))
