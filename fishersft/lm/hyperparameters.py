"""How a model is tuned and how it writes: declared once, the same for every selection, checked before anything is loaded.

Imports neither torch nor transformers, since commands make their options from these declarations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fishersft.fields import MOST_SEED, check, parameter

RATES = (3e-5, 1e-4, 3e-4, 1e-3)  # the learning rates that a search tries
USUAL_RATE = 1e-4  # where a learning rate must be named without a search
CHECKPOINT_SECONDS = 60.0  # between two checkpoints of a training


@dataclass(frozen=True)
class Training:
    """Hyperparameters of one fine-tuning.

    `parts` is no setting: a comparison at equal tokens sets it.  Each pass over the sentences is then cut into so many steps of
    about equal tokens, whatever the number of sentences; with 0, a step takes `batch` sentences.
    """

    learning_rate: float | None = parameter(
        None,
        "Peak learning rate; it rises over the warm-up and falls linearly to 0. If it is too high, every tuned model is worse "
        "than the untuned one.",
        above=0,
        most=1,
        shown_default="found on a uniform draw",
    )
    epochs: int = parameter(3, "Passes over a selection.", least=1, most=1_000)
    batch: int = parameter(
        8,
        "Sentences per step; at equal tokens, those of the reference on average, since all selectors take as many steps.",
        least=1,
        most=65_536,
    )
    warmup: float = parameter(0.1, "Share of the steps over which the learning rate rises.", least=0, below=1)
    weight_decay: float = parameter(0.0, "Weight decay of the optimizer (AdamW).", least=0)
    lora: bool = parameter(False, "Tune low-rank adapters on every linear layer instead of all weights.", label="LoRA")
    rank: int = parameter(8, "Rank of the adapters.", least=1, most=4_096)
    precision: str = parameter(
        "auto",
        "Number format of the forward pass; auto takes bfloat16 where the processor multiplies it faster. Weights stay float32.",
        choices=("auto", "float32", "bfloat16"),
    )
    parts: int = 0

    def __post_init__(self) -> None:
        check(self)

    def steps(self, examples: int) -> int:
        return self.epochs * (min(self.parts, examples) or math.ceil(examples / self.batch))


@dataclass(frozen=True)
class Sampling:
    """Which prompts a tuned model continues, and how its texts are sampled."""

    prompts: int = parameter(50, "Held-out records that every model continues; 0 for no texts.", least=0)
    prompt_tokens: int = parameter(
        8, "Prompt tokens of a plain text; a pair or a chat gives its whole prompt.", least=1, unit="tokens"
    )
    new_tokens: int = parameter(48, "Most new tokens per text.", least=1, unit="tokens")
    temperature: float = parameter(
        0.8,
        "Temperature of the sampling; 0 takes the likeliest token. Below 1, texts read better but are less surprising than "
        "real ones, and the reference judge prefers the more surprising.",
        least=0,
    )
    top_p: float = parameter(0.95, "Sample only from the likeliest tokens that together have this probability.", above=0, most=1)
    sampling_seed: int = parameter(0, "Seed of the choice of prompts and of the sampling.", least=0, most=MOST_SEED)
    score_prompts: int = parameter(
        100,
        "Held-out records whose answers are scored where the records have answers: each model's likeliest answer, or its choice "
        "among those that a record gives; 0 for none.",
        label="Scored answers",
        least=0,
    )

    def __post_init__(self) -> None:
        check(self)
