"""Print the README's table of errors against a known truth, from the shipped results: two worlds, equal tokens and sentences."""

from fishersft import bundle
from fishersft.curves.result import Result, command_of, label_of, read_result
from fishersft.curves.standing import USUAL, standing_of, three

WORLDS = {"imbalanced": "imbalanced clusters", "isotropic": "isotropic rows"}


def main() -> None:
    results = {(world, equal): _read(f"{world}-{equal}") for equal in ("tokens", "sentences") for world in WORLDS}
    names = next(iter(results.values())).selectors
    print(f"| | {' | '.join(map(label_of, names))} |\n|---{'|---' * len(names)}|")
    for (world, equal), result in results.items():
        standing = standing_of(result, USUAL)
        cells = []
        for name in names:
            error = standing.errors[name]
            text = f"{three(error.value)} ({three(error.low)} to {three(error.high)})"
            cells.append(f"**{text}**" if name == standing.best or name in standing.level else text)
        print(f"| {WORLDS[world]}, equal {equal} | {' | '.join(cells)} |")
    runs = sorted({result.runs for result in results.values()})
    commands = ", ".join(f"`{command_of(result.about)}`" for result in results.values())
    print(
        f"\nMeans of {', '.join(map(str, runs))} runs with 95 % intervals at n = {USUAL}; bold: the lowest, and those that "
        f"cannot be told apart from it, run by run. {commands} made the rows."
    )


def _read(name: str) -> Result:
    return read_result(bundle.asset("curves", name))


if __name__ == "__main__":
    main()
