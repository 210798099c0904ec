"""The paper's own win rates of TokenOD, to stand beside ours: GPT-4o as the judge, GPT-2 tuned on n sentences.

Source: the public review thread of arXiv 2505.14826 (ICML 2025).  No intervals, seeds or number of comparisons were given;
with 100 prompts one standard error is 5 points.
"""

from __future__ import annotations

SOURCE = "the paper's review thread, arXiv 2505.14826"
BUDGETS = (100, 200, 500, 1000, 2000, 5000)
WIN_RATES = {
    "shakespeare": {
        "uniform": (0.80, 0.56, 0.60, 0.59, 0.64, 0.74),
        "density": (0.61, 0.66, 0.68, 0.62, 0.54, 0.84),
        "ask_llm": (0.59, 0.52, 0.68, 0.59, 0.68, 0.74),
    },
    "sherlock": {
        "uniform": (0.84, 0.81, 0.75, 0.64, 0.65, 0.93),
        "density": (0.68, 0.75, 0.69, 0.74, 0.65, 0.88),
        "ask_llm": (0.74, 0.58, 0.65, 0.60, 0.61, 0.89),
    },
}


def paper_rates(corpus: str) -> dict[str, dict[int, float]]:
    """Win rates of TokenOD on `shakespeare` or `sherlock`, {against: {budget: rate}}; empty for any other corpus."""
    return {against: dict(zip(BUDGETS, rates, strict=True)) for against, rates in WIN_RATES.get(corpus, {}).items()}
