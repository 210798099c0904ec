"""What a server does once so that visitors do not wait for it: heavy imports, and their objects put out of the collector's way.

Streamlit collects garbage after every run of a page and holds the interpreter meanwhile.  That takes as long as there are
objects, and the hundred thousands of torch, plotly and the like are never garbage.
"""

from __future__ import annotations

import gc
import sys
from threading import Thread

MANY = 200  # modules imported since the last time, after which their objects are worth setting aside
_seen = 0


def begin() -> None:
    """Import what a first page needs while the server starts and the browser still loads its own part."""
    Thread(target=_import, name="fishersft-warm", daemon=True).start()


def _import() -> None:
    import scipy.interpolate  # noqa: F401
    import torch  # noqa: F401

    import fishersft.plots
    import fishersft.runs.pipeline  # noqa: F401


def settle() -> None:
    """Set aside what imports have left in memory; costs a fraction of a second when there is much, else nothing."""
    global _seen
    if len(sys.modules) - _seen >= MANY:
        _seen = len(sys.modules)
        gc.collect()
        gc.freeze()
