"""A Ray cluster: reach it or start one here, seat workers on its processors, replace those that die.

Knows neither designs nor models; `distributed/greedy.py` and `distributed/embed.py` say what the workers do.
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
MOST_WORKERS = 64  # unless the caller asks for more: each of them proves a best block of its own every round
MOST_DEATHS = 3  # of one worker's seat in a row
REACHED_WITHIN = 5.0  # seconds, for the first answer of a cluster
SEATED_WITHIN = 300.0  # seconds, for a worker to start; a busy cluster may keep it waiting

_lock = threading.RLock()
_users = 0
_ours: Any = None  # the ray module, where the connection is one that we made


@contextmanager
def kept() -> Iterator[None]:
    """What `connected` starts inside stays until the end of this block, so that two stages share one start of 5 s."""
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
    """The `ray` module, connected.  A connection that the process has already is used as it is, and left as it is.

    Args:
        address: `local` starts a cluster on this machine; `auto`, `host:6379` and `ray://host:10001` name one that runs.
            None is $RAY_ADDRESS where that is set, otherwise `local`.

    Raises:
        MissingExtra: ray is not installed.
        ClusterError: the cluster cannot be reached or started.
    """
    global _ours
    ray = _ray()
    with kept():
        with _lock:
            if not ray.is_initialized():
                _connect(ray, address or os.environ.get("RAY_ADDRESS") or "local")
                _ours = ray
        yield ray


def _ray() -> Any:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of its next release
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("The Ray engine", "ray") from error
    return ray


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address == "local":
            os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # it would report home from the clusters that we start
            ray.init(address="local", include_dashboard=False, **quiet)
        else:
            _knock(address)
            ray.init(address=address, **quiet)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ClusterError(
            f"The Ray cluster at '{address[:200]}' cannot be used ({reason[0][:200].rstrip('.')}); check --ray-address and, "
            "where the cluster asks for a token, RAY_AUTH_MODE; without an address one is started on this machine."
        ) from error


def _knock(address: str) -> None:
    """OSError where nobody answers at host:port; Ray itself would try for a minute."""
    host, colon, port = address.removeprefix("ray://").split("/")[0].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED_WITHIN).close()


def seats(nodes: Sequence[float], workers: int) -> float:
    """How many processors each of `workers` may have so that all find room on nodes with these many; 0 where there are none."""
    for whole in range(int(max(nodes, default=0)), 0, -1):
        if sum(int(n // whole) for n in nodes) >= workers:
            return float(whole)
    room = sum(int(n) for n in nodes)
    return int(1e4 / -(-workers // room)) / 1e4 if room else 0.0  # several share one; Ray counts in steps of 1e-4


class Worker:
    """What every actor can do.  `threads` is how many it computes with, so that workers of one machine do not fight."""

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)

    def hello(self) -> tuple[str, int, str]:
        """Host, process id, version of fishersft."""
        import fishersft

        return socket.gethostname(), os.getpid(), fishersft.__version__


class Crew:
    """Actors of one class, each in its seat; a dead one is followed by another in the same seat.

    Args:
        ray: the connected module.
        kind: a subclass of `Worker`.
        count: how many seats; None for one a processor (a GPU where `gpu`), at most MOST_WORKERS.
        most: never more than this.
        gpu: each worker holds one GPU.

    Attributes:
        workers: the actors' handles, by seat.
        where: (host, process id) by seat.
        replaced: how many died and were followed.
    """

    def __init__(self, ray: Any, kind: type[Worker], count: int | None, *, most: int, gpu: bool = False) -> None:
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            raise ClusterError(f"The number of workers is a whole number of at least 1 and was {count!r}.")
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
        if self.ray.is_initialized():  # not where a run that was left open is closed at the interpreter's end
            for worker in self.workers:
                self.ray.kill(worker)

    def result(self, ref: Any) -> Any:
        """What a worker's call returned.

        Raises:
            WorkerDied: its process or its machine is gone.
            FisherSFTError: what the call itself raised.
        """
        try:
            return self.ray.get(ref)
        except self.ray.exceptions.RayActorError as error:
            raise WorkerDied from error
        except self.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, FisherSFTError):
                raise error.cause from None
            raise

    def follow(self, seat: int) -> None:
        """Put a new worker in a dead one's seat.

        Raises:
            ClusterError: the seat's workers die one after another.
        """
        self._deaths[seat] += 1
        if self._deaths[seat] > MOST_DEATHS:
            raise ClusterError(
                f"Worker {seat + 1} of {len(self)} died {MOST_DEATHS + 1} times in a row, perhaps for want of memory; "
                "use fewer workers a machine or more machines."
            )
        log.warning("worker %d of %d died and is followed by another", seat + 1, len(self))
        self.replaced += 1
        self.workers[seat] = self._kind.remote(self._threads)
        self.where[seat] = self._seated(self.workers[seat])

    def did_well(self, seat: int) -> None:
        """The seat's worker finished a piece of work: it does not die at once."""
        self._deaths[seat] = 0

    def _seated(self, worker: Any) -> tuple[str, int]:
        import fishersft

        ours = fishersft.__version__
        try:
            host, process, version = self.ray.get(worker.hello.remote(), timeout=SEATED_WITHIN)
        except self.ray.exceptions.GetTimeoutError as error:
            raise ClusterError(
                f"The Ray cluster had no room for a worker within {SEATED_WITHIN:.0f} s; stop other work on it or ask for fewer."
            ) from error
        except self.ray.exceptions.RayError as error:
            raise ClusterError(
                "A worker could not start; every machine of the cluster needs Python and fishersft[ray] as installed here, "
                f"version {ours} ({type(error).__name__})."
            ) from error
        if version != ours:
            raise ClusterError(f"The worker on {host} has fishersft {version} and this is {ours}; install the same on both.")
        return host, process


class WorkerDied(FisherSFTError):
    """Its process or machine is gone; somebody else has to do the work."""
