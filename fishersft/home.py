"""Paths as people write them, and the folder where fishersft keeps what it computed."""

from __future__ import annotations

import os
from pathlib import Path


def user_path(name: str | Path) -> Path:
    """A path with `~` filled in where there is such a user."""
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:  # no such user: a path of that very name
        return path


def home() -> Path:
    """The store's folder, `$FISHERSFT_HOME` or the platform's user data folder; it need not exist yet."""
    named = os.environ.get("FISHERSFT_HOME")
    if named:
        return user_path(named)
    import platformdirs

    return Path(platformdirs.user_data_dir("fishersft", appauthor=False))
