"""What every selector shares: the pool it sees, the order it gives, the budget that cuts it, the selection that results.

A selector writes one method, `order`: a generator of picks.  Every budget is a prefix of that one order, so the base class
takes picks until the budget is met, and checks each one: in the pool, never twice.  Knows no file and no screen.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from fishersft.errors import BudgetError, ParameterError
from fishersft.lm.embed import TokenEmbeddings

if TYPE_CHECKING:
    from fishersft.corpus.records import Corpus
    from fishersft.lm.model import CausalLM

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Pool:
    """What a selector sees: N records with their rows; the corpus and the model where it needs them.

    A *position* counts within the pool (0 to N - 1); an *index* is the record's number in the corpus.
    """

    embeddings: TokenEmbeddings
    corpus: Corpus | None = None
    model: CausalLM | None = None

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def index(self) -> np.ndarray:
        return self.embeddings.index

    @property
    def tokens(self) -> np.ndarray:
        return self.embeddings.tokens


def check_seed(seed: int) -> int:
    """The seed as an int; ParameterError unless it is a whole number of at least 0."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ParameterError(f"A seed is a whole number of at least 0 and was {seed!r}.")
    return int(seed)


class Pick(NamedTuple):
    """One step of an order: a position in the pool, and what the selector knows of it."""

    position: int
    gain: float = np.nan
    evaluations: int = 0
    optimum_bound: float = np.nan


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
            raise BudgetError(f"A budget is a whole number and was {value!r}.")
        if value < 1:
            unit = "sentence" if self.sentences is not None else "token"
            raise BudgetError(f"The budget must be at least 1 {unit} and was {value:,}.")

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
    """The first picks of a selector, as far as they were asked for.  All arrays are (n,).

    Attributes:
        positions: in the pool, in pick order.
        gains: nats, NaN where the selector has none.
        evaluations, seconds: cumulative.
        optimum_bounds: nats; no selection of as many sentences gains more.  NaN where the selector proves none.
    """

    positions: np.ndarray
    gains: np.ndarray
    evaluations: np.ndarray
    seconds: np.ndarray
    optimum_bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def prefix(self, n: int) -> Order:
        return Order(*(getattr(self, f)[:n] for f in self.__dataclass_fields__))


@dataclass(frozen=True)
class Selection:
    """What a selector chose from a pool within a budget.

    Attributes:
        selector, parameters, seed: what to call again for the same answer.
        indices: (n,) record numbers in the corpus, in pick order.
        tokens: (n,) trained tokens a pick.
        order: the same picks as positions, with gains and the rest.
    """

    selector: str
    parameters: dict[str, Any]
    seed: int
    indices: np.ndarray
    tokens: np.ndarray
    order: Order

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def gains(self) -> np.ndarray | None:
        """(n,) nats, or None where the selector has none."""
        return None if np.isnan(self.order.gains).all() else self.order.gains

    @property
    def log_det(self) -> float | None:
        """f of the whole selection in the selector's own design (TokenOD: token rows; SentenceOD: means), nats, if it has one."""
        return None if self.gains is None else float(self.gains.sum())

    @property
    def proven_share(self) -> float | None:
        """At least this share of the best possible log det, from 0 to 1, where the selector proves one."""
        from fishersft.design.certificate import share_of_optimum

        if not self.log_det or not len(self) or np.isnan(self.order.optimum_bounds[-1]):
            return None
        return share_of_optimum(self.log_det, float(self.order.optimum_bounds[-1]))


@dataclass(frozen=True)
class Selector(ABC):
    """A rule that orders a pool.  A frozen dataclass whose fields are its parameters.

    Class attributes:
        name: in commands, addresses and files.
        label: on screen.
        summary: one sentence for help and forms.
        reference: the paper and equation or algorithm, or "ours".
        place: where it stands in lists; small first.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    summary: ClassVar[str]
    reference: ClassVar[str]
    place: ClassVar[int] = 100

    @abstractmethod
    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick]:
        """Yield picks, best first, each position at most once, until the pool is empty."""

    @property
    def parameters(self) -> dict[str, Any]:
        return asdict(self)

    def take(self, pool: Pool, budget: Budget, seed: int = 0, on_progress: Progress | None = None) -> Order:
        """The order as far as the budget needs it (with a token budget, one pick beyond it where there is one)."""
        budget.check(pool)
        rng = np.random.default_rng(check_seed(seed))
        total = budget.sentences if budget.sentences is not None else int(budget.tokens or 0)
        seen = np.zeros(len(pool), dtype=bool)
        picks: list[Pick] = []
        seconds: list[float] = []
        spent = 0
        started = time.perf_counter()
        for pick in self.order(pool, rng):
            if not 0 <= pick.position < len(pool) or seen[pick.position]:
                raise ValueError(f"{self.name} picked position {pick.position}, which is taken or outside the pool")
            seen[pick.position] = True
            picks.append(pick)
            seconds.append(time.perf_counter() - started)
            spent += int(pool.tokens[pick.position])
            done = len(picks) if budget.sentences is not None else min(spent, total)
            if on_progress:
                on_progress(done, total)
            if done >= total and (budget.sentences is not None or spent > total or len(picks) == len(pool)):
                break
        if len(picks) < min(total, len(pool)) and budget.sentences is not None:
            raise ValueError(f"{self.name} stopped after {len(picks)} picks of {budget.sentences}")
        return Order(
            positions=np.array([p.position for p in picks], dtype=np.int64),
            gains=np.array([p.gain for p in picks], dtype=np.float64),
            evaluations=np.array([p.evaluations for p in picks], dtype=np.int64),
            seconds=np.array(seconds),
            optimum_bounds=np.array([p.optimum_bound for p in picks], dtype=np.float64),
        )

    def select(
        self,
        pool: Pool,
        budget: int | Budget,
        seed: int = 0,
        on_progress: Progress | None = None,
    ) -> Selection:
        """Choose within a budget (an int counts sentences).

        Raises:
            BudgetError: a budget that is no whole number, below 1 or above the pool.
        """
        budget = budget if isinstance(budget, Budget) else Budget(sentences=budget)
        return self.cut(pool, self.take(pool, budget, seed, on_progress), budget, seed)

    def cut(self, pool: Pool, order: Order, budget: Budget, seed: int) -> Selection:
        """The prefix of an order that a budget allows.

        Raises:
            BudgetError: not even the first pick fits.
        """
        tokens = pool.tokens[order.positions]
        n = budget.cut(tokens)
        order = order.prefix(len(order) if n is None else n)
        if not len(order):
            raise BudgetError(
                f"The first pick of {self.label} alone has {int(tokens[0]):,} tokens, more than the budget of "
                f"{budget.tokens:,}; raise the budget."
            )
        return Selection(
            selector=self.name,
            parameters=self.parameters,
            seed=seed,
            indices=pool.index[order.positions],
            tokens=pool.tokens[order.positions],
            order=order,
        )
