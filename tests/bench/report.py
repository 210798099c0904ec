"""What a benchmark found: rows that say what was measured and what was extrapolated, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench.rivals import MEASURED

BUSY = 0.25  # of the CPUs wanted by others before the start: worth a line


@dataclass(frozen=True)
class Row:
    """One way.

    Attributes:
        way: its name on the command line.
        label: its name in the table.
        group: the rows it works on: `blocks` (all token rows) or `means` (one row a sentence).
        picks: picks made.
        seconds: measured, for what was done.
        seconds_for_n: for n picks; None where nothing can be said.
        basis: `measured`, or what `seconds_for_n` was extrapolated from.
        evaluations_a_pick: the first sweep included; None where the way does not tell.
        flops_for_n: by formula; None where they are not known.
        ratio: seconds_for_n over that of ours in the group.
        ratio_at_its_picks: its seconds over those of ours for as many picks as it made; nothing extrapolated.
        same: how many first picks are those of ours; None where there was nothing to compare.
        regret: (f_exact - f) / (f_exact - f_random), for ways that do not claim Algorithm 1's picks.
    """

    way: str
    label: str
    group: str
    picks: int
    seconds: float
    seconds_for_n: float | None
    basis: str = MEASURED
    evaluations_a_pick: float | None = None
    flops_for_n: float | None = None
    ratio: float | None = None
    ratio_at_its_picks: float | None = None
    same: int | None = None
    regret: float | None = None

    @property
    def verdict(self) -> str:
        """Whether the picks are those of ours, and of how many."""
        if self.same is None:
            return "-"
        return f"yes, {self.picks:,} of {self.picks:,}" if self.same == self.picks else f"first {self.same:,} of {self.picks:,}"


@dataclass(frozen=True)
class Report:
    """One run of `bench selection`.

    Attributes:
        problem: N, T, d, n, how the pool was made.
        rows: the ways.
        facts: passes, peaks, operations, memory, threads.
        machine: see `machine.describe`.
        not_run: ways that were not run and why.
    """

    problem: dict[str, Any]
    rows: tuple[Row, ...]
    facts: dict[str, Any]
    machine: dict[str, Any]
    not_run: dict[str, str] = field(default_factory=dict)

    def row(self, way: str) -> Row | None:
        return next((r for r in self.rows if r.way == way), None)

    def as_dict(self) -> dict[str, Any]:
        """What --json prints."""
        return {**asdict(self), "rows": [{**asdict(r), "verdict": r.verdict} for r in self.rows]}

    def markdown(self) -> str:
        """Tables and the lines under them."""
        p = self.problem
        lengths = "near-equal lengths" if p["near_equal"] else "log-normal lengths"
        where = f"float16 in a mapped file of {p['bytes'] / 1e9:,.1f} GB" if p["memory_mapped"] else "float32 in memory"
        parts = [
            f"N = {p['sentences']:,} generated sentences, T = {p['tokens']:,} token rows, d = {p['dimension']:,}, "
            f"{lengths} (mean {p['tokens'] / p['sentences']:.1f}, largest {p['longest']}), {p['duplicates']:,} exact "
            f"duplicates, {where}; n = {p['picks']:,}, sigma2 = {p['sigma2']:g}, seed {p['seed']}.",
            self._blocks(),
        ]
        if any(r.regret is not None for r in self.rows):
            parts.append(self._others())
        if any(r.group == "means" for r in self.rows):
            parts.append(self._means())
        lines = list(self._lines())
        lines += [f"Not run: {way}: {reason}." for way, reason in self.not_run.items()]
        return "\n\n".join([*parts, "\n".join(f"- {line}" for line in lines)])

    def _blocks(self) -> str:
        n = f"n = {self.problem['picks']:,}"
        head = ("way", "picks made", f"time for {n}", "over ours", f"TFLOP for {n}", "evaluations a pick", "same picks")
        return table(
            head,
            (
                (
                    r.label,
                    f"{r.picks:,}",
                    _time(r),
                    _number(r.ratio),
                    _number(r.flops_for_n and r.flops_for_n / 1e12),
                    _number(r.evaluations_a_pick),
                    r.verdict,
                )
                for r in self.rows
                if r.group == "blocks" and r.regret is None
            ),
        )

    def _others(self) -> str:
        head = ("other picks", f"time for n = {self.problem['picks']:,}", "over ours", "regret", "same picks")
        rows = ((r.label, _time(r), _number(r.ratio), f"{r.regret:.2%}", r.verdict) for r in self.rows if r.regret is not None)
        return table(head, rows) + (
            "\n\nRegret: (f_exact - f) / (f_exact - f_random), f the log det of the token rows of all n picks, f_random the mean "
            f"of {self.facts['random_draws']} uniform draws."
        )

    def _means(self) -> str:
        head = ("one row a sentence (its mean)", f"time for n = {self.problem['picks']:,}", "over ours", "same picks")
        return table(head, ((r.label, _time(r), _number(r.ratio), r.verdict) for r in self.rows if r.group == "means"))

    def _lines(self) -> Iterable[str]:
        f, m = self.facts, self.machine
        yield (
            f"One product of all token rows with a d x d matrix, float32: {f['gemm_pass_seconds']:.3g} s"
            f"{' (reading the file included)' if self.problem['memory_mapped'] else ''}; "
            f"ours takes {f['ours_over_gemm_pass']:,.1f} such passes."
        )
        yield f"Peaks of a product: float32 {f['peak_float32'] / 1e9:,.0f}, float64 {f['peak_float64'] / 1e9:,.0f} GFLOP/s."
        yield (
            f"Ours counts about {f['ours_flops'] / 1e12:,.3g} TFLOP ({f['ours_evaluations']:,} evaluations at the float32 peak, "
            f"{self.problem['picks']:,} updates of V and its factor at the float64 peak: {f['ours_seconds_at_peak']:,.3g} s); it "
            f"takes {f['ours_over_its_flops']:,.1f} times that."
        )
        if f["peak_memory_bytes"] is not None:
            mapped = ", pages of the mapped file included" if self.problem["memory_mapped"] else ""
            yield f"Peak resident memory up to our last pick, the pool included: {f['peak_memory_bytes'] / 1e9:,.2f} GB{mapped}."
        yield (
            f"Threads: {f['threads']}; {m['cpus']} CPUs ({m['instructions']}), {m['system']}, Python {m['python']}, "
            f"torch {m['torch']}{', ' + m['gpu'] if 'gpu' in m else ''}."
        )
        if (f["load_before"] or 0) > BUSY * m["cpus"]:
            yield f"Other work kept the machine busy (load {f['load_before']:.1f} before the start): trust TFLOP, not seconds."


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def seconds(value: float) -> str:
    """18,000 s, 26 s, 3.4 s, 0.051 s."""
    return f"{value:,.0f} s" if value >= 10 else f"{value:.2g} s"


def _time(row: Row) -> str:
    if row.seconds_for_n is None:
        return f"more than {seconds(row.seconds)} ({row.basis})"
    return seconds(row.seconds_for_n) + ("" if row.basis == MEASURED else f" ({row.basis})")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
