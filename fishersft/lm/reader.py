"""A model that turns batches of encoded records into rows.  Knows neither files nor selectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

if TYPE_CHECKING:
    from fishersft.corpus.encode import Encoded
    from fishersft.lm.model import CausalLM


class Reader(Protocol):
    """A model that turns batches into rows: here (`Here`), or on other machines (`distributed.py`)."""

    @property
    def name(self) -> str: ...
    @property
    def dimension(self) -> int: ...
    @property
    def head(self) -> str:
        """As in `CausalLM`."""

    @property
    def vocabulary(self) -> int:
        """How many ids it knows."""

    def read(self, batches: Iterable[list[Encoded]]) -> Iterator[np.ndarray]:
        """(sum of M, d) float32 rows of each batch, record after record; in the order of the batches."""


@dataclass(frozen=True)
class Here:
    """A model of this process."""

    model: CausalLM

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def dimension(self) -> int:
        return self.model.dimension

    @property
    def head(self) -> str:
        return self.model.head

    @property
    def vocabulary(self) -> int:
        return len(cast(Any, self.model.network.get_input_embeddings()).weight)

    def read(self, batches: Iterable[list[Encoded]]) -> Iterator[np.ndarray]:
        for batch in batches:
            yield rows_of(batch, self.model)


def rows_of(batch: list[Encoded], model: CausalLM) -> np.ndarray:
    """(sum of M, d) float32: the rows of one batch, record after record."""
    import torch

    ids = np.zeros((len(batch), max(len(e.ids) for e in batch)), dtype=np.int64)
    for row, e in zip(ids, batch, strict=True):
        row[: len(e.ids)] = e.ids
    hidden = model.rows(torch.from_numpy(ids)).float().cpu().numpy()
    return np.concatenate([h[e.rows] for h, e in zip(hidden, batch, strict=True)])
