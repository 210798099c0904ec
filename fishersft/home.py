"""The folder where fishersft keeps what it computed: `$FISHERSFT_HOME`, or the platform's user data folder."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The store's folder; it need not exist yet."""
    named = os.environ.get("FISHERSFT_HOME")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("fishersft", appauthor=False))
