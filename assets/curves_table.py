"""Print the README's table of errors against a known truth, from the shipped results: two worlds, words, the demo corpus."""

from fishersft import paths
from fishersft.experiments.fits import fits_of
from fishersft.experiments.result import Result, label_of, read_curves
from fishersft.experiments.summaries import USUAL, nearest, standing_of, three, with_interval

ROWS = {
    "imbalanced-tokens": "imbalanced clusters",
    "isotropic-tokens": "isotropic rows",
    "imbalanced-sentences": "imbalanced clusters",
    "isotropic-sentences": "isotropic rows",
    "words-tokens": "word vectors of mini",
    "words": "word vectors of mini",
    "teacher-tokens": "the demo corpus under mini",
    "teacher": "the demo corpus under mini",
}


def main() -> None:
    results = {name: _read(name) for name in ROWS}
    names = next(iter(results.values())).selectors
    print(f"| | {' | '.join(map(label_of, names))} | Uniform needs |\n|---{'|---' * len(names)}|---|")
    for row, result in results.items():
        standing = standing_of(result, USUAL)
        cells = []
        for name in names:
            error = standing.errors[name]
            text = f"{three(error.value)} ({three(error.low)} to {three(error.high)})"
            cells.append(f"**{text}**" if name == standing.best or name in standing.level else text)
        needed = fits_of(result).ratios[standing.reference][nearest(result, USUAL)]
        print(f"| {ROWS[row]}, equal {result.equal} | {' | '.join(cells)} | {with_interval(needed)} times |")
    runs = sorted({result.runs for result in results.values()})
    commands = ", ".join(f"`{result.about.command}`" for result in results.values())
    print(
        f"\nMeans of {', '.join(map(str, runs))} runs with 95% intervals at n = {USUAL}; bold: the lowest, and those that "
        "cannot be told apart from it, run by run. Uniform needs: how many times as many tokens or sentences for TokenOD's "
        f"error, read off its curve. {commands} made the rows."
    )


def _read(name: str) -> Result:
    return read_curves(paths.asset("curves", name))


if __name__ == "__main__":
    main()
