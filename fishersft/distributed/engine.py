"""Where the work is done: in this process, or on a Ray cluster.  Never what comes out, so it is part of no key.

Knows no stage; the pipeline asks it for a way to run greedy and for a model that reads batches.
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
        address: of the Ray cluster; see `fishersft.distributed.cluster.connected`.
        workers: how many; by default one a processor of the cluster.

    Raises:
        ClusterError: another name, or an address without `ray`.
        MissingExtra: `ray` is asked for and not installed.
    """

    name: str = "here"
    address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise ClusterError(f"An engine is 'here' or 'ray', not '{self.name}'.")
        if self.name == "here" and self.address:
            raise ClusterError("--ray-address names a Ray cluster; give --engine ray with it.")
        if self.name == "ray" and find_spec("ray") is None:
            raise MissingExtra("The Ray engine", "ray")

    def kept(self) -> AbstractContextManager[None]:
        """A cluster that is started inside stays to the end of this block; nothing is started where nothing is computed."""
        return cluster.kept()

    @property
    def greedy(self) -> Callable[..., Iterator[Pick]]:
        if self.name == "here":
            return greedy
        from fishersft.distributed import greedy as distributed

        return partial(distributed.greedy, address=self.address, workers=self.workers)

    def reader(self, folder: ModelFolder, device: str) -> AbstractContextManager[Reader]:
        """The model of a folder, loaded by workers of the cluster; for `ray` only."""
        from fishersft.distributed.embed import ray_reader

        return ray_reader(folder, device=device, address=self.address, workers=self.workers)


def as_engine(engine: str | Engine) -> Engine:
    """An engine by name, or as it is."""
    return engine if isinstance(engine, Engine) else Engine(engine)
