"""Lesson: what Lemma 3.1 assumes, and where it is loose.  The derivation is ours.

    H = sigma2 I + sum of A(x) (x) x x^T      (d (L-1), d (L-1)): the information of the head, its last class pinned to zero
    A(x) = diag(p) - p p^T, without the last row and column;   p = softmax(s Theta^T x)
    c    = the smallest eigenvalue of any A(x)

Every A(x) is at least c I, and c < 1, so H is at least c (V (x) I), and log det H >= (L - 1) (log det V + d log c).  With all L
classes free, A(x) kills the vector of ones, c = 0, and the bound says nothing.  A confident model has p near 0
or 1, A(x) near 0, and information far below what V promises: V does not depend on p at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import plotly.graph_objects as go

import fishersft.lessons.drawing as drawing
from fishersft.design.greedy import Contender, winner_of
from fishersft.design.information import design_matrix, gain, log_det
from fishersft.lessons.lesson import PAPER, READING, Lesson, Number, Picture, Question, Shown, control, nats, percent
from fishersft.plots.base import GREEN, PURPLE, ink, style
from fishersft.selectors import DEFAULT_SELECTOR

SENTENCES, TOKENS, DIMENSION = 10, 3, 2
SCALES = np.round(np.arange(0, 4.01, 0.5), 1)


def probabilities(X: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """(m, L) softmax(X theta)."""
    logits = X @ theta
    p = np.exp(logits - logits.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def class_information(p: np.ndarray, *, pinned: bool = True) -> np.ndarray:
    """(m, k, k) diag(p) - p p^T of each row of p (m, L); k = L - 1 with the last class pinned, else L."""
    q = p[:, :-1] if pinned else p
    return q[:, :, None] * np.eye(q.shape[1]) - q[:, :, None] * q[:, None, :]


def head_information(X: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """(d (L-1), d (L-1)) sum of A(x) (x) x x^T over the rows of X (m, d), the last class pinned."""
    A = class_information(probabilities(X, theta))
    k, d = A.shape[1], X.shape[1]
    return np.einsum("mab,mi,mj->aibj", A, X, X).reshape(k * d, k * d)


@dataclass(frozen=True)
class Lemma(Lesson):
    sure: float = control(
        2.0,
        0.0,
        4.0,
        0.5,
        "How sure the model is",
        "Its logits, the scores that become probabilities, are multiplied by this; 0 is guessing.",
    )
    classes: int = control(4, 2, 8, 1, "Classes L", "The size of the vocabulary.")

    name = "lemma"
    tab = "The lemma"
    title = "What the lemma leaves out"
    terms = ("lemma 3.1", "confidence of the model")
    lines = (
        "A language model is no linear model: its last layer chooses the next token from L classes. What a text says about that "
        "layer (its Fisher information, H) depends on the model's probabilities p. Lemma 3.1 of the paper bounds log det H from "
        "below by log det V, which has only the rows.",
        "One class must be pinned, since adding one vector to all classes changes no probability: with all classes free c is 0, "
        "and the bound says nothing. c holds for every row at once, so the surest row sets it.",
        "What the model already knows never enters V. When it is sure, H shrinks, V stays, and the best sentence can be another.",
    )
    formulas = (
        r"H = \sigma^2 I + \sum_x (\mathrm{diag}(p) - p p^\top) \otimes x x^\top",
        r"\log\det H \ge (L-1)(\log\det V + d \log c)",
    )
    symbols = (
        "L is the number of classes, d of dimensions, p the model's probabilities at x (without the pinned class), c the "
        "smallest eigenvalue of any diag(p) − p pᵀ, and ⊗ puts a copy of x xᵀ, times its entry, at each entry. All ten sentences "
        "have three rows, about equally long."
    )
    source = (
        (PAPER, "Lemma 3.1; one reviewer called the step a leap of faith."),
        (READING, "the pinned class, the constant c and this derivation."),
    )

    @cached_property
    def world(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(13)
        centres = rng.normal(size=(SENTENCES, 1, DIMENSION))
        centres /= np.linalg.norm(centres, axis=2, keepdims=True)
        rows = centres * rng.uniform(1.3, 1.7, (SENTENCES, 1, 1)) + 0.15 * rng.normal(size=(SENTENCES, TOKENS, DIMENSION))
        return rows, rng.normal(size=(DIMENSION, 8))[:, : self.classes]

    def log_dets(self, scale: float) -> tuple[float, float, float]:
        """log det of the true information, its lower bound, and c, with the whole pool in the design; nats."""
        rows, theta = self.world
        X = rows.reshape(-1, DIMENSION)
        k = self.classes - 1
        H = np.eye(k * DIMENSION) + head_information(X, scale * theta)
        c = float(np.linalg.eigvalsh(class_information(probabilities(X, scale * theta))).min())
        V = design_matrix([X], DIMENSION)
        bound = k * (log_det(V) + DIMENSION * np.log(c)) if c > 0 else -np.inf
        return float(np.linalg.slogdet(H)[1]), bound, c

    def gains(self) -> tuple[np.ndarray, np.ndarray]:
        """(10,) first gain of each sentence: (L - 1) times that under V, and that under the true information; nats."""
        rows, theta = self.world
        k = self.classes - 1
        V, H = np.eye(DIMENSION), np.eye(k * DIMENSION)
        by_rows = np.array([k * gain(V, X) for X in rows])
        true = np.array([np.linalg.slogdet(H + head_information(X, self.sure * theta))[1] for X in rows])
        return by_rows, true

    def show(self, *, revealed: bool = True, dark: bool = False) -> Shown:
        true, bound, c = self.log_dets(self.sure)
        rows, theta = self.world
        X = rows.reshape(-1, DIMENSION)
        p = probabilities(X, self.sure * theta)
        free = float(np.abs(np.linalg.eigvalsh(class_information(p, pinned=False))).min(1).max())
        all_free = f"all classes free: {'0' if free < 1e-12 else f'{free:.1e}'}"
        rows_alone, most = log_det(design_matrix([X], DIMENSION)), float(p.max(1).mean())
        numbers = (
            Number("True log det", nats(true), "Information about the head from all ten sentences.", f"bound {nats(bound)}"),
            Number("log det V", nats(rows_alone), "From the rows alone; no control here changes it.", "the same for every model"),
            Number("Constant c", f"{c:.2g}", "The smallest eigenvalue over all rows, one class pinned.", all_free),
            Number("Average top probability", percent(most), "Over the thirty tokens.", f"guessing: {percent(1 / self.classes)}"),
        )
        by_rows, true_gains = self.gains()
        pictures = (
            Picture(
                "What each sentence would gain",
                self._bars(by_rows, true_gains if revealed else None, dark),
                "Bars: the first gain of each of ten sentences from the rows alone"
                + (" and under the true information." if revealed else "; the true ones come with the answer."),
                "Blue: (L − 1) times the gain under V, what TokenOD sees. Purple: the true "
                f"gain{'' if revealed else ', with the answer'}.",
            ),
            Picture(
                "The surer the model, the looser the bound",
                self._bound(dark),
                "log det in nats against how sure the model is: the true information falls, the bound falls faster, V does not "
                f"move. Here {nats(true)} and {nats(bound)}.",
                "All ten sentences in the design. Upright line: this model. The bound soon falls out of the picture.",
            ),
        )
        a, b = (winner_of([Contender(i, float(g), float(g)) for i, g in enumerate(of)]).position for of in (by_rows, true_gains))
        lost = f"{percent(1 - true_gains[a] / true_gains[b])} is lost."
        question = Question(
            "TokenOD's first pick sees only the rows. Is it also the sentence with the most true information?",
            ("yes, the same sentence", "no, another one"),
            int(a != b),
            f"TokenOD takes sentence {a + 1} ({nats(true_gains[a])} in truth); sentence {b + 1} has the most "
            f"({nats(true_gains[b])}). "
            f"{lost if a != b else 'Make the model surer, or change the classes.'}",
        )
        return Shown(pictures, numbers, question)

    def _bound(self, dark: bool) -> go.Figure:
        table = np.array([self.log_dets(s) for s in SCALES])
        rows, _ = self.world
        flat = (self.classes - 1) * log_det(design_matrix([rows.reshape(-1, DIMENSION)], DIMENSION))
        fig = drawing.axes(dark, "how sure the model is (scale of its logits)", "log det (nats)")
        blue, _ = style(DEFAULT_SELECTOR, dark)
        for name, y, colour, dash in (
            ("(L − 1) log det V", np.full(len(SCALES), flat), blue, "dash"),
            ("true information", table[:, 0], PURPLE, "solid"),
            ("the lemma's bound", table[:, 1], GREEN, "dot"),
        ):
            trace = drawing.line(np.stack([SCALES, y], axis=1), name, colour, dash=dash)
            fig.add_trace(trace.update(hoverinfo="all", hovertemplate="%{y:.1f} nats"))
        fig.update_yaxes(range=[-1.5 * flat, 1.2 * flat])
        drawing.here(fig, self.sure)
        return fig

    def _bars(self, by_rows: np.ndarray, true: np.ndarray | None, dark: bool) -> go.Figure:
        fig = drawing.axes(dark, "sentence", "first gain (nats)", barmode="group")
        blue, _ = style(DEFAULT_SELECTOR, dark)
        look = {"x": np.arange(1, SENTENCES + 1), "hovertemplate": "%{y:.2f} nats"}
        pattern = {"shape": "/", "fgcolor": ink(dark)[0], "solidity": 0.12, "bgcolor": PURPLE}
        fig.add_trace(go.Bar(y=by_rows, name="rows alone", marker={"color": blue}, **look))
        if true is not None:
            fig.add_trace(go.Bar(y=true, name="true information", marker={"color": PURPLE, "pattern": pattern}, **look))
        return fig.update_xaxes(dtick=1)
