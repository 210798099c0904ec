"""What an error experiment may be told, each parameter declared once.

The options of `fishersft curves`, the form of the Curves page and the worlds and experiments are made from these fields.
Loads no numerical library.  Rows have d numbers, the true head L classes, the pool N sentences; n is a budget.
"""

from __future__ import annotations

from dataclasses import dataclass

from fishersft.errors import ParameterError
from fishersft.fields import MOST_SEED, check, parameter

FEATURES = {
    "isotropic": "isotropic rows",
    "power_law": "a power-law spectrum",
    "clustered": "imbalanced clusters",
    "near_duplicates": "near-duplicates",
}
SELECTORS = ("token_od", "uniform", "sentence_od", "density", "clustered", "longest", "matched_od")
BUDGETS = (50, 100, 200, 300, 500, 1_000, 1_500, 2_000)
SWEEP_BUDGET = 1_000
PICKS = (10, 50, 100, 200, 500, 1_000, 2_000)  # that a timing reports
RIDGE_LEAST, RIDGE_MOST = 1e-6, 1e6  # what float64 can work with


@dataclass(frozen=True)
class Checked:
    """Every declared parameter is checked when an instance is made; ParameterError names the first that does not fit."""

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class PoolSettings(Checked):
    """The shape of a drawn pool and of its true head."""

    dimension: int = parameter(10, "d, numbers in a token row.", label="Dimension d", least=1)
    classes: int = parameter(20, "L, classes of the true head.", label="Classes L", least=2)
    sentences: int = parameter(3_000, "N, sentences in the pool, drawn anew for each run.", label="Sentences N", least=1)
    median_length: float = parameter(8.0, "Tokens in the median sentence.", least=1.0, most=256.0)
    length_spread: float = parameter(
        0.6, "Standard deviation of the logarithm of sentence lengths; 0 makes them all equal.", least=0.0, most=3.0
    )
    scale: float = parameter(1.0, "Standard deviation of a true logit.", least=0.0, most=1e3)


@dataclass(frozen=True)
class SyntheticSettings(PoolSettings):
    """How rows are drawn."""

    features: str = parameter("isotropic", "Distribution that rows are drawn from.", choices=tuple(FEATURES))
    clusters: int = parameter(20, "Number of clusters (clustered).", least=1)
    power: float = parameter(2.0, "Cluster weights k^-power (clustered) or spectrum j^-power (power_law).", least=0.0, most=10.0)
    noise: float = parameter(
        0.1, "Standard deviation of a row about its centre (clustered) or its original (near_duplicates).", least=0.0, most=1e3
    )
    duplicates: float = parameter(0.5, "Share of sentences that are copies (near_duplicates).", least=0.0, most=0.99)


@dataclass(frozen=True)
class WordSettings(PoolSettings):
    """How sentences are drawn from word vectors."""

    zipf: float = parameter(
        1.0, "The word of rank r is drawn with odds r^-zipf; 0 makes all words equally likely.", least=0, most=5
    )


@dataclass(frozen=True)
class WordSource(Checked):
    """Where word vectors come from."""

    vectors: str | None = parameter(
        None,
        "File of word vectors (GloVe or word2vec, text or binary) instead of the model's own.",
        label="File of vectors",
        metavar="FILE",
    )
    words: int = parameter(20_000, "Number of vectors to read, most frequent words first.", least=2)
    model: str = parameter("mini", "Model whose input embeddings are used if no file is given.", in_address=False)
    revision: str | None = parameter(None, "Branch, tag or commit of a hub model.", metavar="REV", in_address=False)


@dataclass(frozen=True)
class TeacherSettings(Checked):
    """Which part of a corpus and of a model's head is used."""

    dimension: int | None = parameter(
        None, "d', leading directions of the rows to keep; 0 keeps all.", label="Directions d'", least=0, shown_default="32"
    )
    classes: int = parameter(20, "L, classes: this many of the most frequent tokens.", label="Classes L", least=2)
    sentences: int = parameter(
        0, "N, sentences drawn from the pool in each run; 0 takes up to 3,000.", label="Sentences N", least=0
    )
    scale: float = parameter(1.0, "Factor that scales the head; below 1, labels are noisier.", least=0.0, most=1e3)


@dataclass(frozen=True)
class MeasureSettings(Checked):
    """What is measured in any world."""

    selectors: tuple[str, ...] = parameter(SELECTORS, "Selectors to measure, separated by commas.")
    budgets: tuple[int, ...] = parameter(
        BUDGETS, "Budgets n in sentences, separated by commas.", label="Budgets n", shown_default="50 to 2000, up to the pool"
    )
    runs: int = parameter(20, "Random problems to draw and average over.", least=1, most=10_000)
    seed: int = parameter(0, "Random seed; the same seed gives the same numbers.", least=0, most=MOST_SEED)
    equal: str = parameter(
        "sentences",
        "What every selector gets the same amount of; at equal tokens, those of the reference's first n sentences.",
        label="At equal",
        choices=("sentences", "tokens"),
    )
    reference: str = parameter("token_od", "Selector whose tokens are counted at equal tokens.")
    ridge: float = parameter(
        0.1, "L2 penalty of the fitted head, beside a loss summed over tokens.", least=RIDGE_LEAST, most=RIDGE_MOST
    )
    sigma2: float = parameter(1.0, "Prior sigma2 of the reported leverage and log det.", label="sigma2", above=0.0)


@dataclass(frozen=True)
class SweepSettings(Checked):
    """Which settings of a synthetic world are moved."""

    sweep: str | None = parameter(
        None, f"Vary d, L or both at one budget, {SWEEP_BUDGET} unless given.", choices=("dimension", "classes", "both")
    )
    sweep_dimensions: tuple[int, ...] = parameter((5, 10, 20, 30, 40), "Values of d in a sweep.")
    sweep_classes: tuple[int, ...] = parameter((20, 30, 40, 50), "Values of L in a sweep.")

    @property
    def moved(self) -> dict[str, tuple[int, ...]]:
        """{"dimension": values, "classes": values} of those that are moved."""
        both = {"dimension": self.sweep_dimensions, "classes": self.sweep_classes}
        return {name: values for name, values in both.items() if self.sweep in (name, "both")}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(self.moved.values()):
            raise ParameterError("A sweep needs at least one value; see --sweep-dimensions and --sweep-classes.")


@dataclass(frozen=True)
class TimingSettings(SyntheticSettings):
    """The pool on which selection is timed, and how long Algorithm 1 may work."""

    sentences: int = parameter(5_000, "N, sentences in the pool.", label="Sentences N", least=1)
    budgets: tuple[int, ...] = parameter(
        (), "Numbers of picks to report, separated by commas.", label="Picks", shown_default="10 to 2000, up to the pool"
    )
    box: float = parameter(
        30.0,
        "Time limit of Algorithm 1, in seconds; the picks it does not reach are extrapolated.",
        label="Algorithm 1 gets",
        least=0.01,
        most=86_400.0,
    )
    seed: int = parameter(0, "Random seed of the pool.", least=0, most=MOST_SEED)


def default_budgets(sentences: int) -> tuple[int, ...]:
    """The usual budgets that a pool of so many sentences can meet."""
    return tuple(n for n in BUDGETS if n <= sentences) or (sentences,)
