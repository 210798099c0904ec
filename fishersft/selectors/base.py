"""What every selector shares: it gives an order of the pool, and the base class cuts, checks and times it.

A selector writes one method, `order`: a generator of picks.  Every budget is a prefix of that one order, so the base class
takes picks until the budget is met, and checks that each is in the pool and new.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from fishersft import fields
from fishersft.design.greedy import Pick
from fishersft.design.information import LEAST, MOST
from fishersft.design.targeted import nearest_in_turn
from fishersft.errors import BudgetError, ParameterError
from fishersft.selectors.pool import Pool, target_similarity
from fishersft.selectors.selection import Budget, Doing, Note, Order, Selection, check_seed

Progress = Callable[[int, int], None]
Stage = Callable[[str, int, int], None]
OnPick = Callable[[Pick, float], None]


@dataclass(frozen=True)
class Selector(ABC):
    """A rule that orders a pool.  A frozen dataclass whose fields are its parameters, each declared with `fields.parameter`.

    Class attributes:
        name: in commands, addresses and files.
        label: on screen.
        summary: one sentence for help and forms.
        purpose: what one would use it for, in a sentence; the summary where there is none.
        colour, marker: in every figure: "#rrggbb" and a plotly symbol; `plots.style` gives some to a selector without.
        criterion: the name in `scoring.criteria.CRITERIA` of what the rule is greedy for; "" for one that draws.
        reference: the paper and equation or algorithm, or "ours".
        place: where it stands in lists; small first.
        random: whether the seed changes the picks.
        reaches_out: whether it opens models or servers that its parameters name; a hosted demo does not offer it.
        reads_texts: whether rows alone are not enough, since it reads texts, prompts or columns.
        needs_target: whether it chooses for the pool's `target`.
        heeds_pins: whether it runs the pool's greedy, and so can take some records first and others never.
        gain_of: what `Pick.gain` is the increase of, as a reader would say it; "" where picks carry no gain.
        version: of the rule; raise it when the same parameters pick otherwise, so that orders kept before are not taken.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    summary: ClassVar[str]
    reference: ClassVar[str]
    purpose: ClassVar[str] = ""
    colour: ClassVar[str] = ""
    marker: ClassVar[str] = ""
    criterion: ClassVar[str] = ""
    place: ClassVar[int] = 100
    random: ClassVar[bool] = False
    reaches_out: ClassVar[bool] = False
    reads_texts: ClassVar[bool] = False
    needs_target: ClassVar[bool] = False
    heeds_pins: ClassVar[bool] = False
    gain_of: ClassVar[str] = ""
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        fields.check(self)

    @abstractmethod
    def order(self, pool: Pool, rng: np.random.Generator) -> Iterator[Pick | Note | Doing]:
        """Yield picks, best first, each position at most once, until the pool is empty.

        `Note`s and `Doing`s may come between: what a reader should know of the picks, and progress before the next one.
        """

    @property
    def parameters(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def changed(self) -> dict[str, Any]:
        """The parameters that are not at their defaults."""
        return fields.changed(self)

    def take(
        self,
        pool: Pool,
        budget: Budget,
        seed: int = 0,
        on_progress: Progress | None = None,
        on_stage: Stage | None = None,
        on_pick: OnPick | None = None,
    ) -> Order:
        """The order as far as the budget needs it (with a token budget, one pick beyond it where there is one).

        `on_progress(done, total)` counts picks or tokens; `on_stage(what, done, total)` tells of work before the first pick;
        `on_pick(pick, seconds)` is given each pick as it is made, and the time until then.
        """
        budget.check(pool)
        self._check_pins(pool, budget)
        if self.needs_target and pool.target is None:
            raise ParameterError(
                f"{self.label} chooses for a target and there is none; name texts that the model should get good at: "
                "--target FILE or --target COLUMN=VALUE."
            )
        rng = np.random.default_rng(check_seed(seed))
        total = budget.sentences if budget.sentences is not None else int(budget.tokens or 0)
        seen = np.zeros(len(pool), dtype=bool)
        picks: list[Pick] = []
        notes: dict[str, Any] = {}
        seconds: list[float] = []
        spent = 0
        started = time.perf_counter()
        for pick in self.order(pool, rng):
            if isinstance(pick, Note):
                notes[pick.name] = pick.value
                continue
            if isinstance(pick, Doing):
                if on_stage:
                    on_stage(*pick)
                continue
            if not 0 <= pick.position < len(pool) or seen[pick.position]:
                raise ValueError(f"{self.name} picked position {pick.position}, which is taken or outside the pool")
            seen[pick.position] = True
            picks.append(pick)
            seconds.append(time.perf_counter() - started)
            if on_pick:
                on_pick(pick, seconds[-1])
            spent += int(pool.tokens[pick.position])
            done = len(picks) if budget.sentences is not None else min(spent, total)
            if on_progress:
                on_progress(done, total)
            if done >= total and (budget.sentences is not None or spent > total or len(picks) == len(pool)):
                break
        if len(picks) < min(total, len(pool)) and budget.sentences is not None:
            raise ValueError(f"{self.name} stopped after {len(picks)} picks of {budget.sentences}")
        return Order.of(picks, seconds, notes)

    def _check_pins(self, pool: Pool, budget: Budget) -> None:
        if pool.is_free:
            return
        if not self.heeds_pins:
            raise ParameterError(f"{self.label} takes no pinned or excluded records; TokenOD does.")
        room, wanted = len(pool) - len(pool.excluded), budget.sentences
        if wanted is not None and not len(pool.pinned) <= wanted <= room:
            raise BudgetError(
                f"The budget of {wanted:,} sentences must hold the {len(pool.pinned):,} pinned ones and leave out the "
                f"{len(pool.excluded):,} excluded ones of {len(pool):,}: {max(1, len(pool.pinned)):,} to {room:,}."
            )

    def select(
        self,
        pool: Pool,
        budget: int | Budget,
        seed: int = 0,
        on_progress: Progress | None = None,
    ) -> Selection:
        """Choose within a budget (an int counts sentences); BudgetError if the pool cannot meet it."""
        budget = budget if isinstance(budget, Budget) else Budget(sentences=budget)
        return self.cut(pool, self.take(pool, budget, seed, on_progress), budget, seed)

    def cut(self, pool: Pool, order: Order, budget: Budget, seed: int) -> Selection:
        """The prefix of an order that a budget allows; BudgetError if not even the first pick fits."""
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
            parameters={**self.parameters, **_pins(pool), **_target(pool)},
            seed=seed,
            indices=pool.index[order.positions],
            tokens=pool.tokens[order.positions],
            order=order,
            gain_of=self.gain_of,
        )


@dataclass(frozen=True)
class DesignSelector(Selector):
    """A selector that is greedy on a design matrix V = sigma2 I + the sum of its picks' terms."""

    sigma2: float = fields.parameter(
        1.0,
        "Weight of the identity in the design matrix; 1 is our reading of the paper's default.",
        label="sigma2",
        least=LEAST,
        most=MOST,
    )


@dataclass(frozen=True)
class TargetSelector(Selector):
    """A selector that chooses for the pool's target, among the records nearest to it or among all."""

    reach: float = fields.parameter(
        3.0,
        "Each pick is chosen among the records nearest to the target that hold this many times the tokens spent so far; 0 looks "
        "at the whole pool, which is slower.",
        least=0,
        most=1e6,
    )
    per_token: bool = fields.parameter(True, "Divide what a sentence brings by its trained tokens.")

    needs_target: ClassVar[bool] = True
    version: ClassVar[int] = 3

    def nearest(self, pool: Pool) -> np.ndarray | None:
        """(N,) positions, the nearest to the target first; None where the reach is the whole pool."""
        if not self.reach:
            return None
        return np.fromiter(nearest_in_turn(target_similarity(pool)), dtype=np.int64, count=len(pool))


@dataclass(frozen=True)
class TargetDesignSelector(TargetSelector):
    """One that is greedy on a design matrix V = sigma2 I + the sum of its picks' terms."""

    sigma2: float = fields.parameter(1.0, "Weight of the identity in the design matrix.", label="sigma2", least=LEAST, most=MOST)


def _target(pool: Pool) -> dict[str, Any]:
    """How the pool's target was named, where there is one that was named."""
    if pool.target is None or not pool.target.option:
        return {}
    seed = {"target_seed": pool.target.seed} if pool.target.seed else {}
    return {"target": pool.target.option, **seed}


def _pins(pool: Pool) -> dict[str, list[int]]:
    """The records that were pinned and excluded, where any were."""
    said = {"pinned": pool.pinned, "excluded": pool.excluded}
    return {name: pool.index[list(positions)].tolist() for name, positions in said.items() if positions}
