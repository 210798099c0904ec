"""A disk that is really full: a small file system in memory, of which a ballast leaves only so many bytes (Linux, superuser)."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

BALLAST = "ballast"


def mounted(folder: Path, megabytes: int = 64) -> bool:
    """Whether a file system of this size is now at `folder`; it cannot be everywhere."""
    words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    with contextlib.suppress(OSError):
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    return False


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)


@contextlib.contextmanager
def left(folder: Path, size: int) -> Iterator[None]:
    """While this is open, the disk at `folder` has room for `size` bytes, in whole pages."""
    ballast = folder / BALLAST
    facts = os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, facts.f_bavail * facts.f_frsize - size))
    try:
        yield
    finally:
        ballast.unlink()
