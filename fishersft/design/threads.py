"""One thread for small matrices.

Below a few million multiplications a call, waking the other threads costs more than they bring, and on a busy machine each
call waits for the slowest of them (measured: 4 to 8 times slower beside other work).  Counted, so that runs may overlap.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

SMALL = 128  # dimensions up to which greedy is quickest on one thread

_lock = threading.Lock()
_inside = 0
_before = 1


@contextmanager
def suited_to(d: int) -> Iterator[None]:
    """Run with one thread where d is small; the number of threads is put back when the last such run ends."""
    global _inside, _before
    if d > SMALL:
        yield
        return
    import torch

    with _lock:
        if _inside == 0:
            _before = torch.get_num_threads()
        _inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                torch.set_num_threads(_before)
