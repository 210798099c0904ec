"""See which training examples teach a language model most, and prove it on your own corpus.

>>> import fishersft
>>> picks = fishersft.select("demo", "mini", selector="token_od", budget=50)
>>> picks.indices[:3], picks.log_det, picks.proven_share

The names below are the public API; no other is promised.  Each is loaded when it is first used, so that `import fishersft` and
`fishersft --help` load neither torch nor pandas.
"""

# ruff: noqa: I001 - one import for each module

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors see; a test compares it with the table
    from fishersft.catalogue import find_run as find_run, remove_run as remove_run, runs as runs
    from fishersft.corpus.load import load_corpus as load_corpus
    from fishersft.corpus.records import (
        Chat as Chat,
        Corpus as Corpus,
        Message as Message,
        PromptCompletion as PromptCompletion,
        Text as Text,
    )
    from fishersft.design.rows import TokenEmbeddings as TokenEmbeddings
    from fishersft.errors import FisherSFTError as FisherSFTError, UserError as UserError
    from fishersft.experiments.experiment import Experiment as Experiment, Sweep as Sweep
    from fishersft.experiments.measure import measure_curves as measure_curves
    from fishersft.experiments.result import read_curves as read_curves
    from fishersft.experiments.summaries import curves_markdown as curves_markdown, curves_summary as curves_summary
    from fishersft.experiments.timing import time_greedy as time_greedy
    from fishersft.experiments.worlds import Synthetic as Synthetic, teacher_world as teacher_world, word_world as word_world
    from fishersft.export.formats import selection_files as selection_files, write_selection as write_selection
    from fishersft.export.report import report as report
    from fishersft.fields import parameter as parameter
    from fishersft.finetuning.results import FineTuneResult as FineTuneResult
    from fishersft.finetuning.stages import finetune as finetune
    from fishersft.judge.judging import judge_reports as judge_reports, judge_texts as judge_texts
    from fishersft.lm.hyperparameters import Sampling as Sampling, Training as Training
    from fishersft.lm.model import CausalLM as CausalLM, load_model as load_model
    from fishersft.pipeline.embed_and_select import (
        embed as embed,
        load_pool as load_pool,
        select as select,
        select_from as select_from,
        stored_embeddings as stored_embeddings,
    )
    from fishersft.pipeline.selections import (
        load_kept as load_kept,
        load_selection as load_selection,
        save_selection as save_selection,
        selection_summary as selection_summary,
        selection_table as selection_table,
    )
    from fishersft.scoring.comparison import Comparison as Comparison, compare as compare
    from fishersft.scoring.summaries import comparison_sentences as comparison_sentences, comparison_summary as comparison_summary
    from fishersft.selectors import (
        Budget as Budget,
        Pick as Pick,
        Pool as Pool,
        Selection as Selection,
        Selector as Selector,
        make_selector as make_selector,
        registry as registry,
    )
    from fishersft.store.artifacts import Store as Store

__version__ = "0.1.0"

_NAMES = {
    "catalogue": ("find_run", "remove_run", "runs"),
    "corpus.load": ("load_corpus",),
    "corpus.records": ("Chat", "Corpus", "Message", "PromptCompletion", "Text"),
    "design.rows": ("TokenEmbeddings",),
    "errors": ("FisherSFTError", "UserError"),
    "experiments.experiment": ("Experiment", "Sweep"),
    "experiments.measure": ("measure_curves",),
    "experiments.result": ("read_curves",),
    "experiments.summaries": ("curves_markdown", "curves_summary"),
    "experiments.timing": ("time_greedy",),
    "experiments.worlds": ("Synthetic", "teacher_world", "word_world"),
    "export.formats": ("selection_files", "write_selection"),
    "export.report": ("report",),
    "fields": ("parameter",),
    "finetuning.results": ("FineTuneResult",),
    "finetuning.stages": ("finetune",),
    "judge.judging": ("judge_reports", "judge_texts"),
    "lm.hyperparameters": ("Sampling", "Training"),
    "lm.model": ("CausalLM", "load_model"),
    "pipeline.embed_and_select": ("embed", "load_pool", "select", "select_from", "stored_embeddings"),
    "pipeline.selections": ("load_kept", "load_selection", "save_selection", "selection_summary", "selection_table"),
    "scoring.comparison": ("Comparison", "compare"),
    "scoring.summaries": ("comparison_sentences", "comparison_summary"),
    "selectors": ("Budget", "Pick", "Pool", "Selection", "Selector", "make_selector", "registry"),
    "store.artifacts": ("Store",),
}  # the public names of each module
_HOME = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted((*_HOME, "__version__"))


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fishersft' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(f"fishersft.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
