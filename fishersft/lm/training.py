"""How a model is tuned: hyperparameters that are the same for every selection, checked before anything is loaded."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from fishersft.errors import ParameterError

RATES = (3e-5, 1e-4, 3e-4, 1e-3)  # what a sweep tries


@dataclass(frozen=True)
class Training:
    """How a model is tuned: the same for every selection.

    Attributes:
        learning_rate: the highest; it rises over `warmup` of the steps and falls linearly to 0.
        epochs: passes over the examples.
        batch: examples a step.
        warmup: share of the steps.
        lora: tune low-rank adapters of `rank` on every linear layer instead of all weights (they are merged at the end).
        precision: float32, or bfloat16 (autocast; weights stay float32); auto is bfloat16 where there is hardware for it.
    """

    learning_rate: float = 1e-4
    epochs: int = 3
    batch: int = 8
    warmup: float = 0.1
    weight_decay: float = 0.0
    lora: bool = False
    rank: int = 8
    precision: str = "auto"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.learning_rate) and 0 < self.learning_rate <= 1):
            raise ParameterError(f"A learning rate lies above 0 and up to 1, for example 1e-4, and was {self.learning_rate:g}.")
        for name, least in (("epochs", 1), ("batch", 1), ("rank", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ParameterError(f"{name} is a whole number of at least {least} and was {value!r}.")
        if not 0 <= self.warmup < 1 or not math.isfinite(self.weight_decay) or self.weight_decay < 0:
            raise ParameterError("warmup is a share from 0 to below 1, and weight decay at least 0.")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ParameterError(f"precision is auto, float32 or bfloat16, not '{self.precision}'.")

    def steps(self, examples: int) -> int:
        return self.epochs * math.ceil(examples / self.batch)

    @property
    def parameters(self) -> dict[str, Any]:
        return asdict(self)
