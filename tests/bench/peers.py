"""Published libraries that do part of the job, where they are installed, beside ours.  None is ever a dependency.

They know one row an item, so all work on the same sentence means: log det (SentenceOD) and farthest-first (k-center).
What is missing, or fails here, is told with the reason.

    submodlib   Kaushal et al. 2022, LogDeterminantFunction with its lazy greedy; it builds an N x N kernel
    bmdal_reg   Holzmueller et al. 2023, MaxDet in kernel space and MaxDist; float32 as it chooses by itself
    fast MAP    Chen, Zhang and Zhou 2018, Algorithm 1; no package of theirs, written out in `rivals.py`
    LazyFast    Hemmi et al. 2022, LazyFastGreedy; written out there too
"""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fishersft.experiments.timing import Progressed, agreeing
from fishersft.selectors import Budget, Pool, find_selector, make_selector, registry
from tests.bench.report import Row
from tests.bench.rivals import fast_map, lazy_fast_map

KERNEL_BYTES = 40  # of one entry of submodlib's kernel: a double here, a Python number there
KERNEL_LIMIT = 4_000_000_000

Run = Callable[[np.ndarray, int, float], list[int]]


class NotRunError(Exception):
    """Why a way was not run; a sentence for the report."""


@dataclass(frozen=True)
class Peer:
    """One way on one row an item.

    Attributes:
        name: on the command line.
        label: in the table.
        ours: the selector whose picks it should make; its own name where it is ours.
        load: imports what it needs and returns what picks n of (N, d) float32 rows; ImportError where it is missing.
        install: what to install.
    """

    name: str
    label: str
    ours: str
    load: Callable[[], Run] | None = None
    install: str = ""

    @property
    def is_ours(self) -> bool:
        return self.name == self.ours


def _written_out(way: Callable[..., Iterator[Progressed]]) -> Run:
    import torch

    return lambda rows, n, sigma2: [s.position for s in way(torch.from_numpy(rows), n, sigma2) if s.position is not None]


def _load_submodlib() -> Run:
    from submodlib import LogDeterminantFunction

    def run(rows: np.ndarray, n: int, sigma2: float) -> list[int]:
        import torch

        N = len(rows)
        if N * N * KERNEL_BYTES > KERNEL_LIMIT:
            raise NotRunError(f"its kernel of {N:,} x {N:,} numbers would take about {N * N * KERNEL_BYTES / 1e9:,.0f} GB")
        X = torch.from_numpy(rows).double()
        function = LogDeterminantFunction(n=N, mode="dense", lambdaVal=sigma2, sijs=(X @ X.T).numpy())
        chosen = function.maximize(
            budget=n,
            optimizer="LazyGreedy",
            stopIfZeroGain=False,
            stopIfNegativeGain=False,
            verbose=False,
            show_progress=False,
        )
        return [int(i) for i, _ in chosen]

    return run


def _bmdal(method: str) -> Run:
    with _numpy_1_names():
        from bmdal_reg.bmdal import selection
        from bmdal_reg.bmdal.feature_data import TensorFeatureData
        from bmdal_reg.bmdal.feature_maps import IdentityFeatureMap
        from bmdal_reg.bmdal.features import Features

    def run(rows: np.ndarray, n: int, sigma2: float) -> list[int]:
        import torch

        def features(X: np.ndarray) -> Any:
            return Features(IdentityFeatureMap(n_features=X.shape[1]), TensorFeatureData(torch.from_numpy(X)))

        with _numpy_1_names():
            options = {"noise_sigma": float(np.sqrt(sigma2))} if method == "MaxDetSelectionMethod" else {}
            made = getattr(selection, method)(features(rows), features(rows[:1]), sel_with_train=False, **options)
            return [int(i) for i in made.select(n)]

    return run


@contextlib.contextmanager
def _numpy_1_names() -> Iterator[None]:
    """bmdal_reg 3.0.2 says np.Inf, a name that NumPy 2 took away; lend it for the call."""
    lent = not hasattr(np, "Inf")
    if lent:
        np.Inf = np.inf  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if lent:
            del np.Inf  # type: ignore[attr-defined]


PEERS = (
    Peer("sentence_od", "**ours**, sentence_od", "sentence_od"),
    Peer("fast_map", "fast greedy MAP, written out", "sentence_od", lambda: _written_out(fast_map)),
    Peer("lazy_fast_map", "LazyFastGreedy, written out", "sentence_od", lambda: _written_out(lazy_fast_map)),
    Peer("bmdal", "bmdal_reg, MaxDet", "sentence_od", lambda: _bmdal("MaxDetSelectionMethod"), "bmdal_reg"),
    Peer("submodlib", "submodlib, LogDeterminant with its kernel", "sentence_od", _load_submodlib, "submodlib-py"),
    Peer("k_center", "**ours**, k_center", "k_center"),
    Peer("bmdal_maxdist", "bmdal_reg, MaxDist", "k_center", lambda: _bmdal("MaxDistSelectionMethod"), "bmdal_reg"),
)


def pick(peer: Peer, pool: Pool, n: int, sigma2: float) -> tuple[list[int], float]:
    """The picks of a way on the pool's sentence means, and its seconds; making the means and importing are not in them.

    Raises:
        NotRunError: the package is missing, or failed.
    """
    means = pool.embeddings.means
    if peer.load is None:
        if peer.name not in registry():
            raise NotRunError(f"there is no selector '{peer.name}'")
        known = find_selector(peer.name).__dataclass_fields__
        order = make_selector(peer.name, {"sigma2": sigma2} if "sigma2" in known else {}).take(pool, Budget(sentences=n))
        return order.positions.tolist(), float(order.seconds[-1])
    try:
        # a peer may print; standard output is for the answer
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = peer.load()
            started = time.perf_counter()
            picks = run(means, n, sigma2)
            return picks, time.perf_counter() - started
    except NotRunError:
        raise
    except ImportError as error:
        raise NotRunError(f"not installed ({error.name or error}); pip install {peer.install}") from error
    except Exception as error:  # a stranger's package may raise anything, and the other ways go on
        raise NotRunError(f"failed: {' '.join(str(error).split())[:150] or type(error).__name__}") from error


def measure(
    wanted: Sequence[Peer],
    pool: Pool,
    original: np.ndarray,
    n: int,
    sigma2: float,
    not_run: dict[str, str],
    told: Callable[[str, int, int], None],
) -> list[Row]:
    """Ours and the peers on one row a sentence; ways that could not be run go to `not_run` with the reason.

    Peers break ties their own way, so an exact duplicate counts as the same pick; `original` names what each sentence repeats.
    """
    rows: list[Row] = []
    of_ours: dict[str, tuple[list[int], float]] = {}
    for peer in wanted:
        told(peer.name, 0, n)
        try:
            picks, seconds = pick(peer, pool, n, sigma2)
        except NotRunError as reason:
            not_run[peer.label.replace("*", "")] = str(reason)
            continue
        told(peer.name, len(picks), n)
        if peer.is_ours:
            of_ours[peer.name] = picks, seconds
        row = Row(peer.name, peer.label, "means", len(picks), seconds, seconds if len(picks) == n else None)
        if peer.ours in of_ours:
            exact, base = of_ours[peer.ours]
            same = None if peer.is_ours else agreeing(original[picks].tolist(), original[exact].tolist())
            row = replace(row, ratio=seconds / base, same=same)
        rows.append(row)
    return rows
