"""Every error that fishersft raises on purpose.

Each message is one or two plain sentences: what happened, where, and what to do.
"""

from __future__ import annotations

import os
import re


class FisherSFTError(Exception):
    """Any failure; the command line exits with 1."""


class Cancelled(FisherSFTError):
    """The caller asked to stop; finished work is kept."""


class UserError(FisherSFTError):
    """A user's mistake or a limit of their machine; the command line exits with 2."""


class CorpusError(UserError):
    """A corpus file or one of its records cannot be read, or the corpus is empty."""


class ColumnError(CorpusError):
    """The column with the text was not found; `columns` are the file's."""

    def __init__(self, sentence: str, columns: list[str]) -> None:
        super().__init__(sentence)
        self.columns = columns


class ModelError(UserError):
    """The model cannot be loaded, or its head is not supported."""


class ServerDown(ModelError):
    """The server does not answer now, but may answer the same question later."""


class BudgetError(UserError):
    """No selection can meet the budget."""


class ParameterError(UserError):
    """A selector or one of its parameters does not exist or is out of range."""


class TrainingError(UserError):
    """A fine-tuning run diverged, ran out of memory or has nothing to train on."""


class DesignError(UserError):
    """The design is not defined: rows are not finite, or sigma2 is not positive."""


class StoreError(UserError):
    """The store or an output file could not be written."""


class JudgeError(UserError):
    """A judge, comparison or vote is not available."""


class JobError(UserError):
    """The job is unknown, or its state does not allow the request."""


class ClusterError(UserError):
    """A Ray cluster is unreachable, full, or loses its workers."""


class MissingExtra(UserError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}': pip install 'fishersft[{extra}]'")
        self.extra = extra


def os_reason(error: OSError) -> str:
    """The operating system's own words for an error, lower case, without the path."""
    said = error.strerror or str(error) or type(error).__name__
    return "only a part could be written" if re.fullmatch(r"\d+ requested and \d+ written", said) else said.lower()  # numpy's


def write_refusal(error: Exception) -> str | None:
    """Why something could not be written, in the operating system's words or a library's that writes by itself; else None."""
    if isinstance(error, OSError):
        return os_reason(error)
    said = str(error)
    if in_rust := re.search(r"\(os error (\d+)\)", said):  # safetensors, tokenizers
        return os.strerror(int(in_rust[1])).lower()
    return "only a part could be written" if "inline_container.cc" in said else None  # torch.save
