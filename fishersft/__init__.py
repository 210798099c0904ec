"""See which training examples teach a language model most, and prove it on your own corpus.

>>> import fishersft
>>> picks = fishersft.select("demo", "mini", selector="token_od", budget=50)
>>> picks.indices[:3], picks.log_det, picks.proven_share

The names in `__init__.pyi` are the public API; no other is promised.  Each is loaded when it is first used, so that
`import fishersft` and `fishersft --help` load neither torch nor pandas.
"""

from lazy_loader import attach_stub

__version__ = "0.1.0"
__getattr__, __dir__, _names = attach_stub(__name__, __file__)
__all__ = sorted([*_names, "__version__"])
