"""What the pages compute for a target, kept in memory between reruns: the pool for it, and what picks do for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from fishersft import paths
from fishersft.design.information import design_matrix
from fishersft.errors import CorpusError
from fishersft.pipeline.aim import aim
from fishersft.scoring import precomputed, why
from fishersft.scoring.comparison import aim_of
from fishersft.scoring.criteria import stein_loss
from fishersft.selectors import Pool
from fishersft.ui import cached, uploads
from fishersft.ui.cached import KEYS
from fishersft.ui.session import Choice, public


def aimed(choice: Choice, pool: Pool) -> Pool:
    """The pool for the choice's target, smaller by what must not be picked then; as it is without a target.

    Raises:
        ParameterError, CorpusError: the target cannot be used.
    """
    if not choice.target:
        return pool
    path = choice.target_upload
    if path is not None:
        if not path.exists():
            raise CorpusError("This link's target is an upload that is not on this machine; upload or paste its texts again.")
        uploads.check_upload(path.name, path.stat().st_size, uploads.MOST_TARGET_MB)  # it may have been kept as a corpus
    source = str(path or choice.target)
    stamp = paths.stamp(source) if path or not public() else None
    return _aimed(pool, source, choice.target_seed, choice.target_said if path else "", stamp, choice)


@st.cache_resource(max_entries=8, show_spinner="Reading the target …", hash_funcs=KEYS)
def _aimed(pool: Pool, source: str, seed: int, name: str, stamp: Any, _choice: Choice) -> Pool:
    files = bool(name) or not public()
    found = aim(pool, source, lambda texts: cached.embed(texts, _choice), seed, name=name, files=files, load=uploads.read)
    _ = found.embeddings.means
    return found


@st.cache_data(max_entries=16, show_spinner="Measuring the variance on the target …", hash_funcs=KEYS)
def variance(pool: Pool, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Budgets in sentences and the mean variance on the target's measuring half along an order."""
    return precomputed.target_variance_of(pool.embeddings, order, _measured(pool))


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=KEYS)
def near(pool: Pool) -> np.ndarray:
    """(N,) bool: which records of the pool are near its target."""
    aim = aim_of(pool)
    assert aim is not None
    return aim.near


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=KEYS)
def loss(pool: Pool, picks: np.ndarray) -> float:
    """Stein's loss of some picks to the target's measuring half."""
    return loss_of(pool, picks)


def loss_of(pool: Pool, picks: np.ndarray) -> float:
    """The same, not kept."""
    rows = pool.embeddings
    V = design_matrix((rows.block(int(p)) for p in picks), rows.dimension)
    return stein_loss(V, _measured(pool), int(rows.tokens[picks].sum()))


def _measured(pool: Pool) -> np.ndarray:
    moment = None if pool.target is None else pool.target.measured_moment
    assert moment is not None
    return moment


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEYS)
def help_of(pool: Pool, picks: np.ndarray, position: int) -> tuple[why.TargetHelp, np.ndarray]:
    """What the record at `position` adds for each choosing text of the target, and its cosine with each."""
    assert pool.target is not None
    own = pool.embeddings.subset(np.array([position])).position_weighted_means
    cosines = pool.target.choosing.position_weighted_means @ own[0]
    return why.target_help(pool.embeddings, picks, position, pool.target.choosing), cosines
