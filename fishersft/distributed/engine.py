"""`Engine`: whether work is done in this process or on a Ray cluster.  It never changes the results, so no key includes it.

Also here: embedding on a cluster.  Each actor loads the model once from the same path, so its machine needs the same folder
(on a shared file system, or a copy), and reads batches, at most AHEAD at a time; if it dies, others read them again.
Knows no stage, no journal and no store: `embed_into` works the same with either kind of reader.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fishersft.corpus.encode import Encoded
from fishersft.design.greedy import Pick, greedy
from fishersft.distributed import cluster
from fishersft.distributed import greedy as distributed
from fishersft.distributed.cluster import MOST_WORKERS, Crew, Worker, WorkerDied, connected
from fishersft.errors import ClusterError, MissingExtra, ModelError
from fishersft.lm.embed import Reader
from fishersft.lm.folder import ModelFolder
from fishersft.lm.model import load_model

ENGINES = ("here", "ray")
AHEAD = 2  # batches per worker: one being read, one waiting


@dataclass(frozen=True)
class Engine:
    """Where embeddings and greedy are computed: `here`, or by `ray` on the cluster at `address` (see `cluster.connected`) with so
    many `workers`, by default one per processor; MissingExtra if ray is not installed."""

    name: str = "here"
    address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise ClusterError(f"The engine must be 'here' or 'ray', not '{self.name}'.")
        if self.name == "here" and self.address:
            raise ClusterError("--ray-address names a Ray cluster; it requires --engine ray.")
        if self.name == "ray" and find_spec("ray") is None:
            raise MissingExtra("The Ray engine", "ray")

    def kept(self) -> AbstractContextManager[None]:
        """Keeps a cluster that is started inside this block until its end; starts none by itself."""
        return cluster.kept()

    @property
    def greedy(self) -> Callable[..., Iterator[Pick]]:
        return greedy if self.name == "here" else partial(distributed.greedy, address=self.address, workers=self.workers)

    @contextmanager
    def reader(self, folder: ModelFolder, device: str = "auto") -> Iterator[Reader]:
        """The folder's model, loaded by workers of the cluster; for `ray` only.  The device "auto" uses its GPUs, one per worker,
        if it has any.  MissingExtra, ClusterError or ModelError where the reader cannot be started."""
        with connected(self.address) as ray:
            gpu = device.startswith("cuda") or (device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1)
            where = "cuda" if gpu else "cpu" if device == "auto" else device
            with Crew(ray, ModelWorker, self.workers, most=self.workers or MOST_WORKERS, gpu=gpu) as crew:
                yield RayReader(folder.name, crew, (str(folder.path), folder.name, folder.fingerprint, where))


def as_engine(engine: str | Engine) -> Engine:
    """The engine with this name; an `Engine` is returned as it is."""
    return engine if isinstance(engine, Engine) else Engine(engine)


class Loaded(NamedTuple):
    """What the driver needs to know about the model."""

    dimension: int
    head: str
    vocabulary: int


class ModelWorker(Worker):
    """The actor around a `CausalLM`."""

    def load(self, path: str, name: str, fingerprint: str, device: str) -> Loaded:
        """Load the model from a folder here; ModelError if it is missing, has different content or cannot be loaded."""
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
    """A `Reader` of the model `name` whose batches are read by a crew; `arguments` are those of `ModelWorker.load`."""

    name: str
    crew: Crew
    arguments: tuple[str, str, str, str]
    dimension: int = field(init=False)
    head: str = field(init=False)
    vocabulary: int = field(init=False)

    def __post_init__(self) -> None:
        calls = [worker.load.remote(*self.arguments) for worker in self.crew.workers]
        loaded = [self._done(seat, call) for seat, call in enumerate(calls)]
        self.dimension, self.head, self.vocabulary = loaded[0]

    def read(self, batches: Iterable[list[Encoded]]) -> Iterator[np.ndarray]:
        """As `Reader.read`; holds at most AHEAD batches per worker at once."""
        source = enumerate(batches)
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
                (call,), _ = self.crew.ray.wait(list(under_way), num_returns=1)
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
        busy = np.bincount([u.seat for u in under_way.values()], minlength=len(self.crew))
        seat = int(busy.argmin())
        under_way[self.crew.workers[seat].read.remote(batch)] = _UnderWay(number, seat, batch)

    def _follow(self, seat: int) -> Loaded:
        self.crew.follow(seat)
        return self._done(seat, self.crew.workers[seat].load.remote(*self.arguments))

    def _done(self, seat: int, call: Any) -> Loaded:
        try:
            return Loaded(*self.crew.result(call))
        except WorkerDied:
            return self._follow(seat)
