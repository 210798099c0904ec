"""Print the table of what choosing for a target came to, from the shipped results `evidence/targets-*.json`."""

import json

from fishersft import paths
from fishersft.finetuning.results import Interval, with_interval

FOLDER = paths.asset("evidence")


def main() -> None:
    for path in sorted(FOLDER.glob("targets-*.json")):
        held = json.loads(path.read_text(encoding="utf-8"))
        first = next(iter(held["targets"].values()))
        budget, seeds = max(first["about"]["budgets"]), len(first["about"]["seeds"])
        print(f"**{held['model']}**, the tokens of {budget} random sentences, {seeds} seeds:\n")
        print("\n".join(_rows(held["targets"], budget)))


def _rows(targets: dict[str, dict], budget: int) -> list[str]:
    """A row a selector, a column a target: the mean, and the difference to Uniform where it has one."""
    names = {line["selector"]: line["label"] for line in next(iter(targets.values()))["lines"]}
    rows = [["", *targets], ["---"] * (1 + len(targets))]
    tokens = [_line(found, "uniform", budget)["tokens"] for found in targets.values()]
    rows.append(["tokens", *(f"{count:,.0f}" for count in tokens)])
    for selector, label in names.items():
        cells = []
        for found in targets.values():
            line = _line(found, selector, None if selector == "base" else budget)
            mean = f"{line['values']['mean']['value']:.3f}"
            apart = line["minus_uniform"].get("mean")
            share = [value for name, value in found["on_target"].items() if name.startswith(f"{selector}-{budget}-")]
            there = f"; {sum(share) / len(share):.0%} on target" if share else ""
            cells.append(mean if not apart else f"{mean}, {_signed(apart)}{there}")
        rows.append([label, *cells])
    return [f"| {' | '.join(row)} |" for row in rows]


def _line(found: dict, selector: str, budget: int | None) -> dict:
    return next(line for line in found["lines"] if (line["selector"], line["budget"]) == (selector, budget))


def _signed(e: dict) -> str:
    text = with_interval(Interval(*(float("nan") if e[k] is None else e[k] for k in ("value", "low", "high"))), signed=True)
    return f"**{text}**" if e["low"] is not None and (e["low"] > 0 or e["high"] < 0) else text


if __name__ == "__main__":
    main()
