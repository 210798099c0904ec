"""Two exercises a lesson, to be done by hand, with their answers; every number in an answer is computed here.

Rows are small whole numbers, so that a pencil is enough; the code computes them as the lessons do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from fishersft.design.information import design_matrix, gain, leverage, log_det
from fishersft.lessons.equivalence import missing_at_most, step
from fishersft.lessons.lemma import class_information
from fishersft.lessons.lesson import nats, percent, short
from fishersft.lessons.pools import miss, stein_loss
from fishersft.lessons.regression import Regression
from fishersft.lessons.tuned import Difference


@dataclass(frozen=True)
class Exercise:
    """A task and its answer, as Markdown; `numbers` are those of the answer, by what they are."""

    task: str
    answer: str
    numbers: dict[str, float]


def _line() -> tuple[Exercise, Exercise]:
    def bar(*x: float) -> float:
        return Regression(points=tuple((at, 0.0, 1.0) for at in x)).bar()

    ends, even = bar(-1, -1, 1, 1), bar(-1, -1 / 3, 1 / 3, 1)
    before, after = bar(-2, 2), bar(-2, -2, 2, 2)
    return (
        Exercise(
            "You may measure four times, at places from −1 to 1, with noise of standard deviation 1. How long is the slope's "
            "error bar with two measurements at each end, and how long with the four spread evenly?",
            f"At the ends the sum of (x − x̄)² is 4, so the bar is ±1.96 / √4 = ±{short(ends)}. Evenly (−1, −1/3, 1/3, 1) the "
            f"sum is 20/9, and the bar ±{short(even)}.",
            {"ends": ends, "even": even},
        ),
        Exercise(
            "Two measurements stand at −2 and 2. What do you gain by repeating both, in the slope's error bar?",
            f"The sum of (x − x̄)² doubles from 8 to 16, so the bar falls by √2, from ±{short(before)} to ±{short(after)}. It "
            "takes four times the work for half the error.",
            {"before": before, "after": after},
        ),
    )


def _ellipse() -> tuple[Exercise, Exercise]:
    V = design_matrix([np.array([[2.0, 0.0]])], 2)
    grown = log_det(V) - log_det(np.eye(2))
    once, spread = (log_det(design_matrix([X], 2)) for X in (np.array([[2.0, 0], [2, 0]]), np.array([[2.0, 0], [0, 2]])))
    return (
        Exercise(
            "sigma2 is 1 and the only row is (2, 0). What is V, and how much log det V was gained?",
            f"V has 1 + 2² = 5 and 1 on its diagonal and 0 beside it. det V went from 1 to 5, so log 5 = {nats(grown)} were "
            "gained.",
            {"grown": grown},
        ),
        Exercise(
            "sigma2 is 1. Which two rows make the smaller ellipse: (2, 0) twice, or (2, 0) and (0, 2)?",
            f"det V is 9 · 1 = 9 for the first and 5 · 5 = 25 for the second: {nats(once)} against {nats(spread)}. The second "
            f"ellipse has √(9/25) = {short(np.exp((once - spread) / 2))} of the first one's area.",
            {"once": once, "spread": spread},
        ),
    )


def _returns() -> tuple[Exercise, Exercise]:
    V = np.eye(2)
    each = []
    for _ in range(3):
        each.append(gain(V, np.array([[1.0, 0.0]])))
        V = V + np.diag([1.0, 0.0])
    b = np.array([[0.5, 0.5]])
    before, after = gain(np.eye(2), b), gain(np.diag([4.0, 1.0]), b)
    return (
        Exercise(
            "sigma2 is 1. What do the first, the second and the third copy of the row (1, 0) gain?",
            f"det V goes 1, 2, 3, 4, so they gain log 2, log 3/2 and log 4/3: {', '.join(short(g) for g in each)} nats.",
            {"first": each[0], "second": each[1], "third": each[2]},
        ),
        Exercise(
            "The row (1, 0) is there three times. What does B = (1/2, 1/2) gain now, and what would it have gained before?",
            f"V⁻¹ has 1/4 and 1 on its diagonal, so B gains log(1 + 1/16 + 1/4) = {nats(after)}; before it was "
            f"log(1 + 1/4 + 1/4) = {nats(before)}.",
            {"after": after, "before": before},
        ),
    )


def _criteria() -> tuple[Exercise, Exercise]:
    C = np.linalg.inv(np.diag([4.0, 1.0]))
    A, E = float(np.trace(C)), float(np.linalg.eigvalsh(C).max())
    h = float(leverage(np.diag([4.0, 1.0]), np.array([[2.0, 1.0]]))[0])
    D_long, D_short = (gain(np.diag([4.0, 1.0]), np.array([x])) for x in ([3.0, 0.0], [0.0, 1.0]))
    return (
        Exercise(
            "V is the diagonal matrix of 4 and 1. What are A, E, and the leverage of the row (2, 1)?",
            f"V⁻¹ has 1/4 and 1 on its diagonal: A = {short(A)}, E = {short(E)}, and the leverage is 2²/4 + 1²/1 = {short(h)}.",
            {"A": A, "E": E, "leverage": h},
        ),
        Exercise(
            "The same V. One more row: (3, 0) or (0, 1)? Which does D want, and which does E?",
            f"D: log(1 + 9/4) = {nats(D_long)} against log(1 + 1) = {nats(D_short)}, so D wants (3, 0). E: the worst variance "
            "stays 1 with (3, 0) and falls to 1/2 with (0, 1), so E wants (0, 1).",
            {"long": D_long, "short": D_short},
        ),
    )


def _greedy() -> tuple[Exercise, Exercise]:
    a, b, c = np.array([[2.0, 2.0]]), np.array([[2.5, 0.0]]), np.array([[0.0, 2.5]])
    first = {name: gain(np.eye(2), X) for name, X in zip("abc", (a, b, c), strict=True)}
    greedy, best = (log_det(design_matrix(some, 2)) for some in ((a, b), (b, c)))
    second = gain(design_matrix([a], 2), b)
    bound = first["a"] + 2 * second
    return (
        Exercise(
            "sigma2 is 1, and the rows are a = (2, 2), b = (2.5, 0) and c = (0, 2.5). Which two does greedy take, and which "
            "two are best?",
            f"First gains: log 9 = {nats(first['a'])} for a, and log 7.25 = {nats(first['b'])} for b and for c, so greedy "
            f"takes a, then b: {nats(greedy)}. But b and c give 2 log 7.25 = {nats(best)}. Greedy cannot take a back.",
            {"greedy": greedy, "best": best},
        ),
        Exercise(
            "Use greedy's first pick, a, for a certificate: how much can two of these rows gain at most?",
            f"After a, b and c gain {short(second)} nats each, so no two rows gain more than {short(first['a'])} + 2 · "
            f"{short(second)} "
            f"= {nats(bound)}. That proves {percent(greedy / bound)} for greedy; in truth it has {percent(greedy / best)}.",
            {"bound": bound},
        ),
    )


def _sentences() -> tuple[Exercise, Exercise]:
    long, short_one = np.array([[1.0, 0], [1, 0], [1, 0], [1, 0]]), np.array([[1.0, 0], [0, 1]])
    alike, apart = gain(np.eye(2), long), gain(np.eye(2), short_one)
    one, two = gain(np.eye(2), np.array([[1.0, 0.0]])), gain(np.eye(2), short_one)
    return (
        Exercise(
            "sigma2 is 1. Sentence A has the tokens (1, 0) four times; sentence B has (1, 0) and (0, 1). Which gains more, and "
            "which gains more per token?",
            f"A: log 5 = {nats(alike)}, {short(alike / 4)} a token. B: log 4 = {nats(apart)}, {short(apart / 2)} a token. A "
            "wins by length, B per token.",
            {"alike": alike, "apart": apart},
        ),
        Exercise(
            "Split the gain of B over its tokens, in their order. Does the order matter?",
            f"The first token gains log 2 = {nats(one)}, the second log 2 again, as it stands at a right angle; together "
            f"{nats(two)}. "
            "The sum never depends on the order; the parts do, unless the rows stand at right angles.",
            {"one": one, "two": two},
        ),
    )


def _imbalance() -> tuple[Exercise, Exercise]:
    exact, rough = miss(10, 2, 3), miss(100, 5, 20)
    return (
        Exercise(
            "Of 10 sentences 2 are rare, and 3 are drawn without replacement. How likely is a draw without a rare one?",
            f"(8/10) · (7/9) · (6/8) = {percent(exact, 1)}.",
            {"miss": exact},
        ),
        Exercise(
            "Of 100 sentences 5 are rare, and 20 are drawn. Is it right that a fifth of the pool holds a fifth of every topic?",
            f"On average it holds one rare sentence, but in {percent(rough, 1)} of the draws none. An average is no coverage.",
            {"miss": rough},
        ),
    )


def _outlier() -> tuple[Exercise, Exercise]:
    M = np.eye(2)
    longer, narrow = stein_loss(M, np.diag([4.0, 1.0])), stein_loss(M, np.diag([0.25, 1.0]))
    near, far = (gain(np.eye(2), np.array([[x, 0.0]])) for x in (1.0, 10.0))
    return (
        Exercise(
            "sigma2 is 1. What does the row (10, 0) gain, and how often must (1, 0) be there to gain as much?",
            f"log(1 + 100) = {nats(far)}. With k copies of (1, 0) det V is 1 + k, so it takes 100 of them; the first gains "
            f"{nats(near)}.",
            {"far": far, "near": near},
        ),
        Exercise(
            "M is the identity, and S/t is diagonal. What is Stein's loss if the picks have four times the second moment in "
            "the first direction, and what if they have a quarter of it?",
            f"4 − log 4 − 1 = {short(longer)}, and 1/4 + log 4 − 1 = {short(narrow)}. Both cost, the excess more than the lack.",
            {"longer": longer, "narrow": narrow},
        ),
    )


def _target() -> tuple[Exercise, Exercise]:
    V = np.diag([4.0, 1.0])
    before, along, across = (
        float(leverage(W, np.array([[0.0, 1.0]]))[0]) for W in (V, V + np.diag([0.0, 4.0]), V + np.diag([9.0, 0.0]))
    )
    opposite = float(leverage(V + np.outer([0, -2.0], [0, -2.0]), np.array([[0.0, 1.0]]))[0])
    return (
        Exercise(
            "V is the diagonal matrix of 4 and 1, and the target is the row (0, 1). What is its variance now, and after the "
            "row (0, 2), "
            "or (3, 0)?",
            f"xᵀ V⁻¹ x is {short(before)} now, 1/5 = {short(along)} after (0, 2), and still {short(across)} after (3, 0), "
            "which TokenOD "
            "values, since it gains log(1 + 9/4).",
            {"before": before, "along": along, "across": across},
        ),
        Exercise(
            "Would (0, −2) help as much as (0, 2), and may a selector that looks at second moments take it?",
            f"Yes, to {short(opposite)}: x xᵀ is the same for x and −x. A second moment cannot tell a topic from its opposite.",
            {"opposite": opposite},
        ),
    )


def _lemma() -> tuple[Exercise, Exercise]:
    def information(p: float) -> float:
        return float(class_information(np.array([[p, 1 - p]]))[0, 0, 0])

    guessing, sure = information(0.5), information(0.99)
    free = class_information(np.array([[0.5, 0.3, 0.2]]), pinned=False)[0]
    lost = float(np.abs(free @ np.ones(3)).max())
    return (
        Exercise(
            "There are two classes, and one is pinned. How much is p (1 − p), the information of one token, when the model "
            "guesses (p = 1/2), and when it is 99% sure?",
            f"{short(guessing)} and {short(sure)}: the sure token says {short(guessing / sure)} times less. V counts both alike.",
            {"guessing": guessing, "sure": sure},
        ),
        Exercise(
            "Three classes with p = (0.5, 0.3, 0.2), none pinned: multiply diag(p) − p pᵀ by (1, 1, 1). What follows for c?",
            "Each entry is p − p · (sum of p) = 0. So 0 is an eigenvalue, c is 0, log c is −∞, and the bound says nothing.",
            {"lost": lost},
        ),
    )


def _tuned() -> tuple[Exercise, Exercise]:
    one, other = Difference("", 1, 0.004, -0.013, 0.018), Difference("", 1, -0.28, -0.34, -0.22)
    ratio = float(np.exp(0.28))
    return (
        Exercise(
            "A model's difference to a random draw is +0.004 (−0.013 to +0.018) nats per token, another's −0.28 (−0.34 to "
            "−0.22). What "
            "may you say of each?",
            f"The first interval holds 0: {'level' if one.side == 0 else 'apart'}, in favour of neither. The second is "
            f"{'better' if other.side < 0 else 'not better'} beyond its interval; e^0.28 = {short(ratio)}, so it gives the "
            "right next "
            "token that many times the probability, in the geometric mean.",
            {"one": one.side, "other": other.side, "ratio": ratio},
        ),
        Exercise(
            "TokenOD's 100 sentences have 25,000 tokens and a random draw's 100 have 6,000. At equal sentences TokenOD's model "
            "is better. What else could explain that, and what would you compare?",
            f"It read {short(25_000 / 6_000)} times as many tokens. Compare with a random draw of 25,000 tokens, and with the "
            "100 longest sentences.",
            {"times": 25_000 / 6_000},
        ),
    )


def _lazy() -> tuple[Exercise, Exercise]:
    naive = 10 + 9 + 8
    return (
        Exercise(
            "After the first pick the old gains are 5, 4, 3 and 1. The first is computed anew: 3.5. Then the second: 3.2. Must "
            "the others be computed?",
            "No. The best gain found is 3.5, and the old gains 3 and 1 are upper bounds below it. Two of four were computed.",
            {"computed": 2},
        ),
        Exercise(
            "How many gains does the plain rule compute for 3 picks out of 10 sentences?",
            f"10 + 9 + 8 = {naive}.",
            {"naive": naive},
        ),
    )


def _equivalence() -> tuple[Exercise, Exercise]:
    X = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    w = step(X, np.full(3, 1 / 3))
    bound = missing_at_most(3.0, 2)
    return (
        Exercise(
            "The points are (1, 0), (0, 1) and (2, 0), each with weight 1/3. What are the leverages, and the weights after one "
            "step?",
            f"M is diagonal with 5/3 and 1/3. The leverages are 3/5, 3 and 12/5, and each weight times leverage over 2 is "
            f"{', '.join(short(x) for x in w)}. They sum to 1.",
            {"first": float(w[0]), "second": float(w[1]), "third": float(w[2])},
        ),
        Exercise(
            "The worst leverage is 3 and d is 2. How much larger can the log det of the best design be, at most?",
            f"d log(3 / 2) = {nats(bound)}.",
            {"bound": bound},
        ),
    )


_MADE: dict[str, Callable[[], tuple[Exercise, Exercise]]] = {
    "line": _line,
    "ellipse": _ellipse,
    "returns": _returns,
    "criteria": _criteria,
    "greedy": _greedy,
    "sentences": _sentences,
    "imbalance": _imbalance,
    "outlier": _outlier,
    "target": _target,
    "lemma": _lemma,
    "tuned": _tuned,
    "lazy": _lazy,
    "equivalence": _equivalence,
}


@cache
def exercises(lesson: str) -> tuple[Exercise, Exercise]:
    """The two exercises of a lesson, by its name."""
    return _MADE[lesson]()
