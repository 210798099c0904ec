"""Paths as people write them, the user's data folder, the files that ship with the package, guarded reads and atomic writes.

In a checkout the screen, the demo and the mini model lie at the top of the repository; in an installed wheel, under
`fishersft/_bundle`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

import platformdirs

from fishersft.errors import StoreError, write_refusal

_PACKAGE = Path(__file__).resolve().parent
MOST_READ = 200_000_000  # bytes of a file of ours that is read whole


def user_path(name: str | Path) -> Path:
    """A path with `~` expanded, if there is such a user."""
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:  # there is no such user, so the path begins with a literal ~
        return path


def stamp(name: str | Path) -> tuple[int, int] | None:
    """When a file was last changed, and its bytes; None where there is no such file, or no file can have the name."""
    with contextlib.suppress(OSError, ValueError):
        facts = user_path(name).stat()
        return (facts.st_mtime_ns, facts.st_size) if stat.S_ISREG(facts.st_mode) else None
    return None


def home() -> Path:
    """The store's folder, `$FISHERSFT_HOME` or the platform's user data folder; it need not exist yet."""
    named = os.environ.get("FISHERSFT_HOME")
    return user_path(named) if named else Path(platformdirs.user_data_dir("fishersft", appauthor=False))


def root() -> Path:
    """The folder that holds `app.py`, `pages/` and `assets/`."""
    installed = _PACKAGE / "_bundle"
    return installed if installed.is_dir() else _PACKAGE.parent


def asset(*parts: str) -> Path:
    """A file or folder under `assets/`."""
    return root().joinpath("assets", *parts)


def open_regular(path: Path) -> BufferedReader:
    """A file opened for reading; OSError for a pipe or a device, which may give nothing for ever, or never end."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is a pipe or a device, no regular file")
    return file


def read_whole(path: Path, most: int = MOST_READ) -> bytes:
    """The bytes of a file; OSError also where it has more than `most`, which a sparse one has at no cost."""
    with open_regular(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes, more than {most:,}")
        return file.read()


def remove(path: Path) -> None:
    """Delete a folder with what is in it, or a file; of a link only the link, since what it leads to is elsewhere."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; the file or folder that the block makes there replaces `path` in one rename.

    When the block fails, what it made is deleted and `path` stays as it was.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        yield partial
        if partial.is_dir() and (path.is_dir() or path.is_symlink()):
            remove(path)
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(partial) if partial.is_dir() else partial.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(what: Path | str, advice: str = "name another place with --out") -> Iterator[None]:
    """Turns the refusal to write `what`, the operating system's or a library's, into a one-sentence StoreError."""
    try:
        yield
    except Exception as error:
        if (reason := write_refusal(error)) is None:
            raise
        raise StoreError(f"{str(what)[:300]} cannot be written ({reason}); {advice}.") from error


def write_whole(path: Path, content: str | bytes, advice: str = "name another place with --out") -> None:
    """Write a file, text as UTF-8, whole or not at all; the StoreError if it cannot be written ends with `advice`."""
    with writing(path, advice), replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
