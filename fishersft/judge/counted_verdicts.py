"""Which verdicts count: those of the matches that a judge was asked about, as far as it has read them.

Knows no store: verdicts and comparisons are given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fishersft.judge.judging import Comparison
from fishersft.judge.report import Judged

BEHIND = 0.5  # of the readings of the match that has most: a match with fewer was not asked about


def begun(kept: Sequence[Judged], every: Sequence[Comparison]) -> tuple[list[Judged], int]:
    """Verdicts of the matches that a judge was asked about, and how many comparisons those have.

    Some verdicts say nothing of that: identical and empty texts are settled without a judge, and two models that wrote the same
    share a reading.  Work is done prompt after prompt, so a match that is far behind the others was not asked about; and of one
    that is half read, what needed no judge counts only up to the prompt that was reached.
    """
    planned = Counter((c.match.a, c.match.b, c.match.budget, c.match.seed) for c in every)
    groups: dict[tuple[Any, ...], list[Judged]] = {}
    for verdict in kept:
        groups.setdefault((verdict.a, verdict.b, verdict.budget, verdict.seed), []).append(verdict)
    read = {key: [v.prompt for v in group if v.verdict.how == "asked"] for key, group in groups.items()}
    most = max((len(prompts) for prompts in read.values()), default=0)
    out: set[int] = set()
    asked = 0
    for key, group in groups.items():
        whole = len(group) == planned[key]
        if read[key] and (whole or len(read[key]) >= BEHIND * most):
            out |= {id(v) for v in group if whole or v.verdict.how == "asked" or v.prompt <= max(read[key])}
            asked += planned[key]
    return [v for v in kept if id(v) in out], asked
