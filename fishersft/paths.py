"""Paths as people write them, the folder of what was computed, and the files that travel with the package.

In a checkout the screen, the demo and the mini model lie at the top of the repository; in an installed wheel, under
`fishersft/_bundle`.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent


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
    return user_path(named) if named else Path(platformdirs.user_data_dir("fishersft", appauthor=False))


def root() -> Path:
    """The folder that holds `app.py`, `pages/` and `assets/`."""
    installed = _PACKAGE / "_bundle"
    return installed if installed.is_dir() else _PACKAGE.parent


def asset(*parts: str) -> Path:
    """A file or folder under `assets/`."""
    return root().joinpath("assets", *parts)
