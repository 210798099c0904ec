"""Where the files that travel with the package are: the screen, the demo, the mini model.

In a checkout they lie at the top of the repository; in an installed wheel, under `fishersft/_bundle`.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def root() -> Path:
    """The folder that holds `app.py`, `pages/` and `assets/`."""
    installed = _PACKAGE / "_bundle"
    return installed if installed.is_dir() else _PACKAGE.parent


def asset(*parts: str) -> Path:
    """A file or folder under `assets/`."""
    return root().joinpath("assets", *parts)
