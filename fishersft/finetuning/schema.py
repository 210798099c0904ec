"""The types of a run's files, which `run.py` describes and reads; what a type does not name is shown and decides nothing."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from fishersft.store.checked import Amount, Count, Finite, Name, Positive

Rate = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)?(e[+-]?[0-9][0-9]?)?\Z")]


class Named(TypedDict):
    name: str


class CorpusFacts(Named):
    source: NotRequired[str]
    records: NotRequired[Count]
    held_out: NotRequired[Count]


class TargetFacts(Named):
    choosing: NotRequired[Count]
    measuring: NotRequired[Count]


class TrainingFacts(TypedDict):
    learning_rate: NotRequired[Finite | str | None]
    epochs: NotRequired[Finite]


class Compared(Named):
    """A selector of a run."""

    label: str
    parameters: dict[str, Any]


class Asked(TypedDict):
    """What a run was asked, as run.json holds it."""

    corpus: CorpusFacts
    model: Named
    selectors: list[Compared]
    budgets: list[Count]
    seeds: list[Count]
    equal: str
    cells: list[Name]
    command: NotRequired[list[str]]
    training: NotRequired[TrainingFacts]
    target: NotRequired[TargetFacts]
    score_prompts: NotRequired[Count]


class RunFile(TypedDict):
    kind: str
    version: int
    id: Name
    about: Asked
    versions: NotRequired[dict[str, str]]


class CellFile(TypedDict):
    selector: str
    budget: Count | None
    seed: Count | None
    sentences: Count
    tokens: Count
    key: NotRequired[str]
    indices: NotRequired[list[Count] | None]
    on_target: NotRequired[Amount | None]
    choosing_seconds: NotRequired[Amount | None]
    tokens_per_second: NotRequired[Positive | None]
    learning_rate: NotRequired[Finite | None]
    losses: NotRequired[list[tuple[Count, Finite]] | None]
    seconds: NotRequired[Finite]
    checksums: NotRequired[dict[Name, str]]


class TriedFile(TypedDict):
    """tried.json: the nats of each learning rate that a search has finished, None where it diverged."""

    trained_on: Count
    nats: dict[Rate, Finite | None]


class RateFile(TypedDict):
    """rate.json: the learning rate that was taken, and the nats of each that was tried, None where it diverged."""

    chosen: Positive
    nats: Annotated[dict[Rate, Finite | None], msgspec.Meta(min_length=1)]
    base: Finite
    trained_on: Count
    measured_on: Count


class RepeatsFacts(TypedDict):
    groups: Count
    records: Count
    held_out: Count
    held_out_with_one_in_the_pool: Count
    dropped: Count


class MeasuredFile(TypedDict):
    """held_out.json and target.json."""

    name: NotRequired[str]
    index: list[Count]
    tokens: list[Count]
    topic: NotRequired[list[str | None] | None]
    column: NotRequired[str | None]
    near_duplicates: NotRequired[RepeatsFacts]


class PromptLine(TypedDict):
    prompt: Count
    index: Count
    text: str
    continuation: str


class TextLine(TypedDict):
    prompt: Count
    text: str
    tokens: Count
    ended: bool


Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class ScoredLine(TypedDict):
    index: Count
    prompt: str
    answer: str
    choices: NotRequired[Annotated[list[str], msgspec.Meta(min_length=2)]]
    correct: NotRequired[Count]
    tokens: NotRequired[list[Annotated[int, msgspec.Meta(ge=1, le=2**53)]]]


class ScoreLine(TypedDict):
    text: NotRequired[str]
    exact: NotRequired[Share]
    f1: NotRequired[Share]
    rouge_l: NotRequired[Share]
    nats: NotRequired[list[Finite]]
