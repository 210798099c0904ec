"""A result in sentences and in Markdown: who stands where at one budget, what that is worth, how a sweep goes.

The lowest mean wins, and those whose errors cannot be told apart from it, run by run, are named with it: the 95% interval of
the ratio contains 1.  There is no correction for comparing several, so the winner of many looks slightly too good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fishersft.corpus.tables import plain
from fishersft.experiments.fits import BASELINE, Estimate, Fits, fits_of, growth, ratio_to
from fishersft.experiments.result import MEASURES, Point, Result, interval, label_of
from fishersft.text import UNDECIDED, listed, markdown_table

ERRORS = ("maximum", "mean")
HIGHER = ("log_det",)  # measures of which more is better
IN_SHORT = {"maximum": "largest error", "mean": "mean error", "worst_leverage": "worst leverage", "log_det": "log det"}
USUAL = 200  # the budget that is spoken of where it was measured
NEAR = 1.05  # lines that never differ by more than this factor hide one another


@dataclass(frozen=True)
class Standing:
    """How the selectors stand in one measure at the budget n: their `errors`, means over runs, and the `best` of them.

    `level` are others that cannot be told apart from the best.  `against` is the reference's error over Uniform's; None where
    either was not measured, or the reference is Uniform.
    """

    n: int
    equal: str
    measure: str
    reference: str
    errors: dict[str, Estimate]
    best: str
    level: list[str]
    against: Estimate | None

    def sentence(self) -> str:
        """Who has the lowest error, who is level with it, and how the reference stands to Uniform."""
        whose = label_of(self.reference)
        given = f"{self.n:,} sentences" if self.equal == "sentences" else f"the tokens of {whose}'s first {self.n:,} sentences"
        what = MEASURES[self.measure]
        first, rest = ("highest", "lower") if self.measure in HIGHER else ("lowest", "higher")
        said = f"With {given}, the {first} {what} is {label_of(self.best)}'s, {_told(self.errors[self.best])}"
        others = [label_of(name) for name in self.level]
        if len(self.level) == len(self.errors) - 1 and others:
            said += ", and no other selector can be told apart from it."
        elif others:
            said += f"; {listed(others)} cannot be told apart from it."
        else:
            said += f"; every other is {rest}." if len(self.errors) > 1 else "."
        if self.against is None:
            return said
        low, high = self.against.low, self.against.high
        differs = "" if low > 1 or high < 1 else ", no clear difference"
        own = "That" if self.best == self.reference else f"{whose}'s {three(self.errors[self.reference].value)}"
        return (
            f"{said} {own} is {three(self.against.value)} times "
            f"{label_of(BASELINE)}'s {three(self.errors[BASELINE].value)} ({three(low)} to {three(high)}{differs})."
        )


def standing_of(result: Result, n: int | None = None, measure: str = "maximum") -> Standing:
    """At the budget `n`; by default at 200, or where that was not measured at the one nearest to it."""
    budgets = result.budgets
    k = nearest(result, n)
    errors = means(result, measure, k)
    better = -1 if measure in HIGHER else 1
    best = min(errors, key=lambda name: better * errors[name].value)
    level = []
    for name in errors:
        ratio = ratio_to(result, name, best, measure)[k]
        apart = ratio.high < 1 if measure in HIGHER else ratio.low > 1  # never with a single run
        if name != best and not apart:
            level.append(name)
    reference = str(result.about.settings["reference"])
    both = reference != BASELINE and reference in errors and BASELINE in errors and result.runs > 1
    against = ratio_to(result, reference, BASELINE, measure)[k] if both else None
    return Standing(int(budgets[k]), result.equal, measure, reference, errors, best, level, against)


def verdict_sentences(result: Result, fits: Fits, n: int | None = None, where: str = "") -> list[str]:
    """Whether the reference is better than a random draw at one budget, and the best of all where that is another selector which
    can be told apart from it; `where` stands between commas after the budget."""
    k, standing, name = nearest(result, n), standing_of(result, n, fits.measure), result.reference
    if name not in fits.paired or result.runs < 2:
        return [standing.sentence()]
    what, ratio = IN_SHORT[fits.measure], fits.paired[name][k].ratio
    side, place = side_of(ratio, fits.measure), f"At n = {standing.n:,}, {where}{', ' * bool(where)}"
    said = f"{place}{label_of(name)} is {side} a random draw: its {what} is {against(ratio)}"
    if fits.measure in ERRORS and side != UNDECIDED:
        said += f", and {_needs(fits.ratios[name][k], result.equal)}"
    best = standing.best
    if best == name or name in standing.level:
        return [f"{said}."]
    first = "highest" if fits.measure in HIGHER else "lowest"
    by = "" if best == BASELINE else f", {against(fits.paired[best][k].ratio)}"
    return [f"{said}.", f"The {first} is {label_of(best)}'s{by}."]


def against(ratio: Estimate) -> str:
    """A ratio to Uniform in percent with its interval: "44% lower than Uniform's (36% to 51%)"."""
    ends = sorted((ratio.low, ratio.high), key=lambda end: abs(end - 1))
    one_side = (ratio.low - 1) * (ratio.high - 1) > 0
    told = " to ".join(map(_percent, ends)) if one_side else f"{percent(ratio.low)} to {percent(ratio.high)}"
    return f"{percent(ratio.value)} than Uniform's ({told})"


def percent(ratio: float) -> str:
    """How far a ratio is from 1: "44% lower"."""
    return f"{_percent(ratio)} {'lower' if ratio < 1 else 'higher'}"


def _percent(ratio: float) -> str:
    off = 100 * abs(ratio - 1)
    return f"{off:,.0f}%" if off >= 10 else f"{off:.2g}%"


def side_of(ratio: Estimate, measure: str) -> str:
    """A ratio to Uniform in words: "better than", "worse than", or `UNDECIDED` where its interval contains 1."""
    if not (ratio.low > 1 or ratio.high < 1):
        return UNDECIDED
    return "better than" if (ratio.value < 1) != (measure in HIGHER) else "worse than"


def _needs(times: Estimate, unit: str) -> str:
    """How much Uniform needs for the same error, as a clause."""
    if abs(times.value - 1) < 5e-3 and times.side:  # at the end of its curve
        return f"Uniform {'never gets there' if times.side == 'at least' else 'is there from its first point on'}"
    return f"Uniform needs {with_interval(times)} times as many {unit} for the same"


def nearest(result: Result, n: int | None = None) -> int:
    """Which of the budgets is nearest to n, or to 200."""
    return int(np.argmin(np.abs(np.log(result.budgets) - np.log(USUAL if n is None else n))))


def worth_sentences(result: Result, fits: Fits, n: int | None = None) -> list[str]:
    """How many times as many Uniform needs for the reference's error, and how fast both fall; nothing for other measures."""
    if fits.measure not in ERRORS:
        return []
    name, k, unit = result.reference, nearest(result, n), result.equal
    whose, base = label_of(name), label_of(BASELINE)
    said = []
    if name in fits.ratios:
        said.append(_needed(f"{whose} at n = {result.budgets[k]:,}", fits.ratios[name][k], unit))
    if np.isfinite(fits.slopes[name].value):
        power = f"as {'n' if unit == 'sentences' else 'the tokens'} to the power"
        goes = "falls" if fits.slopes[name].value < 0 else "grows"
        rival = "" if name == BASELINE or BASELINE not in fits.slopes else f", {base}'s {with_interval(fits.slopes[BASELINE])}"
        said.append(
            f"From n = {result.budgets[0]:,} to {result.budgets[-1]:,} the error of {whose} {goes} {power} "
            f"{_told(fits.slopes[name])}{rival}; theory says -0.5, the paper saw about -0.3."
        )
    return said


def _needed(place: str, times: Estimate, unit: str) -> str:
    """How many times as many Uniform needs for the error at a place on another curve."""
    base, needs = label_of(BASELINE), f"{with_interval(times)} times as many {unit}"
    if abs(times.value - 1) < 5e-3:  # at the end of its curve
        needs = f"{'more' if times.side == 'at least' else 'no more'} {unit} than that"
    if times.side == "at least":
        return f"{base} never gets as low as {place} within what was measured: it needs {needs}."
    if times.side == "at most":
        return f"{base} is as low as {place} from its first point on: it needs {needs}."
    return f"For the error of {place}, {base} needs {_told(times)} times as many {unit}."


def constant_sentence(result: Result, *fits: Fits) -> str:
    """What the guide line of the bound's shape is, by the fits of this result and of others at the same budgets; "" for none."""
    if fits[0].measure != "maximum" or len(result.budgets) < 2:
        return ""
    root = "√n" if result.equal == "sentences" else "√tokens"
    return (
        f"The theorem bounds the maximum error by a constant times dL/{root}. The constant is fitted here to the curve of "
        f"{label_of(result.reference)} ({' and '.join(three(f.constant) for f in fits)}), so a line of that shape shows how "
        "fast the bound falls, not how high it is."
    )


def alike(result: Result, measure: str = "maximum", selectors: Sequence[str] | None = None) -> list[list[str]]:
    """Groups of selectors whose mean curves are each within 5% of another's at every n, so that their lines hide each other."""
    curves = {n: result.each(n, measure).mean(0) for n in result.selectors if selectors is None or n in selectors}

    def near(one: str, other: str) -> bool:
        a, b = curves[one], curves[other]
        return bool(np.all(np.maximum(a, b) <= NEAR * np.minimum(a, b)))

    groups: list[list[str]] = []
    for name in curves:
        joined = [group for group in groups if any(near(name, other) for other in group)]
        groups = [group for group in groups if group not in joined] + [[*(n for group in joined for n in group), name]]
    return [group for group in groups if len(group) > 1]


def alike_sentence(result: Result, measure: str = "maximum", selectors: Sequence[str] | None = None) -> str:
    """Which of the lines drawn hide one another; "" where none do."""
    groups = [listed([label_of(name) for name in group]) for group in alike(result, measure, selectors)]
    return f"These lines hide one another, each within 5% of the next: {'; '.join(groups)}." if groups else ""


def means(result: Result, measure: str = "maximum", k: int = 0, point: Point | None = None) -> dict[str, Estimate]:
    """{selector: mean over runs at the k-th budget with its interval, NaN with a single run}; of a sweep, at a point."""
    out = {}
    for name in result.selectors:
        ends: Any = (float(end[k]) for end in interval(result.each(name, measure, point)) if end is not None)
        out[name] = Estimate(*ends)
    return out


def sweep_sentence(result: Result, over: str, measure: str = "maximum") -> str:
    """How the reference's error grows over `dimension` or `classes`, and how it compares with Uniform's at both ends."""
    name = result.reference
    along, whose, what = result.along(over, name, measure), label_of(name), MEASURES[measure]
    x, y = along.x, along.mean
    letter = "d" if over == "dimension" else "L"
    said = f"From {letter} = {x[0]} to {x[-1]}, {whose}'s {what} goes from {three(y[0])} to {three(y[-1])}"
    if measure not in HIGHER and len(x) > 1:
        said += f", about as {letter} to the power {_told(growth(result, over, name, measure))}"
    if name == BASELINE or BASELINE not in result.selectors or result.runs < 2:
        return f"{said}."
    points = result.points_along(over)
    ends = [ratio_to(result, name, BASELINE, measure, p)[0] for p in (points[0], points[-1])]
    return f"{said}. At these two ends it is {against(ends[0])} and {against(ends[-1])}."


def curves_summary(result: Result) -> dict[str, Any]:
    """Everything about a result for JSON: what was asked, the command, the table and the fits; undefined numbers are null."""
    return {
        "title": result.about.title,
        "command": result.about.command,
        "settings": result.about.settings,
        "runs": result.runs,
        "interval": "95% of the mean over runs, Student's t",
        "table": result.table(),
        "fits": None if result.is_sweep else plain(asdict(fits_of(result))),
    }


def curves_markdown(result: Result) -> str:
    """Maximum (mean) error by budget and selector, then what is read off the curves."""
    labels = [label_of(name) for name in result.selectors]
    if result.is_sweep:
        rows = [[f"{d}", f"{L}", *_error_cells(result, 0, (d, L))] for d, L in result.values]
        told = [sweep_sentence(result, over) for over in result.about.settings["sweep"]]
        parts = [markdown_table(["d", "L", *labels], rows, "---:"), "", *told]
    else:
        fits, of_tokens = fits_of(result), result.equal == "tokens"
        rows = [
            [f"{n:,}", *([f"{tokens:,.0f}"] if of_tokens else []), *_error_cells(result, k)]
            for k, (n, tokens) in enumerate(zip(result.budgets, result.spent(), strict=True))
        ]
        head = ["n", *(["tokens"] if of_tokens else []), *labels]
        told = [standing_of(result).sentence(), *worth_sentences(result, fits), constant_sentence(result, fits)]
        columns = (
            f"Slope of log error on log {'tokens' if of_tokens else 'n'}, interval by a bootstrap over runs. "
            f"Uniform's {result.equal} for the same: how many times as many Uniform needs for this error, read off its curve. "
            "p: Wilcoxon's signed-rank test over runs. Brackets: 95% intervals."
        )
        parts = [markdown_table(head, rows, "---:"), "", _fit_table(result, fits), "", *filter(None, told), columns]
    about = f"{result.about.title}; {result.runs} run{'s' * (result.runs > 1)}, equal {result.equal}."
    said = f"{about} Maximum (mean) prediction error, means over runs."
    return "\n".join([said, "", *parts, "", f"`{result.about.command}`"])


def _error_cells(result: Result, k: int, point: Point | None = None) -> list[str]:
    """Maximum (mean) error of every selector at the k-th budget."""
    worst, mean = (means(result, measure, k, point) for measure in ERRORS)
    return [f"{three(worst[name].value)} ({three(mean[name].value)})" for name in result.selectors]


def _fit_table(result: Result, fits: Fits) -> str:
    """Slopes, the ratio where Uniform's curve still has room to double, and the paired test at the largest budget."""
    half = [k for k, n in enumerate(result.budgets) if 2 * n <= result.budgets[-1]]
    at = half[-1] if half else len(result.budgets) - 1
    inner, last = f"n = {result.budgets[at]:,}", f"n = {result.budgets[-1]:,}"
    head = ["", "slope", f"Uniform's {result.equal} for the same, {inner}", f"error over Uniform's, {inner}", "p"]
    head += [f"error over Uniform's, {last}", "p"] if half else []
    rows = []
    for name in result.selectors:
        cells = [label_of(name), with_interval(fits.slopes[name])]
        if name in fits.ratios:
            cells.append(f"{with_interval(fits.ratios[name][at])} times")
            for k in [at, -1] if half else [at]:
                cells += [with_interval(fits.paired[name][k].ratio), odds(fits.paired[name][k].p)]
        rows.append(cells + ["-"] * (len(head) - len(cells)))
    return markdown_table(head, rows, "---:")


def three(value: float) -> str:
    """Three significant digits."""
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def with_interval(e: Estimate) -> str:
    """ "25.6 (23.1 to 28)", "at least 3", "12 (9.5 or more)"; a dash where there is none."""
    if np.isnan(e.value):
        return "–"
    said = f"{e.side} {three(e.value)}".strip()
    if np.isnan(e.low) or (e.side and (np.isinf(e.high) or e.high == 0)):
        return said
    return f"{said} ({_ends(e)})"


def odds(p: float) -> str:
    """A p value for people."""
    return "below 0.001" if p < 0.001 else three(p)


def _told(e: Estimate) -> str:
    return three(e.value) if np.isnan(e.low) else f"{three(e.value)} (95% interval {_ends(e)})"


def _ends(e: Estimate) -> str:
    """The ends of an interval; one that passes the end of a curve has only the other end."""
    if np.isinf(e.high):
        return f"{three(e.low)} or more"
    return f"{three(e.high)} or less" if e.low == 0 else f"{three(e.low)} to {three(e.high)}"
