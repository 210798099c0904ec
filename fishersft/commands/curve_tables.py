"""A result of `fishersft curves` as Markdown, for standard output and the README."""

from __future__ import annotations

from fishersft.experiments.fits import Fits, fits_of
from fishersft.experiments.result import Result, command_of, label_of
from fishersft.experiments.summaries import (
    constant_sentence,
    odds,
    standing_of,
    sweep_sentence,
    three,
    with_interval,
    worth_sentences,
)


def markdown(result: Result) -> str:
    """Maximum (mean) error by budget and selector, then what is read off the curves."""
    runs = f"{result.runs} run{'s' * (result.runs > 1)}"
    fits = None if result.is_sweep else fits_of(result)
    head = [f"{result.about.title}; {runs}, equal {result.equal}. Maximum (mean) prediction error, means over runs.", ""]
    return "\n".join(
        [
            *head,
            *(
                [*_sweep(result), "", *(sweep_sentence(result, over) for over in result.about.settings["sweep"])]
                if fits is None
                else [*_errors(result), "", *_fits(result, fits), "", *_words(result, fits)]
            ),
            "",
            f"`{command_of(result.about)}`",
        ]
    )


def _errors(result: Result) -> list[str]:
    names = result.selectors
    of_tokens = result.equal == "tokens"
    first = ["n", "tokens"] if of_tokens else ["n"]
    lines = _heads([*first, *(label_of(n) for n in names)])
    spent = result.spent()
    for k, n in enumerate(result.budgets):
        cells = [f"{n:,}", f"{spent[k]:,.0f}"] if of_tokens else [f"{n:,}"]
        for name in names:
            worst, mean = (float(result.each(name, m)[:, k].mean()) for m in ("maximum", "mean"))
            cells.append(f"{three(worst)} ({three(mean)})")
        lines.append(_row(cells))
    return lines


def _fits(result: Result, fits: Fits) -> list[str]:
    """Slopes; the ratio where Uniform's curve still has room to double; the paired test at the largest budget."""
    half = [k for k, n in enumerate(result.budgets) if 2 * n <= result.budgets[-1]]
    at = half[-1] if half else len(result.budgets) - 1
    inner, last = f"n = {result.budgets[at]:,}", f"n = {result.budgets[-1]:,}"
    heads = ["", "slope", f"Uniform's {result.equal} for the same, {inner}", f"error over Uniform's, {inner}", "p"]
    lines = _heads([*heads, f"error over Uniform's, {last}", "p"] if half else heads)
    for name in result.selectors:
        cells = [label_of(name), with_interval(fits.slopes[name])]
        if name in fits.ratios:
            cells.append(f"{with_interval(fits.ratios[name][at])} times")
            for k in [at, -1] if half else [at]:
                cells += [with_interval(fits.paired[name][k].ratio), odds(fits.paired[name][k].p)]
        lines.append(_row(cells + ["-"] * ((7 if half else 5) - len(cells))))
    return lines


def _words(result: Result, fits: Fits) -> list[str]:
    """What a reader is to see in the tables, and what their columns are."""
    told = [standing_of(result).sentence(), *worth_sentences(result, fits), constant_sentence(result, fits)]
    columns = (
        f"Slope: of log error on log {'n' if result.equal == 'sentences' else 'tokens'}, interval by a bootstrap over runs. "
        f"Uniform's {result.equal} for the same: how many times as many Uniform needs for this error, read off its curve. "
        "p: Wilcoxon's signed-rank test over runs. Brackets: 95% intervals."
    )
    return [*(sentence for sentence in told if sentence), columns]


def _sweep(result: Result) -> list[str]:
    lines = _heads(["d", "L", *(label_of(n) for n in result.selectors)])
    for d, L in result.values:
        cells = [f"{d}", f"{L}"]
        for name in result.selectors:
            worst, mean = (float(result.each(name, m, (d, L))[:, 0].mean()) for m in ("maximum", "mean"))
            cells.append(f"{three(worst)} ({three(mean)})")
        lines.append(_row(cells))
    return lines


def _heads(cells: list[str]) -> list[str]:
    return [_row(cells), "|" + "|".join(["---"] + ["---:"] * (len(cells) - 1)) + "|"]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
