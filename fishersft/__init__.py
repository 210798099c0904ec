"""See which training examples teach a language model most, and prove it on your own corpus.

>>> import fishersft
>>> picks = fishersft.select("demo", "mini", selector="token_od", budget=50)
>>> picks.indices[:3], picks.log_det, picks.proven_share

The names below are the public API; no other is promised.  Each is loaded when it is first used, so that `import fishersft` and
`fishersft --help` load neither torch nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors see; a test compares it with the table
    from fishersft.catalogue import find_run as find_run
    from fishersft.catalogue import remove_run as remove_run
    from fishersft.catalogue import runs as runs
    from fishersft.corpus.load import load_corpus as load_corpus
    from fishersft.corpus.records import (
        Chat as Chat,
    )
    from fishersft.corpus.records import (
        Corpus as Corpus,
    )
    from fishersft.corpus.records import (
        Message as Message,
    )
    from fishersft.corpus.records import (
        PromptCompletion as PromptCompletion,
    )
    from fishersft.corpus.records import (
        Text as Text,
    )
    from fishersft.design.rows import TokenEmbeddings as TokenEmbeddings
    from fishersft.errors import FisherSFTError as FisherSFTError
    from fishersft.errors import UserError as UserError
    from fishersft.experiments.experiment import Experiment as Experiment
    from fishersft.experiments.experiment import Sweep as Sweep
    from fishersft.experiments.result import read_curves as read_curves
    from fishersft.experiments.running import measure_curves as measure_curves
    from fishersft.experiments.summaries import curves_markdown as curves_markdown
    from fishersft.experiments.summaries import curves_summary as curves_summary
    from fishersft.experiments.synthetic import Synthetic as Synthetic
    from fishersft.experiments.teacher import teacher_world as teacher_world
    from fishersft.experiments.timing import time_greedy as time_greedy
    from fishersft.experiments.words import word_world as word_world
    from fishersft.export.formats import selection_files as selection_files
    from fishersft.export.formats import write_selection as write_selection
    from fishersft.export.report import report as report
    from fishersft.fields import parameter as parameter
    from fishersft.finetuning.results import FineTuneResult as FineTuneResult
    from fishersft.finetuning.stages import finetune as finetune
    from fishersft.judge.judging import judge_reports as judge_reports
    from fishersft.judge.judging import judge_texts as judge_texts
    from fishersft.lm.hyperparameters import Sampling as Sampling
    from fishersft.lm.hyperparameters import Training as Training
    from fishersft.lm.model import CausalLM as CausalLM
    from fishersft.lm.model import load_model as load_model
    from fishersft.pipeline.embed_and_select import embed as embed
    from fishersft.pipeline.embed_and_select import load_pool as load_pool
    from fishersft.pipeline.embed_and_select import select as select
    from fishersft.pipeline.embed_and_select import select_from as select_from
    from fishersft.pipeline.embed_and_select import stored_embeddings as stored_embeddings
    from fishersft.pipeline.selections import load_kept as load_kept
    from fishersft.pipeline.selections import load_selection as load_selection
    from fishersft.pipeline.selections import save_selection as save_selection
    from fishersft.pipeline.selections import selection_summary as selection_summary
    from fishersft.pipeline.selections import selection_table as selection_table
    from fishersft.scoring.comparison import Comparison as Comparison
    from fishersft.scoring.comparison import compare as compare
    from fishersft.scoring.summaries import comparison_sentences as comparison_sentences
    from fishersft.scoring.summaries import comparison_summary as comparison_summary
    from fishersft.selectors import (
        Budget as Budget,
    )
    from fishersft.selectors import (
        Pick as Pick,
    )
    from fishersft.selectors import (
        Pool as Pool,
    )
    from fishersft.selectors import (
        Selection as Selection,
    )
    from fishersft.selectors import (
        Selector as Selector,
    )
    from fishersft.selectors import (
        make_selector as make_selector,
    )
    from fishersft.selectors import (
        registry as registry,
    )
    from fishersft.store.artifacts import Store as Store

__version__ = "0.1.0"

_HOME = {
    "Budget": "selectors",
    "CausalLM": "lm.model",
    "Chat": "corpus.records",
    "Comparison": "scoring.comparison",
    "Corpus": "corpus.records",
    "Experiment": "experiments.experiment",
    "FineTuneResult": "finetuning.results",
    "FisherSFTError": "errors",
    "Message": "corpus.records",
    "Pick": "selectors",
    "Pool": "selectors",
    "PromptCompletion": "corpus.records",
    "Sampling": "lm.hyperparameters",
    "Selection": "selectors",
    "Selector": "selectors",
    "Store": "store.artifacts",
    "Sweep": "experiments.experiment",
    "Synthetic": "experiments.synthetic",
    "Text": "corpus.records",
    "TokenEmbeddings": "design.rows",
    "Training": "lm.hyperparameters",
    "UserError": "errors",
    "compare": "scoring.comparison",
    "comparison_sentences": "scoring.summaries",
    "comparison_summary": "scoring.summaries",
    "curves_markdown": "experiments.summaries",
    "curves_summary": "experiments.summaries",
    "embed": "pipeline.embed_and_select",
    "find_run": "catalogue",
    "finetune": "finetuning.stages",
    "judge_reports": "judge.judging",
    "judge_texts": "judge.judging",
    "load_corpus": "corpus.load",
    "load_kept": "pipeline.selections",
    "load_model": "lm.model",
    "load_pool": "pipeline.embed_and_select",
    "load_selection": "pipeline.selections",
    "make_selector": "selectors",
    "measure_curves": "experiments.running",
    "parameter": "fields",
    "read_curves": "experiments.result",
    "registry": "selectors",
    "remove_run": "catalogue",
    "report": "export.report",
    "runs": "catalogue",
    "save_selection": "pipeline.selections",
    "select": "pipeline.embed_and_select",
    "select_from": "pipeline.embed_and_select",
    "selection_files": "export.formats",
    "selection_summary": "pipeline.selections",
    "selection_table": "pipeline.selections",
    "stored_embeddings": "pipeline.embed_and_select",
    "teacher_world": "experiments.teacher",
    "time_greedy": "experiments.timing",
    "word_world": "experiments.words",
    "write_selection": "export.formats",
}  # the module that each name is loaded from
__all__ = sorted((*_HOME, "__version__"))


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fishersft' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(f"fishersft.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
