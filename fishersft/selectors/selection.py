"""What selecting speaks of: a budget, the picks an order is made of, and the selection that a budget cuts from it.

Knows no selector, no file and no screen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fishersft.design.greedy import Pick
from fishersft.errors import BudgetError, ParameterError
from fishersft.fields import MOST_SEED

if TYPE_CHECKING:
    from fishersft.selectors.pool import Pool


def check_seed(seed: int) -> int:
    """The seed as an int; ParameterError unless it is a whole number from 0 to MOST_SEED."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed <= MOST_SEED:
        raise ParameterError(f"A seed must be a whole number of at least 0 and at most {MOST_SEED:,}, not {seed!r}.")
    return int(seed)


class Note(NamedTuple):
    """A fact about how the picks were made: what was sampled, refused or approximated."""

    name: str
    value: Any


class Doing(NamedTuple):
    """Progress of the work before the next pick."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Budget:
    """How much may be selected: n sentences, or the longest prefix of at most T trained tokens.

    Raises:
        BudgetError: neither or both given, below 1, or not a whole number.
    """

    sentences: int | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        if (self.sentences is None) == (self.tokens is None):
            raise BudgetError("Give one budget: --budget for sentences or --token-budget for trained tokens.")
        value = self.sentences if self.sentences is not None else self.tokens
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise BudgetError(f"A budget must be a whole number, not {value!r}.")
        if value < 1:
            unit = "sentence" if self.sentences is not None else "token"
            raise BudgetError(f"The budget must be at least 1 {unit}, not {value:,}.")

    def check(self, pool: Pool) -> None:
        """BudgetError where the pool cannot meet it."""
        if self.sentences is not None and self.sentences > len(pool):
            raise BudgetError(
                f"The budget of {self.sentences:,} is above the pool of {len(pool):,} sentences "
                "(held-out and blank records are not in it)."
            )
        if self.tokens is not None and self.tokens > int(pool.tokens.sum()):
            raise BudgetError(
                f"The budget of {self.tokens:,} tokens is above the pool's {int(pool.tokens.sum()):,} trained tokens."
            )

    def cut(self, tokens: np.ndarray) -> int | None:
        """How many picks with these token counts the budget takes, or None while it would take more than there are."""
        if self.sentences is not None:
            return self.sentences if len(tokens) >= self.sentences else None
        fits = int(np.searchsorted(np.cumsum(tokens), self.tokens or 0, side="right"))
        return fits if fits < len(tokens) else None


@dataclass(frozen=True)
class Order:
    """The first n picks of a selector.  All arrays are (n,).

    Attributes:
        positions: in the pool, in pick order.
        gains: nats; NaN if the selector has none.
        evaluations, seconds: cumulative.
        optimum_bounds: nats; no selection of as many sentences gains more.  NaN if the selector proves none.
        notes: facts about how the picks were made, by name.
    """

    positions: np.ndarray
    gains: np.ndarray
    evaluations: np.ndarray
    seconds: np.ndarray
    optimum_bounds: np.ndarray
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, picks: Sequence[Pick], seconds: Sequence[float], notes: Mapping[str, Any]) -> Order:
        """The order of picks that were made after so many seconds each."""
        return cls(
            positions=np.array([p.position for p in picks], dtype=np.int64),
            gains=np.array([p.gain for p in picks], dtype=np.float64),
            evaluations=np.array([p.evaluations for p in picks], dtype=np.int64),
            seconds=np.array(seconds, dtype=np.float64),
            optimum_bounds=np.array([p.optimum_bound for p in picks], dtype=np.float64),
            notes=dict(notes),
        )

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Everything but the notes, by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "notes"}

    def prefix(self, n: int) -> Order:
        return Order(**{name: values[:n] for name, values in self.arrays.items()}, notes=self.notes)


@dataclass(frozen=True)
class Selection:
    """What a selector chose from a pool within a budget.

    Attributes:
        selector, parameters, seed: what to call again for the same answer.
        indices: (n,) record numbers in the corpus, in pick order.
        tokens: (n,) trained tokens a pick.
        order: the same picks as positions, with gains and the rest.
        gain_of: what the gains are increases of; "" where there are none.
    """

    selector: str
    parameters: dict[str, Any]
    seed: int
    indices: np.ndarray
    tokens: np.ndarray
    order: Order
    gain_of: str = ""

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def gains(self) -> np.ndarray | None:
        """(n,) nats, or None if the selector has none."""
        return None if np.isnan(self.order.gains).all() else self.order.gains

    @property
    def objective(self) -> float | None:
        """The sum of the gains, which `gain_of` names; None without gains."""
        return None if self.gains is None else float(self.gains.sum())

    @property
    def log_det(self) -> float | None:
        """f of the selection in the selector's own design (TokenOD: token rows; SentenceOD: means), nats, if it has one."""
        return self.objective if self.gain_of.startswith("log det") else None

    @property
    def proven_share(self) -> float | None:
        """At least this share of the best possible log det is reached, from 0 to 1; None if the selector proves none."""
        from fishersft.design.information import share_of_optimum

        if not self.log_det or not len(self) or np.isnan(self.order.optimum_bounds[-1]):
            return None
        return share_of_optimum(self.log_det, float(self.order.optimum_bounds[-1]))
