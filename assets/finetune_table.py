"""Print the README's tables of what fine-tuning came to, from the shipped results in `results/`, and their commands.

With --tail, the first of them for the 95th percentile of held-out texts instead of the mean.
"""

import json
import shlex
import sys
from typing import Any

from fishersft import paths
from fishersft.judge.report import paper_rates

PAPER = {"sherlock": "Sherlock", "shakespeare": "Shakespeare"}
MATCHED = {"demo": "demo", "instruction": "instruction", "sherlock": "Sherlock", "shakespeare": "Shakespeare"}


def main() -> None:
    reports = {name: found for name in PAPER if (found := _read(f"{name}.json"))}
    tail = "--tail" in sys.argv
    print(f"Held-out nats a token, {'95th percentile of texts' if tail else 'mean'}: Uniform's, and the difference to it.\n")
    print("\n".join(differences(reports, "p95" if tail else "mean")) + "\n")
    if tail:
        return
    print(f"{_commands([found['sentences'] for found in reports.values()])} made these rows.\n")
    who = "ours by the reference judge's earlier rule, the paper's by GPT-4o on GPT-2"
    print(f"How often TokenOD's text wins against Uniform's: {who}.\n")
    print("\n".join(win_rates(reports)) + "\n")
    matched = {name: found for name in MATCHED if (found := _read(f"matched-{name}.json"))}
    print("MatchedOD and its cheap rival against Uniform, at equal tokens, one MatchedOD design and 8 draws or seeds a cell.\n")
    print("\n".join(rivals(matched)) + "\n")
    print(f"{_commands(matched.values())} made the rows.")


def differences(reports: dict[str, Any], measure: str) -> list[str]:
    """A row a corpus, a kind of equality and a budget."""
    first = next(iter(reports.values()))["sentences"]["about"]["selectors"]
    others = [s for s in first if s["name"] != "uniform"]
    rows = [["corpus", "equal", "n", "Uniform", *(s["label"] for s in others)]]
    rows.append(["---"] * len(rows[0]))
    for name, report in reports.items():
        for equal, result in report.items():
            for n in result["about"]["budgets"]:
                at = {line["selector"]: line for line in result["lines"] if line["budget"] == n}
                row = [PAPER[name], equal, f"{n:,}", f"{at['uniform']['values'][measure]['value']:.3f}"]
                rows.append(row + [_signed(at[s["name"]]["minus_uniform"][measure]) for s in others])
    return [f"| {' | '.join(row)} |" for row in rows]


def win_rates(reports: dict[str, Any]) -> list[str]:
    rows = [["corpus", "n", "equal sentences", "equal tokens", "paper"], ["---"] * 5]
    for name, report in reports.items():
        paper = paper_rates(name).get("uniform", {})
        for n in report["sentences"]["about"]["budgets"]:
            row = [PAPER[name], f"{n:,}"]
            for equal in ("sentences", "tokens"):
                if equal not in report:
                    row.append("not run")
                    continue
                result = report[equal]
                (line,) = (x for x in result["verdicts"]["lines"] if (x["a"], x["b"], x["budget"]) == ("token_od", "uniform", n))
                rate = line["win_rate"]
                row.append(f"{100 * rate['value']:.0f}% ({100 * rate['low']:.0f} to {100 * rate['high']:.0f})")
            rows.append([*row, f"{100 * paper[n]:.0f}%" if n in paper else "-"])
    return [f"| {' | '.join(row)} |" for row in rows]


def rivals(matched: dict[str, Any]) -> list[str]:
    heads = ["corpus", "tokens", "untuned", "Uniform", "MatchedOD", "Stratified", "MatchedOD, p95", "Stratified, p95"]
    rows = [heads, ["---"] * 8]
    for name, result in matched.items():
        at = {line["selector"]: line for line in result["lines"]}
        row = [MATCHED[name], f"{at['matched_od']['tokens']:,.0f}"]
        row += [f"{at[s]['values']['mean']['value']:.3f}" for s in ("base", "uniform")]
        row += [_signed(at[s]["minus_uniform"][m]) for m in ("mean", "p95") for s in ("matched_od", "stratified")]
        rows.append(row)
    return [f"| {' | '.join(row)} |" for row in rows]


def _signed(e: dict[str, Any]) -> str:
    """A difference with its interval; bold where the interval leaves 0 out."""
    if e["low"] is None:
        return f"{e['value']:+.3f}"
    text = f"{e['value']:+.3f} ({e['low']:+.3f} to {e['high']:+.3f})"
    return f"**{text}**" if e["low"] > 0 or e["high"] < 0 else text


def _commands(results: Any) -> str:
    return ", ".join(f"`{shlex.join(result['about']['command'])} --out DIR`" for result in results)


def _read(name: str) -> dict[str, Any]:
    path = paths.asset("results", name)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


if __name__ == "__main__":
    main()
