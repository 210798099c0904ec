"""Connects to a Ray cluster or starts one, places workers on its processors, and replaces those that die.

Knows neither designs nor models; `distributed/greedy.py` and `distributed/engine.py` define the workers' tasks.
Source: Moritz et al. 2018, Ray (OSDI); actors as Ray documents them.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fishersft.errors import ClusterError, FisherSFTError, MissingExtra

log = logging.getLogger(__name__)
MOST_WORKERS = 64  # unless the caller asks for more: every worker has to find its own best block in each round
MOST_DEATHS = 3  # consecutive deaths in one seat
REACHED_WITHIN = 5.0  # seconds to wait for a cluster's first answer
SEATED_WITHIN = 300.0  # seconds to wait for a worker to start; a busy cluster may queue it

_lock = threading.RLock()
_users = 0
_ours: Any = None  # the ray module, if we made the connection


@contextmanager
def kept() -> Iterator[None]:
    """Keeps what `connected` starts inside this block until its end, so that two stages share one start (5 s)."""
    global _users, _ours
    with _lock:
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _ours is not None:
                ours, _ours = _ours, None
                ours.shutdown()


@contextmanager
def connected(address: str | None = None) -> Iterator[Any]:
    """The `ray` module, connected.  An existing connection of the process is used and left open.

    The address `local` starts a cluster on this machine; `auto`, `host:6379` and `ray://host:10001` name a running one; None
    means $RAY_ADDRESS, or `local` without it.  MissingExtra or ClusterError if ray or the cluster cannot be used.
    """
    global _ours
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # otherwise Ray warns about a change in its next release
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("The Ray engine", "ray") from error
    with kept():
        with _lock:
            if not ray.is_initialized():
                _connect(ray, address or os.environ.get("RAY_ADDRESS") or "local")
                _ours = ray
        yield ray


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address == "local":
            os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # otherwise Ray sends usage statistics from the clusters that we start
            ray.init(address="local", include_dashboard=False, **quiet)
        else:
            _knock(address)
            ray.init(address=address, **quiet)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ClusterError(
            f"The Ray cluster at '{address[:200]}' cannot be used ({reason[0][:200].rstrip('.')}); check --ray-address and, "
            "if the cluster requires a token, RAY_AUTH_MODE. Without an address, a cluster is started on this machine."
        ) from error


def _knock(address: str) -> None:
    """Raise OSError if nothing answers at host:port; Ray itself would keep trying for a minute."""
    host, colon, port = address.removeprefix("ray://").split("/")[0].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED_WITHIN).close()


def seats(nodes: Sequence[float], workers: int) -> float:
    """Processors per worker so that all `workers` fit on nodes with these numbers of processors; 0 if there are none."""
    for whole in range(int(max(nodes, default=0)), 0, -1):
        if sum(int(n // whole) for n in nodes) >= workers:
            return float(whole)
    room = sum(int(n) for n in nodes)
    return int(1e4 / -(-workers // room)) / 1e4 if room else 0.0  # several workers share one; Ray counts in steps of 1e-4


class Worker:
    """The base of every actor.  `threads` limits its threads, so that workers on one machine do not compete."""

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)

    def hello(self) -> tuple[str, int, str]:
        """The host, the process id and the version of fishersft."""
        from fishersft import __version__

        return socket.gethostname(), os.getpid(), __version__


class Crew:
    """Actors of one class, each in a numbered seat; a new actor takes the seat of one that dies.

    There are `count` seats, at most `most`; None means one per processor, or one per GPU if each worker occupies a GPU (`gpu`),
    at most MOST_WORKERS.  `workers` are the actors' handles and `where` their (host, process id), by seat.
    """

    def __init__(self, ray: Any, kind: type[Worker], count: int | None, *, most: int, gpu: bool = False) -> None:
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            raise ClusterError(f"The number of workers must be a whole number of at least 1 and was {count!r}.")
        resources = [n["Resources"] for n in ray.nodes() if n["Alive"]]
        seen = int(sum(r.get("GPU" if gpu else "CPU", 0) for r in resources))
        if gpu and not seen:
            raise ClusterError("The Ray cluster has no GPU; use --device cpu.")
        size = max(1, min(count or min(seen, MOST_WORKERS), most))
        cpus = seats([r.get("CPU", 0) for r in resources], size)
        gpus = min(1.0, seats([r.get("GPU", 0) for r in resources], size)) if gpu else 0.0
        self.ray, self.gpu = ray, gpu
        self._threads = max(1, int(cpus))
        self._kind = ray.remote(kind).options(num_cpus=cpus, num_gpus=gpus)
        self._deaths = [0] * size
        self.replaced = 0
        self.workers: list[Any] = [self._kind.remote(self._threads) for _ in range(size)]
        self.where: list[tuple[str, int]] = [self._seated(worker) for worker in self.workers]

    def __len__(self) -> int:
        return len(self.workers)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        if self.ray.is_initialized():  # not when the interpreter exits while a run is still open
            for worker in self.workers:
                self.ray.kill(worker)

    def result(self, ref: Any) -> Any:
        """What a worker's call returned; WorkerDied if its process or machine is gone, or the call's own FisherSFTError."""
        try:
            return self.ray.get(ref)
        except self.ray.exceptions.RayActorError as error:
            raise WorkerDied from error
        except self.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, FisherSFTError):
                raise error.cause from None
            raise

    def follow(self, seat: int) -> None:
        """Put a new worker in a dead one's seat; ClusterError if its workers keep dying."""
        self._deaths[seat] += 1
        if self._deaths[seat] > MOST_DEATHS:
            raise ClusterError(
                f"Worker {seat + 1} of {len(self)} died {MOST_DEATHS + 1} times in a row, perhaps for lack of memory; "
                "use fewer workers per machine or more machines."
            )
        log.warning("worker %d of %d died and is replaced", seat + 1, len(self))
        self.replaced += 1
        self.workers[seat] = self._kind.remote(self._threads)
        self.where[seat] = self._seated(self.workers[seat])

    def did_well(self, seat: int) -> None:
        """Reset the seat's count of consecutive deaths, since its worker has finished a piece of work."""
        self._deaths[seat] = 0

    def _seated(self, worker: Any) -> tuple[str, int]:
        from fishersft import __version__ as ours

        try:
            host, process, version = self.ray.get(worker.hello.remote(), timeout=SEATED_WITHIN)
        except self.ray.exceptions.GetTimeoutError as error:
            raise ClusterError(
                f"The Ray cluster had no room for a worker within {SEATED_WITHIN:.0f} s; stop other work on it or ask for fewer."
            ) from error
        except self.ray.exceptions.RayError as error:
            raise ClusterError(
                "A worker could not start; every machine of the cluster needs the same Python and fishersft[ray] as this "
                f"one, version {ours} ({type(error).__name__})."
            ) from error
        if version != ours:
            raise ClusterError(
                f"The worker on {host} has fishersft {version}, but this machine has {ours}; install the same on both."
            )
        return host, process


class WorkerDied(FisherSFTError):
    """A worker's process or machine is gone; another worker has to do its work."""
