"""Print the README's table: selectors on the demo with the tokens of TokenOD's first 120 picks, beside random draws.

Without those that start from k-means, whose centres may differ a little from one machine to the next.
"""

from fishersft import Budget, load_pool, make_selector
from fishersft.scoring.comparison import Row, compare

COLUMNS = {"sentences": "sentences", "tokens": "tokens", "log_det": "log det (nats)", "worst_leverage": "worst leverage"}
COLUMNS |= {"radius": "k-center radius", "perplexity": "perplexity", "topics": "topics of 16"}
DIGITS = {"worst_leverage": ".3f", "radius": ".1f"}

NAMES = [
    "token_od",
    "token_od_per_token",
    "fisher_od",
    "matched_od",
    "sentence_od",
    "k_center",
    "longest",
    "length_weighted",
    "density",
    "perplexity",
]


def main() -> None:
    selectors = [make_selector(name) for name in NAMES]
    found = compare(load_pool("demo"), selectors, Budget(sentences=120), equal="tokens")
    print(f"| selection | {' | '.join(COLUMNS.values())} |\n|---{'|---' * len(COLUMNS)}|")
    for row in found.rows:
        print(f"| {row.label} | {' | '.join(span(row, c) for c in COLUMNS)} |")


def span(row: Row, criterion: str) -> str:
    low, high = (f"{value:{DIGITS.get(criterion, ',.0f')}}" for value in row.span(criterion)[1:])
    return low if low == high else f"{low} to {high}"


if __name__ == "__main__":
    main()
