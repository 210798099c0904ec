"""`Engine`: whether work is done in this process or on a Ray cluster.  It never changes the results, so no key includes it.

The pipeline asks it for a greedy function and for a model that reads batches.  Knows no stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

from fishersft.design.greedy import Pick, greedy
from fishersft.distributed import cluster
from fishersft.errors import ClusterError, MissingExtra
from fishersft.lm.embed import Reader
from fishersft.lm.folder import ModelFolder

ENGINES = ("here", "ray")


@dataclass(frozen=True)
class Engine:
    """Where embeddings and greedy are computed.

    Attributes:
        name: `here` or `ray`.
        address: the address of the Ray cluster; see `fishersft.distributed.cluster.connected`.
        workers: the number of workers; by default one per processor of the cluster.

    Raises:
        ClusterError: the name is unknown, or an address is given without `ray`.
        MissingExtra: `ray` is requested but not installed.
    """

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
        if self.name == "here":
            return greedy
        from fishersft.distributed import greedy as distributed

        return partial(distributed.greedy, address=self.address, workers=self.workers)

    def reader(self, folder: ModelFolder, device: str) -> AbstractContextManager[Reader]:
        """The folder's model, loaded by workers of the cluster; for `ray` only."""
        from fishersft.distributed.embed import ray_reader

        return ray_reader(folder, device=device, address=self.address, workers=self.workers)


def as_engine(engine: str | Engine) -> Engine:
    """The engine with this name; an `Engine` is returned as it is."""
    return engine if isinstance(engine, Engine) else Engine(engine)
