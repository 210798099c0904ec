"""What this machine can do, and what this process took of it.  Names no host."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fishersft.errors import UserError

if TYPE_CHECKING:
    import torch

SHAPE = (8_192, 768)  # of the product that the peak is read from, with a square matrix
REPEATS = 5
PASS_ROWS = 8_192


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[int]:
    """Compute with so many threads (None: as torch was set up) and put the number back; gives the number in use."""
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(max(1, min(count, os.cpu_count() or 1)))
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def check_device(name: str) -> str:
    """The name of a device that is there; UserError otherwise."""
    import torch

    try:
        torch.empty(0, device=torch.device(name))
    except (RuntimeError, AssertionError, ImportError, NotImplementedError) as error:
        raise UserError(f"The device '{name}' is not available here; use --device cpu.") from error
    return name


def gemm_peak(dtype: torch.dtype, device: str = "cpu", shape: tuple[int, int] = SHAPE) -> float:
    """Floating-point operations a second of one large product, the best of a few."""
    import torch

    rows, side = shape
    A = torch.randn(rows, side, dtype=dtype, device=device)
    B = torch.randn(side, side, dtype=dtype, device=device)
    out = A @ B
    best = np.inf
    for _ in range(REPEATS):
        wait_for(device)
        started = time.perf_counter()
        torch.mm(A, B, out=out)
        wait_for(device)
        best = min(best, time.perf_counter() - started)
    return 2.0 * rows * side * side / best


def gemm_pass(values: np.ndarray, device: str = "cpu") -> float:
    """Seconds of one product of all rows, (T, d), with a (d, d) matrix in float32; reading a mapped file is part of it."""
    import torch

    d = values.shape[1]
    B = torch.randn(d, d, device=device)
    out = torch.empty(PASS_ROWS, d, device=device)
    wait_for(device)
    started = time.perf_counter()
    for start in range(0, len(values), PASS_ROWS):
        X = torch.from_numpy(np.asarray(values[start : start + PASS_ROWS], dtype=np.float32)).to(device)
        torch.mm(X, B, out=out[: len(X)])
    wait_for(device)
    return time.perf_counter() - started


def wait_for(device: str) -> None:
    """A GPU answers before it is done; a clock must wait."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()


def peak_memory() -> int | None:
    """The most bytes this process has had resident, pages of mapped files included; None where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/status") as status:
        # the kernel's own mark of this program; getrusage carries that of the process that started it
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def load() -> float | None:
    """How many processes wanted a CPU over the last minute; None where the system does not say.  Asked before a run, it is
    other people's work: with two threads that wait for each other, a busy machine makes seconds several times longer."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def describe(device: str = "cpu") -> dict[str, Any]:
    """What a reader needs to judge the seconds."""
    import torch

    facts: dict[str, Any] = {
        "cpus": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if device.startswith("cuda"):
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts
