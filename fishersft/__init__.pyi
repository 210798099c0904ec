"""The public names, each from the module that defines it: what type checkers see, and what `fishersft/__init__.py` loads."""

# ruff: noqa: I001 - one import for each module, or two where one is too long

from .catalogue import find_run as find_run, remove_run as remove_run, runs as runs
from .corpus.load import load_corpus as load_corpus
from .corpus.records import Chat as Chat, Corpus as Corpus, Message as Message, PromptCompletion as PromptCompletion, Text as Text
from .design.rows import TokenEmbeddings as TokenEmbeddings
from .errors import FisherSFTError as FisherSFTError, UserError as UserError
from .experiments.experiment import Experiment as Experiment, Sweep as Sweep
from .experiments.measure import measure_curves as measure_curves
from .experiments.result import read_curves as read_curves
from .experiments.summaries import curves_markdown as curves_markdown, curves_summary as curves_summary
from .experiments.timing import time_greedy as time_greedy
from .experiments.worlds import Synthetic as Synthetic, teacher_world as teacher_world, word_world as word_world
from .export.formats import selection_files as selection_files, write_selection as write_selection
from .export.report import report as report
from .fields import parameter as parameter
from .finetuning.arena import Arena as Arena, read_arena as read_arena
from .finetuning.contests import Setting as Setting, arena as arena
from .finetuning.results import FineTuneResult as FineTuneResult
from .finetuning.stages import finetune as finetune
from .judge.judging import judge_reports as judge_reports, judge_texts as judge_texts
from .lm.hyperparameters import Sampling as Sampling, Training as Training
from .lm.model import CausalLM as CausalLM, load_model as load_model
from .pipeline.embed_and_select import embed as embed, load_pool as load_pool, select as select, select_from as select_from
from .pipeline.embed_and_select import stored_embeddings as stored_embeddings
from .pipeline.selections import load_kept as load_kept, load_selection as load_selection, save_selection as save_selection
from .pipeline.selections import selection_summary as selection_summary, selection_table as selection_table
from .scoring.comparison import Comparison as Comparison, compare as compare
from .scoring.summaries import comparison_sentences as comparison_sentences, comparison_summary as comparison_summary
from .selectors import Budget as Budget, Pick as Pick, Pool as Pool, Selection as Selection, Selector as Selector
from .selectors import make_selector as make_selector, registry as registry
from .store.artifacts import Store as Store

__version__: str
