"""What several selectors ask of a pool or of a parameter, checked: each failure is one sentence.

Knows no selector.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fishersft.design.rows import Blocks
from fishersft.errors import ModelError, ParameterError
from fishersft.selectors.pool import Pool


def sentence_means(pool: Pool) -> np.ndarray:
    """(N, d) float32: the mean token row of each sentence; DesignError names the first that is not finite."""
    means = pool.embeddings.means
    Blocks(means, np.arange(len(means) + 1)).check_finite(np.einsum("ij,ij->i", means, means, dtype=np.float64))
    return means


def finite_losses(losses: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
    """The losses as float64; ModelError names the first sentence whose loss is no number."""
    losses = np.asarray(losses, dtype=np.float64)
    if not np.isfinite(losses).all():
        bad = int(np.flatnonzero(~np.isfinite(losses))[0])
        record = bad if positions is None else int(positions[bad])
        raise ModelError(
            f"The model's loss on record {record:,} of the pool is {losses[bad]}; remove the record or choose another model."
        )
    return losses


def check_whole(name: str, value: Any, least: int) -> None:
    """ParameterError unless the value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ParameterError(f"{name} must be a whole number of at least {least} and was {value!r}.")


def check_number(name: str, value: Any, *, above: float | None = None, least: float | None = None) -> None:
    """ParameterError unless the value is a finite number, above one bound or at least another."""
    number = not isinstance(value, bool) and isinstance(value, int | float | np.number) and bool(np.isfinite(value))
    if not number or (above is not None and value <= above) or (least is not None and value < least):
        bound = f"above {above:g}" if above is not None else f"of at least {least:g}"
        raise ParameterError(f"{name} must be a number {bound} and was {value!r}.")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """ParameterError unless the value is one of the choices."""
    if value not in choices:
        raise ParameterError(f"{name} must be {' or '.join(choices)} and was {value!r}.")
