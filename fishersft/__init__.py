"""See which training examples teach a language model most, and prove it on your own corpus.

>>> import fishersft
>>> picks = fishersft.select("demo", "mini", selector="token_od", budget=50)
>>> picks.indices[:3], picks.log_det, picks.proven_share
"""

from fishersft.corpus.load import load_corpus
from fishersft.corpus.records import Chat, Corpus, Message, PromptCompletion, Text
from fishersft.errors import FisherSFTError, UserError
from fishersft.finetuning.results import FineTuneResult
from fishersft.finetuning.stages import finetune
from fishersft.judge.judging import judge_reports, judge_texts
from fishersft.lm.embed import TokenEmbeddings
from fishersft.lm.model import CausalLM, load_model
from fishersft.pipeline.embed_and_select import embed, load_pool, select
from fishersft.scoring.comparison import compare
from fishersft.selectors import Budget, Pick, Pool, Selection, Selector, make_selector, registry
from fishersft.store.artifacts import Store

__version__ = "0.1.0"

__all__ = [
    "Budget",
    "CausalLM",
    "Chat",
    "Corpus",
    "FineTuneResult",
    "FisherSFTError",
    "Message",
    "Pick",
    "Pool",
    "PromptCompletion",
    "Selection",
    "Selector",
    "Store",
    "Text",
    "TokenEmbeddings",
    "UserError",
    "__version__",
    "compare",
    "embed",
    "finetune",
    "judge_reports",
    "judge_texts",
    "load_corpus",
    "load_model",
    "load_pool",
    "make_selector",
    "registry",
    "select",
]
