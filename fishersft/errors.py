"""Every error that fishersft raises on purpose.

    FisherSFTError                    a failure; the command line exits with 1
    ├── Cancelled                     the caller asked to stop; what was done is kept
    └── UserError                     a user's mistake or a fact of their machine; exit 2
        ├── CorpusError               a text file, a record
        │   └── ColumnError           no column, or not the named one, holds the text; carries those there are
        ├── ModelError                a model folder, a hub id, a head we cannot use
        │   └── ServerDown            a model's server that does not answer now, and may later
        ├── BudgetError               a budget that no selection can meet
        ├── ParameterError            a selector's name or parameter
        ├── TrainingError             a fine-tuning that cannot go on
        ├── DesignError               rows on which the design is not defined
        ├── StoreError                the store or an output file cannot be written
        ├── JudgeError                a judge, a comparison or a vote that cannot be had
        ├── JobError                  a job that is not known, or in no state for what is asked of it
        ├── ClusterError              a Ray cluster that cannot be reached, has no room or loses its workers
        └── MissingExtra              an optional dependency is not installed

Each message is one plain sentence or two: what happened, where, what to do.
"""

from __future__ import annotations


class FisherSFTError(Exception):
    """A failure inside fishersft."""


class Cancelled(FisherSFTError):
    """The caller asked to stop."""


class UserError(FisherSFTError):
    """Something the user can put right."""


class CorpusError(UserError):
    """The corpus cannot be read, or holds nothing to read."""


class ColumnError(CorpusError):
    """The column with the text is not known."""

    def __init__(self, sentence: str, columns: list[str]) -> None:
        super().__init__(sentence)
        self.columns = columns


class ModelError(UserError):
    """The model cannot be loaded, or its head is not one we can use."""


class ServerDown(ModelError):
    """The server does not answer now; the same question may be answered later."""


class BudgetError(UserError):
    """The budget cannot be met."""


class ParameterError(UserError):
    """A selector or one of its parameters does not exist or is out of range."""


class TrainingError(UserError):
    """A fine-tuning diverged, ran out of memory or has nothing to train on."""


class DesignError(UserError):
    """The rows admit no design: not finite, or sigma2 not positive."""


class StoreError(UserError):
    """Something could not be written."""


class JudgeError(UserError):
    """A judge, a comparison or a vote cannot be had."""


class JobError(UserError):
    """A job is not known, or in no state for what is asked of it."""


class ClusterError(UserError):
    """A Ray cluster cannot be reached, has no room or loses its workers."""


class MissingExtra(UserError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}': pip install 'fishersft[{extra}]'")
        self.extra = extra


def os_reason(error: OSError) -> str:
    """The operating system's own words for an error, lower case, without the path."""
    return (error.strerror or str(error) or type(error).__name__).lower()
