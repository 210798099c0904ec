"""A judge's report as Markdown: what `fishersft judge` prints.  Knows no run folder."""

from __future__ import annotations

from collections.abc import Mapping

from fishersft.judge.paper import SOURCE, paper_rates
from fishersft.judge.report import Line, Report
from fishersft.judge.stats import Rate

HOW = {
    "identical": "identical texts tied unasked",
    "empty": "empty texts lost unasked",
    "flipped": "flipped with the order and tied",
    "refused": "with a refusal",
    "unparsable": "with a reply that could not be read",
    "too_long": "too long for the judge",
    "addressed": "where a text speaks to the judge and could not win",
    "cut": "cut to the judge's context",
}


CHANCE = (
    "Intervals and p are over prompts, for these very models, each line by itself: what another draw or another training would "
    "give is not in them."
)
LOPSIDED = 0.9  # of the texts on one side of the corpus' own surprise: then the judge asks for little but more or less of it


def markdown(report: Report, corpus: str, labels: Mapping[str, str], *, symmetric: bool) -> str:
    """Tables and sentences; `labels` name selectors, `corpus` is the name that the paper's table is looked up by."""
    parts = [win_rates(report, corpus, labels), ranking(report, labels), biases(report, symmetric=symmetric)]
    parts += [surprised(*report.surprise) if report.surprise else "", CHANCE, report.power]
    return "\n\n".join(part for part in parts if part)


def win_rates(report: Report, corpus: str, labels: Mapping[str, str]) -> str:
    """A row a comparison; the paper's number beside ours where it has one."""
    paper = {(line.a, line.b, line.budget): said for line in report.lines if (said := paper_rate(corpus, line)) is not None}
    head = ["a", "b", "n", "a wins (95%)", "won / tied / lost", "p", "at equal length (95%)", "prompts"]
    rows = [head + (["paper"] if paper else []), ["---"] * (len(head) + bool(paper))]
    several = {(line.a, line.b) for line in report.lines if line.budget is not None}
    for line in report.lines:
        n = f"{line.budget:,}" if line.budget is not None else "all" if (line.a, line.b) in several else "-"
        row = [labels.get(line.a, line.a), labels.get(line.b, line.b), n, shown(line.rate)]
        row += [f"{line.won} / {line.tied} / {line.lost}", f"{line.p_value:.2g}"]
        row += [shown(line.adjusted) if line.adjusted else "-", f"{line.prompts:,}"]
        said = paper.get((line.a, line.b, line.budget))
        rows.append(row + ([f"{said:.0%}" if said is not None else "-"] if paper else []))
    table = "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in rows)
    note = f"\n\nThe column `paper` is not ours: {SOURCE}, GPT-4o as the judge, without intervals." if paper else ""
    return table + note


def paper_rate(corpus: str, line: Line) -> float | None:
    """The paper's win rate of a over b at this budget; turned around where TokenOD is b."""
    rates = paper_rates(corpus)
    if line.budget is None:
        return None
    if line.a == "token_od":
        return rates.get(line.b, {}).get(line.budget)
    said = rates.get(line.a, {}).get(line.budget) if line.b == "token_od" else None
    return None if said is None else 1 - said


def ranking(report: Report, labels: Mapping[str, str]) -> str:
    if not report.ranking:
        return ""
    rows = [f"| {k} | {_cell(labels.get(s.name, s.name))} | {s.value:+.2f} ({s.low:+.2f} to {s.high:+.2f}) |"
            for k, s in enumerate(report.ranking, 1)]  # fmt: skip
    head = ["| rank | selector | Bradley-Terry strength, log odds (95%) |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows])


def biases(report: Report, *, symmetric: bool) -> str:
    """Position rate, flip rate and how verdicts came about, in sentences."""
    out = []
    if symmetric:
        out.append("This judge reads each text alone, so the order cannot matter by construction.")
    elif report.position.n:
        out.append(f"The text shown first was named in {shown(report.position)} of {report.position.n:,} decided answers.")
        if report.flips.n:
            out.append(f"The order changed the verdict in {shown(report.flips)} of {report.flips.n:,} questions decided twice.")
    told = [f"{report.counts[name]:,} {words}" for name, words in HOW.items() if report.counts.get(name)]
    out.append(f"{len(report.judged):,} verdicts" + (f"; {', '.join(told)}." if told else "."))
    return " ".join(out)


def surprised(below: Rate, won: Rate) -> str:
    """What a judge by surprise really asked for."""
    told = f"Of the texts it read {100 * below.value:.0f}% surprise it less than the corpus' own do"
    if won.n:
        told += f", and in {100 * won.value:.0f}% of the decided verdicts the more surprising text won"
    if below.value < LOPSIDED:
        return f"{told}."
    return f"{told}: its verdict here is little else than which text is more surprising, and says little of which is better."


def shown(rate: Rate) -> str:
    """`61% (52 to 70)`."""
    return f"{100 * rate.value:.0f}% ({100 * rate.low:.0f} to {100 * rate.high:.0f})"


def _cell(text: str) -> str:
    """One line without marks of a table or control characters: names come from a run that may be a stranger's."""
    return "".join(c for c in " ".join(str(text).split()) if c.isprintable()).replace("|", "\\|")
